//! The client crate's own producers and consumers on the real broker, over connections that break, while the process is
//! killed and the power is lost.

use super::drives::Drives;
use super::ledger::{Ledger, Sent};
use super::link::{Frame, Ready};
use super::node::log_dir_options;
use super::offsets_topic;
use super::real_client::{Machine, RealClient};
use super::site::{OnSite, Site, SitePlan, in_some_runs};
use crate::disk::DiskFaults;
use crate::hold;
use crate::large_batches::around_bytes;
use crate::oracle::Violation;
use crate::report::RunReport;
use crate::trace;
use crate::trace::Trace;
use ottla_client::core::{BatchOutcome, ProduceFaultKind};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_storage::log_dir::LogDirOptions;
use ottla_storage::planted::Planted;
use ottla_types::{PartitionId, Prng, TopicId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const TOPIC: &str = "flights";
const PARTITIONS: i32 = 3;
/// A producer begins nothing new while it has so many batches under way.
const BATCHES_MAX: usize = 12;

/// One run.
pub struct ClientsWorld {
    /// Its connections are the clients', and last the administrator's.
    site: Site,
    /// Producers, members of the group, and last consumers without one.
    clients: Vec<RealClient>,
    /// For each partition: below it the group has worked on every record.
    worked_on: BTreeMap<i32, i64>,
    topic: Arc<str>,
    topic_id: Option<TopicId>,
    ledger: Ledger,
    next_value: u64,
    /// Records whose producer was told that they are certainly not in the log.
    unwritten: BTreeSet<u64>,
}

impl ClientsWorld {
    /// Runs `steps` steps of `seed` and then lets everything come to rest.
    pub fn run(
        seed: u64,
        steps: u64,
        planted: Planted,
        trace: Trace,
    ) -> Result<RunReport, Violation> {
        let mut world = ClientsWorld::new(seed, planted, trace);
        world.drive(steps)?;
        Ok(world.site.into_report())
    }

    fn new(seed: u64, planted: Planted, trace: Trace) -> ClientsWorld {
        let mut prng = Prng::new(seed ^ 0x0063_6c69_656e_7473);
        let faults = DiskFaults {
            would_block: *prng.pick(&[0, 20_000]),
            sync_fails: 60,
            write_fails: 30,
            write_full: 200,
            ..DiskFaults::default()
        };
        let faults = in_some_runs(faults, &mut prng);
        trace!(trace, "seed {seed}: {faults:?}");
        let drives = Drives::draw(seed, prng.next_u64(), &trace);
        let producers = prng.range(1, 4) as usize;
        let members = prng.below(3) as usize;
        let plan = SitePlan {
            faults,
            crashes_per_mille: *prng.pick(&[0, 2, 8]),
            storage: match members {
                0 => LogDirOptions {
                    around_bytes: around_bytes(seed),
                    ..log_dir_options(planted)
                },
                // What a group knows has to fit the journal.
                _ => log_dir_options(planted),
            },
            clients: producers + members + 3,
            compacts_offsets: 0 < members && offsets_topic::is_compacted(seed),
        };
        let mut site = Site::new(prng, drives, plan, trace);
        let topic: Arc<str> = TOPIC.into();
        let mut clients = Vec::new();
        for _ in 0..producers {
            clients.push(RealClient::producer(&mut site.prng));
        }
        for _ in 0..members {
            clients.push(member(&mut site, &topic));
        }
        for _ in 0..2 {
            clients.push(consumer(&mut site, &topic));
        }
        ClientsWorld {
            site,
            clients,
            worked_on: BTreeMap::new(),
            topic,
            topic_id: None,
            ledger: Ledger::default(),
            next_value: 0,
            unwritten: BTreeSet::new(),
        }
    }

    /// A partition, once the topic was seen.
    fn partition(&self, partition: i32) -> Option<TopicPartition> {
        Some(TopicPartition {
            topic_id: self.topic_id?,
            partition: PartitionId::new(partition),
        })
    }

    /// The administrator makes the topic, until it is there.
    fn make_topic(&mut self) {
        if let Some(frame) = offsets_topic::shrink(&mut self.site) {
            return self.send(self.clients.len(), frame);
        }
        let Some(node) = self.site.ready_node().filter(|_| self.topic_id.is_none()) else {
            return;
        };
        self.topic_id = node.broker.image().topic_id(TOPIC);
        if self.topic_id.is_some() {
            return;
        }
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: TOPIC.into(),
                num_partitions: PARTITIONS,
                replication_factor: 1,
                ..CreatableTopic::default()
            }],
            timeout_ms: 5_000,
            ..CreateTopicsRequest::default()
        };
        let correlation = self.site.correlation();
        let frame = Frame::new(ApiKey::CreateTopics, 7, correlation, &request);
        self.send(self.clients.len(), frame);
    }

    /// The application of a producer has some records.
    fn produce(&mut self, index: usize) {
        if self.topic_id.is_none() {
            return;
        }
        let now = self.site.clock.now();
        let prng = &mut self.site.prng;
        let Machine::Producer(producer) = &mut self.clients[index].machine else {
            return;
        };
        if BATCHES_MAX <= producer.batches.len() {
            return;
        }
        for _ in 0..prng.range(1, 6) {
            let partition = prng.below(PARTITIONS as u64) as i32;
            let mut bytes = vec![0; prng.range(8, 1_200) as usize];
            bytes[..8].copy_from_slice(&self.next_value.to_be_bytes());
            let topic = &self.topic;
            let taken =
                producer
                    .core
                    .append(topic, Some(partition), None, None, Some(&bytes), &[], now);
            let Ok(taken) = taken else {
                return; // the topic is not known yet
            };
            let sent = Sent {
                producer: index,
                in_order: true,
            };
            self.ledger.sent(self.next_value, sent);
            let batch = producer.batches.entry(taken.batch).or_default();
            batch.values.push(self.next_value);
            self.next_value += 1;
        }
    }

    /// A member dies, and another one comes.
    fn replace_member(&mut self) {
        let index = self.site.prng.below(self.clients.len() as u64) as usize;
        if let Machine::Consumer(consumer) = &self.clients[index].machine
            && consumer.is_member
        {
            self.disconnect(index);
            self.clients[index] = member(&mut self.site, &self.topic);
        }
    }

    /// A client goes on: it takes in what came, and makes the calls that it wants made.
    fn client_turn(&mut self, index: usize) -> Result<(), Violation> {
        let now = self.site.clock.now();
        if self.clients[index].is_overdue(now.mono) {
            trace!(self.site.trace, "client {index} waits no longer");
            self.disconnect(index);
        }
        for call in self.clients[index].calls(now) {
            let correlation = self.site.correlation();
            let frame = self.clients[index].frame(&call, correlation, now.mono);
            match self.site.prng.below(40) {
                // The connection breaks before the request arrives ...
                0 => self.disconnect(index),
                // ... or before the answer comes back.
                1 => {
                    self.send(index, frame);
                    self.disconnect(index);
                }
                _ => self.send(index, frame),
            }
        }
        match &mut self.clients[index].machine {
            Machine::Producer(producer) => {
                for (outcome, values) in producer.outcomes() {
                    self.take_outcome(index, &outcome, &values)?;
                }
                Ok(())
            }
            Machine::Consumer(_) => self.consume(index),
        }
    }

    fn take_outcome(
        &mut self,
        index: usize,
        outcome: &BatchOutcome,
        values: &[u64],
    ) -> Result<(), Violation> {
        trace!(
            self.site.trace,
            "producer {index}: {values:?} of {:?}: {:?}", outcome.key.partition, outcome.result
        );
        match &outcome.result {
            Ok(delivery) => {
                self.site.report.appended += 1;
                let partition = self.partition(outcome.key.partition);
                match (partition, delivery.base_offset) {
                    (Some(partition), Some(offset)) => {
                        self.ledger.acknowledged(partition, offset.get(), values)
                    }
                    _ => Ok(()),
                }
            }
            Err(fault) => {
                hold!(
                    matches!(fault.kind, ProduceFaultKind::TimedOut { .. }),
                    "refusals have a reason",
                    "producer {index} gave {values:?} up: {fault}"
                );
                if !fault.possibly_written {
                    self.unwritten.extend(values);
                }
                Ok(())
            }
        }
    }

    /// The application of a consumer comes for more.
    fn consume(&mut self, index: usize) -> Result<(), Violation> {
        let now = self.site.clock.now();
        let most = self.site.prng.range(1, 50) as usize;
        let Machine::Consumer(consumer) = &mut self.clients[index].machine else {
            return Ok(());
        };
        if consumer.is_member {
            // It comes back: it has finished with what it was given.
            for (partition, next) in &consumer.positions {
                let worked_on = self.worked_on.entry(*partition).or_default();
                *worked_on = (*worked_on).max(*next);
            }
        }
        consumer.core.at_poll(now.mono);
        consumer.agree();
        let records = match consumer.core.take_records(most) {
            Ok(records) => records,
            Err(fault) => {
                return Err(Violation {
                    invariant: "consumers reach the end after the faults",
                    detail: format!("consumer {index} stops: {fault}"),
                });
            }
        };
        let mut read = Vec::new();
        for record in &records {
            let (partition, offset) = (record.partition.partition, record.offset.get());
            match consumer.positions.get(&partition) {
                Some(next) => hold!(
                    offset == *next,
                    "a consumer sees each record once, in order",
                    "consumer {index} gets {offset} of {}, and not {next}",
                    record.partition
                ),
                None => hold!(
                    offset <= self.worked_on.get(&partition).copied().unwrap_or(0),
                    "a group skips no record",
                    "consumer {index} begins at {offset} of {}, {:?} was worked on",
                    record.partition,
                    self.worked_on
                ),
            }
            consumer.positions.insert(partition, offset + 1);
            let value = record.value.as_ref().and_then(|value| value.first_chunk());
            let value = value.map_or(u64::MAX, |value| u64::from_be_bytes(*value));
            read.push((partition, offset, value));
        }
        for (partition, offset, value) in read {
            hold!(
                !self.unwritten.contains(&value),
                "what was certainly not written is not there",
                "{value} is at {offset} of {partition}"
            );
            self.site.report.bytes_read += 8;
            if let Some(partition) = self.partition(partition) {
                self.ledger.read(partition, offset, value)?;
            }
        }
        Ok(())
    }

    /// Where a partition ends.
    fn end(&self, partition: i32) -> Option<i64> {
        let id = self.partition(partition)?;
        Some(self.site.ready_node()?.ends(id)?.durable_end.get())
    }

    fn is_over(&self) -> bool {
        self.clients.iter().all(|client| match &client.machine {
            Machine::Producer(producer) => producer.core.is_flushed(producer.core.batches_end()),
            Machine::Consumer(consumer) => {
                let reached = match consumer.is_member {
                    true => &self.worked_on,
                    false => &consumer.positions,
                };
                (0..PARTITIONS).all(|partition| {
                    let reached = reached.get(&partition).copied().unwrap_or(0);
                    self.end(partition) == Some(reached)
                })
            }
        })
    }

    fn settle(&self) -> Result<(), Violation> {
        for partition in 0..PARTITIONS {
            let (Some(id), Some(end)) = (self.partition(partition), self.end(partition)) else {
                continue;
            };
            let values = self.ledger.values(id, 0, end)?;
            self.ledger.settle(id, 0, &values)?;
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let one = |client: &RealClient| match &client.machine {
            Machine::Producer(producer) => format!(
                "{} batches, {:?}",
                producer.batches.len(),
                producer.core.waiting_for()
            ),
            Machine::Consumer(consumer) => format!(
                "{:?}, {:?}",
                consumer.positions,
                consumer.core.waiting_for()
            ),
        };
        let ends: Vec<_> = (0..PARTITIONS).map(|it| self.end(it)).collect();
        let clients: Vec<String> = self.clients.iter().map(one).collect();
        format!("{clients:?}, the partitions end at {ends:?}")
    }
}

