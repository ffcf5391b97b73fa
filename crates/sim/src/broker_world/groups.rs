//! Members of one group on the real broker: they join, stall, die and commit, while the process is
//! killed, power is lost and connections break.

use super::group_member::{GROUP, GroupMember, Heard, PARTITIONS, Phase};
use super::link::{Frame, Link};
use super::node::{CORES, Node, log_dir_options};
use super::producer::malformed;
use crate::clock::Clock;
use crate::disk::{CrashKind, DiskFaults, SimDisk};
use crate::hold;
use crate::oracle::Violation;
use crate::report::RunReport;
use crate::trace;
use crate::trace::Trace;
use ottla_broker::{CoreId, ResponsePart};
use ottla_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use ottla_protocol::messages::offset_fetch_response::OffsetFetchResponse;
use ottla_protocol::{ApiKey, Message, Reader, ResponseHeader};
use ottla_storage::planted::Planted;
use ottla_types::{Prng, TopicId};
use std::collections::BTreeMap;

const FETCH_VERSION: i16 = 10;
const TOPIC: &str = "shared";

/// One run.
pub struct GroupsWorld {
    prng: Prng,
    disk: SimDisk,
    trace: Trace,
    clock: Clock,
    planted: Planted,
    crashes_per_mille: u64,
    node: Option<Node>,
    lives: u64,
    /// The members', and last the administrator's, who also reads offsets.
    links: Vec<Option<Link>>,
    members: Vec<GroupMember>,
    /// Whom a partition was given to, by generation.
    owners: BTreeMap<(i32, i32), String>,
    /// For each partition: nothing below it may be told, because it was acknowledged or told before.
    floors: BTreeMap<i32, i64>,
    /// The floors when the offsets were asked for.
    reading: Option<BTreeMap<i32, i64>>,
    last_offset: i64,
    next_correlation: i32,
    report: RunReport,
}

impl GroupsWorld {
    /// Runs `steps` steps of `seed` and then lets the group come to rest.
    pub fn run(
        seed: u64,
        steps: u64,
        planted: Planted,
        trace: Trace,
    ) -> Result<RunReport, Violation> {
        let mut prng = Prng::new(seed ^ 0x6772_6f75_7073);
        let members = prng.range(2, 5) as usize;
        let mut world = GroupsWorld {
            disk: SimDisk::new(prng.next_u64(), 64 << 20, trace.clone()),
            crashes_per_mille: *prng.pick(&[0, 1, 4]),
            prng,
            trace,
            clock: Clock::new(),
            planted,
            node: None,
            lives: 0,
            links: (0..=members).map(|_| None).collect(),
            members: (0..members).map(|_| GroupMember::default()).collect(),
            owners: BTreeMap::new(),
            floors: BTreeMap::new(),
            reading: None,
            last_offset: 0,
            next_correlation: 0,
            report: RunReport::default(),
        };
        world.start()?;
        for step in 0..steps {
            world.report.steps = step + 1;
            world.step()?;
            world.after_step()?;
        }
        world.come_to_rest()?;
        world.report.faults = world.disk.counts();
        world.report.trace_hash = world.trace.hash();
        Ok(world.report)
    }

    fn start(&mut self) -> Result<(), Violation> {
        for _ in 0..20 {
            self.lives += 1;
            let now = self.clock.now();
            match Node::start(
                &self.disk,
                self.lives,
                log_dir_options(self.planted),
                std::sync::Arc::default(),
                now,
            ) {
                Ok(node) => {
                    trace!(self.trace, "life {} begins", self.lives);
                    self.disk.crash_after(None);
                    self.node = Some(node);
                    return Ok(());
                }
                Err(error) => {
                    trace!(self.trace, "start failed: {error}");
                    self.report.recovery_crashes += 1;
                    self.reboot();
                }
            }
        }
        Err(Violation {
            invariant: "the node starts again",
            detail: "20 attempts are not enough".to_owned(),
        })
    }

