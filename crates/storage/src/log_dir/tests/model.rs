//! The log directory beside a model that is too simple to be wrong, over random histories with restarts.

use super::harness::*;
use crate::log_dir::{AppendError, LogDirOptions, PumpStep, StorageError, Verdict};
use crate::marker::Marker;
use crate::partition::{Durability, LogConfig};
use crate::wal::{CommitStep, WalOptions};
use ottla_types::{Lsn, Offset, PartitionSlot, Prng, TopicPartition};

const PARTITIONS_COUNT: usize = 4;

#[derive(Clone, Default)]
struct Log {
    id: Option<TopicPartition>,
    generation: u8,
    batches: Vec<(i64, i64, Vec<u8>)>,
    log_start: i64,
    end: i64,
    /// Below it nothing may be lost.
    durable: i64,
    /// Next sequence of each producer.
    sequences: [i32; 3],
    is_os: bool,
    /// It has to be begun: the partition was dropped before.
    is_to_begin: bool,
    /// It is a copy: batches come with their offsets.
    is_future: bool,
    /// A truncation that may not be durable, and the log as it was before.
    before_cut: Option<(Lsn, Box<Log>)>,
}

/// Whether partitions come back as copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moves {
    Never,
    Often,
    /// And what they leave out may be wider than a segment, and lie at their end.
    WithWideGaps,
}

struct Run {
    h: Option<Harness>,
    prng: Prng,
    logs: Vec<Log>,
    moves: Moves,
    reached: Vec<(Marker, u64)>,
}

fn options() -> LogDirOptions {
    LogDirOptions {
        tail_bytes_max: 24 << 10,
        rewrite_bytes_max: 4 << 10,
        write_bytes_max: 8 << 10,
        open_files_max: 3,
        wal: WalOptions::tiny(),
        ..small_options()
    }
}

fn config(is_os: bool) -> LogConfig {
    LogConfig {
        segment_bytes: 12_000,
        retention_bytes: Some(30_000),
        file_delete_delay_ms: 500,
        durability: if is_os {
            Durability::Os
        } else {
            Durability::Fsync
        },
        ..LogConfig::default()
    }
}

impl Run {
    fn new(seed: u64, moves: Moves) -> Run {
        let mut prng = Prng::new(seed);
        let logs = (0..PARTITIONS_COUNT)
            .map(|_| Log {
                is_os: prng.chance(1, 4),
                ..Log::default()
            })
            .collect();
        Run {
            h: Some(Harness::new(options())),
            prng,
            logs,
            moves,
            reached: Vec::new(),
        }
    }

    fn h(&mut self) -> &mut Harness {
        self.h.as_mut().expect("open")
    }

    fn slot(&mut self, index: usize) -> PartitionSlot {
        let log = &mut self.logs[index];
        let mut id = partition(index as u8);
        if log.generation > 0 {
            id.topic_id = partition(100 + log.generation * 10 + index as u8).topic_id;
        }
        log.id = Some(id);
        let config = config(log.is_os);
        if std::mem::take(&mut log.is_to_begin) {
            let start = log.log_start;
            self.h()
                .begin_soon(id, &format!("topic{index}"), config, start);
            self.h().commit();
            self.settle_if_stalled();
        }
        let name = format!("topic{index}");
        let slot = self.h().dir.create_partition(id, &name, config);
        slot.expect("online")
    }

    fn step(&mut self) {
        let index = self.prng.below(PARTITIONS_COUNT as u64) as usize;
        match self.prng.below(100) {
            0..=39 => self.append(index),
            40..=59 => self.commit_some(),
            60..=79 => self.flush_some(),
            80..=83 => {
                let slot = self.slot(index);
                let synced = self.prng.chance(1, 2);
                self.h().dir.request_flush(slot, synced);
            }
            84..=86 => self.delete_records(index),
            87..=88 => self.truncate(index),
            89 if self.logs[index].is_future && self.prng.chance(1, 2) => self.promote(index),
            89 => self.drop_partition(index),
            90..=91 => {
                let millis = self.prng.below(40_000);
                self.h().pass(millis);
            }
            92..=93 => self.retain(),
            94..=95 => self.restart(),
            96 => self.shut_down(),
            _ => self.check(index),
        }
    }

