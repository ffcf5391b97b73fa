use crate::runner::{Run, World};
use crate::trace::Trace;
use ottla_storage::planted::{Planted, PlantedBug};

/// How a planted bug was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// What was driven.
    pub world: World,
    /// How many seeds it took.
    pub seeds: u64,
    /// The promise that was broken.
    pub invariant: &'static str,
}

/// Runs seeds with `bug` planted until one fails, at most `seeds` of each world that can reach it.
pub fn find(bug: PlantedBug, seeds: u64) -> Option<Found> {
    let worlds = worlds(bug);
    for seed in 0..seeds {
        for &world in worlds {
            let run = Run {
                world,
                seed,
                steps: crate::STEPS_DEFAULT,
                planted: Planted::bug(bug),
            };
            if let Err(failure) = run.execute(Trace::quiet()) {
                return Some(Found {
                    world,
                    seeds: seed + 1,
                    invariant: failure.violation.invariant,
                });
            }
        }
    }
    None
}

/// Where a bug can show.
fn worlds(_bug: PlantedBug) -> &'static [World] {
    World::ALL
}
