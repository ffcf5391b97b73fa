use crate::harness::{Harness, Join, Mode, Sync, identity, twice};
use ottla_coordinator::group::{GroupCommand, GroupError, GroupReply, Rebalances, SyncGroup};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn whom_the_leader_forgets_gets_no_bytes(mode: Mode) {
    let mut group = Harness::new(mode);
    let (a, first) = group.arrive(&Join {
        subscription: "a",
        ..Join::default()
    });
    let (b, second) = group.arrive(&Join {
        subscription: "b",
        ..Join::default()
    });
    group.gather(&[first, second]);
    group.joined(first).expect("it is let in");
    group.joined(second).expect("it is let in");
    let waiter = group.send_sync(&Sync {
        member: &b,
        generation: 1,
        ..Sync::default()
    });
    assert!(group.waits(waiter), "the leader has not spoken");
    let own = [(a.clone(), "all".to_owned())];
    let led = group.sync(&Sync {
        member: &a,
        generation: 1,
        assignments: &own,
    });
    assert_eq!(led.as_deref(), Ok("all"));
    assert_eq!(group.synced(waiter).as_deref(), Ok(""));
    assert_eq!(group.state("g"), "Stable");
    // Who asks again is told again.
    let again = group.sync(&Sync {
        member: &a,
        generation: 1,
        ..Sync::default()
    });
    assert_eq!(again.as_deref(), Ok("all"));
}

fn syncs_of_another_time_are_refused(mode: Mode) {
    let mut group = Harness::new(mode);
    let (generation, ids) = group.stable(&["a", "b"]);
    let mut refused = |member: &str, generation| {
        let sync = Sync {
            member,
            generation,
            ..Sync::default()
        };
        group.sync(&sync).expect_err("refused")
    };
    assert_eq!(refused("who", generation), GroupError::UnknownMember);
    assert_eq!(
        refused(&ids[0], generation - 1),
        GroupError::IllegalGeneration
    );
    assert_eq!(
        refused(&ids[0], generation + 1),
        GroupError::IllegalGeneration
    );
    for (protocol_type, protocol) in [(Some("connect"), None), (None, Some("sticky"))] {
        let sync = GroupCommand::Sync(SyncGroup {
            identity: identity("g", &ids[0], generation),
            protocol_type: protocol_type.map(Into::into),
            protocol: protocol.map(Into::into),
            assignments: Vec::new(),
        });
        let error = GroupError::InconsistentProtocol;
        assert_eq!(group.ask(sync), GroupReply::Sync(Err(error)));
    }
    let waiter = group.send_join(&Join {
        member: &ids[0],
        subscription: "x",
        ..Join::default()
    });
    assert!(group.waits(waiter));
    let sync = Sync {
        member: &ids[1],
        generation,
        ..Sync::default()
    };
    assert_eq!(group.sync(&sync), Err(GroupError::RebalanceInProgress));
}

fn a_rebalance_sends_waiting_members_back(mode: Mode) {
    let mut group = Harness::new(mode);
    let (a, first) = group.arrive(&Join {
        subscription: "a",
        ..Join::default()
    });
    let (b, second) = group.arrive(&Join {
        subscription: "b",
        ..Join::default()
    });
    group.gather(&[first, second]);
    group.joined(first).expect("it is let in");
    group.joined(second).expect("it is let in");
    let waiter = group.send_sync(&Sync {
        member: &b,
        generation: 1,
        ..Sync::default()
    });
    let changed = group.send_join(&Join {
        member: &a,
        subscription: "c",
        ..Join::default()
    });
    assert!(group.waits(changed));
    assert_eq!(group.synced(waiter), Err(GroupError::RebalanceInProgress));
}

