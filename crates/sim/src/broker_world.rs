//! Gate two: the real broker on `LogDir` and a local quorum, all on one crashing disk, with clients that
//! speak encoded frames.

mod consumer;
mod group_member;
mod groups;
mod ledger;
mod link;
mod node;
mod producer;
mod topics;
mod turns;

use crate::batch_maker::BatchMaker;
use crate::clock::Clock;
use crate::disk::{CrashKind, DiskFaults, FileClass, SimDisk};
use crate::hold;
use crate::large_batches::around_bytes;
use crate::oracle::Violation;
use crate::report::RunReport;
use crate::trace;
use crate::trace::Trace;
use consumer::Consumer;
pub use groups::GroupsWorld;
use ledger::Ledger;
use link::Link;
use node::{Node, log_dir_options};
use ottla_storage::log_dir::LogDirOptions;
use ottla_storage::marker::{Marker, Markers};
use ottla_storage::planted::Planted;
use ottla_types::Prng;
use producer::{Kind, Producer};
use std::sync::Arc;
use topics::Topics;

/// Versions that the clients speak; topics are named by id in them.
const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 13;

/// Who owns a link: producers first, then consumers, then the administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Producer(usize),
    Consumer(usize),
    Admin,
}

/// One run.
pub struct BrokerWorld {
    prng: Prng,
    disk: SimDisk,
    trace: Trace,
    clock: Clock,
    planted: Planted,
    around_bytes: usize,
    maker: BatchMaker,
    faults: DiskFaults,
    crashes_per_mille: u64,
    node: Option<Node>,
    lives: u64,
    links: Vec<Option<Link>>,
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    topics: Topics,
    ledger: Ledger,
    next_correlation: i32,
    /// Failed syncs before this life: a new one loses what is only in the page cache.
    failed_syncs: u64,
    report: RunReport,
}

impl BrokerWorld {
    /// Runs `steps` steps of `seed` and then lets everything come to rest.
    pub fn run(
        seed: u64,
        steps: u64,
        planted: Planted,
        trace: Trace,
    ) -> Result<RunReport, Violation> {
        let mut world = BrokerWorld::new(seed, planted, trace);
        world.start()?;
        for step in 0..steps {
            world.report.steps = step + 1;
            world.step()?;
            world.after_step()?;
        }
        world.come_to_rest()?;
        world.note_markers();
        if seed % 16 == 7 {
            world.flip_quorum_log()?;
        }
        world.report.faults = world.disk.counts();
        world.report.trace_hash = world.trace.hash();
        Ok(world.report)
    }

    fn new(seed: u64, planted: Planted, trace: Trace) -> BrokerWorld {
        let mut prng = Prng::new(seed ^ 0x6272_6f6b_6572);
        let mut faults = DiskFaults {
            would_block: *prng.pick(&[0, 20_000]),
            ..DiskFaults::default()
        };
        if prng.chance(1, 4) {
            faults.sync_fails = 100;
            faults.write_fails = 50;
        }
        if prng.chance(1, 4) {
            faults.write_full = 300;
        }
        trace!(trace, "seed {seed}: {faults:?}");
        let mut producers = Vec::new();
        for _ in 0..prng.range(1, 4) {
            producers.push(Producer::new(Kind::Idempotent));
        }
        for _ in 0..prng.range(1, 4) {
            let acks = *prng.pick(&[-1, -1, 1, 0]);
            producers.push(Producer::new(Kind::Plain { acks }));
        }
        let consumers = vec![Consumer::new(true), Consumer::new(false)];
        let links = producers.len() + consumers.len() + 1;
        BrokerWorld {
            disk: SimDisk::new(prng.next_u64(), 64 << 20, trace.clone()),
            crashes_per_mille: *prng.pick(&[2, 5, 15]),
            topics: Topics::new(prng.chance(1, 3)),
            prng,
            trace,
            clock: Clock::new(),
            planted,
            around_bytes: around_bytes(seed),
            maker: BatchMaker::new(),
            faults,
            node: None,
            lives: 0,
            links: (0..links).map(|_| None).collect(),
            producers,
            consumers,
            ledger: Ledger::default(),
            next_correlation: 0,
            failed_syncs: 0,
            report: RunReport::default(),
        }
    }

    fn storage_options(&self) -> LogDirOptions {
        LogDirOptions {
            around_bytes: self.around_bytes,
            ..log_dir_options(self.planted)
        }
    }