    fn append(&mut self, index: usize) {
        let slot = self.slot(index);
        let count = self.prng.range(1, 4) as usize;
        let size = if self.prng.chance(1, 10) { 3_000 } else { 300 };
        let mut value = vec![0; self.prng.below(size) as usize];
        self.prng.fill(&mut value);
        let producer = self.prng.below(4) as usize;
        let sequence = self.logs[index].sequences.get(producer).copied();
        let producer_facts = sequence.map(|sequence| (producer as i64, 0, sequence));
        let wall = self.h().now.wall.as_millis();
        let mut bytes = batch(producer_facts, &vec![wall; count], &value);
        let is_copied = self.logs[index].is_future;
        let base = self.logs[index].end + if is_copied { self.gap() } else { 0 };
        let appended = if is_copied {
            ottla_records::stamp(&mut bytes, Offset::new(base), EPOCH);
            self.h().try_copy(slot, &bytes)
        } else {
            self.h().try_append(slot, &bytes)
        };
        let appended = match appended {
            Ok(appended) => appended,
            Err(AppendError::Full) => return,
            Err(error) => panic!("{error}"),
        };
        let log = &mut self.logs[index];
        assert!(!appended.duplicate);
        assert_eq!(appended.base_offset.get(), base);
        let last = base + count as i64 - 1;
        assert_eq!(appended.last_offset.get(), last);
        log.batches.push((base, last, bytes));
        log.end = last + 1;
        if let Some(sequence) = log.sequences.get_mut(producer) {
            *sequence += count as i32;
        }

        if let Some(facts) = producer_facts.filter(|_| self.prng.chance(1, 5)) {
            let again = batch(Some(facts), &vec![wall; count], &value);
            let again = self.h().try_append(slot, &again).expect("known");
            assert!(again.duplicate);
            assert_eq!(again.base_offset, appended.base_offset);
        }
    }

    /// Offsets that are left out before a batch.
    fn gap(&mut self) -> i64 {
        if self.moves == Moves::WithWideGaps && self.prng.chance(1, 30) {
            return 3_000_000_000;
        }
        match self.prng.chance(1, 3) {
            true => self.prng.below(9) as i64,
            false => 0,
        }
    }

    fn promote(&mut self, index: usize) {
        let slot = self.slot(index);
        self.h().dir.promote(slot).expect("there");
        self.logs[index].is_future = false;
        self.h().commit();
        self.settle_if_stalled();
        self.note_durable();
    }

    fn commit_some(&mut self) {
        for _ in 0..self.prng.below(12) {
            let now = self.h().now;
            if let CommitStep::Waiting { .. } = self.h().dir.commit_step(now) {
                self.h().pass(3);
            }
            if self.prng.chance(1, 3) {
                let now = self.h().now;
                self.h().dir.zero_step(now);
            }
        }
        self.note_durable();
    }

    fn note_durable(&mut self) {
        let durable = self.h().dir.durable_lsn();
        for index in 0..PARTITIONS_COUNT {
            let slot = self.slot(index);
            let ends = self.h().dir.ends(slot).expect("there");
            let log = &mut self.logs[index];
            assert_eq!(ends.appended_end.get(), log.end);
            assert!(ends.durable_end <= ends.appended_end);
            assert!(
                log.durable <= ends.durable_end.get(),
                "durable never goes back"
            );
            log.durable = ends.durable_end.get();
            let is_past = |(lsn, _): &mut (Lsn, Box<Log>)| *lsn <= durable;
            log.before_cut.take_if(is_past);
        }
    }

    fn flush_some(&mut self) {
        for _ in 0..self.prng.below(40) {
            let now = self.h().now;
            self.h().dir.flush_step(now);
        }
    }

    fn delete_records(&mut self, index: usize) {
        let slot = self.slot(index);
        let log = self.logs[index].clone();
        let to = match log.is_future && self.prng.chance(1, 3) {
            true => log.end + self.prng.below(30) as i64,
            false => log.log_start + self.prng.below((log.end - log.log_start) as u64 + 1) as i64,
        };
        self.h()
            .dir
            .delete_records(slot, Offset::new(to))
            .expect("in range");
        self.logs[index].log_start = to;
        self.logs[index].end = log.end.max(to);
        // A kill may take it back as long as nobody waited for it.
        self.h().commit();
        self.settle_if_stalled();
        self.note_durable();
    }

