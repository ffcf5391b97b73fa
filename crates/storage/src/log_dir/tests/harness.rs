use crate::disk::{Disk, OpenMode};
use crate::log_dir::{
    AppendBatch, AppendError, AppendOrigin, Appended, LargeBatch, LogDir, LogDirOptions, Part,
    PumpStep, ReadLimit, ReadPlan, RecoveryReport,
};
use crate::memory_disk::MemoryDisk;
use crate::partition::LogConfig;
use crate::segment::Access;
use crate::wal::{CommitStep, WalOptions, ZeroStep};
use ottla_records::{BatchBuilder, BatchView, Codec, Compressor, ValidBatch, batches};
use ottla_types::{
    LeaderEpoch, Mono, Now, Offset, PartitionId, PartitionSlot, ProducerEpoch, ProducerId,
    Sequence, Timestamp, TopicId, TopicPartition, Uuid,
};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A directory on a memory disk, with a clock of its own.
pub(super) struct Harness {
    pub(super) disk: MemoryDisk,
    pub(super) dir: Arc<LogDir>,
    pub(super) report: RecoveryReport,
    pub(super) now: Now,
    pub(super) options: LogDirOptions,
}

pub(super) fn small_options() -> LogDirOptions {
    LogDirOptions {
        wal: WalOptions::tiny(),
        tail_bytes_max: 64 << 10,
        reserve_bytes: 0,
        reserve_percent: 0,
        snapshot_producers: 4,
        ..LogDirOptions::default()
    }
}

pub(super) fn partition(number: u8) -> TopicPartition {
    TopicPartition {
        topic_id: TopicId::new(Uuid::from_random([number; 16])),
        partition: PartitionId::new(i32::from(number)),
    }
}

/// All bytes of a file.
pub(super) fn content(disk: &MemoryDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).expect("there");
    let mut bytes = vec![0; file.size().expect("a size") as usize];
    file.read_at(0, &mut bytes).expect("readable");
    bytes
}

pub(super) const EPOCH: LeaderEpoch = LeaderEpoch::new(1);

/// What an idempotent producer says: id, epoch, first sequence.
pub(super) type Producer = (i64, i16, i32);

/// A batch as a client sends it.
pub(super) fn batch(producer: Option<Producer>, timestamps: &[i64], value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    if let Some((id, epoch, sequence)) = producer {
        builder = builder.producer(
            ProducerId::new(id),
            ProducerEpoch::new(epoch),
            Sequence::new(sequence),
        );
    }
    for timestamp in timestamps {
        builder.push(
            Timestamp::from_millis(*timestamp),
            Some(b"k"),
            Some(value),
            &[],
        );
    }
    builder.finish(&mut Compressor::default()).to_vec()
}

impl Harness {
    pub(super) fn new(options: LogDirOptions) -> Harness {
        Harness::on(MemoryDisk::new(), options)
    }

    pub(super) fn on(disk: MemoryDisk, options: LogDirOptions) -> Harness {
        let now = Now {
            mono: Mono::from_millis(1),
            wall: Timestamp::from_millis(1_000_000),
        };
        let through = Arc::new(disk.clone());
        Harness::open(disk, through, options, now)
    }

    /// A directory on `disk`, which it reaches `through` something.
    pub(super) fn open(
        disk: MemoryDisk,
        through: Arc<dyn Disk>,
        options: LogDirOptions,
        now: Now,
    ) -> Harness {
        let opened = LogDir::open(through, options.clone(), now);
        let (dir, report) = opened.expect("the directory opens");
        Harness {
            disk,
            dir: Arc::new(dir),
            report,
            now,
            options,
        }
    }

    /// The process ends here and now; another one opens the directory.
    pub(super) fn restart(self) -> Harness {
        let Harness {
            disk,
            dir,
            now,
            options,
            ..
        } = self;
        drop(dir);
        let through = Arc::new(disk.clone());
        Harness::open(disk, through, options, now)
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now.mono = self.now.mono.plus(Duration::from_millis(millis));
        let wall = self.now.wall.as_millis() + millis as i64;
        self.now.wall = Timestamp::from_millis(wall);
    }

    pub(super) fn create(&self, number: u8, config: LogConfig) -> PartitionSlot {
        let name = format!("topic{number}");
        let slot = self.dir.create_partition(partition(number), &name, config);
        slot.expect("online")
    }

    pub(super) fn try_append(
        &mut self,
        slot: PartitionSlot,
        bytes: &[u8],
    ) -> Result<Appended, AppendError> {
        if !self.dir.is_large(bytes.len()) {
            return self.append_in_journal(slot, bytes);
        }
        let large = self.dir.write_large(bytes)?;
        self.write_out(&large);
        self.append_written(slot, bytes, &large)
    }

    pub(super) fn append_in_journal(
        &self,
        slot: PartitionSlot,
        bytes: &[u8],
    ) -> Result<Appended, AppendError> {
        let facts = facts(bytes);
        let batch = client_batch(bytes, &facts);
        self.dir.append(slot, EPOCH, batch, self.now)
    }

    pub(super) fn append_written(
        &self,
        slot: PartitionSlot,
        bytes: &[u8],
        large: &LargeBatch,
    ) -> Result<Appended, AppendError> {
        let facts = facts(bytes);
        let batch = client_batch(bytes, &facts);
        self.dir.append_large(slot, EPOCH, batch, large, self.now)
    }

