//! Kafka's tools that measure, with their words for the figures.

use std::time::Duration;

use bytes::Bytes;
use clap::{ArgGroup, Args, Parser};
use ottla_client::{Acks, ConsumerOptions, GroupOptions, OffsetReset};

use super::Connection;
use crate::client_arguments::ClientArguments;
use crate::commands::topic::whole;
use crate::commands::{bench, produce as produce_command};
use crate::failure::Failure;
use crate::load::{
    ConsumeLoad, ConsumeReport, EndToEndLoad, LatencySince, ProduceLoad, ProduceReport, megabytes,
    megabytes_per_second, rate,
};
use crate::session::with_client;
use crate::time_text::{format_millis, now_millis};

/// Write records and show how fast that is.
#[derive(Debug, Parser)]
#[command(name = "kafka-producer-perf-test")]
pub struct ProducerPerformance {
    #[command(flatten)]
    connection: Connection,
    /// Properties of the producer.
    #[arg(long = "producer-props", num_args = 1.., value_name = "KEY=VALUE")]
    producer_properties: Vec<String>,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// How many records.
    #[arg(long = "num-records")]
    count: u64,
    #[command(flatten)]
    payload: Payload,
    /// Records per second; -1 is as fast as they are taken.
    #[arg(long, allow_hyphen_values = true)]
    throughput: f64,
    /// Records at the beginning that are not counted.
    #[arg(long = "warmup-records", default_value_t = 0)]
    warmup: u64,
    /// Milliseconds between two lines.
    #[arg(long = "reporting-interval", default_value_t = 5_000)]
    interval_ms: u64,
    /// Accepted, without effect.
    #[arg(long = "print-metrics")]
    print_metrics: bool,
    /// Not built yet: transactions.
    #[arg(long = "transactional-id", value_name = "ID")]
    transactional_id: Option<String>,
    /// Not built yet: transactions.
    #[arg(long = "transaction-duration-ms", value_name = "MS")]
    transaction_duration: Option<u64>,
}

/// What is in the records.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("payload").required(true).args(["size", "file", "monotonic"]))]
struct Payload {
    /// Random letters, so many.
    #[arg(long = "record-size", value_parser = clap::value_parser!(u32).range(..=1 << 28))]
    size: Option<u32>,
    /// The parts of a file.
    #[arg(long = "payload-file", value_name = "FILE")]
    file: Option<String>,
    /// What stands between two parts of the file; the end of a line by default.
    #[arg(long = "payload-delimiter", value_name = "TEXT", default_value = "\\n")]
    delimiter: String,
    /// The record's number.
    #[arg(long = "payload-monotonic")]
    monotonic: bool,
}

impl Payload {
    fn values(&self, count: u64) -> Result<Vec<Bytes>, Failure> {
        if self.monotonic {
            let numbers = 0..count;
            return Ok(numbers
                .map(|number| Bytes::from(number.to_string()))
                .collect());
        }
        let Some(path) = &self.file else {
            return Ok(Vec::new());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::failed(format!("{path}: {error}")))?;
        let delimiter = self.delimiter.replace("\\n", "\n").replace("\\t", "\t");
        let parts = text.split(&delimiter).filter(|part| !part.is_empty());
        let values: Vec<Bytes> = parts.map(|part| Bytes::from(part.to_owned())).collect();
        match values.is_empty() {
            true => Err(Failure::failed(format!("{path}: the file is empty"))),
            false => Ok(values),
        }
    }
}

/// A client as Kafka's flags and the tool's own properties say.
fn client(connection: &Connection, more: &[String]) -> Result<ClientArguments, Failure> {
    let mut arguments = connection.arguments()?;
    arguments.properties.extend(more.iter().cloned());
    Ok(arguments)
}

