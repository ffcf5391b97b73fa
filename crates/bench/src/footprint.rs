//! What idle connections and idle partitions cost in memory.

use crate::connection::Connection;
use crate::contender::{Contender, Running};
use crate::error::{BenchError, check};
use crate::{frames, topic};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::api_versions_request::ApiVersionsRequest;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const CONNECTIONS_TOPIC: &str = "connections";
const EMPTY_TOPIC: &str = "empty";
const WRITTEN_TOPIC: &str = "written";
const BATCH_SIZE: usize = 1024;
const API_VERSIONS_VERSION: i16 = 3;
/// Time for the server to put away what a load left; caches are trimmed every second.
const REST: Duration = Duration::from_secs(5);

/// How much.
pub struct Options {
    /// Whose memory.
    pub contender: Contender,
    /// Folder for data.
    pub data: PathBuf,
    /// Idle connections.
    pub connections: usize,
    /// Partitions of each topic.
    pub partitions: i32,
}

/// Measures and prints. Each step begins where the one before ended.
pub fn run(options: &Options) -> Result<(), BenchError> {
    let server = options.contender.start(&options.data)?;
    let mut control = Connection::open(&server.bootstrap)?;
    let batch = frames::batch(BATCH_SIZE);
    topic::create(&mut control, CONNECTIONS_TOPIC, 1)?;
    let idle = rested(&server)?;
    println!("{}: {:.1} MB resident", options.contender.name(), mb(idle));

    let connections = idle_connections(&server, options.connections)?;
    let connected = rested(&server)?;
    print_each("connections", options.connections, idle, connected);
    drop(connections);

    let before = rested(&server)?;
    let count = options.partitions as usize;
    let started = Instant::now();
    topic::create_empty(&mut control, EMPTY_TOPIC, options.partitions)?;
    println!("created in {:.1} s", started.elapsed().as_secs_f64());
    let created = rested(&server)?;
    print_each("empty partitions", count, before, created);

    topic::create_empty(&mut control, WRITTEN_TOPIC, options.partitions)?;
    for partition in 0..options.partitions {
        topic::write_until_taken(&mut control, WRITTEN_TOPIC, partition, &batch)?;
    }
    let written = rested(&server)?;
    print_each("partitions with a record", count, created, written);
    println!("in all {:.1} MB resident", mb(written));
    restart(server, &batch)
}

/// Opens connections that each say what client they are, write one record, and then nothing.
fn idle_connections(server: &Running, count: usize) -> Result<Vec<Connection>, BenchError> {
    let frame = frames::produce_to(CONNECTIONS_TOPIC, 0, &frames::batch(BATCH_SIZE), -1)?;
    let hello = ApiVersionsRequest {
        client_software_name: "ottla-bench".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = Connection::open(&server.bootstrap)?;
        connection.call(
            ApiKey::ApiVersions,
            API_VERSIONS_VERSION,
            &hello,
            |_| Ok(()),
        )?;
        connection.send(&frame)?;
        check("a record", topic::produce_error(connection.receive()?)?)?;
        connections.push(connection);
    }
    Ok(connections)
}

fn restart(mut server: Running, batch: &[u8]) -> Result<(), BenchError> {
    server.kill()?;
    let started = Instant::now();
    server.start_again()?;
    server.wait_until_listening()?;
    let listening = started.elapsed();
    let mut control = Connection::open(&server.bootstrap)?;
    topic::write_until_taken(&mut control, WRITTEN_TOPIC, 0, batch)?;
    let acknowledged = started.elapsed();
    println!(
        "after kill -9: listening after {:.0} ms, the first record after {:.0} ms, {:.1} MB resident",
        listening.as_secs_f64() * 1000.0,
        acknowledged.as_secs_f64() * 1000.0,
        mb(rested(&server)?)
    );
    Ok(())
}

/// Resident bytes once the server had time to put things away.
fn rested(server: &Running) -> Result<u64, BenchError> {
    std::thread::sleep(REST);
    Ok(server.resident_bytes()?)
}

fn print_each(what: &str, count: usize, before: u64, after: u64) {
    let added = after as f64 - before as f64;
    println!(
        "{count} {what}: {:.1} MB more, {:.2} KiB each",
        added / 1e6,
        added / 1024.0 / count as f64
    );
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
