//! What clients, pumps and cores do in their turns.

use super::consumer::{Consumer, Fetched};
use super::ledger::Sent;
use super::link::{Frame, Link, Ready};
use super::producer::{Answered, Batch, Kind, Producer, request};
use super::site::OnSite;
use super::{BrokerWorld, FETCH_VERSION, PRODUCE_VERSION};
use crate::hold;
use crate::oracle::Violation;
use crate::trace;
use ottla_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use ottla_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use ottla_protocol::{ApiKey, Message, Reader};
use ottla_storage::partition::Durability;
use ottla_types::{ErrorCode, Mono, ProducerEpoch, ProducerId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

const INIT_VERSION: i16 = 4;

impl BrokerWorld {
    /// Every partition that clients may use, with its high watermark.
    pub(super) fn partitions(&self) -> BTreeMap<TopicPartition, i64> {
        let mut found = BTreeMap::new();
        let Some(node) = self.site.ready_node() else {
            return found;
        };
        for topic in node.broker.image().topics() {
            for (partition, _) in topic.numbered() {
                let id = TopicPartition {
                    topic_id: topic.id,
                    partition,
                };
                let ends = node.ends(id);
                found.insert(id, ends.map_or(0, |ends| ends.durable_end.get()));
            }
        }
        found
    }

    pub(super) fn producer_turn(&mut self) -> Result<(), Violation> {
        let index = self.site.prng.below(self.producers.len() as u64) as usize;
        let partitions = self.partitions();
        if partitions.is_empty() {
            return Ok(());
        }
        let target = self.producers[index].target;
        if target.is_none_or(|target| !partitions.contains_key(&target)) {
            self.producers[index].retarget();
            let nth = self.site.prng.below(partitions.len() as u64) as usize;
            self.producers[index].target = partitions.keys().nth(nth).copied();
        }
        self.write_to_target(index)
    }

    /// A producer makes a batch for its partition and sends one.
    pub(super) fn write_to_target(&mut self, index: usize) -> Result<(), Violation> {
        if self.producers[index].kind == Kind::Idempotent && self.producers[index].id.is_none() {
            return self.ask_for_id(index);
        }
        self.fill_queue(index);
        self.send_next(index)
    }

    fn ask_for_id(&mut self, index: usize) -> Result<(), Violation> {
        if self.producers[index].init.is_some() {
            return Ok(());
        }
        let correlation = self.site.correlation();
        self.producers[index].init = Some(correlation);
        let request = InitProducerIdRequest {
            transactional_id: None,
            producer_id: -1,
            producer_epoch: -1,
            ..InitProducerIdRequest::default()
        };
        let frame = Frame::new(ApiKey::InitProducerId, INIT_VERSION, correlation, &request);
        self.send(index, frame);
        Ok(())
    }

    /// Makes a batch when the producer has room for one.
    fn fill_queue(&mut self, index: usize) {
        if self.producers[index].queue.len() >= 5 {
            return;
        }
        let sender = self.producers[index].sender();
        let records = self.site.prng.range(1, 6);
        let value_size = self.site.prng.range(8, 1_500) as usize;
        let first = self.maker.next_value();
        let now = self.site.clock.now();
        let batch = self
            .maker
            .make(&mut self.site.prng, sender, records, value_size, now.wall);
        let values: Vec<u64> = (first..first + records).collect();
        let producer = &mut self.producers[index];
        if sender.is_some() {
            producer.next_sequence = producer.next_sequence.plus(records as i32);
        }
        for &value in &values {
            let sent = Sent {
                producer: index,
                in_order: sender.is_some(),
            };
            self.ledger.sent(value, sent);
        }
        producer.batches_count += 1;
        producer.queue.push_back(Batch {
            values,
            number: producer.batches_count,
            sent_at: now.mono,
            sequence: sender.map(|sender| sender.base_sequence),
            bytes: batch.bytes,
            correlation: None,
        });
    }

    fn send_next(&mut self, index: usize) -> Result<(), Violation> {
        let correlation = self.site.correlation();
        let producer = &mut self.producers[index];
        let (Some(target), acks) = (producer.target, producer.acks()) else {
            return Ok(());
        };
        let Some(batch) = producer.next_to_send() else {
            return Ok(());
        };
        batch.correlation = Some(correlation);
        batch.sent_at = self.site.clock.now().mono;
        let bytes = batch.bytes.clone();
        trace!(
            self.site.trace,
            "producer {index} sends {} to {target} in {correlation}, {} records from value {}",
            batch.describe(),
            batch.values.len(),
            batch.values[0]
        );
        if acks == 0 {
            producer.queue.pop_front();
        }
        let frame = Frame::new(
            ApiKey::Produce,
            PRODUCE_VERSION,
            correlation,
            &request(target, acks, &bytes),
        );
        self.note_durability(target);
        self.send(index, frame);
        Ok(())
    }

    /// What an acknowledgement means depends on the topic.
    fn note_durability(&mut self, id: TopicPartition) {
        let Some(node) = &self.site.node else { return };
        let log = node.log_of(id);
        let durability = log.and_then(|(directory, slot)| directory.log_dir.durability(slot));
        if durability == Some(Durability::Os) && !self.ledger.is_os(id) {
            self.ledger.set_os(id);
        }
    }

    pub(super) fn consumer_turn(&mut self) -> Result<(), Violation> {
        let number = self.site.prng.below(self.consumers.len() as u64) as usize;
        self.fetch(number)
    }

    fn fetch(&mut self, number: usize) -> Result<(), Violation> {
        let partitions = self.partitions();
        if self.consumers[number].waiting.is_some() || partitions.is_empty() {
            return Ok(());
        }
        for &id in partitions.keys() {
            self.note_durability(id);
            let from = self.ledger.deleted_to(id);
            self.consumers[number].positions.entry(id).or_insert(from);
        }
        let positions = &mut self.consumers[number].positions;
        positions.retain(|id, _| partitions.contains_key(id));
        let correlation = self.site.correlation();
        let max_wait_ms = *self.site.prng.pick(&[0, 100, 500]);
        let bytes = *self.site.prng.pick(&[1_000, 20_000, 1 << 20]);
        let consumer = &mut self.consumers[number];
        consumer.waiting = Some(correlation);
        consumer.sent_at = self.site.clock.now().mono;
        let request = consumer.request(max_wait_ms, bytes);
        let frame = Frame::new(ApiKey::Fetch, FETCH_VERSION, correlation, &request);
        self.send(self.producers.len() + number, frame);
        Ok(())
    }

    pub(super) fn admin_turn(&mut self) -> Result<(), Violation> {
        let partitions = self.partitions();
        let correlation = self.site.correlation();
        let Some(node) = &self.site.node else {
            return Ok(());
        };
        if self.topics.is_busy() || !node.broker.is_ready() {
            return Ok(());
        }
        let request = self
            .topics
            .request(&mut self.site.prng, node, correlation, &partitions);
        let Some((frame, deletes)) = request else {
            return Ok(());
        };
        if let Some((id, to)) = deletes {
            self.ledger.delete_asked(id, to);
        }
        self.send(self.site.links.len() - 1, frame);
        Ok(())
    }

    pub(super) fn producer_hears(
        &mut self,
        number: usize,
        ready: &Ready,
        body: &[u8],
    ) -> Result<(), Violation> {
        let producer = &mut self.producers[number];
        if ready.key == ApiKey::InitProducerId {
            producer.init = None;
            let response = InitProducerIdResponse::decode(&mut Reader::new(body), INIT_VERSION);
            if let Ok(response) = response
                && response.error_code == 0
            {
                let id = ProducerId::new(response.producer_id);
                producer.id = Some((id, ProducerEpoch::new(response.producer_epoch)));
                let others = self.producers.iter().enumerate();
                let mut others = others.filter(|(other, _)| *other != number);
                hold!(
                    others.all(|(_, other)| other.id.is_none_or(|(other, _)| other != id)),
                    "a producer id is given once",
                    "{id}"
                );
            }
            return Ok(());
        }
        let target = producer.target;
        match producer.answered(ready.correlation, body)? {
            Answered::Acknowledged { base_offset, batch } => {
                self.site.report.appended += 1;
                let Some(target) = target else { return Ok(()) };
                // A duplicate whose place is not remembered has no offset.
                if base_offset >= 0 && !self.topics.may_be_gone(target.topic_id) {
                    self.ledger
                        .acknowledged(target, base_offset, &batch.values)?;
                }
                Ok(())
            }
            Answered::Again { code, sent_at } => {
                self.check_storage_error(code, target, sent_at)?;
                self.check_refusal(number, code)
            }
            Answered::Given { code, sent_at } => self.check_storage_error(code, target, sent_at),
            Answered::Stale => Ok(()),
        }
    }

    /// Only a directory in trouble refuses for its own sake.
    fn check_storage_error(
        &self,
        code: ErrorCode,
        partition: Option<TopicPartition>,
        sent_at: Mono,
    ) -> Result<(), Violation> {
        let refuses = matches!(
            code,
            ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower
        );
        let Some(id) = partition.filter(|_| refuses) else {
            return Ok(());
        };
        hold!(
            self.site.is_excused(id, sent_at),
            "refusals have a reason",
            "{id} refuses with {code:?}, and nothing was wrong with its directory since {sent_at:?}"
        );
        Ok(())
    }

    fn check_refusal(&mut self, number: usize, code: ErrorCode) -> Result<(), Violation> {
        trace!(
            self.site.trace,
            "producer {number} is refused with {code:?}"
        );
        let producer = &mut self.producers[number];
        let Some(target) = producer.target else {
            return Ok(());
        };
        if matches!(
            code,
            ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition
        ) && self.topics.may_be_gone(target.topic_id)
        {
            producer.retarget();
            return Ok(());
        }
        if code == ErrorCode::KafkaStorageError && self.site.drives.gives_up_waiting() {
            producer.retarget();
            return Ok(());
        }
        let is_os = self.ledger.is_os(target);
        if code == ErrorCode::OutOfOrderSequenceNumber {
            // Behind a batch that failed this is how the next ones end; the first one always fits.
            let is_first = producer
                .queue
                .iter()
                .position(|one| one.correlation.is_none())
                == Some(0);
            let others_wait = producer.queue.iter().any(|one| one.correlation.is_some());
            hold!(
                !is_first || others_wait || is_os || producer.queue.len() > 1,
                "sequences deduplicate",
                "the only batch of producer {number} is out of order"
            );
            if is_os {
                producer.begin_anew();
            }
            return Ok(());
        }
        hold!(
            code.is_retriable() || code == ErrorCode::KafkaStorageError,
            "refusals have a reason",
            "an idempotent batch of producer {number} is refused with {code:?}"
        );
        Ok(())
    }

    pub(super) fn consumer_hears(&mut self, number: usize, body: &[u8]) -> Result<(), Violation> {
        let fetched = self.consumers[number].answered(body)?;
        for one in fetched {
            self.take_in(number, one)?;
        }
        Ok(())
    }

    fn take_in(&mut self, number: usize, fetched: Fetched) -> Result<(), Violation> {
        let id = fetched.partition;
        let Some(&position) = self.consumers[number].positions.get(&id) else {
            return Ok(());
        };
        let is_os = self.ledger.is_os(id);
        // The answer may be older than the deletion: then nothing says where the log started.
        let may_be_gone = self.topics.may_be_gone(id.topic_id);
        match fetched.error {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => {
                let end = self.ledger.promised_end(id);
                let start = self.log_start(id);
                hold!(
                    is_os || may_be_gone || position < start || end < position,
                    "what was read never changes",
                    "{id}: {position} is out of range, the log starts at {start}, {end} was promised"
                );
                self.consumers[number].positions.insert(id, start);
                return Ok(());
            }
            code => {
                let sent_at = self.consumers[number].sent_at;
                return match may_be_gone {
                    true => Ok(()),
                    false => self.check_storage_error(code, Some(id), sent_at),
                };
            }
        }
        let mut next = position;
        for (offset, value) in fetched.records {
            if offset < position {
                continue; // the batch began before
            }
            hold!(
                offset == next,
                "no offset is skipped",
                "{id}: {offset} after {next}"
            );
            hold!(
                offset < fetched.high_watermark,
                "nothing above the high watermark is served",
                "{id}: {offset}, high watermark {}",
                fetched.high_watermark
            );
            self.site.report.bytes_read += 8;
            self.ledger.read(id, offset, value)?;
            next = offset + 1;
        }
        let _ = fetched.log_start;
        self.consumers[number].positions.insert(id, next);
        Ok(())
    }

    fn log_start(&self, id: TopicPartition) -> i64 {
        let node = self.site.node.as_ref();
        let ends = node.and_then(|node| node.ends(id));
        ends.map_or(0, |ends| ends.log_start.get())
    }

    /// The producers send until nothing of theirs is open.
    pub(super) fn drain(&mut self) -> Result<(), Violation> {
        for _ in 0..3_000 {
            self.site.clock.advance_ms(20);
            self.everything_turns()?;
            self.after_step()?;
            for index in 0..self.producers.len() {
                self.send_again(index)?;
            }
            let waits = self
                .producers
                .iter()
                .any(|producer| !producer.queue.is_empty());
            let links = self.site.links.iter().take(self.producers.len()).flatten();
            let unanswered = links.map(Link::unanswered).sum::<usize>();
            if !waits && unanswered == 0 && !self.topics.is_busy() {
                return Ok(());
            }
        }
        Err(Violation {
            invariant: "everything drains after the faults",
            detail: format!(
                "3,000 rounds are not enough: {:?}",
                self.producers
                    .iter()
                    .map(Producer::describe)
                    .collect::<Vec<_>>()
            ),
        })
    }

    fn send_again(&mut self, index: usize) -> Result<(), Violation> {
        let partitions = self.partitions();
        let target = self.producers[index].target;
        if !partitions.is_empty() && target.is_none_or(|target| !partitions.contains_key(&target)) {
            self.producers[index].retarget();
            return Ok(());
        }
        match self.producers[index].queue.is_empty() {
            true => Ok(()),
            false => self.send_next(index),
        }
    }

    /// A consumer that begins at the start reads what there is; it is held against all that was told.
    pub(super) fn read_everything(&mut self) -> Result<(), Violation> {
        let all = self.partitions().into_keys().collect();
        self.read_all_of(&all)
    }

    /// Likewise, of these partitions.
    pub(super) fn read_all_of(
        &mut self,
        wanted: &BTreeSet<TopicPartition>,
    ) -> Result<(), Violation> {
        let mut partitions = self.partitions();
        partitions.retain(|id, _| wanted.contains(id));
        let index = self.producers.len();
        self.disconnect(index);
        self.consumers[0] = Consumer::new(true);
        let mut starts = BTreeMap::new();
        for &id in partitions.keys() {
            starts.insert(id, self.log_start(id));
        }
        self.consumers[0].positions = starts.clone();
        for _ in 0..2_000 {
            self.site.clock.advance_ms(5);
            self.fetch(0)?;
            self.everything_turns()?;
            let at = &self.consumers[0].positions;
            if partitions.iter().all(|(id, end)| at.get(id) >= Some(end)) {
                break;
            }
        }
        for (id, start) in starts {
            let position = self.consumers[0].positions.get(&id);
            let end = position.copied().unwrap_or(start);
            hold!(
                partitions[&id] <= end,
                "consumers reach the end after the faults",
                "{id} was read up to {end}, it ends at {}",
                partitions[&id]
            );
            let values = self.ledger.values(id, start, end)?;
            self.ledger.settle(id, start, &values)?;
        }
        Ok(())
    }
}
