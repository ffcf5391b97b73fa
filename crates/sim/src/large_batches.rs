/// Of so many seeds one has batches that are too large for its journal.
const SEEDS_COUNT: u64 = 7;
/// Which one.
const SEED: u64 = 5;

/// From how many bytes on a batch of the run is too large for the journal.
pub(crate) fn around_bytes(seed: u64) -> usize {
    match seed % SEEDS_COUNT == SEED {
        true => 1 << 10,
        false => 24 << 10,
    }
}