pub fn produce(tool: ProducerPerformance) -> Result<(), Failure> {
    if tool.transactional_id.is_some() || tool.transaction_duration.is_some() {
        return Err(Failure::failed("transactions are not built yet"));
    }
    let values = tool.payload.values(tool.count + tool.warmup)?;
    let arguments = client(&tool.connection, &tool.producer_properties)?;
    with_client(&arguments, async |mut session| {
        let options = produce_command::options(None, &mut session)?;
        session.properties.report_rest();
        let producer = session.client.producer(options);
        let load = ProduceLoad {
            topic: tool.topic.clone(),
            count: tool.count,
            size: tool.payload.size.unwrap_or(0) as usize,
            values,
            rate: (tool.throughput > 0.0).then_some(tool.throughput),
            since: LatencySince::Sent,
            warmup: tool.warmup,
        };
        let interval = Duration::from_millis(tool.interval_ms);
        let report = load
            .run(&producer, interval, |window| {
                outln!("{}", window_line(window))
            })
            .await;
        producer.close().await?;
        outln!("{}", total_line(&report));
        match report.first_error {
            None => Ok(()),
            Some(error) => Err(Failure::failed(&error).with_hint(error.hint())),
        }
    })
}

fn window_line(window: &ProduceReport) -> String {
    format!(
        "{} records sent, {:.1} records/sec ({:.2} MB/sec), {:.1} ms avg latency, {:.1} ms max \
         latency.",
        window.written,
        rate(window.written, window.took),
        megabytes_per_second(window.bytes, window.took),
        window.latencies.mean_ms(),
        window.latencies.max_ms(),
    )
}

fn total_line(report: &ProduceReport) -> String {
    let percentile = |percent| report.latencies.percentile_ms(percent).round();
    format!(
        "{} records sent, {:.6} records/sec ({:.2} MB/sec), {:.2} ms avg latency, {:.2} ms max \
         latency, {} ms 50th, {} ms 95th, {} ms 99th, {} ms 99.9th.",
        report.written,
        rate(report.written, report.took),
        megabytes_per_second(report.bytes, report.took),
        report.latencies.mean_ms(),
        report.latencies.max_ms(),
        percentile(50.0),
        percentile(95.0),
        percentile(99.0),
        percentile(99.9),
    )
}

/// Read records and show how fast that is.
#[derive(Debug, Parser)]
#[command(name = "kafka-consumer-perf-test")]
pub struct ConsumerPerformance {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    #[arg(long, required_unless_present = "include")]
    topic: Option<String>,
    /// A regular expression for the names of the topics.
    #[arg(long, value_name = "REGEX", conflicts_with = "topic")]
    include: Option<String>,
    /// How many records.
    #[arg(long = "num-records", alias = "messages")]
    count: u64,
    /// The group to read as a member of.
    #[arg(long)]
    group: Option<String>,
    /// A group without offsets begins at the end.
    #[arg(long = "from-latest")]
    from_latest: bool,
    /// Milliseconds to wait for more records.
    #[arg(long, default_value_t = 10_000)]
    timeout: u64,
    /// Bytes of one fetch.
    #[arg(long = "fetch-size", default_value_t = 1 << 20)]
    fetch_size: usize,
    /// Do not name the columns.
    #[arg(long = "hide-header")]
    hide_header: bool,
    /// A line for each interval instead of one at the end.
    #[arg(long = "show-detailed-stats")]
    detailed: bool,
    /// Milliseconds between two lines.
    #[arg(long = "reporting-interval", default_value_t = 5_000)]
    interval_ms: u64,
    /// Only the default is there.
    #[arg(long = "date-format", value_name = "FORMAT", default_value = DATE_FORMAT)]
    date_format: String,
    /// Accepted, without effect.
    #[arg(long = "socket-buffer-size")]
    socket_buffer: Option<u64>,
    /// Accepted, without effect.
    #[arg(long = "print-metrics")]
    print_metrics: bool,
}

/// How Java writes times here.
const DATE_FORMAT: &str = "yyyy-MM-dd HH:mm:ss:SSS";

