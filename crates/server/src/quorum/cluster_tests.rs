//! The same adapter with three voters in one process: elections, crashes, members that are cut off.

use super::switchboard::Switchboard;
use super::*;
use openraft::{EmptyNode, ReadPolicy};
use ottla_metadata::QuorumStoreOptions;
use ottla_metadata::quorum::QuorumEvent;
use ottla_metadata::quorum_conformance::{Observer, first_batch};
use ottla_storage::disk::Disk;
use ottla_storage::memory_disk::MemoryDisk;
use ottla_types::{BrokerId, DirectoryId, Prng, TopicId, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc as std_mpsc;
use std::time::Instant;

const MEMBERS: usize = 3;
/// Small, so that members that were away have to be sent a snapshot.
const SNAPSHOT: u64 = 2 << 10;
const PATIENCE: Duration = Duration::from_secs(60);

fn voter(index: usize) -> Voter {
    Voter {
        node: BrokerId::new(index as i32 + 1),
        directory: DirectoryId::new(Uuid::from_bytes([index as u8 + 1; 16])),
    }
}

fn topic(number: u64) -> Record {
    let mut bytes = [1; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Record::Topic {
        name: format!("topic-{number}"),
        id: TopicId::new(Uuid::from_bytes(bytes)),
    }
}

/// What a member told: who, in which of its lives, what.
type Told = (usize, u32, QuorumEvent);

struct Node {
    disk: Arc<dyn Disk>,
    life: u32,
    quorum: Option<OpenraftQuorum>,
    observer: Observer,
    /// Images that it has told in this life: its first event is one, and of each snapshot that it is sent comes another.
    images_count: u32,
    /// Topics by the tickets of this life.
    proposed: BTreeMap<Ticket, u64>,
}

struct Cluster {
    switchboard: Switchboard,
    nodes: Vec<Node>,
    events: std_mpsc::Receiver<Told>,
    sender: std_mpsc::Sender<Told>,
    next_topic: u64,
    /// Topics whose proposals were applied under their tickets, and where.
    acknowledged: BTreeMap<u64, usize>,
    terms_led: BTreeSet<(u64, usize)>,
}

impl Cluster {
    /// The first node founds the quorum, then the others become voters.
    fn found() -> Cluster {
        let (sender, events) = std_mpsc::channel();
        let nodes = (0..MEMBERS).map(|_| Node {
            disk: Arc::new(MemoryDisk::new()),
            life: 0,
            quorum: None,
            observer: Observer::new(),
            images_count: 0,
            proposed: BTreeMap::new(),
        });
        let mut cluster = Cluster {
            switchboard: Switchboard::default(),
            nodes: nodes.collect(),
            events,
            sender,
            next_topic: 0,
            acknowledged: BTreeMap::new(),
            terms_led: BTreeSet::new(),
        };
        let (dir, options) = (Path::new("metadata"), QuorumStoreOptions::default());
        for (index, node) in cluster.nodes.iter().enumerate() {
            let disk = Arc::clone(&node.disk);
            let made = match index {
                0 => QuorumStore::create(disk, dir, &options, voter(0), &first_batch()),
                _ => QuorumStore::create_joining(disk, dir, &options, voter(index), "conformance"),
            };
            drop(made.unwrap());
        }
        (0..MEMBERS).for_each(|index| cluster.start(index));
        cluster.until("a leader of one", |cluster| cluster.leader().is_some());
        let founder = cluster.switchboard.member(voter(0)).unwrap();
        outside(async {
            for index in 1..MEMBERS {
                let added = founder.add_learner(voter(index), EmptyNode::new(), true);
                added.await.unwrap();
            }
            let all: BTreeSet<Voter> = (0..MEMBERS).map(voter).collect();
            founder.change_membership(all, false).await.unwrap();
        });
        cluster
    }

    fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.life += 1;
        node.observer = Observer::new();
        node.images_count = 0;
        node.proposed.clear();
        let (sender, life) = (self.sender.clone(), node.life);
        let sink = Box::new(move |event| drop(sender.send((index, life, event))));
        let store = QuorumStore::open(
            Arc::clone(&node.disk),
            Path::new("metadata"),
            &QuorumStoreOptions::default(),
        );
        let options = QuorumOptions {
            snapshot_entries_size: SNAPSHOT,
            proof_pause: Duration::from_millis(1),
            pace: Pace::Among {
                heartbeat: Duration::from_millis(20),
                election: Duration::from_millis(100)..Duration::from_millis(200),
            },
        };
        let port = self.switchboard.port(voter(index));
        let store = store.unwrap().expect("it was made");
        node.quorum = Some(OpenraftQuorum::start_among(store, &options, sink, port).unwrap());
    }

    fn crash(&mut self, index: usize) {
        self.switchboard.unplug(voter(index));
        self.nodes[index].quorum = None;
    }

    /// Takes one event, if there is one within `patience`.
    fn take_event(&mut self, patience: Duration) -> bool {
        let Ok((index, life, event)) = self.events.recv_timeout(patience) else {
            return false;
        };
        let node = &mut self.nodes[index];
        if life != node.life {
            return true; // Told before a crash.
        }
        node.observer.check(&event);
        match event {
            QuorumEvent::ImageReplaced { .. } => node.images_count += 1,
            QuorumEvent::Applied(applied) => {
                let number = applied
                    .ticket
                    .and_then(|ticket| node.proposed.remove(&ticket));
                self.acknowledged
                    .extend(number.map(|number| (number, index)));
            }
            QuorumEvent::Leading { term } => {
                let is_new = !self
                    .terms_led
                    .iter()
                    .any(|(led, by)| *led == term && *by != index);
                assert!(is_new, "two nodes led in term {term}");
                self.terms_led.insert((term, index));
            }
            _ => {}
        }
        true
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Cluster) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < PATIENCE, "no {what} came about");
            self.take_event(Duration::from_millis(100));
        }
    }

    /// A node that believes to lead.
    fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| node.quorum.is_some() && node.observer.leads().is_some();
        self.nodes.iter().position(leads)
    }

    /// Proposes a topic at each node that believes to lead.
    fn propose(&mut self) {
        for node in &mut self.nodes {
            let (Some(quorum), Some(term)) = (&node.quorum, node.observer.leads()) else {
                continue;
            };
            self.next_topic += 1;
            if let Ok(ticket) = quorum.propose(term, vec![topic(self.next_topic)]) {
                node.observer.proposed(ticket);
                node.proposed.insert(ticket, self.next_topic);
            }
        }
    }

    /// Where the log of a node ends that is not running.
    fn end_of(&self, index: usize) -> u64 {
        let store = QuorumStore::open(
            Arc::clone(&self.nodes[index].disk),
            Path::new("metadata"),
            &QuorumStoreOptions::default(),
        );
        store.unwrap().expect("it was made").end_index()
    }

    /// Whether every node that is running has a snapshot of more than the entries up to `index`.
    fn is_compacted_beyond(&self, index: u64) -> bool {
        let running = self.nodes.iter().filter_map(|node| node.quorum.as_ref());
        let mut snapshots = running.map(|quorum| quorum.status().snapshot_index);
        snapshots.all(|snapshot| index < snapshot)
    }

    fn has_everything(&self, node: &Node) -> bool {
        let image = node.observer.image();
        self.acknowledged
            .keys()
            .all(|number| image.topic_by_name(&format!("topic-{number}")).is_some())
    }

    /// Everybody is there and heard: something new is acknowledged, and all have the same.
    fn converge(&mut self) {
        (0..MEMBERS).for_each(|index| self.switchboard.mend(voter(index)));
        for index in 0..MEMBERS {
            if self.nodes[index].quorum.is_none() {
                self.start(index);
            }
        }
        let acknowledged = self.acknowledged.len();
        let started = Instant::now();
        while self.acknowledged.len() == acknowledged {
            assert!(
                started.elapsed() < PATIENCE,
                "nothing is acknowledged any more"
            );
            self.propose();
            self.take_event(Duration::from_millis(20));
        }
        self.until("common state", |cluster| {
            let topics = |node: &Node| {
                let image = node.observer.image();
                image
                    .topics()
                    .map(|topic| topic.id)
                    .collect::<BTreeSet<_>>()
            };
            let are_there = cluster.nodes.iter().all(|node| 0 < node.images_count);
            are_there
                && cluster.nodes.iter().all(|node| {
                    cluster.has_everything(node) && topics(node) == topics(&cluster.nodes[0])
                })
        });
        for node in &self.nodes {
            node.observer.image().check();
            let voters = node
                .quorum
                .as_ref()
                .expect("it was started")
                .status()
                .voters;
            assert_eq!(voters, (0..MEMBERS).map(voter).collect::<Vec<_>>());
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..MEMBERS).for_each(|index| self.crash(index));
    }
}

