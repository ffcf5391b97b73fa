//! Consumer groups against a running cluster: `cargo run -p ottla-client --example groups --
//! localhost:9092`. Works with Ottla and with Apache Kafka; fails loudly.

use ottla_client::{
    Assignor, Client, ClientOptions, CommitError, CommittedOffset, ConsumeError, Consumer,
    ConsumerHandle, ConsumerOptions, GroupOptions, NewTopic, OffsetReset, PartitionKey,
    ProducerOptions, RebalanceListener, Record, StartOffset,
};
use ottla_types::{ErrorCode, Offset};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const PARTITIONS: i32 = 6;
const RECORDS: usize = 6_000;
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let bootstrap = std::env::args().nth(1);
    let bootstrap = bootstrap.unwrap_or_else(|| "localhost:9092".to_owned());
    let client = match Client::connect(&bootstrap, ClientOptions::default()).await {
        Ok(client) => client,
        Err(error) => {
            return Err(format!("{error}; {}", error.hint().unwrap_or_default()).into());
        }
    };
    let prefix = format!("groups-{}", std::process::id());
    let topic = format!("{prefix}-topic");
    fill(&client, &topic).await?;
    for assignor in Assignor::ALL {
        let group = format!("{prefix}-{}", assignor.name());
        shared(&client, &topic, &group, assignor).await?;
    }
    resumed(&client, &topic, &format!("{prefix}-resumed")).await?;
    seeking(&client, &topic, &format!("{prefix}-seeking")).await?;
    named(&client, &topic, &format!("{prefix}-named")).await?;
    overdue(&client, &topic, &format!("{prefix}-overdue")).await?;
    administered(&client, &topic, &prefix).await?;
    for (name, result) in client.admin().delete_topics(&[&topic]).await? {
        result.map_err(|error| format!("{name}: {error}"))?;
    }
    println!("groups work");
    Ok(())
}

async fn fill(client: &Client, topic: &str) -> Outcome {
    let new = NewTopic::new(topic).partitions(PARTITIONS);
    for (_, result) in client.admin().create_topics(&[new]).await? {
        result?;
    }
    let producer = client.producer(ProducerOptions::default());
    let mut acks = Vec::new();
    for number in 0..RECORDS {
        let partition = number as i32 % PARTITIONS;
        let record = Record::to(topic)
            .partition(partition)
            .value(number.to_string());
        acks.push(producer.enqueue(record).await?);
    }
    for ack in acks {
        ack.await?;
    }
    producer.close().await?;
    Ok(())
}

fn options(group: &str, assignor: Assignor) -> ConsumerOptions {
    ConsumerOptions {
        group: Some(GroupOptions {
            assignors: vec![assignor],
            heartbeat_interval: Duration::from_millis(200),
            session_timeout: Duration::from_secs(10),
            ..GroupOptions::new(group)
        }),
        offset_reset: OffsetReset::Earliest,
        ..ConsumerOptions::default()
    }
}

/// Counts what a member is told.
#[derive(Clone, Default)]
struct Counts {
    assigned: Arc<AtomicUsize>,
    revoked: Arc<AtomicUsize>,
}

impl RebalanceListener for Counts {
    async fn assigned(&mut self, partitions: &BTreeSet<PartitionKey>, _: &ConsumerHandle) {
        self.assigned.fetch_add(partitions.len(), Ordering::Relaxed);
    }

    async fn revoked(&mut self, partitions: &BTreeSet<PartitionKey>, consumer: &ConsumerHandle) {
        self.revoked.fetch_add(partitions.len(), Ordering::Relaxed);
        if let Err(error) = consumer.commit().await {
            eprintln!("not committed: {error}");
        }
    }
}

async fn poll(consumer: &mut Consumer, seen: &mut BTreeMap<i32, Vec<i64>>) -> Outcome {
    for record in consumer.poll(Duration::from_millis(100)).await? {
        let partition = seen.entry(record.partition.partition).or_default();
        partition.push(record.offset.get());
    }
    Ok(())
}

fn count(seen: &BTreeMap<i32, Vec<i64>>) -> usize {
    let distinct = |offsets: &Vec<i64>| offsets.iter().collect::<BTreeSet<_>>().len();
    seen.values().map(distinct).sum()
}

