use ottla_broker::config::{BrokerConfig, ConfigSources};
use ottla_broker::{
    BlockingWork, Broker, BrokerStart, CloseReason, Connection, ConnectionInfo, CoreId, Directory,
    MoveStep, Outcome, Response, ResponsePart, Token, Wake,
};
use ottla_metadata::quorum::Voter;
use ottla_metadata::{Bootstrap, Fencing, LocalQuorum, LocalQuorumOptions, QuorumStoreOptions};
use ottla_protocol::{ApiKey, Message, Reader, RequestHeader, ResponseHeader, Writer};
use ottla_records::{BatchBuilder, Codec, Compressor, Decompressor, batches};
use ottla_storage::disk::{Disk, DiskError, DiskOperation, OpenMode};
use ottla_storage::log_dir::{LogDir, LogDirOptions, PumpStep};
use ottla_storage::memory_disk::MemoryDisk;
use ottla_storage::wal::CommitStep;
use ottla_storage::watched_disk::WatchedDisk;
use ottla_types::{BrokerId, DirectoryId, IncarnationId, Mono, Now, Timestamp, Uuid};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// When every test begins, in milliseconds since 1970.
pub const START: i64 = 1_790_000_000_000;
pub const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

#[derive(Default)]
pub struct CountingWake {
    pub wakes: AtomicUsize,
    /// One per core: whether it was woken since it last waited.
    woken: [(Mutex<bool>, Condvar); 2],
    /// Work that waits for a disk is put here instead of being done at once, if this is there.
    pub deferred: Mutex<Option<Vec<BlockingWork>>>,
}

impl CountingWake {
    /// Whether the core was woken since the last time.
    pub fn take(&self, core: usize) -> bool {
        std::mem::take(&mut *self.woken[core].0.lock())
    }

    /// Waits until the core is woken, as its thread would sleep.
    pub fn wait(&self, core: usize) {
        let (woken, signal) = &self.woken[core];
        let mut woken = woken.lock();
        while !*woken {
            let result = signal.wait_for(&mut woken, Duration::from_secs(20));
            assert!(!result.timed_out(), "core {core} was never woken");
        }
        *woken = false;
    }
}

impl Wake for CountingWake {
    fn wake(&self, core: CoreId) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        let (woken, signal) = &self.woken[core.index()];
        *woken.lock() = true;
        signal.notify_all();
    }

    fn block(&self, work: BlockingWork) {
        if let Some(deferred) = &mut *self.deferred.lock() {
            return deferred.push(work);
        }
        work.run();
    }
}

/// A broker with everything around it; nothing moves unless a test moves it.
pub struct Harness {
    pub broker: Arc<Broker>,
    pub log_dir: Arc<LogDir>,
    pub wake: Arc<CountingWake>,
    pub now: Now,
    /// All log directories; the first one is `log_dir`, and has the metadata.
    pub directories: Vec<TestDirectory>,
    /// Disks that this broker was started without.
    absent: Vec<TestDisk>,
    /// Makes the first log directory's device fail from now on.
    pub is_broken: Arc<AtomicBool>,
    settings: Vec<String>,
    pub quorum: Arc<LocalQuorum>,
    connection: Connection,
    correlation_id: i32,
    completed: BTreeMap<Token, Outcome>,
    incarnations: u8,
}

/// A disk, and what its directory is called by.
struct TestDisk {
    number: u8,
    disk: MemoryDisk,
}

/// A log directory of the broker.
pub struct TestDirectory {
    disk: TestDisk,
    pub log_dir: Arc<LogDir>,
    /// Makes its device fail from now on.
    pub is_broken: Arc<AtomicBool>,
}

impl TestDirectory {
    fn open(disk: TestDisk, options: LogDirOptions, now: Now) -> TestDirectory {
        let is_broken = Arc::new(AtomicBool::new(false));
        let device = breakable(&disk.disk, &is_broken);
        let opened = LogDir::open(Arc::new(device), options, now);
        let (log_dir, _report) = opened.expect("the directory opens");
        TestDirectory {
            disk,
            log_dir: Arc::new(log_dir),
            is_broken,
        }
    }

