use crate::harness::{Harness, START, batch, batch_with, read};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_protocol::messages::list_offsets_response::ListOffsetsResponse;
use ottla_protocol::messages::offset_for_leader_epoch_request as ofle;
use ottla_protocol::messages::offset_for_leader_epoch_response::OffsetForLeaderEpochResponse;
use ottla_records::Codec;

/// `(error, offset, timestamp, epoch)`.
fn list(harness: &mut Harness, version: i16, timestamps: &[i64]) -> Vec<(i16, i64, i64, i32)> {
    let partitions = timestamps.iter().map(|timestamp| ListOffsetsPartition {
        partition_index: 0,
        current_leader_epoch: -1,
        timestamp: *timestamp,
    });
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "t".into(),
            partitions: partitions.collect(),
        }],
        ..ListOffsetsRequest::default()
    };
    harness.call(ApiKey::ListOffsets, version, &request, |body| {
        let response: ListOffsetsResponse<'_> = read(body, version);
        let partitions = response.topics[0].partitions.iter();
        partitions
            .map(|p| (p.error_code, p.offset, p.timestamp, p.leader_epoch))
            .collect()
    })
}

fn one(harness: &mut Harness, version: i16, timestamp: i64) -> (i16, i64, i64, i32) {
    list(harness, version, &[timestamp])[0]
}

/// Offsets 0..6: three batches of two records at START+0, +1, +10, +11, +5, +6 of epochs 0 and 1.
fn filled() -> Harness {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    harness
        .produce("t", 0, &batch_with(Codec::None, &["a", "b"], START))
        .expect("appended");
    harness
        .produce("t", 0, &batch_with(Codec::Lz4, &["c", "d"], START + 10))
        .expect("appended");
    let mut harness = harness.restart();
    harness
        .produce("t", 0, &batch_with(Codec::None, &["e", "f"], START + 5))
        .expect("appended");
    harness
}

#[test]
fn ends_are_listed_in_every_version() {
    let mut harness = filled();
    for version in 1..=11 {
        let epoch = |epoch| if 4 <= version { epoch } else { -1 };
        assert_eq!(
            one(&mut harness, version, -1),
            (0, 6, -1, epoch(1)),
            "latest"
        );
        assert_eq!(
            one(&mut harness, version, -2),
            (0, 0, -1, epoch(0)),
            "earliest"
        );
    }
}

#[test]
fn special_timestamps_need_their_version() {
    let mut harness = filled();
    for (timestamp, first, expected) in [
        (-3, 7, (0, 3, START + 11, 0)),
        (-4, 8, (0, 0, -1, 0)),
        (-5, 9, (0, -1, -1, -1)),
        (-6, 11, (0, -1, -1, -1)),
    ] {
        assert_eq!(
            one(&mut harness, first - 1, timestamp),
            (35, -1, -1, -1),
            "{timestamp}"
        );
        assert_eq!(one(&mut harness, first, timestamp), expected, "{timestamp}");
    }
    assert_eq!(one(&mut harness, 11, -7), (35, -1, -1, -1));
}

#[test]
fn times_give_the_first_record_at_or_after_them() {
    let mut harness = filled();
    for (timestamp, expected) in [
        (0, (0, 0, START, 0)),
        (START + 1, (0, 1, START + 1, 0)),
        (START + 2, (0, 2, START + 10, 0)),
        (START + 11, (0, 3, START + 11, 0)),
        (START + 12, (0, -1, -1, -1)),
    ] {
        assert_eq!(one(&mut harness, 6, timestamp), expected, "{timestamp}");
    }
}

#[test]
fn a_partition_asked_for_twice_is_refused() {
    let mut harness = filled();
    assert_eq!(list(&mut harness, 6, &[-1, -2]), [(42, -1, -1, -1)]);
}

#[test]
fn what_is_not_durable_is_not_listed() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let bytes = batch(&["x"]);
    harness.send(
        ApiKey::Produce,
        9,
        &crate::harness::produce_request("t", 0, &bytes, 0),
    );
    assert_eq!(one(&mut harness, 7, -1), (0, 0, -1, 0));
    assert_eq!(one(&mut harness, 7, START), (0, -1, -1, -1));
    assert_eq!(one(&mut harness, 7, -3), (0, -1, -1, -1));
    harness.settle();
    assert_eq!(one(&mut harness, 7, -1), (0, 1, -1, 0));
}

#[test]
fn epochs_have_ends() {
    let mut harness = filled();
    let mut ask = |version: i16, current_leader_epoch, leader_epoch| {
        let request = ofle::OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics: vec![ofle::OffsetForLeaderTopic {
                topic: "t".into(),
                partitions: vec![ofle::OffsetForLeaderPartition {
                    partition: 0,
                    current_leader_epoch,
                    leader_epoch,
                }],
            }],
        };
        harness.call(ApiKey::OffsetForLeaderEpoch, version, &request, |body| {
            let response: OffsetForLeaderEpochResponse<'_> = read(body, version);
            let answer = &response.topics[0].partitions[0];
            (answer.error_code, answer.leader_epoch, answer.end_offset)
        })
    };
    for version in 2..=4 {
        assert_eq!(ask(version, -1, 0), (0, 0, 4));
        assert_eq!(ask(version, 1, 1), (0, 1, 6));
        assert_eq!(ask(version, 1, 5), (0, -1, -1), "nobody led in it");
        assert_eq!(ask(version, 0, 0), (74, -1, -1));
        assert_eq!(ask(version, 2, 0), (75, -1, -1));
    }
}
