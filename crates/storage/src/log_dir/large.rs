//! Batches that are too large for the journal lie beside it, each in a file of its own.
//!
//! Such a batch is written and synced **before** it gets its offset ([`LogDir::write_large`]). Only then is it appended
//! ([`LogDir::append_large`]): its journal entry names the file, and from there on it is a batch like any other. So
//! neither the journal nor the partition ever waits for it, and the order of the journal stays that of the partition.
//! Its file goes when no checkpoint is left from which a replay would meet the entry.

use super::append::{AppendOrigin, BatchCopy};
use super::health::Health;
use super::work::TaskStep;
use super::{AppendError, LogDir, dir_names};
use crate::disk::{Disk, DiskError, DiskFile, OpenMode};
use crate::marker::Marker;
use crate::planted::PlantedBug;
use crate::segment::{Access, ReadFault, read_into};
use crate::wal::{ReplayedEntry, WalPressure};
use bytes::{Bytes, BytesMut};
use ottla_records::{BatchView, HEADER_SIZE};
use ottla_types::Lsn;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const SUFFIX: &str = ".batch";
const NUMBER_SIZE: usize = 8;

/// A large batch whose bytes are on their way to the device, or there. Dropped without being appended, it leaves
/// nothing.
#[derive(Debug)]
pub struct LargeBatch {
    shared: Arc<Shared>,
    files: Arc<LargeFiles>,
}

#[derive(Debug)]
struct Shared {
    number: u64,
    size: usize,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
enum Progress {
    Waiting(BatchCopy),
    /// The pump has the bytes.
    Writing,
    /// They are on the device.
    Written(BatchCopy),
    Failed(DiskError),
    /// Appended, or not wanted any more.
    Over,
}

/// The files of a directory.
#[derive(Debug)]
pub(super) struct LargeFiles {
    inner: Mutex<Inner>,
    health: Arc<Health>,
}

#[derive(Debug, Default)]
struct Inner {
    next_number: u64,
    has_dir: bool,
    /// Not begun to be written.
    queue: VecDeque<Arc<Shared>>,
    /// Bytes of batches that are not appended yet.
    waiting_bytes: usize,
    /// Files that a replay may ask for until it begins behind this entry: their numbers and sizes.
    needed: BTreeMap<(Lsn, u64), u64>,
    needed_bytes: u64,
    /// Files that nobody needs.
    superfluous: Vec<u64>,
}

impl LargeFiles {
    /// Looks for files of earlier processes. `health` is that of the directory.
    pub(super) fn open(disk: &dyn Disk, health: Arc<Health>) -> Result<LargeFiles, DiskError> {
        let mut inner = Inner::default();
        match disk.list(Path::new(dir_names::LARGE)) {
            Ok(entries) => {
                inner.has_dir = true;
                for entry in entries {
                    if let Some(number) = number_of(&entry.name) {
                        inner.next_number = inner.next_number.max(number.saturating_add(1));
                        inner.need(Lsn::ZERO, number, entry.size);
                    }
                }
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        Ok(LargeFiles {
            inner: Mutex::new(inner),
            health,
        })
    }

    /// The journal was replayed up to `last`, and in it were these entries and the files they name. What it did not
    /// name may be named by an older entry, that only an older checkpoint leads to.
    pub(super) fn replayed(&self, entries: &BTreeMap<u64, Lsn>, last: Lsn) {
        let mut inner = self.inner.lock();
        let found = std::mem::take(&mut inner.needed);
        inner.needed_bytes = 0;
        for ((_, number), size) in found {
            let lsn = entries.get(&number).copied().unwrap_or(last);
            inner.need(lsn, number, size);
        }
        let newest = entries.keys().next_back();
        let next_number = newest.map_or(0, |number| number.saturating_add(1));
        inner.next_number = inner.next_number.max(next_number);
    }

    /// Replays begin at the entry `from` or behind it from now on.
    pub(super) fn release_below(&self, from: Lsn) {
        let mut inner = self.inner.lock();
        while let Some(first) = inner.needed.first_entry()
            && first.key().0 < from
        {
            let ((_, number), size) = first.remove_entry();
            inner.needed_bytes -= size;
            inner.superfluous.push(number);
        }
    }

    /// Bytes of files that a replay may ask for.
    pub(super) fn needed_bytes(&self) -> u64 {
        self.inner.lock().needed_bytes
    }

    /// Bytes of batches that are not appended yet.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.inner.lock().waiting_bytes
    }

    /// A file that nobody needs, to be removed.
    pub(super) fn take_superfluous(&self) -> Option<u64> {
        self.inner.lock().superfluous.pop()
    }

    /// A file could not be removed now.
    pub(super) fn give_back(&self, number: u64) {
        self.inner.lock().superfluous.push(number);
    }

    /// The next batch to write, oldest first.
    pub(super) fn next_task(&self) -> Option<LargeTask> {
        loop {
            let mut inner = self.inner.lock();
            let (shared, has_dir) = (inner.queue.pop_front()?, inner.has_dir);
            drop(inner);
            let mut progress = shared.progress.lock();
            if !matches!(*progress, Progress::Waiting(_)) {
                continue; // not wanted any more
            }
            let Progress::Waiting(copy) = std::mem::replace(&mut *progress, Progress::Writing)
            else {
                unreachable!("it was looked at under the lock");
            };
            drop(progress);
            let stage = match has_dir {
                true => Stage::Write,
                false => Stage::MakeDir,
            };
            return Some(LargeTask {
                shared,
                copy,
                stage,
            });
        }
    }

    /// The entry of an appended batch, if it was appended.
    fn appended(&self, shared: &Shared, lsn: Option<Lsn>) {
        let mut inner = self.inner.lock();
        match lsn {
            Some(lsn) => inner.need(lsn, shared.number, shared.size as u64),
            None => inner.superfluous.push(shared.number),
        }
    }
}

impl Inner {
    fn need(&mut self, lsn: Lsn, number: u64, size: u64) {
        self.needed.insert((lsn, number), size);
        self.needed_bytes += size;
    }

