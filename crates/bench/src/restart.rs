//! kill -9 under load with a large log, many partitions and many producers: how long until a record is
//! acknowledged again, what was read for it, and whether everything is still right.

use crate::connection::{Connection, body, frame};
use crate::contender::{Contender, Running};
use crate::error::{BenchError, check};
use crate::{frames, process, topic};
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::fetch_response::FetchResponse;
use ottla_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use ottla_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use ottla_protocol::{ApiKey, Message, Reader, Records};
use ottla_records::{BatchBuilder, BatchView, Codec, Compressor};
use ottla_types::{Prng, ProducerEpoch, ProducerId, Sequence, Timestamp};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const TOPIC: &str = "restart";
const WRITERS: usize = 4;
const RECORDS_PER_BATCH: u32 = 250;
const RECORD_SIZE: usize = 1000;
const INIT_VERSION: i16 = 4;
const FETCH_VERSION: i16 = 12;
const CHECKS: usize = 1000;

/// How large.
pub struct Options {
    /// Our binary.
    pub ottla: PathBuf,
    /// Folder for data.
    pub data: PathBuf,
    /// Bytes of log before the kill.
    pub log_bytes: u64,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Producers.
    pub producers: usize,
    /// Ends after the kill: the data stays as it was left.
    pub only_kill: bool,
}

/// A batch that was acknowledged.
#[derive(Clone, Copy)]
struct Written {
    partition: i32,
    base_offset: i64,
    crc: u32,
}

/// An idempotent producer that writes to one partition.
#[derive(Clone, Copy)]
struct Producer {
    id: ProducerId,
    partition: i32,
    next_sequence: Sequence,
    last: Option<(Sequence, Written)>,
}

/// Runs it and prints the figures.
pub fn run(options: &Options) -> Result<(), BenchError> {
    let binary = options.ottla.clone();
    let contender = Contender::Ottla {
        binary,
        durability: "fsync",
    };
    let mut server = contender.start(&options.data)?;
    let mut connection = Connection::open(&server.bootstrap)?;
    topic::create_empty(&mut connection, TOPIC, options.partitions)?;
    let producers = producers(&mut connection, options)?;
    let (producers, written) = write_until_killed(&mut server, producers, options.log_bytes)?;

    if options.only_kill {
        return Ok(());
    }
    let started = Instant::now();
    server.start_again()?;
    server.wait_until_listening()?;
    let listening = started.elapsed();
    let mut connection = Connection::open(&server.bootstrap)?;
    topic::write_until_taken(&mut connection, TOPIC, 0, &frames::batch(1024))?;
    let acknowledged = started.elapsed();
    let read_bytes = process::read_bytes(server.pid())?;
    println!(
        "{:.1} GB, {} partitions, {} producers: listening after {:.0} ms, first acknowledged produce \
         after {:.0} ms, {:.0} MB read, {:.0} MB resident",
        options.log_bytes as f64 / 1e9,
        options.partitions,
        options.producers,
        listening.as_secs_f64() * 1000.0,
        acknowledged.as_secs_f64() * 1000.0,
        read_bytes as f64 / 1e6,
        server.resident_bytes()? as f64 / 1e6,
    );
    check_reads(&mut connection, &written)?;
    check_retries(&mut connection, &producers)
}

fn producers(connection: &mut Connection, options: &Options) -> Result<Vec<Producer>, BenchError> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        ..Default::default()
    };
    let partitions = (0..options.partitions).cycle();
    let mut producers = Vec::with_capacity(options.producers);
    for partition in partitions.take(options.producers) {
        let id = connection.call(ApiKey::InitProducerId, INIT_VERSION, &request, |reader| {
            let response = InitProducerIdResponse::decode(reader, INIT_VERSION)?;
            check("a producer id", response.error_code)?;
            Ok(response.producer_id)
        })?;
        producers.push(Producer {
            id: ProducerId::new(id),
            partition,
            next_sequence: Sequence::new(0),
            last: None,
        });
    }
    Ok(producers)
}

/// Writes from several connections; kills the server once there is enough, while they go on.
fn write_until_killed(
    server: &mut Running,
    producers: Vec<Producer>,
    log_bytes: u64,
) -> Result<(Vec<Producer>, Vec<Written>), BenchError> {
    let total = AtomicU64::new(0);
    let share = producers.len().div_ceil(WRITERS);
    let bootstrap = server.bootstrap.clone();
    std::thread::scope(|scope| {
        let writers: Vec<_> = producers
            .chunks(share)
            .map(|part| {
                let (mut part, bootstrap, total) = (part.to_vec(), &bootstrap, &total);
                scope.spawn(move || {
                    let written = write(bootstrap, &mut part, total);
                    (part, written)
                })
            })
            .collect();
        while total.load(Ordering::Relaxed) < log_bytes
            && writers.iter().any(|it| !it.is_finished())
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.kill()?;
        let (mut producers, mut written) = (Vec::new(), Vec::new());
        for writer in writers {
            let (part, batches) = writer.join().expect("a writer does not panic");
            producers.extend(part);
            written.extend(batches?);
        }
        Ok((producers, written))
    })
}

