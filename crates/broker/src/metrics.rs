use crate::counter::add;
use crate::ratio_histogram::RatioHistogram;
use crate::size_histogram::SizeHistogram;
use ottla_records::{Codec, ValidBatch};
use ottla_types::ErrorCode;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// API keys are below this.
const API_KEYS_END: usize = 96;

/// Everything the broker counts, for the server to export. Counters only ever rise.
#[derive(Debug)]
pub struct BrokerMetrics {
    requests: Vec<AtomicU64>,
    errors: Vec<AtomicU64>,
    topics: Mutex<BTreeMap<Arc<str>, Arc<TopicMetrics>>>,
    clients: Mutex<BTreeMap<ClientSoftware, SeenClient>>,
    client_requests: Mutex<BTreeMap<ClientRequest, u64>>,
    /// Sizes of appended batches in bytes, by the number of their codec.
    pub batch_bytes: [SizeHistogram; Codec::ALL.len()],
    /// Records of appended batches, by the number of their codec.
    pub batch_records: [SizeHistogram; Codec::ALL.len()],
    /// How many times as large appended batches would be without compression, by the number of their
    /// codec.
    pub compression_ratio: [RatioHistogram; Codec::ALL.len()],
    /// Bytes of record batches that were appended.
    pub produced_bytes: AtomicU64,
    /// Records that were appended.
    pub produced_records: AtomicU64,
    /// Batches that were appended.
    pub produced_batches: AtomicU64,
    /// Batches an idempotent producer sent again.
    pub duplicate_batches: AtomicU64,
    /// Batches that were compressed in another way than they came, because their topic wants it.
    pub recompressed_batches: AtomicU64,
    /// Bytes of record batches that were fetched.
    pub fetched_bytes: AtomicU64,
    /// Batches out of sequence.
    pub out_of_sequence: AtomicU64,
    /// Requests that wait for an answer.
    pub parked_requests: AtomicU64,
    /// Times a request had to wait for memory, for the journal or for a log that changes its directory.
    pub held_requests: AtomicU64,
    /// Bytes of batches that moves of logs copied.
    pub moved_bytes: AtomicU64,
    /// Logs that are in another directory now.
    pub moves_completed: AtomicU64,
    /// Moves that ended because a directory failed.
    pub moves_failed: AtomicU64,
    /// Times the metadata was asked where a log is and did not say what it decided: appends wait until it does.
    pub moves_unanswered: AtomicU64,
    /// Fetch sessions that were given up for others.
    pub fetch_sessions_evicted: AtomicU64,
    /// Partitions of the offsets topic that could not be loaded: their groups have no coordinator.
    pub groups_load_failures: AtomicU64,
    /// Records of the offsets topic that were passed over because they could not be read.
    pub groups_unreadable_records: AtomicU64,
}

/// What is counted for one topic.
#[derive(Debug, Default)]
pub struct TopicMetrics {
    /// Bytes of record batches that were appended.
    pub bytes_in: AtomicU64,
    /// Bytes of record batches that were fetched.
    pub bytes_out: AtomicU64,
    /// Records that were appended.
    pub records_in: AtomicU64,
    /// Batches that were refused.
    pub produce_failed: FailureCounts,
    /// Fetches that were refused.
    pub fetch_failed: FailureCounts,
}

/// What a client says it is (KIP-511).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientSoftware {
    /// Such as `apache-kafka-java`.
    pub name: String,
    /// Such as `4.4.0`.
    pub version: String,
}

/// What is known of the connections of one client software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenClient {
    /// Opened so far.
    pub connections: u64,
    /// Whether it has never asked for something that is not served.
    pub is_supported: bool,
}

/// A kind of request of a client software.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientRequest {
    /// Who; under its client id, without a version, if it did not say what it is.
    pub software: ClientSoftware,
    /// Which API.
    pub api_key: i16,
    /// In which version.
    pub api_version: i16,
}

/// Kinds of requests that are told apart; more are not counted.
const CLIENT_REQUESTS_MAX: usize = 4096;

/// What compresses batches, in the order of the codecs' numbers.
pub fn codec_names() -> impl Iterator<Item = &'static str> {
    Codec::ALL.into_iter().map(Codec::name)
}

/// Failures by what was answered.
#[derive(Debug, Default)]
pub struct FailureCounts(Mutex<BTreeMap<ErrorCode, u64>>);

impl FailureCounts {
    pub(crate) fn count(&self, code: ErrorCode) {
        *self.0.lock().entry(code).or_default() += 1;
    }

    /// How often each error was answered.
    pub fn by_error(&self) -> Vec<(ErrorCode, u64)> {
        let counts = self.0.lock();
        counts.iter().map(|(code, count)| (*code, *count)).collect()
    }
}

/// Different client softwares that are told apart; the rest counts as one.
const CLIENT_SOFTWARES_MAX: usize = 256;

