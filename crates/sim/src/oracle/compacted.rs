//! What compaction may take out of a log, and what it may not.

use super::log_state::{LogState, StoredBatch};
use ottla_records::{BatchView, Decompressor, batches};
use ottla_types::Offset;
use std::collections::BTreeMap;

/// Offset, and value if there is one.
type Newest = BTreeMap<Vec<u8>, (Offset, Option<i64>)>;

/// When markers of deletion may be gone.
#[derive(Clone, Copy, Debug)]
pub struct CompactionRule {
    /// Wall time in milliseconds.
    pub now_ms: i64,
    /// Shortest `delete.retention.ms` that the topic ever had.
    pub delete_retention_ms: i64,
}

/// A record as its batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    offset: Offset,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl CompactionRule {
    /// Producers' clocks run at most this far from the moment they send.
    const CLOCK_MS: i64 = 20;

    fn may_be_gone(&self, timestamp: i64) -> bool {
        let earliest = timestamp - Self::CLOCK_MS;
        earliest.saturating_add(self.delete_retention_ms) <= self.now_ms
    }
}

/// Whether `found`, batches that were read from `from` on, is what compaction may leave of `whole`: every record is one
/// of `whole`, at its offset; of every key the newest record is there if it lies in what was read, unless it deletes
/// the key and was there for long enough. Returns what is wrong.
pub fn difference(
    whole: &LogState,
    from: Offset,
    found: &[u8],
    rule: CompactionRule,
) -> Option<String> {
    let mut next = Offset::ZERO;
    let mut there: BTreeMap<Offset, Record> = BTreeMap::new();
    for batch in batches(found) {
        let Ok(batch) = batch else {
            return Some("what was read ends inside a batch".to_owned());
        };
        if batch.base_offset() < next {
            return Some(format!("offset {} comes again", batch.base_offset()));
        }
        next = Offset::new(batch.last_offset().get() + 1);
        let original = whole
            .batches_from(batch.base_offset())
            .next()
            .filter(|it| it.base_offset == batch.base_offset());
        let Some(original) = original else {
            return Some(format!("nobody wrote a batch at {}", batch.base_offset()));
        };
        if let Some(text) = header_difference(original, &batch) {
            return Some(format!("the batch at {}: {text}", batch.base_offset()));
        }
        let known = records(&original.bytes);
        for record in records(batch.bytes()) {
            if !known.contains(&record) {
                return Some(format!("nobody wrote the record at {}", record.offset));
            }
            there.insert(record.offset, record);
        }
    }
    for (key, (offset, deleted_at)) in newest(whole) {
        if offset < from || next <= offset || there.contains_key(&offset) {
            continue;
        }
        let Some(timestamp) = deleted_at else {
            return Some(format!(
                "the newest record of key {key:?} at {offset} is gone"
            ));
        };
        if !rule.may_be_gone(timestamp) {
            return Some(format!(
                "the deletion of key {key:?} at {offset} is gone too early"
            ));
        }
        let old = there.values().find(|it| it.key.as_ref() == Some(&key));
        if let Some(old) = old {
            let old = old.offset;
            return Some(format!(
                "key {key:?} was deleted at {offset}, and is back at {old}"
            ));
        }
    }
    None
}

fn header_difference(original: &StoredBatch, found: &BatchView<'_>) -> Option<String> {
    let wanted = BatchView::parse(&original.bytes).expect("the oracle keeps whole batches");
    let header = |batch: &BatchView<'_>| {
        (
            batch.last_offset(),
            batch.leader_epoch(),
            batch.producer(),
            batch.is_crc_valid(),
        )
    };
    let (wanted, found) = (header(&wanted), header(found));
    (wanted != found).then(|| format!("expected {wanted:?}, found {found:?}"))
}

fn records(bytes: &[u8]) -> Vec<Record> {
    let mut decompressor = Decompressor::default();
    let batch = BatchView::parse(bytes).expect("a whole batch");
    let records = batch.records(&mut decompressor).expect("readable");
    records
        .map(|record| {
            let record = record.expect("readable");
            Record {
                offset: record.offset,
                timestamp: record.timestamp.as_millis(),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
            }
        })
        .collect()
}

/// Of every key its newest offset and, if that record deletes the key, its timestamp.
fn newest(whole: &LogState) -> Newest {
    let mut newest = Newest::new();
    for batch in whole.batches() {
        for record in records(&batch.bytes) {
            let Some(key) = record.key else { continue };
            let deleted_at = record.value.is_none().then_some(record.timestamp);
            newest.insert(key, (record.offset, deleted_at));
        }
    }
    newest
}

impl LogState {
    /// Like [`LogState::difference`], of a log that may have been compacted.
    pub fn difference_compacted(&self, found: &LogState, rule: CompactionRule) -> Option<String> {
        let mut expected = (self.exists, self.log_start, self.end);
        if expected != (found.exists, found.log_start, found.end) {
            expected = (found.exists, found.log_start, found.end);
            return Some(format!(
                "exists {} start {} end {}, found {expected:?}",
                self.exists, self.log_start, self.end
            ));
        }
        let bytes: Vec<u8> = found
            .batches()
            .flat_map(|batch| batch.bytes.iter().copied())
            .collect();
        let text = difference(self, self.log_start, &bytes, rule);
        text.or_else(|| self.lost_end(found, rule))
    }

    /// Newest records behind the last batch that was found.
    fn lost_end(&self, found: &LogState, rule: CompactionRule) -> Option<String> {
        let end = found
            .batches()
            .next_back()
            .map_or(self.log_start, |it| it.end());
        let lost = newest(self).into_iter().find(|(_, (offset, deleted_at))| {
            end.max(self.log_start) <= *offset
                && deleted_at.is_none_or(|timestamp| !rule.may_be_gone(timestamp))
        });
        lost.map(|(key, (offset, _))| format!("key {key:?} at {offset} lies behind the end {end}"))
    }
}
