use ottla_types::Prng;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a disk writes whole or not at all, in bytes.
pub(super) const SECTOR_SIZE: usize = 512;
/// What the page cache keeps, marks dirty and evicts, in sectors.
pub(super) const PAGE_SECTORS: u64 = 8;

/// What happens to the sectors of one successful fsync, in sectors out of 1,000 each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncDamage {
    /// The disk says "written" and has not: the old sector stays.
    pub lost_per_mille: u64,
    /// The disk writes the sector to another place of the same file.
    pub misdirected_per_mille: u64,
}

/// The two sides of one file: what processes see, and what a power cut leaves.
///
/// Invariants, checked by [`FileNode::check`]:
///  * `sizes` is never empty; its first is the durable size, its last the visible one
///  * a sector is never both dirty and phantom
///  * every sector that is neither holds the same bytes on both sides, as far as both sides reach
pub(super) struct FileNode {
    /// The page cache: what every process reads.
    live: Vec<u8>,
    /// The bytes at rest.
    media: Vec<u8>,
    /// Every size since the last sync, oldest first.
    sizes: Vec<usize>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<u64>,
    /// Clean sectors whose bytes never reached the media: a failed fsync or a lost write.
    phantom: BTreeSet<u64>,
    /// Space it takes, in bytes.
    pub(super) allocated: u64,
    /// One clone per open handle, so that an unlinked file keeps its space while it is open.
    pub(super) open: Arc<()>,
}

impl FileNode {
    pub(super) fn new() -> FileNode {
        FileNode {
            live: Vec::new(),
            media: Vec::new(),
            sizes: vec![0],
            dirty: BTreeSet::new(),
            phantom: BTreeSet::new(),
            allocated: 0,
            open: Arc::new(()),
        }
    }

    pub(super) fn size(&self) -> usize {
        self.live.len()
    }

    pub(super) fn is_open(&self) -> bool {
        Arc::strong_count(&self.open) > 1
    }

    pub(super) fn has_unsynced(&self) -> bool {
        !self.dirty.is_empty() || self.sizes.len() > 1
    }

    pub(super) fn read(&self, position: usize, buf: &mut [u8]) -> usize {
        let start = position.min(self.live.len());
        let count = buf.len().min(self.live.len() - start);
        buf[..count].copy_from_slice(&self.live[start..start + count]);
        count
    }

    /// Writes into the page cache. A sector that was dirty already may just have been on its way
    /// out: sometimes its older version reaches the media.
    pub(super) fn write(&mut self, position: usize, bytes: &[u8], prng: &mut Prng) {
        if bytes.is_empty() {
            return;
        }
        let end = position + bytes.len();
        for sector in sectors(position, end) {
            if self.dirty.contains(&sector) && prng.chance(1, 4) {
                self.write_back(sector);
            }
            self.dirty.insert(sector);
            self.phantom.remove(&sector);
        }
        if self.live.len() < end {
            self.live.resize(end, 0);
            self.sizes.push(end);
        }
        self.live[position..end].copy_from_slice(bytes);
        self.allocated = self.allocated.max(end as u64);
    }

    pub(super) fn set_len(&mut self, size: usize) {
        if size < self.live.len() {
            let first_cut = size.div_ceil(SECTOR_SIZE) as u64;
            self.dirty.retain(|&sector| sector < first_cut);
            self.phantom.retain(|&sector| sector < first_cut);
            self.allocated = size as u64;
        }
        if size != self.live.len() {
            self.live.resize(size, 0);
            self.sizes.push(size);
        }
    }

    /// A successful fsync: both sides are equal afterwards, except where `damage` strikes.
    /// Returns how many sectors were lost or misdirected.
    pub(super) fn sync(&mut self, damage: SyncDamage, prng: &mut Prng) -> u64 {
        self.settle(self.sizes.len() - 1);
        let mut struck = 0;
        for sector in std::mem::take(&mut self.dirty) {
            if damage != SyncDamage::default() {
                let roll = prng.below(1000);
                if roll < damage.lost_per_mille {
                    self.phantom.insert(sector);
                    struck += 1;
                    continue;
                }
                if roll < damage.lost_per_mille + damage.misdirected_per_mille {
                    self.misdirect(sector, prng);
                    struck += 1;
                    continue;
                }
            }
            self.write_back(sector);
        }
        self.check();
        struck
    }

    /// A failed fsync: the kernel marks every page clean. Some reached the media, some did not and
    /// still look new, some did not and show what was there before.
    pub(super) fn fail_sync(&mut self, prng: &mut Prng) {
        let dirty = std::mem::take(&mut self.dirty);
        let mut page_and_fate = (u64::MAX, 0);
        for sector in dirty {
            if page_and_fate.0 != sector / PAGE_SECTORS {
                page_and_fate = (sector / PAGE_SECTORS, prng.below(3));
            }
            match page_and_fate.1 {
                0 => self.write_back(sector),
                1 => drop(self.phantom.insert(sector)),
                _ => self.forget(sector),
            }
        }
    }

