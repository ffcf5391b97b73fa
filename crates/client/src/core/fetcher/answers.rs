//! What a fetcher makes of the answers.

use super::{
    Assigned, FetchFaultKind, FetchedPartition, FetcherCore, OffsetReset, Pending, Position,
    StartOffset,
};
use crate::core::call::{Answer, BrokerEndpoint, CallFailure, CallId};
use crate::core::consumed::FetchedChunk;
use crate::core::partition_key::PartitionKey;
use bytes::Bytes;
use ottla_protocol::messages::fetch_response::PartitionData;
use ottla_protocol::messages::{FetchResponse, ListOffsetsResponse};
use ottla_protocol::{Message, Reader, Records};
use ottla_records::{BatchError, batches};
use ottla_types::{BrokerId, ErrorCode, Mono, Offset, ProducerId};
use std::sync::Arc;

impl FetcherCore {
    /// Takes in how a call ended.
    pub fn on_answer(&mut self, id: CallId, answer: Answer, now: Mono) {
        match self.pending.remove(&id) {
            None => {}
            Some(Pending::Metadata) => self.metadata.on_answer(&answer, now, &mut self.prng),
            Some(Pending::ListOffsets(versions)) => {
                self.obstacle = obstacle(&answer);
                self.on_offsets(&versions, &answer, now);
            }
            Some(Pending::Fetch { broker, partitions }) => {
                self.obstacle = obstacle(&answer);
                self.sessions.entry(broker).or_default().is_busy = false;
                self.on_fetch(broker, &partitions, answer, now);
            }
        }
    }

    /// The partition, if nobody has moved it since it was asked about.
    fn current(&mut self, key: &PartitionKey, version: u64) -> Option<&mut Assigned> {
        self.assigned
            .get_mut(key)
            .filter(|assigned| assigned.version == version)
    }

    /// Asks again after a wait.
    fn delay(&mut self, key: &PartitionKey, version: u64, now: Mono) {
        let backoff = self.config.backoff;
        let mut prng = self.prng.fork();
        if let Some(assigned) = self.current(key, version) {
            assigned.failures = assigned.failures.saturating_add(1);
            assigned.not_before = now.plus(backoff.delay(assigned.failures, &mut prng));
            if let Position::Asked(start) = assigned.position {
                assigned.position = Position::Wanted(start);
            }
        }
    }

    fn on_offsets(&mut self, versions: &[(PartitionKey, u64)], answer: &Answer, now: Mono) {
        let response = match answer {
            Answer::Response { version, body } => {
                ListOffsetsResponse::decode(&mut Reader::new(body), *version).ok()
            }
            Answer::Failed(failure @ CallFailure::Unsupported { .. }) => {
                for (key, version) in versions {
                    if self.current(key, *version).is_some() {
                        let reason = failure.to_string();
                        self.fault(key, FetchFaultKind::Unsupported { reason });
                    }
                }
                return;
            }
            Answer::Sent | Answer::Failed(_) => None,
        };
        for (key, version) in versions {
            let part = response
                .iter()
                .flat_map(|response| &response.topics)
                .filter(|topic| *topic.name == *key.topic)
                .flat_map(|topic| &topic.partitions)
                .find(|part| part.partition_index == key.partition);
            let Some(part) = part else {
                self.metadata.refresh(now);
                self.delay(key, *version, now);
                continue;
            };
            let code = ErrorCode::from_wire(part.error_code);
            match code.unwrap_or(ErrorCode::UnknownServerError) {
                ErrorCode::None => self.on_offset(key, *version, part.offset),
                code if code.is_retriable() => {
                    self.metadata.refresh(now);
                    self.delay(key, *version, now);
                }
                code if self.current(key, *version).is_some() => {
                    self.fault(key, FetchFaultKind::Refused { code });
                }
                _ => {}
            }
        }
    }

    fn on_offset(&mut self, key: &PartitionKey, version: u64, offset: i64) {
        let Some(assigned) = self.current(key, version) else {
            return;
        };
        let Position::Asked(start) = assigned.position else {
            return;
        };
        match (Offset::from_wire(offset), start) {
            (Some(offset), _) => {
                assigned.position = Position::At(offset);
                assigned.consumed = Some(offset);
                assigned.failures = 0;
            }
            // No record is that young: wait for the next one.
            (None, StartOffset::Time(_)) => {
                assigned.position = Position::Wanted(StartOffset::Latest);
            }
            (None, _) => assigned.position = Position::Wanted(start),
        }
    }

    fn on_fetch(
        &mut self,
        broker: BrokerId,
        partitions: &[FetchedPartition],
        answer: Answer,
        now: Mono,
    ) {
        let (version, body) = match answer {
            Answer::Response { version, body } => (version, body),
            Answer::Failed(failure @ CallFailure::Unsupported { .. }) => {
                for part in partitions {
                    let reason = failure.to_string();
                    self.fault(&part.request.key, FetchFaultKind::Unsupported { reason });
                }
                return;
            }
            Answer::Sent | Answer::Failed(_) => return self.on_fetch_lost(broker, partitions, now),
        };
        let Ok(response) = FetchResponse::decode(&mut Reader::new(&body), version) else {
            return self.on_fetch_lost(broker, partitions, now);
        };
        let session = self.sessions.entry(broker).or_default();
        match ErrorCode::from_wire(response.error_code).unwrap_or(ErrorCode::UnknownServerError) {
            ErrorCode::None => session.on_response(response.session_id),
            ErrorCode::FetchSessionIdNotFound => return session.reset(),
            ErrorCode::InvalidFetchSessionEpoch | ErrorCode::FetchSessionTopicIdError => {
                return session.renew();
            }
            _ => return self.on_fetch_lost(broker, partitions, now),
        }
        self.on_fetched(partitions, &response, &body, now);
    }