    fn settle_if_stalled(&mut self) {
        for _ in 0..10_000 {
            let h = self.h();
            if h.dir.durable_lsn().next() == h.dir.wal().next_lsn() {
                return;
            }
            let now = h.now;
            h.dir.flush_step(now);
            h.dir.zero_step(now);
            h.dir.commit_step(now);
            h.pass(1);
        }
        panic!("the journal does not get on: {:?}", self.h().dir.stats());
    }

    fn truncate(&mut self, index: usize) {
        let slot = self.slot(index);
        let log = &mut self.logs[index];
        if log.end == log.log_start {
            return;
        }
        let bases: Vec<i64> = log.batches.iter().map(|(base, ..)| *base).collect();
        let bases: Vec<i64> = bases
            .into_iter()
            .filter(|base| log.log_start <= *base)
            .collect();
        if bases.is_empty() {
            return;
        }
        let to = bases[bases.len() - 1 - self.prng.below(3.min(bases.len() as u64)) as usize];
        // With what is left out before it: at an end with a gap a reader finds nothing and does not get on.
        let ends = log.batches.iter().map(|(_, last, _)| last + 1);
        let whole = ends.filter(|end| *end <= to).max().unwrap_or(0);
        let to = match self.moves {
            Moves::WithWideGaps => to,
            Moves::Never | Moves::Often => whole.max(log.log_start),
        };
        let mut cut = self.h().dir.truncate(slot, Offset::new(to));
        if let Err(StorageError::Undurable { durability }) = cut {
            assert!(self.h().dir.durable_lsn() < durability);
            self.h().commit();
            self.settle_if_stalled();
            cut = self.h().dir.truncate(slot, Offset::new(to));
        }
        let lsn = cut.expect("everything is durable");
        let log = &mut self.logs[index];
        log.before_cut = None; // An earlier one is durable, too.
        log.before_cut = Some((lsn, Box::new(log.clone())));
        log.batches.retain(|(base, ..)| *base < to);
        log.end = to;
        log.durable = log.durable.min(to);
        if self.prng.chance(1, 2) {
            self.h().commit();
            self.settle_if_stalled();
        }
        self.note_durable();
        self.check_producers(index);
    }

    /// A producer goes on behind its last batch that is left.
    fn resume_producers(&mut self, index: usize) {
        let log = &mut self.logs[index];
        for (id, next) in log.sequences.iter_mut().enumerate() {
            let last = log.batches.iter().rev().find_map(|(_, _, bytes)| {
                let view = ottla_records::BatchView::parse(bytes).expect("a batch");
                view.producer()
                    .filter(|producer| producer.id.get() == id as i64)
            });
            *next = last.map_or(0, |last| last.last_sequence.get() + 1);
        }
    }

    fn drop_partition(&mut self, index: usize) {
        let slot = self.slot(index);
        let now = self.h().now;
        self.h().dir.drop_partition(slot, now).expect("there");
        self.h().commit();
        self.settle_if_stalled();
        let is_os = self.logs[index].is_os;
        if self.moves != Moves::Never && self.prng.chance(3, 4) {
            let start = self.prng.below(20) as i64 * 7;
            self.logs[index] = Log {
                generation: self.logs[index].generation,
                is_os,
                is_to_begin: true,
                is_future: true,
                log_start: start,
                end: start,
                durable: start,
                ..Log::default()
            };
            return;
        }
        let generation = self.logs[index].generation + 1;
        self.logs[index] = Log {
            generation: generation % 10,
            is_os,
            ..Log::default()
        };
        if generation == 10 {
            self.logs[index].generation = 0;
        }
    }

    fn retain(&mut self) {
        self.h().dir.retention_now();
        loop {
            let now = self.h().now;
            if self.h().dir.retention_step(now) != PumpStep::Worked {
                break;
            }
        }
        for index in 0..PARTITIONS_COUNT {
            let slot = self.slot(index);
            let start = self.h().dir.ends(slot).expect("there").log_start.get();
            let log = &mut self.logs[index];
            assert!(log.log_start <= start && start <= log.durable.max(log.log_start));
            log.log_start = start;
        }
        self.h().commit();
        self.settle_if_stalled();
        self.note_durable();
    }

