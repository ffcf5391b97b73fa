use super::*;
use crate::batch_builder::BatchBuilder;
use crate::codec::Compressor;
use crate::layout::{self, HEADER_SIZE};
use crate::record_view::Header;
use crate::stamp::stamp_crc;
use ottla_types::{ProducerEpoch, ProducerId};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn check(batch: &[u8], rules: &ProduceRules) -> Result<ValidBatch, ProduceBatchError> {
    validate_produce(batch, rules, NOW, &mut Scratch::default())
}

fn check_default(batch: &[u8]) -> Result<ValidBatch, ProduceBatchError> {
    check(batch, &ProduceRules::default())
}

/// Three records, the second with the largest timestamp, all with keys.
fn builder(codec: Codec) -> BatchBuilder {
    let mut builder = BatchBuilder::new(codec);
    let header = Header {
        key: b"h",
        value: None,
    };
    for (index, millis) in [-2_000, 0, -1_000].into_iter().enumerate() {
        let timestamp = Timestamp::from_millis(NOW.as_millis() + millis);
        let value = vec![index as u8; 100];
        builder.push(timestamp, Some(b"key"), Some(&value), &[header]);
    }
    builder
}

fn batch(codec: Codec) -> Vec<u8> {
    builder(codec).finish(&mut Compressor::default())
}

/// Changes a field and makes the CRC right again.
fn with(mut bytes: Vec<u8>, at: usize, field: &[u8]) -> Vec<u8> {
    layout::write(&mut bytes, at, field);
    stamp_crc(&mut bytes);
    bytes
}

#[test]
fn facts_are_those_of_the_batch() {
    let plain_size = batch(Codec::None).len();
    for codec in Codec::ALL {
        let producer = (
            ProducerId::new(9),
            ProducerEpoch::new(2),
            Sequence::new(i32::MAX),
        );
        let bytes = builder(codec)
            .producer(producer.0, producer.1, producer.2)
            .transactional()
            .finish(&mut Compressor::default());
        let facts = check_default(&bytes).unwrap();
        assert_eq!(
            facts,
            ValidBatch {
                size: bytes.len(),
                uncompressed_size: plain_size,
                codec,
                records_count: 3,
                last_offset_delta: 2,
                base_timestamp: Timestamp::from_millis(NOW.as_millis() - 2_000),
                max_timestamp: NOW,
                max_timestamp_offset_delta: 1,
                max_timestamp_is_stated: true,
                producer: Some(ProducerBatch {
                    id: producer.0,
                    epoch: producer.1,
                    base_sequence: producer.2,
                    last_sequence: Sequence::new(1),
                }),
                is_transactional: true,
                is_control: false,
            }
        );
    }
}

#[test]
fn a_wrong_maximum_timestamp_is_corrected_when_the_batch_is_stamped() {
    let mut bytes = with(
        batch(Codec::Zstd),
        layout::MAX_TIMESTAMP,
        &5i64.to_be_bytes(),
    );
    let facts = check_default(&bytes).unwrap();
    assert!(!facts.max_timestamp_is_stated);
    facts.stamp(&mut bytes, Offset::new(40), LeaderEpoch::new(3), None);
    let view = BatchView::parse(&bytes).unwrap();
    assert!(view.is_crc_valid());
    assert_eq!(view.max_timestamp(), NOW);
    assert_eq!(view.timestamp_type(), TimestampType::CreateTime);
    assert_eq!(
        (view.base_offset(), view.last_offset()),
        (Offset::new(40), Offset::new(42))
    );
    assert_eq!(view.leader_epoch(), Some(LeaderEpoch::new(3)));
}

#[test]
fn stamping_leaves_the_crc_alone_unless_the_append_time_is_wanted() {
    let mut bytes = batch(Codec::None);
    let facts = check_default(&bytes).unwrap();
    let crc = BatchView::parse(&bytes).unwrap().crc();
    facts.stamp(&mut bytes, Offset::new(7), LeaderEpoch::new(1), None);
    assert_eq!(BatchView::parse(&bytes).unwrap().crc(), crc);
    let later = Timestamp::from_millis(NOW.as_millis() + 5);
    facts.stamp(&mut bytes, Offset::new(7), LeaderEpoch::new(1), Some(later));
    let view = BatchView::parse(&bytes).unwrap();
    assert!(view.is_crc_valid() && view.crc() != crc);
    let mut scratch = Scratch::default();
    for record in view.records(&mut scratch).unwrap() {
        assert_eq!(record.unwrap().timestamp, later);
    }
}