    /// The oldest entries whose files hold more than `bytes_max`, by the last of them.
    fn excess(&self, bytes_max: u64) -> Option<Lsn> {
        let mut left = self.needed_bytes;
        let mut sizes = self.needed.iter();
        sizes
            .find(|(_, size)| {
                left -= **size;
                left <= bytes_max
            })
            .map(|((lsn, _), _)| *lsn)
    }
}

impl LargeBatch {
    /// Whether waiting is over: it can be appended, or never will be.
    pub fn is_settled(&self) -> bool {
        let is_under_way = matches!(
            *self.shared.progress.lock(),
            Progress::Waiting(_) | Progress::Writing
        );
        !is_under_way || self.files.health.is_offline()
    }

    /// Its bytes, if they are on the device.
    fn take(&self) -> Result<BatchCopy, AppendError> {
        let mut progress = self.shared.progress.lock();
        match std::mem::replace(&mut *progress, Progress::Over) {
            Progress::Written(copy) => Ok(copy),
            other => {
                let error = match &other {
                    Progress::Failed(error) if error.is_full() => AppendError::Full,
                    Progress::Failed(_) => AppendError::Offline,
                    _ if self.files.health.is_offline() => AppendError::Offline,
                    _ => AppendError::Large,
                };
                *progress = other;
                Err(error)
            }
        }
    }
}

impl Drop for LargeBatch {
    fn drop(&mut self) {
        let mut progress = self.shared.progress.lock();
        let before = std::mem::replace(&mut *progress, Progress::Over);
        drop(progress);
        let mut inner = self.files.inner.lock();
        inner.waiting_bytes -= self.shared.size;
        if matches!(before, Progress::Written(_)) {
            inner.superfluous.push(self.shared.number);
        }
    }
}

/// Brings one batch to the device.
pub(super) struct LargeTask {
    shared: Arc<Shared>,
    copy: BatchCopy,
    stage: Stage,
}

enum Stage {
    MakeDir,
    SyncRoot,
    Write,
    Sync(Arc<dyn DiskFile>),
    SyncDir,
}

impl LargeTask {
    /// Does the next step. After an error the task is over.
    pub(super) fn step(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        let is_unsynced = dir.options.planted.is(PlantedBug::LargeBatchUnsynced);
        self.stage = match &self.stage {
            Stage::MakeDir => {
                dir.disk.create_dir(Path::new(dir_names::LARGE))?;
                Stage::SyncRoot
            }
            Stage::SyncRoot => {
                dir.disk.sync_dir(Path::new(""))?;
                dir.large.inner.lock().has_dir = true;
                Stage::Write
            }
            Stage::Write => {
                let path = path_of(self.shared.number);
                let file = dir.disk.open(&path, OpenMode::CreateNew)?;
                file.write_uncached(0, &[self.copy.bytes.bytes()])?;
                Stage::Sync(file)
            }
            Stage::Sync(file) => {
                if !is_unsynced {
                    file.sync_data()?;
                }
                Stage::SyncDir
            }
            Stage::SyncDir => {
                dir.disk.sync_dir(Path::new(dir_names::LARGE))?;
                return Ok(TaskStep::Done);
            }
        };
        Ok(TaskStep::More)
    }

    /// It is over, well or not.
    pub(super) fn finish(self, dir: &LogDir, failure: Option<DiskError>) {
        let mut progress = self.shared.progress.lock();
        let is_wanted = matches!(*progress, Progress::Writing);
        let is_lost = !is_wanted || failure.is_some();
        if is_wanted {
            *progress = match failure {
                Some(error) => Progress::Failed(error),
                None => Progress::Written(self.copy),
            };
        }
        drop(progress);
        if is_lost {
            dir.large.give_back(self.shared.number);
        }
    }
}

/// Removes a file.
pub(super) fn remove(dir: &LogDir, number: u64) -> Result<TaskStep, ReadFault> {
    match dir.disk.remove_file(&path_of(number)) {
        Ok(()) => {
            dir.markers.reach(Marker::LargeBatchReleased);
            Ok(TaskStep::Done)
        }
        Err(error) if error.is_not_found() => Ok(TaskStep::Done),
        Err(error) => Err(error.into()),
    }
}

impl LogDir {
    /// Whether a batch of `size` bytes has to be written before it can be appended.
    pub fn is_large(&self, size: usize) -> bool {
        self.options.around_bytes < size
    }

