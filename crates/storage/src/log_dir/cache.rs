use crate::segment::SegmentFile;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// Bounds how many segment files are open and how many sidecars are in memory: first in, first out, with a second
/// chance for those used in between.
pub(crate) struct FileCache {
    open_max: usize,
    queue: Mutex<VecDeque<Weak<SegmentFile>>>,
}

impl FileCache {
    /// Keeps at most `open_max` files open.
    pub(crate) fn new(open_max: usize) -> FileCache {
        FileCache {
            open_max,
            queue: Mutex::default(),
        }
    }

    /// `file` was opened just now.
    pub(crate) fn opened(&self, file: &Arc<SegmentFile>) {
        let mut queue = self.queue.lock();
        queue.push_back(Arc::downgrade(file));
        // Each turn closes one or takes away its second chance, so twice around always ends.
        let mut turns = 2 * queue.len();
        while self.open_max < queue.len() && turns > 0 {
            turns -= 1;
            let Some(oldest) = queue.pop_front() else {
                break;
            };
            let Some(file) = oldest.upgrade() else {
                continue;
            };
            if !file.cool_down() {
                queue.push_back(oldest);
            }
        }
    }
}
