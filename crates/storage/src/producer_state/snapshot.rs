//! `<offset>.snapshot`: Kafka's producer snapshot, format version 1, with a trailer of ours.
//!
//! ```text
//!  0 version i16 = 1
//!  2 crc u32: CRC-32C of everything behind it, the trailer included
//!  6 count i32, then per producer, by id:
//!      producer_id i64, epoch i16, last_sequence i32, last_offset i64, offset_delta i32,
//!      timestamp i64, coordinator_epoch i32, transaction_start i64 (-1: none)
//! -- Kafka reads up to here and ignores the rest --
//!    magic "OTW1", then per producer in the same order:
//!      last_used i64, older_count u8, then per older batch, oldest first:
//!      last_sequence i32, last_offset i64, offset_delta i32, timestamp i64
//! ```
//!
//! All integers are big endian. Kafka remembers one batch across a restart; the trailer keeps the whole
//! window, because a producer with five requests in flight retries all of them after a crash.

use super::entry::{ProducedBatch, ProducerEntry};
use ottla_records::crc32c;
use ottla_types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

const VERSION: i16 = 1;
const CRC_END: usize = 6;
const TRAILER_MAGIC: &[u8; 4] = b"OTW1";
/// Kafka's "no coordinator epoch".
const NO_COORDINATOR_EPOCH: i32 = -1;

/// The bytes are not a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A format from the future.
    #[error("producer snapshot of format version {version}; this release reads version 1")]
    Version {
        /// What the file says.
        version: i16,
    },
    /// Cut short or altered.
    #[error("producer snapshot is damaged")]
    Damaged,
}

/// The file's bytes for `entries`, which come by ascending id.
pub fn encode<'a>(entries: impl Iterator<Item = &'a ProducerEntry> + Clone) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&[0; 8]); // CRC and count, filled in below
    let mut count = 0i32;
    for entry in entries.clone() {
        encode_kafka_entry(&mut out, entry);
        count += 1;
    }
    out[CRC_END..CRC_END + 4].copy_from_slice(&count.to_be_bytes());
    out.extend_from_slice(TRAILER_MAGIC);
    for entry in entries {
        encode_window(&mut out, entry);
    }
    let crc = crc32c(&out[CRC_END..]);
    out[2..CRC_END].copy_from_slice(&crc.to_be_bytes());
    out
}

fn encode_kafka_entry(out: &mut Vec<u8>, entry: &ProducerEntry) {
    out.extend_from_slice(&entry.id().get().to_be_bytes());
    out.extend_from_slice(&entry.epoch().get().to_be_bytes());
    encode_last_batch(out, entry.last());
    out.extend_from_slice(&NO_COORDINATOR_EPOCH.to_be_bytes());
    let start = entry.transaction_start().map_or(-1, Offset::get);
    out.extend_from_slice(&start.to_be_bytes());
}

fn encode_last_batch(out: &mut Vec<u8>, batch: Option<&ProducedBatch>) {
    match batch {
        Some(batch) => encode_batch(out, batch),
        None => {
            // Kafka's NO_SEQUENCE, NO_OFFSET, delta 0, NO_TIMESTAMP.
            out.extend_from_slice(&(-1i32).to_be_bytes());
            out.extend_from_slice(&(-1i64).to_be_bytes());
            out.extend_from_slice(&0i32.to_be_bytes());
            out.extend_from_slice(&(-1i64).to_be_bytes());
        }
    }
}

fn encode_batch(out: &mut Vec<u8>, batch: &ProducedBatch) {
    out.extend_from_slice(&batch.last_sequence.get().to_be_bytes());
    out.extend_from_slice(&batch.last_offset.get().to_be_bytes());
    out.extend_from_slice(&batch.offset_delta.to_be_bytes());
    out.extend_from_slice(&batch.timestamp.as_millis().to_be_bytes());
}

fn encode_window(out: &mut Vec<u8>, entry: &ProducerEntry) {
    out.extend_from_slice(&entry.last_used().as_millis().to_be_bytes());
    let batches = entry.batches();
    let older = &batches[..batches.len().saturating_sub(1)];
    out.push(older.len() as u8);
    for batch in older {
        encode_batch(out, batch);
    }
}