    fn describe(&self) -> Directory {
        Directory {
            id: directory_id(self.disk.number),
            path: directory_path(self.disk.number),
        }
    }
}

/// What a call leads to.
pub enum Called<R> {
    Answered(R),
    Waiting(Token),
    NoReply,
    Closed(CloseReason),
}

impl<R> Called<R> {
    pub fn answered(self) -> R {
        match self {
            Called::Answered(response) => response,
            Called::Waiting(_) => panic!("the request waits"),
            Called::NoReply => panic!("the request has no reply"),
            Called::Closed(reason) => panic!("the connection is closed: {reason}"),
        }
    }

    pub fn closed(self) -> CloseReason {
        match self {
            Called::Closed(reason) => reason,
            _ => panic!("the connection is not closed"),
        }
    }
}

/// `disk`, on which no write and no sync succeeds any more once `is_broken` is set.
fn breakable(disk: &MemoryDisk, is_broken: &Arc<AtomicBool>) -> WatchedDisk {
    let is_broken = Arc::clone(is_broken);
    WatchedDisk::new(Arc::new(disk.clone()), move |operation, path| {
        let changes = [
            DiskOperation::Write,
            DiskOperation::Sync,
            DiskOperation::SetLen,
        ];
        if !changes.contains(&operation) || !is_broken.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(DiskError::Io {
            operation,
            path: path.to_owned(),
            message: "the device is gone".to_owned(),
        })
    })
}

/// The id of directory `number`, from 0.
pub fn directory_id(number: u8) -> DirectoryId {
    DirectoryId::new(Uuid::from_bytes([7 + number; 16]))
}

/// The path of directory `number`, from 0.
pub fn directory_path(number: u8) -> String {
    match number {
        0 => "data".to_owned(),
        number => format!("data-{number}"),
    }
}

fn config(settings: &[String]) -> BrokerConfig {
    let sources = ConfigSources {
        settings: settings.to_vec(),
        ..ConfigSources::default()
    };
    BrokerConfig::load(&sources)
        .expect("a valid configuration")
        .config
}

impl Harness {
    pub fn new() -> Harness {
        Harness::with(&[])
    }

    /// A broker with these settings.
    pub fn with(settings: &[&str]) -> Harness {
        Harness::with_directories(1, settings)
    }

    /// A broker with so many log directories.
    pub fn with_directories(count: u8, settings: &[&str]) -> Harness {
        let disks = (0..count).map(|number| TestDisk {
            number,
            disk: MemoryDisk::new(),
        });
        let settings = settings.iter().map(|text| (*text).to_owned()).collect();
        let now = Now {
            mono: Mono::from_millis(1000),
            wall: Timestamp::from_millis(START),
        };
        Harness::on(disks.collect(), Vec::new(), settings, now, 1)
    }

