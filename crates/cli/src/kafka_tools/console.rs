//! The console clients are Ottla's own commands with other words.

use std::path::PathBuf;

use clap::Parser;

use super::Connection;
use crate::arguments::{Arguments, Command};
use crate::client_arguments::ClientArguments;
use crate::commands;
use crate::failure::Failure;
use crate::properties::read_file;
use crate::record_format::{KafkaFormatter, KafkaLines};

/// Write a record for each line of stdin.
#[derive(Debug, Parser)]
#[command(name = "kafka-console-producer")]
pub struct ConsoleProducer {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// How lines are read: parse.key, key.separator, parse.headers, headers.delimiter,
    /// headers.separator, headers.key.separator, ignore.error, null.marker.
    #[arg(long = "reader-property", alias = "property", value_name = "KEY=VALUE")]
    reader_properties: Vec<String>,
    /// A file of reader properties.
    #[arg(long = "reader-config", value_name = "FILE")]
    reader_config: Option<PathBuf>,
    /// Accepted; only LineMessageReader is there.
    #[arg(long = "line-reader", value_name = "CLASS")]
    line_reader: Option<String>,
    /// none, gzip, snappy, lz4 or zstd; gzip if it is left open.
    #[arg(long = "compression-codec", num_args = 0..=1, default_missing_value = "gzip")]
    compression: Option<String>,
    /// Accepted; every record is waited for in any case.
    #[arg(long)]
    sync: bool,
    /// Bytes of a batch.
    #[arg(long = "batch-size")]
    batch_size: Option<usize>,
    /// The same.
    #[arg(long = "max-partition-memory-bytes")]
    partition_memory: Option<usize>,
    /// Bytes of records that wait to be sent.
    #[arg(long = "max-memory-bytes")]
    memory: Option<usize>,
    /// Milliseconds that records wait for others of their batch.
    #[arg(long)]
    timeout: Option<u64>,
    /// How many acknowledge a record: all, 1 or 0.
    #[arg(long = "request-required-acks", allow_hyphen_values = true)]
    acks: Option<String>,
    /// Milliseconds to wait for an answer.
    #[arg(long = "request-timeout-ms")]
    request_timeout: Option<u64>,
    /// Milliseconds to wait for a topic to be known.
    #[arg(long = "max-block-ms")]
    max_block: Option<u64>,
    /// Milliseconds before something is tried again.
    #[arg(long = "retry-backoff-ms")]
    retry_backoff: Option<u64>,
    /// Accepted, without effect: it is tried until delivery.timeout.ms.
    #[arg(long = "message-send-max-retries", value_name = "COUNT")]
    retries: Option<u32>,
    /// Accepted, without effect.
    #[arg(long = "metadata-expiry-ms")]
    metadata_expiry: Option<u64>,
    /// Accepted, without effect.
    #[arg(long = "socket-buffer-size")]
    socket_buffer: Option<u64>,
}

/// Print the values of records.
#[derive(Debug, Parser)]
#[command(name = "kafka-console-consumer")]
pub struct ConsoleConsumer {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    #[arg(long, required_unless_present = "include")]
    topic: Option<String>,
    /// A regular expression for the names of the topics.
    #[arg(long, alias = "whitelist", conflicts_with = "topic")]
    include: Option<String>,
    /// Stop when no record came for so many milliseconds.
    #[arg(long = "timeout-ms")]
    timeout_ms: Option<u64>,
    /// DefaultMessageFormatter or NoOpMessageFormatter; others are not there.
    #[arg(long, value_name = "CLASS")]
    formatter: Option<String>,
    /// Accepted, without effect: a record that cannot be printed does not exist.
    #[arg(long = "skip-message-on-error")]
    skip_message_on_error: bool,
    /// Begin with the first record there is.
    #[arg(long = "from-beginning", conflicts_with = "offset")]
    from_beginning: bool,
    /// Stop after so many records.
    #[arg(long = "max-messages")]
    max_messages: Option<u64>,
    /// Read as a member of this group.
    #[arg(long, conflicts_with = "partition")]
    group: Option<String>,
    /// Only this partition.
    #[arg(long, requires = "topic")]
    partition: Option<i32>,
    /// Where to begin in the partition: an offset, earliest or latest.
    #[arg(long, requires = "partition")]
    offset: Option<String>,
    /// read_committed or read_uncommitted.
    #[arg(long = "isolation-level")]
    isolation_level: Option<String>,
    /// What is printed: print.key, print.value, print.headers, print.timestamp, print.partition,
    /// print.offset, print.epoch, key.separator, line.separator, headers.separator, null.literal,
    /// key.deserializer, value.deserializer, headers.deserializer.
    #[arg(
        long = "formatter-property",
        alias = "property",
        value_name = "KEY=VALUE"
    )]
    formatter_properties: Vec<String>,
    /// A file of formatter properties.
    #[arg(long = "formatter-config", value_name = "FILE")]
    formatter_config: Option<PathBuf>,
    /// The same as the formatter property key.deserializer.
    #[arg(long = "key-deserializer", value_name = "CLASS")]
    key_deserializer: Option<String>,
    /// The same as the formatter property value.deserializer.
    #[arg(long = "value-deserializer", value_name = "CLASS")]
    value_deserializer: Option<String>,
    /// Accepted, without effect.
    #[arg(long = "enable-systest-events")]
    systest_events: bool,
}