/// Runs what an operator would ask for, on a runtime of its own.
fn outside<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(work)
}

#[test]
fn three_nodes_agree_through_crashes_and_cuts() {
    for seed in 0..3 {
        let mut prng = Prng::new(seed);
        let mut cluster = Cluster::found();
        for _ in 0..150 {
            let index = prng.below(MEMBERS as u64) as usize;
            match prng.below(30) {
                0 => cluster.crash(index),
                1 => cluster.switchboard.cut(voter(index)),
                2 | 3 => {
                    cluster.switchboard.mend(voter(index));
                    if cluster.nodes[index].quorum.is_none() {
                        cluster.start(index);
                    }
                }
                4..=14 => cluster.propose(),
                _ => {
                    cluster.take_event(Duration::from_millis(10));
                }
            }
        }
        cluster.converge();
        assert!(!cluster.acknowledged.is_empty());
    }
}

#[test]
fn a_leader_that_is_cut_off_acknowledges_nothing_and_another_one_leads() {
    let mut cluster = Cluster::found();
    cluster.converge();
    cluster.until("leader", |cluster| cluster.leader().is_some());
    let old = cluster.leader().expect("it was waited for");
    cluster.switchboard.cut(voter(old));
    let first_new = cluster.next_topic + 1;
    let acknowledged = |cluster: &Cluster, is_by: fn(usize, usize) -> bool| {
        let mut since = cluster.acknowledged.range(first_new..);
        since.any(|(_, node)| is_by(*node, old))
    };
    let started = Instant::now();
    while !acknowledged(&cluster, |node, old| node != old) {
        assert!(started.elapsed() < PATIENCE, "nobody else leads");
        // At the old leader too, as long as it believes to be one.
        cluster.propose();
        cluster.take_event(Duration::from_millis(20));
    }
    assert!(!acknowledged(&cluster, |node, old| node == old));
    cluster.converge();
}