    /// Starts a node on what is on the disk, however often that takes.
    fn start(&mut self) -> Result<(), Violation> {
        for attempt in 0..20 {
            let is_calm = attempt >= 3;
            self.disk.set_ballast(0);
            self.disk.set_faults(match is_calm {
                true => DiskFaults::default(),
                false => self.faults.clone(),
            });
            if !is_calm && self.prng.chance(1, 5) {
                let operations = self.prng.below(60);
                self.disk.crash_after(Some(operations));
            }
            self.lives += 1;
            let now = self.clock.now();
            let storage = self.storage_options();
            match Node::start(&self.disk, self.lives, storage, Arc::default(), now) {
                Ok(node) => {
                    trace!(self.trace, "life {} begins", self.lives);
                    self.disk.crash_after(None);
                    self.disk.set_faults(self.faults.clone());
                    self.node = Some(node);
                    return Ok(());
                }
                Err(error) => {
                    trace!(self.trace, "start failed: {error}");
                    hold!(
                        !is_calm || self.disk.is_crashed(),
                        "the node starts again",
                        "{error}"
                    );
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
        let failed_syncs = self.disk.counts().failed_syncs;
        if kind == CrashKind::PowerLoss || self.failed_syncs < failed_syncs {
            self.ledger.page_cache_lost();
        }
        self.failed_syncs = failed_syncs;
        self.report.crashes += 1;
        self.disk = self.disk.reboot(kind);
    }

    /// Ends this life and starts the next.
    fn crash(&mut self) -> Result<(), Violation> {
        self.note_markers();
        for index in 0..self.links.len() {
            self.disconnect(index);
        }
        self.node = None;
        self.reboot();
        self.start()
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
            0..25 => self.producer_turn(),
            25..35 => self.consumer_turn(),
            35..38 => self.admin_turn(),
            38..60 => self.pump(),
            60..75 => self.core_turn(),
            75..94 => self.deliver(),
            94..96 => {
                let ms = *self.prng.pick(&[1, 30, 600, 7_000]);
                self.clock.advance_ms(ms);
                Ok(())
            }
            96 => {
                let index = self.prng.below(self.links.len() as u64) as usize;
                self.disconnect(index);
                Ok(())
            }
            97 if self.faults.write_full > 0 => {
                let free = *self.prng.pick(&[0, 50_000, 200_000]);
                self.disk.leave_free(free);
                Ok(())
            }
            98 => {
                self.disk.set_ballast(0);
                Ok(())
            }
            _ => self.everything_turns(),
        }
    }

    fn after_step(&mut self) -> Result<(), Violation> {
        self.clock.advance_nanos(self.disk.take_elapsed_nanos());
        if self.disk.is_crashed() {
            return self.crash();
        }
        let Some(node) = &self.node else {
            return Ok(());
        };
        if node.is_offline() && self.prng.chance(1, 10) {
            return self.crash();
        }
        self.topics.check(node)
    }

    fn owner(&self, link: usize) -> Owner {
        let consumers = self.producers.len();
        if link < consumers {
            Owner::Producer(link)
        } else if link < consumers + self.consumers.len() {
            Owner::Consumer(link - consumers)
        } else {
            Owner::Admin
        }
    }

    /// A connection ends: its client knows nothing of what was under way.
    fn disconnect(&mut self, index: usize) {
        if let (Some(link), Some(node)) = (self.links[index].take(), &self.node) {
            link.close(&node.broker);
        }
        match self.owner(index) {
            Owner::Producer(number) => self.producers[number].disconnected(),
            Owner::Consumer(number) => self.consumers[number].restart_session(),
            Owner::Admin => self.topics.disconnected(),
        }
    }

    /// A bit of the quorum's log flips while nobody runs: the next start says so, or knows all that was
    /// acknowledged.
    fn flip_quorum_log(&mut self) -> Result<(), Violation> {
        for _ in 0..10 {
            self.everything_turns()?; // until the last frame is proven
        }
        for index in 0..self.links.len() {
            self.disconnect(index);
        }
        self.node = None;
        self.disk = self.disk.reboot(CrashKind::ProcessKill);
        if self.disk.flip(FileClass::RaftLog).is_none() {
            return Ok(());
        }
        self.lives += 1;
        let markers = Arc::new(Markers::new());
        let now = self.clock.now();
        let started = Node::start(
            &self.disk,
            self.lives,
            self.storage_options(),
            Arc::clone(&markers),
            now,
        );
        let found = markers.count(Marker::RaftDamageFound);
        match started {
            Ok(node) => {
                self.node = Some(node);
                for _ in 0..20 {
                    self.everything_turns()?;
                }
                let node = self.node.as_ref().expect("it was just started");
                hold!(
                    node.broker.is_ready(),
                    "the node starts again",
                    "it started and does not get ready"
                );
                self.topics.check(node)
            }
            Err(error) => {
                hold!(found > 0, "the node starts again", "{error}");
                *self
                    .report
                    .markers
                    .entry(Marker::RaftDamageFound)
                    .or_default() += found;
                Ok(())
            }
        }
    }

    fn note_markers(&mut self) {
        let Some(node) = &self.node else { return };
        let add = |report: &mut RunReport, markers: &Markers| {
            for &marker in Marker::ALL {
                let count = markers.count(marker);
                if count > 0 {
                    *report.markers.entry(marker).or_default() += count;
                }
            }
        };
        add(&mut self.report, node.log_dir.markers());
        add(&mut self.report, &node.raft_markers);
    }
}
