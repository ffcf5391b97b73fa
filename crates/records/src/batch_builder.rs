use crate::codec::{Codec, Compressor};
use crate::layout::{self, HEADER_SIZE};
use crate::record_view::Header;
use crate::stamp::stamp_crc;
use crate::varint;
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Builds one batch, record by record.
#[derive(Debug)]
pub struct BatchBuilder {
    /// Header (filled in by `finish`) and uncompressed records.
    bytes: Vec<u8>,
    codec: Codec,
    attributes: i16,
    base_offset: Offset,
    leader_epoch: i32,
    producer: Option<(ProducerId, ProducerEpoch)>,
    base_sequence: i32,
    base_timestamp: Option<Timestamp>,
    max_timestamp: Timestamp,
    next_offset_delta: u32,
    records_count: u32,
}

impl BatchBuilder {
    /// An empty batch whose records `finish` will compress with `codec`.
    pub fn new(codec: Codec) -> BatchBuilder {
        BatchBuilder {
            bytes: vec![0; HEADER_SIZE],
            codec,
            attributes: 0,
            base_offset: Offset::ZERO,
            leader_epoch: -1,
            producer: None,
            base_sequence: -1,
            base_timestamp: None,
            max_timestamp: Timestamp::from_millis(-1),
            next_offset_delta: 0,
            records_count: 0,
        }
    }

    /// Makes it a batch of an idempotent producer.
    pub fn producer(
        mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        base_sequence: Sequence,
    ) -> BatchBuilder {
        self.set_producer(id, epoch, base_sequence);
        self
    }

    /// As [`BatchBuilder::producer`], for a batch that has been begun: a sequence is drawn when a
    /// batch is closed, not when it is opened.
    pub fn set_producer(&mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: Sequence) {
        self.producer = Some((id, epoch));
        self.base_sequence = base_sequence.get();
    }