#[test]
fn headers_that_lie_are_refused() {
    use ProduceBatchError as E;
    let good = batch(Codec::None);
    let last = layout::LAST_OFFSET_DELTA;
    let count = layout::RECORDS_COUNT;
    let attributes = |bits: i16| with(good.clone(), layout::ATTRIBUTES, &bits.to_be_bytes());
    type Case = (Vec<u8>, fn(&E) -> bool);
    let cases: Vec<Case> = vec![
        (vec![], |e| *e == E::Empty),
        (good[..16].to_vec(), |e| {
            matches!(e, E::Malformed(BatchError::Truncated { .. }))
        }),
        (good[..good.len() - 1].to_vec(), |e| {
            matches!(e, E::Malformed(BatchError::Truncated { .. }))
        }),
        ([&good[..], &good[..]].concat(), |e| {
            matches!(e, E::TrailingBytes { .. })
        }),
        ([&good[..], &[0]].concat(), |e| {
            *e == E::TrailingBytes { size: 1 }
        }),
        (with(good.clone(), layout::MAGIC_AT, &[1]), |e| {
            *e == E::Malformed(BatchError::Magic { magic: 1 })
        }),
        (
            with(good.clone(), layout::LENGTH, &48i32.to_be_bytes()),
            |e| *e == E::Malformed(BatchError::Length { length: 48 }),
        ),
        (
            with(good.clone(), layout::LENGTH, &(-1i32).to_be_bytes()),
            |e| *e == E::Malformed(BatchError::Length { length: -1 }),
        ),
        (with(good.clone(), 0, &1i64.to_be_bytes()), |e| {
            *e == E::BaseOffset { base_offset: 1 }
        }),
        (with(good.clone(), 0, &(-1i64).to_be_bytes()), |e| {
            matches!(e, E::BaseOffset { .. })
        }),
        (with(good.clone(), last, &3i32.to_be_bytes()), |e| {
            matches!(e, E::Count { .. })
        }),
        (with(good.clone(), last, &(-1i32).to_be_bytes()), |e| {
            matches!(e, E::Count { .. })
        }),
        (with(good.clone(), count, &0i32.to_be_bytes()), |e| {
            matches!(e, E::Count { .. })
        }),
        (with(good.clone(), count, &i32::MIN.to_be_bytes()), |e| {
            matches!(e, E::Count { .. })
        }),
        (attributes(0x20), |e| *e == E::Control),
        (attributes(0x08), |e| *e == E::LogAppendTime),
        (attributes(0x05), |e| {
            *e == E::Compression(DecompressError::UnknownCodec { number: 5 })
        }),
        (attributes(0x04), |e| {
            matches!(e, E::Compression(DecompressError::Malformed { .. }))
        }),
        (
            with(good.clone(), layout::PRODUCER_ID, &1i64.to_be_bytes()),
            |e| *e == E::Sequence { sequence: -1 },
        ),
    ];
    for (index, (bytes, expected)) in cases.iter().enumerate() {
        let error = check_default(bytes).expect_err("the case is wrong");
        assert!(expected(&error), "case {index}: {error}");
    }
    let mut flipped = good.clone();
    flipped[70] ^= 1;
    assert!(matches!(check_default(&flipped), Err(E::Crc { .. })));
    let rules = ProduceRules {
        max_message_bytes: good.len() - 1,
        ..ProduceRules::default()
    };
    let too_large = E::TooLarge {
        size: good.len(),
        max: good.len() - 1,
    };
    assert_eq!(check(&good, &rules), Err(too_large));
    let rules = ProduceRules {
        max_message_bytes: good.len(),
        ..ProduceRules::default()
    };
    assert!(check(&good, &rules).is_ok());
}

/// Replaces everything behind the header and makes length and CRC right.
fn with_payload(count: i32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = batch(Codec::None);
    bytes.truncate(HEADER_SIZE);
    bytes.extend_from_slice(payload);
    let length = (bytes.len() - 12) as i32;
    layout::write(&mut bytes, layout::LENGTH, &length.to_be_bytes());
    layout::write(
        &mut bytes,
        layout::LAST_OFFSET_DELTA,
        &(count - 1).to_be_bytes(),
    );
    with(bytes, layout::RECORDS_COUNT, &count.to_be_bytes())
}

