//! Gate two: the real broker on `LogDir` and a local quorum, on one crashing disk or on several, with clients that
//! speak encoded frames.

mod clients;
mod consumer;
mod directories;
mod drives;
mod group_member;
mod groups;
mod ledger;
mod link;
mod mover;
mod node;
mod offsets_topic;
mod producer;
mod real_client;
mod site;
mod topics;
mod turns;

use crate::batch_maker::BatchMaker;
use crate::disk::{CrashKind, DiskFaults, FileClass};
use crate::hold;
use crate::large_batches::around_bytes;
use crate::oracle::Violation;
use crate::report::RunReport;
use crate::trace;
use crate::trace::Trace;
pub use clients::ClientsWorld;
use consumer::Consumer;
use drives::Drives;
pub use groups::GroupsWorld;
use ledger::Ledger;
use link::Ready;
use node::log_dir_options;
use ottla_storage::log_dir::LogDirOptions;
use ottla_storage::marker::{Marker, Markers};
use ottla_storage::planted::Planted;
use ottla_types::Prng;
use producer::{Kind, Producer};
use site::{OnSite, Site, SitePlan, in_some_runs};
use std::sync::Arc;
use topics::{Told, Topics};

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
    site: Site,
    maker: BatchMaker,
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    topics: Topics,
    ledger: Ledger,
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
        world.drive(steps)?;
        if seed % 16 == 7 {
            world.flip_quorum_log()?;
        }
        Ok(world.site.into_report())
    }

    fn new(seed: u64, planted: Planted, trace: Trace) -> BrokerWorld {
        let mut prng = Prng::new(seed ^ 0x6272_6f6b_6572);
        let faults = DiskFaults {
            would_block: *prng.pick(&[0, 20_000]),
            sync_fails: 100,
            write_fails: 50,
            write_full: 300,
            ..DiskFaults::default()
        };
        let faults = in_some_runs(faults, &mut prng);
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
        let drives = Drives::draw(seed, prng.next_u64(), &trace);
        let plan = SitePlan {
            faults,
            crashes_per_mille: *prng.pick(&[2, 5, 15]),
            storage: LogDirOptions {
                around_bytes: around_bytes(seed),
                ..log_dir_options(planted)
            },
            clients: producers.len() + consumers.len() + 1,
            compacts_offsets: false,
        };
        let topics = Topics::new(prng.chance(1, 3));
        BrokerWorld {
            site: Site::new(prng, drives, plan, trace),
            maker: BatchMaker::new(),
            producers,
            consumers,
            topics,
            ledger: Ledger::default(),
        }
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

    /// A bit of the quorum's log flips while nobody runs: the next start says so, or knows all that was
    /// acknowledged.
    fn flip_quorum_log(&mut self) -> Result<(), Violation> {
        for _ in 0..10 {
            self.everything_turns()?; // until the last frame is proven
        }
        self.stop();
        self.site.drives.reboot(CrashKind::ProcessKill);
        if self.site.drives.home().flip(FileClass::RaftLog).is_none() {
            return Ok(());
        }
        let markers = Arc::new(Markers::new());
        let started = self.site.try_start(Arc::clone(&markers));
        let found = markers.count(Marker::RaftDamageFound);
        match started {
            Ok(()) => {
                for _ in 0..20 {
                    self.everything_turns()?;
                }
                let node = self.site.node.as_ref().expect("it was just started");
                hold!(
                    node.broker.is_ready(),
                    "the node starts again",
                    "it started and does not get ready"
                );
                self.topics.check(node)
            }
            Err(error) => {
                hold!(found > 0, "the node starts again", "{error}");
                let markers = &mut self.site.report.markers;
                *markers.entry(Marker::RaftDamageFound).or_default() += found;
                Ok(())
            }
        }
    }
}

impl OnSite for BrokerWorld {
    fn site(&mut self) -> &mut Site {
        &mut self.site
    }

    fn step(&mut self) -> Result<(), Violation> {
        if self.begin_step()? {
            return Ok(());
        }
        match self.site.prng.below(100) {
            0..25 => self.producer_turn(),
            25..35 => self.consumer_turn(),
            35..38 => self.admin_turn(),
            38..60 => {
                self.site.pump();
                Ok(())
            }
            60..75 => {
                self.core_turn();
                Ok(())
            }
            75..94 => self.deliver(),
            94..96 => {
                let ms = *self.site.prng.pick(&[1, 30, 600, 7_000]);
                self.site.clock.advance_ms(ms);
                Ok(())
            }
            96 => {
                let index = self.site.any_link();
                self.disconnect(index);
                Ok(())
            }
            97 if self.site.faults.write_full > 0 => {
                let free = *self.site.prng.pick(&[0, 50_000, 200_000]);
                self.site.drives.leave_free(free);
                Ok(())
            }
            98 => {
                self.site.drives.make_room();
                Ok(())
            }
            _ => self.everything_turns(),
        }
    }

    fn after_step(&mut self) -> Result<(), Violation> {
        if !self.end_step()? {
            return Ok(());
        }
        match &self.site.node {
            Some(node) => self.topics.check(node),
            None => Ok(()),
        }
    }

    fn come_to_rest(&mut self) -> Result<(), Violation> {
        if self.site.drives.are_many() {
            self.those_there_serve()?;
        }
        self.end_faults()?;
        self.drain()?;
        self.end_moves()?;
        self.read_everything()?;
        self.check_copies()
    }

    fn disconnected(&mut self, index: usize) {
        match self.owner(index) {
            Owner::Producer(number) => self.producers[number].disconnected(),
            Owner::Consumer(number) => self.consumers[number].restart_session(),
            Owner::Admin => self.topics.disconnected(),
        }
    }

    fn hears(&mut self, index: usize, ready: &Ready, body: &[u8]) -> Result<(), Violation> {
        match self.owner(index) {
            Owner::Producer(number) => self.producer_hears(number, ready, body),
            Owner::Consumer(number) => self.consumer_hears(number, body),
            Owner::Admin => {
                if let Told::RecordsDeleted(id, to) =
                    self.topics.answered(ready.correlation, body)?
                {
                    self.ledger.deleted(id, to);
                }
                Ok(())
            }
        }
    }

    fn page_cache_lost(&mut self) {
        self.ledger.page_cache_lost();
    }
}
