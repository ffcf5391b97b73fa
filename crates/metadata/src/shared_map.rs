use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Entries per chunk before it is split in two. A change copies one chunk and the list of chunks:
/// with 10,000 entries that is about 64 entries and 250 pointers.
const CHUNK_ENTRIES_MAX: usize = 64;

/// A sorted map whose versions share what did not change between them.
///
/// `clone` is O(1). A change to a clone copies the list of chunks (once per clone) and the chunks
/// it touches. Lookups are two binary searches without locks.
///
/// Invariants: no chunk is empty or holds more than 64 entries; keys rise strictly.
pub struct SharedMap<K, V> {
    chunks: Arc<Vec<Arc<Chunk<K, V>>>>,
    len: usize,
}

type Chunk<K, V> = Vec<(K, V)>;

impl<K, V> SharedMap<K, V> {
    /// A map without entries.
    pub fn new() -> SharedMap<K, V> {
        SharedMap {
            chunks: Arc::new(Vec::new()),
            len: 0,
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks
            .iter()
            .flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The value under `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let chunk = self.chunks.get(self.chunk_of(key)?)?;
        let index = find(chunk, key).ok()?;
        Some(&chunk[index].1)
    }

    /// Whether `key` has a value.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.get(key).is_some()
    }

    /// The entries whose keys are not below `first`, in order.
    pub fn range_from<Q>(&self, first: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let start = self.chunk_of(first).unwrap_or(0);
        let skip = match self.chunks.get(start) {
            Some(chunk) => find(chunk, first).unwrap_or_else(|place| place),
            None => 0,
        };
        self.chunks[start.min(self.chunks.len())..]
            .iter()
            .flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
            .skip(skip)
    }

    /// The chunk whose keys surround `key`; `None` when `key` is below all.
    fn chunk_of<Q>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.chunks
            .partition_point(|chunk| chunk[0].0.borrow() <= key)
            .checked_sub(1)
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Puts `value` under `key` and returns what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.chunk_of(&key).unwrap_or(0);
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.is_empty() {
            chunks.push(Arc::new(Vec::new()));
        }
        let chunk = Arc::make_mut(&mut chunks[at]);
        let place = match find(chunk, &key) {
            Ok(index) => return Some(std::mem::replace(&mut chunk[index].1, value)),
            Err(place) => place,
        };
        chunk.insert(place, (key, value));
        self.len += 1;
        if chunk.len() > CHUNK_ENTRIES_MAX {
            let upper = chunk.split_off(CHUNK_ENTRIES_MAX / 2);
            chunks.insert(at + 1, Arc::new(upper));
        }
        None
    }

    /// Takes `key` out and returns its value.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let at = self.chunk_of(key)?;
        let index = find(&self.chunks[at], key).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[at]);
        let (_, value) = chunk.remove(index);
        if chunk.is_empty() {
            chunks.remove(at);
        }
        self.len -= 1;
        Some(value)
    }

    /// The value under `key`, to be changed in place; copies the chunk when it is shared.
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let at = self.chunk_of(key)?;
        let index = find(&self.chunks[at], key).ok()?;
        let chunk = Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[at]);
        Some(&mut chunk[index].1)
    }
}

fn find<K, V, Q>(chunk: &Chunk<K, V>, key: &Q) -> Result<usize, usize>
where
    K: Borrow<Q>,
    Q: Ord + ?Sized,
{
    chunk.binary_search_by(|(other, _)| other.borrow().cmp(key))
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> SharedMap<K, V> {
        SharedMap::new()
    }
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> SharedMap<K, V> {
        SharedMap {
            chunks: Arc::clone(&self.chunks),
            len: self.len,
        }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    /// Equal entries; how they are cut into chunks does not matter.
    fn eq(&self, other: &SharedMap<K, V>) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for SharedMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_types::Prng;
    use std::collections::BTreeMap;

    fn check(map: &SharedMap<u64, u64>, model: &BTreeMap<u64, u64>) {
        assert!(map.iter().eq(model.iter()));
        assert_eq!(map.len(), model.len());
        for chunk in map.chunks.iter() {
            assert!((1..=CHUNK_ENTRIES_MAX).contains(&chunk.len()));
        }
    }

    #[test]
    fn behaves_as_a_sorted_map_and_old_versions_stay_as_they_were() {
        let mut prng = Prng::new(1);
        let (mut map, mut model) = (SharedMap::new(), BTreeMap::new());
        let mut versions = Vec::new();
        for step in 0..4000u64 {
            let key = prng.below(600);
            match prng.below(3) {
                0 => assert_eq!(map.remove(&key), model.remove(&key)),
                1 => assert_eq!(map.insert(key, step), model.insert(key, step)),
                _ => {
                    assert_eq!(map.get_mut(&key).copied(), model.get(&key).copied());
                    if let Some(value) = map.get_mut(&key) {
                        *value = step;
                        model.insert(key, step);
                    }
                }
            }
            assert_eq!(map.get(&key), model.get(&key));
            assert!(map.range_from(&key).eq(model.range(key..)));
            if step % 500 == 0 {
                versions.push((map.clone(), model.clone()));
            }
        }
        check(&map, &model);
        for (map, model) in &versions {
            check(map, model);
        }
    }

    #[test]
    fn an_empty_map_answers() {
        let map = SharedMap::<u64, u64>::new();
        assert_eq!(map.get(&1), None);
        assert_eq!(map.range_from(&1).count(), 0);
        assert!(map.is_empty());
    }
}
