//! What a producer makes of the answers.

use super::{BatchDelivery, Identity, Pending, ProducerCore, SentBatch};
use crate::core::call::{Answer, BrokerEndpoint, CallFailure, CallId};
use crate::core::producer_batch::{Accepted, ProduceFaultKind};
use ottla_protocol::messages::produce_response::PartitionProduceResponse;
use ottla_protocol::messages::{InitProducerIdResponse, ProduceResponse};
use ottla_protocol::{Message, Reader};
use ottla_types::{BrokerId, ErrorCode, Mono, Now, Offset, ProducerEpoch, ProducerId, Timestamp};
use std::sync::Arc;

/// What an error code means for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is in the log.
    Written,
    /// It is not; it will be after a repetition.
    Retry,
    /// It may be in the log.
    RetryUnknown,
    /// Its sequence does not follow what the broker has.
    OutOfOrder,
    /// The broker no longer knows or wants our producer id.
    NewProducer,
    /// It is not in the log and never will be.
    Refused,
    /// It is refused, but may be in the log.
    RefusedUnknown,
}

fn verdict(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::None | ErrorCode::DuplicateSequenceNumber => Verdict::Written,
        ErrorCode::OutOfOrderSequenceNumber => Verdict::OutOfOrder,
        ErrorCode::InvalidProducerEpoch
        | ErrorCode::UnknownProducerId
        | ErrorCode::InvalidProducerIdMapping
        | ErrorCode::ProducerFenced => Verdict::NewProducer,
        ErrorCode::RequestTimedOut
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::NetworkException
        | ErrorCode::KafkaStorageError => Verdict::RetryUnknown,
        ErrorCode::UnknownServerError => Verdict::RefusedUnknown,
        code if code.is_retriable() => Verdict::Retry,
        _ => Verdict::Refused,
    }
}

/// What a broker said about one batch.
struct BrokerWord {
    code: ErrorCode,
    message: Option<String>,
    records: Vec<(i32, Option<String>)>,
    accepted: Accepted,
}

impl ProducerCore {
    /// Takes in how a call ended.
    pub fn on_answer(&mut self, id: CallId, answer: Answer, now: Now) {
        match self.pending.remove(&id) {
            None => {}
            Some(Pending::Metadata) => self.metadata.on_answer(&answer, now.mono, &mut self.prng),
            Some(Pending::InitProducerId) => self.on_identity(&answer, now.mono),
            Some(Pending::Produce { broker, batches }) => {
                if let Some(count) = self.in_flight.get_mut(&broker) {
                    *count -= 1;
                }
                for sent in &batches {
                    if let Some(queue) = self.queues.get_mut(&sent.key) {
                        queue.in_flight.remove(&sent.batch.place());
                    }
                }
                self.on_produce_answer(batches, answer, now.mono);
            }
        }
    }

    fn on_identity(&mut self, answer: &Answer, now: Mono) {
        let failures = match self.identity {
            Identity::Asked { failures } | Identity::Wanted { failures, .. } => failures + 1,
            Identity::Known(..) => return,
        };
        let failure = match answer {
            Answer::Response { version, body } => {
                match InitProducerIdResponse::decode(&mut Reader::new(body), *version) {
                    Ok(response) => {
                        let code = ErrorCode::from_wire(response.error_code);
                        if code == Some(ErrorCode::None) {
                            let id = ProducerId::new(response.producer_id);
                            let epoch = ProducerEpoch::new(response.producer_epoch);
                            self.identity = Identity::Known(id, epoch);
                            self.identity_obstacle = None;
                            self.stopped = None;
                            return;
                        }
                        code.unwrap_or(ErrorCode::UnknownServerError)
                    }
                    Err(_) => ErrorCode::NetworkException,
                }
            }
            Answer::Failed(CallFailure::Unsupported { .. }) => ErrorCode::UnsupportedVersion,
            Answer::Sent | Answer::Failed(_) => ErrorCode::NetworkException,
        };
        self.identity_obstacle = Some(match answer {
            Answer::Failed(lost) => lost.to_string(),
            Answer::Sent | Answer::Response { .. } => {
                format!("the cluster gave no producer id: {}", failure.name())
            }
        });
        if failure.is_retriable() {
            let at = now.plus(self.config.backoff.delay(failures, &mut self.prng));
            self.identity = Identity::Wanted { at, failures };
        } else {
            self.identity = Identity::Wanted {
                at: now.plus(self.config.backoff.max),
                failures: 0,
            };
            self.stop(&format!(
                "the cluster gave no producer id: {}",
                failure.name()
            ));
        }
    }