/// Writes one batch of each producer after the other, two in flight, until the connection ends.
fn write(
    bootstrap: &str,
    producers: &mut [Producer],
    total: &AtomicU64,
) -> Result<Vec<Written>, BenchError> {
    let mut connection = Connection::open(bootstrap)?;
    let mut written = Vec::new();
    let mut before: Option<(usize, Sequence, u32, usize)> = None;
    for at in (0..producers.len()).cycle() {
        let producer = &mut producers[at];
        let sequence = producer.next_sequence;
        let batch = batch(producer.id, sequence);
        let crc = BatchView::parse(&batch).expect("our own batch").crc();
        let frame = frames::produce_to(TOPIC, producer.partition, &batch, -1)?;
        producer.next_sequence = sequence.plus(RECORDS_PER_BATCH as i32);
        if connection.send(&frame).is_err() {
            return Ok(written);
        }
        if let Some((at, sequence, crc, size)) = before.replace((at, sequence, crc, batch.len())) {
            let Ok(response) = connection.receive() else {
                return Ok(written);
            };
            let (code, base_offset) = topic::produce_result(response)?;
            check("a produce request", code)?;
            let partition = producers[at].partition;
            let batch = Written {
                partition,
                base_offset,
                crc,
            };
            producers[at].last = Some((sequence, batch));
            written.push(batch);
            total.fetch_add(size as u64, Ordering::Relaxed);
        }
    }
    Ok(written)
}

/// A batch whose bytes follow from its producer and sequence.
fn batch(id: ProducerId, sequence: Sequence) -> Vec<u8> {
    // The timestamp is the producer's too: a retry must be the same batch.
    let hour = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs() / 3600);
    let now = Timestamp::from_millis(hour as i64 * 3_600_000);
    let seed = (id.get() as u64) << 32 | sequence.get() as u64;
    let mut value = [0; RECORD_SIZE];
    Prng::new(seed).fill(&mut value);
    let mut builder = BatchBuilder::new(Codec::None).producer(id, ProducerEpoch::new(0), sequence);
    for index in 0..RECORDS_PER_BATCH {
        value[..4].copy_from_slice(&index.to_be_bytes());
        builder.push(now, None, Some(&value), &[]);
    }
    builder.finish(&mut Compressor::default())
}

/// Fetches batches at random and compares their checksums with what was sent.
fn check_reads(connection: &mut Connection, written: &[Written]) -> Result<(), BenchError> {
    let mut prng = Prng::new(1);
    let started = Instant::now();
    for _ in 0..CHECKS {
        let batch = prng.pick(written);
        let request = FetchRequest {
            max_wait_ms: 100,
            min_bytes: 1,
            max_bytes: 1 << 20,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: TOPIC.into(),
                partitions: vec![FetchPartition {
                    partition: batch.partition,
                    fetch_offset: batch.base_offset + i64::from(RECORDS_PER_BATCH) / 2,
                    partition_max_bytes: 1,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        connection.send(&frame(ApiKey::Fetch, FETCH_VERSION, 0, &request)?)?;
        let response = connection.receive()?;
        let mut reader = Reader::new(body(ApiKey::Fetch, FETCH_VERSION, response));
        let response = FetchResponse::decode(&mut reader, FETCH_VERSION)?;
        let partition = &response.responses[0].partitions[0];
        check("a random read", partition.error_code)?;
        let Some(Records::Slice(records)) = &partition.records else {
            panic!(
                "offset {} of partition {} is empty",
                batch.base_offset, batch.partition
            )
        };
        let view = BatchView::parse(records).expect("a batch was served");
        assert!(view.is_crc_valid(), "a damaged batch was served");
        assert_eq!(
            view.base_offset().get(),
            batch.base_offset,
            "another batch was served"
        );
        assert_eq!(view.crc(), batch.crc, "another content was served");
    }
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    println!(
        "{CHECKS} random reads are right ({:.2} ms each)",
        ms / CHECKS as f64
    );
    Ok(())
}

/// Sends the last acknowledged batch of many producers again: each must be recognised.
fn check_retries(connection: &mut Connection, producers: &[Producer]) -> Result<(), BenchError> {
    let mut prng = Prng::new(2);
    let last: Vec<_> = producers
        .iter()
        .filter_map(|it| Some((it.id, it.last?)))
        .collect();
    for _ in 0..CHECKS {
        let (id, (sequence, written)) = *prng.pick(&last);
        let batch = batch(id, sequence);
        connection.send(&frames::produce_to(TOPIC, written.partition, &batch, -1)?)?;
        let (code, base_offset) = topic::produce_result(connection.receive()?)?;
        check("a repeated batch", code)?;
        assert_eq!(
            base_offset, written.base_offset,
            "a repeated batch was appended again"
        );
    }
    println!("{CHECKS} repeated batches were recognised");
    Ok(())
}
