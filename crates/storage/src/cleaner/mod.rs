//! What compaction needs to know and remember, without any I/O: which keys have a newer record, which records stay.

mod key_hash;
mod key_map;
mod retention;

pub(crate) use key_map::KeyMap;
pub(crate) use retention::{Cleaned, LastBatches, RoundFilter, Rules};

use std::time::Duration;

/// How compaction behaves (`log.cleaner.*`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleanerOptions {
    /// `log.cleaner.enable`.
    pub is_enabled: bool,
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of one round, in bytes.
    pub dedupe_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`, in percent: how full the table of keys may get.
    pub load_percent: u8,
    /// `log.cleaner.io.max.bytes.per.second`: reads and writes together; `None` is without limit.
    pub io_bytes_per_second: Option<u64>,
    /// `log.cleaner.backoff.ms`: how long the cleaner rests when no log needs it.
    pub backoff: Duration,
    /// Makes key hashes unpredictable: whoever can choose two keys with the same hash can make one of them vanish.
    /// Production draws it at random.
    pub hash_key: [u8; 16],
}

impl Default for CleanerOptions {
    fn default() -> CleanerOptions {
        CleanerOptions {
            is_enabled: true,
            dedupe_bytes: 128 << 20,
            load_percent: 90,
            io_bytes_per_second: None,
            backoff: Duration::from_secs(15),
            hash_key: [0; 16],
        }
    }
}