    fn shut_down(&mut self) {
        for index in 0..PARTITIONS_COUNT {
            self.slot(index); // One that is still to be begun is begun before.
        }
        for _ in 0..20_000 {
            let h = self.h();
            let now = h.now;
            h.dir.shutdown_step(now);
            h.dir.zero_step(now);
            h.dir.commit_step(now);
            h.pass(1);
            if h.dir.is_drained() {
                break;
            }
        }
        assert!(self.h().dir.is_drained(), "{:?}", self.h().dir.stats());
        self.note_durable();
        self.restart();
        assert_eq!(self.h().report.verdict, Verdict::Clean);
    }

    fn restart(&mut self) {
        let markers = self.h().dir.markers();
        let counts: Vec<_> = Marker::ALL
            .iter()
            .map(|m| (*m, markers.count(*m)))
            .collect();
        self.reached.extend(counts);
        self.note_durable();
        let h = self.h.take().expect("open").restart();
        assert_ne!(h.report.verdict, Verdict::Lossy, "{:?}", h.report);
        self.h = Some(h);
        for index in 0..PARTITIONS_COUNT {
            let slot = self.slot(index);
            let ends = self.h().dir.ends(slot).expect("there");
            self.take_back_cut(index);
            let log = &mut self.logs[index];
            let end = ends.appended_end.get();
            assert!(
                log.durable <= end && end <= log.end,
                "partition {index}: {ends:?}"
            );
            assert!(
                log.batches
                    .iter()
                    .all(|(base, last, _)| end <= *base || *last < end),
                "whole batches"
            );
            log.batches.retain(|(base, ..)| *base < end);
            log.end = end;
            log.durable = end;
            assert_eq!(ends.log_start.get(), log.log_start, "partition {index}");
            let is_future = log.is_future;
            assert_eq!(self.h().dir.is_future(slot), is_future, "partition {index}");
            assert_eq!(ends.durable_end.get(), end);
            self.check_producers(index);
            self.check(index);
        }
    }

    /// A kill may have forgotten the last truncation, and all that came behind it: then the log is whole again.
    fn take_back_cut(&mut self, index: usize) {
        let slot = self.slot(index);
        let log = &mut self.logs[index];
        let Some((_, before)) = log.before_cut.take() else {
            return;
        };
        let start = before.log_start;
        let (read, _) = self.h().read_far(slot, start, 1 << 20);
        let is_in = |batches: &[(i64, i64, Vec<u8>)]| {
            let left = || batches.iter().filter(|(_, last, _)| start <= *last);
            let mut pairs = left().zip(&read);
            left().count() == read.len()
                && pairs.all(|(it, read)| it.0 == read.0 && it.2[16..] == read.2[16..])
        };
        let end = self.h().dir.ends(slot).expect("there").appended_end.get();
        if end == before.end && is_in(&before.batches) {
            self.logs[index] = *before;
        }
    }

    /// The producers must be known exactly as the log that is left knows them: what lies before its start may be forgotten.
    fn check_producers(&mut self, index: usize) {
        let slot = self.slot(index);
        let log = self.logs[index].clone();
        for id in 0..3i64 {
            let is_its = |bytes: &[u8]| {
                let view = ottla_records::BatchView::parse(bytes).expect("a batch");
                view.producer().is_some_and(|it| it.id.get() == id)
            };
            let of_it = log.batches.iter().filter(|(.., bytes)| is_its(bytes));
            let window = of_it.rev().take(5);
            for (base, _, bytes) in window.filter(|(base, ..)| log.log_start <= *base) {
                let again = self.h().try_append(slot, bytes);
                let again = again.unwrap_or_else(|error| {
                    panic!("partition {index}, producer {id}, offset {base}: {error}")
                });
                assert!(again.duplicate, "partition {index}, producer {id}");
                assert_eq!(again.base_offset.get(), *base);
            }
        }
        self.resume_producers(index);
    }