#[test]
fn a_read_is_linearizable_only_where_a_majority_is_heard() {
    let read = |member: &network::RaftMember| {
        outside(async {
            let read = member.ensure_linearizable(ReadPolicy::ReadIndex);
            let read = tokio::time::timeout(Duration::from_secs(2), read).await;
            matches!(read, Ok(Ok(_)))
        })
    };
    let mut cluster = Cluster::found();
    let started = Instant::now();
    let (leader, member) = loop {
        assert!(started.elapsed() < PATIENCE, "no leader is confirmed");
        cluster.take_event(Duration::from_millis(20));
        let leader = cluster.leader();
        let found =
            leader.and_then(|index| Some((index, cluster.switchboard.member(voter(index))?)));
        if let Some((index, member)) = found.filter(|(_, member)| read(member)) {
            break (index, member);
        }
    };
    cluster.switchboard.cut(voter(leader));
    assert!(!read(&member), "nobody confirmed that it leads");
}

/// A leader keeps the entries that it is trying to send to whom it does not hear, snapshot or not. So another one has to
/// lead when the member comes back: a follower keeps nothing. Who that is may change meanwhile; then once more.
#[test]
fn a_member_that_was_away_for_long_gets_a_snapshot() {
    let mut cluster = Cluster::found();
    cluster.converge();
    let started = Instant::now();
    let away = 1;
    loop {
        cluster.crash(away);
        let missing_from = cluster.end_of(away);
        while !cluster.is_compacted_beyond(missing_from + 1) {
            assert!(started.elapsed() < PATIENCE, "no snapshot was taken");
            cluster.propose();
            cluster.take_event(Duration::from_millis(10));
        }
        cluster.until("leader", |cluster| cluster.leader().is_some());
        let leader = cluster.leader().expect("it was waited for");
        cluster.crash(leader);
        cluster.start(away);
        cluster.until("other leader", |cluster| cluster.leader().is_some());
        cluster.converge();
        if 1 < cluster.nodes[away].images_count {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "no snapshot was sent");
    }
}
