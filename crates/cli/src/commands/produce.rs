use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Instant;

use clap::Args;
use ottla_client::{Ack, Acks, Codec, Delivery, Producer, ProducerOptions, Record, SendError};
use ottla_types::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;

use super::topic;
use crate::client_arguments::{ClientArguments, Format};
use crate::failure::Failure;
use crate::properties::Properties;
use crate::record_format::{FORMAT_HELP, InputFormat, InputRecord, KafkaLines};
use crate::session::{Session, with_client};
use crate::time_text::format_millis;

/// Records under way before the first of them has to be answered.
const IN_FLIGHT: usize = 10_000;
/// Records that were read and not yet taken by the producer.
const READ_AHEAD: usize = 128;

/// Write records, one of the command line or one for each line of stdin.
#[derive(Debug, Args)]
#[command(after_long_help = format!("\
A format for -f is made of text and of %t %p %k %v %d %h{{…}} %H %T %K %V; a field ends where the text
behind it begins, or is as large as a size before it says: '%K{{big32}}%k%V{{big32}}%v'. With %H
headers in %h{{…}}: '%H %h{{%k=%v }}%v\\n'. %v{{json}} reads one JSON value.

{FORMAT_HELP}"))]
pub struct Produce {
    /// The topic.
    topic: String,
    /// The record's value; without it records are read from stdin.
    value: Option<String>,
    /// The key of every record.
    #[arg(short = 'k', long)]
    key: Option<String>,
    /// A header of every record; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// The partition of every record; chosen by the key by default.
    #[arg(short = 'p', long)]
    partition: Option<i32>,
    /// How records stand on stdin: '%k %v\n'. --help shows the language.
    #[arg(short = 'f', long = "input-format", default_value = "%v\\n")]
    input: String,
    /// An empty value means a null value: a tombstone.
    #[arg(short = 'Z', long)]
    tombstone: bool,
    /// How batches are compressed: none, gzip, snappy, lz4, zstd.
    #[arg(short = 'z', long, value_name = "CODEC")]
    compression: Option<String>,
    /// Fail when the topic does not exist, even if the cluster would make it.
    #[arg(long)]
    no_create: bool,
    /// As Kafka's console producer: how lines stand on stdin, instead of `input`, and nothing is told but
    /// failures.
    #[arg(skip)]
    pub console: Option<KafkaLines>,
}

pub fn run(produce: Produce, client: &ClientArguments) -> Result<(), Failure> {
    let format = client.format;
    with_client(client, async |mut session| {
        let mut options = options(produce.compression.as_deref(), &mut session)?;
        options.allow_auto_topic_creation = !produce.no_create;
        session.properties.report_rest();
        let admin = session.client.admin();
        let was_there = topic::exists(&produce.topic, &admin).await?;
        if produce.no_create && !was_there {
            return Err(topic::missing(&produce.topic, &admin).await);
        }
        let producer = session.client.producer(options);
        let template = produce.template()?;
        let outcome = match &produce.value {
            Some(value) => one(&produce, &producer, template, value, format).await,
            None => all_of_stdin(&produce, &producer, &template, format).await,
        };
        producer.close().await?;
        if outcome.is_ok() && !was_there && produce.console.is_none() {
            errln!("topic {} was made; --no-create forbids that", produce.topic);
        }
        outcome
    })
}

/// What a producer's properties say, by their Java and librdkafka names.
pub fn options(
    compression: Option<&str>,
    session: &mut Session,
) -> Result<ProducerOptions, Failure> {
    let properties = &mut session.properties;
    let mut options = ProducerOptions::default();
    let property = properties.take(&["compression.type", "compression.codec"]);
    if let Some(name) = compression.map(str::to_owned).or(property) {
        let codec = Codec::ALL.into_iter().find(|codec| codec.name() == name);
        options.codec =
            codec.ok_or_else(|| Failure::usage(format!("there is no compression '{name}'")))?;
    }
    if let Some(acks) = properties.take(&["acks", "request.required.acks"]) {
        options.acks = match acks.as_str() {
            "all" | "-1" => Acks::All,
            "1" => Acks::Leader,
            "0" => Acks::None,
            other => return Err(Failure::usage(format!("-X acks={other}: all, 1 or 0"))),
        };
    }
    read_sizes(properties, &mut options)?;
    Ok(options)
}

fn read_sizes(properties: &mut Properties, options: &mut ProducerOptions) -> Result<(), Failure> {
    if let Some(idempotent) = properties.take_parsed(&["enable.idempotence"])? {
        options.idempotent = idempotent;
    }
    if let Some(linger) = properties.take_millis(&["linger.ms", "queue.buffering.max.ms"])? {
        options.linger = linger;
    }
    if let Some(bytes) = properties.take_parsed(&["batch.size"])? {
        options.batch_bytes = bytes;
    }
    if let Some(bytes) = properties.take_parsed(&["max.request.size", "message.max.bytes"])? {
        options.request_bytes_max = bytes;
    }
    if let Some(bytes) = properties.take_parsed(&["buffer.memory"])? {
        options.buffer_bytes_max = bytes;
    }
    let timeout = ["delivery.timeout.ms", "message.timeout.ms"];
    if let Some(timeout) = properties.take_millis(&timeout)? {
        options.delivery_timeout = timeout;
    }
    Ok(())
}