/// The producers a snapshot holds. One that Kafka wrote has no trailer: then only the newest batch of
/// each producer is known, and `now` counts as its last use.
pub fn decode(bytes: &[u8], now: Timestamp) -> Result<Vec<ProducerEntry>, SnapshotError> {
    let mut reader = Reader { bytes, at: 0 };
    let version = i16::from_be_bytes(reader.take()?);
    if version != VERSION {
        return Err(SnapshotError::Version { version });
    }
    let crc = u32::from_be_bytes(reader.take()?);
    if crc != crc32c(&bytes[CRC_END..]) {
        return Err(SnapshotError::Damaged);
    }
    let count = usize::try_from(reader.int()?).map_err(|_| SnapshotError::Damaged)?;
    if count > reader.rest() / 46 {
        return Err(SnapshotError::Damaged);
    }
    let mut heads = Vec::with_capacity(count);
    for _ in 0..count {
        heads.push(reader.kafka_entry()?);
    }
    let has_trailer = reader.rest() >= 4 && &reader.take::<4>()? == TRAILER_MAGIC;
    let mut entries = Vec::with_capacity(count);
    for head in heads {
        let mut used = now;
        let mut entry = ProducerEntry::new(head.id, head.epoch, Timestamp::from_millis(0));
        entry.set_transaction_start(head.transaction_start);
        if has_trailer {
            used = Timestamp::from_millis(reader.long()?);
            for _ in 0..reader.take::<1>()?[0] {
                let batch = reader.batch()?.ok_or(SnapshotError::Damaged)?;
                entry.push(head.epoch, batch, used);
            }
        }
        match head.last {
            Some(batch) => entry.push(head.epoch, batch, used),
            None => entry = ProducerEntry::new(head.id, head.epoch, used),
        }
        entries.push(entry);
    }
    Ok(entries)
}

struct Head {
    id: ProducerId,
    epoch: ProducerEpoch,
    last: Option<ProducedBatch>,
    transaction_start: Option<Offset>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let field = self
            .bytes
            .get(self.at..self.at + N)
            .ok_or(SnapshotError::Damaged)?;
        self.at += N;
        Ok(field.try_into().expect("the range has this size"))
    }

    fn int(&mut self) -> Result<i32, SnapshotError> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    fn long(&mut self) -> Result<i64, SnapshotError> {
        Ok(i64::from_be_bytes(self.take()?))
    }

    fn kafka_entry(&mut self) -> Result<Head, SnapshotError> {
        let id = ProducerId::from_wire(self.long()?).ok_or(SnapshotError::Damaged)?;
        let epoch = ProducerEpoch::new(i16::from_be_bytes(self.take()?));
        let last = self.batch()?;
        self.int()?; // coordinator epoch
        let transaction_start = Offset::from_wire(self.long()?);
        Ok(Head {
            id,
            epoch,
            last,
            transaction_start,
        })
    }

    fn batch(&mut self) -> Result<Option<ProducedBatch>, SnapshotError> {
        let (sequence, offset) = (self.int()?, self.long()?);
        let (offset_delta, timestamp) = (self.int()?, self.long()?);
        let (Some(last_sequence), Some(last_offset)) =
            (Sequence::from_wire(sequence), Offset::from_wire(offset))
        else {
            return Ok(None);
        };
        if offset_delta < 0 || last_offset.get() < i64::from(offset_delta) {
            return Err(SnapshotError::Damaged);
        }
        let timestamp = Timestamp::from_millis(timestamp);
        Ok(Some(ProducedBatch {
            last_sequence,
            last_offset,
            offset_delta,
            timestamp,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, batches: i32) -> ProducerEntry {
        let mut entry = ProducerEntry::new(
            ProducerId::new(id),
            ProducerEpoch::new(3),
            Timestamp::from_millis(500),
        );
        for index in 0..batches {
            let batch = ProducedBatch {
                last_sequence: Sequence::new(index * 10 + 9),
                last_offset: Offset::new(i64::from(index) * 100 + 9),
                offset_delta: 9,
                timestamp: Timestamp::from_millis(1_000 + i64::from(index)),
            };
            let used = Timestamp::from_millis(2_000 + i64::from(index));
            entry.push(ProducerEpoch::new(3), batch, used);
        }
        entry
    }

    #[test]
    fn the_whole_window_comes_back() {
        let entries: Vec<_> = (0..7).map(|count| entry(i64::from(count), count)).collect();
        let bytes = encode(entries.iter());
        assert_eq!(decode(&bytes, Timestamp::from_millis(9)), Ok(entries));
    }

    #[test]
    fn without_trailer_the_newest_batch_is_known() {
        let entries = [entry(4, 3)];
        let mut bytes = encode(entries.iter());
        bytes.truncate(10 + 46);
        let crc = crc32c(&bytes[CRC_END..]).to_be_bytes();
        bytes[2..CRC_END].copy_from_slice(&crc);
        let decoded = decode(&bytes, Timestamp::from_millis(9_000)).expect("whole");
        assert_eq!(decoded[0].batches(), &entries[0].batches()[2..]);
        assert_eq!(decoded[0].last_used(), Timestamp::from_millis(9_000));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = encode([entry(4, 5), entry(5, 1)].iter());
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(
                decode(&broken, Timestamp::from_millis(0)).is_err(),
                "bit {bit}"
            );
        }
        for end in 0..bytes.len() {
            assert!(
                decode(&bytes[..end], Timestamp::from_millis(0)).is_err(),
                "end {end}"
            );
        }
    }
}
