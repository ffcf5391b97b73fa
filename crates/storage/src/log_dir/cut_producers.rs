//! Producers that lose batches when a log is cut: afterwards each must be known as the log that is left tells it. Nearly
//! always memory knows that, because it keeps more than a window; otherwise the log is read, backwards from the cut, until
//! each of them has its window, at most down to the current snapshot.

use super::LogDir;
use super::cleaner::source::{Reader, Source};
use crate::partition::{Partition, PartitionState};
use crate::producer_state::{ProducedBatch, ProducerEntry, record};
use crate::segment::ReadFault;
use ottla_records::{BatchView, batches};
use ottla_types::{Offset, ProducerEpoch, ProducerId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A producer that is only looked up is not used by that.
const NEVER: Timestamp = Timestamp::from_millis(i64::MIN);

/// As long as it is the same, the log below a cut is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    generation: u64,
    swaps_count: u64,
}

impl Moment {
    pub(super) fn of(state: &PartitionState) -> Moment {
        Moment {
            generation: state.generation,
            swaps_count: state.swaps_count,
        }
    }
}

/// What is left of producers.
pub(super) enum Left {
    /// Of all that lose batches; of some nothing.
    Known(Vec<ProducerEntry>),
    /// Some have to be looked for first.
    Unknown(Search),
}

/// What the log below a cut says of producers of which memory knows too little.
#[derive(Default)]
pub(super) struct FoundProducers {
    cut: Option<(Moment, Offset)>,
    entries: BTreeMap<ProducerId, ProducerEntry>,
}

/// Producers are looked for below a cut.
pub(super) struct Search {
    cut: (Moment, Offset),
    /// What was found, and who has to be looked for further below.
    entries: BTreeMap<ProducerId, ProducerEntry>,
    wanted: BTreeSet<ProducerId>,
    /// The segments' files, as far as they are written.
    sources: Vec<Source>,
    /// All that came before it is in the snapshot of this offset.
    snapshot: Option<Offset>,
}

impl FoundProducers {
    /// What a cut at `end` leaves of the producers that lose batches.
    pub(super) fn left_at(
        &self,
        partition: &Partition,
        state: &mut PartitionState,
        end: Offset,
    ) -> Left {
        let cut = (Moment::of(state), end);
        let mut left = state.producers.cut_at(end);
        let is_searched = self.cut == Some(cut);
        let inexact = left.iter().filter(|entry| !entry.is_exact());
        let wanted: BTreeSet<_> = inexact.map(ProducerEntry::id).collect();
        if !wanted
            .iter()
            .all(|id| is_searched && self.entries.contains_key(id))
        {
            return Left::Unknown(Search::begin(partition, state, cut, wanted));
        }
        for entry in &mut left {
            if let Some(found) = self.entries.get(&entry.id()).filter(|_| !entry.is_exact()) {
                entry.merge_older(found);
            }
        }
        Left::Known(left)
    }
}

impl Search {
    /// Looks at the batches in memory.
    fn begin(
        partition: &Partition,
        state: &mut PartitionState,
        cut: (Moment, Offset),
        wanted: BTreeSet<ProducerId>,
    ) -> Search {
        let end = cut.1;
        let count = state.segments.partition_point(|it| it.base_offset < end);
        let source = |index: usize| {
            let mut segment = state.segments[index].clone();
            segment.size = segment.written_size;
            Source {
                file: state.segment_file(partition.id(), index),
                segment,
                end: state.segment_end(index),
            }
        };
        let sources = (0..count).map(source).collect();
        let snapshot = state.producers.snapshot_offset();
        let nothing = |id: &ProducerId| {
            // Its epoch is that of the first batch that is found.
            let entry = ProducerEntry::new(*id, ProducerEpoch::new(0), NEVER);
            (*id, entry)
        };
        let mut search = Search {
            cut,
            entries: wanted.iter().map(nothing).collect(),
            wanted,
            sources,
            snapshot: snapshot.filter(|snapshot| *snapshot <= end),
        };
        let mut in_tail = BTreeMap::new();
        for batch in state.tail.batches() {
            let view = BatchView::parse(&batch.bytes).expect("it was appended as a batch");
            search.take(&view, &mut in_tail);
        }
        search.put_below(in_tail);
        search
    }