/// The properties of a file, then those of the command line. What stands behind the `=` is taken as it is:
/// it may be a space.
fn pairs(file: Option<&PathBuf>, texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut lines = file.map_or(Ok(Vec::new()), |path| read_file(path))?;
    lines.extend_from_slice(texts);
    let pair = |line: &String| match line.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (line.clone(), String::new()),
    };
    Ok(lines.iter().map(pair).collect())
}

/// What the words mean to `ottla`, and the properties that they set.
fn ottla(
    words: Vec<String>,
    connection: &Connection,
) -> Result<(Command, ClientArguments), Failure> {
    let program = std::iter::once("ottla".to_owned());
    // Words of our own making: if they are wrong, so was what they were made of.
    let parsed = Arguments::try_parse_from(program.chain(words)).map_err(Failure::usage)?;
    let mut client = parsed.client;
    let own = connection.arguments()?;
    client.bootstrap_servers = own.bootstrap_servers;
    client.config_file = own.config_file;
    client.properties.extend(own.properties);
    Ok((parsed.command, client))
}

pub fn produce(console: &ConsoleProducer) -> Result<(), Failure> {
    if let Some(name) = &console.line_reader
        && !name.ends_with("LineMessageReader")
    {
        return Err(Failure::usage(format!("there is no reader {name}")));
    }
    let properties = pairs(console.reader_config.as_ref(), &console.reader_properties)?;
    let lines = KafkaLines::new(&properties).map_err(Failure::usage)?;
    let mut words = vec!["produce".to_owned(), console.topic.clone()];
    if let Some(codec) = &console.compression {
        words.extend(["-z".to_owned(), codec.clone()]);
    }
    let mut property = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("-X{name}={value}")));
    };
    let batch_size = console.partition_memory.or(console.batch_size);
    property("batch.size", batch_size.map(|it| it.to_string()));
    property("buffer.memory", console.memory.map(|it| it.to_string()));
    property("linger.ms", console.timeout.map(|it| it.to_string()));
    property("acks", console.acks.clone());
    let millis = |value: Option<u64>| value.map(|it| it.to_string());
    property("request.timeout.ms", millis(console.request_timeout));
    property("max.block.ms", millis(console.max_block));
    property("retry.backoff.ms", millis(console.retry_backoff));
    match ottla(words, &console.connection)? {
        (Command::Produce(mut produce), client) => {
            produce.console = Some(lines);
            commands::produce::run(produce, &client)
        }
        _ => unreachable!("the words begin with produce"),
    }
}

pub fn consume(console: &ConsoleConsumer) -> Result<(), Failure> {
    let mut words = vec!["consume".to_owned()];
    words.extend(console.include.iter().map(|_| "-r".to_owned()));
    if let Some(millis) = console.timeout_ms {
        words.extend(["--idle-timeout".to_owned(), format!("{millis}ms")]);
    }
    let start = match (console.offset.as_deref(), console.from_beginning) {
        (Some("earliest"), _) | (None, true) => "start".to_owned(),
        (Some("latest"), _) | (None, false) => "end".to_owned(),
        (Some(offset), _) => match offset.parse::<u64>() {
            Ok(offset) => offset.to_string(),
            Err(_) => {
                return Err(Failure::usage(format!(
                    "--offset {offset}: expected earliest, latest or a non-negative number"
                )));
            }
        },
    };
    words.extend(["-o".to_owned(), start]);
    if let Some(count) = console.max_messages {
        words.extend(["-n".to_owned(), count.to_string()]);
    }
    if let Some(group) = &console.group {
        words.extend(["-g".to_owned(), group.clone()]);
    }
    if let Some(partition) = console.partition {
        words.extend(["-p".to_owned(), partition.to_string()]);
    }
    match console.isolation_level.as_deref() {
        Some("read_committed") => words.push("--read-committed".to_owned()),
        None | Some("read_uncommitted") => {}
        Some(level) => {
            return Err(Failure::usage(format!(
                "--isolation-level {level}: expected read_committed or read_uncommitted"
            )));
        }
    }
    words.push("--".to_owned());
    words.extend(console.topic.clone().or(console.include.clone()));
    let formatter = formatter(console)?;
    match ottla(words, &console.connection)? {
        (Command::Consume(mut consume), client) => {
            consume.console = Some(formatter);
            commands::consume::run(consume, &client)
        }
        _ => unreachable!("the words begin with consume"),
    }
}

fn formatter(console: &ConsoleConsumer) -> Result<KafkaFormatter, Failure> {
    let named =
        |name: &str, class: &Option<String>| class.clone().map(|class| (name.to_owned(), class));
    let mut properties = Vec::new();
    properties.extend(named("key.deserializer", &console.key_deserializer));
    properties.extend(named("value.deserializer", &console.value_deserializer));
    let more = pairs(
        console.formatter_config.as_ref(),
        &console.formatter_properties,
    )?;
    properties.extend(more);
    let class = console.formatter.as_deref().unwrap_or_default();
    match class.rsplit('.').next() {
        Some("" | "DefaultMessageFormatter") => {
            KafkaFormatter::new(&properties).map_err(Failure::usage)
        }
        Some("NoOpMessageFormatter") => Ok(KafkaFormatter::silent()),
        _ => Err(Failure::usage(format!("there is no formatter {class}"))),
    }
}
