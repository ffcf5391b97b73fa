//! Seeds that failed once, by what they found.

use ottla_sim::{Run, STEPS_DEFAULT, Trace, World};
use ottla_storage::planted::Planted;

fn holds(world: World, seed: u64) {
    let run = Run {
        world,
        seed,
        steps: STEPS_DEFAULT,
        planted: Planted::none(),
    };
    if let Err(failure) = run.execute(Trace::quiet()) {
        panic!("{}\nrepeat with: {}", failure.violation, run.command());
    }
}

/// A process died between naming a ring file and syncing the name; the next one found the file, committed
/// to it, and a power cut took it away.
#[test]
fn a_ring_file_whose_name_was_not_synced_is_not_lost() {
    holds(World::Journal, 34);
}

/// A torn frame stayed at the end of a file while its number was given again in another file: the next
/// restart took the leftover for damage.
#[test]
fn a_torn_leftover_is_not_taken_for_damage() {
    holds(World::Journal, 208);
    holds(World::Journal, 233);
}

/// A checkpoint named a place in a ring file whose header was not synced: after a power cut the file
/// counted as an old one, was released, and was written over while it was in use.
#[test]
fn a_checkpoint_names_no_place_that_a_power_cut_takes_away() {
    holds(World::Journal, 1231);
}

/// A log was cut exactly where its last segment began: the place in that segment was applied to the one
/// before, whose acknowledged records went.
#[test]
fn a_truncation_to_the_start_of_a_segment_keeps_the_one_before() {
    holds(World::Storage, 5);
    holds(World::Storage, 17);
}
