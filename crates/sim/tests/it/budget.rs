use ottla_sim::{Run, STEPS_DEFAULT, Totals, Trace, World};
use ottla_storage::marker::Marker;
use ottla_storage::planted::Planted;

/// Seeds of each world in CI: together under two minutes of one core.
fn seeds(world: World) -> std::ops::Range<u64> {
    match world {
        World::Journal => 0..800,
        World::Storage => 0..1500,
        World::Compaction => 0..400,
        World::Moves => 0..150,
        World::Broker => 0..800,
        World::Groups => 0..100,
        World::Clients => 0..100,
    }
}

/// Seeds that reach what the first ones do not.
fn rare(world: World) -> &'static [u64] {
    match world {
        World::Storage => &[2_006_152, 2_012_923],
        World::Journal
        | World::Compaction
        | World::Moves
        | World::Broker
        | World::Groups
        | World::Clients => &[],
    }
}

/// Runs the seeds of one world: none may fail.
fn run_all(world: World) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds(world).chain(rare(world).iter().copied()) {
        let run = Run {
            world,
            seed,
            steps: STEPS_DEFAULT,
            planted: Planted::none(),
        };
        match run.execute(Trace::quiet()) {
            Ok(report) => totals.add(&report),
            Err(failure) => panic!("{}\nrepeat with: {}", failure.violation, run.command()),
        }
    }
    for &marker in demanded(world) {
        let count = totals.sums.markers.get(&marker).copied().unwrap_or(0);
        assert!(count > 0, "{} never reaches {marker:?}", world.name());
    }
    totals
}

/// What a world reaches by itself, whatever the others do.
fn demanded(world: World) -> &'static [Marker] {
    match world {
        World::Compaction | World::Groups | World::Clients => {
            &[Marker::LogCompacted, Marker::SegmentsSwapped]
        }
        World::Journal | World::Storage | World::Moves | World::Broker => &[],
    }
}

/// Every promise holds in every seed, and everything rare happened at least once.
#[test]
fn the_budget_of_seeds_holds() {
    let sum = std::thread::scope(|scope| {
        let worlds = World::ALL.iter();
        let threads: Vec<_> = worlds
            .map(|&world| scope.spawn(move || run_all(world)))
            .collect();
        let mut sum = Totals::default();
        for thread in threads {
            let totals = thread.join();
            sum.merge(&totals.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        sum
    });
    println!("{sum}");
    let missed = sum.sums.never_reached();
    assert!(
        missed.is_empty(),
        "no seed of the budget reaches {missed:?}"
    );
    let faults = &sum.sums.faults;
    for count in [
        faults.crashes_inside,
        faults.torn_power_losses,
        faults.kills,
        faults.failed_syncs,
        faults.full_writes,
        faults.failed_operations,
        faults.would_blocks,
        faults.slow_operations,
        faults.damaged,
    ] {
        assert!(count > 0, "a fault never struck: {faults:?}");
    }
}

/// The same seed gives the same trace in two processes.
#[test]
fn same_seed_same_trace_in_two_processes() {
    for &world in World::ALL {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_sim"))
            .args(["twice", "--seed", "5", "--steps", "1000"])
            .args(["--world", world.name()])
            .output()
            .expect("it was built for this test");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {said}", world.name());
    }
}

/// The same seed gives the same trace, also a second time in the same process.
#[test]
fn same_seed_same_trace() {
    for &world in World::ALL {
        for seed in [3, 4] {
            let run = Run {
                world,
                seed,
                steps: 400,
                planted: Planted::none(),
            };
            let hash = || {
                let trace = Trace::quiet();
                let failed = run.execute(trace.clone()).is_err();
                (failed, trace.hash(), trace.count())
            };
            assert_eq!(hash(), hash(), "{}", run.command());
        }
    }
}
