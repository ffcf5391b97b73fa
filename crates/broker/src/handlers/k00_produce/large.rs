use super::{Acks, Place, may_write, recompressed};
use crate::partition::LocalPartition;
use crate::request::Request;
use crate::waiting::WrittenBatch;
use ottla_protocol::Records;
use ottla_protocol::messages::produce_request::ProduceRequest;
use ottla_records::{BatchView, Codec, validate_produce};

/// What was compressed again and is not large is kept until it is appended as long as all of it is within this; beyond, it
/// is made once more then: a small request must not fill memory.
const MADE_BYTES_MAX: usize = 16 << 20;

/// What becomes of the large batches of a request.
pub(super) enum Writing {
    /// There are none that the partitions would take; these were made to see that.
    Nothing(Vec<WrittenBatch>),
    /// They are being written.
    Begun(Vec<WrittenBatch>),
    /// There are too many already.
    Later,
}

/// Begins to write those batches of a request that are too large for their journals.
pub(super) fn write_large(
    request: &Request<'_>,
    acks: Option<Acks>,
    message: &ProduceRequest<'_>,
) -> Writing {
    let mut found = Vec::new();
    let partitions = message
        .topic_data
        .iter()
        .flat_map(|topic| topic.partition_data.iter().map(move |data| (topic, data)));
    for (number, (topic, data)) in partitions.enumerate() {
        let place = Place {
            topic,
            index: data.index,
            number,
        };
        if let Some(Records::Slice(bytes)) = data.records
            && is_suspect(request, bytes)
            && let Ok(partition) = place.find(request)
            && may_be_large(partition, bytes)
        {
            found.push((number, partition, bytes));
        }
    }
    if found.is_empty() {
        return Writing::Nothing(Vec::new());
    }
    let takes = |partition: &LocalPartition, size: usize| {
        let log_dir = &partition.home().log_dir;
        !log_dir.is_large(size) || log_dir.takes_large(size)
    };
    if !found
        .iter()
        .all(|(_, partition, bytes)| takes(partition, bytes.len()))
    {
        return Writing::Later;
    }
    let mut scratch = request.broker.cores[request.connection.core.index()]
        .scratch
        .lock();
    // What would be refused anyway is not written; it is refused when the request is carried out.
    let mut stored = |partition: &LocalPartition, bytes: &[u8]| {
        let view = partition.produce_view().ok()?;
        if acks == Some(Acks::All) && !view.has_enough_replicas {
            return None;
        }
        let facts = validate_produce(bytes, &view.rules, request.now.wall, &mut scratch).ok()?;
        recompressed(request, bytes, &facts, &view, &mut scratch).ok()
    };
    let (mut ready, mut is_begun, mut made_bytes) = (Vec::new(), false, 0);
    for (place, partition, bytes) in found {
        // A small request may hold many batches that become large. Asked before each is made, with all that it may
        // become: nothing is made in vain, and no more is in memory than the directory allows.
        let size_max = size_max(partition, bytes);
        if bytes.len() < size_max && !takes(partition, size_max) {
            if !is_begun {
                return Writing::Later;
            }
            continue; // its client is told to send it again
        }
        let again = match may_write(request, partition) {
            true => stored(partition, bytes),
            false => None,
        };
        let Some(again) = again else { continue };
        let made_size = again.as_ref().map_or(0, |(bytes, _)| bytes.len());
        let bytes = again.as_ref().map_or(bytes, |(bytes, _)| &bytes[..]);
        let home = partition.home();
        let is_large = home.log_dir.is_large(bytes.len());
        let batch = is_large.then(|| home.log_dir.write_large(bytes));
        if !is_large {
            made_bytes += made_size;
        }
        if is_large || (again.is_some() && made_bytes <= MADE_BYTES_MAX) {
            is_begun |= is_large;
            ready.push(WrittenBatch {
                place,
                directory: home.directory,
                again,
                batch,
            });
        }
    }
    match is_begun {
        true => Writing::Begun(ready),
        false => Writing::Nothing(ready),
    }
}

/// Whether a batch can be too large for a journal at all, as it was sent or compressed in another way.
fn is_suspect(request: &Request<'_>, bytes: &[u8]) -> bool {
    // What does not compress grows a little.
    let grown = bytes.len() + bytes.len() / 8 + 4096;
    let mut log_dirs = request.broker.log_dirs.iter();
    log_dirs.any(|log_dir| log_dir.is_large(grown))
        || BatchView::parse(bytes).is_ok_and(|batch| batch.codec() != Ok(Codec::None))
}

/// Whether such a batch can be too large for the partition's journal.
fn may_be_large(partition: &LocalPartition, bytes: &[u8]) -> bool {
    let home = partition.home();
    home.log_dir.is_large(size_max(partition, bytes))
}

/// Bytes that the partition may have of a batch that was sent like this.
fn size_max(partition: &LocalPartition, bytes: &[u8]) -> usize {
    let as_sent = bytes.len();
    let made = partition.recompresses_up_to();
    made.map_or(as_sent, |made| made.max(as_sent))
}
