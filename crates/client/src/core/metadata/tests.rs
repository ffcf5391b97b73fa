use super::*;
use crate::core::call::CallFailure;
use bytes::Bytes;
use ottla_protocol::Writer;
use ottla_types::Uuid;
use std::borrow::Cow;

const T0: Mono = Mono::from_millis(1_000);

fn response(id: u128, parts: &[(i32, i32)]) -> Answer {
    let partitions = parts
        .iter()
        .enumerate()
        .map(
            |(index, (leader_id, leader_epoch))| MetadataResponsePartition {
                partition_index: index as i32,
                leader_id: *leader_id,
                leader_epoch: *leader_epoch,
                ..Default::default()
            },
        );
    let response = MetadataResponse {
        brokers: (1..3)
            .map(|node_id| MetadataResponseBroker {
                node_id,
                host: Cow::Borrowed("localhost"),
                port: 9000 + node_id,
                rack: None,
            })
            .collect(),
        topics: vec![MetadataResponseTopic {
            name: Some(Cow::Borrowed("t")),
            topic_id: Uuid::from_bytes(id.to_be_bytes()),
            // Out of order, as brokers may send them.
            partitions: partitions.rev().collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut writer = Writer::new();
    response.encode(&mut writer, 12).unwrap();
    Answer::Response {
        version: 12,
        body: Bytes::from(writer.into_buf()),
    }
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::new(true, Duration::from_secs(300), Backoff::default());
    metadata.want(&Arc::from("t"), T0);
    metadata
}

fn leader(metadata: &Metadata, partition: i32) -> Option<(i32, i32)> {
    let (broker, epoch) = metadata.leader(&PartitionKey::new("t", partition))?;
    Some((broker.id.get(), epoch.map_or(-1, LeaderEpoch::get)))
}

#[test]
fn leaders_come_with_the_answer_and_terms_never_go_back() {
    let (mut metadata, mut prng) = (metadata(), Prng::new(1));
    assert!(metadata.poll(T0).is_some());
    assert!(metadata.poll(T0).is_none(), "one request at a time");
    metadata.on_answer(&response(7, &[(1, 5), (2, 5)]), T0, &mut prng);
    assert_eq!(metadata.partitions_count("t"), Some(2));
    assert_eq!(
        (leader(&metadata, 0), leader(&metadata, 1)),
        (Some((1, 5)), Some((2, 5)))
    );
    assert_eq!(
        metadata.next_deadline(),
        Some(T0.plus(Duration::from_secs(300)))
    );
    // A broker that lags behind answers with an older term for one and a newer for the other.
    metadata.on_answer(&response(7, &[(2, 4), (1, 6)]), T0, &mut prng);
    assert_eq!(
        (leader(&metadata, 0), leader(&metadata, 1)),
        (Some((1, 5)), Some((1, 6)))
    );
    // Created again: terms begin again.
    metadata.on_answer(&response(8, &[(2, 0), (2, 0)]), T0, &mut prng);
    assert_eq!(leader(&metadata, 0), Some((2, 0)));
    assert_eq!(leader(&metadata, 2), None);
    assert_eq!(leader(&metadata, -1), None);
}

#[test]
fn failures_are_repeated_with_growing_waits() {
    let (mut metadata, mut prng) = (metadata(), Prng::new(1));
    let mut now = T0;
    let mut waits = Vec::new();
    for _ in 0..6 {
        assert!(metadata.poll(now).is_some());
        let lost = CallFailure::Lost {
            reason: "reset".to_owned(),
        };
        metadata.on_answer(&Answer::Failed(lost), now, &mut prng);
        let next = metadata.next_deadline().unwrap();
        waits.push(next.since(now));
        now = next;
    }
    assert!(waits[0] < waits[2] && waits[2] < waits[4], "{waits:?}");
    assert_eq!(metadata.last_failure(), Some("reset"));
    assert!(metadata.poll(now).is_some());
    metadata.on_answer(&response(7, &[(-1, 1)]), now, &mut prng);
    assert!(
        metadata.next_deadline().unwrap().since(now) < Duration::from_secs(2),
        "no leader yet"
    );
}

#[test]
fn a_hint_moves_the_leader_only_forward() {
    let (mut metadata, mut prng) = (metadata(), Prng::new(1));
    metadata.poll(T0);
    metadata.on_answer(&response(7, &[(1, 5)]), T0, &mut prng);
    let key = PartitionKey::new("t", 0);
    // The default of an unset hint must not lead anywhere.
    metadata.on_leader_hint(&key, -1, -1, None);
    metadata.on_leader_hint(&key, 2, 4, None);
    metadata.on_leader_hint(&key, 9, 8, None);
    assert_eq!(leader(&metadata, 0), Some((1, 5)));
    metadata.on_leader_hint(&key, 2, 6, None);
    assert_eq!(leader(&metadata, 0), Some((2, 6)));
    let new = BrokerEndpoint {
        id: BrokerId::new(9),
        host: Arc::from("h"),
        port: 1,
    };
    metadata.on_leader_hint(&key, 9, 7, Some(new));
    assert_eq!(leader(&metadata, 0), Some((9, 7)));
}

#[test]
fn a_refresh_during_a_request_leads_to_another() {
    let (mut metadata, mut prng) = (metadata(), Prng::new(1));
    metadata.poll(T0);
    metadata.refresh(T0);
    metadata.on_answer(&response(7, &[(1, 5)]), T0, &mut prng);
    assert_eq!(
        metadata.next_deadline(),
        Some(T0.plus(Backoff::default().first))
    );
}
