use crate::core::call::IsolationLevel;
use crate::core::partition_key::PartitionKey;
use bytes::Bytes;
use ottla_records::{
    BatchError, BatchView, Codec, ControlRecord, Decompressor, RecordsError, TimestampType, batches,
};
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use std::collections::BTreeSet;

/// A record as a consumer gets it. Key, value and headers are slices of what was received (or, of
/// compressed batches, of what that was decompressed to); they keep it in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// Where it was read.
    pub partition: PartitionKey,
    /// Its place there.
    pub offset: Offset,
    /// When it was made or appended.
    pub timestamp: Timestamp,
    /// Which of the two.
    pub timestamp_type: TimestampType,
    /// Term of the leader that appended it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// How its batch was compressed.
    pub codec: Codec,
    /// Who wrote it, if that was an idempotent or transactional producer.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
    /// It was written within a transaction.
    pub is_transactional: bool,
    /// The key; `None` is null.
    pub key: Option<Bytes>,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// Why fetched bytes are not records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumedBatchError {
    /// Not a batch.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// The checksum is wrong.
    #[error("the batch at offset {base_offset} has a wrong checksum")]
    Crc {
        /// Its first offset.
        base_offset: Offset,
    },
    /// A record or the compression is unreadable.
    #[error("the batch at offset {base_offset} is unreadable: {error}")]
    Records {
        /// Its first offset.
        base_offset: Offset,
        /// What is wrong.
        error: RecordsError,
    },
}

/// What one response brought for one partition: whole batches.
#[derive(Clone, Debug)]
pub struct FetchedChunk {
    /// Which partition.
    pub partition: PartitionKey,
    /// The first offset that was asked for: batches may begin before it.
    pub fetch_offset: Offset,
    /// After the last offset of the chunk (exclusive).
    pub end_offset: Offset,
    /// The batches.
    pub bytes: Bytes,
    /// Aborted transactions in the range: producer and first offset, ascending by offset.
    pub aborted: Vec<(ProducerId, Offset)>,
    pub(crate) version: u64,
}

