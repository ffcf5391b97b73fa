mod coordinator;

use super::*;
use crate::core::backoff::Backoff;
use crate::core::call::{Answer, CallFailure};
use crate::core::group::config::CommitError;
use crate::core::group_call::CommittedOffset;
use bytes::Bytes;
use coordinator::{ModelCoordinator, State, Ticket};
use ottla_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::messages::{JoinGroupResponse, MetadataResponse};
use ottla_protocol::{Message, Writer};
use ottla_types::{ErrorCode, Offset};
use std::borrow::Cow;

const TOPICS: [(&str, i32); 2] = [("a", 5), ("b", 3)];

/// What everybody knows of the cluster.
fn metadata(topics: &[(&str, i32)]) -> Metadata {
    let backoff = Backoff::default();
    let mut metadata = Metadata::new(false, Duration::from_secs(300), backoff);
    for (topic, _) in topics {
        metadata.want(&Arc::from(*topic), Mono::ZERO);
    }
    let mut prng = Prng::new(1);
    metadata.poll(Mono::ZERO).expect("a topic is wanted");
    let partition = |index| MetadataResponsePartition {
        partition_index: index,
        leader_id: 1,
        ..Default::default()
    };
    let response = MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: 1,
            host: Cow::Borrowed("h"),
            port: 9092,
            rack: None,
        }],
        topics: topics
            .iter()
            .map(|(topic, count)| MetadataResponseTopic {
                name: Some(Cow::Borrowed(*topic)),
                partitions: (0..*count).map(partition).collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    let mut writer = Writer::new();
    response.encode(&mut writer, 9).unwrap();
    let answer = Answer::Response {
        version: 9,
        body: Bytes::from(writer.into_buf()),
    };
    metadata.on_answer(&answer, Mono::ZERO, &mut prng);
    metadata
}

fn topics(names: &[&str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// One member and its way to the coordinator.
struct Node {
    core: GroupCore,
    requests: VecDeque<(CallId, Request, Mono)>,
    waiting: BTreeMap<Ticket, CallId>,
    event: Option<GroupEvent>,
    wants: bool,
}

struct World {
    now: Mono,
    metadata: Metadata,
    coordinator: ModelCoordinator,
    nodes: Vec<Node>,
}

fn config(assignors: &[Assignor], seed: u64) -> GroupConfig {
    GroupConfig {
        assignors: assignors.to_vec(),
        seed,
        ..GroupConfig::new("g")
    }
}

impl World {
    fn new(configs: impl IntoIterator<Item = GroupConfig>) -> World {
        let node = |config| Node {
            core: GroupCore::new(config),
            requests: VecDeque::new(),
            waiting: BTreeMap::new(),
            event: None,
            wants: false,
        };
        World {
            now: Mono::from_millis(1),
            metadata: metadata(&TOPICS),
            coordinator: ModelCoordinator::default(),
            nodes: configs.into_iter().map(node).collect(),
        }
    }

    fn subscribe(&mut self, index: usize, names: &[&str]) {
        self.nodes[index].core.subscribe(topics(names));
        self.nodes[index].wants = true;
    }

    fn poll(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let mut calls = Vec::new();
        node.core.poll(self.now, &self.metadata, &mut calls);
        for call in calls {
            let overdue_at = self.now.plus(call.timeout);
            node.requests.push_back((call.id, call.request, overdue_at));
        }
        for topic in node.core.topics_to_know() {
            assert!(
                self.metadata.topic(&topic).is_some(),
                "every topic is known here"
            );
        }
    }

    /// The coordinator reads the next request of a member.
    fn execute(&mut self, index: usize) {
        if let Some((id, request, _)) = self.nodes[index].requests.pop_front() {
            let ticket = self.coordinator.execute(&request);
            self.nodes[index].waiting.insert(ticket, id);
        }
    }

    fn deliver(&mut self) {
        for (ticket, version, body) in self.coordinator.take_ready() {
            for node in &mut self.nodes {
                if let Some(id) = node.waiting.remove(&ticket) {
                    let body = body.clone();
                    node.core
                        .on_answer(id, &Answer::Response { version, body }, self.now);
                }
            }
        }
    }

    /// A member's connection breaks: nothing of what is under way is answered.
    fn cut(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let unread = std::mem::take(&mut node.requests)
            .into_iter()
            .map(|(id, ..)| id);
        let unanswered = std::mem::take(&mut node.waiting).into_values();
        for id in unread.chain(unanswered).collect::<Vec<_>>() {
            let reason = "broken".to_owned();
            let answer = Answer::Failed(CallFailure::Lost { reason });
            node.core.on_answer(id, &answer, self.now);
        }
    }

    /// The application of a member does something about what it was told, now or later.
    fn application(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        match node.event.take() {
            None => node.event = node.core.take_event(),
            Some(event) => {
                if let GroupEvent::Lost(keys) = &event {
                    assert!(keys.is_superset(node.core.owned()), "lost means everything");
                }
                node.core.event_done();
            }
        }
        self.check();
    }

    /// No partition belongs to two members of the generation.
    fn check(&self) {
        let mut owners: BTreeMap<&PartitionKey, usize> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let is_member = node
                .core
                .member()
                .is_some_and(|(id, generation)| self.coordinator.knows(id, generation));
            if is_member {
                for key in node.core.owned() {
                    let other = owners.insert(key, index);
                    assert_eq!(other, None, "{key} belongs to {other:?} and {index}");
                }
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.plus(Duration::from_millis(millis));
        for node in 0..self.nodes.len() {
            let overdue = |(_, _, at): &(CallId, Request, Mono)| *at <= self.now;
            if self.nodes[node].requests.front().is_some_and(overdue) {
                self.cut(node);
            }
        }
    }

    /// Everything goes on without faults until nothing changes any more.
    fn settle(&mut self) {
        for round in 0..400 {
            for index in 0..self.nodes.len() {
                self.poll(index);
                self.execute(index);
                self.deliver();
                self.application(index);
                self.application(index);
            }
            self.pass(250);
            // Who joined before its connection broke never comes: its session ends.
            let known: Vec<String> = self
                .nodes
                .iter()
                .map(|node| node.core.member_id.to_string())
                .collect();
            let ghost = self
                .coordinator
                .member_ids()
                .into_iter()
                .find(|id| !known.contains(id));
            if round > 40
                && let Some(ghost) = ghost
            {
                self.coordinator.expel(&ghost);
            }
        }
    }

    fn owned(&self, index: usize) -> Vec<String> {
        let owned = self.nodes[index].core.owned();
        owned.iter().map(PartitionKey::to_string).collect()
    }

    /// Every partition of what somebody wants belongs to somebody.
    fn assert_settled(&self, seed: u64) {
        let mut wanted: BTreeSet<PartitionKey> = BTreeSet::new();
        let mut owned: BTreeSet<PartitionKey> = BTreeSet::new();
        for node in &self.nodes {
            if node.wants {
                assert!(node.core.is_stable(), "seed {seed}: {:?}", node.core.phase);
                assert_eq!(self.coordinator.state, State::Stable, "seed {seed}");
            } else {
                assert!(
                    node.core.is_away() && node.core.owned().is_empty(),
                    "seed {seed}"
                );
            }
            for (topic, count) in TOPICS {
                if node.core.topics().contains(topic) {
                    wanted.extend((0..count).map(|part| PartitionKey::new(topic, part)));
                }
            }
            for key in node.core.owned() {
                assert!(owned.insert(key.clone()), "seed {seed}: {key} twice");
            }
        }
        assert_eq!(owned, wanted, "seed {seed}");
    }
}

#[test]
fn members_share_what_they_subscribe_to_and_hand_it_over() {
    for assignor in Assignor::ALL {
        let mut world = World::new([config(&[assignor], 1), config(&[assignor], 2)]);
        world.subscribe(0, &["a", "b"]);
        world.settle();
        assert_eq!(world.owned(0).len(), 8);
        assert!(world.nodes[0].core.is_leader());
        world.subscribe(1, &["a", "b"]);
        world.settle();
        world.assert_settled(1);
        let sizes = (world.owned(0).len(), world.owned(1).len());
        assert!(sizes == (4, 4) || sizes == (5, 3), "{assignor:?} {sizes:?}");
        // Leaving gives everything to the one who stays.
        world.nodes[0].core.leave();
        world.nodes[0].wants = false;
        world.settle();
        world.assert_settled(1);
        assert_eq!(world.owned(1).len(), 8);
    }
}

#[test]
fn a_cooperative_member_keeps_what_does_not_move() {
    let cooperative = [Assignor::CooperativeSticky];
    let mut world = World::new([config(&cooperative, 1), config(&cooperative, 2)]);
    world.subscribe(0, &["a"]);
    world.settle();
    let before = world.owned(0);
    world.subscribe(1, &["a"]);
    let mut least = before.len();
    for _ in 0..200 {
        for index in 0..2 {
            world.poll(index);
            world.execute(index);
            world.deliver();
            world.application(index);
            least = least.min(world.owned(0).len());
        }
        world.pass(100);
    }
    world.assert_settled(1);
    assert_eq!(least, 3, "it never stopped reading what it keeps");
    assert!(world.owned(0).iter().all(|key| before.contains(key)));
}

#[test]
fn nobody_joins_before_its_application_gave_back() {
    let mut world = World::new([config(&[Assignor::Range], 1), config(&[Assignor::Range], 2)]);
    world.subscribe(0, &["a"]);
    world.settle();
    world.subscribe(1, &["a"]);
    // The application of the first is at work: heartbeats go on, nothing else happens.
    for _ in 0..100 {
        for index in 0..2 {
            world.poll(index);
            world.execute(index);
            world.deliver();
        }
        world.application(1);
        world.pass(250);
    }
    assert_eq!(world.coordinator.state, State::Preparing);
    assert!(world.nodes[0].core.has_event());
    assert_eq!(world.owned(0).len(), 5);
    world.settle();
    world.assert_settled(1);
}

#[test]
fn who_is_thrown_out_loses_everything_and_comes_back_as_somebody_new() {
    let mut world = World::new([config(&[Assignor::Range], 1)]);
    world.subscribe(0, &["a"]);
    world.settle();
    let before = world.nodes[0].core.member().unwrap().0.to_owned();
    world.coordinator.expel(&before);
    let mut events = Vec::new();
    for _ in 0..100 {
        world.poll(0);
        world.execute(0);
        world.deliver();
        if let Some(event) = world.nodes[0].core.take_event() {
            events.push(event);
            world.nodes[0].core.event_done();
        }
        world.pass(250);
    }
    assert!(
        matches!(&events[0], GroupEvent::Lost(keys) if keys.len() == 5),
        "{events:?}"
    );
    assert!(matches!(&events[1], GroupEvent::Assigned(keys) if keys.len() == 5));
    assert_ne!(world.nodes[0].core.member().unwrap().0, before);
}

#[test]
fn a_static_member_keeps_its_place_when_it_stops() {
    let named = |name: &str| GroupConfig {
        instance_id: Some(Arc::from(name)),
        ..config(&[Assignor::Range], 1)
    };
    let mut world = World::new([named("x"), named("y")]);
    world.subscribe(0, &["a"]);
    world.subscribe(1, &["a"]);
    world.settle();
    world.nodes[1].core.leave();
    world.nodes[1].wants = false;
    for _ in 0..20 {
        world.poll(1);
        world.execute(1);
        world.application(1);
        world.deliver();
    }
    assert!(world.nodes[1].core.is_away());
    assert_eq!(world.coordinator.state, State::Stable, "nobody was told");
    world.nodes[1].core = GroupCore::new(named("y"));
    world.subscribe(1, &["a"]);
    world.settle();
    world.assert_settled(1);
    assert_eq!(world.owned(0).len(), 3);
}

#[test]
fn offsets_are_committed_looked_up_and_refused_to_strangers() {
    let mut world = World::new([config(&[Assignor::Range], 1)]);
    world.subscribe(0, &["a"]);
    world.settle();
    let key = PartitionKey::new("a", 2);
    let offsets: BTreeMap<PartitionKey, CommittedOffset> =
        [(key.clone(), CommittedOffset::at(Offset::new(42)))].into();
    let later = world.now.plus(Duration::from_secs(1_000));
    let committed = world.nodes[0].core.commit(offsets.clone(), later);
    let other = PartitionKey::new("b", 0);
    let keys = [key.clone(), other.clone()];
    for _ in 0..4 {
        world.poll(0);
        world.execute(0);
        world.deliver();
    }
    let looked_up = world.nodes[0].core.fetch_committed(keys, None);
    world.settle();
    let found: CommittedOffsets = [
        (key.clone(), Some(CommittedOffset::at(Offset::new(42)))),
        (other, None),
    ]
    .into();
    assert_eq!(
        world.nodes[0].core.take_outcomes(),
        [(committed, Ok(BTreeMap::new())), (looked_up, Ok(found))]
    );
    // Thrown out meanwhile: the positions may be behind another member's.
    let id = world.nodes[0].core.member().unwrap().0.to_owned();
    world.coordinator.expel(&id);
    let refused = world.nodes[0].core.commit(offsets.clone(), later);
    world.settle();
    let outcomes = world.nodes[0].core.take_outcomes();
    assert_eq!(outcomes, [(refused, Err(CommitError::NotMember))]);
    // No coordinator: given up in time.
    let soon = world.now.plus(Duration::from_millis(10));
    let late = world.nodes[0].core.commit(offsets, soon);
    world.pass(20);
    world.poll(0);
    let outcomes = world.nodes[0].core.take_outcomes();
    assert!(
        matches!(&outcomes[..], [(id, Err(CommitError::TimedOut { .. }))] if *id == late),
        "{outcomes:?}"
    );
}

#[test]
fn a_refusal_is_told_and_ends_it_until_it_subscribes_again() {
    let mut world = World::new([config(&[Assignor::Range], 1)]);
    world.subscribe(0, &["a"]);
    for _ in 0..2 {
        world.poll(0);
        let Some((id, request, _)) = world.nodes[0].requests.pop_front() else {
            continue;
        };
        if matches!(&request, Request::Group(GroupCall::JoinGroup { .. })) {
            let response = JoinGroupResponse {
                error_code: ErrorCode::InvalidSessionTimeout as i16,
                ..Default::default()
            };
            let mut writer = Writer::new();
            response.encode(&mut writer, 9).unwrap();
            let body = Bytes::from(writer.into_buf());
            let answer = Answer::Response { version: 9, body };
            world.nodes[0].core.on_answer(id, &answer, world.now);
        } else {
            world.nodes[0].requests.push_front((id, request, world.now));
            world.execute(0);
            world.deliver();
        }
    }
    let fault = world.nodes[0].core.fault().cloned().unwrap();
    assert!(
        fault.to_string().contains("INVALID_SESSION_TIMEOUT"),
        "{fault}"
    );
    assert!(world.nodes[0].core.is_away());
    world.subscribe(0, &["a"]);
    world.settle();
    world.assert_settled(1);
}

#[test]
fn more_partitions_and_other_topics_start_a_round() {
    let mut world = World::new([config(&[Assignor::Range], 1)]);
    world.subscribe(0, &["a"]);
    world.settle();
    world.metadata = metadata(&[("a", 7), ("b", 3)]);
    world.settle();
    assert_eq!(world.owned(0).len(), 7);
    world.subscribe(0, &["b"]);
    world.settle();
    assert_eq!(world.owned(0), ["b-0", "b-1", "b-2"]);
}

#[test]
fn who_does_not_poll_gives_its_place_up() {
    let mut world = World::new([config(&[Assignor::Range], 1), config(&[Assignor::Range], 2)]);
    world.subscribe(0, &["a"]);
    world.subscribe(1, &["a"]);
    world.settle();
    world.nodes[0].core.on_poll_overdue(world.now);
    // Its application never comes back; the other gets everything.
    for _ in 0..100 {
        world.poll(0);
        world.execute(0);
        world.poll(1);
        world.execute(1);
        world.deliver();
        world.application(1);
        world.pass(250);
    }
    assert_eq!(world.owned(1).len(), 5);
    assert!(world.nodes[0].core.member().is_none());
    world.settle();
    world.assert_settled(1);
}

/// Members come, go, stall and lose their connections in every order that a seed brings; no
/// partition ever belongs to two of them, and once it is quiet everything belongs to somebody.
#[test]
fn partitions_have_one_owner_whatever_happens() {
    let mut rebalances = 0;
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let assignor = *prng.pick(&Assignor::ALL);
        let count = 1 + prng.below(4) as usize;
        let configs = (0..count).map(|index| GroupConfig {
            instance_id: (prng.chance(1, 4)).then(|| Arc::from(format!("i{index}"))),
            ..config(&[assignor], seed + index as u64)
        });
        let configs: Vec<GroupConfig> = configs.collect();
        let mut world = World::new(configs);
        for _ in 0..600 {
            disturb(&mut world, &mut prng);
        }
        world.settle();
        world.assert_settled(seed);
        rebalances += world.coordinator.rebalances;
    }
    assert!(rebalances > 2_000, "{rebalances}");
}

fn disturb(world: &mut World, prng: &mut Prng) {
    let index = prng.below(world.nodes.len() as u64) as usize;
    match prng.below(100) {
        0..40 => {
            world.poll(index);
            world.execute(index);
        }
        40..65 => world.deliver(),
        65..85 => world.application(index),
        85..92 => {
            let millis = prng.below(2_000);
            world.pass(millis);
        }
        92..94 => world.cut(index),
        94..96 => {
            let choices: [&[&str]; 3] = [&["a"], &["b"], &["a", "b"]];
            let chosen: &&[&str] = prng.pick(&choices);
            world.subscribe(index, chosen);
        }
        96 => {
            world.nodes[index].core.leave();
            world.nodes[index].wants = false;
        }
        97 => {
            if let Some(laggard) = world.coordinator.laggard() {
                world.coordinator.expel(&laggard);
            }
        }
        98 => {
            let now = world.now;
            world.nodes[index].core.on_poll_overdue(now);
        }
        _ => {
            let ids = world.coordinator.member_ids();
            if !ids.is_empty() {
                let id = prng.pick(&ids).clone();
                world.coordinator.expel(&id);
            }
        }
    }
    world.check();
}
