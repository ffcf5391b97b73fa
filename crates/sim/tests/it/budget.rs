use ottla_sim::{Run, STEPS_DEFAULT, Totals, Trace, World};
use ottla_storage::planted::Planted;

/// Seeds of each world in CI: about a minute of one core each.
fn seeds(world: World) -> std::ops::Range<u64> {
    match world {
        World::Journal => 0..400,
        World::Storage => 0..300,
    }
}

fn run_all(world: World) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds(world) {
        let run = Run {
            world,
            seed,
            steps: STEPS_DEFAULT,
            planted: Planted::none(),
        };
        match run.execute(Trace::quiet()) {
            Ok(report) => totals.add(&report),
            Err(failure) => panic!(
                "{}\nlast steps:\n  {}\nrepeat with: {}",
                failure.violation,
                failure.recent.join("\n  "),
                run.command()
            ),
        }
    }
    totals
}

/// Every promise holds in every seed.
#[test]
fn the_budget_of_seeds_holds() {
    let totals = std::thread::scope(|scope| {
        let worlds = World::ALL.iter();
        let threads: Vec<_> = worlds
            .map(|&world| scope.spawn(move || run_all(world)))
            .collect();
        let mut sum = Totals::default();
        for thread in threads {
            let totals = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            sum.merge(&totals);
        }
        sum
    });
    println!("{totals}");
    let faults = &totals.sums.faults;
    for count in [
        faults.crashes_inside,
        faults.torn_power_losses,
        faults.kills,
        faults.failed_syncs,
        faults.full_writes,
        faults.failed_operations,
    ] {
        assert!(count > 0, "a fault never struck: {faults:?}");
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
