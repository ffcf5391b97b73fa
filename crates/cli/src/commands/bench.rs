//! What a cluster does under load, seen from here.

use std::time::Duration;

use clap::{Args, Subcommand};
use ottla_client::{
    Admin, Client, Consumer, ConsumerOptions, IsolationLevel, NewTopic, OffsetQuery, PartitionKey,
    ProducerOptions, StartOffset,
};
use ottla_types::ErrorCode;
use serde_json::json;

use super::group::partitions_of;
use super::produce;
use crate::client_arguments::{ClientArguments, Format};
use crate::failure::Failure;
use crate::load::{
    ConsumeLoad, EndToEndLoad, Latencies, LatencySince, ProduceLoad, megabytes,
    megabytes_per_second, rate,
};
use crate::output::{counted, print_json};
use crate::session::with_client;

/// How often figures are shown under way.
const INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Write records as fast as they are taken, or at a rate.
    Produce(ProduceBench),
    /// Read what is in a topic.
    Consume(ConsumeBench),
    /// Write records one by one, and wait until each was read.
    E2e(EndToEndBench),
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --rate a record's time begins when its turn was, even if it had to wait for others: a stall is
seen in every record that it delayed.")]
pub struct ProduceBench {
    /// The topic; it is made if it does not exist.
    topic: String,
    /// How many records.
    #[arg(short = 'n', long = "num", default_value_t = 100_000)]
    count: u64,
    /// Bytes of a record.
    #[arg(short = 's', long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(..=1 << 28))]
    size: u32,
    /// Records per second.
    #[arg(long)]
    rate: Option<f64>,
    /// Records at the beginning that are not counted.
    #[arg(long, default_value_t = 0)]
    warmup: u64,
    /// How batches are compressed: none, gzip, snappy, lz4, zstd.
    #[arg(short = 'z', long, value_name = "CODEC")]
    compression: Option<String>,
    /// Partitions, if the topic is made.
    #[arg(short = 'p', long, default_value_t = 1)]
    partitions: i32,
}

#[derive(Debug, Args)]
pub struct ConsumeBench {
    /// The topic.
    topic: String,
    /// How many records; all there are by default.
    #[arg(short = 'n', long = "num")]
    count: Option<u64>,
}

#[derive(Debug, Args)]
pub struct EndToEndBench {
    /// The topic; it is made if it does not exist.
    topic: String,
    /// How many records.
    #[arg(short = 'n', long = "num", default_value_t = 1_000)]
    count: u64,
    /// Bytes of a record.
    #[arg(short = 's', long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(..=1 << 28))]
    size: u32,
}

pub fn run(command: BenchCommand, client: &ClientArguments) -> Result<(), Failure> {
    match command {
        BenchCommand::Produce(bench) => bench_produce(&bench, client),
        BenchCommand::Consume(bench) => bench_consume(&bench, client),
        BenchCommand::E2e(bench) => bench_end_to_end(&bench, client),
    }
}

fn bench_produce(bench: &ProduceBench, client: &ClientArguments) -> Result<(), Failure> {
    let format = client.format;
    if bench
        .rate
        .is_some_and(|rate| !rate.is_finite() || rate <= 0.0)
    {
        return Err(Failure::usage("--rate: expected a positive number"));
    }
    with_client(client, async |mut session| {
        let options = produce::options(bench.compression.as_deref(), &mut session)?;
        session.properties.report_rest();
        make_topic(&session.client.admin(), &bench.topic, bench.partitions).await?;
        let producer = session.client.producer(options);
        let load = ProduceLoad {
            topic: bench.topic.clone(),
            count: bench.count,
            size: bench.size as usize,
            values: Vec::new(),
            rate: bench.rate,
            since: LatencySince::Due,
            warmup: bench.warmup,
        };
        let report = load
            .run(&producer, INTERVAL, |window| {
                let (records, worst) =
                    (rate(window.written, window.took), window.latencies.max_ms());
                errln!("{records:.0} records/s, at most {worst:.2} ms");
            })
            .await;
        producer.close().await?;
        let took = report.took;
        match format {
            Format::Json => print_json(
                "bench.produce",
                json!({
                    "records": report.written,
                    "failed": report.failed,
                    "bytes": report.bytes,
                    "seconds": took.as_secs_f64(),
                    "records_per_second": rate(report.written, took),
                    "latency_ms": latency_json(&report.latencies),
                }),
            ),
            Format::Text | Format::Wide => {
                print_throughput("written", report.written, report.bytes, took);
                print_latencies(&report.latencies);
            }
        }
        match report.first_error {
            None => Ok(()),
            Some(error) => Err(Failure::failed(format!(
                "{} records were not written: {error}",
                report.failed
            ))
            .with_hint(error.hint())),
        }
    })
}

