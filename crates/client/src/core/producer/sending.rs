//! What a producer sends next, and when.

use super::queue::Readiness;
use super::{Acks, Identity, Pending, ProducerCore, SentBatch};
use crate::core::call::{
    BrokerEndpoint, Call, CallId, ProduceCall, ProduceCallPartition, Request, Target,
};
use crate::core::partition_key::PartitionKey;
use crate::core::producer_batch::{ProduceFaultKind, Stamp};
use ottla_types::{Mono, Now, ProducerEpoch};
use std::collections::BTreeMap;

impl ProducerCore {
    /// Adds the calls that are to be made now.
    pub fn poll(&mut self, now: Now, calls: &mut Vec<Call>) {
        self.expire(now.mono);
        self.begin_epochs(now.mono);
        if let Some((target, request)) = self.metadata.poll(now.mono) {
            self.push_call(calls, target, request, Pending::Metadata);
        }
        self.poll_identity(now.mono, calls);
        self.drain(now.mono, calls);
    }

    fn push_call(
        &mut self,
        calls: &mut Vec<Call>,
        target: Target,
        request: Request,
        pending: Pending,
    ) {
        let id = CallId(self.next_call);
        self.next_call += 1;
        self.pending.insert(id, pending);
        let timeout = self.config.request_timeout;
        calls.push(Call {
            id,
            target,
            request,
            timeout,
        });
    }

    fn poll_identity(&mut self, now: Mono, calls: &mut Vec<Call>) {
        if let Identity::Wanted { at, failures } = self.identity
            && at <= now
            && self.is_idempotent()
            && !self.active.is_empty()
        {
            self.identity = Identity::Asked { failures };
            self.push_call(
                calls,
                Target::Any,
                Request::InitProducerId,
                Pending::InitProducerId,
            );
        }
    }

    /// Gives up batches whose time has passed.
    fn expire(&mut self, now: Mono) {
        let mut expired = Vec::new();
        for key in &self.active {
            let Some(queue) = self.queues.get_mut(key) else {
                continue;
            };
            while let Some(batch) = queue.take_expired(now, self.config.delivery_timeout) {
                if batch.stamp.is_some() {
                    queue.needs_new_epoch = true;
                }
                expired.push((key.clone(), batch));
            }
        }
        for (key, batch) in expired {
            let obstacle = batch
                .obstacle
                .clone()
                .unwrap_or_else(|| self.obstacle(&key));
            let fault = batch.fault(ProduceFaultKind::TimedOut { obstacle });
            self.finish(key, batch, Err(fault));
        }
    }

    /// Why a batch that was never sent could not be.
    fn obstacle(&self, key: &PartitionKey) -> String {
        let failure = self
            .metadata
            .last_failure()
            .or(self.identity_obstacle.as_deref());
        if let Some(failure) = failure {
            return failure.to_owned();
        }
        match self
            .metadata
            .topic(&key.topic)
            .and_then(|topic| topic.error)
        {
            Some(code) => format!(
                "the cluster answers {} for topic {}",
                code.name(),
                key.topic
            ),
            None if self.metadata.leader(key).is_none() => format!("partition {key} has no leader"),
            None => format!("earlier batches of partition {key} were not acknowledged"),
        }
    }

