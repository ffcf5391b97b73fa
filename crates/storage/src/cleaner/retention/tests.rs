use super::*;
use ottla_records::{BatchBuilder, Codec, Compressor, ControlBatch, batches, control_batch, stamp};
use ottla_types::{LeaderEpoch, ProducerEpoch, Sequence};

/// A record: its key, and its value if it has one.
type Pair = (&'static str, Option<&'static str>);

fn at(base: i64, builder: BatchBuilder, pairs: &[Pair]) -> Vec<u8> {
    let mut builder = builder;
    for (key, value) in pairs {
        let key = (!key.is_empty()).then_some(key.as_bytes());
        let value = value.map(str::as_bytes);
        builder.push(Timestamp::from_millis(500), key, value, &[]);
    }
    let mut bytes = builder.finish(&mut Compressor::default());
    stamp(&mut bytes, Offset::new(base), LeaderEpoch::new(1));
    bytes
}

fn plain() -> BatchBuilder {
    BatchBuilder::new(Codec::None)
}

fn produced(id: i64, sequence: i32) -> BatchBuilder {
    plain().producer(
        ProducerId::new(id),
        ProducerEpoch::new(0),
        Sequence::new(sequence),
    )
}

const DAY: i64 = 86_400_000;

/// One round over `log` at `now`, all keys from `first_dirty` on noted.
struct Round {
    first_dirty: i64,
    map_bytes: usize,
    now: i64,
    last_batches: LastBatches,
}

impl Round {
    fn at(now: i64) -> Round {
        Round {
            first_dirty: 0,
            map_bytes: 1 << 20,
            now,
            last_batches: LastBatches::new(),
        }
    }

    fn run(self, log: &[u8]) -> (Vec<u8>, Offset) {
        let mut filter = RoundFilter::default();
        let mut map = KeyMap::new([1; 16], self.map_bytes, 90);
        let (mut mapped_end, mut round_end) = (None, Offset::ZERO);
        for batch in batches(log) {
            let batch = batch.expect("a batch");
            round_end = batch.last_offset().next();
            if mapped_end.is_none() {
                let from = Offset::new(self.first_dirty);
                mapped_end = filter.note_keys(&mut map, &batch, from).expect("readable");
            }
        }
        let mapped_end = mapped_end.unwrap_or(round_end);
        let rules = Rules {
            map,
            mapped_end,
            round_end,
            last_batches: self.last_batches,
            delete_retention_ms: DAY,
            now: Timestamp::from_millis(self.now),
            forgets_tombstones: false,
        };
        let mut out = Vec::new();
        for batch in batches(log) {
            let batch = batch.expect("a batch");
            filter.clean(&rules, &batch, &mut out).expect("readable");
        }
        (out, mapped_end)
    }
}

/// What is left: batches as `base..=last`, records as `offset key=value`.
fn shown(log: &[u8]) -> String {
    let mut text = Vec::new();
    let mut filter = BatchFilter::default();
    for batch in batches(log) {
        let batch = batch.expect("a batch");
        assert!(batch.is_crc_valid());
        let mut records = Vec::new();
        filter
            .each(&batch, |record| {
                let text = |bytes: Option<&[u8]>| {
                    bytes.map_or("-".to_owned(), |it| {
                        String::from_utf8_lossy(it).into_owned()
                    })
                };
                let (key, value) = (text(record.key), text(record.value));
                records.push(format!("{} {key}={value}", record.offset));
            })
            .expect("readable");
        let (base, last) = (batch.base_offset(), batch.last_offset());
        text.push(format!("{base}..={last}[{}]", records.join(", ")));
    }
    text.join(" ")
}

#[test]
fn the_newest_record_of_each_key_stays_where_it_was() {
    let log = [
        at(
            0,
            plain(),
            &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))],
        ),
        at(3, plain(), &[("b", Some("2")), ("c", Some("1"))]),
        at(5, plain(), &[("b", Some("3")), ("", Some("no key"))]),
        at(7, plain(), &[("d", Some("1"))]),
    ]
    .concat();
    let (left, end) = Round::at(1_000).run(&log);
    assert_eq!(
        shown(&left),
        "0..=2[2 a=2] 3..=4[4 c=1] 5..=6[5 b=3] 7..=7[7 d=1]"
    );
    assert_eq!(end, Offset::new(8));
    let (again, _) = Round::at(2_000).run(&left);
    assert_eq!(again, left, "nothing is left to do");
}

#[test]
fn batches_go_when_they_are_empty_but_the_last_one_keeps_its_place() {
    let log = [
        at(0, plain(), &[("a", Some("1"))]),
        at(1, plain(), &[("a", Some("2"))]),
        at(2, plain(), &[("", Some("x"))]),
    ]
    .concat();
    let (left, _) = Round::at(1_000).run(&log);
    assert_eq!(shown(&left), "1..=1[1 a=2] 2..=2[]");
    let (left, _) = Round::at(1_000).run(&[left, at(3, plain(), &[("b", None)])].concat());
    assert_eq!(shown(&left), "1..=1[1 a=2] 3..=3[3 b=-]");
}