    fn on(
        disks: Vec<TestDisk>,
        absent: Vec<TestDisk>,
        settings: Vec<String>,
        now: Now,
        incarnation: u8,
    ) -> Harness {
        let disk = disks[0].disk.clone();
        let tail_bytes_max = match settings
            .iter()
            .find_map(|set| set.strip_prefix("ottla.memory.tails.bytes="))
        {
            Some(bytes) => bytes.parse().expect("a number"),
            None => 128 << 20,
        };
        let around_bytes = LogDirOptions::default().around_bytes;
        let options = LogDirOptions {
            around_bytes: around_bytes.min(tail_bytes_max),
            tail_bytes_max,
            reader_bytes_max: tail_bytes_max,
            reserve_bytes: 0,
            reserve_percent: 0,
            ..LogDirOptions::default()
        };
        let disks = disks.into_iter();
        let directories = disks.map(|disk| TestDirectory::open(disk, options.clone(), now));
        let directories: Vec<_> = directories.collect();
        let log_dir = Arc::clone(&directories[0].log_dir);
        let is_broken = Arc::clone(&directories[0].is_broken);
        let incarnation_id = IncarnationId::new(Uuid::from_bytes([incarnation; 16]));
        let config = config(&settings);
        let first_batch = || {
            let bootstrap = Bootstrap {
                cluster_id: CLUSTER_ID.to_owned(),
                features: [("metadata.version".to_owned(), 33)].into(),
                registration: ottla_metadata::RegisterBroker {
                    broker: BrokerId::new(99),
                    cluster_id: None,
                    incarnation: incarnation_id,
                    endpoints: Vec::new(),
                    features: BTreeMap::new(),
                    rack: None,
                    directories: Vec::new(),
                    cordoned: Vec::new(),
                    fencing: Fencing::Fenced,
                },
            };
            let (mut records, _) = bootstrap.records();
            records.truncate(2); // The broker registers itself, as it does at every later start.
            records
        };
        let me = Voter {
            node: config.node_id,
            directory: directory_id(0),
        };
        let path = std::path::Path::new("metadata");
        let quorum = LocalQuorum::open(
            Arc::new(disk.clone()),
            path,
            &LocalQuorumOptions {
                me,
                snapshot_entries_size: 1 << 20,
                store: QuorumStoreOptions::default(),
            },
            first_batch,
        );
        let quorum = Arc::new(quorum.expect("the quorum opens"));
        let wake = Arc::new(CountingWake::default());
        let broker = Broker::new(BrokerStart {
            config,
            incarnation: incarnation_id,
            directories: directories
                .iter()
                .map(|directory| (directory.describe(), Arc::clone(&directory.log_dir)))
                .collect(),
            failed_directories: Vec::new(),
            quorum: Arc::clone(&quorum) as Arc<_>,
            wake: Arc::clone(&wake) as Arc<_>,
            cores_count: 2,
            seed: 42,
        });
        let connection = connect(&broker, 0);
        let mut harness = Harness {
            broker,
            log_dir,
            wake,
            now,
            directories,
            absent,
            is_broken,
            settings,
            quorum,
            connection,
            correlation_id: 0,
            completed: BTreeMap::new(),
            incarnations: incarnation,
        };
        harness.settle();
        assert!(harness.broker.is_ready(), "the broker registers itself");
        harness
    }

    /// Ends this broker as a kill would and starts the next one on what is on the disk.
    pub fn restart(self) -> Harness {
        let numbers: Vec<u8> = self.directories.iter().map(|dir| dir.disk.number).collect();
        self.restart_on(&numbers)
    }

    /// The same, on these directories of all it was ever started with.
    pub fn restart_on(mut self, numbers: &[u8]) -> Harness {
        let (settings, now) = (self.settings.clone(), self.now);
        let incarnation = self.incarnations + 1;
        let directories = std::mem::take(&mut self.directories).into_iter();
        let mut disks: Vec<_> = directories
            .map(|directory| TestDisk {
                number: directory.disk.number,
                disk: directory.disk.disk.copy(),
            })
            .collect();
        disks.append(&mut self.absent);
        drop(self);
        disks.sort_by_key(|disk| disk.number);
        let (present, absent) = disks
            .into_iter()
            .partition(|disk| numbers.contains(&disk.number));
        Harness::on(present, absent, settings, now, incarnation)
    }

    /// Everything that can happen without time passing happens.
    pub fn settle(&mut self) {
        loop {
            let events = self.quorum.step();
            let is_quiet = events.is_empty() && !self.commit_once();
            for event in events {
                self.broker.on_quorum_event(&event, self.now);
            }
            self.collect();
            self.collect(); // One core may have left a note for the other.
            if is_quiet {
                return;
            }
        }
    }

    /// Every move of a log comes to its end, as far as it can.
    pub fn settle_moves(&mut self) {
        for _ in 0..10_000 {
            self.settle();
            for directory in &self.directories {
                // Logs that were dropped go, and large batches are written.
                directory.log_dir.flush_step(self.now);
            }
            match self.broker.move_step(self.now) {
                MoveStep::Worked => {}
                MoveStep::Waiting { until } => self.pass(until.since(self.now.mono)),
                MoveStep::Idle if self.broker.moving_count() == 0 => return,
                MoveStep::Idle => {}
            }
        }
        panic!("a move never ends");
    }

