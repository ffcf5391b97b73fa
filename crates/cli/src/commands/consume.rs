mod group;

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use clap::Args;
use ottla_client::{
    Admin, ApiError, ConsumedRecord, Consumer, ConsumerOptions, IsolationLevel, OffsetQuery,
    PartitionKey, PartitionProgress, StartOffset,
};
use ottla_types::{ErrorCode, Offset, Timestamp};

use super::topic::{matching_topics, missing};
use crate::client_arguments::{ClientArguments, Format};
use crate::failure::Failure;
use crate::offset_range::{End, OffsetRange, Start};
use crate::record_format::{FORMAT_HELP, KafkaFormatter, OutputFormat, Printed};
use crate::record_json::write_json;
use crate::session::{Session, with_client};
use crate::where_expression::{WHERE_HELP, WhereExpression};

/// How long to wait for records before looking again whether there is something else to do.
const POLL: Duration = Duration::from_millis(500);

/// Read records.
#[derive(Debug, Args)]
#[command(after_long_help = format!("\
Without -f each record is a line of JSON. A format is made of text and of

{FORMAT_HELP}

A condition for --where:

{WHERE_HELP}"))]
pub struct Consume {
    /// The topics.
    #[arg(required = true)]
    topics: Vec<String>,
    /// The topics are regular expressions, and all that match as a whole are read.
    #[arg(short = 'r', long)]
    regex: bool,
    /// From where, and to where: start, end, an offset, -N (N before the end), +N (N after the
    /// start), @TIME, each with :end, :OFFSET or :@TIME behind it to stop there. @-1h is an hour ago.
    #[arg(short = 'o', long, default_value = "start", allow_hyphen_values = true)]
    offset: String,
    /// Read as a member of this group: what other members do not read, from where the group has come
    /// to; -o says where it begins if it has not begun. Commits what was printed.
    #[arg(short = 'g', long, conflicts_with = "partitions")]
    group: Option<String>,
    /// Only these partitions; may be given several times.
    #[arg(short = 'p', long = "partition")]
    partitions: Vec<i32>,
    /// Stop after so many records.
    #[arg(short = 'n', long = "num")]
    count: Option<u64>,
    /// Stop at what is the end when the command starts; the same as :end.
    #[arg(short = 'e', long = "exit")]
    until_end: bool,
    /// Stop when no record came for so long: 500ms, 10s, 2m.
    #[arg(long, value_name = "TIME", value_parser = crate::time_text::parse_span)]
    idle_timeout: Option<Duration>,
    /// How records are printed: '%k %v\n'. --help shows the language.
    #[arg(short = 'f', long = "output-format", value_name = "FORMAT")]
    output: Option<String>,
    /// The same in kcat's language: '%k %s\n'.
    #[arg(long, value_name = "FORMAT", conflicts_with = "output")]
    kcat_format: Option<String>,
    /// Only records for which this holds: 'value.eur > 10'. --help shows the language.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Only records of committed transactions.
    #[arg(long)]
    read_committed: bool,
    /// Keys, values and headers are not printed, only where and when and how large.
    #[arg(long)]
    meta_only: bool,
    /// As Kafka's console consumer: records are printed by this, topics that do not exist are waited
    /// for, and how many records there were is told.
    #[arg(skip)]
    pub console: Option<KafkaFormatter>,
}

pub fn run(consume: Consume, client: &ClientArguments) -> Result<(), Failure> {
    let mut printer = Printer::new(&consume, client.format)?;
    let is_console = consume.console.is_some();
    let outcome = with_client(client, async |session| {
        run_with(consume, session, &mut printer).await
    });
    if is_console {
        errln!("Processed a total of {} messages", printer.count);
    }
    outcome
}

