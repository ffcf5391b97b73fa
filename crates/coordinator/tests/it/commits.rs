use crate::harness::{Harness, Join, Mode, commit, fetch, fetched, twice};
use ottla_coordinator::Refusal;
use ottla_coordinator::group::{GroupCommand, GroupConfig, GroupError, GroupReply};

fn anybody_commits_to_an_empty_group(mode: Mode) {
    let mut group = Harness::new(mode);
    assert_eq!(group.commit_offset("", -1, 0, 7), Ok(()));
    assert_eq!(group.fetch_offset("g", "t", 0), Some(7));
    assert_eq!(group.fetch_offset("g", "t", 1), None);
    assert_eq!(group.fetch_offset("h", "t", 0), None);
    assert_eq!(
        group.commit_offset("", -1, 0, 3),
        Ok(()),
        "offsets may go back"
    );
    assert_eq!(group.fetch_offset("g", "t", 0), Some(3));
    let described = group.describe("g").expect("it made the group");
    assert_eq!(
        (described.state.name(), &*described.protocol_type),
        ("Empty", "")
    );
}

fn members_commit_in_their_generation(mode: Mode) {
    let mut group = Harness::new(mode);
    let (generation, ids) = group.stable(&["a", "b"]);
    assert_eq!(group.commit_offset(&ids[0], generation, 0, 1), Ok(()));
    let refused = |group: &mut Harness, member: &str, generation| {
        group
            .commit_offset(member, generation, 0, 99)
            .expect_err("refused")
    };
    assert_eq!(
        refused(&mut group, &ids[0], generation - 1),
        GroupError::IllegalGeneration
    );
    assert_eq!(
        refused(&mut group, &ids[0], generation + 1),
        GroupError::IllegalGeneration
    );
    assert_eq!(
        refused(&mut group, &ids[0], -1),
        GroupError::IllegalGeneration
    );
    assert_eq!(
        refused(&mut group, "who", generation),
        GroupError::UnknownMember
    );
    assert_eq!(
        refused(&mut group, "", generation),
        GroupError::UnknownMember
    );
    assert_eq!(refused(&mut group, "", -1), GroupError::UnknownMember);
    assert_eq!(group.fetch_offset("g", "t", 0), Some(1));

    // While the next generation gathers, the one before finishes its work.
    let waiter = group.send_join(&Join {
        member: &ids[0],
        subscription: "x",
        ..Join::default()
    });
    assert!(group.waits(waiter));
    assert_eq!(group.commit_offset(&ids[1], generation, 0, 2), Ok(()));
    let second = group.send_join(&Join {
        member: &ids[1],
        subscription: "x",
        ..Join::default()
    });
    group.joined(waiter).expect("everybody is there");
    group.joined(second).expect("everybody is there");
    assert_eq!(
        refused(&mut group, &ids[1], generation),
        GroupError::IllegalGeneration
    );
    assert_eq!(
        refused(&mut group, &ids[1], generation + 1),
        GroupError::RebalanceInProgress
    );
    assert_eq!(group.fetch_offset("g", "t", 0), Some(2));
}

fn a_group_that_is_not_there_has_no_generations(mode: Mode) {
    let mut group = Harness::new(mode);
    assert_eq!(
        group.commit_offset("m", 3, 0, 1),
        Err(GroupError::UnknownGroup)
    );
    let mut old = commit("g", "m", 3, "t", &[(0, 1)]);
    if let GroupCommand::CommitOffsets(old) = &mut old {
        old.understands_unknown_group = false;
    }
    let error = GroupError::IllegalGeneration;
    assert_eq!(group.ask(old), GroupReply::CommitOffsets(Err(error)));
    assert_eq!(group.state("g"), "Dead");
}