impl Produce {
    /// What all records have in common.
    fn template(&self) -> Result<Record, Failure> {
        let mut record = Record::to(self.topic.as_str());
        if let Some(key) = &self.key {
            record = record.key(key.clone());
        }
        if let Some(partition) = self.partition {
            record = record.partition(partition);
        }
        for header in &self.headers {
            let Some((name, value)) = header.split_once('=') else {
                return Err(Failure::usage(format!("-H {header}: expected name=value")));
            };
            record = record.header(name.to_owned(), value.to_owned());
        }
        Ok(record)
    }

    /// What was read goes before what all have in common.
    fn filled(&self, mut record: Record, read: InputRecord) -> Record {
        if let Some(topic) = read.topic {
            record.topic = topic.into();
        }
        if let Some(key) = read.key {
            record = record.key(key);
        }
        if let Some(partition) = read.partition {
            record = record.partition(partition);
        }
        if let Some(millis) = read.timestamp {
            record = record.timestamp(Timestamp::from_millis(millis));
        }
        for (name, value) in read.headers {
            record.headers.push((name.into(), value.map(Into::into)));
        }
        match read.value {
            Some(value) => self.with_value(record, value),
            None => record,
        }
    }

    fn with_value(&self, record: Record, value: Vec<u8>) -> Record {
        if self.tombstone && value.is_empty() {
            record
        } else {
            record.value(value)
        }
    }
}

async fn one(
    produce: &Produce,
    producer: &Producer,
    template: Record,
    value: &str,
    format: Format,
) -> Result<(), Failure> {
    let record = produce.with_value(template, value.as_bytes().to_vec());
    let delivery = producer.send(record).await?;
    let offset = delivery.offset.map(|offset| offset.get());
    match format {
        Format::Json => outln!(
            "{}",
            json!({
                "topic": &*delivery.topic,
                "partition": delivery.partition,
                "offset": offset,
                "ts": format_millis(delivery.timestamp.as_millis()),
            })
        ),
        Format::Text | Format::Wide => outln!(
            "{}[{}] @ {}",
            delivery.topic,
            delivery.partition,
            offset.map_or("?".to_owned(), |offset| offset.to_string())
        ),
    }
    Ok(())
}

async fn all_of_stdin(
    produce: &Produce,
    producer: &Producer,
    template: &Record,
    format: Format,
) -> Result<(), Failure> {
    let input = match &produce.console {
        Some(lines) => InputFormat::KafkaLines(lines.clone()),
        None => InputFormat::parse(&produce.input).map_err(Failure::usage)?,
    };
    if std::io::stdin().is_terminal() {
        errln!("one record per line; Ctrl-D ends");
    }
    let started = Instant::now();
    let mut records = read_stdin(input);
    let mut unreadable = None;
    let mut under_way = VecDeque::<Ack>::new();
    let mut counts = Counts::default();
    while let Some(read) = records.recv().await {
        if under_way.len() >= IN_FLIGHT
            && let Some(ack) = under_way.pop_front()
        {
            counts.add(ack.delivered().await);
        }
        let record = match read {
            Ok(read) => produce.filled(template.clone(), read),
            Err(error) => {
                unreadable = Some(error);
                break;
            }
        };
        match producer.enqueue(record).await {
            Ok(ack) => under_way.push_back(ack),
            Err(error) => counts.add(Err(error)),
        }
    }
    for ack in under_way {
        counts.add(ack.delivered().await);
    }
    let seconds = started.elapsed().as_secs_f64();
    let Counts { written, failed } = counts;
    match format {
        Format::Json => outln!("{}", json!({ "written": written, "failed": failed })),
        Format::Text | Format::Wide if produce.console.is_some() => {}
        Format::Text | Format::Wide => errln!("{written} records written in {seconds:.2} s"),
    }
    if let Some(error) = unreadable {
        return Err(Failure::failed(error));
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::failed("1 record was not written")),
        _ => Err(Failure::failed(format!(
            "{failed} records were not written"
        ))),
    }
}

/// The records on stdin, then the reason why there are no more, if it is not the end. Stdin is read on a
/// thread of its own: while it says nothing (`tail -f log | ottla produce logs`), what it has said goes out.
fn read_stdin(mut input: InputFormat) -> mpsc::Receiver<std::io::Result<InputRecord>> {
    let (records, received) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        let mut lines = std::io::stdin().lock();
        while let Some(read) = input.read(&mut lines).transpose() {
            let is_last = read.is_err();
            if records.blocking_send(read).is_err() || is_last {
                break;
            }
        }
    });
    received
}

#[derive(Default)]
struct Counts {
    written: u64,
    failed: u64,
}

impl Counts {
    /// Only the first failure is told in full: the others mostly say the same.
    fn add(&mut self, result: Result<Delivery, SendError>) {
        match result {
            Ok(_) => self.written += 1,
            Err(error) => {
                self.failed += 1;
                if self.failed == 1 {
                    Failure::from(error).report();
                }
            }
        }
    }
}