    /// A sync that was cut short: some of the dirty sectors have reached the media.
    pub(super) fn sync_some(&mut self, prng: &mut Prng) {
        for sector in self.dirty.clone() {
            if prng.chance(1, 2) {
                self.write_back(sector);
            }
        }
    }

    /// The power went: the size is one of those it had since the last sync, and any subset of the
    /// unsynced sectors has reached the media.
    pub(super) fn lose_power(&mut self, prng: &mut Prng) {
        let kept_size = match prng.below(3) {
            0 => 0,
            1 => self.sizes.len() - 1,
            _ => prng.below(self.sizes.len() as u64) as usize,
        };
        self.settle(kept_size);
        let survivors_in_4 = prng.below(5);
        for sector in std::mem::take(&mut self.dirty) {
            if prng.chance(survivors_in_4, 4) {
                self.write_back_within_media(sector);
            }
        }
        self.phantom.clear();
        self.live.clone_from(&self.media);
        self.allocated = self.allocated.max(self.live.len() as u64);
        self.check();
    }

    /// The page cache drops some clean pages: what was never really written shows.
    pub(super) fn evict(&mut self, prng: &mut Prng) {
        for sector in self.phantom.clone() {
            if prng.chance(1, 2) {
                self.phantom.remove(&sector);
                self.forget(sector);
            }
        }
    }

    /// Flips one bit of synced data. `None` when there is no synced data to damage.
    pub(super) fn flip(&mut self, prng: &mut Prng) -> Option<usize> {
        let end = self.media.len().min(self.live.len());
        for _ in 0..8 {
            if end == 0 {
                return None;
            }
            let position = prng.below(end as u64) as usize;
            let sector = (position / SECTOR_SIZE) as u64;
            if !self.dirty.contains(&sector) && !self.phantom.contains(&sector) {
                let bit = 1u8 << prng.below(8);
                self.media[position] ^= bit;
                self.live[position] ^= bit;
                return Some(position);
            }
        }
        None
    }

    pub(super) fn check(&self) {
        assert!(self.sizes.last() == Some(&self.live.len()));
        assert!(self.dirty.is_disjoint(&self.phantom));
    }

    /// Makes the size that was current at `index` of the history durable: whatever lay beyond the
    /// smallest size up to then is gone.
    fn settle(&mut self, index: usize) {
        let smallest = self.sizes[..=index].iter().copied().min();
        self.media
            .truncate(smallest.expect("the history is never empty"));
        self.media.resize(self.sizes[index], 0);
        let last = *self.sizes.last().expect("the history is never empty");
        self.sizes = if index + 1 == self.sizes.len() {
            vec![last]
        } else {
            // Only a power cut settles on an older size, and the visible one becomes it.
            vec![self.sizes[index]]
        };
    }

    /// The cached sector reaches the media.
    fn write_back(&mut self, sector: u64) {
        let (start, end) = span(sector, self.live.len());
        if self.media.len() < end {
            self.media.resize(end, 0);
        }
        self.media[start..end].copy_from_slice(&self.live[start..end]);
    }

    fn write_back_within_media(&mut self, sector: u64) {
        let (start, end) = span(sector, self.live.len().min(self.media.len()));
        self.media[start..end].copy_from_slice(&self.live[start..end]);
    }

    /// The cache shows what the media holds.
    fn forget(&mut self, sector: u64) {
        let (start, end) = span(sector, self.live.len());
        for position in start..end {
            self.live[position] = self.media.get(position).copied().unwrap_or(0);
        }
    }

    fn misdirect(&mut self, sector: u64, prng: &mut Prng) {
        let (start, end) = span(sector, self.live.len());
        let sectors = self.media.len().div_ceil(SECTOR_SIZE) as u64;
        let (to, to_end) = span(prng.below(sectors.max(1)), self.media.len());
        let count = (end - start).min(to_end - to);
        self.media[to..to + count].copy_from_slice(&self.live[start..start + count]);
        let victim = (to / SECTOR_SIZE) as u64;
        self.phantom.insert(sector);
        if !self.dirty.contains(&victim) {
            self.phantom.insert(victim);
        }
    }
}

/// The sectors that `start..end` touches.
fn sectors(start: usize, end: usize) -> std::ops::Range<u64> {
    (start / SECTOR_SIZE) as u64..end.div_ceil(SECTOR_SIZE) as u64
}

/// The bytes of `sector` in a file of `size` bytes.
fn span(sector: u64, size: usize) -> (usize, usize) {
    let start = (sector as usize * SECTOR_SIZE).min(size);
    (start, (start + SECTOR_SIZE).min(size))
}