fn bench_consume(bench: &ConsumeBench, client: &ClientArguments) -> Result<(), Failure> {
    let format = client.format;
    with_client(client, async |session| {
        session.properties.report_rest();
        let admin = session.client.admin();
        let keys = partitions_of(&admin, std::slice::from_ref(&bench.topic)).await?;
        let there = count_of(&admin, &keys).await?;
        let count = bench.count.unwrap_or(there);
        let mut consumer = session.client.consumer(ConsumerOptions::default());
        for key in &keys {
            consumer.assign(key.topic.clone(), key.partition, StartOffset::Earliest);
        }
        let load = ConsumeLoad {
            count,
            patience: Duration::from_secs(10),
        };
        let report = load.run(&mut consumer, Duration::MAX, |_, _| {}).await?;
        match format {
            Format::Json => print_json(
                "bench.consume",
                json!({
                    "records": report.records,
                    "bytes": report.bytes,
                    "seconds": report.took.as_secs_f64(),
                    "records_per_second": rate(report.records, report.took),
                    "first_record_ms": report.joining.as_secs_f64() * 1000.0,
                }),
            ),
            Format::Text | Format::Wide => {
                print_throughput("read", report.records, report.bytes, report.took);
                outln!(
                    "first record after {:.2} ms",
                    report.joining.as_secs_f64() * 1000.0
                );
            }
        }
        match report.has_given_up {
            false => Ok(()),
            true => Err(Failure::failed(format!(
                "only {} of {count} records came",
                report.records
            ))),
        }
    })
}

fn bench_end_to_end(bench: &EndToEndBench, client: &ClientArguments) -> Result<(), Failure> {
    let format = client.format;
    with_client(client, async |mut session| {
        let mut options = produce::options(None, &mut session)?;
        options.linger = Duration::ZERO;
        session.properties.report_rest();
        make_topic(&session.client.admin(), &bench.topic, 1).await?;
        let load = EndToEndLoad {
            topic: bench.topic.clone(),
            count: bench.count,
            size: bench.size as usize,
            patience: Duration::from_secs(30),
        };
        let trips = round_trips(&session.client, options, &load, |_, _| {}).await?;
        match format {
            Format::Json => print_json(
                "bench.e2e",
                json!({
                    "records": bench.count,
                    "seconds": trips.took.as_secs_f64(),
                    "latency_ms": latency_json(&trips.latencies),
                }),
            ),
            Format::Text | Format::Wide => print_latencies(&trips.latencies),
        }
        Ok(())
    })
}

/// Runs the load with a consumer that stands at the end of every partition.
pub async fn round_trips(
    client: &Client,
    options: ProducerOptions,
    load: &EndToEndLoad,
    on_record: impl FnMut(u64, Duration),
) -> Result<crate::load::RoundTrips, Failure> {
    let admin = client.admin();
    let keys = partitions_of(&admin, std::slice::from_ref(&load.topic)).await?;
    let mut consumer = client.consumer(ConsumerOptions::default());
    assign_ends(&mut consumer, &admin, &keys).await?;
    let producer = client.producer(options);
    let trips = load.run(&producer, &mut consumer, on_record).await?;
    producer.close().await?;
    Ok(trips)
}

async fn assign_ends(
    consumer: &mut Consumer,
    admin: &Admin,
    keys: &[PartitionKey],
) -> Result<(), Failure> {
    let queries: Vec<_> = keys
        .iter()
        .map(|key| (key.clone(), OffsetQuery::Latest))
        .collect();
    let ends = admin
        .list_offsets(&queries, IsolationLevel::ReadUncommitted)
        .await?;
    for (key, end) in ends {
        let end = end.map_err(|error| Failure::item(&key.to_string(), &error))?;
        let start = end.offset.map_or(StartOffset::Latest, StartOffset::At);
        consumer.assign(key.topic.clone(), key.partition, start);
    }
    Ok(())
}

/// Makes the topic unless it is there.
pub async fn make_topic(admin: &Admin, name: &str, partitions: i32) -> Result<(), Failure> {
    let new = NewTopic::new(name).partitions(partitions);
    for (name, result) in admin.create_topics(&[new]).await? {
        match result {
            Ok(_) => {
                let partitions = counted(partitions.into(), "partition");
                errln!("topic {name} is made with {partitions}");
            }
            Err(error) if error.code == ErrorCode::TopicAlreadyExists => {}
            Err(error) => return Err(Failure::item(&name, &error)),
        }
    }
    Ok(())
}

/// Offsets between the first and the end, which is more than records if some are missing.
async fn count_of(admin: &Admin, keys: &[PartitionKey]) -> Result<u64, Failure> {
    let starts = super::group::look_up(admin, keys, OffsetQuery::Earliest).await?;
    let ends = super::group::look_up(admin, keys, OffsetQuery::Latest).await?;
    let count = |key| Some(ends.get(key)? - starts.get(key)?);
    Ok(keys.iter().filter_map(count).sum::<i64>().max(0) as u64)
}

fn print_throughput(what: &str, records: u64, bytes: u64, took: Duration) {
    outln!(
        "{records} records, {:.1} MB {what} in {:.3} s: {:.0} records/s, {:.1} MB/s",
        megabytes(bytes),
        took.as_secs_f64(),
        rate(records, took),
        megabytes_per_second(bytes, took),
    );
}

const PERCENTILES: [(&str, f64); 5] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("max", 100.0),
];

fn print_latencies(latencies: &Latencies) {
    let parts = PERCENTILES
        .map(|(name, percent)| format!("{name} {:.2}", latencies.percentile_ms(percent)));
    outln!(
        "latency in ms: mean {:.2}, {}",
        latencies.mean_ms(),
        parts.join(", ")
    );
}

fn latency_json(latencies: &Latencies) -> serde_json::Value {
    let mut row = json!({ "mean": latencies.mean_ms() });
    for (name, percent) in PERCENTILES {
        row[name] = json!(latencies.percentile_ms(percent));
    }
    row
}