async fn run_with(
    mut consume: Consume,
    mut session: Session,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let mut range: OffsetRange = consume.offset.parse().map_err(Failure::usage)?;
    if consume.until_end {
        range.end.get_or_insert(End::Latest);
    }
    let mut options = options(&consume, &mut session)?;
    let admin = session.client.admin();
    if consume.console.is_some() && !wait_for_topics(&consume, &admin).await? {
        return Ok(());
    }
    if consume.regex && consume.group.is_none() {
        consume.topics = matching(&consume.topics, &admin).await?;
    }
    if let Some(group_id) = &consume.group {
        options.group = Some(group::options(group_id, &mut session.properties)?);
        options.offset_reset = group::reset(&range)?;
        session.properties.report_rest();
        let topics = group::Topics::new(&consume.topics, consume.regex)?;
        let (client, until_end) = (&session.client, range.end.is_some());
        return group::read(client, options, topics, until_end, consume.count, printer).await;
    }
    session.properties.report_rest();
    let isolation = options.isolation;
    let mut consumer = session.client.consumer(options);
    let keys = partitions(&consume, &admin).await?;
    let mut ends = Ends::look_up(&keys, range.end, &admin, isolation).await?;
    let starts = starts(&keys, range.start, &admin, isolation).await?;
    for (key, start, start_offset) in starts {
        if ends.is_empty_from(&key, start_offset) {
            ends.reached(&key);
        } else {
            consumer.assign(key.topic.clone(), key.partition, start);
        }
    }
    read(&mut consumer, ends, consume.count, printer).await
}