fn metadata_is_limited_in_characters(mode: Mode) {
    let config = GroupConfig {
        offset_metadata_units_max: 4,
        ..GroupConfig::default()
    };
    let mut group = Harness::with(mode, config);
    let mut ask = |metadata: &str| {
        let mut command = commit("g", "", -1, "t", &[(0, 1), (1, 2)]);
        if let GroupCommand::CommitOffsets(commit) = &mut command {
            commit.topics[0].partitions[0].metadata = metadata.into();
        }
        match group.ask(command) {
            GroupReply::CommitOffsets(Ok(results)) => results[0].clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask("\u{e4}\u{e4}\u{e4}\u{e4}"), [None, None]);
    // Java counts this one twice.
    let large = Some(GroupError::OffsetMetadataTooLarge);
    assert_eq!(ask("\u{1F600}\u{1F600}\u{1F600}"), [large, None]);
    assert_eq!(ask("12345"), [large, None]);
}

fn too_many_offsets_at_once_are_refused(mode: Mode) {
    let config = GroupConfig {
        record_bytes_max: 4000,
        ..GroupConfig::default()
    };
    let mut group = Harness::with(mode, config);
    let offsets: Vec<(i32, i64)> = (0..100).map(|partition| (partition, 1)).collect();
    let reply = group.ask(commit("g", "", -1, "t", &offsets));
    assert_eq!(
        reply,
        GroupReply::CommitOffsets(Err(GroupError::CommitTooLarge))
    );
    assert_eq!(group.state("g"), "Dead");
}

/// T7: what a crash can take back is not told, and what was acknowledged is not taken back.
fn nothing_is_told_before_it_is_committed(mode: Mode) {
    let mut group = Harness::new(mode);
    assert_eq!(group.commit_offset("", -1, 0, 1), Ok(()));
    let safe = group.log.end;
    group.commits = false;
    let committing = group.send(commit("g", "", -1, "t", &[(0, 2)]));
    let fetching = group.send(fetch("g", "t", 0));
    let describing = group.send(GroupCommand::Describe("g".into()));
    let listing = group.send(GroupCommand::List(None));
    let elsewhere = group.send(fetch("h", "t", 0));
    assert!(
        [committing, fetching, describing, listing]
            .iter()
            .all(|w| group.waits(*w))
    );
    assert_eq!(
        fetched(&group.reply(elsewhere)),
        None,
        "another group's business"
    );
    group.commits = true;
    group.commit();
    assert_eq!(fetched(&group.reply(fetching)), Some(2));

    group.commits = false;
    let lost = group.send(commit("g", "", -1, "t", &[(0, 3)]));
    let reading = group.send(fetch("g", "t", 0));
    group.crash(safe + 1);
    assert_eq!(group.take(lost), Some(Err(Refusal::NotCoordinator)));
    assert_eq!(group.take(reading), Some(Err(Refusal::NotCoordinator)));
    group.commits = true;
    assert_eq!(group.fetch_offset("g", "t", 0), Some(2));
}

/// T7 again: a commit that was reported as late is read all the same, never the offset before it.
fn a_late_commit_is_not_hidden(mode: Mode) {
    let mut group = Harness::new(mode);
    assert_eq!(group.commit_offset("", -1, 0, 1), Ok(()));
    group.commits = false;
    let late = group.send(commit("g", "", -1, "t", &[(0, 2)]));
    group.pass(std::time::Duration::from_secs(5));
    assert_eq!(group.take(late), Some(Err(Refusal::TimedOut)));
    let reading = group.send(fetch("g", "t", 0));
    assert!(
        group.waits(reading),
        "not the old one, and not yet the new one"
    );
    group.commit();
    assert_eq!(fetched(&group.reply(reading)), Some(2));
}

fn a_full_disk_stops_commits_and_nothing_else(mode: Mode) {
    let mut group = Harness::new(mode);
    let (generation, ids) = group.stable(&["a"]);
    assert_eq!(group.commit_offset(&ids[0], generation, 0, 1), Ok(()));
    group.log.is_full = true;
    let refused = group.send(commit("g", &ids[0], generation, "t", &[(0, 2)]));
    assert_eq!(group.take(refused), Some(Err(Refusal::Unavailable)));
    assert_eq!(group.heartbeat(&ids[0], generation), Ok(()));
    assert_eq!(group.fetch_offset("g", "t", 0), Some(1));
    // Nobody is lost meanwhile: what is due waits for room.
    group.pass(std::time::Duration::from_secs(60));
    assert_eq!(group.state("g"), "Stable");
    group.log.is_full = false;
    group.pass(std::time::Duration::from_secs(12));
    assert_eq!(group.state("g"), "Empty");
    assert_eq!(group.commit_offset("", -1, 0, 3), Ok(()));
}

fn a_failed_append_ends_the_shard(mode: Mode) {
    let mut group = Harness::new(mode);
    let (_, waiter) = group.arrive(&Join::default());
    group.log.is_failing = true;
    let failed = group.send(commit("h", "", -1, "t", &[(0, 2)]));
    let sent_away = Some(Err(Refusal::NotCoordinator));
    assert_eq!(group.take(failed), sent_away);
    assert_eq!(group.take(waiter), sent_away, "whoever waits is sent away");
    assert!(group.shard.is_gone());
    let late = group.send_on_gone(fetch("h", "t", 0));
    assert_eq!(group.take(late), sent_away);
    group.log.is_failing = false;
    group.reload();
    assert_eq!(group.fetch_offset("h", "t", 0), None);
}

twice!(
    anybody_commits_to_an_empty_group,
    members_commit_in_their_generation,
    a_group_that_is_not_there_has_no_generations,
    metadata_is_limited_in_characters,
    too_many_offsets_at_once_are_refused,
    nothing_is_told_before_it_is_committed,
    a_late_commit_is_not_hidden,
    a_full_disk_stops_commits_and_nothing_else,
    a_failed_append_ends_the_shard,
);

#[test]
fn requests_that_commit_something_are_counted() {
    let mut group = Harness::new(Mode::Steady);
    let (generation, ids) = group.stable(&["a"]);
    assert_eq!(group.commit_offset(&ids[0], generation, 0, 1), Ok(()));
    assert_eq!(group.commit_offset(&ids[0], generation, 0, 2), Ok(()));
    let refused = group.commit_offset("who", generation, 0, 3);
    assert_eq!(refused, Err(GroupError::UnknownMember));
    let mut commits = group.shard.machine().commits();
    assert_eq!(commits.next().map(|(_, count)| count), Some(2));
}
