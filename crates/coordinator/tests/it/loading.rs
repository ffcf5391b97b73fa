use crate::harness::{Harness, MemoryLog, Mode, START, commit, start};
use ottla_coordinator::group::{
    GroupCommand, GroupConfig, GroupCoordinator, GroupError, GroupReply,
};
use ottla_coordinator::{Refusal, Shard, ShardOptions, Waiter};
use ottla_protocol::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use ottla_protocol::messages::offset_commit_value::OffsetCommitValue;
use ottla_protocol::{Message, Writer};
use ottla_records::{BatchBuilder, Codec, Compressor, Decompressor};
use ottla_types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use std::sync::Arc;

fn key(record_type: i16, texts: &[&str], partition: Option<i32>) -> Vec<u8> {
    let mut key = record_type.to_be_bytes().to_vec();
    for text in texts {
        key.extend((text.len() as i16).to_be_bytes());
        key.extend(text.as_bytes());
    }
    key.extend(partition.into_iter().flat_map(i32::to_be_bytes));
    key
}

fn value<'m>(version: i16, message: &impl Message<'m>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.i16(version);
    message.encode(&mut writer, version).expect("well formed");
    writer.into_buf()
}

fn offset(version: i16, offset: i64) -> Vec<u8> {
    let message = OffsetCommitValue {
        offset,
        commit_timestamp: START,
        ..OffsetCommitValue::default()
    };
    value(version, &message)
}

fn on(log: MemoryLog) -> Harness {
    Harness::on(Mode::Steady, GroupConfig::default(), log)
}

#[test]
fn offsets_of_every_age_are_read() {
    let mut log = MemoryLog::default();
    for version in 0..=4 {
        let partition = Some(i32::from(version));
        let record_type = i16::from(version != 0);
        let key = key(record_type, &["g", "t"], partition);
        log.push(&key, Some(&offset(version, 100 + i64::from(version))));
    }
    let mut group = on(log);
    for version in 0..=4 {
        let found = group.fetch_offset("g", "t", version);
        assert_eq!(found, Some(100 + i64::from(version)));
    }
}

#[test]
fn groups_of_every_age_are_read() {
    for version in 0..=4 {
        let mut log = MemoryLog::default();
        let message = GroupMetadataValue {
            protocol_type: "consumer".into(),
            generation: 5,
            protocol: Some("range".into()),
            leader: Some("m-1".into()),
            current_state_timestamp: START,
            members: vec![MemberMetadata {
                member_id: "m-1".into(),
                client_id: "c".into(),
                client_host: "/1.2.3.4".into(),
                session_timeout: 10_000,
                rebalance_timeout: 20_000,
                subscription: crate::harness::subscription(&["t"]).to_vec().into(),
                assignment: b"work".as_slice().into(),
                ..MemberMetadata::default()
            }],
        };
        log.push(&key(2, &["g"], None), Some(&value(version, &message)));
        let mut group = on(log);
        let described = group.describe("g").expect("it is there");
        assert_eq!(described.state.name(), "Stable");
        assert_eq!(described.generation, 5);
        assert_eq!(&*described.members[0].assignment, b"work");
        assert_eq!(group.heartbeat("m-1", 5), Ok(()));
        group.pass(std::time::Duration::from_secs(11));
        assert_eq!(group.state("g"), "Empty", "its session is counted anew");
    }
}

#[test]
fn tombstones_remove_what_they_name() {
    let mut log = MemoryLog::default();
    let offset_key = key(1, &["g", "t"], Some(0));
    log.push(&offset_key, Some(&offset(3, 1)));
    log.push(&key(1, &["g", "t"], Some(1)), Some(&offset(3, 2)));
    log.push(&offset_key, None);
    log.push(&key(1, &["h", "t"], Some(0)), Some(&offset(3, 1)));
    log.push(&key(1, &["h", "t"], Some(0)), None);
    log.push(&key(2, &["h"], None), None);
    let mut group = on(log);
    assert_eq!(group.fetch_offset("g", "t", 0), None);
    assert_eq!(group.fetch_offset("g", "t", 1), Some(2));
    assert_eq!(group.state("h"), "Dead");
}

/// Newer kinds of groups, control records and records without keys are not ours to read.
#[test]
fn what_is_not_ours_is_left_alone() {
    let mut log = MemoryLog::default();
    log.push(&key(3, &["new"], None), Some(&[0, 0, 0, 0, 0, 1]));
    log.push(&key(99, &["newer"], None), Some(b"?"));
    let control = BatchBuilder::new(Codec::None).control().producer(
        ProducerId::new(1),
        ProducerEpoch::new(0),
        Sequence::new(0),
    );
    let mut control = control;
    control.push(
        Timestamp::from_millis(START),
        Some(&[0, 0, 0, 1]),
        Some(&[0; 6]),
        &[],
    );
    log.push_batch(&control.finish(&mut Compressor::default()));
    let mut keyless = BatchBuilder::new(Codec::None);
    keyless.push(Timestamp::from_millis(START), None, Some(b"?"), &[]);
    log.push_batch(&keyless.finish(&mut Compressor::default()));
    let group = on(log);
    assert_eq!(group.shard.machine().groups_count(), 0);
    assert_eq!(group.shard.machine().foreign_count(), 2);
}

