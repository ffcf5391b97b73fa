use crate::fixtures::*;
use ottla_metadata::codec::*;
use ottla_metadata::quorum::Voter;
use ottla_metadata::*;
use ottla_types::*;

fn bytes_of(record: &Record) -> Vec<u8> {
    let mut writer = ottla_protocol::Writer::new();
    encode_record(record, &mut writer);
    writer.into_buf()
}

/// One of every kind, with every field set and with as few as can be.
fn every_record() -> Vec<Record> {
    let topic_id = TopicId::new(Uuid::from_bytes([7; 16]));
    let mut full = Partition::new(
        [1, 2, 3].map(broker).as_slice().into(),
        [1, 2, 3].map(directory).as_slice().into(),
        [2, 3].map(broker).as_slice().into(),
    );
    full.removing = vec![broker(3)];
    full.adding = vec![broker(2)];
    full.eligible_leader_replicas = vec![broker(1)];
    full.last_known_elr = vec![broker(3)];
    full.leader_epoch = LeaderEpoch::new(9);
    full.partition_epoch = 11;
    full.leader_recovery = LeaderRecovery::Recovering;
    let mut leaderless = Partition::new(
        [broker(1)].as_slice().into(),
        [directory(1)].as_slice().into(),
        [broker(1)].as_slice().into(),
    );
    leaderless.leader = None;
    let mut records = bootstrap().records().0;
    let mut racked = registration(5, 5, 5);
    racked.rack = Some("rack".into());
    racked.fencing = Fencing::ControlledShutdown;
    let command = Command::RegisterBroker(racked);
    records.extend(
        decide(&command, &cluster(&[]), &TestRules, &mut Prng::new(1))
            .unwrap()
            .records,
    );
    for state in [full.clone(), leaderless] {
        records.push(Record::Partition {
            topic_id,
            partition: PartitionId::new(4),
            state,
        });
    }
    let empty = PartitionChange {
        topic_id,
        partition: PartitionId::new(1),
        ..PartitionChange::default()
    };
    records.push(Record::PartitionChange(PartitionChange {
        leader: Some(None),
        ..empty.clone()
    }));
    records.push(Record::PartitionChange(PartitionChange {
        isr: Some(full.isr),
        leader: Some(Some(broker(2))),
        replicas: Some(full.replicas),
        directories: Some(full.directories),
        removing: Some(Vec::new()),
        adding: Some(full.adding),
        eligible_leader_replicas: Some(full.eligible_leader_replicas),
        last_known_elr: Some(Vec::new()),
        leader_recovery: Some(LeaderRecovery::Recovered),
        ..empty.clone()
    }));
    records.push(Record::PartitionChange(empty));
    for fencing in [
        None,
        Some(Fencing::Fenced),
        Some(Fencing::Unfenced),
        Some(Fencing::ControlledShutdown),
    ] {
        records.push(Record::BrokerRegistrationChange {
            broker: broker(1),
            epoch: BrokerEpoch::new(8),
            fencing,
            directories: fencing.map(|_| vec![directory(1), directory(2)]),
            cordoned: fencing.map(|fencing| match fencing {
                Fencing::Fenced => Vec::new(),
                Fencing::Unfenced | Fencing::ControlledShutdown => vec![directory(2)],
            }),
        });
    }
    for kind in [
        ResourceKind::Topic,
        ResourceKind::Broker,
        ResourceKind::ClientMetrics,
        ResourceKind::Group,
    ] {
        for value in [None, Some("v".to_owned())] {
            records.push(Record::Config {
                resource: ConfigResource {
                    kind,
                    name: "n".into(),
                },
                name: "k".into(),
                value,
            });
        }
    }
    records.extend([
        Record::UnregisterBroker {
            broker: broker(1),
            epoch: BrokerEpoch::new(8),
        },
        Record::Topic {
            name: "t".into(),
            id: topic_id,
        },
        Record::RemoveTopic { id: topic_id },
        Record::ProducerIds {
            broker: broker(1),
            broker_epoch: BrokerEpoch::new(8),
            next: ProducerId::new(1 << 40),
        },
        Record::NoOp,
    ]);
    records
}

#[test]
fn every_record_survives_its_bytes() {
    for record in every_record() {
        assert_eq!(decode_record(&bytes_of(&record)), Ok(record));
    }
}

#[test]
fn records_are_framed_as_kafka_frames_them() {
    // frame version 1, type 2 (TopicRecord), version 0, compact string "t", id, no tagged fields
    let record = Record::Topic {
        name: "t".into(),
        id: TopicId::new(Uuid::from_bytes([7; 16])),
    };
    let mut expected = vec![1, 2, 0, 2, b't'];
    expected.extend([7; 16]);
    expected.push(0);
    assert_eq!(bytes_of(&record), expected);
}

