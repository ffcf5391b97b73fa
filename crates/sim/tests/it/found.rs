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

/// The oracle asked for what was only written after the sync of a recovery had failed and taken it.
#[test]
fn what_was_only_written_may_go_with_a_failed_sync_of_the_recovery() {
    holds(World::Journal, 7_001_917);
}

/// A checkpoint named a place in a ring file whose header was not synced: after a power cut the file
/// counted as an old one, was released, and was written over while it was in use.
#[test]
fn a_checkpoint_names_no_place_that_a_power_cut_takes_away() {
    holds(World::Journal, 1231);
}

/// A drop waited for a stalled ring, the ring for a tail, and the tail for the name of a directory that the
/// drop had not freed yet.
#[test]
fn a_stalled_ring_does_not_wait_for_a_drop_that_waits_for_it() {
    holds(World::Storage, 34);
    holds(World::Storage, 1718);
    holds(World::Storage, 1819);
    holds(World::Storage, 1862);
}

/// A checkpoint waited for the entry of a truncation, and the full ring for the checkpoint.
#[test]
fn a_stalled_ring_does_not_wait_for_a_truncation() {
    holds(World::Storage, 767);
}

/// A process died between naming a checkpoint and syncing the name. The next one trusted it and released the
/// journal before it; a power cut took the name away.
#[test]
fn a_checkpoint_whose_name_was_not_synced_is_not_relied_on() {
    holds(World::Storage, 889);
    holds(World::Storage, 1737);
}

/// DeleteRecords was answered with success when the journal went offline before its entry was written.
#[test]
fn a_deletion_of_records_that_was_not_journaled_is_refused() {
    holds(World::Broker, 88);
    holds(World::Broker, 672);
}

/// A part of the journal was damaged, and with it what said that a segment was synced; then retention removed the
/// segment, while its batches were still taken for the tail's.
#[test]
fn segments_that_retention_removed_are_not_in_the_tail_of_a_damaged_partition() {
    holds(World::Storage, 1036);
}

/// An entry that said that a segment was synced was unreadable, the one about the next segment was not.
#[test]
fn segments_before_a_synced_one_are_synced() {
    holds(World::Storage, 510);
}

/// A checkpoint held batches that were flushed behind a truncation, and the truncation's entry came after it: the
/// replay cut them off.
#[test]
fn a_checkpoint_does_not_run_ahead_of_a_truncation_that_is_replayed() {
    holds(World::Storage, 2_021_203);
}

/// The oracle took deleted records, which came back with the damage of what said so, for invented ones.
#[test]
fn records_that_damage_brings_back_were_written_once() {
    holds(World::Storage, 2_008_915);
    holds(World::Storage, 2_002_657);
}

/// The oracle wanted a log start of an `os` topic back that was only in the page cache, after a sync had failed
/// while the directory was opened: a failed sync may take away what was only written.
#[test]
fn a_failed_sync_in_recovery_may_take_what_was_only_written() {
    holds(World::Storage, 449);
    holds(World::Storage, 1317);
    holds(World::Storage, 1_001_623);
}

/// A tail lay behind damage in its own segment: it could not be flushed, pinned the journal for ever, and the full ring
/// stopped every partition.
#[test]
fn a_tail_behind_a_damaged_segment_goes_to_a_new_one() {
    holds(World::Storage, 2_012_923);
    holds(World::Storage, 2_006_152);
    holds(World::Storage, 2_021_251);
}

/// The entry that dropped a partition was unreadable: it came back without its directory, and the flush took the missing
/// directory for a failed device.
#[test]
fn a_missing_directory_is_no_failed_device() {
    holds(World::Storage, 808);
}

/// Likewise, with the directory of its interrupted removal in the way of the next one.
#[test]
fn a_removal_makes_room_for_itself() {
    holds(World::Storage, 3_010_041);
}

/// A producer snapshot was found damaged while a batch was judged, and the batch was appended nevertheless.
#[test]
fn a_partition_that_turns_out_damaged_takes_no_batch() {
    holds(World::Storage, 2_072_728);
}

/// On a good disk the scrub removed a producer snapshot that a truncation had made useless for this process, while
/// a checkpoint still named it.
#[test]
fn the_scrub_keeps_the_snapshots_that_checkpoints_name() {
    holds(World::Storage, 3_016_353);
}

/// On a good disk batches behind a truncation were synced before its entry was durable: no checkpoint could be written,
/// and the full ring waited for one.
#[test]
fn a_full_ring_does_not_wait_for_what_came_after_a_truncation() {
    holds(World::Storage, 3_010_252);
}

/// Records of an unreadable entry were looked for in a directory that still belonged to an older topic of that name.
#[test]
fn lost_records_are_not_looked_for_in_the_directory_of_another_topic() {
    holds(World::Storage, 3_023_392);
}

/// The oracle wanted of a lying disk, or of producers, more than anybody can know: proof for the last frame of a full
/// ring, bytes that no checksum covers once the sidecar is gone, sequences whose segments are deleted.
#[test]
fn the_oracle_does_not_ask_for_what_nobody_can_know() {
    holds(World::Storage, 2_012_422);
    holds(World::Storage, 3_005_394);
    holds(World::Storage, 2_006_554);
    holds(World::Storage, 3_022_571);
}

/// More than tails may hold lay behind a truncation that waited for the full ring. To free memory, work on it was begun
/// again and again, which did nothing and kept the checkpoint away that the ring waited for.
#[test]
fn a_full_ring_does_not_wait_for_memory_behind_a_truncation() {
    holds(World::Storage, 7_006_149);
    holds(World::Storage, 7_010_448);
    // The same on a good disk.
    holds(World::Storage, 6_015_598);
}

/// The oracle wanted an entry back that was only written, although a sync had failed while the journal was opened.
#[test]
fn a_failed_sync_while_the_journal_is_opened_may_take_what_was_only_written() {
    holds(World::Journal, 40_001_870);
    holds(World::Journal, 40_008_085);
}

/// The oracle's client left out a batch that had become too large for its topic, and sent the next one in the same epoch: a
/// partition that a crash has made forget the producer cannot know that something is missing.
#[test]
fn a_client_that_gives_up_a_batch_goes_on_in_a_new_epoch() {
    holds(World::Storage, 5_011_222);
}

/// A sidecar was cut and the process died before the sync. To the next one it looked right, and a power cut brought back
/// what was cut off, in the place of what had been written since: good batches were refused to readers as damaged.
#[test]
fn what_a_process_cut_from_a_sidecar_before_it_died_stays_away() {
    holds(World::Clients, 70_003_591);
}

/// A log had moved to a directory that was missing at the next start. The metadata log was heard again, an older entry named
/// the directory that the log had left, and there an empty log was made and served.
#[test]
fn a_log_that_moved_is_not_made_anew_where_it_was() {
    holds(World::Broker, 51);
    holds(World::Groups, 95);
    holds(World::Clients, 2);
}

/// A start found a move decided, and nobody woke the mover: the source stayed.
#[test]
fn a_move_that_a_start_finds_decided_comes_to_its_end() {
    holds(World::Broker, 29);
    holds(World::Broker, 122);
}
