//! How fast, and against whom: raw protocol load, the server's CPU beside it, and the tables of
//! docs/performance.md.
//!
//! The generator sends frames it built beforehand, so that it costs little beside the server, and
//! judges a server by CPU seconds (which repeat) rather than by seconds (which do not, on a shared
//! machine). It speaks only Kafka's protocol: any broker can be measured.

mod error;

mod connection;
mod frames;
mod memory;
mod process;

mod topic;

mod load;

mod compaction;
mod contender;
mod even_load;
mod first_record;
mod floor;
mod footprint;
mod groups;
mod restart;
mod suite;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Raw protocol load for brokers that speak Kafka.
#[derive(Parser)]
#[command(name = "ottla-bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// As many produce requests as the server takes, a fixed number in flight.
    Produce(ProduceArguments),
    /// As many bytes as the server gives to one consumer.
    Fetch(FetchArguments),
    /// Acknowledgement latency at a fixed rate of 1 KiB requests.
    Latency(LatencyArguments),
    /// From exec to the first acknowledged record, on a new directory and on an existing one.
    FirstRecord(FirstRecordArguments),
    /// kill -9 under load at the worst point, and what the restart costs.
    Restart(RestartArguments),
    /// What idle connections and idle partitions cost in memory.
    Footprint(FootprintArguments),
    /// Many partitions written evenly for minutes, then silence, then kill -9: memory, CPU, latency, bytes written.
    EvenLoad(EvenLoadArguments),
    /// A group of a thousand members, and the offsets of a hundred thousand groups.
    Groups(GroupsArguments),
    /// One round of compaction over a log of overwritten keys, and what producers feel of it.
    Compaction(CompactionArguments),
    /// The least a broker can do, as a server to measure against.
    Floor(FloorArguments),
    /// Every row of docs/performance.md, for Ottla and, where its jars are, Apache Kafka.
    Suite(SuiteArguments),
}

