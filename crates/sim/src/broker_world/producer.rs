use crate::batch_maker::Sender;
use crate::oracle::Violation;
use bytes::Bytes;
use ottla_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_protocol::messages::produce_response::ProduceResponse;
use ottla_protocol::{Message, Reader, Records};
use ottla_types::{ErrorCode, Mono, ProducerEpoch, ProducerId, Sequence, TopicPartition};
use std::collections::VecDeque;

/// How a producer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// With sequences; sends again until it is told.
    Idempotent,
    /// Sends every record once, with these acks.
    Plain { acks: i16 },
}

/// A batch that has no final answer.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) values: Vec<u64>,
    pub(super) bytes: Bytes,
    /// Counts the producer's batches.
    pub(super) number: u64,
    /// Its first sequence, of an idempotent producer.
    pub(super) sequence: Option<Sequence>,
    /// The request it is in, if it is on its way.
    pub(super) correlation: Option<i32>,
    /// When it was sent last.
    pub(super) sent_at: Mono,
}

impl Batch {
    /// For traces.
    pub(super) fn describe(&self) -> String {
        match self.sequence {
            Some(sequence) => format!("sequence {sequence}"),
            None => "a plain batch".to_owned(),
        }
    }
}

/// A client that writes to one partition at a time.
pub(super) struct Producer {
    pub(super) kind: Kind,
    pub(super) id: Option<(ProducerId, ProducerEpoch)>,
    pub(super) target: Option<TopicPartition>,
    pub(super) next_sequence: Sequence,
    /// One of its batches was acknowledged: the partition knows its sequences.
    is_known: bool,
    pub(super) batches_count: u64,
    pub(super) queue: VecDeque<Batch>,
    /// The request for a producer id that is on its way.
    pub(super) init: Option<i32>,
}

/// What an answer to a batch means.
pub(super) enum Answered {
    Acknowledged {
        base_offset: i64,
        batch: Batch,
    },
    /// It is to be sent again, later.
    Again {
        code: ErrorCode,
        sent_at: Mono,
    },
    /// It is unknown what became of it, and it is not sent again.
    Given {
        code: ErrorCode,
        sent_at: Mono,
    },
    /// The answer belongs to nothing that waits.
    Stale,
}

impl Producer {
    pub(super) fn new(kind: Kind) -> Producer {
        Producer {
            kind,
            id: None,
            target: None,
            next_sequence: Sequence::new(0),
            is_known: false,
            batches_count: 0,
            queue: VecDeque::new(),
            init: None,
        }
    }

    pub(super) fn acks(&self) -> i16 {
        match self.kind {
            Kind::Idempotent => -1,
            Kind::Plain { acks } => acks,
        }
    }

    /// Whether its partition has acknowledged a batch of it.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// How the next batch is to be sent; `None` before the producer id is known.
    pub(super) fn sender(&self) -> Option<Sender> {
        let (id, epoch) = self.id?;
        Some(Sender {
            id,
            epoch,
            base_sequence: self.next_sequence,
        })
    }

    /// The first batch that is not on its way, if those before it are.
    ///
    /// Never more than five from the first one without an answer on, those with an answer counted: so many does a
    /// partition remember. And only one before the first acknowledgement: a partition that knows nothing of a
    /// producer takes any sequence, as Kafka's does, so the second batch would get in when the first is refused, and
    /// the first never after it.
    pub(super) fn next_to_send(&mut self) -> Option<&mut Batch> {
        let is_under_way = |batch: &Batch| batch.correlation.is_some();
        let next = self.queue.iter().position(|batch| !is_under_way(batch))?;
        if self.queue.iter().skip(next).any(is_under_way) {
            // A hole: those behind it must come back first, or the order is lost.
            return None;
        }
        let span_max = match (self.kind, self.is_known) {
            (Kind::Idempotent, false) => 1,
            (Kind::Idempotent, true) | (Kind::Plain { .. }, _) => 5,
        };
        let first = self.queue.front().map_or(0, |batch| batch.number);
        self.queue
            .get_mut(next)
            .filter(|batch| batch.number < first + span_max)
    }

    /// The connection broke: nothing is known of what was on its way.
    pub(super) fn disconnected(&mut self) {
        self.init = None;
        match self.kind {
            Kind::Idempotent => {
                for batch in &mut self.queue {
                    batch.correlation = None;
                }
            }
            Kind::Plain { .. } => self.queue.clear(),
        }
    }

    /// The partition is gone: what was for it is not sent again.
    pub(super) fn retarget(&mut self) {
        self.target = None;
        self.queue.clear();
        self.begin_anew();
    }

    /// It comes back as another producer: where it wrote before, sequences would not fit.
    pub(super) fn begin_anew(&mut self) {
        self.id = None;
        self.queue.clear();
        self.next_sequence = Sequence::new(0);
        self.is_known = false;
    }

    /// For messages.
    pub(super) fn describe(&self) -> String {
        format!(
            "{:?} has {} batches without an answer",
            self.kind,
            self.queue.len()
        )
    }

    /// Takes in the answer to a produce request.
    pub(super) fn answered(
        &mut self,
        correlation: i32,
        body: &[u8],
    ) -> Result<Answered, Violation> {
        let mut reader = Reader::new(body);
        let response = ProduceResponse::decode(&mut reader, super::PRODUCE_VERSION);
        let response = response.map_err(|error| malformed("Produce", &error.to_string()))?;
        let topics = response.responses.iter();
        let partition = topics.flat_map(|topic| &topic.partition_responses).next();
        let Some(partition) = partition else {
            return Err(malformed("Produce", "no partition is in it"));
        };
        let waits = |batch: &Batch| batch.correlation == Some(correlation);
        let Some(index) = self.queue.iter().position(waits) else {
            return Ok(Answered::Stale);
        };
        let code = ErrorCode::from_wire(partition.error_code);
        let code = code.ok_or_else(|| malformed("Produce", "an unknown error code"))?;
        if code == ErrorCode::None {
            let batch = self.queue.remove(index).expect("it was just found");
            self.is_known = true;
            return Ok(Answered::Acknowledged {
                base_offset: partition.base_offset,
                batch,
            });
        }
        let sent_at = self.queue[index].sent_at;
        match self.kind {
            Kind::Idempotent => {
                self.queue[index].correlation = None;
                Ok(Answered::Again { code, sent_at })
            }
            Kind::Plain { .. } => {
                self.queue.remove(index);
                Ok(Answered::Given { code, sent_at })
            }
        }
    }
}

/// A produce request with one batch.
pub(super) fn request(partition: TopicPartition, acks: i16, batch: &Bytes) -> ProduceRequest<'_> {
    ProduceRequest {
        acks,
        timeout_ms: 5_000,
        topic_data: vec![TopicProduceData {
            topic_id: partition.topic_id.uuid(),
            partition_data: vec![PartitionProduceData {
                index: partition.partition.get(),
                records: Some(Records::Slice(batch)),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

pub(super) fn malformed(api: &str, reason: &str) -> Violation {
    Violation {
        invariant: "answers are well formed",
        detail: format!("{api}: {reason}"),
    }
}
