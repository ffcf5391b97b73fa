//! A partition's log comes into a directory, serves, goes, and comes back, on a disk that crashes inside every single
//! operation: what was acknowledged is there afterwards, of the right one of its logs, and nothing else.

use ottla_records::{BatchBuilder, BatchView, Codec, Compressor, ValidBatch, batches, stamp};
use ottla_sim::Trace;
use ottla_sim::disk::{CrashKind, SimDisk};
use ottla_storage::disk::Disk;
use ottla_storage::log_dir::{
    AppendBatch, AppendOrigin, LogConfig, LogDir, LogDirOptions, Part, ReadLimit, StorageError,
    Verdict,
};
use ottla_storage::segment::Access;
use ottla_storage::wal::WalOptions;
use ottla_types::{
    LeaderEpoch, Lsn, Mono, Now, Offset, PartitionId, PartitionSlot, ProducerEpoch, ProducerId,
    Sequence, Timestamp, TopicId, TopicPartition, Uuid,
};
use std::sync::Arc;
use std::time::Duration;

const ROUNDS_COUNT: i64 = 3;
const BATCHES_COUNT: i64 = 14;
/// Only the source knew this producer.
const QUIET_PRODUCER: ProducerId = ProducerId::new(77);

fn id() -> TopicPartition {
    TopicPartition {
        topic_id: TopicId::new(Uuid::from_random([7; 16])),
        partition: PartitionId::new(0),
    }
}

fn options() -> LogDirOptions {
    LogDirOptions {
        wal: WalOptions {
            span_max: 96 << 10,
            ..WalOptions::tiny()
        },
        tail_bytes_max: 16 << 10,
        rewrite_bytes_max: 2 << 10,
        reserve_bytes: 0,
        reserve_percent: 0,
        ..LogDirOptions::default()
    }
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 12_000,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

/// Where the log of a round begins.
fn start(round: i64) -> i64 {
    round * 1_000
}

/// The batches of a round: every other offset is left out.
fn offset(round: i64, index: i64) -> i64 {
    start(round) + 5 + index * 2
}

fn batch(round: i64, index: i64) -> Vec<u8> {
    let sequence = Sequence::new((round * 100 + index) as i32);
    let mut builder = BatchBuilder::new(Codec::None).producer(
        ProducerId::new(5),
        ProducerEpoch::new(0),
        sequence,
    );
    let value = vec![index as u8; 2_500];
    builder.push(Timestamp::from_millis(1_000), None, Some(&value), &[]);
    let mut bytes = builder.finish(&mut Compressor::default()).to_vec();
    let base = Offset::new(offset(round, index));
    stamp(&mut bytes, base, LeaderEpoch::new(3));
    bytes
}

/// What the caller was told, and what it asked for since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    round: i64,
    /// The log was begun.
    is_there: bool,
    /// So many batches are in it.
    count: i64,
    is_told: bool,
    is_promoted: bool,
}

/// One life of the directory.
struct Life {
    disk: SimDisk,
    dir: LogDir,
    now: Now,
}

/// The machine crashed.
struct Crashed;

impl Life {
    fn open(disk: SimDisk, now: Now) -> Result<Life, Crashed> {
        let through: Arc<dyn Disk> = Arc::new(disk.clone());
        match LogDir::open(through, options(), now) {
            Ok((dir, report)) => {
                assert_ne!(report.verdict, Verdict::Lossy, "{report:?}");
                Ok(Life { disk, dir, now })
            }
            Err(error) => {
                assert!(disk.is_crashed(), "{error}");
                Err(Crashed)
            }
        }
    }

    /// All pumps go one step on.
    fn pump(&mut self) -> Result<(), Crashed> {
        self.dir.commit_step(self.now);
        self.dir.zero_step(self.now);
        for _ in 0..2 {
            self.dir.flush_step(self.now);
        }
        self.dir.retention_step(self.now);
        self.dir.scrub_step(self.now);
        self.now.mono = self.now.mono.plus(Duration::from_millis(5));
        match self.disk.is_crashed() {
            true => Err(Crashed),
            false => Ok(()),
        }
    }

    fn wait(&mut self, lsn: Lsn) -> Result<(), Crashed> {
        for _ in 0..20_000 {
            if lsn <= self.dir.durable_lsn() {
                return Ok(());
            }
            self.pump()?;
        }
        panic!("the journal does not get on: {:?}", self.dir.stats());
    }