    /// Notes a batch if it is of a producer that is looked for.
    fn take(&self, batch: &BatchView<'_>, found: &mut BTreeMap<ProducerId, ProducerEntry>) {
        let (base_offset, last_offset) = (batch.base_offset(), batch.last_offset());
        let Some(producer) = batch.producer().filter(|it| self.wanted.contains(&it.id)) else {
            return;
        };
        if self.cut.1 <= last_offset {
            return;
        }
        let produced = ProducedBatch {
            last_sequence: producer.last_sequence,
            last_offset,
            offset_delta: base_offset.distance_to(last_offset) as i32,
            timestamp: batch.max_timestamp(),
        };
        let (id, epoch) = (producer.id, producer.epoch);
        let entry = found.entry(id);
        let entry = entry.or_insert_with(|| ProducerEntry::new(id, epoch, NEVER));
        entry.push(epoch, produced, NEVER);
    }

    /// What was `found` lies below all that was found before.
    fn put_below(&mut self, found: BTreeMap<ProducerId, ProducerEntry>) {
        for (id, older) in found {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            entry.merge_older(&older);
            if entry.is_exact() {
                self.wanted.remove(&id);
            }
        }
    }
}

impl LogDir {
    /// Reads the log below a cut. Nothing is locked meanwhile, and of the log only the producers that are looked for are kept.
    pub(super) fn find_producers(
        &self,
        partition: &Partition,
        mut search: Search,
    ) -> Result<FoundProducers, ReadFault> {
        let mut from = Offset::ZERO;
        let mut known = Vec::new();
        if let Some(snapshot) = search.snapshot
            && let Some(entries) = self.read_snapshot(partition, snapshot, NEVER)?
        {
            from = snapshot;
            known = entries;
        }
        while let Some(source) = search.sources.pop() {
            if search.wanted.is_empty() || source.end <= from {
                break;
            }
            let mut in_segment = BTreeMap::new();
            match self.find_in_segment(&source, from, &search, &mut in_segment) {
                Ok(()) => {}
                // What lies below damage cannot be known.
                Err(ReadFault::Corrupt { .. }) => search.sources.clear(),
                Err(fault) => return Err(fault),
            }
            search.put_below(in_segment);
        }
        // Of those that were found already the snapshot may not have the next batch.
        let older = known.into_iter().map(|entry| (entry.id(), entry));
        let older = older.filter(|(id, _)| search.wanted.contains(id)).collect();
        search.put_below(older);
        Ok(FoundProducers {
            cut: Some(search.cut),
            entries: search.entries,
        })
    }

    fn find_in_segment(
        &self,
        source: &Source,
        from: Offset,
        search: &Search,
        found: &mut BTreeMap<ProducerId, ProducerEntry>,
    ) -> Result<(), ReadFault> {
        let mut reader = Reader::new(source);
        while let Some(bytes) = reader.next(self, from)? {
            for batch in batches(&bytes) {
                let batch = batch.expect("the unit's checksum was right");
                search.take(&batch, found);
            }
        }
        Ok(())
    }
}

/// If the producers that lose batches with a cut at `end` take more than `size_max` bytes: a higher place to cut, where
/// fewer do.
pub(super) fn place_for_fewer(
    state: &PartitionState,
    left: &[ProducerEntry],
    size_max: usize,
) -> Option<Offset> {
    let size: usize = left.iter().map(record::size).sum();
    if size <= size_max {
        return None;
    }
    let newest = |it: &ProducerEntry| state.producers.get(it.id())?.last().copied();
    let mut newest: Vec<ProducedBatch> = left.iter().filter_map(newest).collect();
    newest.sort_unstable_by_key(|batch| std::cmp::Reverse(batch.last_offset));
    let count_max = (size_max / record::SIZE_MAX).clamp(1, newest.len());
    Some(newest[count_max - 1].base_offset())
}