/// docs/formats/metadata.md, byte by byte.
#[test]
fn stored_bytes_stay_as_documented() {
    let me = Voter {
        node: broker(258),
        directory: directory(9),
    };
    let vote = Vote {
        term: 3,
        candidate: me,
        is_committed: true,
    };
    let nine = [9u8; 16];
    let voter = [&[0, 0, 1, 2][..], &nine].concat();
    let bytes = [&[1, 0, 0, 0, 0, 0, 0, 0, 3][..], &voter, &[1]].concat();
    assert_eq!(encode_vote(&vote), bytes);
    assert_eq!(decode_vote(&bytes), Ok(vote));

    let membership = Membership::of_one(me);
    let of_one = [&[1, 1][..], &voter, &[0]].concat();
    let record = [1, 0xf4, 0x9e, 1, 0, 2, b'c', 0];
    let cluster = Record::Cluster { id: "c".into() };
    let entry = encode_entry(3, &[cluster]);
    assert_eq!(
        entry,
        [&[1, 0, 0, 0, 0, 0, 0, 0, 3, 1, 8][..], &record].concat()
    );
    let payloads = [
        (Payload::Blank, vec![1, 0]),
        (
            Payload::Batch(entry.clone().into()),
            [&[1, 1][..], &entry].concat(),
        ),
        (
            Payload::Membership(membership.clone()),
            [&[1, 2][..], &of_one].concat(),
        ),
    ];
    for (payload, bytes) in payloads {
        assert_eq!(encode_payload(&payload), bytes);
        assert_eq!(decode_payload(&bytes.into()), Ok(payload));
    }

    let position = LogPosition { term: 2, index: 7 };
    let meta = encode_snapshot_meta(position, &membership);
    let at = [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7];
    assert_eq!(meta, [&[1][..], &at, &of_one].concat());
    assert_eq!(decode_snapshot_meta(&meta), Ok((position, membership)));
}

#[test]
fn what_is_newer_or_unknown_is_refused_with_a_message() {
    let text = |bytes: &[u8]| decode_record(bytes).unwrap_err().to_string();
    assert_eq!(
        text(&[1, 99, 0]),
        "metadata records of type 99 are not known to this version of Ottla"
    );
    assert_eq!(
        text(&[1, 2, 1, 0]),
        "TopicRecord has version 1, and this version of Ottla knows 0 at most: it was written by a \
         newer one"
    );
    assert_eq!(
        text(&[2, 2, 0]),
        "the frame of a metadata record has version 2, and this version of Ottla knows 1 at most: \
         it was written by a newer one"
    );
    assert_eq!(
        text(&[1, 20, 0, 0, 9]),
        "NoOpRecord is followed by 1 bytes that do not belong to it"
    );
    let mut entry = encode_entry(4, &[Record::NoOp]);
    entry[0] = 2;
    assert!(matches!(
        decode_entry(&entry),
        Err(CodecError::NewerVersion { .. })
    ));
}

#[test]
fn damaged_bytes_never_panic() {
    let mut prng = Prng::new(3);
    let whole = encode_entry(u64::MAX, &every_record());
    assert_eq!(decode_entry(&whole).unwrap().records, every_record());
    for cut in 0..whole.len() {
        assert!(decode_entry(&whole[..cut]).is_err(), "cut at {cut}");
    }
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=prng.below(3) {
            let at = prng.below(bytes.len() as u64) as usize;
            bytes[at] = prng.next_u64() as u8;
        }
        let _ = decode_entry(&bytes);
    }
}

#[test]
fn an_image_survives_its_snapshot() {
    let topics = (0..300)
        .map(|number| NewTopic {
            partitions: 1 + number % 3,
            configs: vec![("retention.ms".into(), Some(number.to_string()))],
            ..new_topic(&format!("topic.{number}"))
        })
        .collect();
    let (_, image) = run(&cluster(&[2, 3]), 40, &create(topics)).unwrap();
    let command = Command::AllocateProducerIds {
        broker: broker(1),
        broker_epoch: image.broker(broker(1)).unwrap().epoch,
    };
    let (_, image) = run(&image, 41, &command).unwrap();
    let restored = decode_image(&encode_image(&image)).unwrap();
    restored.check();
    assert_eq!(restored.to_records(), image.to_records());
    assert_eq!(restored.applied_index(), 41);
    assert_eq!(restored.partitions_count(), image.partitions_count());
    assert!(image.features_epoch() <= restored.features_epoch());
    assert!(restored.colliding_topic("topic_7").is_some());
}