    fn begin(&mut self, round: i64) -> Result<(PartitionSlot, Lsn), Crashed> {
        for _ in 0..20_000 {
            let start = Offset::new(start(round));
            match self.dir.begin_future(id(), "topic", config(), start) {
                Ok(begun) => return Ok(begun),
                Err(StorageError::Undurable { .. } | StorageError::BeingRemoved) => {}
                Err(StorageError::Offline) => return Err(Crashed),
                Err(error) => panic!("{error}"),
            }
            self.pump()?;
        }
        panic!("the former log does not go");
    }

    fn append(&mut self, slot: PartitionSlot, bytes: &[u8]) -> Result<Lsn, Crashed> {
        let view = BatchView::parse(bytes).expect("a batch");
        let facts = ValidBatch::from_header(&view).expect("a known codec");
        let batch = AppendBatch {
            bytes,
            facts: &facts,
            origin: AppendOrigin::Replica,
        };
        let appended = self.dir.append(slot, LeaderEpoch::new(3), batch, self.now);
        appended.map(|it| it.durability).map_err(|_| Crashed)
    }

    /// One round of coming, serving and going. `told` is what was acknowledged, `asked` what may be there as well.
    fn round(&mut self, round: i64, told: &mut Known, asked: &mut Known) -> Result<(), Crashed> {
        asked.round = round;
        asked.is_there = true;
        (asked.count, asked.is_told, asked.is_promoted) = (0, false, false);
        let (slot, lsn) = self.begin(round)?;
        self.wait(lsn)?;
        *told = *asked;
        for index in 0..BATCHES_COUNT {
            asked.count = index + 1;
            let lsn = self.append(slot, &batch(round, index))?;
            if index % 3 == 2 {
                self.wait(lsn)?;
                *told = *asked;
            }
            if index == 4 {
                self.dir.request_flush(slot, true);
            }
            if index == 9 {
                asked.is_told = true;
                let mut source = self.dir.remembered(slot, self.now).map_err(|_| Crashed)?;
                let mut quiet = source.producers[0].clone();
                let decoy = ottla_storage::producer_state::ProducerEntry::new(
                    QUIET_PRODUCER,
                    ProducerEpoch::new(4),
                    self.now.wall,
                );
                let last = *quiet.last().expect("it produced");
                quiet = decoy;
                quiet.push(ProducerEpoch::new(4), last, self.now.wall);
                source.producers.push(quiet);
                let remembered = self.dir.remember(slot, &source, self.now);
                let lsn = remembered.map_err(|_| Crashed)?;
                self.wait(lsn)?;
                *told = *asked;
                asked.is_promoted = true;
                let lsn = self.dir.promote(slot).map_err(|_| Crashed)?;
                self.wait(lsn)?;
                *told = *asked;
            }
        }
        asked.is_there = false;
        let lsn = self.dir.drop_partition(slot, self.now);
        self.wait(lsn.map_err(|_| Crashed)?)?;
        *told = *asked;
        for _ in 0..round * 20 {
            self.pump()?;
        }
        Ok(())
    }

    /// Holds what is there against what was acknowledged and what was asked for since.
    fn check(&mut self, told: &Known, asked: &Known, place: &str) {
        let Some(slot) = self.dir.slot(id()) else {
            let may_be_gone = !told.is_there || !asked.is_there || told.round < asked.round;
            assert!(may_be_gone, "{place}: {told:?} is lost");
            return;
        };
        let ends = self.dir.ends(slot).expect("there");
        let round = ends.log_start.get() / 1_000;
        let is_last = round == asked.round && (asked.is_there || told.is_there);
        let is_one_of_both = is_last || round == told.round && told.is_there;
        assert!(is_one_of_both, "{place}: {told:?} {asked:?} {ends:?}");
        let is_told_round = round == told.round && told.is_there;
        let floor = if is_told_round { told.count } else { 0 };
        let found = self.batches(slot);
        let count = found.len() as i64;
        assert!(
            floor <= count && count <= asked.count.max(told.count),
            "{place}: {count}"
        );
        for (index, bytes) in found.iter().enumerate() {
            assert!(
                *bytes == batch(round, index as i64),
                "{place}: batch {index}"
            );
        }
        let is_future = self.dir.is_future(slot);
        assert!(
            !is_told_round || !told.is_promoted || !is_future,
            "{place}: it was promoted"
        );
        assert!(
            asked.is_promoted || told.is_promoted || is_future,
            "{place}: it was not"
        );
        let known = self.dir.remembered(slot, self.now).expect("readable");
        let mut ids = known.producers.iter().map(|entry| entry.id());
        assert!(
            !is_told_round || !told.is_told || ids.any(|id| id == QUIET_PRODUCER),
            "{place}: the producer that only the source knew is forgotten"
        );
    }

