use bytes::Bytes;
use ottla_records::{BatchBuilder, Compressor, stamp_producer};
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

/// A batch on its way.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) created: Mono,
    pub(crate) records_count: u32,
    content: Content,
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
            created,
            records_count: 0,
            content: Content::Open(Box::new(builder)),
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
            let empty = BatchBuilder::new(ottla_records::Codec::None);
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
