use ottla_records::{
    BatchBuilder, BatchView, Codec, Compressor, Decompressor, Header, KeyRule, ProduceRules,
    TimestampType, batches, validate_produce,
};
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
struct OwnedRecord {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn bytes(size_max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..size_max)
}

fn record() -> impl Strategy<Value = OwnedRecord> {
    let timestamp = prop_oneof![
        Just(-1),
        0..=i64::MAX,
        1_700_000_000_000i64..1_700_000_100_000
    ];
    let headers = vec((bytes(8), option::of(bytes(8))), 0..3);
    (
        timestamp,
        option::of(bytes(40)),
        option::of(bytes(300)),
        headers,
    )
        .prop_map(|(timestamp, key, value, headers)| OwnedRecord {
            timestamp,
            key,
            value,
            headers,
        })
}

fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::ALL[..])
}

fn push(builder: &mut BatchBuilder, record: &OwnedRecord) {
    let headers: Vec<Header<'_>> = record
        .headers
        .iter()
        .map(|(key, value)| Header {
            key,
            value: value.as_deref(),
        })
        .collect();
    let timestamp = Timestamp::from_millis(record.timestamp);
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    let expected = builder.size_with(timestamp, key, value, &headers);
    builder.push(timestamp, key, value, &headers);
    assert_eq!(builder.size_in_bytes(), expected);
}

fn build(codec: Codec, records: &[OwnedRecord]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    for record in records {
        push(&mut builder, record);
    }
    builder.finish(&mut Compressor::default())
}

fn read(batch: &BatchView<'_>, decompressor: &mut Decompressor) -> Vec<(Offset, OwnedRecord)> {
    let records = batch.records(decompressor).expect("we compressed it");
    records
        .map(|record| {
            let record = record.expect("we built it");
            let owned = OwnedRecord {
                timestamp: record.timestamp.as_millis(),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)))
                    .collect(),
            };
            (record.offset, owned)
        })
        .collect()
}

/// Timestamps of any distance from each other, no keys needed.
fn lenient() -> ProduceRules {
    ProduceRules {
        max_message_bytes: usize::MAX,
        timestamp_after_max_ms: i64::MAX,
        ..ProduceRules::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_is_built_is_valid_and_read_again(codec in codec(), records in vec(record(), 1..60)) {
        let bytes = build(codec, &records);
        let mut scratch = Decompressor::default();
        let now = Timestamp::from_millis(1_700_000_000_000);
        let facts = validate_produce(&bytes, &lenient(), now, &mut scratch).unwrap();
        prop_assert_eq!(facts.records_count as usize, records.len());
        prop_assert!(facts.max_timestamp_is_stated);

        let batch = BatchView::parse(&bytes).unwrap();
        prop_assert!(batch.is_crc_valid());
        prop_assert_eq!(batch.size_in_bytes(), bytes.len());
        let read: Vec<OwnedRecord> =
            read(&batch, &mut scratch).into_iter().map(|(_, record)| record).collect();
        prop_assert_eq!(&read, &records);

        let max = records.iter().map(|record| record.timestamp).max().unwrap();
        let first = records.iter().position(|record| record.timestamp == max).unwrap();
        prop_assert_eq!(facts.max_timestamp.as_millis(), max);
        if max >= 0 {
            prop_assert_eq!(facts.max_timestamp_offset_delta as usize, first);
        }
        let found = batch.max_timestamp_record(&mut scratch).unwrap().unwrap();
        prop_assert_eq!(found, (Offset::new(first as i64), Timestamp::from_millis(max)));
    }

    #[test]
    fn null_keys_are_found(codec in codec(), records in vec(record(), 1..30)) {
        let rules = ProduceRules { keys: KeyRule::Required, ..lenient() };
        let bytes = build(codec, &records);
        let now = Timestamp::from_millis(1_700_000_000_000);
        let result = validate_produce(&bytes, &rules, now, &mut Decompressor::default());
        let without_key: Vec<u32> = (0u32..)
            .zip(&records)
            .filter(|(_, record)| record.key.is_none())
            .map(|(index, _)| index)
            .collect();
        match result {
            Ok(_) => prop_assert!(without_key.is_empty()),
            Err(ottla_records::ProduceBatchError::Refused(refused)) => {
                let found: Vec<u32> = refused.iter().map(|record| record.index).collect();
                prop_assert_eq!(found, without_key);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn one_flipped_bit_under_the_crc_is_noticed(
        codec in codec(),
        records in vec(record(), 1..10),
        place in any::<proptest::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = build(codec, &records);
        let at = 17 + place.index(bytes.len() - 17);
        bytes[at] ^= 1 << bit;
        let view = BatchView::parse(&bytes);
        prop_assert!(view.is_err() || !view.unwrap().is_crc_valid());
    }
}

#[test]
fn batches_stand_one_behind_the_other_until_the_bytes_end() {
    let mut log = Vec::new();
    let mut ends = Vec::new();
    for (index, codec) in Codec::ALL.into_iter().enumerate() {
        let mut builder = BatchBuilder::new(codec)
            .base_offset(Offset::new(index as i64 * 10))
            .leader_epoch(LeaderEpoch::new(4))
            .producer(
                ProducerId::new(1),
                ProducerEpoch::new(0),
                Sequence::new(index as i32 * 2),
            );
        for delta in [0, 7] {
            let timestamp = Timestamp::from_millis(1_000 + i64::from(delta));
            builder.push_at(delta, timestamp, Some(b"k"), None, &[]);
        }
        log.extend(builder.finish(&mut Compressor::default()));
        ends.push(log.len());
    }
    let mut decompressor = Decompressor::default();
    for cut in 0..=log.len() {
        let mut whole = batches(&log[..cut]);
        let mut count = 0;
        for batch in whole.by_ref() {
            let Ok(batch) = batch else {
                assert!(
                    !ends.contains(&cut),
                    "an error although no batch is cut at {cut}"
                );
                break;
            };
            let base = batch.base_offset();
            assert_eq!(base, Offset::new(count * 10));
            assert_eq!(batch.last_offset(), base.plus(7));
            assert_eq!(batch.timestamp_type(), TimestampType::CreateTime);
            let offsets: Vec<_> = read(&batch, &mut decompressor)
                .iter()
                .map(|r| r.0)
                .collect();
            assert_eq!(offsets, [base, base.plus(7)]);
            count += 1;
        }
        assert!(whole.next().is_none());
        assert_eq!(
            count as usize,
            ends.iter().filter(|end| **end <= cut).count()
        );
    }
}
