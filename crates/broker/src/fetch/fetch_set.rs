use super::fetch_item::{FetchItem, FetchPosition, Look, TopicKey};
use crate::response::Token;
use parking_lot::Mutex;
use slab::Slab;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The partitions of one fetch or of one fetch session, and which of them may have something to say.
///
/// A partition that moves puts its item into the queue, so an answer costs as much as has changed.
/// Partitions with more to give than fits stay in the queue behind the others.
///
/// Invariants, checked by [`FetchSetState::check`]: the queue holds each item at most once, and
/// exactly those marked `queued`; every item is found under its key.
#[derive(Debug)]
pub(crate) struct FetchSet {
    pub(crate) state: Mutex<FetchSetState>,
}

/// The part of a [`FetchSet`] behind its lock.
#[derive(Debug, Default)]
pub(crate) struct FetchSetState {
    items: Slab<FetchItem>,
    by_key: BTreeMap<(TopicKey, i32), usize>,
    queue: VecDeque<usize>,
    /// The request that waits for a partition to move.
    parked: Option<Token>,
    /// Whether partitions tell this set when they move.
    is_subscribed: bool,
}

/// How much an answer may and must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchLimits {
    pub(crate) bytes_max: usize,
    pub(crate) bytes_min: usize,
    pub(crate) coverage: Coverage,
}

/// Which partitions an answer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// All of the set, in the order in which they were added.
    Full,
    /// Those with news.
    Incremental,
}

/// Bytes a look at one partition may give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) bytes: usize,
    /// One whole batch may be given although it is larger (KIP-74).
    pub(crate) may_exceed: bool,
}

/// What the partitions of a set have to say.
#[derive(Debug)]
pub(crate) struct Evaluation {
    /// Items with what was found, in the order of the answer.
    pub(crate) looks: Vec<(usize, Look)>,
    /// Whether it is enough for an answer before the deadline.
    pub(crate) is_enough: bool,
}

impl Evaluation {
    /// Whether any partition gives records.
    pub(crate) fn has_records(&self) -> bool {
        self.looks.iter().any(|(_, look)| 0 < look.size)
    }
}

impl FetchSet {
    pub(crate) fn new() -> Arc<FetchSet> {
        Arc::new(FetchSet {
            state: Mutex::new(FetchSetState::default()),
        })
    }

    /// The partition of item `index` moved. Returns the request to wake, if one waits.
    pub(crate) fn moved(&self, index: usize) -> Option<Token> {
        let mut state = self.state.lock();
        state.enqueue(index);
        state.parked
    }
}

impl FetchSetState {
    /// Adds an item, or moves the position of the one that is there. It is looked at next time.
    pub(crate) fn upsert(
        &mut self,
        topic: TopicKey,
        partition: i32,
        position: FetchPosition,
    ) -> usize {
        let key = (topic, partition);
        let index = match self.by_key.get(&key) {
            Some(index) => {
                self.items[*index].position = position;
                *index
            }
            None => {
                let index = self.items.insert(FetchItem {
                    topic: key.0.clone(),
                    partition,
                    position,
                    target: None,
                    told: None,
                    queued: false,
                    watching: false,
                });
                self.by_key.insert(key, index);
                index
            }
        };
        self.enqueue(index);
        index
    }

    /// Takes items out, for the caller to end their watches. Keys that name none are passed over.
    pub(crate) fn remove(
        &mut self,
        keys: impl IntoIterator<Item = (TopicKey, i32)>,
    ) -> Vec<FetchItem> {
        let indices: Vec<usize> = keys
            .into_iter()
            .filter_map(|key| self.by_key.remove(&key))
            .collect();
        let items = &mut self.items;
        let removed: Vec<FetchItem> = indices
            .into_iter()
            .map(|index| items.remove(index))
            .collect();
        if removed.iter().any(|item| item.queued) {
            self.queue.retain(|index| items.contains(*index));
        }
        removed
    }