fn consumer(site: &mut Site, topic: &Arc<str>) -> RealClient {
    let now = site.clock.now();
    RealClient::consumer(&mut site.prng, topic, PARTITIONS, now.mono)
}

fn member(site: &mut Site, topic: &Arc<str>) -> RealClient {
    let now = site.clock.now();
    RealClient::member(&mut site.prng, topic, now.mono)
}

impl OnSite for ClientsWorld {
    fn site(&mut self) -> &mut Site {
        &mut self.site
    }

    fn step(&mut self) -> Result<(), Violation> {
        if self.begin_step()? {
            return Ok(());
        }
        match self.site.prng.below(100) {
            0..30 => {
                let index = self.site.prng.below(self.clients.len() as u64) as usize;
                self.produce(index);
                return self.client_turn(index);
            }
            30..32 => self.make_topic(),
            32..50 => self.site.pump(),
            50..65 => self.core_turn(),
            65..85 => return self.deliver(),
            85..90 => {
                let ms = *self.site.prng.pick(&[1, 5, 30, 300]);
                self.site.clock.advance_ms(ms);
            }
            90 => self.site.clock.advance_ms(3_000),
            91..93 => {
                let index = self.site.any_link();
                self.disconnect(index);
            }
            93 if self.site.faults.write_full > 0 => {
                let free = *self.site.prng.pick(&[0, 50_000, 200_000]);
                self.site.drives.leave_free(free);
            }
            94 => self.site.drives.make_room(),
            95 => self.replace_member(),
            _ => return self.everything_turns(),
        }
        Ok(())
    }

    fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.end_faults()?;
        let last = self.clients.len() - 1;
        self.disconnect(last);
        self.clients[last] = consumer(&mut self.site, &self.topic);
        for _ in 0..3_000 {
            self.site.clock.advance_ms(20);
            self.make_topic();
            for index in 0..self.clients.len() {
                if let Machine::Producer(producer) = &mut self.clients[index].machine {
                    producer.core.flush();
                }
                self.client_turn(index)?;
            }
            self.everything_turns()?;
            self.end_step()?;
            if self.is_over() {
                return self.settle();
            }
        }
        Err(Violation {
            invariant: "everything drains after the faults",
            detail: format!("3,000 rounds are not enough: {}", self.describe()),
        })
    }

    fn disconnected(&mut self, index: usize) {
        let now = self.site.clock.now();
        if let Some(client) = self.clients.get_mut(index) {
            client.disconnected(now);
        }
    }

    fn hears(&mut self, index: usize, ready: &Ready, body: &[u8]) -> Result<(), Violation> {
        let now = self.site.clock.now();
        if let Some(client) = self.clients.get_mut(index) {
            client.answered(ready.correlation, body, now);
        }
        Ok(())
    }

    /// The topic is durable.
    fn page_cache_lost(&mut self) {}
}
