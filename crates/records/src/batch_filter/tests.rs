use super::*;
use crate::batch_builder::BatchBuilder;
use crate::record_view::Header;
use crate::stamp::{stamp, stamp_log_append_time};
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

/// Six records at offsets 100 to 105; the third and the last have no value.
fn batch(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec).producer(
        ProducerId::new(7),
        ProducerEpoch::new(2),
        Sequence::new(40),
    );
    for index in 0..6i64 {
        let key = [index as u8; 3];
        let value = [index as u8; 50];
        let header = Header {
            key: b"h",
            value: None,
        };
        builder.push(
            Timestamp::from_millis(1_000 + 10 * (index ^ 3)),
            Some(&key),
            (index % 3 != 2).then_some(&value[..]),
            &[header],
        );
    }
    let mut bytes = builder.finish(&mut Compressor::default());
    stamp(&mut bytes, Offset::new(100), LeaderEpoch::new(9));
    bytes
}

/// Offset, timestamp, first byte of the key, whether there is a value, number of headers.
type Seen = (i64, i64, u8, bool, usize);

fn records(bytes: &[u8]) -> Vec<Seen> {
    let view = BatchView::parse(bytes).expect("a batch");
    assert!(view.is_crc_valid());
    assert_eq!(view.size_in_bytes(), bytes.len());
    let mut seen = Vec::new();
    let mut filter = BatchFilter::default();
    filter
        .each(&view, |record| {
            seen.push((
                record.offset.get(),
                record.timestamp.as_millis(),
                record.key.expect("a key")[0],
                record.value.is_some(),
                record.headers.count(),
            ));
        })
        .expect("readable");
    seen
}

fn retain(bytes: &[u8], horizon: Option<i64>, keep: impl Fn(i64) -> bool) -> (Filtered, Vec<u8>) {
    let mut out = vec![1, 2, 3];
    let filtered = BatchFilter::default().retain(
        &BatchView::parse(bytes).expect("a batch"),
        horizon.map(Timestamp::from_millis),
        |record| keep(record.offset.get()),
        &mut out,
    );
    assert_eq!(out[..3], [1, 2, 3], "it appends");
    (filtered.expect("readable"), out.split_off(3))
}

#[test]
fn what_stays_is_what_it_was_in_every_codec() {
    for codec in Codec::ALL {
        let whole = batch(codec);
        let all = records(&whole);
        let (filtered, same) = retain(&whole, None, |_| true);
        assert_eq!((filtered, &same), (Filtered::Whole, &whole));
        let (filtered, part) = retain(&whole, None, |offset| [101, 104].contains(&offset));
        assert_eq!(filtered, Filtered::Part);
        assert_eq!(records(&part), [all[1], all[4]], "{codec}");
        let (before, after) = (
            BatchView::parse(&whole).expect("a batch"),
            BatchView::parse(&part).expect("a batch"),
        );
        assert_eq!(after.base_offset(), before.base_offset());
        assert_eq!(after.last_offset(), before.last_offset());
        assert_eq!(after.leader_epoch(), before.leader_epoch());
        assert_eq!(after.producer(), before.producer());
        assert_eq!(after.codec(), Ok(codec));
        assert_eq!(after.max_timestamp().as_millis(), all[4].1.max(all[1].1));
        assert_eq!(retain(&whole, Some(5), |_| false).0, Filtered::Nothing);
        // Once more, from what is left.
        let (filtered, last) = retain(&part, None, |offset| offset == 104);
        assert_eq!(filtered, Filtered::Part);
        assert_eq!(records(&last), [all[4]]);
    }
}

#[test]
fn a_kept_tombstone_gets_a_horizon_once() {
    for codec in [Codec::None, Codec::Lz4] {
        let whole = batch(codec);
        let all = records(&whole);
        let (filtered, marked) = retain(&whole, Some(90_000), |_| true);
        assert_eq!(filtered, Filtered::Part);
        assert_eq!(records(&marked), all, "timestamps stay");
        let view = BatchView::parse(&marked).expect("a batch");
        assert_eq!(view.delete_horizon(), Some(Timestamp::from_millis(90_000)));
        assert_eq!(view.max_timestamp().as_millis(), 1_070);
        let (filtered, again) = retain(&marked, Some(200_000), |_| true);
        assert_eq!((filtered, again), (Filtered::Whole, marked.clone()));
        let (_, less) = retain(&marked, Some(200_000), |offset| offset > 101);
        assert_eq!(records(&less), all[2..]);
        let view = BatchView::parse(&less).expect("a batch");
        assert_eq!(view.delete_horizon(), Some(Timestamp::from_millis(90_000)));
    }
    let (filtered, _) = retain(&batch(Codec::None), Some(1), |offset| {
        offset != 102 && offset != 105
    });
    assert_eq!(filtered, Filtered::Part);
    let (_, bytes) = retain(&batch(Codec::None), Some(1), |offset| offset == 101);
    let view = BatchView::parse(&bytes).expect("a batch");
    assert_eq!(view.delete_horizon(), None, "no tombstone is left");
}

#[test]
fn append_time_stays_under_a_horizon() {
    let mut bytes = batch(Codec::None);
    stamp_log_append_time(&mut bytes, Timestamp::from_millis(7_777));
    let (_, marked) = retain(&bytes, Some(90_000), |offset| offset > 103);
    let times: Vec<i64> = records(&marked).iter().map(|seen| seen.1).collect();
    assert_eq!(times, [7_777, 7_777]);
}

#[test]
fn an_empty_batch_keeps_offsets_and_sequence() {
    for codec in Codec::ALL {
        let (_, marked) = retain(&batch(codec), Some(90_000), |_| true);
        let before = BatchView::parse(&marked).expect("a batch");
        let mut bytes = Vec::new();
        write_empty_batch(&before, &mut bytes);
        let after = BatchView::parse(&bytes).expect("a batch");
        assert!(after.is_crc_valid());
        assert_eq!(bytes.len(), HEADER_SIZE);
        assert_eq!(after.records_count(), 0);
        assert_eq!(after.producer(), before.producer());
        assert_eq!(after.last_offset(), before.last_offset());
        assert_eq!(after.codec(), Ok(Codec::None));
        assert_eq!(after.delete_horizon(), None);
        assert!(records(&bytes).is_empty());
    }
}
