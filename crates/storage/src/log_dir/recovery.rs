//! Opening a log directory: the newest checkpoint, then the journal from there on. No segment, index or partition
//! directory is opened.

use super::cache::FileCache;
use super::checkpointing::Checkpoints;
use super::cleaner::Cleaner;
use super::deletion::Removal;
use super::file_range::ReadShared;
use super::health::Health;
use super::large::LargeFiles;
use super::pins::Pins;
use super::pump::Pump;
use super::reader_memory::ReaderMemory;
use super::replay::Replay;
use super::retention::Sweep;
use super::scrub::Scrub;
use super::table::Table;
use super::{LogDir, LogDirOptions, OpenError, dir_names};

use crate::disk::{Disk, DiskError};
use crate::findings::Findings;
use crate::marker::{Marker, Markers};
use crate::planted::PlantedBug;
use crate::tail_memory::TailMemory;
use crate::wal::Wal;
use ottla_types::{Now, TopicPartition};
use parking_lot::{Mutex, RwLock};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What a restart means for the replicas in this directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was shut down in order.
    Clean,
    /// Everything that was acknowledged as durable is there.
    Recovered,
    /// Something that was acknowledged may be missing.
    Lossy,
}

/// What recovery found and did.
#[derive(Clone, Debug)]
pub struct RecoveryReport {
    /// What it means.
    pub verdict: Verdict,
    /// Bytes read: checkpoints and journal.
    pub bytes_read: u64,
    /// Journal entries applied.
    pub entries_count: u64,
    /// Partitions that are there now.
    pub partitions_count: usize,
    /// Partitions that lost data, with the reason.
    pub damaged: Vec<(TopicPartition, String)>,
    /// Checkpoints that were damaged and not used, with the part that is bad.
    pub damaged_checkpoints: Vec<(PathBuf, &'static str)>,
    /// The directory was made just now.
    pub is_new: bool,
    /// No checkpoint was valid although there should be one: everything was read.
    pub was_rebuilt: bool,
}

impl LogDir {
    /// Opens the directory that is `disk`'s root, making it when it is empty.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: LogDirOptions,
        now: Now,
    ) -> Result<(LogDir, RecoveryReport), OpenError> {
        let lock = disk
            .lock(Path::new(dir_names::LOCK))
            .map_err(|error| match error {
                DiskError::AlreadyLocked { .. } => OpenError::Locked,
                DiskError::NotFound { .. }
                | DiskError::AlreadyExists { .. }
                | DiskError::Full { .. }
                | DiskError::Refused { .. }
                | DiskError::Io { .. } => OpenError::Disk(error),
            })?;
        let (markers, health) = (Arc::new(Markers::new()), Arc::<Health>::default());
        let (checkpoints, restored) = Checkpoints::open(&disk, &markers)?;
        let mut replay = Replay::new(
            restored,
            &options,
            Arc::clone(&disk),
            Arc::clone(&markers),
            now,
        );
        let start = replay.restored.start;
        let (wal, recovery) = loop {
            let opened = Wal::open(
                Arc::clone(&disk),
                Path::new(dir_names::WAL),
                options.wal,
                Arc::clone(&markers),
                start,
                &mut |replayed| replay.apply(replayed),
            )?;
            if let Some(error) = replay.failure.take() {
                return Err(error);
            }
            // What the journal says of files holds by now: it is on the device.
            if !replay.rebuild()? {
                break opened;
            }
            replay.restored.bytes_read += opened.1.bytes_read;
        };
        disk.sync_dir(Path::new(""))?;
        let large = LargeFiles::open(&*disk, Arc::clone(&health))?;
        large.replayed(&replay.large, wal.durable_lsn());
        replay.finish();
        if !options.planted.is(PlantedBug::SwapNotRedone) {
            let dir_of = |id| replay.partitions.get(&id)?.state.dir.clone();
            if 0 < replay.redo.carry_out(&*disk, dir_of)? {
                markers.reach(Marker::SwapRedone);
            }
        }
        // An unreadable entry is no loss when the segments, or later entries, have what it said.
        let is_lossy = replay.is_unnamed || replay.was_rebuilt || !replay.damaged().is_empty();
        let verdict = if is_lossy {
            Verdict::Lossy
        } else if recovery.is_clean() {
            Verdict::Clean
        } else {
            Verdict::Recovered
        };
        let report = RecoveryReport {
            verdict,
            bytes_read: recovery.bytes_read + replay.restored.bytes_read,
            entries_count: recovery.entries_count,
            partitions_count: replay.partitions.len(),
            damaged: replay.damaged(),
            is_new: recovery.is_new && replay.restored.start.is_none(),
            was_rebuilt: replay.was_rebuilt,
            damaged_checkpoints: std::mem::take(&mut replay.restored.skipped),
        };
        let findings = Arc::<Findings>::default();
        let reads = Arc::new(ReadShared {
            disk: Arc::clone(&disk),
            cache: FileCache::new(options.open_files_max, options.units_bytes_max),
            findings: Arc::clone(&findings),
            health: Arc::clone(&health),
        });
        let dir = LogDir {
            disk,
            wal,
            reads,
            table: RwLock::new(Table::new(Arc::clone(&findings))),
            pins: Mutex::new(Pins::default()),
            pump: Mutex::new(Pump::default()),
            unlinks: Mutex::default(),
            dropping: Mutex::default(),
            removing: Mutex::default(),
            checkpoints: Mutex::new(checkpoints),
            retention: Mutex::new(Sweep::default()),
            scrub: Mutex::new(Scrub::new(now, options.scrub_delay)),
            cleaner: Mutex::new(Cleaner::new(options.cleaner)),
            cleaner_wanted: Mutex::default(),
            cleaner_stats: Mutex::default(),
            swaps: Mutex::default(),
            health,
            findings,
            markers,
            verdict,
            large: Arc::new(large),
            flush_waker: OnceLock::new(),
            tail_memory: TailMemory::new(options.tail_bytes_max / 4 * 5),
            reader_memory: ReaderMemory::new(options.reader_bytes_max),
            tail_bytes: AtomicUsize::new(0),
            replayed_excess: AtomicUsize::new(0),
            producers_count: AtomicUsize::new(0),
            producer_expiration_ms: AtomicI64::new(options.producer_expiration_ms),
            free_bytes: AtomicU64::new(u64::MAX),
            total_bytes: AtomicU64::new(0),
            options,
            _lock: lock,
        };
        if let Some(positions) = replay.restored.positions {
            // The journal forgets across a restart what the checkpoints still need.
            dir.wal.checkpointed(&positions.newest, &positions.kept);
        }
        dir.take_over(replay);
        Ok((dir, report))
    }

    fn take_over(&self, replay: Replay) {
        let mut table = self.table.write();
        for (id, recovering) in replay.partitions {
            let mut state = recovering.state;
            state.expect_reserved_room();
            self.add_tail_bytes(state.tail.memory());
            self.count_producers(state.producers.count(), 0);
            let pin = state.pin;
            let slot = table.insert(id, state).slot();
            self.pins.lock().moved(slot, None, pin);
        }
        drop(table);
        let replayed = self.tail_bytes.load(Ordering::Relaxed);
        let excess = replayed.saturating_sub(self.options.tail_bytes_max);
        self.replayed_excess.store(excess, Ordering::Relaxed);
        for (id, dir, lsn) in replay.drops {
            self.pins.lock().hold(lsn);
            let removal = Removal::new(id, Arc::from(dir), lsn, None);
            self.pump.lock().add_removal(removal);
        }
    }
}