pub fn consume(tool: ConsumerPerformance) -> Result<(), Failure> {
    if tool.date_format != DATE_FORMAT {
        let what = format!(
            "--date-format {}: only {DATE_FORMAT} is there",
            tool.date_format
        );
        return Err(Failure::usage(what));
    }
    let include = tool.include.as_deref().map(whole).transpose()?;
    with_client(&client(&tool.connection, &[])?, async |session| {
        session.properties.report_rest();
        let start = now_millis();
        let group = tool.group.clone();
        let group = group.unwrap_or_else(|| format!("perf-consumer-{}", start % 100_000));
        let mut consumer = session.client.consumer(ConsumerOptions {
            group: Some(GroupOptions::new(group)),
            offset_reset: match tool.from_latest {
                true => OffsetReset::Latest,
                false => OffsetReset::Earliest,
            },
            partition_bytes_max: tool.fetch_size,
            ..ConsumerOptions::default()
        });
        match include {
            Some(regex) => consumer.subscribe_matching(move |name| regex.is_match(name))?,
            None => consumer.subscribe(tool.topic.clone())?,
        }
        let load = ConsumeLoad {
            count: tool.count,
            patience: Duration::from_millis(tool.timeout),
        };
        if tool.detailed && !tool.hide_header {
            outln!("time, threadId, {COLUMNS}");
        }
        let interval = Duration::from_millis(tool.interval_ms);
        let report = load
            .run(&mut consumer, interval, |window, all| {
                if tool.detailed {
                    outln!("{}, 0, {}", date(now_millis()), figures(window, all));
                }
            })
            .await?;
        if report.has_given_up {
            outln!(
                "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) \
                 exceeded. You can use the --timeout option to increase the timeout.",
                tool.timeout
            );
        }
        if !tool.detailed {
            if !tool.hide_header {
                outln!("start.time, end.time, {COLUMNS}");
            }
            let end = start + report.took.as_millis() as i64;
            outln!(
                "{}, {}, {}",
                date(start),
                date(end),
                figures(&report, &report)
            );
        }
        consumer.close().await.map_err(Failure::failed)
    })
}

const COLUMNS: &str = "data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                       rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";

/// How much in all, how fast in the window.
fn figures(window: &ConsumeReport, all: &ConsumeReport) -> String {
    let fetching = window.took.saturating_sub(window.joining);
    format!(
        "{:.4}, {:.4}, {}, {:.4}, {}, {}, {:.4}, {:.4}",
        megabytes(all.bytes),
        megabytes_per_second(window.bytes, window.took),
        all.records,
        rate(window.records, window.took),
        window.joining.as_millis(),
        fetching.as_millis(),
        megabytes_per_second(window.bytes, fetching),
        rate(window.records, fetching),
    )
}

/// `2026-11-23 00:21:29:980`.
fn date(millis: i64) -> String {
    let text = format_millis(millis);
    text.trim_end_matches('Z')
        .replace('T', " ")
        .replace('.', ":")
}

/// Write records one by one and wait until each was read.
#[derive(Debug, Parser)]
#[command(name = "kafka-e2e-latency")]
pub struct EndToEndLatency {
    #[command(flatten)]
    connection: Connection,
    /// The topic; it is made if it does not exist.
    #[arg(long)]
    topic: String,
    /// How many records.
    #[arg(long = "num-records")]
    count: u64,
    /// 1 or all.
    #[arg(long = "producer-acks")]
    acks: String,
    /// Bytes of a record.
    #[arg(long = "record-size", value_parser = clap::value_parser!(u32).range(..=1 << 28))]
    size: u32,
}

pub fn end_to_end(tool: EndToEndLatency) -> Result<(), Failure> {
    with_client(&client(&tool.connection, &[])?, async |mut session| {
        let mut options = produce_command::options(None, &mut session)?;
        session.properties.report_rest();
        options.linger = Duration::ZERO;
        match tool.acks.as_str() {
            "all" => {}
            "1" => {
                options.acks = Acks::Leader;
                options.idempotent = false;
            }
            _ => {
                let what = "Latency testing requires synchronous acknowledgement: 1 or all";
                return Err(Failure::usage(what));
            }
        }
        bench::make_topic(&session.client.admin(), &tool.topic, 1).await?;
        let load = EndToEndLoad {
            topic: tool.topic.clone(),
            count: tool.count,
            size: tool.size as usize,
            patience: Duration::from_secs(60),
        };
        let trips = bench::round_trips(&session.client, options, &load, |number, took| {
            if number % 1_000 == 0 {
                outln!("{number}\t{}", took.as_secs_f64() * 1000.0);
            }
        });
        let latencies = trips.await?.latencies;
        outln!("Avg latency: {:.4} ms", latencies.mean_ms());
        let percentile = |percent| latencies.percentile_ms(percent).floor();
        outln!(
            "Percentiles: 50th = {}, 99th = {}, 99.9th = {}",
            percentile(50.0),
            percentile(99.0),
            percentile(99.9)
        );
        Ok(())
    })
}