impl Default for BrokerMetrics {
    fn default() -> BrokerMetrics {
        let counters = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        BrokerMetrics {
            requests: counters(API_KEYS_END),
            errors: counters(ErrorCode::ALL.len()),
            topics: Mutex::default(),
            clients: Mutex::default(),
            client_requests: Mutex::default(),
            batch_bytes: Default::default(),
            batch_records: Default::default(),
            compression_ratio: Default::default(),
            produced_bytes: AtomicU64::new(0),
            produced_records: AtomicU64::new(0),
            produced_batches: AtomicU64::new(0),
            duplicate_batches: AtomicU64::new(0),
            recompressed_batches: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
            out_of_sequence: AtomicU64::new(0),
            parked_requests: AtomicU64::new(0),
            held_requests: AtomicU64::new(0),
            moved_bytes: AtomicU64::new(0),
            moves_completed: AtomicU64::new(0),
            moves_failed: AtomicU64::new(0),
            moves_unanswered: AtomicU64::new(0),
            fetch_sessions_evicted: AtomicU64::new(0),
            groups_load_failures: AtomicU64::new(0),
            groups_unreadable_records: AtomicU64::new(0),
        }
    }
}

impl BrokerMetrics {
    /// Requests by API key; keys without requests are left out.
    pub fn requests(&self) -> impl Iterator<Item = (i16, u64)> {
        let counts = self.requests.iter().enumerate();
        counts
            .map(|(key, count)| (key as i16, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| 0 < *count)
    }

    /// Errors answered, by code; codes without errors are left out.
    pub fn errors(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        let codes = ErrorCode::ALL.iter().zip(&self.errors);
        codes
            .map(|(code, count)| (*code, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| 0 < *count)
    }

    /// Topics with what was counted for them.
    pub fn topics(&self) -> Vec<(Arc<str>, Arc<TopicMetrics>)> {
        let topics = self.topics.lock();
        let shared = topics.iter();
        shared
            .map(|(name, counts)| (Arc::clone(name), Arc::clone(counts)))
            .collect()
    }

    /// Client softwares that were seen so far.
    pub fn clients(&self) -> Vec<(ClientSoftware, SeenClient)> {
        let clients = self.clients.lock();
        clients
            .iter()
            .map(|(software, seen)| (software.clone(), *seen))
            .collect()
    }

    /// Requests by client software, API and version; empty unless `ottla.metrics.level` is `client`.
    pub fn client_requests(&self) -> Vec<(ClientRequest, u64)> {
        let requests = self.client_requests.lock();
        requests
            .iter()
            .map(|(request, count)| (request.clone(), *count))
            .collect()
    }

    pub(crate) fn client_request(&self, request: ClientRequest) {
        let mut requests = self.client_requests.lock();
        if requests.len() < CLIENT_REQUESTS_MAX || requests.contains_key(&request) {
            *requests.entry(request).or_default() += 1;
        }
    }

    pub(crate) fn appended(&self, facts: &ValidBatch) {
        let (codec, size) = (facts.codec as usize, facts.size as u64);
        self.batch_bytes[codec].record(size);
        self.batch_records[codec].record(u64::from(facts.records_count));
        self.compression_ratio[codec].record(facts.uncompressed_size as u64, size);
    }

    pub(crate) fn request(&self, api_key: i16) {
        if let Some(counter) = usize::try_from(api_key)
            .ok()
            .and_then(|key| self.requests.get(key))
        {
            add(counter, 1);
        }
    }

    pub(crate) fn error(&self, code: ErrorCode) {
        if code != ErrorCode::None
            && let Ok(index) = ErrorCode::ALL.binary_search(&code)
        {
            add(&self.errors[index], 1);
        }
    }

    pub(crate) fn topic(&self, name: &Arc<str>) -> Arc<TopicMetrics> {
        let mut topics = self.topics.lock();
        Arc::clone(topics.entry(Arc::clone(name)).or_default())
    }

    pub(crate) fn forget_topic(&self, name: &str) {
        let mut topics = self.topics.lock();
        topics.remove(name);
    }

    pub(crate) fn client(&self, software: &ClientSoftware) {
        self.see_client(software, |seen| seen.connections += 1);
    }

    /// A client asked for an API or a version that is not served.
    pub(crate) fn client_refused(&self, software: &ClientSoftware) {
        self.see_client(software, |seen| seen.is_supported = false);
    }

    fn see_client(&self, software: &ClientSoftware, see: impl FnOnce(&mut SeenClient)) {
        let mut clients = self.clients.lock();
        let mut software = software.clone();
        if CLIENT_SOFTWARES_MAX <= clients.len() && !clients.contains_key(&software) {
            software = ClientSoftware {
                name: "other".to_owned(),
                version: String::new(),
            };
        }
        let seen = clients.entry(software).or_insert(SeenClient {
            connections: 0,
            is_supported: true,
        });
        see(seen);
    }
}