    /// A byte of `text` is another one wherever it stands in a directory's journal.
    pub fn spoil_journal(&self, directory: usize, text: &str) {
        let disk = &self.directories[directory].disk.disk;
        let path = std::path::Path::new("wal");
        let mut spoiled_count = 0;
        for entry in disk.list(path).expect("there is a journal") {
            let file = disk.open(&path.join(&entry.name), OpenMode::ReadWrite);
            let file = file.expect("it is there");
            let mut bytes = vec![0; file.size().expect("it has a size") as usize];
            file.read_at(0, &mut bytes).expect("readable");
            let found = bytes.windows(text.len()).enumerate();
            for (at, _) in found.filter(|(_, window)| *window == text.as_bytes()) {
                file.write_at(at as u64, &[b"?"]).expect("writable");
                spoiled_count += 1;
            }
        }
        assert!(0 < spoiled_count, "{text} is in the journal");
    }

    /// One metadata step, without the journal.
    pub fn step_quorum(&mut self) -> bool {
        let events = self.quorum.step();
        for event in &events {
            self.broker.on_quorum_event(event, self.now);
        }
        self.collect();
        !events.is_empty()
    }

    /// Everything that is in memory goes to segment files; the next broker on them finds them cold.
    pub fn flush(&mut self) {
        self.settle();
        for number in 0..self.directories.len() {
            self.flush_one(Arc::clone(&self.directories[number].log_dir));
        }
    }

    fn flush_one(&mut self, log_dir: Arc<LogDir>) {
        let mut now = self.now;
        while log_dir.stats().dirty_partitions_count != 0 {
            match log_dir.flush_step(now) {
                PumpStep::Worked => self.settle(),
                PumpStep::Waiting { until } => now.mono = until,
                PumpStep::Offline => panic!("the disk is good"),
            }
        }
    }

    /// Hands out the reads that were put off.
    pub fn deferred_reads(&mut self) -> Vec<BlockingWork> {
        std::mem::take(self.wake.deferred.lock().get_or_insert_default())
    }

    /// One step of every journal.
    pub fn commit_once(&mut self) -> bool {
        let mut has_worked = false;
        for directory in &self.directories {
            let step = directory.log_dir.commit_step(self.now);
            match step {
                CommitStep::Failed(_) => self.broker.on_directory_failure(self.now),
                _ => self.broker.on_commit(self.now),
            }
            has_worked |= matches!(
                step,
                CommitStep::Wrote { .. } | CommitStep::Synced { .. } | CommitStep::Prepared
            );
        }
        has_worked
    }

    /// Fetches what the cores have completed.
    pub fn collect(&mut self) {
        for core in 0..2 {
            let mut out = Vec::new();
            self.broker
                .completions(CoreId::new(core), self.now, &mut out);
            for (token, outcome) in out {
                let earlier = self.completed.insert(token, outcome);
                assert!(earlier.is_none(), "an answer comes once");
            }
        }
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono.plus(time);
        let wall = self.now.wall.as_millis() + time.as_millis() as i64;
        self.now.wall = Timestamp::from_millis(wall);
        self.settle();
    }

    /// A connection on another core.
    pub fn connect(&self, core: u16) -> Connection {
        connect(&self.broker, core)
    }

    /// Sends a request on the harness's connection and does not wait.
    pub fn send<'m, Q: Message<'m>>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> Called<Vec<u8>> {
        let frame = self.frame(key, version, request);
        let outcome = self.broker.handle(&mut self.connection, &frame, self.now);
        called(outcome)
    }

