//! Sizes and times of the journal.

use super::frame::PAGE_SIZE;
use crate::planted::Planted;
use std::time::Duration;

/// Sizes in bytes and times of a journal. Sizes of files are multiples of the page size.
#[derive(Clone, Copy, Debug)]
pub struct WalOptions {
    /// Size of the first ring file; each further one is twice as large as the largest.
    pub first_file_size: u64,
    /// Size of the largest ring files.
    pub file_size_max: u64,
    /// Size of all ring files together.
    pub ring_size_max: u64,
    /// Bytes that a restart may have to replay before releasing becomes urgent.
    pub span_max: u64,
    /// A group takes no further entry that would make its frame larger than this.
    pub group_size_max: u64,
    /// Frames from this size on are written past the page cache: nobody reads them but a restart. Smaller ones are
    /// written faster into pages that the ring has already.
    pub uncached_size_min: u64,
    /// Of entries that nobody awaits an fsync of, so many bytes are written by who queued them (see
    /// [`Wal::write_unawaited`](super::Wal::write_unawaited)); more is left to the pump.
    pub unawaited_bytes_max: u64,
    /// Largest body of an entry; a frame with it must fit a file of `file_size_max`.
    pub entry_size_max: usize,
    /// After so long without a commit an empty frame proves the last one.
    pub idle_after: Duration,
    /// Entries that wait for no fsync get one after so long,
    pub os_sync_after: Duration,
    /// or when so many bytes are without.
    pub os_sync_bytes: u64,
    /// Longest time a commit waits for a larger group.
    pub gather_max: Duration,
    /// How long after a full disk the ring tries to grow again.
    pub growth_retry_after: Duration,
    /// How long after a write found the disk full it is tried again.
    pub full_retry_after: Duration,
    /// How long a commit without a free ring file waits before it looks again.
    pub stall_retry_after: Duration,
    /// Which bug is planted.
    pub planted: Planted,
}

impl WalOptions {
    /// Small files and limits, so that a test turns the ring quickly: entries of up to 32 KiB.
    pub fn tiny() -> WalOptions {
        WalOptions {
            first_file_size: 64 << 10,
            file_size_max: 64 << 10,
            ring_size_max: 512 << 10,
            span_max: 256 << 10,
            group_size_max: 32 << 10,
            uncached_size_min: 16 << 10,
            unawaited_bytes_max: 20 << 10,
            entry_size_max: 32 << 10,
            os_sync_bytes: 24 << 10,
            ..WalOptions::default()
        }
    }

    /// Fails when the sizes contradict each other.
    pub(crate) fn check(&self) {
        assert!(
            self.first_file_size.is_multiple_of(PAGE_SIZE),
            "files are whole pages"
        );
        assert!(
            self.file_size_max.is_multiple_of(PAGE_SIZE),
            "files are whole pages"
        );
        assert!(self.first_file_size <= self.file_size_max, "files grow");
        assert!(
            2 * self.file_size_max <= self.ring_size_max,
            "one file is written, one is freed"
        );
        let frame_max = self.entry_size_max as u64 + 3 * PAGE_SIZE;
        assert!(
            frame_max <= self.file_size_max,
            "the largest entry fits the largest file"
        );
    }
}

impl Default for WalOptions {
    fn default() -> WalOptions {
        WalOptions {
            first_file_size: 4 << 20,
            file_size_max: 256 << 20,
            ring_size_max: 1 << 30,
            span_max: 512 << 20,
            group_size_max: 8 << 20,
            uncached_size_min: 128 << 10,
            unawaited_bytes_max: 512 << 10,
            entry_size_max: 16 << 20,
            idle_after: Duration::from_millis(20),
            os_sync_after: Duration::from_secs(1),
            os_sync_bytes: 64 << 20,
            gather_max: Duration::from_millis(1),
            growth_retry_after: Duration::from_secs(5),
            full_retry_after: Duration::from_secs(1),
            stall_retry_after: Duration::from_millis(20),
            planted: Planted::none(),
        }
    }
}