    fn reboot(&mut self) {
        let kind = match self.prng.chance(1, 2) {
            true => CrashKind::ProcessKill,
            false => CrashKind::PowerLoss,
        };
        self.report.crashes += 1;
        self.disk = self.disk.reboot(kind);
    }

    fn crash(&mut self) -> Result<(), Violation> {
        for index in 0..self.links.len() {
            self.disconnect(index);
        }
        self.node = None;
        self.reboot();
        self.start()
    }

    fn disconnect(&mut self, index: usize) {
        if let (Some(link), Some(node)) = (self.links[index].take(), &self.node) {
            link.close(&node.broker);
        }
        match self.members.get_mut(index) {
            Some(member) => member.disconnected(),
            None => self.reading = None,
        }
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.clock.advance_nanos(self.prng.below(2_000_000));
        if self.prng.chance(self.crashes_per_mille, 1000) {
            if self.prng.chance(1, 2) {
                let operations = self.prng.below(40);
                self.disk.crash_after(Some(operations));
                return Ok(());
            }
            return self.crash();
        }
        match self.prng.below(100) {
            0..35 => {
                let index = self.prng.below(self.members.len() as u64) as usize;
                self.member_turn(index);
                Ok(())
            }
            35..42 => {
                self.read_offsets();
                Ok(())
            }
            42..60 => self.pump(),
            60..75 => {
                let core = CoreId::new(self.prng.below(u64::from(CORES)) as u16);
                self.run_core(core)
            }
            75..90 => {
                let index = self.prng.below(self.links.len() as u64) as usize;
                self.deliver_to(index)
            }
            90..94 => {
                let ms = *self.prng.pick(&[1, 100, 1_000, 4_000]);
                self.clock.advance_ms(ms);
                Ok(())
            }
            94 => {
                let index = self.prng.below(self.links.len() as u64) as usize;
                self.disconnect(index);
                Ok(())
            }
            95 => {
                self.disturb();
                Ok(())
            }
            _ => self.everything_turns(),
        }
    }

    fn disturb(&mut self) {
        let index = self.prng.below(self.members.len() as u64) as usize;
        match self.prng.below(3) {
            0 => self.members[index].is_stalled = true,
            1 => self.members[index].is_stalled = false,
            _ => {
                self.disconnect(index);
                self.members[index].die();
            }
        }
    }

    fn after_step(&mut self) -> Result<(), Violation> {
        self.clock.advance_nanos(self.disk.take_elapsed_nanos());
        let is_offline = self.node.as_ref().is_some_and(Node::is_offline);
        match self.disk.is_crashed() || is_offline {
            true => self.crash(),
            false => Ok(()),
        }
    }

    fn correlation(&mut self) -> i32 {
        self.next_correlation += 1;
        self.next_correlation
    }

    fn topic(&self) -> Option<TopicId> {
        let node = self.node.as_ref().filter(|node| node.broker.is_ready())?;
        node.broker.image().topic_id(TOPIC)
    }

    fn send(&mut self, index: usize, frame: Frame) {
        let now = self.clock.now();
        let Some(node) = &self.node else { return };
        let core = CoreId::new(index as u16 % CORES);
        trace!(self.trace, "client {index} sends {}", frame.key.name());
        let link = self.links[index].get_or_insert_with(|| Link::open(&node.broker, core));
        if let Err(reason) = link.send(&node.broker, frame, now) {
            trace!(self.trace, "client {index} is closed: {reason}");
            self.disconnect(index);
        }
    }

    fn member_turn(&mut self, index: usize) {
        let Some(topic) = self.topic() else { return };
        if self.members[index].is_stalled || self.members[index].is_waiting() {
            return;
        }
        let correlation = self.correlation();
        let member = &self.members[index];
        let wants = !member.owned.is_empty() && self.prng.chance(1, 3);
        let commit = wants.then(|| {
            let partition = *self.prng.pick(&member.owned);
            self.last_offset += 1;
            (topic, partition, self.last_offset)
        });
        let frame = self.members[index].request(correlation, commit);
        self.send(index, frame);
    }

