//! Everything this client can do, against a running cluster: `cargo run -p ottla-client --example
//! acceptance -- localhost:9092 [records]`. Works with Ottla and with Apache Kafka; fails loudly.

use ottla_client::{
    Client, ClientError, ClientOptions, Codec, ConfigChange, ConfigDescription, ConfigResource,
    ConfigSource, ConsumerOptions, IsolationLevel, NewTopic, OffsetQuery, OffsetReset,
    PartitionKey, ProducerOptions, Record, StartOffset,
};
use ottla_types::{ErrorCode, Offset, Timestamp};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const PARTITIONS: i32 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let bootstrap = args.next().unwrap_or_else(|| "localhost:9092".to_owned());
    let records: usize = args.next().map_or(Ok(20_000), |text| text.parse())?;
    let client = match Client::connect(&bootstrap, ClientOptions::default()).await {
        Ok(client) => client,
        Err(error) => {
            return Err(format!("{error}; {}", error.hint().unwrap_or_default()).into());
        }
    };
    let cluster = client.admin().describe_cluster().await?;
    println!(
        "cluster {} with {} brokers",
        cluster.cluster_id,
        cluster.brokers.len()
    );
    let prefix = format!("acceptance-{}", std::process::id());
    for codec in Codec::ALL {
        round_trip(&client, &format!("{prefix}-{codec}"), codec, records).await?;
    }
    offsets(&client, &format!("{prefix}-none"), records).await?;
    configs(&client, &format!("{prefix}-none")).await?;
    refusals(&client, &format!("{prefix}-none")).await?;
    log_dirs(&client, &prefix).await?;
    small_batches(&client, &format!("{prefix}-small")).await?;
    let names: Vec<String> = Codec::ALL
        .iter()
        .map(|codec| format!("{prefix}-{codec}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (name, result) in client.admin().delete_topics(&names).await? {
        result.map_err(|error| format!("{name}: {error}"))?;
    }
    println!("everything works");
    Ok(())
}

/// Writes records with and without keys and reads them back, each partition in its order.
async fn round_trip(client: &Client, topic: &str, codec: Codec, records: usize) -> Outcome {
    let new = NewTopic::new(topic)
        .partitions(PARTITIONS)
        .replication_factor(1);
    for (_, result) in client.admin().create_topics(&[new]).await? {
        result?;
    }
    let producer = client.producer(ProducerOptions {
        codec,
        ..ProducerOptions::default()
    });
    let start = Instant::now();
    let mut acks = Vec::with_capacity(records);
    for number in 0..records {
        let mut record = Record::to(topic)
            .value(format!(
                "{{\"number\":{number},\"carrier\":\"AA\",\"origin\":\"JFK\"}}"
            ))
            .timestamp(Timestamp::from_millis(
                now_ms() - 1_000 + (number % 7) as i64,
            ))
            .header("codec", codec.name());
        if !number.is_multiple_of(3) {
            record = record.key(format!("key-{}", number % 100));
        }
        acks.push((number, producer.enqueue(record).await?));
    }
    producer.flush().await;
    let mut expected: BTreeMap<(i32, Offset), usize> = BTreeMap::new();
    for (number, ack) in acks {
        let delivery = ack.await?;
        let offset = delivery
            .offset
            .ok_or("an acknowledged record has an offset")?;
        if expected
            .insert((delivery.partition, offset), number)
            .is_some()
        {
            return Err(format!("offset {offset} was given twice").into());
        }
    }
    let written = start.elapsed();
    let stats = producer.stats();
    producer.close().await?;

    for sessions in [true, false] {
        let start = Instant::now();
        let options = ConsumerOptions {
            sessions,
            ..ConsumerOptions::default()
        };
        let mut consumer = client.consumer(options);
        let keys = consumer.assign_topic(topic, StartOffset::Earliest).await?;
        assert_eq!(keys.len() as i32, PARTITIONS);
        let mut next: BTreeMap<i32, i64> = BTreeMap::new();
        let mut last: BTreeMap<i32, usize> = BTreeMap::new();
        let mut count = 0;
        while count < records {
            let batch = consumer.poll(Duration::from_secs(10)).await?;
            if batch.is_empty() {
                return Err(format!("only {count} of {records} records came back").into());
            }
            for record in batch {
                let place = next.entry(record.partition.partition).or_default();
                assert_eq!(record.offset.get(), *place, "in order, without gaps");
                *place += 1;
                let number = expected[&(record.partition.partition, record.offset)];
                let before = last.insert(record.partition.partition, number);
                assert!(
                    before.is_none_or(|before| before < number),
                    "in the order of sending"
                );
                let value =
                    format!("{{\"number\":{number},\"carrier\":\"AA\",\"origin\":\"JFK\"}}");
                assert_eq!(record.value.as_deref(), Some(value.as_bytes()));
                assert_eq!(record.key.is_none(), number.is_multiple_of(3));
                assert_eq!(
                    record.headers[0].1.as_deref(),
                    Some(codec.name().as_bytes())
                );
                count += 1;
            }
        }
        consumer.poll(Duration::from_millis(700)).await?;
        assert!(consumer.is_at_end());
        println!(
            "{codec:>6}: {records} written in {written:.2?} ({} requests, {} retries), read in {:.2?} \
             (sessions {sessions})",
            stats.requests,
            stats.retries,
            start.elapsed()
        );
    }
    Ok(())
}

