//! Gate one: `LogDir` alone on the crashing disk, every call in an order that the seed picks.

mod administration;
mod appends;
mod crash;
mod model;
mod moves;
mod place;
mod pumps;
mod reads;
mod regime;

pub use regime::Regime;

use crate::batch_maker::BatchMaker;
use crate::clock::Clock;
use crate::disk::SimDisk;
use crate::large_batches::around_bytes;
use crate::oracle::{OneValue, Violation};
use crate::report::RunReport;
use crate::trace;
use crate::trace::Trace;
use moves::Moves;
use ottla_storage::planted::Planted;
use ottla_types::Prng;
use place::Place;

/// One run.
pub struct StorageWorld {
    prng: Prng,
    regime: Regime,
    /// The directory that steps are about.
    here: Place,
    /// The others of the machine.
    others: Vec<Place>,
    moves: Moves,
    trace: Trace,
    clock: Clock,
    planted: Planted,
    maker: BatchMaker,
    one_value: OneValue,
    /// Synced bytes were damaged in this run: what is gone must be reported.
    damaged: bool,
    /// After a flip the scrub goes over everything before anybody else comes upon it; then the process ends.
    scrubs: bool,
    /// A bit of the journal flipped before anything proved that its last frame was synced.
    flipped_unproven: bool,
    /// A bit flipped in those bytes of a batch that its own checksum does not cover.
    flipped_header: bool,
    /// The power went in this run: sidecars, which are not synced with their segments, may be gone.
    sidecars_may_be_gone: bool,
    /// The power went since the last successful open.
    power_lost: bool,
    report: RunReport,
}

impl StorageWorld {
    /// Runs `steps` steps of `seed` and then lets everything come to rest.
    pub fn run(
        seed: u64,
        steps: u64,
        planted: Planted,
        trace: Trace,
    ) -> Result<RunReport, Violation> {
        StorageWorld::new(seed, planted, trace, Regime::draw).live(steps)
    }

    /// Likewise, with logs that are compacted.
    pub fn run_compacted(
        seed: u64,
        steps: u64,
        planted: Planted,
        trace: Trace,
    ) -> Result<RunReport, Violation> {
        StorageWorld::new(seed, planted, trace, Regime::draw_compacted).live(steps)
    }

    /// Likewise, with two or three directories and logs that move between them.
    pub fn run_moving(
        seed: u64,
        steps: u64,
        planted: Planted,
        trace: Trace,
    ) -> Result<RunReport, Violation> {
        StorageWorld::new(seed, planted, trace, Regime::draw_moving).live(steps)
    }

    fn live(self, steps: u64) -> Result<RunReport, Violation> {
        let mut world = self;
        world.reopen(crash::Trouble::Allowed)?;
        for step in 0..steps {
            world.report.steps = step + 1;
            world.step()?;
            world.after_step()?;
        }
        world.come_to_rest()?;
        world.each_place(|world| {
            world.note_markers();
            world.report.faults.add(&world.here.disk.counts());
            Ok(())
        })?;
        world.report.trace_hash = world.trace.hash();
        Ok(world.report)
    }

    fn new(
        seed: u64,
        planted: Planted,
        trace: Trace,
        draw: impl Fn(&mut Prng) -> Regime,
    ) -> StorageWorld {
        let mut prng = Prng::new(seed);
        let mut regime = draw(&mut prng);
        regime.around_bytes = around_bytes(seed);
        let mut maker = BatchMaker::new();
        if let Some(compaction) = regime.compaction {
            maker.use_keys(compaction.keys);
        }
        trace!(trace, "seed {seed}: {regime:?}");
        let disk = SimDisk::new(prng.next_u64(), DISK_BYTES, trace.clone());
        let others = (1..regime.directories).map(|number| {
            let disk = disk.beside(number, prng.next_u64(), DISK_BYTES);
            Place::new(number, disk)
        });
        let others = others.collect();
        StorageWorld {
            others,
            moves: Moves::new(),
            here: Place::new(0, disk),
            prng,
            regime,
            trace,
            clock: Clock::new(),
            planted,
            maker,
            one_value: OneValue::default(),
            damaged: false,
            scrubs: seed % 8 == 5,
            flipped_unproven: false,
            flipped_header: false,
            sidecars_may_be_gone: false,
            power_lost: false,
            report: RunReport::default(),
        }
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.clock.advance_nanos(self.prng.below(2_000_000));
        if 1 < self.places_count() {
            let number = self.prng.below(self.places_count() as u64) as usize;
            self.turn_to(number);
            if self.prng.chance(1, 5) {
                return self.move_turn();
            }
        }
        if self.prng.chance(self.regime.crashes_per_mille, 1000) {
            return self.crash_somehow();
        }
        if self.prng.chance(self.regime.appends_per_mille, 1000) {
            self.append_written()?;
            return self.append_something();
        }
        match self.prng.below(100) {
            0..40 => self.pump(),
            40..60 => self.read_something(),
            60..72 => self.advance_high_watermark(),
            72..76 => self.delete_records(),
            76..77 => self.truncate(),
            77..79 => self.drop_partition(),
            79..82 => self.create_missing(),
            82..84 => self.change_config(),
            84..88 => self.read_held(),
            88..91 => self.let_time_pass(),
            91..94 => self.disk_trouble(),
            94..97 => self.look_up(),
            _ => self.pump_until_idle(),
        }
    }
}

/// Room on the simulated disk, in bytes: enough for every run that does not fill it on purpose.
const DISK_BYTES: u64 = 64 << 20;