impl FetchedChunk {
    /// Appends the records that an application may see: nothing below the offset that was asked for,
    /// no control records, and for [`IsolationLevel::ReadCommitted`] nothing of aborted transactions.
    pub fn records(
        &self,
        isolation: IsolationLevel,
        decompressor: &mut Decompressor,
        out: &mut Vec<ConsumedRecord>,
    ) -> Result<(), ConsumedBatchError> {
        let mut aborted = AbortedProducers::new(&self.aborted);
        for batch in batches(&self.bytes) {
            let batch = match batch {
                Ok(batch) => batch,
                // Brokers may cut the last batch off at the size that was asked for.
                Err(BatchError::Truncated { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            if batch.last_offset() < self.fetch_offset {
                continue;
            }
            if !batch.is_crc_valid() {
                return Err(ConsumedBatchError::Crc {
                    base_offset: batch.base_offset(),
                });
            }
            if isolation == IsolationLevel::ReadCommitted && aborted.skips(&batch, decompressor) {
                continue;
            }
            if !batch.is_control() {
                self.batch_records(&batch, decompressor, out)
                    .map_err(|error| ConsumedBatchError::Records {
                        base_offset: batch.base_offset(),
                        error,
                    })?;
            }
        }
        Ok(())
    }

    fn batch_records(
        &self,
        batch: &BatchView<'_>,
        decompressor: &mut Decompressor,
        out: &mut Vec<ConsumedRecord>,
    ) -> Result<(), RecordsError> {
        let codec = batch.codec()?;
        // The decompressor's buffer is used again for the next batch: copied once, then sliced.
        let holder = match codec {
            Codec::None => self.bytes.clone(),
            codec => Bytes::copy_from_slice(decompressor.decompress(codec, batch.payload())?),
        };
        let records = match codec {
            Codec::None => batch.records(decompressor)?,
            _ => batch.records_in(&holder),
        };
        for record in records {
            let record = record?;
            if record.offset < self.fetch_offset {
                continue;
            }
            let slice = |bytes: &[u8]| holder.slice_ref(bytes);
            out.push(ConsumedRecord {
                partition: self.partition.clone(),
                offset: record.offset,
                timestamp: record.timestamp,
                timestamp_type: batch.timestamp_type(),
                leader_epoch: batch.leader_epoch(),
                codec,
                producer: batch.producer_id_and_epoch(),
                is_transactional: batch.is_transactional(),
                key: record.key.map(slice),
                value: record.value.map(slice),
                headers: record
                    .headers
                    .map(|header| (slice(header.key), header.value.map(slice)))
                    .collect(),
            });
        }
        Ok(())
    }
}

/// Whose transactional batches are to be skipped at the place that was reached.
struct AbortedProducers<'a> {
    to_come: &'a [(ProducerId, Offset)],
    open: BTreeSet<ProducerId>,
}

impl<'a> AbortedProducers<'a> {
    fn new(aborted: &'a [(ProducerId, Offset)]) -> AbortedProducers<'a> {
        AbortedProducers {
            to_come: aborted,
            open: BTreeSet::new(),
        }
    }

    fn skips(&mut self, batch: &BatchView<'_>, decompressor: &mut Decompressor) -> bool {
        while let Some(((id, first), rest)) = self.to_come.split_first()
            && *first <= batch.last_offset()
        {
            self.open.insert(*id);
            self.to_come = rest;
        }
        let Some((id, _)) = batch.producer_id_and_epoch() else {
            return false;
        };
        if !batch.is_control() {
            return batch.is_transactional() && self.open.contains(&id);
        }
        let marker = batch
            .records(decompressor)
            .ok()
            .and_then(|mut records| records.next());
        if let Some(Ok(record)) = marker
            && let Ok(ControlRecord::Abort { .. }) = ControlRecord::parse(&record)
        {
            self.open.remove(&id);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_records::{BatchBuilder, Compressor, ControlBatch, control_batch, stamp};
    use ottla_types::Sequence;

    const EPOCH: ProducerEpoch = ProducerEpoch::new(0);

    fn batch(offset: i64, codec: Codec, producer: Option<i64>, values: &[&str]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(codec).base_offset(Offset::new(offset));
        if let Some(id) = producer {
            let id = ProducerId::new(id);
            builder = builder
                .producer(id, EPOCH, Sequence::new(0))
                .transactional();
        }
        for value in values {
            let now = Timestamp::from_millis(1);
            builder.push(now, Some(b"k"), Some(value.as_bytes()), &[]);
        }
        builder.finish(&mut Compressor::default())
    }

    fn marker(offset: i64, producer: i64, commit: bool) -> Vec<u8> {
        let producer_id = ProducerId::new(producer);
        let content = ControlBatch::Marker {
            producer_id,
            producer_epoch: EPOCH,
            commit,
            coordinator_epoch: 0,
        };
        let mut bytes = control_batch(content, Timestamp::from_millis(1));
        stamp(&mut bytes, Offset::new(offset), LeaderEpoch::new(0));
        bytes
    }

    fn chunk(fetch_offset: i64, bytes: Vec<u8>, aborted: &[(i64, i64)]) -> FetchedChunk {
        let abort = |(id, first): &(i64, i64)| (ProducerId::new(*id), Offset::new(*first));
        FetchedChunk {
            partition: PartitionKey::new("t", 0),
            fetch_offset: Offset::new(fetch_offset),
            end_offset: Offset::new(100),
            bytes: Bytes::from(bytes),
            aborted: aborted.iter().map(abort).collect(),
            version: 0,
        }
    }

    fn read(chunk: &FetchedChunk, isolation: IsolationLevel) -> Vec<(i64, String)> {
        let mut out = Vec::new();
        chunk
            .records(isolation, &mut Decompressor::default(), &mut out)
            .unwrap();
        out.iter()
            .map(|record| {
                let value = record.value.as_ref().unwrap();
                (
                    record.offset.get(),
                    String::from_utf8(value.to_vec()).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn an_offset_inside_a_batch_skips_what_is_before_it() {
        for codec in Codec::ALL {
            let bytes = [
                batch(0, codec, None, &["a", "b"]),
                batch(2, codec, None, &["c", "d", "e"]),
            ]
            .concat();
            let read = read(&chunk(3, bytes, &[]), IsolationLevel::ReadUncommitted);
            assert_eq!(read, [(3, "d".to_owned()), (4, "e".to_owned())], "{codec}");
        }
    }

    #[test]
    fn aborted_transactions_are_hidden_from_read_committed_only() {
        let bytes = [
            batch(0, Codec::None, Some(1), &["aborted"]),
            batch(1, Codec::None, Some(2), &["committed"]),
            batch(2, Codec::None, None, &["plain"]),
            marker(3, 1, false),
            batch(4, Codec::Lz4, Some(1), &["later"]),
            marker(5, 2, true),
            marker(6, 1, true),
        ]
        .concat();
        let chunk = chunk(0, bytes, &[(1, 0)]);
        let values = |isolation| -> Vec<String> {
            read(&chunk, isolation)
                .into_iter()
                .map(|(_, value)| value)
                .collect()
        };
        assert_eq!(
            values(IsolationLevel::ReadCommitted),
            ["committed", "plain", "later"]
        );
        let all = ["aborted", "committed", "plain", "later"];
        assert_eq!(values(IsolationLevel::ReadUncommitted), all);
    }

    #[test]
    fn wrong_checksums_are_reported_with_the_offset() {
        let mut bytes = batch(7, Codec::None, None, &["a"]);
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        let mut out = Vec::new();
        let error = chunk(7, bytes, &[])
            .records(
                IsolationLevel::ReadUncommitted,
                &mut Decompressor::default(),
                &mut out,
            )
            .unwrap_err();
        assert_eq!(
            error,
            ConsumedBatchError::Crc {
                base_offset: Offset::new(7)
            }
        );
    }
}
