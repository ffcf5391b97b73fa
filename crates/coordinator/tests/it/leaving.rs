use crate::harness::{Harness, Join, Mode, Sync, twice};
use ottla_coordinator::group::GroupError;

fn who_leaves_is_not_waited_for(mode: Mode) {
    let mut group = Harness::new(mode);
    let (generation, ids) = group.stable(&["a", "b"]);
    assert_eq!(group.leave(&[(&ids[1], None)]), Ok(vec![None]));
    assert_eq!(
        group.heartbeat(&ids[0], generation),
        Err(GroupError::RebalanceInProgress)
    );
    let again = group.join(&Join {
        member: &ids[0],
        subscription: "a",
        ..Join::default()
    });
    assert_eq!(again.expect("alone").generation, generation + 1);
}

fn many_leave_at_once_each_with_its_own_answer(mode: Mode) {
    let mut group = Harness::new(mode);
    let (_, ids) = group.stable(&["a", "b"]);
    let left = group.leave(&[
        (&ids[0], None),
        ("who", None),
        ("", Some("i")),
        ("", None),
        (&ids[1], None),
    ]);
    let unknown = Some(GroupError::UnknownMember);
    assert_eq!(left, Ok(vec![None, unknown, unknown, unknown, None]));
    assert_eq!(group.state("g"), "Empty");
    assert_eq!(group.leave(&[(&ids[0], None)]), Ok(vec![unknown]));
}

fn leaving_a_group_that_is_not_there_is_refused(mode: Mode) {
    let mut group = Harness::new(mode);
    assert_eq!(
        group.leave(&[("who", None)]),
        Err(GroupError::UnknownMember)
    );
}

fn a_member_that_was_only_given_an_id_can_leave(mode: Mode) {
    let mut group = Harness::new(mode);
    let id = group
        .join(&Join::default())
        .expect_err("it needs an id")
        .member;
    let id = id.expect("an id");
    assert_eq!(group.leave(&[(id.as_str(), None)]), Ok(vec![None]));
    let late = group.join(&Join {
        member: id.as_str(),
        ..Join::default()
    });
    assert_eq!(late.expect_err("refused").error, GroupError::UnknownMember);
}

fn who_leaves_while_it_waits_is_told(mode: Mode) {
    let mut group = Harness::new(mode);
    let (a, first) = group.arrive(&Join::default());
    let (b, second) = group.arrive(&Join::default());
    assert_eq!(group.leave(&[(&a, None)]), Ok(vec![None]));
    assert_eq!(
        group.joined(first).expect_err("gone").error,
        GroupError::UnknownMember
    );
    group.gather(&[second]);
    let joined = group.joined(second).expect("it is let in");
    assert_eq!(joined.leader.expect("one").as_str(), b);
    let (c, third) = group.arrive(&Join {
        subscription: "c",
        ..Join::default()
    });
    let again = group.send_join(&Join {
        member: &b,
        ..Join::default()
    });
    group.joined(again).expect("everybody is there");
    group.joined(third).expect("everybody is there");
    let waiter = group.send_sync(&Sync {
        member: &c,
        generation: 2,
        ..Sync::default()
    });
    assert_eq!(group.leave(&[(&c, None)]), Ok(vec![None]));
    assert_eq!(group.synced(waiter), Err(GroupError::UnknownMember));
}

twice!(
    who_leaves_is_not_waited_for,
    many_leave_at_once_each_with_its_own_answer,
    leaving_a_group_that_is_not_there_is_refused,
    a_member_that_was_only_given_an_id_can_leave,
    who_leaves_while_it_waits_is_told,
);