    /// Whether one more large batch may be begun now: those that are not appended yet are in memory.
    pub fn takes_large(&self, size: usize) -> bool {
        let waiting = self.large.waiting_bytes();
        waiting == 0 || waiting + size <= self.options.tail_bytes_max
    }

    /// Begins to write a large batch, which [`LogDir::flush_step`] does. When it [`LargeBatch::is_settled`], it is
    /// appended with [`LogDir::append_large`].
    pub fn write_large(&self, bytes: &[u8]) -> Result<LargeBatch, AppendError> {
        self.admit(AppendOrigin::Client)?;
        if !self.has_room_for(bytes.len()) {
            return Err(AppendError::Full);
        }
        let copy = self.copy(bytes, 0);
        let mut inner = self.large.inner.lock();
        let shared = Arc::new(Shared {
            number: inner.next_number,
            size: bytes.len(),
            progress: Mutex::new(Progress::Waiting(copy)),
        });
        inner.next_number += 1;
        inner.waiting_bytes += shared.size;
        inner.queue.push_back(Arc::clone(&shared));
        drop(inner);
        if let Some(waker) = self.flush_waker.get() {
            waker();
        }
        Ok(LargeBatch {
            shared,
            files: Arc::clone(&self.large),
        })
    }

    /// Takes the bytes of a written batch; what `append` does with them decides about their file.
    pub(super) fn take_large<T>(
        &self,
        large: &LargeBatch,
        append: impl FnOnce(BatchCopy, u64) -> Result<(T, Option<Lsn>), AppendError>,
    ) -> Result<T, AppendError> {
        if !Arc::ptr_eq(&large.files, &self.large) {
            return Err(AppendError::Large); // it lies in another directory
        }
        let copy = large.take()?;
        let appended = append(copy, large.shared.number);
        let lsn = appended.as_ref().ok().and_then(|(_, lsn)| *lsn);
        self.large.appended(&large.shared, lsn);
        appended.map(|(result, _)| result)
    }

    /// Files of large batches hold too much: what the journal has to release so that they can go.
    pub(super) fn large_pressure(&self) -> Option<WalPressure> {
        let bytes_max = self.options.large_bytes_max;
        let inner = self.large.inner.lock();
        if inner.needed_bytes <= bytes_max {
            return None;
        }
        let last = inner.excess(bytes_max / 2)?;
        drop(inner);
        Some(self.wal.release_of(last))
    }

    /// Whether the disk has room for a batch of `size` bytes in its file and in its segment, for the tails, and for
    /// the reserve.
    fn has_room_for(&self, size: usize) -> bool {
        let free = self.free_bytes.load(Ordering::Relaxed);
        let unflushed = self.tail_bytes.load(Ordering::Relaxed) + self.large.waiting_bytes();
        let reserve = self.reserve(self.total_bytes.load(Ordering::Relaxed));
        reserve + (unflushed + 2 * size) as u64 <= free
    }
}

/// What the journal says of the batch in file `number`: the number, and the batch's header as it was appended.
pub(super) fn describe(number: u64, batch: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(NUMBER_SIZE + HEADER_SIZE);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&batch[..HEADER_SIZE]);
    bytes.freeze()
}

/// The file that a journal entry names.
pub(super) fn named_by(entry: &ReplayedEntry) -> Option<u64> {
    let number = entry.body.first_chunk::<NUMBER_SIZE>()?;
    Some(u64::from_le_bytes(*number))
}

/// The batch that a journal entry describes; `None` when it is not in its file.
pub(super) fn read(disk: &dyn Disk, entry: &ReplayedEntry) -> Result<Option<Bytes>, DiskError> {
    let Some(number) = named_by(entry) else {
        return Ok(None);
    };
    let header = &entry.body[NUMBER_SIZE..];
    let file = match disk.open(&path_of(number), OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = usize::try_from(file.size()?).unwrap_or(usize::MAX);
    if header.len() != HEADER_SIZE || size < HEADER_SIZE || i32::MAX as usize <= size {
        return Ok(None);
    }
    let mut bytes = vec![0; size];
    let (place, rest) = bytes.split_at_mut(HEADER_SIZE);
    place.copy_from_slice(header);
    read_into(&*file, HEADER_SIZE as u64, rest, Access::Wait)?;
    let is_it = BatchView::parse(&bytes)
        .is_ok_and(|batch| batch.size_in_bytes() == size && batch.is_crc_valid());
    Ok(is_it.then(|| Bytes::from(bytes)))
}

fn path_of(number: u64) -> PathBuf {
    Path::new(dir_names::LARGE).join(format!("{number:020}{SUFFIX}"))
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}