#[derive(Args)]
struct Target {
    /// host:port of the broker.
    #[arg(short = 'b', long, default_value = "127.0.0.1:9092")]
    bootstrap_server: String,
    /// Process whose CPU is charged; none: no CPU columns.
    #[arg(long)]
    pid: Option<u32>,
    /// How long to measure, after a warm-up of a fifth of it.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

#[derive(Args)]
struct ProduceArguments {
    #[command(flatten)]
    target: Target,
    /// Bytes of the record batch in each request.
    #[arg(long, default_value_t = 1024)]
    size: usize,
    #[arg(long, default_value_t = 16)]
    partitions: i32,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    #[arg(long, default_value_t = 5)]
    in_flight: usize,
    /// -1, 1 or 0 acknowledgements.
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    acks: i16,
}

#[derive(Args)]
struct FetchArguments {
    #[command(flatten)]
    target: Target,
    /// Bytes asked for with each request.
    #[arg(long, default_value_t = 1 << 20)]
    size: usize,
    #[arg(long, default_value_t = 16)]
    partitions: i32,
    /// Bytes written before the reading starts.
    #[arg(long, default_value_t = 1 << 30)]
    data_bytes: u64,
}

#[derive(Args)]
struct LatencyArguments {
    #[command(flatten)]
    target: Target,
    /// Requests a second, over all connections.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    #[arg(long, default_value_t = 8)]
    partitions: i32,
}

#[derive(Args)]
struct FirstRecordArguments {
    /// The broker to measure.
    #[arg(long, default_value = "target/release/ottla")]
    ottla: PathBuf,
    /// Where it keeps its data.
    #[arg(long, default_value = "target/bench-data")]
    data: PathBuf,
    /// How often.
    #[arg(long, default_value_t = 9)]
    repeats: usize,
}

#[derive(Args)]
struct RestartArguments {
    /// The broker to measure.
    #[arg(long, default_value = "target/release/ottla")]
    ottla: PathBuf,
    /// Where it keeps its data.
    #[arg(long, default_value = "target/bench-data")]
    data: PathBuf,
    /// Bytes of log before the kill.
    #[arg(long, default_value_t = 20_000_000_000)]
    log_bytes: u64,
    #[arg(long, default_value_t = 1000)]
    partitions: i32,
    /// Idempotent producers, all of which have written.
    #[arg(long, default_value_t = 10_000)]
    producers: usize,
    /// End after the kill and leave the data as it is, for another look at the start.
    #[arg(long)]
    only_kill: bool,
}

/// One server, and where it keeps its data.
#[derive(Args)]
struct ContenderArguments {
    /// The broker to measure.
    #[arg(long, default_value = "target/release/ottla")]
    ottla: PathBuf,
    /// Measure Ottla as it acknowledges what the operating system has.
    #[arg(long)]
    os: bool,
    /// Measure Apache Kafka instead, from this folder of jars.
    #[arg(long)]
    kafka_jars: Option<PathBuf>,
    /// Where it keeps its data.
    #[arg(long, default_value = "target/bench-data")]
    data: PathBuf,
}

impl ContenderArguments {
    fn contender(self) -> contender::Contender {
        match self.kafka_jars {
            Some(jars) => contender::Contender::Kafka {
                jars,
                durable: false,
            },
            None => contender::Contender::Ottla {
                binary: self.ottla,
                durability: if self.os { "os" } else { "fsync" },
            },
        }
    }
}

#[derive(Args)]
struct FootprintArguments {
    #[command(flatten)]
    whom: ContenderArguments,
    /// Idle connections; each needs a descriptor here and there.
    #[arg(long, default_value_t = 5000)]
    connections: usize,
    /// Partitions of each of two topics.
    #[arg(long, default_value_t = 10_000)]
    partitions: i32,
}

#[derive(Args)]
struct EvenLoadArguments {
    #[command(flatten)]
    whom: ContenderArguments,
    #[arg(long, default_value_t = 10_000)]
    partitions: i32,
    /// Requests a second, each one 1 KiB batch for the next partition.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    #[arg(long, default_value_t = 10.0)]
    load_minutes: f64,
    #[arg(long, default_value_t = 5.0)]
    idle_minutes: f64,
    /// Silent connections beside it.
    #[arg(long, default_value_t = 0)]
    connections: usize,
}

#[derive(Args)]
struct GroupsArguments {
    #[command(flatten)]
    whom: ContenderArguments,
    #[arg(long, default_value_t = 1000)]
    members: usize,
    /// How often all members join again.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long, default_value_t = 100_000)]
    groups: usize,
}

#[derive(Args)]
struct CompactionArguments {
    #[command(flatten)]
    whom: ContenderArguments,
    /// Records written, of 100 bytes each.
    #[arg(long, default_value_t = 10_000_000)]
    updates: usize,
    /// Different keys among them.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
}

#[derive(Args)]
struct FloorArguments {
    /// Where it keeps its files.
    #[arg(long, default_value = "target/bench-data")]
    data: PathBuf,
    /// Port on loopback.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// One fdatasync before the answers of all that wait for it.
    #[arg(long)]
    durable: bool,
}

#[derive(Args)]
struct SuiteArguments {
    /// The broker to measure.
    #[arg(long, default_value = "target/release/ottla")]
    ottla: PathBuf,
    /// Folder with Apache Kafka's jars; none: Kafka is left out.
    #[arg(long)]
    kafka_jars: Option<PathBuf>,
    /// Where the servers keep their data while they are measured.
    #[arg(long, default_value = "target/bench-data")]
    data: PathBuf,
    /// Every row of every contender once, for a second: figures to look at, not to publish.
    #[arg(long)]
    short: bool,
    /// How long each row is measured. [default: 2, short: 1]
    #[arg(long)]
    seconds: Option<f64>,
    /// How often each row is measured; the median and the spread are shown. [default: 2, short: 1]
    #[arg(long)]
    repeats: Option<usize>,
    /// No further turn is begun that would end later than this, and no row after it.
    /// [default: 40, short: 12]
    #[arg(long)]
    minutes_max: Option<f64>,
    /// Only rows whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), error::BenchError> {
    match command {
        Command::Produce(a) => {
            let load = load::produce::Load {
                batch_size: a.size,
                partitions: a.partitions,
                connections: a.connections,
                in_flight: a.in_flight,
                acks: a.acks,
            };
            let run = load::Run::new(&a.target.bootstrap_server, a.target.pid, a.target.seconds);
            println!("{}", load.run(&run)?);
        }
        Command::Fetch(a) => {
            let load = load::fetch::Load {
                fetch_size: a.size,
                partitions: a.partitions,
                data_bytes: a.data_bytes,
            };
            let run = load::Run::new(&a.target.bootstrap_server, a.target.pid, a.target.seconds);
            println!("{}", load.run(&run)?);
        }
        Command::Latency(a) => {
            let load = load::latency::Load {
                rate: a.rate,
                partitions: a.partitions,
            };
            let run = load::Run::new(&a.target.bootstrap_server, a.target.pid, a.target.seconds);
            println!("{}", load.run(&run)?);
        }
        Command::FirstRecord(a) => first_record::run(&a.ottla, &a.data, a.repeats)?,
        Command::Restart(a) => restart::run(&restart::Options {
            ottla: a.ottla,
            data: a.data,
            log_bytes: a.log_bytes,
            partitions: a.partitions,
            producers: a.producers,
            only_kill: a.only_kill,
        })?,
        Command::Footprint(a) => footprint::run(&footprint::Options {
            data: a.whom.data.clone(),
            contender: a.whom.contender(),
            connections: a.connections,
            partitions: a.partitions,
        })?,
        Command::EvenLoad(a) => even_load::run(&even_load::Options {
            data: a.whom.data.clone(),
            contender: a.whom.contender(),
            partitions: a.partitions,
            rate: a.rate,
            load_minutes: a.load_minutes,
            idle_minutes: a.idle_minutes,
            connections: a.connections,
        })?,
        Command::Groups(a) => groups::run(&groups::Options {
            data: a.whom.data.clone(),
            contender: a.whom.contender(),
            members: a.members,
            rounds: a.rounds,
            groups: a.groups,
        })?,
        Command::Compaction(a) => compaction::run(&compaction::Options {
            data: a.whom.data.clone(),
            contender: a.whom.contender(),
            updates: a.updates,
            keys: a.keys,
        })?,
        Command::Floor(a) => floor::run(&a.data, a.port, a.durable)?,
        Command::Suite(a) => suite::run(&suite_options(a))?,
    }
    Ok(())
}

fn suite_options(arguments: SuiteArguments) -> suite::Options {
    let plan = match arguments.short {
        true => suite::Plan::SHORT,
        false => suite::Plan::WHOLE,
    };
    let minutes_max = arguments.minutes_max.map(|minutes| 60.0 * minutes);
    suite::Options {
        ottla: arguments.ottla,
        kafka_jars: arguments.kafka_jars,
        data: arguments.data,
        only: arguments.only,
        plan: suite::Plan {
            seconds: arguments.seconds.unwrap_or(plan.seconds),
            repeats: arguments.repeats.unwrap_or(plan.repeats),
            time_max: minutes_max.map_or(plan.time_max, Duration::from_secs_f64),
            ..plan
        },
    }
}