/// Two members share a topic; one closes, and the other reads on where that had come to.
async fn shared(client: &Client, topic: &str, group: &str, assignor: Assignor) -> Outcome {
    let start = Instant::now();
    let mut first = client.consumer(options(group, assignor));
    let counts = Counts::default();
    first.on_rebalance(counts.clone());
    first.subscribe([topic])?;
    let mut seen = BTreeMap::new();
    while first.assignment().len() < PARTITIONS as usize {
        poll(&mut first, &mut seen).await?;
        if start.elapsed() > PATIENCE {
            return Err(format!("{group}: {:?}", first.waiting_for()).into());
        }
    }
    let mut second = client.consumer(options(group, assignor));
    second.subscribe([topic])?;
    while second.assignment().len() != 3 || first.assignment().len() != 3 {
        poll(&mut first, &mut seen).await?;
        poll(&mut second, &mut seen).await?;
        if start.elapsed() > PATIENCE {
            let assignments = (first.assignment(), second.assignment());
            return Err(format!("{group} does not share: {assignments:?}").into());
        }
    }
    let expected = if assignor.is_cooperative() { 3 } else { 6 };
    let revoked = counts.revoked.load(Ordering::Relaxed);
    assert_eq!(
        revoked, expected,
        "{group}: only a cooperative member keeps what stays"
    );
    first.close().await?;
    while count(&seen) < RECORDS {
        poll(&mut second, &mut seen).await?;
        if start.elapsed() > PATIENCE {
            return Err(format!("{group}: only {} of {RECORDS} records", count(&seen)).into());
        }
    }
    assert_eq!(second.assignment().len(), PARTITIONS as usize);
    for (partition, offsets) in &seen {
        let whole: Vec<i64> = (0..(RECORDS as i64 / i64::from(PARTITIONS))).collect();
        assert_eq!(
            *offsets, whole,
            "{group}: partition {partition} once and in order"
        );
    }
    second.close().await?;
    println!(
        "{:<20} two members in {:.1?}",
        assignor.name(),
        start.elapsed()
    );
    Ok(())
}

/// Who comes again begins where the commit is; what was not committed comes again.
async fn resumed(client: &Client, topic: &str, group: &str) -> Outcome {
    let manual = || {
        let mut options = options(group, Assignor::Range);
        if let Some(group) = &mut options.group {
            group.auto_commit_interval = None;
        }
        options.poll_records_max = 100;
        options
    };
    let mut consumer = client.consumer(manual());
    consumer.subscribe([topic])?;
    let mut committed = BTreeMap::new();
    while committed.len() < 2 {
        for record in consumer.poll(Duration::from_secs(5)).await? {
            let next = record.offset.next();
            committed.entry(record.partition).or_insert(next);
        }
    }
    consumer.commit_offsets(committed.clone()).await?;
    let mut seen = BTreeMap::new();
    poll(&mut consumer, &mut seen).await?;
    consumer.close().await?;

    let mut consumer = client.consumer(manual());
    consumer.subscribe([topic])?;
    let mut first: BTreeMap<PartitionKey, Offset> = BTreeMap::new();
    while first.len() < PARTITIONS as usize {
        for record in consumer.poll(Duration::from_secs(5)).await? {
            first.entry(record.partition).or_insert(record.offset);
        }
    }
    for (key, offset) in &first {
        let expected = committed.get(key).copied().unwrap_or(Offset::ZERO);
        assert_eq!(*offset, expected, "{key} goes on where it was committed");
    }
    let keys = committed.keys().cloned();
    for (key, found) in consumer.committed(keys).await? {
        let offset = found.ok_or("it was committed")?.offset;
        assert_eq!(offset, committed[&key]);
    }
    consumer.commit_later().await?;
    consumer.close().await?;
    println!("resumed at what was committed");
    Ok(())
}

async fn seeking(client: &Client, topic: &str, group: &str) -> Outcome {
    let mut consumer = client.consumer(options(group, Assignor::CooperativeSticky));
    consumer.subscribe([topic])?;
    let mut seen = BTreeMap::new();
    while seen.len() < PARTITIONS as usize {
        poll(&mut consumer, &mut seen).await?;
    }
    let key = PartitionKey::new(topic, 2);
    for other in consumer.assignment() {
        if other != key {
            consumer.pause(&other);
            assert!(consumer.seek(&other, StartOffset::Earliest));
        }
    }
    assert!(consumer.seek(&key, StartOffset::At(Offset::new(990))));
    let mut seen = BTreeMap::new();
    while count(&seen) < 10 {
        poll(&mut consumer, &mut seen).await?;
    }
    assert_eq!(
        seen.keys().collect::<Vec<_>>(),
        [&2],
        "the others are paused"
    );
    assert_eq!(seen[&2][0], 990);
    assert!(!consumer.seek(&PartitionKey::new(topic, 99), StartOffset::Latest));
    consumer.close().await?;
    println!("seek, pause and resume");
    Ok(())
}