    /// Sends a request on `connection` and does not wait.
    pub fn send_on<'m, Q: Message<'m>>(
        &mut self,
        connection: &mut Connection,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> Called<Vec<u8>> {
        let frame = self.frame(key, version, request);
        called(self.broker.handle(connection, &frame, self.now))
    }

    /// Sends raw bytes behind the size.
    pub fn send_raw(&mut self, frame: &[u8]) -> Called<Vec<u8>> {
        called(self.broker.handle(&mut self.connection, frame, self.now))
    }

    pub fn frame<'m, Q: Message<'m>>(&mut self, key: ApiKey, version: i16, request: &Q) -> Vec<u8> {
        self.correlation_id += 1;
        let header = RequestHeader {
            api_key: key as i16,
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some("harness"),
        };
        let mut writer = Writer::new();
        header
            .encode(&mut writer)
            .expect("the header is well formed");
        request
            .encode(&mut writer, version)
            .expect("the request is well formed");
        writer.into_buf()
    }

    /// The answer of a parked request, if it has come.
    pub fn take(&mut self, token: Token) -> Option<Vec<u8>> {
        let outcome = self.completed.remove(&token)?;
        Some(called(outcome).answered())
    }

    /// Whether a parked request ended without an answer.
    pub fn take_silent(&mut self, token: Token) -> bool {
        matches!(self.completed.remove(&token), Some(Outcome::NoReply))
    }

    /// Whether a parked request closed its connection.
    pub fn take_closed(&mut self, token: Token) -> bool {
        matches!(self.completed.remove(&token), Some(Outcome::Close(_)))
    }

    /// Sends a request and makes everything happen until it is answered; returns the whole frame.
    pub fn answer<'m, Q: Message<'m>>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> Called<Vec<u8>> {
        let token = match self.send(key, version, request) {
            Called::Waiting(token) => token,
            called => return called,
        };
        self.settle();
        if let Some(frame) = self.take(token) {
            return Called::Answered(frame);
        }
        let deadline = self
            .broker
            .next_deadline(CoreId::new(0))
            .expect("it has a deadline");
        self.pass(deadline.since(self.now.mono));
        self.settle(); // It may only have begun then.
        Called::Answered(self.take(token).expect("its time is up"))
    }

    /// Sends a request, waits for the answer and reads it; `with` sees the message.
    pub fn call<'m, Q: Message<'m>, T>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &Q,
        with: impl FnOnce(&[u8]) -> T,
    ) -> T {
        let frame = self.answer(key, version, request).answered();
        let body = body(&frame, key, version, self.correlation_id);
        with(body)
    }
}

fn connect(broker: &Broker, core: u16) -> Connection {
    broker.connect(ConnectionInfo {
        core: CoreId::new(core),
        listener: "PLAINTEXT".to_owned(),
        peer: "127.0.0.1:50000".parse().expect("an address"),
        local: "127.0.0.1:9092".parse().expect("an address"),
    })
}

fn called(outcome: Outcome) -> Called<Vec<u8>> {
    match outcome {
        Outcome::Reply(response) => Called::Answered(bytes(&response)),
        Outcome::Parked { token, .. } => Called::Waiting(token),
        Outcome::NoReply => Called::NoReply,
        Outcome::Close(reason) => Called::Closed(reason),
    }
}

/// All bytes of a response; checks the size in front.
pub fn bytes(response: &Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in &response.parts {
        match part {
            ResponsePart::Bytes(part) => bytes.extend_from_slice(part),
            ResponsePart::File(range) => {
                bytes.extend_from_slice(&range.load_all().expect("the file is good"));
            }
        }
    }
    let size = i32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
    assert_eq!(size as usize, bytes.len() - 4, "the frame's size is right");
    assert_eq!(response.size(), bytes.len());
    bytes
}

/// What follows the header of a response frame.
pub fn body(frame: &[u8], key: ApiKey, version: i16, correlation_id: i32) -> &[u8] {
    let mut reader = Reader::new(&frame[4..]);
    let header = ResponseHeader::decode(&mut reader, key, version).expect("a header");
    assert_eq!(header.correlation_id, correlation_id);
    reader.rest()
}