    fn on_produce_answer(&mut self, batches: Vec<SentBatch>, answer: Answer, now: Mono) {
        match answer {
            Answer::Response { version, body } => {
                match ProduceResponse::decode(&mut Reader::new(&body), version) {
                    Ok(response) => self.on_produce_response(batches, &response, now),
                    Err(error) => {
                        let reason = format!("malformed Produce response: {error}");
                        self.on_lost(batches, &reason, true, now);
                    }
                }
            }
            Answer::Sent => {
                let delivery = BatchDelivery {
                    base_offset: None,
                    log_append_time: None,
                };
                for sent in batches {
                    self.finish(sent.key, sent.batch, Ok(delivery));
                }
            }
            Answer::Failed(CallFailure::NotSent { reason }) => {
                self.on_lost(batches, &reason, false, now);
            }
            Answer::Failed(CallFailure::Lost { reason }) => {
                self.on_lost(batches, &reason, true, now);
            }
            Answer::Failed(failure @ CallFailure::Unsupported { .. }) => {
                for sent in batches {
                    let fault = sent.batch.fault(ProduceFaultKind::Stopped {
                        reason: failure.to_string(),
                    });
                    self.finish(sent.key, sent.batch, Err(fault));
                }
            }
        }
    }

    fn on_lost(
        &mut self,
        batches: Vec<SentBatch>,
        reason: &str,
        possibly_written: bool,
        now: Mono,
    ) {
        self.metadata.refresh(now);
        for mut sent in batches {
            sent.batch.possibly_written |= possibly_written;
            self.retry(sent, reason.to_owned(), now);
        }
    }

    fn on_produce_response(
        &mut self,
        batches: Vec<SentBatch>,
        response: &ProduceResponse<'_>,
        now: Mono,
    ) {
        for sent in batches {
            let part = response
                .responses
                .iter()
                .filter(|topic| {
                    *topic.name == *sent.key.topic
                        || sent.topic_id.is_some_and(|id| id.uuid() == topic.topic_id)
                })
                .flat_map(|topic| &topic.partition_responses)
                .find(|part| part.index == sent.key.partition);
            let Some(part) = part else {
                let reason = "the Produce response does not mention the partition";
                self.on_lost(vec![sent], reason, true, now);
                continue;
            };
            self.take_leader_hint(&sent, part, response);
            self.on_word(sent, word(part), now);
        }
    }

    fn take_leader_hint(
        &mut self,
        sent: &SentBatch,
        part: &PartitionProduceResponse<'_>,
        response: &ProduceResponse<'_>,
    ) {
        let hint = &part.current_leader;
        let endpoint = response
            .node_endpoints
            .iter()
            .find(|node| node.node_id == hint.leader_id)
            .and_then(|node| {
                Some(BrokerEndpoint {
                    id: BrokerId::from_wire(node.node_id)?,
                    host: Arc::from(&*node.host),
                    port: u16::try_from(node.port).ok()?,
                })
            });
        self.metadata
            .on_leader_hint(&sent.key, hint.leader_id, hint.leader_epoch, endpoint);
    }