/// A member with a name comes back to its partitions without a rebalance; a second one of that name
/// fences the first.
async fn named(client: &Client, topic: &str, group: &str) -> Outcome {
    let named = || {
        let mut options = options(group, Assignor::Range);
        if let Some(group) = &mut options.group {
            group.instance_id = Some(Arc::from("till-1"));
        }
        options
    };
    let mut first = client.consumer(named());
    first.subscribe([topic])?;
    let mut seen = BTreeMap::new();
    while seen.is_empty() {
        poll(&mut first, &mut seen).await?;
    }
    let (_, generation) = first.handle().member().ok_or("a member")?;
    first.close().await?;
    let mut second = client.consumer(named());
    second.subscribe([topic])?;
    while second.assignment().is_empty() {
        poll(&mut second, &mut seen).await?;
    }
    let (_, again) = second.handle().member().ok_or("a member")?;
    assert_eq!(generation, again, "no rebalance");
    let mut third = client.consumer(named());
    third.subscribe([topic])?;
    let start = Instant::now();
    let error = loop {
        poll(&mut third, &mut BTreeMap::new()).await?;
        match second.poll(Duration::from_millis(100)).await {
            Ok(_) if start.elapsed() < PATIENCE => {}
            Ok(_) => return Err("the second member was not fenced".into()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId), "{error}");
    assert!(error.hint().is_some());
    third.close().await?;
    println!("static members");
    Ok(())
}

/// Who works too long is told so, and others get its partitions.
async fn overdue(client: &Client, topic: &str, group: &str) -> Outcome {
    let mut hasty = options(group, Assignor::Range);
    if let Some(group) = &mut hasty.group {
        group.poll_interval_max = Duration::from_secs(1);
    }
    let mut consumer = client.consumer(hasty);
    consumer.subscribe([topic])?;
    let mut seen = BTreeMap::new();
    while seen.is_empty() {
        poll(&mut consumer, &mut seen).await?;
    }
    let start = Instant::now();
    while consumer.handle().member().is_some() {
        assert!(
            start.elapsed() < PATIENCE,
            "it stays a member without polling"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = consumer.commit().await;
    assert_eq!(refused, Err(CommitError::NotMember));
    let error = consumer.poll(Duration::from_secs(1)).await.err();
    let error = error.ok_or("it is told")?;
    assert!(
        matches!(error, ConsumeError::PollIntervalExceeded { .. }),
        "{error}"
    );
    while consumer.handle().member().is_none() {
        poll(&mut consumer, &mut seen).await?;
    }
    consumer.close().await?;
    println!("max.poll.interval.ms");
    Ok(())
}

async fn administered(client: &Client, topic: &str, prefix: &str) -> Outcome {
    let admin = client.admin();
    let group = format!("{prefix}-administered");
    let mut consumer = client.consumer(options(&group, Assignor::Range));
    consumer.subscribe([topic])?;
    let mut seen = BTreeMap::new();
    while seen.is_empty() {
        poll(&mut consumer, &mut seen).await?;
    }
    let described = admin.describe_groups(&[&group]).await?;
    let described = described[&group].clone()?;
    assert_eq!(
        (described.state.as_str(), described.protocol.as_str()),
        ("Stable", "range")
    );
    let member = &described.members[0];
    assert_eq!(member.assignment.len(), PARTITIONS as usize);
    assert_eq!(member.topics.len(), 1);
    let refused = admin.delete_groups(&[&group]).await?;
    assert_eq!(
        refused[&group].clone().err().map(|error| error.code),
        Some(ErrorCode::NonEmptyGroup)
    );
    consumer.close().await?;

    let listed = admin.list_groups(&["Empty"], &[]).await?;
    assert!(
        listed.iter().any(|listing| listing.group_id == group),
        "{listed:?}"
    );
    let offsets = admin.group_offsets(&group).await?;
    assert!(!offsets.is_empty(), "closing committed something");
    let key = PartitionKey::new(topic, 3);
    let moved = [(key.clone(), CommittedOffset::at(Offset::new(7)))].into();
    for (_, result) in admin.alter_group_offsets(&group, &moved).await? {
        result?;
    }
    assert_eq!(
        admin.group_offsets(&group).await?[&key].offset,
        Offset::new(7)
    );
    let mut consumer = client.consumer(options(&group, Assignor::Range));
    consumer.assign_committed(topic, 3)?;
    let first = consumer.next().await?.ok_or("a record")?;
    assert_eq!(first.offset, Offset::new(7));
    drop(consumer);
    for (_, result) in admin
        .delete_group_offsets(&group, std::slice::from_ref(&key))
        .await?
    {
        result?;
    }
    assert!(!admin.group_offsets(&group).await?.contains_key(&key));
    for (name, result) in admin.delete_groups(&[&group]).await? {
        result.map_err(|error| format!("{name}: {error}"))?;
    }
    let gone = admin.describe_groups(&[&group]).await?;
    match &gone[&group] {
        Ok(group) => assert_eq!(group.state, "Dead"),
        Err(error) => assert_eq!(error.code, ErrorCode::GroupIdNotFound),
    }
    println!("groups described, moved and deleted");
    Ok(())
}