    /// Takes all items out.
    pub(crate) fn remove_all(&mut self) -> Vec<FetchItem> {
        self.by_key.clear();
        self.queue.clear();
        self.items.drain().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn item(&self, index: usize) -> &FetchItem {
        &self.items[index]
    }

    /// All items with their places.
    pub(crate) fn items_mut(&mut self) -> impl Iterator<Item = (usize, &mut FetchItem)> {
        self.items.iter_mut()
    }

    /// `token` is to be woken when something moves.
    pub(crate) fn park(&mut self, token: Token) {
        self.parked = Some(token);
    }

    /// `token` waits no more. Another request of the session that waits by now goes on.
    pub(crate) fn unpark(&mut self, token: Token) {
        self.parked = self.parked.filter(|parked| *parked != token);
    }

    /// Takes out who waits.
    pub(crate) fn take_parked(&mut self) -> Option<Token> {
        self.parked.take()
    }

    /// Whether partitions tell this set when they move.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.is_subscribed
    }

    /// From now on every partition of the set is watched as soon as it is known.
    pub(crate) fn subscribe(&mut self) {
        self.is_subscribed = true;
    }

    /// Makes every item be looked at again.
    pub(crate) fn enqueue_all(&mut self) {
        for index in 0..self.items.capacity() {
            self.enqueue(index);
        }
    }

    /// What a partition that moves does.
    #[cfg(test)]
    pub(crate) fn moved_for_test(&mut self, index: usize) {
        self.enqueue(index);
    }

    fn enqueue(&mut self, index: usize) {
        // The item may be gone: its partition moved just before the watch ended.
        if let Some(item) = self.items.get_mut(index)
            && !item.queued
        {
            item.queued = true;
            self.queue.push_back(index);
        }
    }

    /// Looks at the queued partitions (at all, for a full answer). Those with nothing to say leave
    /// the queue; the others stay in their order until [`FetchSetState::commit`].
    pub(crate) fn evaluate(
        &mut self,
        limits: FetchLimits,
        look: &mut dyn FnMut(usize, &mut FetchItem, Budget) -> Look,
    ) -> Evaluation {
        let mut looks = Vec::new();
        let mut left = limits.bytes_max;
        let (mut size, mut is_urgent) = (0, false);
        let mut queue = std::mem::take(&mut self.queue);
        if limits.coverage == Coverage::Full {
            // Items are only ever removed from sets that answer incrementally, so places are in the
            // order in which the client named the partitions.
            queue = self.items.iter().map(|(index, _)| index).collect();
        }
        for index in queue {
            let item = &mut self.items[index];
            if limits.coverage == Coverage::Incremental && left == 0 && 0 < size {
                self.queue.push_back(index); // Its turn comes first next time.
                continue;
            }
            let budget = Budget {
                bytes: left,
                may_exceed: size == 0,
            };
            let found = look(index, item, budget);
            size += found.size;
            left = left.saturating_sub(found.size);
            is_urgent |= found.is_urgent();
            item.queued = found.is_news(item.told);
            if item.queued {
                self.queue.push_back(index);
            }
            if item.queued || limits.coverage == Coverage::Full {
                looks.push((index, found));
            }
        }
        Evaluation {
            looks,
            is_enough: is_urgent || limits.bytes_min <= size,
        }
    }

    /// The answer with these looks goes out: remembers what the client now knows. Items with more
    /// to say go to the end of the queue, the others have said what they had to say.
    pub(crate) fn commit(&mut self, evaluation: &Evaluation) {
        for (index, look) in &evaluation.looks {
            let item = &mut self.items[*index];
            item.told = look.told;
            item.queued = false; // For now: what follows the answered ones keeps its turn.
        }
        let items = &self.items;
        self.queue.retain(|index| items[*index].queued);
        for (index, look) in &evaluation.looks {
            if look.has_more() {
                self.enqueue(*index);
            }
        }
    }

    /// Panics where an invariant does not hold.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let mut seen = std::collections::BTreeSet::new();
        for index in &self.queue {
            assert!(seen.insert(*index), "an item is queued once");
            assert!(self.items[*index].queued);
        }
        for (index, item) in &self.items {
            assert_eq!(item.queued, seen.contains(&index));
            let key = (item.topic.clone(), item.partition);
            assert_eq!(self.by_key.get(&key), Some(&index));
        }
        assert_eq!(self.by_key.len(), self.items.len());
    }
}
