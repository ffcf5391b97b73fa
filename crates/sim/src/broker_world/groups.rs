//! Members of one group on the real broker: they join, stall, die and commit, while the process is
//! killed, power is lost and connections break.

use super::drives::Drives;
use super::group_member::{GROUP, GroupMember, Heard, PARTITIONS, Phase, commit_error};
use super::link::{Frame, Ready};
use super::node::log_dir_options;
use super::offsets_topic;
use super::producer::malformed;
use super::site::{OnSite, Site, SitePlan, in_some_runs};
use crate::disk::DiskFaults;
use crate::hold;
use crate::oracle::Violation;
use crate::report::RunReport;
use crate::trace;
use crate::trace::Trace;
use ottla_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use ottla_protocol::messages::offset_fetch_response::OffsetFetchResponse;
use ottla_protocol::{ApiKey, Message, Reader};
use ottla_storage::planted::Planted;
use ottla_types::{Prng, TopicId};
use std::collections::BTreeMap;

const FETCH_VERSION: i16 = 10;
const TOPIC: &str = "shared";

/// An offset that nobody may ever be told: those commit it whose place another has taken.
const FORBIDDEN_OFFSET: i64 = 1 << 40;

/// One run.
pub struct GroupsWorld {
    /// Its connections are the members', and last the administrator's, who also reads offsets.
    site: Site,
    members: Vec<GroupMember>,
    /// Whom a partition was given to, by generation.
    owners: BTreeMap<(i32, i32), String>,
    /// For each partition: nothing below it may be told, because it was acknowledged or told before.
    floors: BTreeMap<i32, i64>,
    /// The floors when the offsets were asked for.
    reading: Option<BTreeMap<i32, i64>>,
    last_offset: i64,
}

impl GroupsWorld {
    /// Runs `steps` steps of `seed` and then lets the group come to rest.
    pub fn run(
        seed: u64,
        steps: u64,
        planted: Planted,
        trace: Trace,
    ) -> Result<RunReport, Violation> {
        let mut world = GroupsWorld::new(seed, planted, trace);
        world.drive(steps)?;
        Ok(world.site.into_report())
    }

    fn new(seed: u64, planted: Planted, trace: Trace) -> GroupsWorld {
        let mut prng = Prng::new(seed ^ 0x6772_6f75_7073);
        let faults = DiskFaults {
            sync_fails: 60,
            write_fails: 30,
            write_full: 200,
            ..DiskFaults::default()
        };
        let faults = in_some_runs(faults, &mut prng);
        trace!(trace, "seed {seed}: {faults:?}");
        let count = prng.range(2, 5) as usize;
        let members = (0..count).map(|place| match prng.chance(1, 2) {
            true => GroupMember::of_place(place),
            false => GroupMember::default(),
        });
        let members: Vec<GroupMember> = members.collect();
        let drives = Drives::draw(seed, prng.next_u64(), &trace);
        let plan = SitePlan {
            faults,
            crashes_per_mille: *prng.pick(&[0, 1, 4]),
            storage: log_dir_options(planted),
            clients: members.len() + 1,
            compacts_offsets: offsets_topic::is_compacted(seed),
        };
        GroupsWorld {
            site: Site::new(prng, drives, plan, trace),
            members,
            owners: BTreeMap::new(),
            floors: BTreeMap::new(),
            reading: None,
            last_offset: 0,
        }
    }

    fn any_member(&mut self) -> usize {
        self.site.prng.below(self.members.len() as u64) as usize
    }

    fn disturb(&mut self) {
        let index = self.any_member();
        match self.site.prng.below(5) {
            0 => self.members[index].is_stalled = true,
            1 => self.members[index].is_stalled = false,
            2 => self.ghost_turn(index),
            _ => {
                self.disconnect(index);
                self.members[index].die();
            }
        }
    }

    /// A member that another has taken the place of does not know it yet, and commits.
    fn ghost_turn(&mut self, index: usize) {
        let Some(topic) = self.topic() else { return };
        let correlation = self.site.correlation();
        let member = &self.members[index];
        if let Some(frame) = member.ghost_commit(correlation, topic, FORBIDDEN_OFFSET) {
            self.send(self.members.len(), frame);
        }
    }

