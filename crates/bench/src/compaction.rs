//! One round of compaction over a log of overwritten keys, and what producers feel of it.

use crate::connection::Connection;
use crate::contender::{Contender, Running};
use crate::error::{BenchError, check};
use crate::load::Run;
use crate::load::latency::{Answered, Load};
use crate::{frames, process, topic};
use ottla_protocol::messages::describe_log_dirs_request::{
    DescribableLogDirTopic, DescribeLogDirsRequest,
};
use ottla_protocol::messages::describe_log_dirs_response::DescribeLogDirsResponse;
use ottla_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_protocol::messages::incremental_alter_configs_response::IncrementalAlterConfigsResponse;
use ottla_protocol::{ApiKey, Message};
use ottla_records::{BatchBuilder, Codec, Compressor};
use ottla_types::Prng;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TOPIC: &str = "overwritten";
const ALTER_VERSION: i16 = 1;
const DESCRIBE_VERSION: i16 = 2;
const TOPIC_RESOURCE: i8 = 2;
const SEGMENT_BYTES: &str = "67108864";
const RECORDS_IN_BATCH: usize = 1000;
const VALUE_SIZE: usize = 100;
/// Batches that differ; they are sent again and again.
const BATCHES: usize = 200;
const IN_FLIGHT: usize = 5;
/// Of the producers who are watched meanwhile.
const RATE: u32 = 1000;
const PARTITIONS: i32 = 8;
/// Without compaction.
const BEFORE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
/// A log that has shrunk and stays as it is for so long is done.
const DONE_AFTER: Duration = Duration::from_secs(3);
/// Nobody takes that long.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(300);

/// How much.
pub struct Options {
    /// Who is measured.
    pub contender: Contender,
    /// Folder for data.
    pub data: PathBuf,
    /// Records written.
    pub updates: usize,
    /// Different keys among them.
    pub keys: u64,
}

/// Measures and prints.
pub fn run(options: &Options) -> Result<(), BenchError> {
    let server = options.contender.start(&options.data)?;
    println!("{}", options.contender.name());
    let mut control = Connection::open(&server.bootstrap)?;
    topic::create_empty(&mut control, TOPIC, 1)?;
    // A ratio of 1 is never exceeded: nothing is cleaned until all is written.
    let dirty = "min.cleanable.dirty.ratio";
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", SEGMENT_BYTES),
        (dirty, "1"),
    ];
    alter(&mut control, &settings)?;
    write(&mut control, options)?;
    Run::new(&server.bootstrap, Some(server.pid()), 1.0).settle()?;

    let load = Load {
        rate: RATE,
        partitions: PARTITIONS,
    };
    let is_over = AtomicBool::new(false);
    let (answers, seen) = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load.run_until(&server.bootstrap, &is_over));
        let seen = watch(&server, &mut control, |control| {
            alter(control, &[(dirty, "0.01")])
        });
        is_over.store(true, Ordering::Relaxed);
        let answers = loading.join().expect("a load does not panic");
        Ok::<_, BenchError>((answers?, seen?))
    })?;
    seen.print(&answers);
    Ok(())
}

/// A moment: when it was, and the CPU seconds until then.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    cpu_seconds: f64,
}

impl Moment {
    fn now(server: &Running) -> Result<Moment, BenchError> {
        Ok(Moment {
            at: Instant::now(),
            cpu_seconds: process::cpu_seconds(server.pid())?,
        })
    }
}

/// What was seen of the round.
struct Seen {
    started: Moment,
    allowed: Moment,
    done: Moment,
    log_bytes_before: i64,
    log_bytes_after: i64,
    resident_bytes_before: u64,
    resident_bytes_max: u64,
}

/// Looks on for a while, allows the cleaner to begin, and looks until the log shrinks no more.
fn watch(
    server: &Running,
    control: &mut Connection,
    allow: impl FnOnce(&mut Connection) -> Result<(), BenchError>,
) -> Result<Seen, BenchError> {
    let started = Moment::now(server)?;
    std::thread::sleep(BEFORE);
    let log_bytes_before = log_bytes(control)?;
    let resident_bytes_before = server.resident_bytes()?;
    let allowed = Moment::now(server)?;
    allow(control)?;
    let mut seen = Seen {
        started,
        allowed,
        done: allowed,
        log_bytes_before,
        log_bytes_after: log_bytes_before,
        resident_bytes_before,
        resident_bytes_max: resident_bytes_before,
    };
    while allowed.at.elapsed() < GIVEN_UP_AFTER {
        let bytes = log_bytes(control)?;
        if bytes != seen.log_bytes_after {
            seen.log_bytes_after = bytes;
            seen.done = Moment::now(server)?;
        }
        seen.resident_bytes_max = seen.resident_bytes_max.max(server.resident_bytes()?);
        let has_shrunk = seen.log_bytes_after < log_bytes_before;
        if has_shrunk && DONE_AFTER < seen.done.at.elapsed() {
            break;
        }
        std::thread::sleep(LOOK);
    }
    Ok(seen)
}

