use crate::harness::{Harness, Join, Mode, Sync, twice};
use ottla_coordinator::group::{GroupConfig, GroupError};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn a_new_member_is_given_an_id_first(mode: Mode) {
    let mut group = Harness::new(mode);
    let refused = group.join(&Join::default()).expect_err("it needs an id");
    assert_eq!(refused.error, GroupError::MemberIdRequired);
    let id = refused.member.expect("an id");
    assert!(id.as_str().starts_with("client-"), "{id}");
    assert_eq!(id.as_str().len(), "client-".len() + 36);

    let waiter = group.send_join(&Join {
        member: id.as_str(),
        ..Join::default()
    });
    group.pass(2 * SECOND);
    assert!(group.waits(waiter), "others may come");
    group.pass(SECOND);
    let joined = group.joined(waiter).expect("it is let in");
    assert_eq!(joined.generation, 1);
    assert_eq!(joined.leader.as_ref(), Some(&id));
    assert_eq!(joined.protocol.as_deref(), Some("range"));
    assert_eq!(joined.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(joined.members.len(), 1);
    assert_eq!(group.state("g"), "CompletingRebalance");
}

/// KIP-394 is for version 4 and later: older clients do not know the error (T: kafka-go, sarama).
fn an_old_client_joins_directly(mode: Mode) {
    let mut group = Harness::new(mode);
    let waiter = group.send_join(&Join {
        version: 3,
        ..Join::default()
    });
    group.pass(3 * SECOND);
    assert_eq!(group.joined(waiter).expect("it is let in").generation, 1);
}

fn requests_that_make_no_sense_are_refused(mode: Mode) {
    let mut group = Harness::new(mode);
    let mut refused = |join: Join<'_>| group.join(&join).expect_err("refused").error;
    let short = Join {
        session_ms: 5_999,
        ..Join::default()
    };
    assert_eq!(refused(short), GroupError::InvalidSessionTimeout);
    let long = Join {
        session_ms: 1_800_001,
        ..Join::default()
    };
    assert_eq!(refused(long), GroupError::InvalidSessionTimeout);
    let stranger = Join {
        member: "who",
        ..Join::default()
    };
    assert_eq!(refused(stranger), GroupError::UnknownMember);
    assert_eq!(group.state("g"), "Dead", "none of them made a group");
    let mut refused = |join: Join<'_>| group.join(&join).expect_err("refused").error;
    let nothing = Join {
        protocols: &[],
        ..Join::default()
    };
    assert_eq!(refused(nothing), GroupError::InconsistentProtocol);
    let untyped = Join {
        protocol_type: "",
        ..Join::default()
    };
    assert_eq!(refused(untyped), GroupError::InconsistentProtocol);
    assert_eq!(group.state("g"), "Empty", "these did, as by Kafka");
}

fn the_first_delay_grows_while_members_come(mode: Mode) {
    let mut group = Harness::new(mode);
    let join = Join {
        rebalance_ms: 10_000,
        ..Join::default()
    };
    let (_, first) = group.arrive(&join);
    let mut waiters = vec![first];
    for _ in 0..3 {
        group.pass(2 * SECOND);
        waiters.push(group.arrive(&join).1);
    }
    // 3 s, again 3 s twice while members came, and the rest of the rebalance timeout: 10 s.
    group.pass(Duration::from_millis(3_999));
    assert!(waiters.iter().all(|waiter| group.waits(*waiter)));
    group.pass(Duration::from_millis(1));
    for waiter in waiters {
        assert_eq!(group.joined(waiter).expect("it is let in").generation, 1);
    }
}

fn what_everybody_can_and_most_like_is_chosen(mode: Mode) {
    let mut group = Harness::new(mode);
    let (_, a) = group.arrive(&Join {
        protocols: &["x", "range", "sticky"],
        ..Join::default()
    });
    let (_, b) = group.arrive(&Join {
        protocols: &["sticky", "range"],
        ..Join::default()
    });
    let (_, c) = group.arrive(&Join {
        protocols: &["sticky", "y", "range"],
        ..Join::default()
    });
    group.gather(&[a, b, c]);
    for waiter in [a, b, c] {
        let joined = group.joined(waiter).expect("it is let in");
        assert_eq!(joined.protocol.as_deref(), Some("sticky"));
    }
    let odd = group.join(&Join {
        protocols: &["y"],
        ..Join::default()
    });
    assert_eq!(
        odd.expect_err("refused").error,
        GroupError::InconsistentProtocol
    );
    let connect = group.join(&Join {
        protocol_type: "connect",
        ..Join::default()
    });
    assert_eq!(
        connect.expect_err("refused").error,
        GroupError::InconsistentProtocol
    );
}

fn only_the_leader_hears_of_everybody(mode: Mode) {
    let mut group = Harness::new(mode);
    let (a, first) = group.arrive(&Join {
        subscription: "a",
        ..Join::default()
    });
    let (_, second) = group.arrive(&Join {
        subscription: "b",
        ..Join::default()
    });
    group.gather(&[first, second]);
    let leader = group.joined(first).expect("it is let in");
    let follower = group.joined(second).expect("it is let in");
    assert_eq!(leader.leader.expect("one").as_str(), a);
    let mut told: Vec<_> = leader.members.iter().map(|m| m.metadata.clone()).collect();
    told.sort();
    let said = [
        crate::harness::subscription(&["a"]),
        crate::harness::subscription(&["b"]),
    ];
    assert_eq!(told, said);
    assert!(follower.members.is_empty());
}

fn members_that_change_nothing_disturb_nobody(mode: Mode) {
    let mut group = Harness::new(mode);
    let (generation, ids) = group.stable(&["a", "b"]);
    let (leader, follower) = (&ids[0], &ids[1]);
    let own = |group: &mut Harness, id: &str| {
        let described = group.describe("g").expect("it is there");
        let member = described.members.iter().find(|m| m.member.as_str() == id);
        member.expect("it is in").metadata.clone()
    };
    // Which of the two said what depends on who leads.
    let said = if own(&mut group, follower) == crate::harness::subscription(&["a"]) {
        "a"
    } else {
        "b"
    };
    let again = group.join(&Join {
        member: follower,
        subscription: said,
        ..Join::default()
    });
    assert_eq!(again.expect("at once").generation, generation);
    assert_eq!(group.state("g"), "Stable");

    // What the leader knows of topics may have changed.
    let other = if said == "a" { "b" } else { "a" };
    let waiter = group.send_join(&Join {
        member: leader,
        subscription: other,
        ..Join::default()
    });
    assert!(group.waits(waiter));
    assert_eq!(group.state("g"), "PreparingRebalance");
    assert_eq!(
        group.heartbeat(follower, generation),
        Err(GroupError::RebalanceInProgress)
    );
    let second = group.send_join(&Join {
        member: follower,
        subscription: "c",
        ..Join::default()
    });
    assert_eq!(
        group.joined(waiter).expect("everybody is there").generation,
        generation + 1
    );
    assert_eq!(
        group.joined(second).expect("everybody is there").generation,
        generation + 1
    );

    // A lost answer is given again.
    let again = group.join(&Join {
        member: follower,
        subscription: "c",
        ..Join::default()
    });
    assert_eq!(again.expect("at once").generation, generation + 1);
    assert_eq!(group.state("g"), "CompletingRebalance");
    // A member that changes its mind in between begins anew.
    let changed = group.send_join(&Join {
        member: follower,
        subscription: "d",
        ..Join::default()
    });
    assert!(group.waits(changed));
    assert_eq!(group.state("g"), "PreparingRebalance");
}

fn who_does_not_come_is_dropped(mode: Mode) {
    let mut group = Harness::new(mode);
    let (generation, ids) = group.stable(&["a", "b"]);
    let waiter = group.send_join(&Join {
        member: &ids[0],
        subscription: "new",
        ..Join::default()
    });
    // The other one is alive, and does not come.
    for _ in 0..5 {
        group.pass(5 * SECOND);
        let error = GroupError::RebalanceInProgress;
        assert_eq!(group.heartbeat(&ids[1], generation), Err(error));
    }
    assert!(group.waits(waiter));
    group.pass(5 * SECOND);
    let joined = group.joined(waiter).expect("it went on without");
    assert_eq!(joined.members.len(), 1);
    assert_eq!(
        group.heartbeat(&ids[1], generation),
        Err(GroupError::UnknownMember)
    );
}

fn a_member_that_never_comes_back_is_not_waited_for(mode: Mode) {
    let mut group = Harness::new(mode);
    let (generation, ids) = group.stable(&["a"]);
    let pending = group.join(&Join::default()).expect_err("it needs an id");
    assert_eq!(pending.error, GroupError::MemberIdRequired);
    let waiter = group.send_join(&Join {
        member: &ids[0],
        subscription: "b",
        ..Join::default()
    });
    group.pass(9 * SECOND);
    assert!(group.waits(waiter), "the other one may still come");
    group.pass(2 * SECOND);
    assert_eq!(
        group.joined(waiter).expect("alone").generation,
        generation + 1
    );
}

fn a_full_group_takes_nobody(mode: Mode) {
    let config = GroupConfig {
        members_count_max: 2,
        ..GroupConfig::default()
    };
    let mut group = Harness::with(mode, config);
    group.stable(&["a", "b"]);
    let third = group.join(&Join::default()).expect_err("refused");
    assert_eq!(third.error, GroupError::GroupFull);
    assert_eq!(third.member, None);
    assert_eq!(group.state("g"), "Stable");
}

fn a_second_request_replaces_the_first(mode: Mode) {
    let mut group = Harness::new(mode);
    let (id, first) = group.arrive(&Join::default());
    let second = group.send_join(&Join {
        member: &id,
        ..Join::default()
    });
    let error = group.joined(first).expect_err("it gave up").error;
    assert_eq!(error, GroupError::RebalanceInProgress);
    group.gather(&[second]);
    assert_eq!(group.joined(second).expect("it is let in").generation, 1);
    let own = [(id.clone(), "everything".to_owned())];
    let sync = Sync {
        member: &id,
        generation: 1,
        assignments: &own,
    };
    assert_eq!(group.sync(&sync).as_deref(), Ok("everything"));
}

fn groups_are_for_anything(mode: Mode) {
    let mut group = Harness::new(mode);
    let (_, waiter) = group.arrive(&Join {
        protocol_type: "connect",
        protocols: &["sessioned", "compatible"],
        ..Join::default()
    });
    group.gather(&[waiter]);
    let joined = group.joined(waiter).expect("it is let in");
    assert_eq!(joined.protocol_type.as_deref(), Some("connect"));
    assert_eq!(joined.protocol.as_deref(), Some("sessioned"));
}

twice!(
    a_new_member_is_given_an_id_first,
    an_old_client_joins_directly,
    requests_that_make_no_sense_are_refused,
    the_first_delay_grows_while_members_come,
    what_everybody_can_and_most_like_is_chosen,
    only_the_leader_hears_of_everybody,
    members_that_change_nothing_disturb_nobody,
    who_does_not_come_is_dropped,
    a_member_that_never_comes_back_is_not_waited_for,
    a_full_group_takes_nobody,
    a_second_request_replaces_the_first,
    groups_are_for_anything,
);
