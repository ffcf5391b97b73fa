//! One producer in a partition's record of a checkpoint, and in the journal (docs/formats/partition-record.md has the
//! table). Little endian.

use super::entry::{ProducedBatch, ProducerEntry, WINDOW_BATCHES_COUNT};
use ottla_types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// A producer takes so many bytes ...
const HEAD_SIZE: usize = 8 + 2 + 8 + 8 + 1;
/// ... and so many for each batch of its window.
const BATCH_SIZE: usize = 4 + 8 + 4 + 8;

/// How many bytes a producer takes at most.
pub const SIZE_MAX: usize = HEAD_SIZE + WINDOW_BATCHES_COUNT * BATCH_SIZE;

/// How many bytes [`encode`] adds for `entry`.
pub fn size(entry: &ProducerEntry) -> usize {
    HEAD_SIZE + entry.batches().len() * BATCH_SIZE
}

/// Adds the window of `entry` to `out`.
pub fn encode(out: &mut Vec<u8>, entry: &ProducerEntry) {
    out.extend_from_slice(&entry.id().get().to_le_bytes());
    out.extend_from_slice(&entry.epoch().get().to_le_bytes());
    out.extend_from_slice(&entry.last_used().as_millis().to_le_bytes());
    let transaction = entry.transaction_start().map_or(-1, Offset::get);
    out.extend_from_slice(&transaction.to_le_bytes());
    out.push(entry.batches().len() as u8);
    for batch in entry.batches() {
        out.extend_from_slice(&batch.last_sequence.get().to_le_bytes());
        out.extend_from_slice(&batch.last_offset.get().to_le_bytes());
        out.extend_from_slice(&batch.offset_delta.to_le_bytes());
        out.extend_from_slice(&batch.timestamp.as_millis().to_le_bytes());
    }
}

/// Takes one producer off `rest`; `None` when it contradicts itself.
pub fn decode(rest: &mut &[u8]) -> Option<ProducerEntry> {
    let id = ProducerId::from_wire(long(rest)?)?;
    let epoch = ProducerEpoch::new(i16::from_le_bytes(take(rest)?));
    let used = Timestamp::from_millis(long(rest)?);
    let mut entry = ProducerEntry::new(id, epoch, used);
    entry.set_transaction_start(Offset::from_wire(long(rest)?));
    for _ in 0..take::<1>(rest)?[0] {
        let batch = ProducedBatch {
            last_sequence: Sequence::new(int(rest)?),
            last_offset: Offset::from_wire(long(rest)?)?,
            offset_delta: int(rest)?,
            timestamp: Timestamp::from_millis(long(rest)?),
        };
        entry.push(epoch, batch, used);
    }
    Some(entry)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*head)
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    Some(i32::from_le_bytes(take(rest)?))
}

fn long(rest: &mut &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(take(rest)?))
}