    fn on_fetch_lost(&mut self, broker: BrokerId, partitions: &[FetchedPartition], now: Mono) {
        self.sessions.entry(broker).or_default().reset();
        self.metadata.refresh(now);
        for part in partitions {
            self.delay(&part.request.key, part.version, now);
        }
    }

    fn on_fetched(
        &mut self,
        partitions: &[FetchedPartition],
        response: &FetchResponse<'_>,
        body: &Bytes,
        now: Mono,
    ) {
        for topic in &response.responses {
            for data in &topic.partitions {
                let asked = partitions.iter().find(|part| {
                    let request = &part.request;
                    let same_topic = *request.key.topic == *topic.topic
                        || request
                            .topic_id
                            .is_some_and(|id| id.uuid() == topic.topic_id);
                    same_topic && request.key.partition == data.partition_index
                });
                let Some(asked) = asked else { continue };
                self.take_leader_hint(&asked.request.key, data, response);
                self.on_partition(asked, data, body, now);
            }
        }
    }

    fn take_leader_hint(
        &mut self,
        key: &PartitionKey,
        data: &PartitionData<'_>,
        response: &FetchResponse<'_>,
    ) {
        let hint = &data.current_leader;
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
            .on_leader_hint(key, hint.leader_id, hint.leader_epoch, endpoint);
    }

    fn on_partition(
        &mut self,
        asked: &FetchedPartition,
        data: &PartitionData<'_>,
        body: &Bytes,
        now: Mono,
    ) {
        let key = &asked.request.key;
        let reset = self.config.offset_reset;
        let Some(assigned) = self.current(key, asked.version) else {
            return;
        };
        let Position::At(position) = assigned.position else {
            return;
        };
        match ErrorCode::from_wire(data.error_code).unwrap_or(ErrorCode::UnknownServerError) {
            ErrorCode::None => {
                assigned.failures = 0;
                let keep = |new: i64, old| Offset::from_wire(new).or(old);
                assigned.high_watermark = keep(data.high_watermark, assigned.high_watermark);
                assigned.last_stable_offset =
                    keep(data.last_stable_offset, assigned.last_stable_offset);
                assigned.log_start_offset = keep(data.log_start_offset, assigned.log_start_offset);
                self.on_bytes(asked, position, data, body);
            }
            ErrorCode::OffsetOutOfRange => {
                let start = match reset {
                    OffsetReset::Earliest => StartOffset::Earliest,
                    OffsetReset::Latest => StartOffset::Latest,
                    OffsetReset::Fail => {
                        return self.fault(key, FetchFaultKind::OutOfRange { position });
                    }
                };
                assigned.position = Position::Wanted(start);
            }
            code if code.is_retriable() => {
                self.metadata.refresh(now);
                self.delay(key, asked.version, now);
            }
            code => self.fault(key, FetchFaultKind::Refused { code }),
        }
    }

    /// Buffers what came; the position moves behind it.
    fn on_bytes(
        &mut self,
        asked: &FetchedPartition,
        position: Offset,
        data: &PartitionData<'_>,
        body: &Bytes,
    ) {
        let Some(Records::Slice(bytes)) = &data.records else {
            return;
        };
        let key = &asked.request.key;
        let mut end = None;
        let mut whole = batches(bytes);
        for batch in whole.by_ref() {
            match batch {
                Ok(batch) => end = Some(batch.last_offset().next()),
                Err(BatchError::Truncated { .. }) => break,
                Err(error) => {
                    let reason = error.to_string();
                    return self.fault(key, FetchFaultKind::Unreadable { position, reason });
                }
            }
        }
        // Nothing, or only what was there before: asked for again.
        let Some(end_offset) = end.filter(|end| *end > position) else {
            return;
        };
        let aborted = data
            .aborted_transactions
            .iter()
            .flatten()
            .filter_map(|aborted| {
                Some((
                    ProducerId::from_wire(aborted.producer_id)?,
                    Offset::from_wire(aborted.first_offset)?,
                ))
            });
        let mut aborted: Vec<(ProducerId, Offset)> = aborted.collect();
        aborted.sort_by_key(|(_, first)| *first);
        let bytes = body.slice_ref(&bytes[..whole.position()]);
        self.buffered_bytes += bytes.len();
        self.ready.push_back(FetchedChunk {
            partition: key.clone(),
            fetch_offset: position,
            end_offset,
            bytes,
            aborted,
            version: asked.version,
        });
        if let Some(assigned) = self.current(key, asked.version) {
            assigned.chunks += 1;
            assigned.position = Position::At(end_offset);
        }
    }
}

fn obstacle(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Failed(failure) => Some(failure.to_string()),
        Answer::Response { .. } | Answer::Sent => None,
    }
}
