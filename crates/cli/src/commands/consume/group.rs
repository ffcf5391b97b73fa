//! Reading as a member of a group.

use std::io::{BufWriter, Write};

use ottla_client::{
    Assignor, Client, ConsumedRecord, Consumer, ConsumerHandle, ConsumerOptions, GroupOptions,
    OffsetReset, PartitionKey, RebalanceListener, StartOffset,
};
use regex_lite::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{POLL, Printer};
use crate::commands::topic::whole;
use crate::failure::Failure;
use crate::offset_range::{End, OffsetRange, Start};
use crate::properties::Properties;

/// What a member's properties say, by their Java and librdkafka names.
pub fn options(group_id: &str, properties: &mut Properties) -> Result<GroupOptions, Failure> {
    let mut group = GroupOptions::new(group_id);
    group.instance_id = properties.take(&["group.instance.id"]).map(Arc::from);
    group.rack = properties.take(&["client.rack"]).map(Arc::from);
    if let Some(timeout) = properties.take_millis(&["session.timeout.ms"])? {
        group.session_timeout = timeout;
    }
    if let Some(interval) = properties.take_millis(&["heartbeat.interval.ms"])? {
        group.heartbeat_interval = interval;
    }
    if let Some(interval) = properties.take_millis(&["max.poll.interval.ms"])? {
        group.poll_interval_max = interval;
    }
    if let Some(interval) = properties.take_millis(&["auto.commit.interval.ms"])? {
        group.auto_commit_interval = Some(interval);
    }
    if properties.take_parsed(&["enable.auto.commit"])? == Some(false) {
        group.auto_commit_interval = None;
    }
    if let Some(names) = properties.take(&["partition.assignment.strategy"]) {
        group.assignors = names
            .split(',')
            .map(|name| {
                // Java names classes: …RangeAssignor, …CooperativeStickyAssignor.
                let class = name.trim().rsplit('.').next().unwrap_or_default();
                let known = Assignor::ALL.into_iter().find(|assignor| {
                    let plain = assignor.name().replace('-', "");
                    class.eq_ignore_ascii_case(assignor.name())
                        || class.eq_ignore_ascii_case(&format!("{plain}Assignor"))
                });
                known.ok_or_else(|| {
                    Failure::usage(format!(
                        "partition.assignment.strategy={name}: expected range, roundrobin, sticky \
                         or cooperative-sticky"
                    ))
                })
            })
            .collect::<Result<_, _>>()?;
    }
    Ok(group)
}

/// Where a group begins that has committed nothing: only an end of the log can be said for it.
pub fn reset(range: &OffsetRange) -> Result<OffsetReset, Failure> {
    match (range.start, range.end) {
        (Start::Earliest, None | Some(End::Latest)) => Ok(OffsetReset::Earliest),
        (Start::Latest, None | Some(End::Latest)) => Ok(OffsetReset::Latest),
        _ => Err(Failure::usage(
            "with -g, -o says where to begin if the group has committed nothing: start or end",
        )
        .with_hint(Some("to move a group: ottla group seek GROUP --to WHERE"))),
    }
}

/// What a member reads.
pub enum Topics {
    Named(Vec<String>),
    /// Also topics that are still to be made.
    Matching(Vec<Regex>),
}

impl Topics {
    pub fn new(texts: &[String], are_patterns: bool) -> Result<Topics, Failure> {
        match are_patterns {
            true => {
                let regexes = texts.iter().map(|text| whole(text));
                regexes.collect::<Result<_, _>>().map(Topics::Matching)
            }
            false => Ok(Topics::Named(texts.to_vec())),
        }
    }
}

/// Tells the person which partitions come and go.
struct Tell;

impl RebalanceListener for Tell {
    async fn assigned(&mut self, partitions: &BTreeSet<PartitionKey>, _: &ConsumerHandle) {
        tell("assigned", partitions);
    }

    async fn revoked(&mut self, partitions: &BTreeSet<PartitionKey>, _: &ConsumerHandle) {
        tell("revoked", partitions);
    }

    async fn lost(&mut self, partitions: &BTreeSet<PartitionKey>, _: &ConsumerHandle) {
        tell("lost", partitions);
    }
}

fn tell(what: &str, partitions: &BTreeSet<PartitionKey>) {
    if !partitions.is_empty() {
        let names: Vec<String> = partitions.iter().map(PartitionKey::to_string).collect();
        errln!("{what}: {}", names.join(" "));
    }
}

/// Prints what the group gives us until there is enough or somebody stops us; then commits and leaves.
pub async fn read(
    client: &Client,
    options: ConsumerOptions,
    topics: Topics,
    until_end: bool,
    count_max: Option<u64>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let mut consumer = client.consumer(options);
    consumer.on_rebalance(Tell);
    match topics {
        Topics::Named(names) => consumer.subscribe(names)?,
        Topics::Matching(regexes) => consumer
            .subscribe_matching(move |name| regexes.iter().any(|regex| regex.is_match(name)))?,
    }
    let stopped = tokio::select! {
        done = print(&mut consumer, until_end, count_max, printer) => done,
        stopped = stop_signal() => stopped,
    };
    let committed = consumer.close().await;
    stopped?;
    committed.map_err(|error| Failure::failed(&error).with_hint(error.hint()))
}

/// SIGINT and SIGTERM: the group should not have to find out by itself that we are gone.
async fn stop_signal() -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::failed)?;
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn print(
    consumer: &mut Consumer,
    until_end: bool,
    count_max: Option<u64>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    const BATCH: u64 = 500;
    let mut told: Option<String> = None;
    let mut last = Instant::now();
    while count_max.is_none_or(|max| printer.count < max) {
        // No more than is printed: what was given out is committed.
        let wanted = count_max.map_or(BATCH, |max| (max - printer.count).min(BATCH));
        let records = consumer.poll_at_most(wanted as usize, POLL).await?;
        if printer.is_idle(&records, &mut last) {
            return Ok(());
        }
        let mut out = BufWriter::new(std::io::stdout().lock());
        let printed = records
            .iter()
            .try_for_each(|record| {
                let progress = printer.progress(consumer, &record.partition);
                printer.print(record, progress.as_ref(), &mut out)
            })
            .and_then(|()| out.flush());
        if let Err(error) = printed {
            give_back(consumer, &records);
            // `ottla consume … | head` closes our stdout when it has seen enough.
            let is_enough = error.kind() == std::io::ErrorKind::BrokenPipe;
            return if is_enough { Ok(()) } else { Err(error.into()) };
        }
        let has_place = consumer.handle().member().is_some();
        let read_all = records.is_empty() && has_place && consumer.is_at_end();
        if until_end && read_all {
            return Ok(());
        }
        let obstacle = consumer.waiting_for();
        if obstacle != told {
            if let Some(obstacle) = &obstacle {
                errln!("waiting: {obstacle}");
            }
            told = obstacle;
        }
    }
    Ok(())
}

/// Has the group begin again with these records: nobody has seen them.
fn give_back(consumer: &mut Consumer, records: &[ConsumedRecord]) {
    let mut firsts = BTreeMap::new();
    for record in records {
        firsts.entry(&record.partition).or_insert(record.offset);
    }
    for (partition, offset) in firsts {
        consumer.seek(partition, StartOffset::At(offset));
    }
}

/// Polls are short so that the end is noticed; a member must not be thought stuck meanwhile.
const _: () = assert!(POLL.as_millis() < Duration::from_secs(1).as_millis());
