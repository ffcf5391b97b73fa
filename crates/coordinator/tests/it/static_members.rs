use crate::harness::{Harness, Join, Mode, Sync, commit, identity, twice};
use ottla_coordinator::group::{GroupCommand, GroupError, GroupReply, Heartbeat};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A stable group of the static members `i` and `j`; `i` leads.
fn stable(group: &mut Harness) -> (String, String) {
    let i = group.send_join(&Join {
        instance: Some("i"),
        subscription: "a",
        ..Join::default()
    });
    let j = group.send_join(&Join {
        instance: Some("j"),
        subscription: "b",
        ..Join::default()
    });
    group.gather(&[i, j]);
    let i = group
        .joined(i)
        .expect("never asked for an id")
        .member
        .as_str()
        .to_owned();
    let j = group
        .joined(j)
        .expect("never asked for an id")
        .member
        .as_str()
        .to_owned();
    assert!(i.starts_with("i-") && j.starts_with("j-"), "{i} {j}");
    let work = [
        (i.clone(), "work of i".to_owned()),
        (j.clone(), "work of j".to_owned()),
    ];
    group.sync_all(1, &[i.clone(), j.clone()], &work);
    (i, j)
}

fn a_static_member_comes_back_without_a_rebalance(mode: Mode) {
    let mut group = Harness::new(mode);
    let (_, j) = stable(&mut group);
    let back = Join {
        instance: Some("j"),
        subscription: "b",
        ..Join::default()
    };
    let joined = group.join(&back).expect("at once");
    assert_eq!(joined.generation, 1);
    assert!(!joined.skip_assignment && joined.members.is_empty());
    let new = joined.member.as_str().to_owned();
    assert_ne!(new, j);
    assert_eq!(group.state("g"), "Stable");
    let sync = Sync {
        member: &new,
        generation: 1,
        ..Sync::default()
    };
    assert_eq!(group.sync(&sync).as_deref(), Ok("work of j"));

    // The one before is fenced, wherever it shows up.
    let mut fenced = identity("g", &j, 1);
    fenced.instance = Some("j".into());
    let beat = GroupCommand::Heartbeat(Heartbeat {
        identity: fenced.clone(),
    });
    let error = GroupError::FencedInstance;
    assert_eq!(group.ask(beat), GroupReply::Heartbeat(Err(error)));
    let mut commit = commit("g", &j, 1, "t", &[(0, 5)]);
    if let GroupCommand::CommitOffsets(commit) = &mut commit {
        commit.identity = fenced;
    }
    assert_eq!(group.ask(commit), GroupReply::CommitOffsets(Err(error)));
    assert_eq!(group.leave(&[(&j, Some("j"))]), Ok(vec![Some(error)]));
    let late = group.join(&Join { member: &j, ..back });
    assert_eq!(late.expect_err("refused").error, error);
}

/// KIP-814: the leader that comes back leads, and does not assign anew.
fn a_static_leader_comes_back_and_skips_the_assignment(mode: Mode) {
    let mut group = Harness::new(mode);
    let (i, _) = stable(&mut group);
    let back = Join {
        instance: Some("i"),
        subscription: "a",
        ..Join::default()
    };
    let joined = group.join(&back).expect("at once");
    assert!(joined.skip_assignment);
    assert_eq!(joined.members.len(), 2);
    assert_eq!(joined.leader.as_ref(), Some(&joined.member));

    // A client that knows nothing of that must not believe that it leads.
    let older = group.join(&Join { version: 8, ..back }).expect("at once");
    assert!(!older.skip_assignment && older.members.is_empty());
    assert_ne!(older.leader.as_ref(), Some(&older.member));
    assert_ne!(older.member.as_str(), i);
    assert_eq!(group.state("g"), "Stable");
}