    /// Makes it part of a transaction.
    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= layout::ATTRIBUTE_TRANSACTIONAL;
        self
    }

    /// Makes it a control batch; see [`crate::control_batch`] for the usual ones.
    pub fn control(mut self) -> BatchBuilder {
        self.attributes |= layout::ATTRIBUTE_CONTROL;
        self
    }

    /// Places it in a log. Producers leave this at 0.
    pub fn base_offset(mut self, base_offset: Offset) -> BatchBuilder {
        self.base_offset = base_offset;
        self
    }

    /// States the leader epoch. Producers leave it unstated.
    pub fn leader_epoch(mut self, leader_epoch: LeaderEpoch) -> BatchBuilder {
        self.leader_epoch = leader_epoch.get();
        self
    }

    /// Names producer and epoch without a sequence, as control batches do.
    pub(crate) fn producer_without_sequence(
        mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
    ) -> BatchBuilder {
        self.producer = Some((id, epoch));
        self
    }

    /// Appends a record at the next offset.
    pub fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) {
        self.push_at(self.next_offset_delta, timestamp, key, value, headers);
    }

    /// Appends a record at base offset plus `offset_delta`, which must not be below the offset after
    /// the last one: compacted batches have gaps.
    pub fn push_at(
        &mut self,
        offset_delta: u32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) {
        assert!(offset_delta >= self.next_offset_delta, "offsets ascend");
        let offset_delta = i32::try_from(offset_delta).expect("a batch spans 2^31 offsets at most");
        let base = *self.base_timestamp.get_or_insert(timestamp);
        let timestamp_delta = timestamp.as_millis().wrapping_sub(base.as_millis());
        let body = body_size(timestamp_delta, offset_delta, key, value, headers);
        let out = &mut self.bytes;
        varint::write_i32(out, size_field(body));
        out.push(0);
        varint::write_i64(out, timestamp_delta);
        varint::write_i32(out, offset_delta);
        write_nullable(out, key);
        write_nullable(out, value);
        varint::write_i32(out, size_field(headers.len()));
        for header in headers {
            write_nullable(out, Some(header.key));
            write_nullable(out, header.value);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.next_offset_delta = offset_delta as u32 + 1;
        self.records_count += 1;
    }

    /// Bytes the batch has so far, header included, before compression.
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes the batch would have, before compression, with this record added.
    pub fn size_with(
        &self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> usize {
        let base = self.base_timestamp.unwrap_or(timestamp);
        let timestamp_delta = timestamp.as_millis().wrapping_sub(base.as_millis());
        let delta = i32::try_from(self.next_offset_delta).unwrap_or(i32::MAX);
        let body = body_size(timestamp_delta, delta, key, value, headers);
        self.bytes.len() + varint::size_i32(i32::try_from(body).unwrap_or(i32::MAX)) + body
    }

    /// How many records were pushed.
    pub fn records_count(&self) -> u32 {
        self.records_count
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.records_count == 0
    }

    /// The batch. At least one record must have been pushed.
    pub fn finish(mut self, compressor: &mut Compressor) -> Vec<u8> {
        assert!(self.records_count > 0, "a batch holds a record");
        let mut bytes = std::mem::take(&mut self.bytes);
        if self.codec != Codec::None {
            let mut compressed = Vec::with_capacity(HEADER_SIZE + bytes.len() / 2);
            compressed.extend_from_slice(&bytes[..HEADER_SIZE]);
            compressor.compress(self.codec, &bytes[HEADER_SIZE..], &mut compressed);
            bytes = compressed;
        }
        self.write_header(&mut bytes);
        bytes
    }

    fn write_header(&self, bytes: &mut [u8]) {
        let length = size_field(bytes.len() - ottla_types::BATCH_LENGTH_PREFIX_SIZE);
        let attributes = self.attributes | i16::from(self.codec as u8);
        let (id, epoch) = match self.producer {
            Some((id, epoch)) => (id.get(), epoch.get()),
            None => (-1, -1),
        };
        let base_timestamp = self.base_timestamp.expect("a record was pushed");
        let last_offset_delta = self.next_offset_delta as i32 - 1;
        layout::write(
            bytes,
            layout::BASE_OFFSET,
            &self.base_offset.get().to_be_bytes(),
        );
        layout::write(bytes, layout::LENGTH, &length.to_be_bytes());
        layout::write(
            bytes,
            layout::LEADER_EPOCH,
            &self.leader_epoch.to_be_bytes(),
        );
        layout::write(bytes, layout::MAGIC_AT, &layout::MAGIC.to_be_bytes());
        layout::write(bytes, layout::ATTRIBUTES, &attributes.to_be_bytes());
        layout::write(
            bytes,
            layout::LAST_OFFSET_DELTA,
            &last_offset_delta.to_be_bytes(),
        );
        layout::write(
            bytes,
            layout::BASE_TIMESTAMP,
            &base_timestamp.as_millis().to_be_bytes(),
        );
        layout::write(
            bytes,
            layout::MAX_TIMESTAMP,
            &self.max_timestamp.as_millis().to_be_bytes(),
        );
        layout::write(bytes, layout::PRODUCER_ID, &id.to_be_bytes());
        layout::write(bytes, layout::PRODUCER_EPOCH, &epoch.to_be_bytes());
        layout::write(
            bytes,
            layout::BASE_SEQUENCE,
            &self.base_sequence.to_be_bytes(),
        );
        layout::write(
            bytes,
            layout::RECORDS_COUNT,
            &self.records_count.to_be_bytes(),
        );
        stamp_crc(bytes);
    }
}

/// Bytes of a record behind its size field.
fn body_size(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header<'_>],
) -> usize {
    let fixed = 1 + varint::size_i64(timestamp_delta) + varint::size_i32(offset_delta);
    let headers_size: usize = headers
        .iter()
        .map(|header| nullable_size(Some(header.key)) + nullable_size(header.value))
        .sum();
    let count_size = varint::size_i32(size_field(headers.len()));
    fixed + nullable_size(key) + nullable_size(value) + count_size + headers_size
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => 1,
        Some(bytes) => varint::size_i32(size_field(bytes.len())) + bytes.len(),
    }
}

fn write_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::write_i32(out, -1),
        Some(bytes) => {
            varint::write_i32(out, size_field(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}

fn size_field(size: usize) -> i32 {
    i32::try_from(size).expect("a batch is smaller than 2 GiB")
}