    fn on_word(&mut self, mut sent: SentBatch, word: BrokerWord, now: Mono) {
        let text = word
            .message
            .clone()
            .unwrap_or_else(|| word.code.name().to_owned());
        match verdict(word.code) {
            Verdict::Written => {
                let delivery = BatchDelivery {
                    base_offset: Offset::from_wire(word.accepted.base_offset),
                    log_append_time: word.accepted.log_append_time,
                };
                if let Some(queue) = self.queues.get_mut(&sent.key)
                    && let Some(stamp) = sent.batch.stamp
                {
                    queue.is_established |= queue.identity == Some((stamp.id, stamp.epoch));
                }
                self.finish(sent.key, sent.batch, Ok(delivery));
            }
            Verdict::Retry => {
                self.metadata.refresh(now);
                self.retry(sent, text, now);
            }
            Verdict::RetryUnknown => {
                sent.batch.possibly_written = true;
                self.metadata.refresh(now);
                self.retry(sent, text, now);
            }
            Verdict::OutOfOrder => {
                if let Some(queue) = self.queues.get_mut(&sent.key)
                    && queue.is_oldest(sent.batch.place())
                    && !queue.needs_new_epoch
                {
                    queue.needs_new_epoch = true;
                    self.stats.gaps_found += 1;
                }
                self.retry(sent, text, now);
            }
            Verdict::NewProducer => {
                let stamp = sent.batch.stamp.map(|stamp| (stamp.id, stamp.epoch));
                if let Identity::Known(id, epoch) = self.identity
                    && stamp == Some((id, epoch))
                {
                    self.identity = Identity::Wanted {
                        at: now,
                        failures: 0,
                    };
                }
                if let Some(queue) = self.queues.get_mut(&sent.key) {
                    queue.needs_new_epoch = true;
                }
                self.retry(sent, text, now);
            }
            Verdict::Refused if word.code == ErrorCode::MessageTooLarge && self.split(&sent) => {}
            Verdict::Refused | Verdict::RefusedUnknown => {
                sent.batch.possibly_written |= verdict(word.code) == Verdict::RefusedUnknown;
                // What follows in this partition has sequences that no longer fit.
                if sent.batch.stamp.is_some()
                    && let Some(queue) = self.queues.get_mut(&sent.key)
                {
                    queue.needs_new_epoch = true;
                }
                let kind = ProduceFaultKind::Refused {
                    code: word.code,
                    message: word.message,
                    records: word.records,
                };
                let fault = sent.batch.fault(kind);
                self.finish(sent.key, sent.batch, Err(fault));
            }
        }
    }

    /// Puts two halves in the place of a batch that is too large. Sequences stay gapless: the halves
    /// have those of the whole, and nothing of it was written. False if it cannot be halved.
    fn split(&mut self, sent: &SentBatch) -> bool {
        if sent.batch.possibly_written || self.stopped.is_some() {
            return false;
        }
        let halves = sent
            .batch
            .split(&mut self.compressor, &mut self.decompressor);
        let Ok(Some((first, second))) = halves else {
            return false;
        };
        self.stats.splits += 1;
        let limit = (sent.batch.size_uncompressed / 2).max(1);
        let known = self
            .size_limits
            .entry(sent.key.topic.clone())
            .or_insert(limit);
        *known = limit.min(*known);
        if let Some(parts) = self.unfinished.get_mut(&sent.batch.id) {
            *parts += 1;
        }
        let queue = self.queues.entry(sent.key.clone()).or_default();
        queue.requeue(first);
        queue.requeue(second);
        self.active.insert(sent.key.clone());
        true
    }

    fn retry(&mut self, mut sent: SentBatch, obstacle: String, now: Mono) {
        if let Some(reason) = self.stopped.clone() {
            let fault = sent.batch.fault(ProduceFaultKind::Stopped { reason });
            return self.finish(sent.key, sent.batch, Err(fault));
        }
        self.stats.retries += 1;
        sent.batch.attempts = sent.batch.attempts.saturating_add(1);
        sent.batch.obstacle = Some(obstacle);
        let wait = self
            .config
            .backoff
            .delay(sent.batch.attempts, &mut self.prng);
        let queue = self.queues.entry(sent.key.clone()).or_default();
        queue.not_before = queue.not_before.max(now.plus(wait));
        queue.requeue(sent.batch);
        self.active.insert(sent.key);
    }
}

fn word(part: &PartitionProduceResponse<'_>) -> BrokerWord {
    let log_append_time =
        (part.log_append_time_ms >= 0).then(|| Timestamp::from_millis(part.log_append_time_ms));
    BrokerWord {
        code: ErrorCode::from_wire(part.error_code).unwrap_or(ErrorCode::UnknownServerError),
        message: part.error_message.as_deref().map(str::to_owned),
        records: part
            .record_errors
            .iter()
            .map(|record| {
                (
                    record.batch_index,
                    record
                        .batch_index_error_message
                        .as_deref()
                        .map(str::to_owned),
                )
            })
            .collect(),
        accepted: Accepted {
            base_offset: part.base_offset,
            log_append_time,
        },
    }
}