/// What came before about the same thing stays; everything else is as if it were not there.
#[test]
fn a_record_that_cannot_be_read_is_passed_over() {
    for (key, value) in [
        (key(1, &["g", "t"], Some(0)), vec![0, 9, 1]),
        (key(1, &["g"], None), offset(3, 1)),
        (key(2, &["g"], None), vec![0, 3, 0]),
        (vec![0], vec![]),
    ] {
        let mut log = MemoryLog::default();
        log.push(&self::key(1, &["g", "t"], Some(0)), Some(&offset(3, 5)));
        log.push(&key, Some(&value));
        log.push(&self::key(1, &["h", "t"], Some(0)), Some(&offset(3, 6)));
        let mut group = on(log);
        assert_eq!(group.shard.unreadable_count(), 1, "{key:?}");
        assert_eq!(group.fetch_offset("g", "t", 0), Some(5));
        assert_eq!(group.fetch_offset("h", "t", 0), Some(6));
    }
}

/// Only somebody else's record can say so; it must not end the process.
#[test]
fn who_is_named_twice_is_the_last_one_named() {
    let member =
        |id: &'static str, instance: Option<&'static str>, host: &'static str| MemberMetadata {
            member_id: id.into(),
            group_instance_id: instance.map(Into::into),
            client_id: "c".into(),
            client_host: host.into(),
            session_timeout: 10_000,
            rebalance_timeout: 20_000,
            subscription: crate::harness::subscription(&["t"]).to_vec().into(),
            ..MemberMetadata::default()
        };
    let message = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 5,
        protocol: Some("range".into()),
        leader: Some("a".into()),
        current_state_timestamp: START,
        members: vec![
            member("a", Some("i"), "/1"),
            member("b", None, "/2"),
            member("c", Some("i"), "/3"),
            member("b", Some("j"), "/4"),
        ],
    };
    let mut log = MemoryLog::default();
    log.push(&key(2, &["g"], None), Some(&value(3, &message)));
    let mut group = on(log);
    group.shard.machine().check();
    let described = group.describe("g").expect("it is there");
    let hosts = described.members.iter();
    let hosts: Vec<&str> = hosts.map(|member| &*member.client_host).collect();
    assert_eq!(hosts, ["/4", "/3"]);
    assert_eq!(group.heartbeat("a", 5), Err(GroupError::UnknownMember));
    assert_eq!(group.heartbeat("c", 5), Ok(()));
}

#[test]
fn who_asks_too_early_is_told_to_wait() {
    let machine = GroupCoordinator::new(Arc::default(), 1);
    let end = Offset::new(10);
    let mut shard = Shard::new(machine, ShardOptions::default(), Offset::ZERO, end);
    let mut log = MemoryLog::default();
    assert_eq!(shard.load_range(), Some((Offset::ZERO, end)));
    assert_eq!(shard.next_deadline(), None);
    let waiter = Waiter::new(1);
    shard.execute(
        waiter,
        commit("g", "", -1, "t", &[(0, 1)]),
        &mut log,
        start(),
    );
    assert_eq!(shard.take_answers(), [(waiter, Err(Refusal::Loading))]);
    let nothing = &mut Decompressor::default();
    shard
        .load(&[], Offset::new(4), nothing)
        .expect("nothing to read");
    assert_eq!(shard.load_range(), Some((Offset::new(4), end)));
    shard.load(&[], end, nothing).expect("nothing to read");
    assert_eq!(shard.load_range(), None);
    shard.execute(
        waiter,
        commit("g", "", -1, "t", &[(0, 1)]),
        &mut log,
        start(),
    );
    assert_eq!(shard.take_answers(), [(waiter, Err(Refusal::Loading))]);
    let due = shard.next_deadline().expect("it wants to know the time");
    assert!(due <= start().mono);
    shard.tick(&mut log, start());
    assert!(shard.is_serving());
    // What was loaded is not told before it is committed either.
    shard.execute(
        waiter,
        GroupCommand::Describe("g".into()),
        &mut log,
        start(),
    );
    assert!(shard.take_answers().is_empty());
    shard.committed(Offset::new(9));
    assert!(shard.take_answers().is_empty());
    shard.committed(end);
    assert_eq!(
        shard.take_answers(),
        [(waiter, Ok(GroupReply::Describe(None)))]
    );
}

/// A limit that was lowered while the group was loaded: everybody may commit, then some must go.
#[test]
fn a_group_over_its_limit_rebalances() {
    let mut group = Harness::new(Mode::Steady);
    let (generation, ids) = group.stable(&["a", "b", "c"]);
    let log = group.log.clone();
    let config = GroupConfig {
        members_count_max: 2,
        ..GroupConfig::default()
    };
    let mut group = Harness::on(Mode::Steady, config, log);
    assert_eq!(group.state("g"), "PreparingRebalance");
    assert_eq!(group.commit_offset(&ids[0], generation, 0, 1), Ok(()));
    let join = |member| crate::harness::Join {
        member,
        ..Default::default()
    };
    let first = group.send_join(&join(&ids[0]));
    let second = group.send_join(&join(&ids[1]));
    let third = group.join(&join(&ids[2])).expect_err("no place is left");
    assert_eq!(third.error, GroupError::GroupFull);
    group.gather(&[first, second]);
    assert_eq!(
        group.joined(first).expect("let in").generation,
        generation + 1
    );
}

/// Many groups in one shard: each with a member, an offset and sessions that run.
#[test]
fn many_groups_are_loaded_and_swept_in_pieces() {
    let mut log = MemoryLog::default();
    for number in 0..3000 {
        let group = format!("g{number}");
        log.push(&key(1, &[&group, "t"], Some(0)), Some(&offset(3, number)));
    }
    let mut group = on(log);
    assert_eq!(group.shard.machine().groups_count(), 3000);
    assert_eq!(group.fetch_offset("g2999", "t", 0), Some(2999));
    group.pass(std::time::Duration::from_secs(8 * 24 * 60 * 60));
    assert_eq!(group.shard.machine().groups_count(), 0, "they were swept");
    let log = group.log.compacted();
    assert_eq!(on(log).shard.machine().groups_count(), 0);
}