fn a_change_of_protocol_rebalances(mode: Mode) {
    let mut group = Harness::new(mode);
    let protocols = &["range", "sticky"];
    let join = Join {
        protocols,
        ..Join::default()
    };
    let i = group.send_join(&Join {
        instance: Some("i"),
        ..join
    });
    let j = group.send_join(&Join {
        instance: Some("j"),
        ..join
    });
    group.gather(&[i, j]);
    let i = group
        .joined(i)
        .expect("it is let in")
        .member
        .as_str()
        .to_owned();
    let j = group
        .joined(j)
        .expect("it is let in")
        .member
        .as_str()
        .to_owned();
    let work = [(i.clone(), "x".to_owned()), (j.clone(), "y".to_owned())];
    group.sync_all(1, &[i.clone(), j], &work);
    let waiter = group.send_join(&Join {
        instance: Some("j"),
        protocols: &["sticky"],
        ..join
    });
    if mode == Mode::Reloaded {
        // A record keeps what was chosen, not what else a member can do.
        let refused = group.joined(waiter).expect_err("refused");
        assert_eq!(refused.error, GroupError::InconsistentProtocol);
        return;
    }
    assert!(group.waits(waiter));
    assert_eq!(group.state("g"), "PreparingRebalance");
    let again = group.send_join(&Join {
        member: &i,
        instance: Some("i"),
        ..join
    });
    let joined = group.joined(again).expect("everybody is there");
    assert_eq!(joined.protocol.as_deref(), Some("sticky"));
    group.joined(waiter).expect("everybody is there");
}

fn a_replacement_fences_who_waits(mode: Mode) {
    let mut group = Harness::new(mode);
    let first = group.send_join(&Join {
        instance: Some("i"),
        ..Join::default()
    });
    let second = group.send_join(&Join {
        instance: Some("i"),
        ..Join::default()
    });
    let fenced = group.joined(first).expect_err("another one came");
    assert_eq!(fenced.error, GroupError::FencedInstance);
    group.gather(&[second]);
    assert_eq!(group.joined(second).expect("it is let in").members.len(), 1);
}

/// Static laggards are kept: their session decides, not the rebalance.
fn a_static_member_that_stays_away_is_kept(mode: Mode) {
    let mut group = Harness::new(mode);
    let join = Join {
        session_ms: 120_000,
        rebalance_ms: 20_000,
        ..Join::default()
    };
    let i = group.send_join(&Join {
        instance: Some("i"),
        ..join
    });
    let j = group.send_join(&Join {
        instance: Some("j"),
        ..join
    });
    group.gather(&[i, j]);
    let i = group
        .joined(i)
        .expect("it is let in")
        .member
        .as_str()
        .to_owned();
    let j = group
        .joined(j)
        .expect("it is let in")
        .member
        .as_str()
        .to_owned();
    let work = [(i.clone(), "x".to_owned()), (j.clone(), "y".to_owned())];
    group.sync_all(1, &[i.clone(), j.clone()], &work);
    let waiter = group.send_join(&Join {
        member: &i,
        instance: Some("i"),
        subscription: "n",
        ..join
    });
    group.pass(19 * SECOND);
    assert!(group.waits(waiter));
    group.pass(SECOND);
    let joined = group.joined(waiter).expect("time is over");
    assert_eq!(joined.members.len(), 2, "the one that stays away counts");
}

fn an_administrator_removes_static_members_by_name(mode: Mode) {
    let mut group = Harness::new(mode);
    stable(&mut group);
    let left = group.leave(&[("", Some("j")), ("", Some("nobody"))]);
    assert_eq!(left, Ok(vec![None, Some(GroupError::UnknownMember)]));
    assert_eq!(group.state("g"), "PreparingRebalance");
}

twice!(
    a_static_member_comes_back_without_a_rebalance,
    a_static_leader_comes_back_and_skips_the_assignment,
    a_change_of_protocol_rebalances,
    a_replacement_fences_who_waits,
    a_static_member_that_stays_away_is_kept,
    an_administrator_removes_static_members_by_name,
);
