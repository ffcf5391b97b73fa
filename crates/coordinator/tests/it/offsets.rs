use crate::harness::{Harness, Join, Mode, commit, fetch, fetched, topic_id, twice};
use ottla_coordinator::group::{
    DeleteOffsets, FetchOffsets, GroupCommand, GroupError, GroupReply, GroupState, TopicPartitions,
};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn what_was_committed_is_fetched_whole(mode: Mode) {
    let mut group = Harness::new(mode);
    let reply = group.ask(commit("g", "", -1, "t", &[(0, 5), (3, 6)]));
    assert_eq!(reply, GroupReply::CommitOffsets(Ok(vec![vec![None, None]])));
    group.ask(commit("g", "", -1, "u", &[(1, 7)]));
    let all = GroupCommand::FetchOffsets(FetchOffsets {
        group: "g".into(),
        topics: None,
    });
    let GroupReply::FetchOffsets(topics) = group.ask(all) else {
        panic!("offsets were asked for");
    };
    let told: Vec<(String, i32, i64)> = topics
        .iter()
        .flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|(partition, offset)| {
                let offset = offset.as_ref().expect("only those that are there");
                assert_eq!(offset.leader_epoch, Some(3));
                assert_eq!(&*offset.metadata, "m");
                assert_eq!(offset.topic_id, Some(topic_id(&topic.name)));
                (topic.name.to_string(), *partition, offset.offset)
            })
        })
        .collect();
    let name = str::to_owned;
    assert_eq!(
        told,
        [(name("t"), 0, 5), (name("t"), 3, 6), (name("u"), 1, 7)]
    );
}

fn delete_topic(group: &mut Harness, topic: &str) -> Result<Option<GroupError>, GroupError> {
    let command = GroupCommand::DeleteOffsets(DeleteOffsets {
        group: "g".into(),
        topics: vec![TopicPartitions {
            name: topic.into(),
            partitions: vec![0],
        }],
    });
    match group.ask(command) {
        GroupReply::DeleteOffsets(result) => result.map(|results| results[0][0]),
        other => panic!("{other:?}"),
    }
}

fn offsets_that_members_read_are_not_deleted(mode: Mode) {
    let mut group = Harness::new(mode);
    assert_eq!(delete_topic(&mut group, "t"), Err(GroupError::UnknownGroup));
    let (generation, ids) = group.stable(&["t"]);
    group.ask(commit("g", &ids[0], generation, "t", &[(0, 1)]));
    group.ask(commit("g", &ids[0], generation, "u", &[(0, 2)]));
    let read = Some(GroupError::SubscribedToTopic);
    assert_eq!(delete_topic(&mut group, "t"), Ok(read));
    assert_eq!(delete_topic(&mut group, "u"), Ok(None));
    assert_eq!(delete_topic(&mut group, "nothing"), Ok(None));
    assert_eq!(group.fetch_offset("g", "t", 0), Some(1));
    assert_eq!(group.fetch_offset("g", "u", 0), None);
    assert_eq!(group.leave(&[(&ids[0], None)]), Ok(vec![None]));
    assert_eq!(delete_topic(&mut group, "t"), Ok(None));
    assert_eq!(group.fetch_offset("g", "t", 0), None);
}

fn nobody_knows_what_members_of_other_types_read(mode: Mode) {
    let mut group = Harness::new(mode);
    let (_, waiter) = group.arrive(&Join {
        protocol_type: "connect",
        protocols: &["compatible"],
        ..Join::default()
    });
    group.gather(&[waiter]);
    assert_eq!(
        delete_topic(&mut group, "t"),
        Err(GroupError::NonEmptyGroup)
    );
}

fn a_group_goes_with_its_offsets(mode: Mode) {
    let mut group = Harness::new(mode);
    let delete = || GroupCommand::Delete("g".into());
    let unknown = GroupReply::Delete(Err(GroupError::UnknownGroup));
    assert_eq!(group.ask(delete()), unknown);
    let (generation, ids) = group.stable(&["t"]);
    group.ask(commit("g", &ids[0], generation, "t", &[(0, 1)]));
    let refused = GroupReply::Delete(Err(GroupError::NonEmptyGroup));
    assert_eq!(group.ask(delete()), refused);
    assert_eq!(group.leave(&[(&ids[0], None)]), Ok(vec![None]));
    assert_eq!(group.ask(delete()), GroupReply::Delete(Ok(())));
    assert_eq!(group.state("g"), "Dead");
    assert_eq!(group.fetch_offset("g", "t", 0), None);
    assert_eq!(group.ask(delete()), unknown);
}

/// That there is no group is said only once it is certain (T7).
fn a_deletion_is_certain_before_it_is_told(mode: Mode) {
    let mut group = Harness::new(mode);
    assert_eq!(group.commit_offset("", -1, 0, 1), Ok(()));
    group.commits = false;
    let deleting = group.send(GroupCommand::Delete("g".into()));
    let reading = group.send(fetch("g", "t", 0));
    let describing = group.send(GroupCommand::Describe("g".into()));
    assert!(
        [deleting, reading, describing]
            .iter()
            .all(|waiter| group.waits(*waiter))
    );
    group.commit();
    assert_eq!(group.reply(deleting), GroupReply::Delete(Ok(())));
    assert_eq!(fetched(&group.reply(reading)), None);
}

