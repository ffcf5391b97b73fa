use crate::hold;
use crate::oracle::Violation;
use ottla_types::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};

/// Who sent a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Number of the producer.
    pub(super) producer: usize,
    /// Its records of a partition stay in the order in which they were sent.
    pub(super) in_order: bool,
}

/// What clients were told about one partition.
#[derive(Debug, Default)]
struct Told {
    /// Offset to value, as consumers read it.
    read: BTreeMap<i64, u64>,
    /// Offset to value, as producers were told.
    acknowledged: BTreeMap<i64, u64>,
    /// Value to offset, from both.
    placed: BTreeMap<u64, i64>,
    /// An acknowledged DeleteRecords: nothing below it is there any more.
    deleted_to: i64,
    /// The largest offset that DeleteRecords was asked for.
    delete_asked: i64,
    /// A power cut may take away what was acknowledged, because the topic is not durable.
    is_os: bool,
}

/// Everything clients were told, and what must therefore stay true. A request without an answer may
/// have had its effect or not.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: BTreeMap<u64, Sent>,
    told: BTreeMap<TopicPartition, Told>,
}

impl Ledger {
    pub(super) fn sent(&mut self, value: u64, sent: Sent) {
        self.sent.insert(value, sent);
    }

    pub(super) fn set_os(&mut self, partition: TopicPartition) {
        self.told.entry(partition).or_default().is_os = true;
    }

    pub(super) fn is_os(&self, partition: TopicPartition) -> bool {
        self.told.get(&partition).is_some_and(|told| told.is_os)
    }

    /// The page cache is gone: topics that are not durable may have lost what they acknowledged.
    pub(super) fn page_cache_lost(&mut self) {
        for told in self.told.values_mut().filter(|told| told.is_os) {
            told.read.clear();
            told.acknowledged.clear();
            told.placed.clear();
        }
    }

    /// A consumer read `value` at `offset`.
    pub(super) fn read(
        &mut self,
        partition: TopicPartition,
        offset: i64,
        value: u64,
    ) -> Result<(), Violation> {
        hold!(
            self.sent.contains_key(&value),
            "only what was sent is read",
            "{partition} offset {offset}: {value}"
        );
        let told = self.told.entry(partition).or_default();
        let known = *told.read.entry(offset).or_insert(value);
        hold!(
            known == value,
            "what was read never changes",
            "{partition} offset {offset}: read {known} before and {value} now"
        );
        place(told, partition, offset, value)
    }

    /// A producer was told that its records are at `base_offset` and after it.
    pub(super) fn acknowledged(
        &mut self,
        partition: TopicPartition,
        base_offset: i64,
        values: &[u64],
    ) -> Result<(), Violation> {
        let told = self.told.entry(partition).or_default();
        for (offset, &value) in (base_offset..).zip(values) {
            let known = *told.acknowledged.entry(offset).or_insert(value);
            hold!(
                known == value,
                "one offset, one value",
                "{partition} offset {offset}: {known} and {value} were acknowledged"
            );
            place(told, partition, offset, value)?;
        }
        Ok(())
    }

    pub(super) fn delete_asked(&mut self, partition: TopicPartition, to: i64) {
        let told = self.told.entry(partition).or_default();
        told.delete_asked = told.delete_asked.max(to);
    }

    pub(super) fn deleted(&mut self, partition: TopicPartition, to: i64) {
        let told = self.told.entry(partition).or_default();
        told.deleted_to = told.deleted_to.max(to);
    }

    /// Nothing below this offset may be served.
    pub(super) fn deleted_to(&self, partition: TopicPartition) -> i64 {
        self.told.get(&partition).map_or(0, |told| told.deleted_to)
    }

    /// Offset after the highest one that was read or acknowledged.
    pub(super) fn promised_end(&self, partition: TopicPartition) -> i64 {
        let Some(told) = self.told.get(&partition) else {
            return 0;
        };
        let read = told
            .read
            .last_key_value()
            .map_or(0, |(offset, _)| offset + 1);
        let acknowledged = told.acknowledged.last_key_value();
        read.max(acknowledged.map_or(0, |(offset, _)| offset + 1))
    }

    /// The values of `start..end`, which a consumer has just read from one end to the other.
    pub(super) fn values(
        &self,
        partition: TopicPartition,
        start: i64,
        end: i64,
    ) -> Result<Vec<u64>, Violation> {
        let nothing = Told::default();
        let told = self.told.get(&partition).unwrap_or(&nothing);
        let values: Vec<u64> = told
            .read
            .range(start..end)
            .map(|(_, value)| *value)
            .collect();
        hold!(
            values.len() as i64 == end - start,
            "no offset is skipped",
            "{partition}: {} records in {start}..{end}",
            values.len()
        );
        Ok(values)
    }

    /// Holds everything a partition has, `start..` in `values`, against what was told.
    pub(super) fn settle(
        &self,
        partition: TopicPartition,
        start: i64,
        values: &[u64],
    ) -> Result<(), Violation> {
        let nothing = Told::default();
        let told = self.told.get(&partition).unwrap_or(&nothing);
        hold!(
            told.deleted_to <= start && start <= told.delete_asked,
            "DeleteRecords stays done",
            "{partition} starts at {start}, {} was acknowledged and {} asked for",
            told.deleted_to,
            told.delete_asked
        );
        let at = |offset: i64| values.get((offset - start) as usize).copied();
        for (name, kept) in [("acknowledged", &told.acknowledged), ("read", &told.read)] {
            for (&offset, &value) in kept.range(start..) {
                hold!(
                    at(offset) == Some(value),
                    "nothing acknowledged or read is lost",
                    "{partition} offset {offset}: {value} was {name}, {:?} is there",
                    at(offset)
                );
            }
        }
        self.check_order(partition, start, values)
    }

    fn check_order(
        &self,
        partition: TopicPartition,
        start: i64,
        values: &[u64],
    ) -> Result<(), Violation> {
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<usize, u64> = BTreeMap::new();
        for (offset, &value) in (start..).zip(values) {
            hold!(
                seen.insert(value),
                "no record is there twice",
                "{partition} offset {offset}: {value} again"
            );
            let Some(sent) = self.sent.get(&value).filter(|sent| sent.in_order) else {
                continue;
            };
            let before = last.insert(sent.producer, value);
            hold!(
                before.is_none_or(|before| before < value),
                "an idempotent producer's records stay in order",
                "{partition} offset {offset}: {value} after {before:?}"
            );
        }
        Ok(())
    }
}

fn place(
    told: &mut Told,
    partition: TopicPartition,
    offset: i64,
    value: u64,
) -> Result<(), Violation> {
    let known = *told.placed.entry(value).or_insert(offset);
    hold!(
        known == offset,
        "no record is there twice",
        "{partition}: {value} is at {known} and at {offset}"
    );
    for kept in [&told.read, &told.acknowledged] {
        let other = kept.get(&offset).copied();
        hold!(
            other.is_none_or(|other| other == value),
            "one offset, one value",
            "{partition} offset {offset}: {other:?} and {value}"
        );
    }
    Ok(())
}