impl Seen {
    fn print(&self, answers: &[Answered]) {
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        println!(
            "the log: {:.0} MiB before, {:.0} MiB after",
            mib(self.log_bytes_before as f64),
            mib(self.log_bytes_after as f64)
        );
        let cores = |from: Moment, to: Moment| {
            (to.cpu_seconds - from.cpu_seconds) / (to.at - from.at).as_secs_f64()
        };
        println!(
            "done after {:.1} s, at {:.2} of a core, {:.2} before",
            (self.done.at - self.allowed.at).as_secs_f64(),
            cores(self.allowed, self.done),
            cores(self.started, self.allowed)
        );
        println!(
            "at most {:.0} MiB resident, {:.0} before",
            mib(self.resident_bytes_max as f64),
            mib(self.resident_bytes_before as f64)
        );
        print_latency("before", answers, self.started, self.allowed);
        print_latency("meanwhile", answers, self.allowed, self.done);
    }
}

fn print_latency(when: &str, answers: &[Answered], from: Moment, to: Moment) {
    let within = answers.iter().filter(|a| from.at <= a.due && a.due < to.at);
    let mut took: Vec<Duration> = within.map(|answered| answered.took).collect();
    took.sort_unstable();
    let quantile = |part: f64| {
        let index = (took.len() as f64 * part) as usize;
        took.get(index.min(took.len().saturating_sub(1)))
            .map_or(f64::NAN, |took| took.as_secs_f64() * 1000.0)
    };
    println!(
        "{RATE} requests/s {when}: {} answered, p50 {:.2} ms, p99 {:.2} ms, longest {:.1} ms",
        took.len(),
        quantile(0.5),
        quantile(0.99),
        quantile(1.0)
    );
}

/// Sets the topic's configs.
fn alter(connection: &mut Connection, settings: &[(&str, &str)]) -> Result<(), BenchError> {
    let configs = settings.iter().map(|&(name, value)| AlterableConfig {
        name: name.into(),
        value: Some(value.into()),
        ..Default::default()
    });
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: TOPIC.into(),
            configs: configs.collect(),
        }],
        ..Default::default()
    };
    let key = ApiKey::IncrementalAlterConfigs;
    let code = connection.call(key, ALTER_VERSION, &request, |reader| {
        let answer = IncrementalAlterConfigsResponse::decode(reader, ALTER_VERSION)?;
        Ok(answer.responses[0].error_code)
    })?;
    check("setting configs", code)
}

fn log_bytes(connection: &mut Connection) -> Result<i64, BenchError> {
    let request = DescribeLogDirsRequest {
        topics: Some(vec![DescribableLogDirTopic {
            topic: TOPIC.into(),
            partitions: vec![0],
        }]),
    };
    connection.call(
        ApiKey::DescribeLogDirs,
        DESCRIBE_VERSION,
        &request,
        |reader| {
            let answer = DescribeLogDirsResponse::decode(reader, DESCRIBE_VERSION)?;
            let topics = answer.results.iter().flat_map(|result| &result.topics);
            Ok(topics
                .flat_map(|topic| &topic.partitions)
                .map(|p| p.partition_size)
                .sum())
        },
    )
}

/// All updates, by one connection.
fn write(connection: &mut Connection, options: &Options) -> Result<(), BenchError> {
    let mut random = Prng::new(options.keys);
    let frames: Result<Vec<_>, BenchError> = (0..BATCHES)
        .map(|_| frames::produce_to(TOPIC, 0, &updates(&mut random, options.keys), -1))
        .collect();
    let frames = frames?;
    let requests = options.updates / RECORDS_IN_BATCH;
    let mut answered = 0;
    for index in 0..requests {
        connection.send(&frames[index % frames.len()])?;
        if IN_FLIGHT <= index + 1 - answered {
            check("updates", topic::produce_error(connection.receive()?)?)?;
            answered += 1;
        }
    }
    for _ in answered..requests {
        check("updates", topic::produce_error(connection.receive()?)?)?;
    }
    Ok(())
}

/// A batch of updates of random keys.
fn updates(random: &mut Prng, keys: u64) -> Vec<u8> {
    let mut value = [0; VALUE_SIZE];
    random.fill(&mut value);
    let mut builder = BatchBuilder::new(Codec::None);
    let now = frames::now();
    for _ in 0..RECORDS_IN_BATCH {
        let key = format!("key-{}", random.below(keys));
        builder.push(now, Some(key.as_bytes()), Some(&value), &[]);
    }
    builder.finish(&mut Compressor::default())
}