#[test]
fn the_last_batch_of_a_producer_keeps_its_sequence() {
    let log = [
        at(0, produced(5, 0), &[("a", Some("1"))]),
        at(1, produced(5, 1), &[("a", Some("2")), ("b", Some("2"))]),
        at(3, produced(6, 0), &[("a", Some("3")), ("b", Some("3"))]),
    ]
    .concat();
    let round = Round {
        last_batches: LastBatches::from([
            (ProducerId::new(5), Offset::new(2)),
            (ProducerId::new(6), Offset::new(4)),
        ]),
        ..Round::at(1_000)
    };
    let (left, _) = round.run(&log);
    assert_eq!(shown(&left), "1..=2[] 3..=4[3 a=3, 4 b=3]");
    let first = batches(&left).next().expect("there").expect("a batch");
    let producer = first.producer().expect("idempotent");
    assert_eq!(producer.base_sequence, Sequence::new(1));
    assert_eq!(producer.last_sequence, Sequence::new(2));
    // Without the producer its batch goes.
    let (left, _) = Round::at(1_000).run(&left);
    assert_eq!(shown(&left), "3..=4[3 a=3, 4 b=3]");
}

#[test]
fn a_tombstone_goes_a_while_after_it_was_cleaned_first() {
    let log = [
        at(0, plain(), &[("a", Some("1")), ("b", Some("1"))]),
        at(2, plain(), &[("a", None)]),
        at(3, plain(), &[("c", Some("1"))]),
    ]
    .concat();
    // However old its own timestamp is.
    let (left, _) = Round::at(100 * DAY).run(&log);
    assert_eq!(shown(&left), "0..=1[1 b=1] 2..=2[2 a=-] 3..=3[3 c=1]");
    let (left, _) = Round::at(101 * DAY - 1).run(&left);
    assert_eq!(shown(&left), "0..=1[1 b=1] 2..=2[2 a=-] 3..=3[3 c=1]");
    let round = Round {
        first_dirty: 4,
        ..Round::at(101 * DAY)
    };
    let (left, _) = round.run(&left);
    assert_eq!(shown(&left), "0..=1[1 b=1] 3..=3[3 c=1]");
}

#[test]
fn what_did_not_fit_the_map_is_left_for_the_next_round() {
    let keys: Vec<String> = (0..2_000).map(|number| format!("k{number}")).collect();
    let mut log = Vec::new();
    for turn in 0..2i64 {
        for (index, key) in keys.iter().enumerate() {
            let mut builder = plain();
            builder.push(
                Timestamp::from_millis(1),
                Some(key.as_bytes()),
                Some(b"v"),
                &[],
            );
            let mut bytes = builder.finish(&mut Compressor::default());
            let offset = turn * 2_000 + index as i64;
            stamp(&mut bytes, Offset::new(offset), LeaderEpoch::new(1));
            log.extend_from_slice(&bytes);
        }
    }
    let mut first_dirty = 0;
    let mut rounds = 0;
    while first_dirty < 4_000 {
        let round = Round {
            first_dirty,
            map_bytes: 24 * 64 * 16,
            ..Round::at(1_000)
        };
        let (left, end) = round.run(&log);
        assert!(first_dirty < end.get(), "every round gets on");
        first_dirty = end.get();
        log = left;
        rounds += 1;
    }
    assert!(rounds > 3, "{rounds}");
    let offsets: Vec<i64> = batches(&log)
        .map(|batch| batch.expect("a batch").base_offset().get())
        .collect();
    assert_eq!(offsets, (2_000..4_000).collect::<Vec<i64>>());
}

#[test]
fn transactions_and_control_batches_supersede_nothing() {
    let marker = ControlBatch::Marker {
        producer_id: ProducerId::new(9),
        producer_epoch: ProducerEpoch::new(0),
        commit: true,
        coordinator_epoch: 1,
    };
    let mut marker = control_batch(marker, Timestamp::from_millis(1)).to_vec();
    stamp(&mut marker, Offset::new(4), LeaderEpoch::new(1));
    let log = [
        at(0, plain(), &[("a", Some("old")), ("b", Some("old"))]),
        at(
            2,
            produced(9, 0).transactional(),
            &[("a", Some("tx")), ("b", None)],
        ),
        marker.clone(),
        at(5, plain(), &[("c", Some("1"))]),
    ]
    .concat();
    let (left, _) = Round::at(1_000).run(&log);
    assert_eq!(left, log);
    let (left, _) = Round::at(1_000).run(&[log, at(6, plain(), &[("a", Some("new"))])].concat());
    let shown = shown(&left);
    assert!(
        shown.starts_with("0..=1[1 b=old] 2..=3[3 b=-] 4..=4["),
        "{shown}"
    );
}