    fn check(&mut self, index: usize) {
        let slot = self.slot(index);
        let bytes_max = [1usize, 700, 5_000, 1 << 20][self.prng.below(4) as usize];
        let log = self.logs[index].clone();
        let (all, _) = self.h().read_far(slot, log.log_start, bytes_max);
        let expected: Vec<_> = log
            .batches
            .iter()
            .filter(|(_, last, _)| log.log_start <= *last)
            .collect();
        let bases = |list: &[(i64, i64, Vec<u8>)]| list.iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(
            bases(&all),
            expected.iter().map(|it| it.0).collect::<Vec<_>>(),
            "partition {index}"
        );
        for ((base, last, bytes), (model_base, model_last, model)) in all.iter().zip(expected) {
            assert_eq!((base, last), (model_base, model_last));
            // Everything but base offset and leader epoch is as it was sent.
            assert!(bytes[8..12] == model[8..12] && bytes[16..] == model[16..]);
        }
    }
}

/// What a random history reached.
fn history(seed: u64, moves: Moves) -> Vec<(Marker, u64)> {
    let mut run = Run::new(seed, moves);
    for _ in 0..600 {
        run.step();
    }
    for index in 0..PARTITIONS_COUNT {
        run.check(index);
    }
    run.restart();
    run.reached
}

/// The window that a checkpoint has of a producer, and what an older snapshot has, were put together as if nothing lay
/// between. A truncation took the former away: the producer was known as it had been long before.
#[test]
fn a_producer_is_not_remembered_as_it_was_before() {
    history(3_787, Moves::Never);
}

/// A copy's start was moved past its end while its segment was being synced: it waited for a sync of what is not there, and
/// kept the journal.
#[test]
fn a_log_that_goes_on_further_up_is_synced_all_the_same() {
    history(331, Moves::Often);
}

/// What was left out behind the synced part of a log was taken for lost: the entry that said so was not needed any more.
#[test]
fn what_is_left_out_in_front_of_a_tail_is_not_lost() {
    history(1_982, Moves::Often);
}

/// A log was cut in its tail behind offsets that were left out. The replay counted those as written, and cut the file.
#[test]
fn a_cut_behind_a_gap_leaves_the_file_as_it_is() {
    history(7_554, Moves::Often);
}

/// The start of a copy was moved up several times. A replay knew that what is written is synced up to the first of these
/// places only, and the next one missed the rest.
#[test]
fn what_is_left_out_several_times_is_not_lost() {
    history(7_630, Moves::Often);
}

/// A log was cut where offsets are left out, before what was written there was synced: it waited for that sync.
#[test]
fn a_cut_inside_a_gap_keeps_no_journal() {
    history(12_867, Moves::Often);
}

/// A checkpoint knew that a log was cut in a gap, and the journal did not yet: the batch behind the gap came back.
#[test]
fn what_was_cut_off_behind_a_gap_does_not_come_back() {
    history(561, Moves::WithWideGaps);
}

/// A segment file was cut inside a unit, and the log went on behind a gap: readers stood still at what was left of the unit.
#[test]
fn a_unit_that_was_cut_is_read_as_far_as_it_is_there() {
    history(3_502, Moves::WithWideGaps);
}

#[test]
fn random_histories_agree_with_the_model() {
    agree(Moves::Never);
}

#[test]
fn random_histories_of_logs_that_come_and_go_agree_with_the_model() {
    agree(Moves::Often);
}

#[test]
fn random_histories_of_logs_with_wide_gaps_agree_with_the_model() {
    agree(Moves::WithWideGaps);
}

fn agree(moves: Moves) {
    let mut reached = std::collections::BTreeMap::<&str, u64>::new();
    let seeds = std::env::var("SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(60u64);
    let first = std::env::var("FIRST_SEED").ok();
    let first = first.and_then(|n| n.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        let run = std::panic::catch_unwind(|| history(seed, moves));
        let run = run.unwrap_or_else(|_| panic!("seed {seed}"));
        for (marker, count) in run {
            *reached.entry(marker.name()).or_default() += count;
        }
    }
    for marker in [
        Marker::SegmentRolled,
        Marker::TailRewritten,
        Marker::RingReused,
        Marker::SnapshotUsed,
    ] {
        assert!(
            reached[marker.name()] > 0,
            "{} was not reached: {reached:?}",
            marker.name()
        );
    }
}
