use crate::mini_broker::{MiniBroker, TOPIC};
use ottla_client::{
    Client, ClientError, ClientOptions, Codec, ConsumerOptions, IsolationLevel, OffsetQuery,
    PartitionKey, ProducerOptions, Record, SendError, StartOffset, TryEnqueueError,
};
use ottla_types::{ErrorCode, Offset};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn options() -> ClientOptions {
    let mut options = ClientOptions {
        request_timeout: Duration::from_secs(5),
        operation_timeout: Duration::from_secs(10),
        ..ClientOptions::default()
    };
    options.backoff.first = Duration::from_millis(1);
    options.backoff.max = Duration::from_millis(10);
    options
}

#[tokio::test]
async fn records_survive_connections_that_are_cut() {
    const RECORDS: usize = 5_000;
    let broker = MiniBroker::start().await;
    let client = Client::connect(&broker.address, options()).await.unwrap();
    broker.cut_every.store(7, Ordering::Relaxed);
    let producer = client.producer(ProducerOptions {
        codec: Codec::Lz4,
        linger: Duration::ZERO,
        batch_bytes: 2_000,
        ..ProducerOptions::default()
    });
    let mut acks = Vec::new();
    for number in 0..RECORDS {
        acks.push(
            producer
                .enqueue(Record::to(TOPIC).value(number.to_string()))
                .await
                .unwrap(),
        );
    }
    for (number, ack) in acks.into_iter().enumerate() {
        assert_eq!(ack.await.unwrap().offset, Some(Offset::new(number as i64)));
    }
    assert!(producer.stats().retries > 0);
    assert_eq!(producer.stats().sequence_resets, 0);
    producer.close().await.unwrap();

    let mut consumer = client.consumer(ConsumerOptions::default());
    consumer.assign(TOPIC, 0, StartOffset::Earliest);
    for number in 0..RECORDS {
        let record = consumer.next().await.unwrap().unwrap();
        assert_eq!(record.offset, Offset::new(number as i64));
        assert_eq!(record.value.as_deref(), Some(number.to_string().as_bytes()));
    }
    assert!(consumer.is_at_end());
    assert!(broker.cuts.load(Ordering::Relaxed) > 5);
}

#[tokio::test]
async fn what_cannot_be_taken_says_so_and_what_is_dropped_is_still_sent() {
    let broker = MiniBroker::start().await;
    let mut options = options();
    options.operation_timeout = Duration::from_millis(50);
    let client = Client::connect(&broker.address, options).await.unwrap();
    let producer = client.producer(ProducerOptions::default());
    let error = producer
        .send(Record::to("elsewhere").value("x"))
        .await
        .unwrap_err();
    assert!(matches!(&error, SendError::NotTaken(_)), "{error}");
    assert!(
        error.to_string().contains("UNKNOWN_TOPIC_OR_PARTITION"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("create the topic"));
    assert!(!error.possibly_written());

    let ack = producer
        .enqueue(Record::to(TOPIC).value("x"))
        .await
        .unwrap();
    drop(producer);
    assert_eq!(ack.await.unwrap().offset, Some(Offset::ZERO));

    let mut consumer = client.consumer(ConsumerOptions::default());
    let error = consumer
        .assign_topic("elsewhere", StartOffset::Earliest)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(consumer.next().await, Ok(None), "nothing is assigned");
    let polled = consumer.poll(Duration::from_millis(1)).await;
    assert_eq!(polled, Ok(Vec::new()));
}

#[tokio::test]
async fn a_full_buffer_makes_the_sender_wait_not_fail() {
    let broker = MiniBroker::start().await;
    let client = Client::connect(&broker.address, options()).await.unwrap();
    let producer = client.producer(ProducerOptions {
        buffer_bytes_max: 1_000,
        linger: Duration::ZERO,
        ..ProducerOptions::default()
    });
    let mut last = None;
    for number in 0..200 {
        last = Some(
            producer
                .enqueue(Record::to(TOPIC).value(vec![number; 300]))
                .await
                .unwrap(),
        );
    }
    assert_eq!(last.unwrap().await.unwrap().offset, Some(Offset::new(199)));
    // A record larger than the whole buffer goes alone.
    let delivery = producer
        .send(Record::to(TOPIC).value(vec![0; 5_000]))
        .await
        .unwrap();
    assert_eq!(delivery.offset, Some(Offset::new(200)));
}

#[tokio::test]
async fn who_does_not_want_to_wait_gets_the_record_back() {
    let broker = MiniBroker::start().await;
    let client = Client::connect(&broker.address, options()).await.unwrap();
    let producer = client.producer(ProducerOptions {
        buffer_bytes_max: 1_000,
        linger: Duration::from_secs(60),
        ..ProducerOptions::default()
    });
    let record = Record::to(TOPIC).value(vec![7; 300]).header("h", "v");
    let Err(TryEnqueueError::Full(back)) = producer.try_enqueue(record.clone()) else {
        panic!("the topic is not known yet");
    };
    assert_eq!(*back, record);
    let mut acks = vec![producer.enqueue(record.clone()).await.unwrap()];
    let full = loop {
        match producer.try_enqueue(record.clone()) {
            Ok(ack) => acks.push(ack),
            Err(error) => break error,
        }
    };
    assert_eq!(full, TryEnqueueError::Full(Box::new(record.clone())));
    assert_eq!(acks.len(), 2, "as many as the buffer holds");
    producer.flush().await;
    assert!(producer.try_enqueue(record).is_ok());
    let nowhere = Record::to(TOPIC).partition(9).value("x");
    let Err(TryEnqueueError::Refused(error)) = producer.try_enqueue(nowhere) else {
        panic!("there is no such partition");
    };
    assert!(!error.is_retriable() && !error.is_fatal(), "{error}");
}

#[tokio::test]
async fn administration_asks_leaders_and_says_what_is_not_offered() {
    let broker = MiniBroker::start().await;
    let client = Client::connect(&broker.address, options()).await.unwrap();
    let admin = client.admin();
    let (known, unknown) = (PartitionKey::new(TOPIC, 0), PartitionKey::new(TOPIC, 1));
    let queries = [
        (known.clone(), OffsetQuery::Latest),
        (unknown.clone(), OffsetQuery::Latest),
    ];
    let offsets = admin
        .list_offsets(&queries, IsolationLevel::ReadUncommitted)
        .await
        .unwrap();
    assert_eq!(offsets[&known].as_ref().unwrap().offset, Some(Offset::ZERO));
    assert_eq!(
        offsets[&unknown].as_ref().unwrap_err().code,
        ErrorCode::UnknownTopicOrPartition
    );
    let described = admin.describe_topics(&[TOPIC, "elsewhere"]).await.unwrap();
    assert_eq!(described[TOPIC].as_ref().unwrap().partitions.len(), 1);
    assert!(described["elsewhere"].is_err());
    let error = admin.delete_topics(&[TOPIC]).await.unwrap_err();
    assert_eq!(
        error,
        ClientError::Unsupported {
            api: "DeleteTopics"
        }
    );
}
