use crate::cleaner::CleanerOptions;
use crate::planted::Planted;
use crate::wal::WalOptions;
use std::time::Duration;

/// How a log directory behaves. The defaults are those of storage in production; tests make everything small.
#[derive(Clone, Debug)]
pub struct LogDirOptions {
    /// The journal's options.
    pub wal: WalOptions,
    /// Tails together take at most about this much memory in bytes, what each batch takes beside its bytes included; above it the largest are written to their segments.
    pub tail_bytes_max: usize,
    /// When readers hold this many bytes of answers that are in memory, each further answer has one batch only.
    pub reader_bytes_max: usize,
    /// Tails to which nothing was appended for so long are written to their segments and synced.
    pub tail_idle: Duration,
    /// At most so many idle tails are flushed per second, and at least one.
    pub idle_flushes_per_second: u32,
    /// One write to a segment is at most about this large.
    pub write_bytes_max: usize,
    /// A tail below this many bytes is rewritten forward in the journal instead of being synced to its segment.
    pub rewrite_bytes_max: usize,
    /// ... at most so many times in a row.
    pub rewrites_max: u8,
    /// Files of large batches may hold about this many bytes before a checkpoint makes them superfluous.
    pub large_bytes_max: u64,
    /// Produce is refused when less than this, and less than `reserve_percent` of the disk, would be free.
    pub reserve_bytes: u64,
    /// See `reserve_bytes`: the larger of the two counts.
    pub reserve_percent: u8,
    /// How often free space is asked for.
    pub space_interval: Duration,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// At most so many producers are remembered in the whole directory; beyond, the longest unused go.
    pub producers_max: usize,
    /// A producer snapshot is written after so many producers of a partition changed.
    pub snapshot_producers: usize,
    /// `log.retention.check.interval.ms`.
    pub retention_interval: Duration,
    /// How many segment files stay open for reading and writing.
    pub open_files_max: usize,
    /// Sidecars of segments take at most about this many bytes of memory.
    pub units_bytes_max: usize,
    /// A batch beyond this size lies beside the journal, in a file of its own.
    pub around_bytes: usize,
    /// Bytes of segments that the scrub pump reads per second; 0 leaves contents alone.
    pub scrub_bytes_per_second: u64,
    /// How long after the start the scrub looks at names and sizes.
    pub scrub_delay: Duration,
    /// How long the scrub rests between two passes.
    pub scrub_interval: Duration,
    /// How logs are compacted.
    pub cleaner: CleanerOptions,
    /// Names beside the logs in the directory that belong to its user: the scrub does not call them foreign.
    pub known_names: Vec<String>,
    /// A fault that tests must find.
    pub planted: Planted,
}

impl Default for LogDirOptions {
    fn default() -> LogDirOptions {
        LogDirOptions {
            wal: WalOptions::default(),
            tail_bytes_max: 128 << 20,
            reader_bytes_max: 128 << 20,
            tail_idle: Duration::from_secs(30),
            idle_flushes_per_second: 500,
            write_bytes_max: 4 << 20,
            rewrite_bytes_max: 16 << 10,
            rewrites_max: 3,
            large_bytes_max: 128 << 20,
            reserve_bytes: 256 << 20,
            reserve_percent: 1,
            space_interval: Duration::from_secs(1),
            producer_expiration_ms: 86_400_000,
            producers_max: 1_000_000,
            snapshot_producers: 1_000,
            retention_interval: Duration::from_secs(300),
            open_files_max: 4_096,
            units_bytes_max: 64 << 20,
            around_bytes: 8 << 20,
            scrub_bytes_per_second: 4 << 20,
            scrub_delay: Duration::from_secs(10),
            scrub_interval: Duration::from_secs(3_600),
            cleaner: CleanerOptions::default(),
            known_names: Vec::new(),
            planted: Planted::none(),
        }
    }
}