    fn batches(&self, slot: PartitionSlot) -> Vec<Vec<u8>> {
        let ends = self.dir.ends(slot).expect("there");
        let mut at = ends.log_start;
        let mut all = Vec::new();
        while at < ends.appended_end {
            let limit = ReadLimit {
                end: ends.appended_end,
                bytes_max: 1 << 20,
                at_least_one_batch: true,
            };
            let plan = self
                .dir
                .read_with(slot, at, limit, Access::Wait)
                .expect("readable");
            for part in &plan.parts {
                let bytes = match part {
                    Part::Memory(bytes) => bytes.to_vec(),
                    Part::File(range) => range.load_all().expect("whole"),
                };
                let found = batches(&bytes).map(|it| it.expect("a batch").bytes().to_vec());
                all.extend(found);
            }
            assert!(at < plan.next_offset, "a read gets on");
            at = plan.next_offset;
        }
        all
    }
}

/// A life that crashes inside its changing operation number `crash_at`, and the lives after it. Returns whether it crashed.
fn run(seed: u64, crash_at: u64, kind: CrashKind) -> bool {
    let place = format!("seed {seed}, operation {crash_at}, {kind:?}");
    let mut disk = SimDisk::new(seed ^ crash_at, 1 << 30, Trace::quiet());
    let mut now = Now {
        mono: Mono::from_millis(1),
        wall: Timestamp::from_millis(1_000_000),
    };
    let nothing = Known {
        round: -1,
        is_there: false,
        count: 0,
        is_told: false,
        is_promoted: false,
    };
    let (mut told, mut asked) = (nothing, nothing);
    disk.crash_after(Some(crash_at));
    let lived = Life::open(disk.clone(), now).and_then(|mut life| {
        let lived =
            (0..ROUNDS_COUNT).try_for_each(|round| life.round(round, &mut told, &mut asked));
        now = life.now;
        lived
    });
    if lived.is_ok() {
        return false;
    }
    // The first start may crash as well.
    let mut again = Some(crash_at % 7);
    let mut life = loop {
        disk = disk.reboot(kind);
        disk.crash_after(again.take());
        match Life::open(disk.clone(), now) {
            Ok(life) => break life,
            Err(Crashed) => continue,
        }
    };
    if life.disk.is_crashed() {
        life = reopened(life, kind);
    }
    life.disk.crash_after(None);
    life.check(&told, &asked, &place);
    if let Some(slot) = life.dir.slot(id()) {
        life.dir.drop_partition(slot, now).expect("online");
    }
    let round = asked.round + 1;
    let (mut told, mut asked) = (nothing, nothing);
    let gone = life.round(round, &mut told, &mut asked);
    assert!(gone.is_ok(), "{place}: {:?}", life.dir.health());
    let (slot, lsn) = life.begin(round + 1).unwrap_or_else(|_| panic!("{place}"));
    let appended = life.append(slot, &batch(round + 1, 0));
    assert!(appended.is_ok() && life.wait(lsn).is_ok(), "{place}");
    for _ in 0..300 {
        assert!(life.pump().is_ok(), "{place}");
    }
    let life = reopened(life, kind);
    let slot = life.dir.slot(id()).expect("it was begun");
    assert_eq!(life.batches(slot), [batch(round + 1, 0)], "{place}");
    assert_eq!(life.dir.findings().damage_count(), 0, "{place}");
    true
}

fn reopened(life: Life, kind: CrashKind) -> Life {
    let Life { disk, dir, now } = life;
    drop(dir);
    match Life::open(disk.reboot(kind), now) {
        Ok(life) => life,
        Err(Crashed) => panic!("nothing crashes any more"),
    }
}

/// `MOVES=1` crashes inside every operation, and not only inside some.
#[test]
fn a_crash_inside_any_operation_leaves_the_log_that_was_acknowledged() {
    let step = if std::env::var_os("MOVES").is_some() {
        1
    } else {
        17
    };
    let mut seeds = 0..if step == 1 { 4 } else { 1 };
    let crashes: u64 = seeds
        .by_ref()
        .flat_map(|seed| [(seed, CrashKind::ProcessKill), (seed, CrashKind::PowerLoss)])
        .map(|(seed, kind)| {
            let places = (seed % step..).step_by(step as usize);
            places.take_while(|at| run(seed, *at, kind)).count() as u64
        })
        .sum();
    assert!(100 / step < crashes, "{crashes} crashes");
}
