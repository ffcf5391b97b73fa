use crate::segment::offset_index::OffsetEntry;
use crate::segment::sidecar::Unit;
use crate::segment::time_index::TimeEntry;
use ottla_types::{Offset, Timestamp};

/// What the next unit of a segment needs to know of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnitsCursor {
    /// How many units there are.
    pub(crate) units_count: u32,
    /// Position after the last unit.
    pub(crate) end_position: u32,
    /// How many entries the offset index has.
    pub(crate) offset_entries_count: u32,
    /// How many entries the time index has.
    pub(crate) time_entries_count: u32,
    largest_timestamp: Option<Timestamp>,
}

impl UnitsCursor {
    /// Moves over `unit` and returns the index entries it brings.
    pub(crate) fn pass(&mut self, unit: &Unit) -> (Option<OffsetEntry>, Option<TimeEntry>) {
        assert_eq!(unit.position, self.end_position, "units leave no gap");
        self.units_count += 1;
        self.end_position = unit.end_position();
        let mut entries = (None, None);
        // As in Kafka, nothing points at position 0: a lookup without an entry starts there anyway.
        if unit.position > 0 && !unit.continues {
            self.offset_entries_count += 1;
            entries.0 = Some(OffsetEntry {
                relative_offset: unit.first_last_delta,
                position: unit.position,
            });
        }
        let is_largest = self
            .largest_timestamp
            .is_none_or(|largest| largest < unit.max_timestamp);
        if is_largest && unit.max_timestamp.as_millis() >= 0 {
            self.largest_timestamp = Some(unit.max_timestamp);
            self.time_entries_count += 1;
            entries.1 = Some(TimeEntry {
                timestamp: unit.max_timestamp,
                relative_offset: unit.max_timestamp_delta,
            });
        }
        entries
    }
}

/// The units of a segment in memory.
///
/// Invariant: they follow each other from position 0 without a gap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units {
    list: Vec<Unit>,
    cursor: UnitsCursor,
}

impl Units {
    /// All of `list`.
    pub(crate) fn new(list: Vec<Unit>) -> Units {
        let mut cursor = UnitsCursor::default();
        for unit in &list {
            cursor.pass(unit);
        }
        Units { list, cursor }
    }

    /// The units, by position.
    pub(crate) fn list(&self) -> &[Unit] {
        &self.list
    }

    /// The unit that begins at `position`.
    pub(crate) fn at_position(&self, position: u32) -> Option<Unit> {
        let found = self
            .list
            .binary_search_by_key(&position, |unit| unit.position);
        found.ok().map(|index| self.list[index])
    }

    /// What the next unit needs to know.
    pub(crate) fn cursor(&self) -> UnitsCursor {
        self.cursor
    }

    /// Position after the last unit.
    pub(crate) fn end_position(&self) -> u32 {
        self.cursor.end_position
    }

    /// Adds a unit.
    pub(crate) fn push(&mut self, unit: Unit) {
        self.cursor.pass(&unit);
        self.list.push(unit);
    }

    /// Index of the unit that holds `offset` or, when no batch does, the first one above it.
    pub(crate) fn find(&self, segment_base: Offset, offset: Offset) -> Option<usize> {
        let delta = segment_base.distance_to(offset);
        let index = self
            .list
            .partition_point(|unit| u64::from(unit.last_delta) < delta);
        (index < self.list.len()).then_some(index)
    }

    /// How many units belong to the same batch as the one at `index`, itself included, from `index` on.
    pub(crate) fn pieces_count(&self, index: usize) -> usize {
        let following = self.list[index + 1..].iter();
        1 + following.take_while(|unit| unit.continues).count()
    }

    /// Drops the units that reach beyond `size`, and the pieces before them of the same batch.
    pub(crate) fn truncate_to(&mut self, size: u32) {
        let mut count = self
            .list
            .partition_point(|unit| unit.end_position() <= size);
        while count > 0 && self.list.get(count).is_some_and(|unit| unit.continues) {
            count -= 1;
        }
        let mut list = std::mem::take(&mut self.list);
        list.truncate(count);
        *self = Units::new(list);
    }
}
