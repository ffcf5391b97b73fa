use bytes::Bytes;
use ottla_records::{
    BatchBuilder, BatchView, Codec, Compressor, Decompressor, Header, RecordsError, stamp_producer,
};
use ottla_types::{ErrorCode, Mono, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Names a batch of one producer; later batches have greater ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub(crate) u64);

/// What went wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceFaultKind {
    /// The broker refused it.
    #[error("the broker answered {}{}", .code.name(), .message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    Refused {
        /// Kafka's error.
        code: ErrorCode,
        /// The broker's words.
        message: Option<String>,
        /// Places (from 0) and texts of the records of the batch that are at fault, where the broker
        /// named them; the others were refused along with them.
        records: Vec<(i32, Option<String>)>,
    },
    /// `delivery.timeout.ms` passed.
    #[error("not delivered in time; last obstacle: {obstacle}")]
    TimedOut {
        /// What stood in the way last.
        obstacle: String,
    },
    /// The producer cannot work on.
    #[error("the producer has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Why a batch was given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ProduceFault {
    /// What went wrong.
    pub kind: ProduceFaultKind,
    /// Whether the records may be in the log nevertheless: a request with them was sent and its
    /// outcome is unknown.
    pub possibly_written: bool,
}

/// Producer id, epoch and first sequence that a batch was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    pub(crate) base_sequence: Sequence,
}

/// Place of a batch in its partition's order: its id, and where a part of a batch that was split begins.
pub(crate) type BatchPlace = (BatchId, u32);

/// A batch on its way, or a part of one.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    /// Place of its first record in the batch as it was filled; above 0 after a split.
    pub(crate) first_index: u32,
    pub(crate) created: Mono,
    pub(crate) records_count: u32,
    content: Content,
    /// Bytes before compression.
    pub(crate) size_uncompressed: usize,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) attempts: u32,
    /// A request with it was sent whose outcome is unknown.
    pub(crate) possibly_written: bool,
    /// What stood in the way last.
    pub(crate) obstacle: Option<String>,
}

#[derive(Debug)]
enum Content {
    /// Takes records.
    Open(Box<BatchBuilder>),
    /// Compressed, possibly stamped.
    Closed(Bytes),
}

impl Batch {
    pub(crate) fn open(id: BatchId, created: Mono, builder: BatchBuilder) -> Batch {
        Batch {
            id,
            first_index: 0,
            created,
            records_count: 0,
            content: Content::Open(Box::new(builder)),
            size_uncompressed: 0,
            stamp: None,
            attempts: 0,
            possibly_written: false,
            obstacle: None,
        }
    }

    /// The builder, while the batch takes records.
    pub(crate) fn builder(&mut self) -> Option<&mut BatchBuilder> {
        match &mut self.content {
            Content::Open(builder) => Some(builder),
            Content::Closed(_) => None,
        }
    }

    /// Takes no more records.
    pub(crate) fn close(&mut self, compressor: &mut Compressor) {
        if let Content::Open(builder) = &mut self.content {
            self.size_uncompressed = builder.size_in_bytes();
            let empty = BatchBuilder::new(Codec::None);
            let builder = std::mem::replace(&mut **builder, empty);
            self.content = Content::Closed(Bytes::from(builder.finish(compressor)));
        }
    }

    /// Writes producer and sequence into the (closed) batch.
    pub(crate) fn set_stamp(&mut self, stamp: Stamp) {
        let Content::Closed(bytes) = &mut self.content else {
            unreachable!("only closed batches are stamped");
        };
        // Without another owner the bytes are changed in place.
        let mut owned = bytes::BytesMut::from(std::mem::take(bytes));
        stamp_producer(&mut owned, stamp.id, stamp.epoch, stamp.base_sequence);
        *bytes = owned.freeze();
        self.stamp = Some(stamp);
    }

    pub(crate) fn place(&self) -> BatchPlace {
        (self.id, self.first_index)
    }

    /// Two batches with half the records each, for a broker that found this (closed) one too large.
    /// Their sequences are those of the records before. `None` when there is but one record.
    pub(crate) fn split(
        &self,
        compressor: &mut Compressor,
        decompressor: &mut Decompressor,
    ) -> Result<Option<(Batch, Batch)>, RecordsError> {
        let bytes = self.bytes();
        let Ok(view) = BatchView::parse(&bytes) else {
            unreachable!("the batch is of our own making");
        };
        if self.records_count < 2 {
            return Ok(None);
        }
        let first_count = self.records_count / 2;
        let codec = view.codec()?;
        let mut builders = [BatchBuilder::new(codec), BatchBuilder::new(codec)];
        for (index, record) in (0..).zip(view.records(decompressor)?) {
            let record = record?;
            let headers: Vec<Header<'_>> = record.headers.collect();
            let half = usize::from(index >= first_count);
            builders[half].push(record.timestamp, record.key, record.value, &headers);
        }
        let [first, second] = builders;
        let mut part = |builder: BatchBuilder, index: u32| {
            let mut part = Batch::open(self.id, self.created, builder);
            part.records_count = part.builder().map_or(0, |builder| builder.records_count());
            part.first_index = self.first_index + index;
            part.attempts = self.attempts + 1;
            part.obstacle = self.obstacle.clone();
            part.close(compressor);
            if let Some(stamp) = self.stamp {
                let base_sequence = stamp.base_sequence.plus(index as i32);
                part.set_stamp(Stamp {
                    base_sequence,
                    ..stamp
                });
            }
            part
        };
        Ok(Some((part(first, 0), part(second, first_count))))
    }

    /// The (closed) batch as it is sent.
    pub(crate) fn bytes(&self) -> Bytes {
        match &self.content {
            Content::Closed(bytes) => bytes.clone(),
            Content::Open(_) => unreachable!("only closed batches are sent"),
        }
    }

    /// Bytes it takes, before compression while it is open.
    pub(crate) fn size(&self) -> usize {
        match &self.content {
            Content::Open(builder) => builder.size_in_bytes(),
            Content::Closed(bytes) => bytes.len(),
        }
    }

    pub(crate) fn fault(&self, kind: ProduceFaultKind) -> ProduceFault {
        ProduceFault {
            kind,
            possibly_written: self.possibly_written,
        }
    }
}

/// What a broker says about a batch it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) base_offset: i64,
    pub(crate) log_append_time: Option<Timestamp>,
}
