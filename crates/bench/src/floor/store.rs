use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// All files of a topic together, or the durable ring: written once beforehand, so that every write
/// goes into cached pages.
const FILES_SIZE: u64 = 1100 << 20;

/// Where batches go: one file a partition, or, durable, one ring for all.
pub struct Store {
    dir: PathBuf,
    ring: Option<Ring>,
    topics: RwLock<HashMap<String, Arc<[Mutex<Partition>]>>>,
}

struct Ring {
    file: Arc<File>,
    position: AtomicU64,
}

/// A partition's file, overwritten from its start when it is full.
pub struct Partition {
    file: Option<File>,
    size_max: u64,
    position: u64,
    /// Offset after the last record.
    end: i64,
    /// Base offset and position of each batch that can be read.
    batches: Vec<(i64, u64)>,
}

impl Store {
    /// Files in the folder `dir`.
    pub fn open(dir: &Path, is_durable: bool) -> io::Result<Store> {
        std::fs::create_dir_all(dir)?;
        let ring = match is_durable {
            true => Some(Ring {
                file: Arc::new(prewritten(&dir.join("ring"), FILES_SIZE)?),
                position: AtomicU64::new(0),
            }),
            false => None,
        };
        Ok(Store {
            dir: dir.to_owned(),
            ring,
            topics: RwLock::default(),
        })
    }

    /// What has to be synced.
    pub fn ring(&self) -> Option<Arc<File>> {
        self.ring.as_ref().map(|ring| Arc::clone(&ring.file))
    }

    /// Makes a topic and its files.
    pub fn create(&self, name: &str, partitions: i32) -> io::Result<()> {
        let size_max = FILES_SIZE / partitions.max(1) as u64;
        let mut made = Vec::new();
        for index in 0..partitions {
            let path = self.dir.join(format!("{name}-{index}"));
            let file = match &self.ring {
                Some(_) => None,
                None => Some(prewritten(&path, size_max)?),
            };
            made.push(Mutex::new(Partition {
                file,
                size_max,
                position: 0,
                end: 0,
                batches: Vec::new(),
            }));
        }
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(name.to_owned(), made.into());
        Ok(())
    }

    /// Calls `with` with a partition, if there is such a one.
    pub fn partition<T>(
        &self,
        topic: &str,
        index: i32,
        with: impl FnOnce(&mut Partition) -> io::Result<T>,
    ) -> io::Result<T> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let partitions = topics.get(topic).map(Arc::clone);
        drop(topics);
        let partition = partitions
            .as_ref()
            .and_then(|partitions| partitions.get(usize::try_from(index).ok()?))
            .ok_or(io::ErrorKind::NotFound)?;
        let mut partition: MutexGuard<'_, Partition> =
            partition.lock().unwrap_or_else(PoisonError::into_inner);
        with(&mut partition)
    }

    /// Writes a batch of `records` records; returns its base offset.
    pub fn append(&self, partition: &mut Partition, batch: &[u8], records: i64) -> io::Result<i64> {
        let base = partition.end;
        partition.end += records;
        let size = batch.len() as u64;
        if let Some(ring) = &self.ring {
            let at = ring.position.fetch_add(size, Ordering::Relaxed) % (FILES_SIZE - size);
            ring.file.write_all_at(batch, at)?;
        }
        if let Some(file) = &partition.file {
            if partition.size_max < partition.position + size {
                partition.position = 0;
                partition.batches.clear();
            }
            file.write_all_at(batch, partition.position)?;
            // The base offset, which a broker sets in memory before it writes.
            file.write_all_at(&base.to_be_bytes(), partition.position)?;
            partition.batches.push((base, partition.position));
            partition.position += size;
        }
        Ok(base)
    }
}

impl Partition {
    /// Reads whole batches from the one that holds `offset` into `buffer`, at most `size_max` bytes but
    /// at least one batch; gives how many bytes, and the offset after the last record.
    pub fn read(
        &self,
        offset: i64,
        size_max: usize,
        buffer: &mut [u8],
    ) -> io::Result<(usize, i64)> {
        let next = self.batches.partition_point(|(base, _)| *base <= offset);
        let (Some(file), true) = (&self.file, offset < self.end && next > 0) else {
            return Ok((0, self.end));
        };
        let start = self.batches[next - 1].1;
        let behind = self.batches[next..].iter().map(|(_, position)| *position);
        let mut ends = behind.chain([self.position]);
        let first_end = ends.next().unwrap_or(start);
        let fits = |end: &u64| *end - start <= size_max as u64;
        let end = ends.take_while(fits).last().unwrap_or(first_end);
        let size = (end - start) as usize;
        file.read_exact_at(&mut buffer[..size], start)?;
        Ok((size, self.end))
    }
}

fn prewritten(path: &Path, size: u64) -> io::Result<File> {
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path)?;
    let zeros = vec![0; 1 << 20];
    let mut rest = size;
    while rest > 0 {
        let piece = rest.min(zeros.len() as u64);
        file.write_all(&zeros[..piece as usize])?;
        rest -= piece;
    }
    file.sync_data()?;
    Ok(file)
}