/// Waits until there is a topic to read; false if that takes too long.
async fn wait_for_topics(consume: &Consume, admin: &Admin) -> Result<bool, Failure> {
    let begun = Instant::now();
    let names: Vec<&str> = consume.topics.iter().map(String::as_str).collect();
    let mut has_told = false;
    loop {
        let is_there = match consume.regex {
            true => !matching_topics(&consume.topics, admin).await?.is_empty(),
            false => {
                let described = admin.describe_topics(&names).await?;
                let is_missing =
                    |error: &ApiError| error.code == ErrorCode::UnknownTopicOrPartition;
                !described
                    .values()
                    .any(|it| it.as_ref().is_err_and(is_missing))
            }
        };
        if is_there {
            return Ok(true);
        }
        if !has_told {
            errln!("waiting: there is no topic {}", names.join(", "));
            has_told = true;
        }
        if consume
            .idle_timeout
            .is_some_and(|timeout| timeout <= begun.elapsed())
        {
            return Ok(false);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn options(consume: &Consume, session: &mut Session) -> Result<ConsumerOptions, Failure> {
    let properties = &mut session.properties;
    let mut options = ConsumerOptions::default();
    let level = properties.take(&["isolation.level"]);
    if consume.read_committed || level.as_deref() == Some("read_committed") {
        options.isolation = IsolationLevel::ReadCommitted;
    }
    let age = ["metadata.max.age.ms", "topic.metadata.refresh.interval.ms"];
    if let Some(interval) = properties.take_millis(&age)? {
        options.pattern_interval = interval;
    }
    if let Some(bytes) = properties.take_parsed(&["fetch.min.bytes"])? {
        options.fetch_bytes_min = bytes;
    }
    if let Some(bytes) = properties.take_parsed(&["fetch.max.bytes"])? {
        options.fetch_bytes_max = bytes;
    }
    let per_partition = ["max.partition.fetch.bytes", "fetch.message.max.bytes"];
    if let Some(bytes) = properties.take_parsed(&per_partition)? {
        options.partition_bytes_max = bytes;
    }
    if let Some(wait) = properties.take_millis(&["fetch.max.wait.ms", "fetch.wait.max.ms"])? {
        options.fetch_wait_max = wait;
    }
    Ok(options)
}

/// The topics whose whole names match one of the expressions.
async fn matching(patterns: &[String], admin: &Admin) -> Result<Vec<String>, Failure> {
    let names = matching_topics(patterns, admin).await?;
    match names.is_empty() {
        true => Err(Failure::failed("no topic matches").with_hint(Some("ottla topic list"))),
        false => Ok(names),
    }
}

async fn partitions(consume: &Consume, admin: &Admin) -> Result<Vec<PartitionKey>, Failure> {
    let names: Vec<&str> = consume.topics.iter().map(String::as_str).collect();
    let mut keys = Vec::new();
    for (name, result) in admin.describe_topics(&names).await? {
        let topic = match result {
            Ok(topic) => topic,
            Err(error) if error.code == ErrorCode::UnknownTopicOrPartition => {
                return Err(missing(&name, admin).await);
            }
            Err(error) => return Err(Failure::item(&name, &error)),
        };
        let numbers: Vec<i32> = topic.partitions.iter().map(|p| p.partition).collect();
        if let Some(missing) = consume
            .partitions
            .iter()
            .find(|number| !numbers.contains(number))
        {
            return Err(Failure::failed(format!(
                "{name} has no partition {missing}"
            )));
        }
        let is_wanted =
            |number: &i32| consume.partitions.is_empty() || consume.partitions.contains(number);
        let wanted = numbers.into_iter().filter(is_wanted);
        keys.extend(wanted.map(|number| PartitionKey::new(name.as_str(), number)));
    }
    Ok(keys)
}

/// Where each partition is read from, and the offset if it is known.
async fn starts(
    keys: &[PartitionKey],
    start: Start,
    admin: &Admin,
    isolation: IsolationLevel,
) -> Result<Vec<(PartitionKey, StartOffset, Option<i64>)>, Failure> {
    let query = match start {
        Start::Earliest | Start::After(_) => OffsetQuery::Earliest,
        Start::Latest | Start::Before(_) => OffsetQuery::Latest,
        Start::At(offset) => {
            let start = StartOffset::At(Offset::new(offset));
            return Ok(keys
                .iter()
                .map(|key| (key.clone(), start, Some(offset)))
                .collect());
        }
        Start::Time(millis) => OffsetQuery::Time(Timestamp::from_millis(millis)),
    };
    let found = look_up(keys, query, admin, isolation).await?;
    let first = match start {
        Start::Before(_) => Some(look_up(keys, OffsetQuery::Earliest, admin, isolation).await?),
        _ => None,
    };
    let places = keys
        .iter()
        .zip(found)
        .enumerate()
        .map(|(index, (key, found))| {
            let offset = found.map(|offset| match start {
                Start::After(count) => offset + count,
                Start::Before(count) => {
                    let first = first.as_ref().and_then(|first| first[index]).unwrap_or(0);
                    (offset - count).max(first)
                }
                _ => offset,
            });
            let start = match offset {
                Some(offset) => StartOffset::At(Offset::new(offset)),
                None => StartOffset::Latest, // No record is that young.
            };
            (key.clone(), start, offset)
        });
    Ok(places.collect())
}

/// The offsets in the order of `keys`.
async fn look_up(
    keys: &[PartitionKey],
    query: OffsetQuery,
    admin: &Admin,
    isolation: IsolationLevel,
) -> Result<Vec<Option<i64>>, Failure> {
    let queries: Vec<_> = keys.iter().map(|key| (key.clone(), query)).collect();
    let mut found = admin.list_offsets(&queries, isolation).await?;
    let mut offsets = Vec::new();
    for key in keys {
        let name = format!("{}[{}]", key.topic, key.partition);
        let listed = found
            .remove(key)
            .ok_or_else(|| Failure::failed(format!("{name}: the broker did not say its offset")))?;
        let listed = listed.map_err(|error| Failure::item(&name, &error))?;
        offsets.push(listed.offset.map(|offset| offset.get()));
    }
    Ok(offsets)
}

/// Where reading stops: `None` means never.
struct Ends(Option<Vec<(PartitionKey, i64)>>);

impl Ends {
    async fn look_up(
        keys: &[PartitionKey],
        end: Option<End>,
        admin: &Admin,
        isolation: IsolationLevel,
    ) -> Result<Ends, Failure> {
        let Some(end) = end else {
            return Ok(Ends(None));
        };
        let latest = look_up(keys, OffsetQuery::Latest, admin, isolation).await?;
        let found = match end {
            End::Latest => latest,
            End::At(offset) => vec![Some(offset); keys.len()],
            End::Time(millis) => {
                let query = OffsetQuery::Time(Timestamp::from_millis(millis));
                let at_time = look_up(keys, query, admin, isolation).await?;
                at_time
                    .into_iter()
                    .zip(latest)
                    .map(|(at, latest)| at.or(latest))
                    .collect()
            }
        };
        let ends = keys
            .iter()
            .cloned()
            .zip(found.into_iter().map(|end| end.unwrap_or(0)));
        Ok(Ends(Some(ends.collect())))
    }

    fn of(&self, key: &PartitionKey) -> Option<i64> {
        let ends = self.0.as_ref()?;
        ends.iter().find(|(of, _)| of == key).map(|(_, end)| *end)
    }

    fn is_empty_from(&self, key: &PartitionKey, start: Option<i64>) -> bool {
        match (self.of(key), start) {
            (Some(end), Some(start)) => end <= start,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    fn reached(&mut self, key: &PartitionKey) {
        if let Some(ends) = &mut self.0 {
            ends.retain(|(of, _)| of != key);
        }
    }

    fn are_reached(&self) -> bool {
        self.0.as_ref().is_some_and(Vec::is_empty)
    }
}

async fn read(
    consumer: &mut Consumer,
    mut ends: Ends,
    count_max: Option<u64>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut told: Option<String> = None;
    let mut last = Instant::now();
    while !ends.are_reached() && count_max.is_none_or(|max| printer.count < max) {
        let records = consumer.poll(POLL).await?;
        if printer.is_idle(&records, &mut last) {
            break;
        }
        for record in records {
            let end = ends.of(&record.partition);
            if end.is_some_and(|end| end <= record.offset.get()) {
                continue;
            }
            if count_max.is_some_and(|max| max <= printer.count) {
                break;
            }
            let progress = printer.progress(consumer, &record.partition);
            if let Err(error) = printer.print(&record, progress.as_ref(), &mut out) {
                // `ottla consume … | head` closes our stdout when it has seen enough.
                let is_enough = error.kind() == std::io::ErrorKind::BrokenPipe;
                return if is_enough { Ok(()) } else { Err(error.into()) };
            }
        }
        stop_what_is_read(consumer, &mut ends);
        let obstacle = consumer.waiting_for();
        if obstacle != told {
            if let Some(obstacle) = &obstacle {
                errln!("waiting: {obstacle}");
            }
            told = obstacle;
        }
        if let Err(error) = out.flush() {
            let is_enough = error.kind() == std::io::ErrorKind::BrokenPipe;
            return if is_enough { Ok(()) } else { Err(error.into()) };
        }
    }
    Ok(())
}

/// The position and not the last record decides: the last offsets may hold no record at all.
fn stop_what_is_read(consumer: &mut Consumer, ends: &mut Ends) {
    for key in consumer.assignment() {
        let position = consumer
            .progress(&key)
            .and_then(|progress| progress.position);
        if let (Some(end), Some(position)) = (ends.of(&key), position)
            && end <= position.get()
        {
            consumer.unassign(&key);
            ends.reached(&key);
        }
    }
}

/// What is done with each record.
struct Printer {
    format: Option<OutputFormat>,
    condition: Option<WhereExpression>,
    meta_only: bool,
    idle_timeout: Option<Duration>,
    /// How many were printed.
    count: u64,
}

impl Printer {
    fn new(consume: &Consume, format: Format) -> Result<Printer, Failure> {
        let output = match (&consume.output, &consume.kcat_format) {
            _ if consume.console.is_some() => consume.console.clone().map(OutputFormat::Kafka),
            _ if format == Format::Json => None,
            (Some(text), _) => Some(OutputFormat::parse(text).map_err(Failure::usage)?),
            (None, Some(text)) => Some(OutputFormat::parse_kcat(text).map_err(Failure::usage)?),
            (None, None) => None,
        };
        let condition = consume.condition.as_deref().map(WhereExpression::parse);
        let condition = condition.transpose();
        Ok(Printer {
            format: output,
            condition: condition.map_err(|error| Failure::usage(format!("--where: {error}")))?,
            meta_only: consume.meta_only,
            idle_timeout: consume.idle_timeout,
            count: 0,
        })
    }

    /// Whether nothing has come for too long. `last` is when something did.
    fn is_idle(&self, records: &[ConsumedRecord], last: &mut Instant) -> bool {
        if !records.is_empty() {
            *last = Instant::now();
        }
        self.idle_timeout
            .is_some_and(|timeout| timeout <= last.elapsed())
    }

    /// Where the partition's log begins and ends, if that is to be printed.
    fn progress(&self, consumer: &Consumer, key: &PartitionKey) -> Option<PartitionProgress> {
        let is_wanted = self
            .format
            .as_ref()
            .is_some_and(OutputFormat::shows_progress);
        is_wanted.then(|| consumer.progress(key)).flatten()
    }

    /// Prints a record that is wanted.
    fn print(
        &mut self,
        record: &ConsumedRecord,
        progress: Option<&PartitionProgress>,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let is_wanted = |condition: &WhereExpression| condition.is_met_by(record);
        if !self.condition.as_ref().is_none_or(is_wanted) {
            return Ok(());
        }
        self.count += 1;
        match &self.format {
            Some(format) => {
                let printed = Printed {
                    record,
                    number: self.count,
                    progress,
                };
                format.write(&printed, out)
            }
            None => write_json(record, self.meta_only, out),
        }
    }
}