/// Reads a message that must fill `body`.
pub fn read<'a, M: Message<'a>>(body: &'a [u8], version: i16) -> M {
    let mut reader = Reader::new(body);
    let message = M::decode(&mut reader, version).expect("a well-formed response");
    assert_eq!(reader.remaining(), 0, "no byte is left over");
    message
}

/// A batch of these values with the time every test begins at.
pub fn batch(values: &[&str]) -> Vec<u8> {
    batch_with(Codec::None, values, START)
}

pub fn batch_with(codec: Codec, values: &[&str], timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    for (index, value) in values.iter().enumerate() {
        let timestamp = Timestamp::from_millis(timestamp + index as i64);
        builder.push(timestamp, None, Some(value.as_bytes()), &[]);
    }
    builder.finish(&mut Compressor::default())
}

/// The records of batches as `(offset, value)`.
pub fn records(bytes: &[u8]) -> Vec<(i64, String)> {
    let mut decompressor = Decompressor::default();
    let mut found = Vec::new();
    for batch in batches(bytes) {
        let batch = batch.expect("whole batches");
        assert!(batch.is_crc_valid());
        for record in batch.records(&mut decompressor).expect("readable") {
            let record = record.expect("readable");
            let value = record.value.expect("a value");
            found.push((
                record.offset.get(),
                String::from_utf8(value.to_vec()).expect("text"),
            ));
        }
    }
    found
}

impl Harness {
    /// Creates a topic and returns its id.
    pub fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        use ottla_protocol::messages::create_topics_request::*;
        use ottla_protocol::messages::create_topics_response::CreateTopicsResponse;
        let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: (*name).into(),
            value: Some((*value).into()),
        });
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: partitions,
                replication_factor: 1,
                configs: configs.collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: 1000,
            ..CreateTopicsRequest::default()
        };
        self.call(ApiKey::CreateTopics, 7, &request, |body| {
            let response: CreateTopicsResponse<'_> = read(body, 7);
            assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0]);
            response.topics[0].topic_id
        })
    }

    /// Appends a batch with acks=all and returns its base offset, or the error.
    pub fn produce(&mut self, topic: &str, partition: i32, batch: &[u8]) -> Result<i64, i16> {
        let request = produce_request(topic, partition, batch, -1);
        self.call(ApiKey::Produce, 9, &request, |body| {
            let response: ottla_protocol::messages::produce_response::ProduceResponse<'_> =
                read(body, 9);
            let partition = &response.responses[0].partition_responses[0];
            match partition.error_code {
                0 => Ok(partition.base_offset),
                code => Err(code),
            }
        })
    }

    /// Everything consumers may read of a partition from `offset` on, as one fetch gives it.
    pub fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Vec<(i64, String)>, i16> {
        let request = fetch_request(topic, partition, offset, 0);
        self.call(ApiKey::Fetch, 4, &request, |body| {
            let response: ottla_protocol::messages::fetch_response::FetchResponse<'_> =
                read(body, 4);
            let data = &response.responses[0].partitions[0];
            match data.error_code {
                0 => Ok(records(records_of(data))),
                code => Err(code),
            }
        })
    }
}

/// The record bytes of a fetched partition.
pub fn records_of<'a>(
    data: &ottla_protocol::messages::fetch_response::PartitionData<'a>,
) -> &'a [u8] {
    match data.records {
        Some(ottla_protocol::Records::Slice(bytes)) => bytes,
        _ => &[],
    }
}

pub fn produce_request<'a>(
    topic: &'a str,
    partition: i32,
    batch: &'a [u8],
    acks: i16,
) -> ottla_protocol::messages::produce_request::ProduceRequest<'a> {
    use ottla_protocol::messages::produce_request::*;
    ProduceRequest {
        acks,
        timeout_ms: 5000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(ottla_protocol::Records::Slice(batch)),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

pub fn fetch_request(
    topic: &str,
    partition: i32,
    offset: i64,
    max_wait_ms: i32,
) -> ottla_protocol::messages::fetch_request::FetchRequest<'_> {
    use ottla_protocol::messages::fetch_request::*;
    FetchRequest {
        replica_id: -1,
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                partition,
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}
