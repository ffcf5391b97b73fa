use super::{Cut, NO_TIMESTAMP, PartitionState};
use crate::producer_state::ProducerEntry;
use ottla_types::Offset;

/// Cutting the log's end off.
impl PartitionState {
    /// Where the log ends when it is cut at `offset`, which lies in the tail: a batch goes as a whole.
    pub(crate) fn end_in_tail(&self, offset: Offset) -> Offset {
        let holder = self.tail.from(offset).next();
        holder.map_or(offset, |batch| batch.base_offset.min(offset))
    }

    /// A cut at `offset`, which lies in the tail. A replay may count offsets that are left out before the tail as written,
    /// and so this cut as one of the file: it leaves what is written.
    pub(crate) fn cut_in_tail(&self, offset: Offset) -> Cut {
        let end = self.end_in_tail(offset);
        let index = self.segment_index(end);
        Cut {
            end,
            position: index.map_or(0, |index| self.segments[index].written_size),
            largest_timestamp: None,
        }
    }

    /// Everything behind `cut` is gone, and `producers` is what is left to be known of those that lost batches. Returns the
    /// tail bytes freed and how many producers were forgotten.
    pub(crate) fn truncate_to(
        &mut self,
        cut: Cut,
        producers: Vec<ProducerEntry>,
    ) -> (usize, usize) {
        let end = self.end_in_tail(cut.end);
        let tail_base = self.tail.base();
        let mut sizes: Vec<(Offset, u32)> = Vec::new();
        for batch in self.tail.from(end) {
            sizes.push((batch.base_offset, batch.bytes.len() as u32));
        }
        for (offset, size) in sizes {
            let index = self
                .segment_index(offset)
                .expect("the tail lies in segments");
            self.segments[index].size -= size;
        }
        let freed = self.tail.truncate_to(end);
        // A segment that begins at the new end stays, empty: the place in the file is one of its own. Below the first
        // segment none is left, and the next append begins one.
        while self
            .segments
            .pop_if(|last| end < last.base_offset)
            .is_some()
        {}
        if let Some(last) = self.segments.last_mut() {
            if end < tail_base {
                last.cut(cut.position, cut.largest_timestamp);
            }
            let left = self.tail.from(last.base_offset);
            let in_tail = left.map(|batch| batch.max_timestamp).max();
            last.largest_timestamp = in_tail
                .unwrap_or(NO_TIMESTAMP)
                .max(last.written_largest_timestamp);
        }
        self.synced_end = self.synced_end.min(end);
        self.pass_over_gap();
        self.log_start = self.log_start.min(end);
        self.cleaned_end = self.cleaned_end.min(end);
        self.pending.truncate_to(end);
        self.epochs.truncate_to(end);
        self.epochs_are_dirty = true;
        let forgotten = self.producers.truncate_to(end, producers);
        self.generation += 1;
        // Its entry holds what is gone; the original entries hold the rest.
        self.rewritten = None;
        if self.written_end() == self.synced_end {
            self.pin = self.tail.first().map(|batch| batch.lsn);
        }
        (freed, forgotten)
    }
}