fn who_never_syncs_is_dropped(mode: Mode) {
    let mut group = Harness::new(mode);
    let (a, first) = group.arrive(&Join {
        subscription: "a",
        ..Join::default()
    });
    let (b, second) = group.arrive(&Join {
        subscription: "b",
        ..Join::default()
    });
    group.gather(&[first, second]);
    group.joined(first).expect("it is let in");
    group.joined(second).expect("it is let in");
    let own = [(a.clone(), "a".to_owned()), (b.clone(), "b".to_owned())];
    let led = group.sync(&Sync {
        member: &a,
        generation: 1,
        assignments: &own,
    });
    assert_eq!(led.as_deref(), Ok("a"));
    assert_eq!(group.state("g"), "Stable");
    for _ in 0..5 {
        // Both live, one of them never asks what to do.
        group.pass(Duration::from_millis(5_500));
        let _ = (group.heartbeat(&a, 1), group.heartbeat(&b, 1));
    }
    assert_eq!(group.heartbeat(&b, 1), Ok(()), "it has time to ask");
    group.pass(5 * SECOND);
    assert_eq!(group.heartbeat(&b, 1), Err(GroupError::UnknownMember));
    assert_eq!(group.heartbeat(&a, 1), Err(GroupError::RebalanceInProgress));
}

fn silence_ends_a_membership(mode: Mode) {
    let mut group = Harness::new(mode);
    let patient = Join {
        session_ms: 60_000,
        ..Join::default()
    };
    let (a, first) = group.arrive(&patient);
    let (b, second) = group.arrive(&Join::default());
    group.gather(&[first, second]);
    let work = [(a.clone(), "a".to_owned()), (b.clone(), "b".to_owned())];
    group.joined(first).expect("it is let in");
    group.joined(second).expect("it is let in");
    group.sync_all(1, &[a.clone(), b.clone()], &work);
    for _ in 0..3 {
        group.pass(9 * SECOND);
        assert_eq!(group.heartbeat(&b, 1), Ok(()));
    }
    group.pass(9 * SECOND);
    assert_eq!(group.state("g"), "Stable");
    group.pass(11 * SECOND);
    assert_eq!(group.heartbeat(&b, 1), Err(GroupError::UnknownMember));
    assert_eq!(group.heartbeat(&a, 1), Err(GroupError::RebalanceInProgress));
    let waiter = group.send_join(&Join {
        member: &a,
        ..patient
    });
    let joined = group.joined(waiter).expect("it is alone");
    assert_eq!((joined.generation, joined.members.len()), (2, 1));
}

fn the_last_member_leaves_an_empty_group(mode: Mode) {
    let mut group = Harness::new(mode);
    let (generation, ids) = group.stable(&["a"]);
    group.pass(11 * SECOND);
    let described = group.describe("g").expect("it is there");
    assert_eq!(described.state.name(), "Empty");
    assert_eq!(&*described.protocol_type, "consumer");
    assert_eq!(described.generation, generation + 1);
    assert_eq!(
        group.heartbeat(&ids[0], generation),
        Err(GroupError::UnknownMember)
    );
    let old = group.join(&Join {
        member: &ids[0],
        ..Join::default()
    });
    assert_eq!(old.expect_err("refused").error, GroupError::UnknownMember);
    let (_, waiter) = group.arrive(&Join::default());
    group.gather(&[waiter]);
    assert_eq!(
        group.joined(waiter).expect("it is let in").generation,
        generation + 2
    );
}

twice!(
    whom_the_leader_forgets_gets_no_bytes,
    syncs_of_another_time_are_refused,
    a_rebalance_sends_waiting_members_back,
    who_never_syncs_is_dropped,
    silence_ends_a_membership,
    the_last_member_leaves_an_empty_group,
);

/// What is counted of the one group since it was loaded.
fn rebalances(group: &Harness) -> Rebalances {
    let mut groups = group.shard.machine().groups();
    groups.next().expect("there is a group").1.rebalances()
}

#[test]
fn rebalances_are_timed_until_everybody_is_at_work() {
    let mut group = Harness::new(Mode::Steady);
    let begun = group.now.mono;
    let (generation, ids) = group.stable(&["a", "b"]);
    let first = group.now.mono.since(begun);
    assert!(
        first > Duration::ZERO,
        "an empty group waits for more members"
    );
    let expected = Rebalances {
        count: 1,
        took: first,
    };
    assert_eq!(rebalances(&group), expected);
    // One that nobody lives to see is none. Offsets keep the group.
    assert_eq!(group.commit_offset(&ids[0], generation, 0, 1), Ok(()));
    group.pass(Duration::from_secs(3600));
    assert_eq!(group.state("g"), "Empty", "{ids:?} were silent");
    assert_eq!(rebalances(&group), expected);
}