    fn topic(&self) -> Option<TopicId> {
        self.site.ready_node()?.broker.image().topic_id(TOPIC)
    }

    fn member_turn(&mut self, index: usize) {
        let Some(topic) = self.topic() else { return };
        if self.members[index].is_stalled || self.members[index].is_waiting() {
            return;
        }
        let correlation = self.site.correlation();
        let member = &self.members[index];
        let wants = !member.owned.is_empty() && self.site.prng.chance(1, 3);
        let commit = wants.then(|| {
            let partition = *self.site.prng.pick(&member.owned);
            self.last_offset += 1;
            (topic, partition, self.last_offset)
        });
        let frame = self.members[index].request(correlation, commit);
        self.send(index, frame);
    }

    /// The administrator's turn: makes what must be there, and asks how far the group is.
    fn read_offsets(&mut self) {
        let admin = self.members.len();
        let Some(node) = self.site.ready_node().filter(|_| self.reading.is_none()) else {
            return;
        };
        let has_groups = node
            .broker
            .image()
            .topic_by_name("__consumer_offsets")
            .is_some();
        let correlation = self.site.correlation();
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
        if let Some(frame) = offsets_topic::shrink(&mut self.site) {
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

    fn member_hears(&mut self, index: usize, body: &[u8]) -> Result<(), Violation> {
        match self.members[index].answered(body)? {
            Heard::Nothing => Ok(()),
            Heard::Committed { partition, offset } => {
                self.site.report.appended += 1;
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
                self.site.report.bytes_read += 8;
                let floor = self.floors.entry(told.partition_index).or_insert(-1);
                *floor = told.committed_offset.max(*floor);
            }
        }
        Ok(())
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

impl OnSite for GroupsWorld {
    fn site(&mut self) -> &mut Site {
        &mut self.site
    }

    fn step(&mut self) -> Result<(), Violation> {
        if self.begin_step()? {
            return Ok(());
        }
        match self.site.prng.below(100) {
            0..35 => {
                let index = self.any_member();
                self.member_turn(index);
            }
            35..42 => self.read_offsets(),
            42..60 => self.site.pump(),
            60..75 => self.core_turn(),
            75..90 => return self.deliver(),
            90..93 => {
                let ms = *self.site.prng.pick(&[1, 100, 1_000, 4_000]);
                self.site.clock.advance_ms(ms);
            }
            93 => {
                let index = self.site.any_link();
                self.disconnect(index);
            }
            94..96 => self.disturb(),
            96 if self.site.faults.write_full > 0 => {
                let free = *self.site.prng.pick(&[0, 50_000, 200_000]);
                self.site.drives.leave_free(free);
            }
            97 => self.site.drives.make_room(),
            _ => return self.everything_turns(),
        }
        Ok(())
    }

    fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.end_faults()?;
        for member in &mut self.members {
            member.is_stalled = false;
        }
        for _ in 0..2_000 {
            self.site.clock.advance_ms(90);
            self.read_offsets();
            for index in 0..self.members.len() {
                self.member_turn(index);
            }
            self.everything_turns()?;
            self.end_step()?;
            if self.is_at_work() && self.reading.is_none() {
                return Ok(());
            }
        }
        Err(Violation {
            invariant: "every member works after the faults",
            detail: format!("2,000 rounds are not enough: {:?}", self.members),
        })
    }

    fn disconnected(&mut self, index: usize) {
        match self.members.get_mut(index) {
            Some(member) => member.disconnected(),
            None => self.reading = None,
        }
    }

    fn hears(&mut self, index: usize, ready: &Ready, body: &[u8]) -> Result<(), Violation> {
        if index < self.members.len() {
            return self.member_hears(index, body);
        }
        match ready.key {
            ApiKey::OffsetFetch => self.offsets_told(body),
            ApiKey::OffsetCommit => {
                hold!(
                    commit_error(body)? != 0,
                    "who was replaced commits nothing",
                    "a static member's place is another's, and its commit is taken"
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The topic of the offsets is durable.
    fn page_cache_lost(&mut self) {}
}