    /// The administrator's turn: makes what must be there, and asks how far the group is.
    fn read_offsets(&mut self) {
        let admin = self.members.len();
        let is_ready = self
            .node
            .as_ref()
            .is_some_and(|node| node.broker.is_ready());
        if self.reading.is_some() || !is_ready {
            return;
        }
        let correlation = self.correlation();
        let has_groups = self.node.as_ref().is_some_and(|node| {
            let image = node.broker.image();
            image.topic_by_name("__consumer_offsets").is_some()
        });
        let Some(topic) = self.topic() else {
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
            return self.send(
                admin,
                Frame::new(ApiKey::CreateTopics, 7, correlation, &request),
            );
        };
        if !has_groups {
            let request = FindCoordinatorRequest {
                coordinator_keys: vec![GROUP.into()],
                ..FindCoordinatorRequest::default()
            };
            let frame = Frame::new(ApiKey::FindCoordinator, 6, correlation, &request);
            return self.send(admin, frame);
        }
        self.reading = Some(self.floors.clone());
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: GROUP.into(),
                topics: Some(vec![OffsetFetchRequestTopics {
                    topic_id: topic.uuid(),
                    partition_indexes: (0..PARTITIONS).collect(),
                    ..OffsetFetchRequestTopics::default()
                }]),
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        };
        let frame = Frame::new(ApiKey::OffsetFetch, FETCH_VERSION, correlation, &request);
        self.send(admin, frame);
    }

    fn pump(&mut self) -> Result<(), Violation> {
        let now = self.clock.now();
        let which = self.prng.below(20);
        let Some(node) = &self.node else {
            return Ok(());
        };
        match which {
            0..9 => {
                node.log_dir.commit_step(now);
                node.broker.on_commit(now);
            }
            9..14 => {
                for event in node.quorum.step() {
                    node.broker.on_quorum_event(&event, now);
                }
            }
            14..18 => drop(node.log_dir.flush_step(now)),
            18 => drop(node.log_dir.zero_step(now)),
            _ => drop(node.log_dir.retention_step(now)),
        }
        Ok(())
    }

    fn run_core(&mut self, core: CoreId) -> Result<(), Violation> {
        let now = self.clock.now();
        let Some(node) = &self.node else {
            return Ok(());
        };
        let deadline = node.broker.next_deadline(core);
        let is_due = deadline.is_some_and(|at| at <= now.mono);
        if !node.wake.take(core) && !is_due {
            return Ok(());
        }
        let mut out = Vec::new();
        node.broker.completions(core, now, &mut out);
        let mut closed = Vec::new();
        for (token, outcome) in out {
            let waits =
                |link: &Option<Link>| link.as_ref().is_some_and(|link| link.waits_for(token));
            let Some(index) = self.links.iter().position(waits) else {
                continue; // Its client is gone.
            };
            let link = self.links[index].as_mut().expect("it was just found");
            let done = link.complete(token, outcome);
            if done.and_then(|()| link.turn(&node.broker, now)).is_err() {
                closed.push(index);
            }
        }
        for index in closed {
            self.disconnect(index);
        }
        Ok(())
    }

    fn deliver_to(&mut self, index: usize) -> Result<(), Violation> {
        let Some(ready) = self.links[index].as_mut().and_then(Link::take) else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        for part in &ready.response.parts {
            if let ResponsePart::Bytes(part) = part {
                bytes.extend_from_slice(part);
            }
        }
        let mut reader = Reader::new(&bytes[4..]);
        let header = ResponseHeader::decode(&mut reader, ready.key, ready.version);
        header.map_err(|error| malformed("a header", &error.to_string()))?;
        let body = reader.rest();
        trace!(self.trace, "client {index} hears of {}", ready.key.name());
        if index == self.members.len() {
            return match ready.key {
                ApiKey::OffsetFetch => self.offsets_told(body),
                _ => Ok(()),
            };
        }
        match self.members[index].answered(body)? {
            Heard::Nothing => Ok(()),
            Heard::Committed { partition, offset } => {
                self.report.appended += 1;
                let floor = self.floors.entry(partition).or_default();
                *floor = offset.max(*floor);
                Ok(())
            }
            Heard::Assigned(id) => {
                let member = &self.members[index];
                for partition in &member.owned {
                    let owner = self.owners.entry((member.generation, *partition));
                    let owner = owner.or_insert_with(|| id.clone());
                    hold!(
                        *owner == id,
                        "no partition has two owners in one generation",
                        "{partition} of generation {}: {owner} and {id}",
                        member.generation
                    );
                }
                Ok(())
            }
        }
    }

    fn offsets_told(&mut self, body: &[u8]) -> Result<(), Violation> {
        let Some(floors) = self.reading.take() else {
            return Ok(());
        };
        let response = OffsetFetchResponse::decode(&mut Reader::new(body), FETCH_VERSION);
        let response = response.map_err(|error| malformed("OffsetFetch", &error.to_string()))?;
        let group = &response.groups[0];
        for topic in group.topics.iter().filter(|_| group.error_code == 0) {
            for told in topic.partitions.iter().filter(|told| told.error_code == 0) {
                let floor = floors.get(&told.partition_index).copied().unwrap_or(-1);
                hold!(
                    floor <= told.committed_offset && told.committed_offset <= self.last_offset,
                    "committed offsets are never lost, nor served when a crash can take them back",
                    "{}: {} is told, {floor} was",
                    told.partition_index,
                    told.committed_offset
                );
                self.report.bytes_read += 8;
                let floor = self.floors.entry(told.partition_index).or_insert(-1);
                *floor = told.committed_offset.max(*floor);
            }
        }
        Ok(())
    }

    fn everything_turns(&mut self) -> Result<(), Violation> {
        for _ in 0..10 {
            self.clock.advance_ms(1);
            let now = self.clock.now();
            let Some(node) = &self.node else {
                return Ok(());
            };
            node.log_dir.commit_step(now);
            node.broker.on_commit(now);
            for event in node.quorum.step() {
                node.broker.on_quorum_event(&event, now);
            }
            node.log_dir.flush_step(now);
            node.log_dir.zero_step(now);
            for core in 0..CORES {
                self.run_core(CoreId::new(core))?;
            }
            for index in 0..self.links.len() {
                self.deliver_to(index)?;
            }
            if self.disk.is_crashed() {
                break;
            }
        }
        Ok(())
    }

    /// The faults are over: within a bound everybody works, and everything told is there (T26).
    fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.disk.crash_after(None);
        self.disk.set_faults(DiskFaults::default());
        if self.prng.chance(1, 2) {
            self.crash()?;
        }
        for member in &mut self.members {
            member.is_stalled = false;
        }
        for _ in 0..2_000 {
            self.clock.advance_ms(90);
            self.read_offsets();
            for index in 0..self.members.len() {
                self.member_turn(index);
            }
            self.everything_turns()?;
            self.after_step()?;
            if self.is_at_work() && self.reading.is_none() {
                return Ok(());
            }
        }
        Err(Violation {
            invariant: "every member works after the faults",
            detail: format!("2,000 rounds are not enough: {:?}", self.members),
        })
    }

    fn is_at_work(&self) -> bool {
        let generation = self.members[0].generation;
        let works = |member: &GroupMember| {
            member.phase == Phase::Working && member.generation == generation
        };
        let owned = self.members.iter().flat_map(|member| member.owned.iter());
        let mut owned: Vec<i32> = owned.copied().collect();
        owned.sort_unstable();
        self.members.iter().all(works) && owned.iter().copied().eq(0..PARTITIONS)
    }
}