fn groups_are_listed_by_state(mode: Mode) {
    let mut group = Harness::new(mode);
    group.ask(commit("simple", "", -1, "t", &[(0, 1)]));
    group.stable(&["t"]);
    let mut list = |states: Option<Vec<GroupState>>| match group.ask(GroupCommand::List(states)) {
        GroupReply::List(groups) => groups
            .into_iter()
            .map(|group| format!("{} {} {}", group.group, group.protocol_type, group.state))
            .collect::<Vec<String>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(list(None), ["g consumer Stable", "simple  Empty"]);
    assert_eq!(list(Some(vec![GroupState::Empty])), ["simple  Empty"]);
    assert_eq!(list(Some(vec![GroupState::Stable])), ["g consumer Stable"]);
    assert!(list(Some(Vec::new())).is_empty());
}

/// KIP-211: the time counts from when the last member left.
fn offsets_outlive_their_group_for_a_while(mode: Mode) {
    let mut group = Harness::new(mode);
    let (generation, ids) = group.stable(&["t"]);
    group.ask(commit("g", &ids[0], generation, "t", &[(0, 1)]));
    // Read for ten days; the offset is old, and stays.
    for _ in 0..10 * 24 * 60 * 10 {
        group.now.mono = group.now.mono.plus(Duration::from_secs(6));
        group.now.wall = ottla_types::Timestamp::from_millis(group.now.wall.as_millis() + 6000);
        if group.mode == Mode::Steady {
            assert_eq!(group.heartbeat(&ids[0], generation), Ok(()));
            group.pass(Duration::ZERO);
        }
    }
    assert_eq!(group.heartbeat(&ids[0], generation), Ok(()));
    assert_eq!(group.fetch_offset("g", "t", 0), Some(1));
    assert_eq!(group.leave(&[(&ids[0], None)]), Ok(vec![None]));
    group.pass(6 * DAY);
    assert_eq!(group.fetch_offset("g", "t", 0), Some(1));
    group.pass(DAY + Duration::from_secs(3600));
    assert_eq!(group.fetch_offset("g", "t", 0), None);
    assert_eq!(group.state("g"), "Dead", "nothing of it is left");
}

fn offsets_without_members_expire_by_their_own_age(mode: Mode) {
    let mut group = Harness::new(mode);
    group.ask(commit("g", "", -1, "t", &[(0, 1)]));
    group.pass(4 * DAY);
    group.ask(commit("g", "", -1, "t", &[(1, 1)]));
    group.pass(4 * DAY);
    assert_eq!(group.fetch_offset("g", "t", 0), None);
    assert_eq!(group.fetch_offset("g", "t", 1), Some(1));
    group.pass(4 * DAY);
    assert_eq!(group.state("g"), "Dead");
}

fn an_old_client_says_how_long(mode: Mode) {
    let mut group = Harness::new(mode);
    let mut command = commit("g", "", -1, "t", &[(0, 1)]);
    if let GroupCommand::CommitOffsets(commit) = &mut command {
        commit.retention = Some(DAY);
    }
    group.ask(command);
    group.ask(commit("g", "", -1, "t", &[(1, 1)]));
    group.pass(DAY + Duration::from_secs(3600));
    assert_eq!(group.fetch_offset("g", "t", 0), None);
    assert_eq!(group.fetch_offset("g", "t", 1), Some(1));
}

/// T31: a topic that is made again under its name begins without offsets.
fn offsets_go_with_their_topic(mode: Mode) {
    let mut group = Harness::new(mode);
    group.ask(commit("g", "", -1, "t", &[(0, 1), (1, 2)]));
    group.ask(commit("h", "", -1, "t", &[(0, 3)]));
    group.ask(commit("h", "", -1, "u", &[(0, 4)]));
    let other = GroupCommand::ForgetTopic {
        name: "t".into(),
        id: topic_id("x"),
    };
    assert_eq!(group.ask(other), GroupReply::Done);
    assert_eq!(
        group.fetch_offset("g", "t", 0),
        Some(1),
        "that was another topic"
    );
    let gone = GroupCommand::ForgetTopic {
        name: "t".into(),
        id: topic_id("t"),
    };
    assert_eq!(group.ask(gone), GroupReply::Done);
    assert_eq!(group.fetch_offset("g", "t", 0), None);
    assert_eq!(group.fetch_offset("g", "t", 1), None);
    assert_eq!(group.fetch_offset("h", "t", 0), None);
    assert_eq!(group.fetch_offset("h", "u", 0), Some(4));
}

twice!(
    what_was_committed_is_fetched_whole,
    offsets_that_members_read_are_not_deleted,
    nobody_knows_what_members_of_other_types_read,
    a_group_goes_with_its_offsets,
    a_deletion_is_certain_before_it_is_told,
    groups_are_listed_by_state,
    offsets_outlive_their_group_for_a_while,
    offsets_without_members_expire_by_their_own_age,
    an_old_client_says_how_long,
    offsets_go_with_their_topic,
);
