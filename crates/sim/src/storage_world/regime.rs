use crate::disk::{DiskFaults, SyncDamage};
use ottla_types::Prng;

/// How logs are compacted in a run.
#[derive(Clone, Copy, Debug)]
pub struct CompactionRegime {
    /// Keys of all records.
    pub keys: u64,
    /// `log.cleaner.io.max.bytes.per.second`.
    pub bytes_per_second: Option<u64>,
}

/// What a seed draws once for its whole run: how small everything is and what goes wrong. Runs that
/// differ in kind find more than runs that all do a little of everything.
#[derive(Clone, Debug)]
pub struct Regime {
    /// Log directories, each on its own disk.
    pub directories: usize,
    /// Smallest number of partitions that exist, in each of them.
    pub partitions: u64,
    /// Idempotent producers per partition.
    pub producers: u64,
    /// Largest value of most records, in bytes.
    pub value_size_max: u64,
    /// Segment size of most partitions, in bytes.
    pub segment_bytes: u64,
    /// Of 1,000 steps, how many kill or cut the power.
    pub crashes_per_mille: u64,
    /// Larger batches lie beside the journal, in bytes.
    pub around_bytes: usize,
    /// Process kills only, in spite of `os` topics.
    pub kills_only: bool,
    /// Syncs and writes fail.
    pub disk_fails: bool,
    /// The disk fills up and gets room again.
    pub disk_fills: bool,
    /// Synced data is damaged.
    pub disk_lies: bool,
    /// Partitions whose records are durable when they are in the page cache.
    pub os_topics: bool,
    /// Of 1,000 steps, how many append.
    pub appends_per_mille: u64,
    /// Logs are compacted: how many keys there are, and how much memory for them.
    pub compaction: Option<CompactionRegime>,
    /// The faults of the disk while the run is in its safety phase.
    pub faults: DiskFaults,
}

impl Regime {
    /// Sectors are lost at sync, also those of the journal's last frame, which nothing later proves.
    pub(super) fn tells_unprovable_lies(&self) -> bool {
        self.faults.sync_damage != SyncDamage::default()
    }

    /// The regime of a seed.
    pub fn draw(prng: &mut Prng) -> Regime {
        let disk_fails = prng.chance(1, 4);
        let disk_fills = prng.chance(1, 4);
        let disk_lies = prng.chance(1, 5);
        let mut faults = DiskFaults {
            would_block: *prng.pick(&[0, 5_000, 50_000]),
            ..DiskFaults::default()
        };
        if prng.chance(1, 4) {
            faults.slow = 500;
            faults.slow_nanos_max = 20_000_000_000;
        }
        if disk_fails {
            faults.sync_fails = 150;
            faults.sync_full = 50;
            faults.write_fails = 50;
        }
        if disk_fills {
            faults.write_full = 300;
        }
        if disk_lies && prng.chance(1, 2) {
            faults.sync_damage = SyncDamage {
                lost_per_mille: prng.below(3),
                misdirected_per_mille: prng.below(2),
            };
        }
        Regime {
            directories: 1,
            partitions: prng.range(1, 6),
            producers: prng.range(1, 4),
            value_size_max: *prng.pick(&[20, 200, 2_000, 6_000]),
            segment_bytes: *prng.pick(&[4_096, 16_384, 65_536]),
            crashes_per_mille: *prng.pick(&[2, 5, 15, 40]),
            around_bytes: 24 << 10,
            kills_only: prng.chance(1, 6),
            disk_fails,
            disk_fills,
            disk_lies,
            os_topics: prng.chance(1, 3),
            appends_per_mille: *prng.pick(&[200, 400, 600]),
            compaction: None,
            faults,
        }
    }

    /// The regime of a seed whose logs are compacted. What a disk that lies leaves of such a log has no oracle.
    pub fn draw_compacted(prng: &mut Prng) -> Regime {
        let mut regime = Regime::draw(prng);
        regime.disk_lies = false;
        regime.faults.sync_damage = SyncDamage::default();
        regime.compaction = Some(CompactionRegime {
            keys: *prng.pick(&[2, 10, 60, 2_000]),
            bytes_per_second: *prng.pick(&[None, None, Some(100_000)]),
        });
        regime
    }

    /// The regime of a seed whose logs move between directories, some of them compacted. What a disk that lies leaves of them
    /// has no oracle.
    pub fn draw_moving(prng: &mut Prng) -> Regime {
        let mut regime = Regime::draw_compacted(prng);
        regime.directories = *prng.pick(&[2, 2, 3]);
        regime.partitions = prng.range(1, 4);
        if !prng.chance(1, 3) {
            regime.compaction = None;
        }
        regime
    }
}
