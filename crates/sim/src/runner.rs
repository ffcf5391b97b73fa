use crate::broker_world::{BrokerWorld, ClientsWorld, GroupsWorld};
use crate::journal_world::JournalWorld;
use crate::oracle::Violation;
use crate::report::RunReport;
use crate::storage_world::StorageWorld;
use crate::trace::Trace;
use ottla_storage::planted::Planted;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Which part of the system a run drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// The journal alone.
    Journal,
    /// `LogDir` alone.
    Storage,
    /// `LogDir` alone, its logs compacted.
    Compaction,
    /// Several `LogDir`s, between which logs move.
    Moves,
    /// The broker on all of it, with clients.
    Broker,
    /// The broker on all of it, with members of a group.
    Groups,
    /// The broker on all of it, with the client crate's producers and consumers.
    Clients,
}

impl World {
    /// Every world.
    pub const ALL: &'static [World] = &[
        World::Journal,
        World::Storage,
        World::Compaction,
        World::Moves,
        World::Broker,
        World::Groups,
        World::Clients,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            World::Journal => "journal",
            World::Storage => "storage",
            World::Compaction => "compaction",
            World::Moves => "moves",
            World::Broker => "broker",
            World::Groups => "groups",
            World::Clients => "clients",
        }
    }
}

/// One run: the same values give the same run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// What is driven.
    pub world: World,
    /// Decides everything.
    pub seed: u64,
    /// How many steps the phase with faults has.
    pub steps: u64,
    /// A bug planted on purpose.
    pub planted: Planted,
}

/// Why a run failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The broken promise; a panic of the code under test is one too.
    pub violation: Violation,
    /// The last lines of the trace.
    pub recent: Vec<String>,
}

impl Run {
    /// Runs it.
    pub fn execute(self, trace: Trace) -> Result<RunReport, Box<Failure>> {
        let kept = trace.clone();
        let result = catch_unwind(AssertUnwindSafe(|| match self.world {
            World::Journal => JournalWorld::run(self.seed, self.steps, self.planted, trace),
            World::Storage => StorageWorld::run(self.seed, self.steps, self.planted, trace),
            World::Compaction => {
                StorageWorld::run_compacted(self.seed, self.steps, self.planted, trace)
            }
            World::Moves => StorageWorld::run_moving(self.seed, self.steps, self.planted, trace),
            World::Broker => BrokerWorld::run(self.seed, self.steps, self.planted, trace),
            World::Groups => GroupsWorld::run(self.seed, self.steps, self.planted, trace),
            World::Clients => ClientsWorld::run(self.seed, self.steps, self.planted, trace),
        }));
        let violation = match result {
            Ok(Ok(report)) => return Ok(report),
            Ok(Err(violation)) => violation,
            Err(panic) => Violation {
                invariant: "no panic",
                detail: panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                    .unwrap_or_default(),
            },
        };
        Err(Box::new(Failure {
            violation,
            recent: kept.recent(),
        }))
    }

    /// The command that repeats it.
    pub fn command(self) -> String {
        format!(
            "cargo run -p ottla-sim -- run --world {} --seed {} --steps {} --trace",
            self.world.name(),
            self.seed,
            self.steps
        )
    }
}
