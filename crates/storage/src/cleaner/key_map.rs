use super::key_hash::{KeyHash, KeyHasher};
use ottla_types::Offset;

/// The table is cut into this many parts by the hash, so that growing copies a 64th of it at a time.
const PARTS_COUNT: usize = 64;
/// Slots of a part that has its first key.
const SLOTS_MIN: usize = 16;
/// Bytes of a slot.
const SLOT_SIZE: usize = 24;
/// Marks a slot without a key.
const NO_OFFSET: u64 = u64::MAX;

/// The newest offset of each key, in bounded memory (Kafka's `SkimpyOffsetMap`): 24 bytes a slot, whatever the keys'
/// size. It grows with what is put in.
pub(crate) struct KeyMap {
    hasher: KeyHasher,
    parts: Vec<Part>,
    /// Most slots of one part.
    slots_max: usize,
    load_percent: usize,
    #[cfg(test)]
    count: usize,
}

/// A part of the table: open addressing, linear probing, nothing is ever removed.
#[derive(Default)]
struct Part {
    slots: Vec<Slot>,
    count: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    /// The hash in two halves: a `u128` would be padded to 32 bytes.
    hash: [u64; 2],
    offset: u64,
}

/// The key is new and there is no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapFull;

impl KeyMap {
    /// An empty map that uses about `bytes_max` bytes at most.
    pub(crate) fn new(hash_key: [u8; 16], bytes_max: usize, load_percent: u8) -> KeyMap {
        KeyMap {
            hasher: KeyHasher::new(hash_key),
            parts: (0..PARTS_COUNT).map(|_| Part::default()).collect(),
            slots_max: (bytes_max / SLOT_SIZE / PARTS_COUNT).max(SLOTS_MIN),
            load_percent: usize::from(load_percent.clamp(1, 99)),
            #[cfg(test)]
            count: 0,
        }
    }

    /// Notes that `key` has a record at `offset`; offsets come in ascending order.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> Result<(), MapFull> {
        let hash = self.hasher.hash(key);
        let (slots_max, load_percent) = (self.slots_max, self.load_percent);
        let part = &mut self.parts[part_of(hash)];
        if let Some(index) = part.find(hash) {
            part.slots[index].offset = offset.get() as u64;
            return Ok(());
        }
        part.make_room(slots_max, load_percent)?;
        part.insert(Slot {
            hash: halves(hash),
            offset: offset.get() as u64,
        });
        #[cfg(test)]
        {
            self.count += 1;
        }
        Ok(())
    }

    /// The newest offset noted for `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        let hash = self.hasher.hash(key);
        let part = &self.parts[part_of(hash)];
        let index = part.find(hash)?;
        Some(Offset::new(part.slots[index].offset as i64))
    }

    /// How many keys it has.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of its tables.
    pub(crate) fn bytes(&self) -> usize {
        let slots: usize = self.parts.iter().map(|part| part.slots.len()).sum();
        slots * SLOT_SIZE
    }
}

impl Part {
    fn find(&self, hash: KeyHash) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut index = home(hash, self.slots.len());
        loop {
            let slot = &self.slots[index];
            if slot.offset == NO_OFFSET {
                return None;
            }
            if slot.hash == halves(hash) {
                return Some(index);
            }
            index = (index + 1) % self.slots.len();
        }
    }

    /// Puts a slot whose hash is not there yet where there is room.
    fn insert(&mut self, slot: Slot) {
        let hash = u128::from(slot.hash[0]) << 64 | u128::from(slot.hash[1]);
        let mut index = home(hash, self.slots.len());
        while self.slots[index].offset != NO_OFFSET {
            index = (index + 1) % self.slots.len();
        }
        self.slots[index] = slot;
        self.count += 1;
    }

    fn make_room(&mut self, slots_max: usize, load_percent: usize) -> Result<(), MapFull> {
        if self.count < self.slots.len() * load_percent / 100 {
            return Ok(());
        }
        let size = (self.slots.len() * 2).clamp(SLOTS_MIN.min(slots_max), slots_max);
        if size * load_percent / 100 <= self.count {
            return Err(MapFull);
        }
        let empty = Slot {
            hash: [0; 2],
            offset: NO_OFFSET,
        };
        let old = std::mem::replace(&mut self.slots, vec![empty; size]);
        self.count = 0;
        for slot in old.into_iter().filter(|slot| slot.offset != NO_OFFSET) {
            self.insert(slot);
        }
        Ok(())
    }
}

fn halves(hash: KeyHash) -> [u64; 2] {
    [(hash >> 64) as u64, hash as u64]
}

fn part_of(hash: KeyHash) -> usize {
    hash as usize % PARTS_COUNT
}

/// Where a hash is looked for first: its high half, scaled to the size of the table.
fn home(hash: KeyHash, slots_count: usize) -> usize {
    let high = u128::from((hash >> 64) as u64);
    ((high * slots_count as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_each_key_is_known() {
        let mut map = KeyMap::new([3; 16], 1 << 20, 90);
        for offset in 0..40_000u64 {
            let key = (offset % 9_000).to_be_bytes();
            assert_eq!(map.put(&key, Offset::new(offset as i64)), Ok(()));
        }
        assert_eq!(map.count(), 9_000);
        for key in 0..9_000u64 {
            let newest = if key < 4_000 {
                36_000 + key
            } else {
                27_000 + key
            };
            let found = map.get(&key.to_be_bytes());
            assert_eq!(found, Some(Offset::new(newest as i64)));
        }
        assert_eq!(map.get(b"never"), None);
        assert!(map.bytes() < 9_000 * SLOT_SIZE * 3, "{}", map.bytes());
    }

    #[test]
    fn a_full_map_says_so_and_stays_within_its_bytes() {
        let bytes_max = 256 << 10;
        let mut map = KeyMap::new([3; 16], bytes_max, 90);
        let mut offset = 0u64;
        while map.put(&offset.to_be_bytes(), Offset::new(offset as i64)) == Ok(()) {
            offset += 1;
        }
        assert!(map.bytes() <= bytes_max);
        // The fullest part decides, and parts differ a little.
        let room = bytes_max / SLOT_SIZE;
        assert!(room * 6 / 10 < map.count(), "{} of {room}", map.count());
        assert_eq!(map.count() as u64, offset);
        // A known key can still be moved.
        assert_eq!(map.put(&1u64.to_be_bytes(), Offset::new(1 << 40)), Ok(()));
        assert_eq!(map.get(&1u64.to_be_bytes()), Some(Offset::new(1 << 40)));
    }

    #[test]
    fn the_smallest_map_takes_a_key() {
        let mut map = KeyMap::new([0; 16], 0, 90);
        assert_eq!(map.put(b"", Offset::ZERO), Ok(()));
        assert_eq!(map.get(b""), Some(Offset::ZERO));
    }
}