    /// Runs the flusher until the batch is on the device, or never will be.
    pub(super) fn write_out(&mut self, large: &LargeBatch) {
        for _ in 0..10_000 {
            if large.is_settled() {
                return;
            }
            self.dir.flush_step(self.now);
        }
        panic!("a large batch is not written");
    }

    pub(super) fn append(&mut self, slot: PartitionSlot, bytes: &[u8]) -> Appended {
        self.try_append(slot, bytes).expect("appended")
    }

    /// Records of 900 bytes, each of its number.
    pub(super) fn append_numbered(&mut self, slot: PartitionSlot, numbers: Range<u8>) {
        for number in numbers {
            self.append(slot, &batch(None, &[1_000], &[number; 900]));
        }
    }

    /// Flips a bit of the byte at `at`.
    pub(super) fn flip_at(&self, path: &Path, at: u64) {
        let file = self.disk.open(path, OpenMode::ReadWrite).expect("there");
        let mut byte = [0];
        file.read_at(at, &mut byte).expect("readable");
        file.write_at(at, &[&[byte[0] ^ 16]]).expect("writable");
    }

    /// Runs the journal until everything queued is durable.
    pub(super) fn commit(&mut self) {
        for _ in 0..100_000 {
            match self.dir.commit_step(self.now) {
                CommitStep::Wrote { .. } | CommitStep::Synced { .. } | CommitStep::Prepared => {}
                CommitStep::Idle => break,
                CommitStep::Waiting { until } => {
                    if self.dir.wal().is_clean()
                        || self.dir.durable_lsn().next() == self.dir.wal().next_lsn()
                    {
                        break;
                    }
                    let wait = until.since(self.now.mono).as_millis() as u64;
                    self.pass(wait.max(1));
                }
                CommitStep::Stalled { .. } => {
                    self.pass(1);
                    while self.dir.zero_step(self.now).is_work() {}
                    self.dir.flush_step(self.now);
                }
                // Nothing but room helps.
                CommitStep::Full { .. } => break,
                CommitStep::Failed(error) => panic!("{error}"),
            }
        }
        while self.dir.zero_step(self.now).is_work() {}
    }

    /// Runs all pumps until none has anything to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..200_000 {
            self.commit();
            match self.dir.flush_step(self.now) {
                PumpStep::Worked => {}
                PumpStep::Waiting { .. } | PumpStep::Offline => return,
            }
        }
        panic!("the pumps do not come to an end");
    }

    /// Brings a partition to the device.
    pub(super) fn flush(&mut self, slot: PartitionSlot) {
        self.dir.request_flush(slot, true);
        self.settle();
    }

    /// Everything a plan holds.
    pub(super) fn load(plan: &ReadPlan) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &plan.parts {
            match part {
                Part::Memory(part) => bytes.extend_from_slice(part),
                Part::File(range) => {
                    bytes.extend_from_slice(&range.load_all().expect("whole"));
                }
            }
        }
        assert_eq!(bytes.len(), plan.size);
        bytes
    }

    /// All batches from `from` on, read in portions of `bytes_max`: (base offset, last offset, bytes).
    pub(super) fn read_all(
        &self,
        slot: PartitionSlot,
        from: i64,
        bytes_max: usize,
    ) -> Vec<(i64, i64, Vec<u8>)> {
        let (all, at) = self.read_far(slot, from, bytes_max);
        let end = self.dir.ends(slot).expect("there").appended_end;
        assert_eq!(at, end.max(at), "a read gets on");
        all
    }

    /// The same, and how far it got: not to the end of the log when what is there was left out.
    pub(super) fn read_far(
        &self,
        slot: PartitionSlot,
        from: i64,
        bytes_max: usize,
    ) -> (Vec<(i64, i64, Vec<u8>)>, Offset) {
        let mut at = Offset::new(from);
        let mut all = Vec::new();
        let end = self.dir.ends(slot).expect("there").appended_end;
        while at < end {
            let limit = ReadLimit {
                end,
                bytes_max,
                at_least_one_batch: true,
            };
            let plan = self
                .dir
                .read_with(slot, at, limit, Access::Wait)
                .expect("readable");
            if plan.next_offset <= at {
                break;
            }
            for batch in batches(&Harness::load(&plan)) {
                let batch = batch.expect("whole batches");
                assert!(batch.is_crc_valid());
                let (base, last) = (batch.base_offset().get(), batch.last_offset().get());
                all.push((base, last, batch.bytes().to_vec()));
            }
            at = plan.next_offset;
        }
        (all, at)
    }
}

fn facts(bytes: &[u8]) -> ValidBatch {
    let view = BatchView::parse(bytes).expect("a batch");
    let mut facts = ValidBatch::from_header(&view).expect("a known codec");
    facts.max_timestamp = view.max_timestamp();
    facts
}

fn client_batch<'a>(bytes: &'a [u8], facts: &'a ValidBatch) -> AppendBatch<'a> {
    AppendBatch {
        bytes,
        facts,
        origin: AppendOrigin::Client,
    }
}

/// Whether a background step did something.
pub(super) trait IsWork {
    fn is_work(&self) -> bool;
}

impl IsWork for ZeroStep {
    fn is_work(&self) -> bool {
        match self {
            ZeroStep::Worked => true,
            ZeroStep::Idle => false,
            ZeroStep::Failed(error) => panic!("{error}"),
        }
    }
}
