use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_storage::disk::{DiskError, DiskFile};
use ottla_types::Prng;
use parking_lot::Mutex;

const PAGE: u64 = 4096;

/// One write in this many writes a page back before it is synced.
const EARLY_WRITEBACK: u64 = 16;

/// A file whose writes stay in memory until `sync_data`.
pub struct PendingFile {
    inner: Arc<dyn DiskFile>,
    state: Mutex<State>,
}

struct State {
    /// The size that readers see.
    size: u64,
    /// The file below is cut here before the dirty pages are applied: it was shorter in between.
    inner_valid: u64,
    inner_size: u64,
    dirty: BTreeMap<u64, Box<[u8]>>,
    prng: Prng,
}

impl PendingFile {
    pub fn open(inner: Arc<dyn DiskFile>, seed: u64) -> Result<PendingFile, DiskError> {
        let size = inner.size()?;
        Ok(PendingFile {
            inner,
            state: Mutex::new(State {
                size,
                inner_valid: size,
                inner_size: size,
                dirty: BTreeMap::new(),
                prng: Prng::new(seed),
            }),
        })
    }

    /// The page as readers see it, zeros past the end.
    fn page<'a>(&self, state: &'a mut State, index: u64) -> Result<&'a mut [u8], DiskError> {
        if !state.dirty.contains_key(&index) {
            let mut page = vec![0; PAGE as usize].into_boxed_slice();
            let valid = state.inner_valid.saturating_sub(index * PAGE).min(PAGE);
            self.inner
                .read_at(index * PAGE, &mut page[..valid as usize])?;
            state.dirty.insert(index, page);
        }
        Ok(state.dirty.get_mut(&index).expect("just inserted"))
    }

    fn write_page(&self, state: &mut State, index: u64) -> Result<(), DiskError> {
        let Some(page) = state.dirty.get(&index) else {
            return Ok(());
        };
        let start = index * PAGE;
        let size = state.size.saturating_sub(start).min(PAGE);
        if size == 0 {
            return Ok(());
        }
        self.inner.write_at(start, &[&page[..size as usize]])?;
        state.inner_size = state.inner_size.max(start + size);
        Ok(())
    }

    /// Applies a shrink that the file below has not seen.
    fn cut_inner(&self, state: &mut State) -> Result<(), DiskError> {
        if state.inner_valid < state.inner_size {
            self.inner.set_len(state.inner_valid)?;
            state.inner_size = state.inner_valid;
        }
        Ok(())
    }

    /// What an operating system does when it likes: a page reaches the disk without a sync.
    fn write_back_early(&self, state: &mut State) -> Result<(), DiskError> {
        if !state.prng.chance(1, EARLY_WRITEBACK) {
            return Ok(());
        }
        let chosen = state.prng.below(state.dirty.len() as u64) as usize;
        let index = state.dirty.keys().nth(chosen).copied();
        self.cut_inner(state)?;
        if let Some(index) = index {
            self.write_page(state, index)?;
            // A page that stays dirty is written again at the sync: no harm.
            state.inner_valid = state.inner_valid.max(state.inner_size);
        }
        Ok(())
    }
}

impl DiskFile for PendingFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let state = self.state.lock();
        let end = state.size.min(position.saturating_add(buf.len() as u64));
        let size = end.saturating_sub(position) as usize;
        let buf = &mut buf[..size];
        buf.fill(0);
        let below = state.inner_valid.saturating_sub(position).min(size as u64);
        self.inner.read_at(position, &mut buf[..below as usize])?;
        let pages = state
            .dirty
            .range(position / PAGE..end.div_ceil(PAGE).max(position / PAGE));
        for (index, page) in pages {
            let start = index * PAGE;
            let from = position.max(start);
            let to = end.min(start + PAGE);
            if from < to {
                let bytes = &page[(from - start) as usize..(to - start) as usize];
                buf[(from - position) as usize..(to - position) as usize].copy_from_slice(bytes);
            }
        }
        Ok(size)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        // Now and then, so that the reader pool has work in the crash tests too.
        if self.state.lock().prng.chance(1, 8) {
            return Ok(None);
        }
        self.read_at(position, buf).map(Some)
    }

    fn write_at(&self, mut position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let state = &mut *self.state.lock();
        let mut wrote = false;
        for mut part in parts.iter().copied() {
            while !part.is_empty() {
                let within = (position % PAGE) as usize;
                let step = part.len().min(PAGE as usize - within);
                let page = self.page(state, position / PAGE)?;
                page[within..within + step].copy_from_slice(&part[..step]);
                part = &part[step..];
                position += step as u64;
                wrote = true;
            }
        }
        if !wrote {
            return Ok(());
        }
        state.size = state.size.max(position);
        self.write_back_early(state)
    }

    /// Kills during this leave some of the pages: a power cut during an fdatasync.
    fn sync_data(&self) -> Result<(), DiskError> {
        let state = &mut *self.state.lock();
        self.cut_inner(state)?;
        let indexes: Vec<u64> = state.dirty.keys().copied().collect();
        for index in indexes {
            self.write_page(state, index)?;
        }
        if state.inner_size != state.size {
            self.inner.set_len(state.size)?;
            state.inner_size = state.size;
        }
        state.inner_valid = state.size;
        state.dirty.clear();
        Ok(())
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        let state = &mut *self.state.lock();
        if size < state.size {
            state.dirty.split_off(&size.div_ceil(PAGE));
            state.inner_valid = state.inner_valid.min(size);
            // The rest of the last page must read as zeros when the file grows again.
            if !size.is_multiple_of(PAGE) {
                let page = self.page(state, size / PAGE)?;
                page[(size % PAGE) as usize..].fill(0);
            }
        }
        state.size = size;
        Ok(())
    }

    fn allocate(&self, position: u64, size: u64) -> Result<(), DiskError> {
        self.inner.allocate(position, size)
    }

    fn size(&self) -> Result<u64, DiskError> {
        Ok(self.state.lock().size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_storage::disk::{Disk, OpenMode};
    use ottla_storage::memory_disk::MemoryDisk;
    use std::path::Path;

    fn content(file: &dyn DiskFile) -> Vec<u8> {
        let mut bytes = vec![0xff; file.size().unwrap() as usize];
        let size = bytes.len();
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), size);
        bytes
    }

    /// Random operations beside a plain vector; after each sync a fresh look at the file below.
    #[test]
    fn it_behaves_as_a_vector() {
        for seed in 0..60 {
            let disk = MemoryDisk::new();
            let inner = disk.open(Path::new("f"), OpenMode::CreateNew).unwrap();
            let file = PendingFile::open(Arc::clone(&inner), seed).unwrap();
            let mut prng = Prng::new(seed);
            let mut model: Vec<u8> = Vec::new();
            for step in 0..200_u32 {
                match prng.below(8) {
                    0..5 => {
                        let position = prng.below(20_000) as usize;
                        let bytes = vec![step as u8; prng.below(6000) as usize];
                        file.write_at(position as u64, &[&bytes]).unwrap();
                        if !bytes.is_empty() {
                            model.resize(model.len().max(position + bytes.len()), 0);
                            model[position..position + bytes.len()].copy_from_slice(&bytes);
                        }
                    }
                    5 => {
                        let size = prng.below(25_000);
                        file.set_len(size).unwrap();
                        model.resize(size as usize, 0);
                    }
                    6 => {
                        file.sync_data().unwrap();
                        assert!(
                            content(&*inner) == model,
                            "seed {seed}, step {step}: synced"
                        );
                    }
                    _ => {}
                }
                assert!(content(&file) == model, "seed {seed}, step {step}");
            }
        }
    }
}