/// Offsets by place and time, starting inside, deleting records, running out of range.
async fn offsets(client: &Client, topic: &str, records: usize) -> Outcome {
    let admin = client.admin();
    let mut total = 0;
    for partition in 0..PARTITIONS {
        let key = PartitionKey::new(topic, partition);
        let queries = [(key.clone(), OffsetQuery::Latest)];
        let listed = admin
            .list_offsets(&queries, IsolationLevel::ReadUncommitted)
            .await?;
        let end = listed[&key].clone()?.offset.ok_or("latest is an offset")?;
        total += end.get();
        let queries = [(key.clone(), OffsetQuery::MaxTimestamp)];
        let listed = admin
            .list_offsets(&queries, IsolationLevel::ReadCommitted)
            .await?;
        assert!(
            listed[&key]
                .clone()?
                .offset
                .is_some_and(|offset| offset < end)
        );
        let queries = [(
            key.clone(),
            OffsetQuery::Time(Timestamp::from_millis(now_ms() + 1_000_000)),
        )];
        let listed = admin
            .list_offsets(&queries, IsolationLevel::ReadUncommitted)
            .await?;
        assert_eq!(listed[&key].clone()?.offset, None);
    }
    assert_eq!(total as usize, records);

    let key = PartitionKey::new(topic, 0);
    let deleted = admin
        .delete_records(&[(key.clone(), Some(Offset::new(10)))])
        .await?;
    assert_eq!(deleted[&key], Ok(Offset::new(10)));
    let mut consumer = client.consumer(ConsumerOptions {
        offset_reset: OffsetReset::Earliest,
        ..ConsumerOptions::default()
    });
    consumer.assign(topic, 0, StartOffset::At(Offset::new(3)));
    let first = consumer.next().await?.ok_or("there are records")?;
    assert_eq!(first.offset, Offset::new(10));
    consumer.assign(topic, 0, StartOffset::At(Offset::new(15)));
    assert_eq!(
        consumer.next().await?.ok_or("there are records")?.offset,
        Offset::new(15)
    );

    let mut strict = client.consumer(ConsumerOptions::default());
    strict.assign(topic, 0, StartOffset::At(Offset::new(3)));
    let error = strict.next().await.expect_err("offset 3 is gone");
    assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
    println!("offsets, deleted records and positions are right");
    Ok(())
}

async fn configs(client: &Client, topic: &str) -> Outcome {
    let admin = client.admin();
    let resource = ConfigResource::Topic(topic.to_owned());
    admin
        .alter_configs(&resource, &[ConfigChange::set("retention.ms", "3600000")])
        .await?;
    // Kafka's brokers learn of a change a little after it is answered.
    let give_up_at = Instant::now() + Duration::from_secs(10);
    let configs = loop {
        let configs = admin.describe_configs(&resource).await?;
        let changed = |config: &ConfigDescription| {
            config.name == "retention.ms" && config.value.as_deref() == Some("3600000")
        };
        if configs.iter().any(changed) {
            break configs;
        }
        if Instant::now() >= give_up_at {
            return Err("the changed config is not described".into());
        }
    };
    let retention = configs.iter().find(|config| config.name == "retention.ms");
    let retention = retention.ok_or("retention.ms is described")?;
    assert_eq!(retention.source, ConfigSource::Topic);
    admin
        .alter_configs(&resource, &[ConfigChange::delete("retention.ms")])
        .await?;
    let error = admin
        .alter_configs(&resource, &[ConfigChange::set("no.such.thing", "1")])
        .await;
    let error = error.expect_err("there is no such config");
    assert!(
        matches!(&error, ClientError::Refused(e) if e.code == ErrorCode::InvalidConfig),
        "{error}"
    );
    println!("{} topic configs are described and changed", configs.len());
    Ok(())
}

