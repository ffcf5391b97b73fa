use crate::segment::SegmentFile;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// Bounds how many segment files are open and how much memory their sidecars take: first in, first out, with a second
/// chance for those used in between.
pub(crate) struct FileCache {
    open_max: usize,
    units_bytes_max: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    files: VecDeque<Tracked>,
    /// Sum of what is noted of them.
    units_bytes: usize,
}

struct Tracked {
    file: Weak<SegmentFile>,
    /// Memory of its units when it was looked at last.
    units_bytes: usize,
}

impl FileCache {
    /// Keeps at most `open_max` files open, and about `units_bytes_max` bytes of sidecars in memory.
    pub(crate) fn new(open_max: usize, units_bytes_max: usize) -> FileCache {
        FileCache {
            open_max,
            units_bytes_max,
            queue: Mutex::default(),
        }
    }

    /// `file` holds something open, perhaps since just now.
    pub(crate) fn opened(&self, file: &Arc<SegmentFile>) {
        if !file.track() {
            return;
        }
        let mut queue = self.queue.lock();
        queue.push(file);
        // Each turn closes one or takes away its second chance, so twice around always ends.
        let mut turns = 2 * queue.files.len();
        let is_over =
            |it: &Queue| self.open_max < it.files.len() || self.units_bytes_max < it.units_bytes;
        while is_over(&queue) && turns > 0 {
            turns -= 1;
            if let Some(oldest) = queue.pop()
                && !oldest.cool_down()
            {
                queue.push(&oldest);
            }
        }
    }
}

impl Queue {
    fn push(&mut self, file: &Arc<SegmentFile>) {
        let units_bytes = file.units_bytes();
        self.units_bytes += units_bytes;
        self.files.push_back(Tracked {
            file: Arc::downgrade(file),
            units_bytes,
        });
    }

    fn pop(&mut self) -> Option<Arc<SegmentFile>> {
        let oldest = self.files.pop_front()?;
        self.units_bytes -= oldest.units_bytes;
        oldest.file.upgrade()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, OpenMode};
    use crate::memory_disk::MemoryDisk;
    use crate::segment::Access;
    use crate::segment::names::FileKind;
    use crate::segment::sidecar::Unit;
    use ottla_types::{Offset, PartitionId, Timestamp, TopicId, TopicPartition};

    fn file(disk: &MemoryDisk, base: i64) -> Arc<SegmentFile> {
        let partition = TopicPartition {
            topic_id: TopicId::default(),
            partition: PartitionId::new(0),
        };
        let dir = Arc::from("topic-0");
        let file = SegmentFile::new(partition, dir, Offset::new(base), Arc::default());
        disk.create_dir(std::path::Path::new("topic-0"))
            .expect("made");
        disk.open(&file.path(FileKind::Log), OpenMode::Create)
            .expect("made");
        Arc::new(file)
    }

    fn is_open(file: &SegmentFile) -> bool {
        file.log().is_some()
    }

    #[test]
    fn a_file_that_a_slow_reader_opened_again_counts() {
        let disk = MemoryDisk::new();
        let files: Vec<_> = (0..3).map(|base| file(&disk, base)).collect();
        let cache = FileCache::new(1, usize::MAX);
        for _ in 0..2 {
            for file in &files {
                file.open_log(&disk, Access::Wait).expect("there");
                cache.opened(file);
                // Told twice is told once.
                cache.opened(file);
            }
        }
        let open = files.iter().filter(|file| is_open(file)).count();
        assert_eq!(open, 1);
        assert_eq!(cache.queue.lock().files.len(), 1);
    }

    #[test]
    fn sidecars_are_bounded_by_their_size() {
        let disk = MemoryDisk::new();
        let cache = FileCache::new(usize::MAX, 250 * size_of::<Unit>());
        let files: Vec<_> = (0..10).map(|base| file(&disk, base)).collect();
        for file in &files {
            let units: Vec<Unit> = (0..100).map(unit).collect();
            file.begin_units();
            file.push_units(&units);
            cache.opened(file);
        }
        let kept: usize = files.iter().map(|file| file.units_bytes()).sum();
        assert_eq!(kept, 200 * size_of::<Unit>());
        assert_eq!(cache.queue.lock().units_bytes, kept);
    }

    fn unit(number: u32) -> Unit {
        Unit {
            position: 10 * number,
            size: 10,
            continues: false,
            base_delta: number,
            last_delta: number,
            first_last_delta: number,
            max_timestamp_delta: number,
            crc: 0,
            max_timestamp: Timestamp::from_millis(1),
        }
    }
}