    /// Partitions with a gap in their sequences begin anew once nothing of them is under way.
    fn begin_epochs(&mut self, now: Mono) {
        let waiting: Vec<PartitionKey> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.needs_new_epoch && queue.in_flight.is_empty())
            .map(|(key, _)| key.clone())
            .collect();
        for key in waiting {
            let Some(queue) = self.queues.get_mut(&key) else {
                continue;
            };
            self.stats.sequence_resets += 1;
            let lost = queue.begin_epoch();
            if let Identity::Known(id, epoch) = self.identity
                && queue.identity.take() == Some((id, epoch))
            {
                self.identity = match epoch.get().checked_add(1) {
                    Some(next) => Identity::Known(id, ProducerEpoch::new(next)),
                    None => Identity::Wanted {
                        at: now,
                        failures: 0,
                    },
                };
            }
            queue.identity = None;
            for batch in lost {
                let obstacle = "an earlier batch was given up while this one may have been written";
                let kind = ProduceFaultKind::TimedOut {
                    obstacle: obstacle.to_owned(),
                };
                let fault = batch.fault(kind);
                self.finish(key.clone(), batch, Err(fault));
            }
        }
    }

    /// Groups ready batches by leader into requests.
    fn drain(&mut self, now: Mono, calls: &mut Vec<Call>) {
        let mut by_leader: BTreeMap<BrokerEndpoint, Vec<PartitionKey>> = BTreeMap::new();
        self.active
            .retain(|key| self.queues.get(key).is_some_and(|queue| !queue.is_idle()));
        for key in &self.active {
            if self.readiness(key, now) != Readiness::Ready {
                continue;
            }
            match self.metadata.leader(key) {
                Some((leader, _)) => by_leader
                    .entry(leader.clone())
                    .or_default()
                    .push(key.clone()),
                None => self.metadata.refresh(now),
            }
        }
        for (leader, keys) in by_leader {
            // The first partition must not always win when a request is full.
            let start = self.prng.below(keys.len() as u64) as usize;
            let mut rotated: Vec<PartitionKey> = keys[start..].to_vec();
            rotated.extend_from_slice(&keys[..start]);
            while self.in_flight.get(&leader.id).copied().unwrap_or(0) < self.config.in_flight_max {
                let batches = self.take_request(&rotated, now);
                if batches.is_empty() {
                    break;
                }
                self.push_produce(&leader, batches, calls);
            }
        }
    }

    fn readiness(&self, key: &PartitionKey, now: Mono) -> Readiness {
        let Some(queue) = self.queues.get(key) else {
            return Readiness::Blocked;
        };
        if self.is_idempotent()
            && queue.identity.is_none()
            && !matches!(self.identity, Identity::Known(..))
        {
            return Readiness::Blocked;
        }
        let in_flight_max = if self.is_idempotent() {
            self.config.in_flight_max.min(5)
        } else {
            1
        };
        queue.readiness(now, self.config.linger, self.flush_end, in_flight_max)
    }

    /// One batch per partition, as many as fit a request.
    fn take_request(&mut self, keys: &[PartitionKey], now: Mono) -> Vec<SentBatch> {
        let mut batches = Vec::new();
        let mut size = 0;
        for key in keys {
            if self.readiness(key, now) != Readiness::Ready {
                continue;
            }
            let Some(queue) = self.queues.get_mut(key) else {
                continue;
            };
            let next = queue.next_size();
            if size > 0 && size + next > self.config.request_bytes_max {
                continue;
            }
            let Some(mut batch) = queue.take_next(&mut self.compressor) else {
                continue;
            };
            if self.config.idempotent && self.config.acks == Acks::All && batch.stamp.is_none() {
                let (id, epoch) = match (queue.identity, self.identity) {
                    (Some(identity), _) => identity,
                    (None, Identity::Known(id, epoch)) => (id, epoch),
                    (None, _) => unreachable!("such a partition is not ready"),
                };
                queue.identity = Some((id, epoch));
                let base_sequence = queue.next_sequence;
                queue.next_sequence = base_sequence.plus(batch.records_count as i32);
                batch.set_stamp(Stamp {
                    id,
                    epoch,
                    base_sequence,
                });
            }
            size += batch.size();
            queue.in_flight.insert(batch.place(), batch.attempts);
            let topic_id = self.metadata.topic_id(&key.topic);
            batches.push(SentBatch {
                key: key.clone(),
                topic_id,
                batch,
            });
        }
        batches.sort_by(|a, b| a.key.cmp(&b.key));
        batches
    }

    fn push_produce(
        &mut self,
        leader: &BrokerEndpoint,
        batches: Vec<SentBatch>,
        calls: &mut Vec<Call>,
    ) {
        self.stats.requests += 1;
        self.stats.batches += batches.len() as u64;
        let partitions = batches
            .iter()
            .map(|sent| ProduceCallPartition {
                key: sent.key.clone(),
                topic_id: sent.topic_id,
                batch: sent.batch.bytes(),
            })
            .collect();
        let timeout_ms = i32::try_from(self.config.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let call = ProduceCall {
            acks: self.config.acks.wire(),
            timeout_ms,
            partitions,
        };
        *self.in_flight.entry(leader.id).or_default() += 1;
        let pending = Pending::Produce {
            broker: leader.id,
            batches,
        };
        self.push_call(
            calls,
            Target::Broker(leader.clone()),
            Request::Produce(call),
            pending,
        );
    }

    /// When [`ProducerCore::poll`] wants to be called without an answer having come.
    pub fn next_deadline(&self, now: Mono) -> Option<Mono> {
        let mut deadline = self.metadata.next_deadline();
        let mut consider = |at: Mono| deadline = Some(deadline.map_or(at, |known| known.min(at)));
        if let Identity::Wanted { at, .. } = self.identity
            && self.is_idempotent()
            && !self.active.is_empty()
        {
            consider(at);
        }
        for key in &self.active {
            let Some(queue) = self.queues.get(key) else {
                continue;
            };
            if let Some(oldest) = queue.oldest() {
                consider(oldest.plus(self.config.delivery_timeout));
            }
            let Some((leader, _)) = self.metadata.leader(key) else {
                continue;
            };
            let under_way = self.in_flight.get(&leader.id).copied().unwrap_or(0);
            if under_way >= self.config.in_flight_max {
                continue;
            }
            match self.readiness(key, now) {
                Readiness::Ready => consider(now),
                Readiness::At(at) => consider(at),
                Readiness::Blocked => {}
            }
        }
        deadline
    }
}
