//! `sim`: runs seeds of the simulator, one, many, or for a time.

use clap::{Parser, Subcommand, ValueEnum};
use ottla_sim::{Run, Totals, Trace, World};
use ottla_storage::planted::Planted;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

#[derive(Parser)]
#[command(about = "Runs the real code under faults that a seed decides")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs one seed and says what it did.
    Run(RunArguments),
    /// Runs seeds one after the other for a time.
    Soak {
        /// For how long.
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// The first seed.
        #[arg(long, default_value_t = 1_000_000)]
        from: u64,
        /// Steps of each run.
        #[arg(long, default_value_t = ottla_sim::STEPS_DEFAULT)]
        steps: u64,
        /// What to drive; all in turn when not given.
        #[arg(long)]
        world: Option<WorldArgument>,
        /// Goes on after a failure.
        #[arg(long)]
        keep_going: bool,
    },
    /// Runs one seed in two processes and compares the traces.
    Twice(RunArguments),
    /// Plants each known bug and counts the seeds until it is found; prints the table of
    /// docs/planted-bugs.md.
    #[cfg(feature = "planted-bugs")]
    Planted {
        /// How many seeds each bug gets.
        #[arg(long, default_value_t = 400)]
        seeds: u64,
        /// Only bugs whose name contains this.
        #[arg(long)]
        only: Option<String>,
    },
}

#[derive(clap::Args, Clone)]
struct RunArguments {
    /// Decides everything.
    #[arg(long)]
    seed: u64,
    /// Steps of the phase with faults.
    #[arg(long, default_value_t = ottla_sim::STEPS_DEFAULT)]
    steps: u64,
    /// What to drive.
    #[arg(long, default_value = "storage")]
    world: WorldArgument,
    /// Prints every line of the trace.
    #[arg(long)]
    trace: bool,
    /// A bug to plant, by its name.
    #[cfg(feature = "planted-bugs")]
    #[arg(long)]
    bug: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WorldArgument {
    Journal,
    Storage,
    Compaction,
    Moves,
    Broker,
    Groups,
    Clients,
}

impl From<WorldArgument> for World {
    fn from(argument: WorldArgument) -> World {
        match argument {
            WorldArgument::Journal => World::Journal,
            WorldArgument::Storage => World::Storage,
            WorldArgument::Compaction => World::Compaction,
            WorldArgument::Moves => World::Moves,
            WorldArgument::Broker => World::Broker,
            WorldArgument::Groups => World::Groups,
            WorldArgument::Clients => World::Clients,
        }
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Action::Run(arguments) => run(&arguments),
        Action::Soak {
            minutes,
            from,
            steps,
            world,
            keep_going,
        } => soak(minutes, from, steps, world.map(World::from), keep_going),
        Action::Twice(arguments) => twice(&arguments),
        #[cfg(feature = "planted-bugs")]
        Action::Planted { seeds, only } => planted(seeds, only.as_deref()),
    }
}

impl RunArguments {
    fn run(&self) -> Run {
        Run {
            world: self.world.into(),
            seed: self.seed,
            steps: self.steps,
            planted: self.planted(),
        }
    }

    #[cfg(feature = "planted-bugs")]
    fn planted(&self) -> Planted {
        let Some(name) = &self.bug else {
            return Planted::none();
        };
        let bug = ottla_storage::planted::PlantedBug::ALL
            .iter()
            .find(|bug| format!("{bug:?}").eq_ignore_ascii_case(name));
        match bug {
            Some(bug) => Planted::bug(*bug),
            None => {
                eprintln!("no such bug: {name}");
                std::process::exit(2)
            }
        }
    }

    #[cfg(not(feature = "planted-bugs"))]
    fn planted(&self) -> Planted {
        Planted::none()
    }
}

fn run(arguments: &RunArguments) -> ExitCode {
    let trace = match arguments.trace {
        true => Trace::printing(),
        false => Trace::quiet(),
    };
    match arguments.run().execute(trace.clone()) {
        Ok(report) => {
            println!("{report}");
            println!("trace {:016x} of {} lines", trace.hash(), trace.count());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if !arguments.trace {
                for line in &failure.recent {
                    eprintln!("  {line}");
                }
            }
            println!("seed {} fails: {}", arguments.seed, failure.violation);
            println!("trace {:016x} of {} lines", trace.hash(), trace.count());
            ExitCode::FAILURE
        }
    }
}

fn soak(minutes: f64, from: u64, steps: u64, world: Option<World>, keep_going: bool) -> ExitCode {
    let start = Instant::now();
    let end = Duration::from_secs_f64(minutes * 60.0);
    let mut totals = Totals::default();
    let mut failures = 0;
    std::panic::set_hook(Box::new(|_| ()));
    for seed in from.. {
        if end <= start.elapsed() {
            break;
        }
        let run = Run {
            world: world.unwrap_or(in_turn(seed)),
            seed,
            steps,
            planted: Planted::none(),
        };
        match run.execute(Trace::quiet()) {
            Ok(report) => totals.add(&report),
            Err(failure) => {
                println!(
                    "seed {seed} fails: {}\n  {}",
                    failure.violation,
                    run.command()
                );
                failures += 1;
                if !keep_going {
                    break;
                }
            }
        }
    }
    println!("{totals}");
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{failures} failures, {:.1} seeds a second",
        totals.runs as f64 / seconds
    );
    match failures {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The world of a seed when none is asked for. Not by the seed's remainder alone: others go by remainders as well.
fn in_turn(seed: u64) -> World {
    let count = World::ALL.len() as u64;
    World::ALL[((seed + seed / count) % count) as usize]
}

fn twice(arguments: &RunArguments) -> ExitCode {
    let program = std::env::current_exe().expect("a running program has a path");
    let once = || {
        let world = arguments
            .world
            .to_possible_value()
            .expect("every world has a name");
        let output = Command::new(&program)
            .args(["run", "--seed", &arguments.seed.to_string()])
            .args(["--steps", &arguments.steps.to_string()])
            .args(["--world", world.get_name()])
            .output()
            .expect("the program that runs can be run");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (first, second) = (once(), once());
    if first == second && first.contains("trace ") {
        print!("{first}");
        println!("the same in two processes");
        ExitCode::SUCCESS
    } else {
        println!("two runs differ:\n{first}\n{second}");
        ExitCode::FAILURE
    }
}

/// How the planted bugs are looked for: which world finds each, how soon, and by which invariant.
#[cfg(feature = "planted-bugs")]
fn planted(seeds: u64, only: Option<&str>) -> ExitCode {
    use ottla_storage::planted::PlantedBug;
    std::panic::set_hook(Box::new(|_| ()));
    println!("| bug | world | seeds until found | seconds | found by |");
    println!("|---|---|---|---|---|");
    let mut missed = 0;
    for bug in PlantedBug::ALL {
        let name = format!("{bug:?}");
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let start = Instant::now();
        match ottla_sim::find(*bug, seeds) {
            Some(found) => println!(
                "| {name} | {} | {} | {:.1} | {} |",
                found.world.name(),
                found.seeds,
                start.elapsed().as_secs_f64(),
                found.invariant
            ),
            None => {
                missed += 1;
                println!(
                    "| {name} | | not in {seeds} | {:.1} | |",
                    start.elapsed().as_secs_f64()
                );
            }
        }
    }
    match missed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
