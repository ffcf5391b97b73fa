//! The console clients are Ottla's own commands with other words.

use clap::Parser;

use super::Connection;
use crate::arguments::{Arguments, Command};
use crate::commands;
use crate::failure::Failure;

/// Write a record for each line of stdin.
#[derive(Debug, Parser)]
#[command(name = "kafka-console-producer")]
pub struct ConsoleProducer {
    #[command(flatten)]
    connection: Connection,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// How lines are read: parse.key and key.separator.
    #[arg(long = "reader-property", alias = "property", value_name = "KEY=VALUE")]
    reader_properties: Vec<String>,
    /// none, gzip, snappy, lz4 or zstd; gzip if it is left open.
    #[arg(long = "compression-codec", num_args = 0..=1, default_missing_value = "gzip")]
    compression: Option<String>,
    /// Accepted; every record is waited for in any case.
    #[arg(long)]
    sync: bool,
    /// Bytes of a batch.
    #[arg(long = "batch-size")]
    batch_size: Option<usize>,
    /// Milliseconds that records wait for others of their batch.
    #[arg(long)]
    timeout: Option<u64>,
    /// How many acknowledge a record: all, 1 or 0.
    #[arg(long = "request-required-acks", allow_hyphen_values = true)]
    acks: Option<String>,
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
    /// Accepted; only the default formatter is there.
    #[arg(long)]
    formatter: Option<String>,
    /// Accepted, without effect: a record that cannot be printed does not exist.
    #[arg(long = "skip-message-on-error")]
    skip_message_on_error: bool,
    /// Begin with the first record there is.
    #[arg(long = "from-beginning")]
    from_beginning: bool,
    /// Stop after so many records.
    #[arg(long = "max-messages")]
    max_messages: Option<u64>,
    /// Read as a member of this group.
    #[arg(long)]
    group: Option<String>,
    /// Only this partition.
    #[arg(long)]
    partition: Option<i32>,
    /// Where to begin in the partition: an offset, earliest or latest.
    #[arg(long)]
    offset: Option<String>,
    /// read_committed or read_uncommitted.
    #[arg(long = "isolation-level")]
    isolation_level: Option<String>,
    /// What is printed: print.key, print.value, print.timestamp, print.partition, print.offset,
    /// key.separator, line.separator.
    #[arg(
        long = "formatter-property",
        alias = "property",
        value_name = "KEY=VALUE"
    )]
    formatter_properties: Vec<String>,
}

/// The last value of a property.
fn property<'a>(properties: &'a [String], name: &str) -> Option<&'a str> {
    let values = properties.iter().filter_map(|text| text.split_once('='));
    values
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .next_back()
}

fn is_true(properties: &[String], name: &str, default: bool) -> bool {
    property(properties, name).map_or(default, |value| value == "true")
}

/// For the format language: what stands there means itself.
fn literal(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "%%")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
}

fn ottla(words: Vec<String>, connection: &Connection) -> Result<(), Failure> {
    let mut client = connection.arguments()?;
    let program = std::iter::once("ottla".to_owned());
    // Words of our own making: if they are wrong, so was what they were made of.
    let parsed = Arguments::try_parse_from(program.chain(words)).map_err(Failure::usage)?;
    client.properties.extend(parsed.client.properties);
    match parsed.command {
        Command::Produce(produce) => commands::produce::run(produce, &client),
        Command::Consume(consume) => commands::consume::run(consume, &client),
        _ => Err(Failure::usage("only the console clients are translated")),
    }
}

pub fn produce(console: &ConsoleProducer) -> Result<(), Failure> {
    let properties = &console.reader_properties;
    let format = if is_true(properties, "parse.key", false) {
        let separator = property(properties, "key.separator").unwrap_or("\t");
        format!("%k{}%v\\n", literal(separator))
    } else {
        "%v\\n".to_owned()
    };
    let mut words = vec!["produce".to_owned(), console.topic.clone()];
    words.extend(["-f".to_owned(), format]);
    if let Some(codec) = &console.compression {
        words.extend(["-z".to_owned(), codec.clone()]);
    }
    let mut property = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("-X{name}={value}")));
    };
    property("batch.size", console.batch_size.map(|it| it.to_string()));
    property("linger.ms", console.timeout.map(|it| it.to_string()));
    property("acks", console.acks.clone());
    ottla(words, &console.connection)
}

pub fn consume(console: &ConsoleConsumer) -> Result<(), Failure> {
    if let Some(name) = &console.formatter
        && !name.ends_with("DefaultMessageFormatter")
    {
        return Err(Failure::usage(format!("there is no formatter {name}")));
    }
    let mut words = vec!["consume".to_owned()];
    words.extend(console.include.iter().map(|_| "-r".to_owned()));
    words.extend(console.topic.clone().or(console.include.clone()));
    if let Some(millis) = console.timeout_ms {
        words.extend(["--idle-timeout".to_owned(), format!("{millis}ms")]);
    }
    let start = match (&console.offset, console.from_beginning) {
        (Some(offset), _) => offset.clone(),
        (None, true) => "start".to_owned(),
        (None, false) => "end".to_owned(),
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
    if console.isolation_level.as_deref() == Some("read_committed") {
        words.push("--read-committed".to_owned());
    }
    words.extend([
        "-f".to_owned(),
        output_format(&console.formatter_properties),
    ]);
    ottla(words, &console.connection)
}

/// The parts in the order of Kafka's default formatter.
fn output_format(properties: &[String]) -> String {
    let parts = [
        ("print.timestamp", false, "CreateTime:%d"),
        ("print.partition", false, "Partition:%p"),
        ("print.offset", false, "Offset:%o"),
        ("print.headers", false, "%h"),
        ("print.key", false, "%k"),
        ("print.value", true, "%v"),
    ];
    let printed = parts
        .iter()
        .filter(|(name, default, _)| is_true(properties, name, *default));
    let formats: Vec<&str> = printed.map(|(_, _, format)| *format).collect();
    let between = literal(property(properties, "key.separator").unwrap_or("\t"));
    let end = literal(property(properties, "line.separator").unwrap_or("\n"));
    formats.join(&between) + &end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatter_properties_become_a_format() {
        let format = |texts: &[&str]| {
            output_format(
                &texts
                    .iter()
                    .map(|text| (*text).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(format(&[]), "%v\\n");
        assert_eq!(format(&["print.key=true"]), "%k\\t%v\\n");
        assert_eq!(
            format(&["print.key=true", "key.separator=%", "print.offset=true"]),
            "Offset:%o%%%k%%%v\\n"
        );
    }
}