async fn refusals(client: &Client, topic: &str) -> Outcome {
    let admin = client.admin();
    let again = admin.create_topics(&[NewTopic::new(topic)]).await?;
    let error = again[topic].clone().expect_err("it exists");
    assert_eq!(error.code, ErrorCode::TopicAlreadyExists);
    admin.create_partitions(topic, PARTITIONS + 2).await?;
    let give_up_at = Instant::now() + Duration::from_secs(10);
    while admin.describe_topics(&[topic]).await?[topic]
        .clone()?
        .partitions
        .len() as i32
        != PARTITIONS + 2
    {
        if Instant::now() >= give_up_at {
            return Err("the new partitions are not described".into());
        }
    }
    assert!(admin.create_partitions(topic, 1).await.is_err());

    let producer = client.producer(ProducerOptions::default());
    let error = producer
        .send(Record::to(topic).partition(99).value("x"))
        .await;
    assert!(
        !error
            .expect_err("there is no partition 99")
            .possibly_written()
    );
    let late = Timestamp::from_millis(now_ms() + 10_000_000);
    let error = producer
        .send(Record::to(topic).timestamp(late).value("x"))
        .await;
    let error = error.expect_err("the timestamp is too far in the future");
    assert_eq!(error.code(), Some(ErrorCode::InvalidTimestamp));
    println!(
        "refused as it must be: {error}; {}",
        error.hint().unwrap_or_default()
    );
    // The refusal left a gap in the sequences of one partition; it must go on nevertheless.
    for partition in 0..PARTITIONS {
        producer
            .send(Record::to(topic).partition(partition).value("after"))
            .await?;
    }
    let mut consumer = client.consumer(ConsumerOptions::default());
    let missing = consumer
        .assign_topic("no-such-topic-anywhere", StartOffset::Earliest)
        .await;
    assert_eq!(
        missing.expect_err("it does not exist").code(),
        Some(ErrorCode::UnknownTopicOrPartition)
    );
    Ok(())
}

async fn log_dirs(client: &Client, prefix: &str) -> Outcome {
    let mut size = 0;
    for dirs in client.admin().describe_log_dirs().await?.into_values() {
        for dir in dirs? {
            let ours = dir
                .partitions
                .iter()
                .filter(|part| part.partition.topic.starts_with(prefix));
            size += ours.map(|part| part.size_bytes).sum::<u64>();
        }
    }
    assert!(size > 0);
    println!("the topics take {size} bytes");
    Ok(())
}

/// A topic that takes smaller batches than the producer fills: they are halved until they fit.
async fn small_batches(client: &Client, topic: &str) -> Outcome {
    const RECORDS: i64 = 2_000;
    let new = NewTopic::new(topic)
        .partitions(1)
        .config("max.message.bytes", "2000");
    for (_, result) in client.admin().create_topics(&[new]).await? {
        result?;
    }
    let producer = client.producer(ProducerOptions::default());
    let mut acks = Vec::new();
    for number in 0..RECORDS {
        acks.push(
            producer
                .enqueue(Record::to(topic).value(format!("{number:050}")))
                .await?,
        );
    }
    for (number, ack) in (0..).zip(acks) {
        assert_eq!(ack.await?.offset, Some(Offset::new(number)));
    }
    let stats = producer.stats();
    println!(
        "{RECORDS} records fit after {} splits, {} resets",
        stats.splits, stats.sequence_resets
    );
    let mut consumer = client.consumer(ConsumerOptions::default());
    consumer.assign(topic, 0, StartOffset::Earliest);
    for number in 0..RECORDS {
        let record = consumer.next().await?.ok_or("there are records")?;
        assert_eq!(
            record.value.as_deref(),
            Some(format!("{number:050}").as_bytes())
        );
    }
    for (_, result) in client.admin().delete_topics(&[topic]).await? {
        result?;
    }
    Ok(())
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}