#[test]
fn records_that_lie_are_refused() {
    // size 6: attributes, timestamp delta, offset delta, null key, null value, no headers.
    let record = |offset: u8| [12, 0, 0, offset * 2, 1, 1, 0];
    assert!(check_default(&with_payload(1, &record(0))).is_ok());
    assert!(check_default(&with_payload(2, &[record(0), record(1)].concat())).is_ok());
    let fault = |count, payload: &[u8]| match check_default(&with_payload(count, payload)) {
        Err(ProduceBatchError::Record { index, fault }) => (index, fault),
        other => panic!("{other:?}"),
    };
    use RecordFault as F;
    assert_eq!(fault(1, &[]), (0, F::Truncated));
    assert_eq!(fault(2, &record(0)), (1, F::Truncated));
    assert_eq!(fault(1, &[14, 0, 0, 0, 1, 1, 0]), (0, F::Truncated));
    assert_eq!(
        fault(1, &[14, 0, 0, 0, 1, 1, 0, 0]),
        (0, F::LeftOver { size: 1 })
    );
    assert_eq!(
        fault(1, &[1]),
        (
            0,
            F::Negative {
                field: "record size"
            }
        )
    );
    assert_eq!(fault(1, &[10, 0, 0, 0, 1, 1]), (0, F::FieldOverrun));
    assert_eq!(fault(1, &[0]), (0, F::FieldOverrun));
    assert_eq!(
        fault(1, &[12, 0, 0, 0, 1, 1, 1]),
        (
            0,
            F::Negative {
                field: "number of headers"
            }
        )
    );
    assert_eq!(
        fault(1, &[16, 0, 0, 0, 1, 1, 2, 1, 1]),
        (
            0,
            F::Negative {
                field: "header key size"
            }
        )
    );
    assert_eq!(fault(1, &[12, 0, 0, 0, 4, 1, 0]), (0, F::FieldOverrun));
    assert_eq!(
        fault(1, &[record(0), record(1)].concat()),
        (0, F::TrailingBytes { size: 7 })
    );
    let gap = check_default(&with_payload(2, &[record(0), record(2)].concat()));
    assert_eq!(
        gap,
        Err(ProduceBatchError::OffsetDelta {
            index: 1,
            offset_delta: 2
        })
    );
    // A count far beyond the bytes ends with the bytes.
    assert_eq!(fault(i32::MAX, &record(0)), (1, F::Truncated));
}

#[test]
fn timestamps_outside_the_window_are_listed_by_record() {
    let rules = ProduceRules {
        timestamp_before_max_ms: 1_000,
        timestamp_after_max_ms: 500,
        ..ProduceRules::default()
    };
    let mut builder = BatchBuilder::new(Codec::Gzip);
    for millis in [-1_001, -1_000, 500, 501] {
        let timestamp = Timestamp::from_millis(NOW.as_millis() + millis);
        builder.push(timestamp, None, None, &[]);
    }
    builder.push(Timestamp::from_millis(-1), None, None, &[]);
    let bytes = builder.finish(&mut Compressor::default());
    let Err(ProduceBatchError::Refused(refused)) = check(&bytes, &rules) else {
        panic!("the first and fourth record are outside");
    };
    assert_eq!(
        refused
            .iter()
            .map(|record| record.index)
            .collect::<Vec<_>>(),
        [0, 3]
    );
    let rules = ProduceRules {
        timestamp_type: TimestampType::LogAppendTime,
        ..rules
    };
    assert!(check(&bytes, &rules).is_ok());
    // The window's arithmetic must not wrap at its ends.
    let rules = ProduceRules {
        timestamp_after_max_ms: i64::MAX,
        ..ProduceRules::default()
    };
    assert!(check(&bytes, &rules).is_ok());
}

#[test]
fn compacted_topics_need_keys() {
    let rules = ProduceRules {
        keys: KeyRule::Required,
        ..ProduceRules::default()
    };
    assert!(check(&batch(Codec::Lz4), &rules).is_ok());
    let mut builder = builder(Codec::Lz4);
    builder.push(NOW, None, Some(b"v"), &[]);
    builder.push(NOW, Some(b""), Some(b"v"), &[]);
    let refused = RefusedRecord {
        index: 3,
        refusal: RecordRefusal::NullKey,
    };
    let result = check(&builder.finish(&mut Compressor::default()), &rules);
    assert_eq!(result, Err(ProduceBatchError::Refused(vec![refused])));
}

#[test]
fn a_bomb_is_refused() {
    let mut builder = BatchBuilder::new(Codec::Zstd);
    builder.push(NOW, None, Some(&vec![0; 10 << 20]), &[]);
    let bytes = builder.finish(&mut Compressor::default());
    assert!(bytes.len() < 10_000);
    let mut scratch = Scratch::with_limit(1 << 20);
    let result = validate_produce(&bytes, &ProduceRules::default(), NOW, &mut scratch);
    let too_large = DecompressError::TooLarge {
        codec: Codec::Zstd,
        limit: 1 << 20,
    };
    assert_eq!(result, Err(ProduceBatchError::Compression(too_large)));
}

#[test]
fn single_records_have_a_limit_once_decompressed() {
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        for value in [&b"short"[..], &[b'a'; 600]] {
            builder.push(Timestamp::from_millis(0), None, Some(value), &[]);
        }
        let bytes = builder.finish(&mut Compressor::default());
        let with_limit = |record_bytes_max| ProduceRules {
            record_bytes_max,
            ..ProduceRules::default()
        };
        // Attributes, timestamp, offset, key, the value's length in two bytes, headers.
        let size = 600 + 7;
        assert!(check(&bytes, &with_limit(size)).is_ok());
        let refused = check(&bytes, &with_limit(size - 1));
        match codec {
            Codec::None => assert!(refused.is_ok(), "max.message.bytes is its limit"),
            _ => assert_eq!(
                refused,
                Err(ProduceBatchError::RecordTooLarge {
                    index: 1,
                    size,
                    max: size - 1
                })
            ),
        }
    }
}
