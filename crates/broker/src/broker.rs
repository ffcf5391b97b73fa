use crate::append_gate::AppendGate;
use crate::config::{BrokerConfig, LiveSettings};
use crate::config_rules::BrokerConfigRules;
use crate::connection::{Connection, ConnectionInfo};
use crate::controller_desk::ControllerDesk;
use crate::dispatch::Api;
use crate::fetch::SessionCache;
use crate::groups::Groups;
use crate::handlers;
use crate::loggers::Loggers;
use crate::metrics::{BrokerMetrics, ClientRequest, ClientSoftware};
use crate::moving::Moves;
use crate::producer_ids::ProducerIds;
use crate::request::{Request, outcome};
use crate::response::{CloseReason, CoreId, Outcome};
use crate::view::View;
use crate::waiting::{Core, HeldBefore};
use arc_swap::ArcSwap;
use ottla_metadata::quorum::Quorum;
use ottla_metadata::{Controller, Image};
use ottla_protocol::{ApiKey, Reader, RequestHeader};
use ottla_storage::log_dir::LogDir;
use ottla_types::{BrokerEpoch, DirectoryId, IncarnationId, Now, Prng};
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// How the broker gets the attention of the threads around it.
pub trait Wake: Send + Sync {
    /// The core has completions to fetch. Called at most once until it fetches them.
    fn wake(&self, core: CoreId);

    /// Somebody changed what counts at once. Called in the order of the changes, and soon to return.
    fn settings_changed(&self, _settings: &Arc<LiveSettings>) {}

    /// The pump of the moves has something to do ([`Broker::move_step`]).
    fn wake_mover(&self) {}

    /// Work that may wait for a disk, and that somebody must do soon by calling [`BlockingWork::run`],
    /// not on a thread that serves connections. Whoever has no such threads runs it at once.
    fn block(&self, work: BlockingWork) {
        work.run();
    }
}

/// A piece of work that may wait for a disk. A request hangs on it.
pub struct BlockingWork(Box<dyn FnOnce() + Send>);

impl BlockingWork {
    pub(crate) fn new(work: impl FnOnce() + Send + 'static) -> BlockingWork {
        BlockingWork(Box::new(work))
    }

    /// Does it; the request it is for comes out of the completions afterwards.
    pub fn run(self) {
        (self.0)();
    }
}

impl fmt::Debug for BlockingWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockingWork")
    }
}

/// A log directory as the cluster and people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Names it for ever.
    pub id: DirectoryId,
    /// Where it is.
    pub path: String,
}

/// A configured log directory that could not be opened. What lies in it is offline until a start finds it
/// well again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedDirectory {
    /// Where it is.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What a broker is made of.
pub struct BrokerStart {
    /// Its configuration. Ports of 0 must have been replaced by the bound ones.
    pub config: BrokerConfig,
    /// Names this run of the process.
    pub incarnation: IncarnationId,
    /// Its log directories, at least one, recovered.
    pub directories: Vec<(Directory, Arc<LogDir>)>,
    /// Its log directories that could not be opened.
    pub failed_directories: Vec<FailedDirectory>,
    /// The metadata quorum.
    pub quorum: Arc<dyn Quorum>,
    /// The threads around it.
    pub wake: Arc<dyn Wake>,
    /// How many cores serve connections.
    pub cores_count: usize,
    /// Makes everything random.
    pub seed: u64,
}

/// One broker: requests in, outcomes out. See the crate's documentation.
///
/// Lock order: moves, controller desk, producer ids, group shard, the gate of appends, core, fetch set, partition, a
/// core's notes. The fetch
/// set of a session is locked for one look at it; no lock is held across I/O.
pub struct Broker {
    pub(crate) config: BrokerConfig,
    pub(crate) incarnation: IncarnationId,
    pub(crate) log_dirs: Vec<Arc<LogDir>>,
    /// One for each of `log_dirs`.
    pub(crate) directories: Vec<Directory>,
    pub(crate) failed_directories: Vec<FailedDirectory>,
    pub(crate) view: ArcSwap<View>,
    pub(crate) cores: Vec<Core>,
    pub(crate) sessions: SessionCache,
    pub(crate) desk: Mutex<ControllerDesk>,
    pub(crate) producer_ids: Mutex<ProducerIds>,
    pub(crate) following: Mutex<crate::following::Following>,
    pub(crate) groups: Groups,
    /// Logs on their way to another directory.
    pub(crate) moves: Mutex<Moves>,
    /// Whether one of them waits for a journal.
    pub(crate) awaits_journal: AtomicBool,
    pub(crate) gate: AppendGate,
    pub(crate) wake: Arc<dyn Wake>,
    pub(crate) live_settings: ArcSwap<LiveSettings>,
    pub(crate) metrics: BrokerMetrics,
    /// Bytes of requests that are kept until there is room for them.
    pub(crate) held_bytes: Arc<AtomicUsize>,
    loggers: OnceLock<Arc<dyn Loggers>>,
    pub(crate) is_draining: AtomicBool,
    myself: std::sync::Weak<Broker>,
}

impl Broker {
    /// A broker that knows nothing yet: the quorum's first event tells it what there is.
    pub fn new(start: BrokerStart) -> Arc<Broker> {
        assert!(
            !start.directories.is_empty(),
            "a broker has a log directory"
        );
        let mut prng = Prng::new(start.seed);
        let rules = BrokerConfigRules::new(&start.config);
        let controller = Controller::new(start.quorum, Arc::new(rules), prng.next_u64());
        let directories_count = start.directories.len();
        let node_id = start.config.node_id;
        let (directories, log_dirs): (Vec<Directory>, Vec<Arc<LogDir>>) =
            start.directories.into_iter().unzip();
        let batch_bytes = log_dirs.iter().map(|dir| dir.options().around_bytes);
        let batch_bytes_max = batch_bytes.min().expect("there is a directory");
        Arc::new_cyclic(|myself| Broker {
            sessions: SessionCache::new(start.config.requests.fetch_sessions_max, prng.fork()),
            groups: Groups::new(
                &start.config,
                batch_bytes_max,
                start.cores_count,
                prng.fork(),
            ),
            live_settings: ArcSwap::from_pointee(start.config.live_settings()),
            config: start.config,
            incarnation: start.incarnation,
            log_dirs,
            directories,
            failed_directories: start.failed_directories,
            view: ArcSwap::from_pointee(View::empty(node_id)),
            cores: (0..start.cores_count)
                .map(|_| Core::new(directories_count))
                .collect(),
            desk: Mutex::new(ControllerDesk::new(controller)),
            producer_ids: Mutex::default(),
            following: Mutex::default(),
            moves: Mutex::default(),
            awaits_journal: AtomicBool::new(false),
            gate: AppendGate::new(start.cores_count),
            wake: start.wake,
            metrics: BrokerMetrics::default(),
            held_bytes: Arc::default(),
            loggers: OnceLock::new(),
            is_draining: AtomicBool::new(false),
            myself: myself.clone(),
        })
    }

    /// This broker, for work that outlives a call.
    pub(crate) fn shared(&self) -> Arc<Broker> {
        self.myself
            .upgrade()
            .expect("a broker that is called exists")
    }

    /// A client connected.
    pub fn connect(&self, info: ConnectionInfo) -> Connection {
        assert!(info.core.index() < self.cores.len(), "there is such a core");
        Connection::new(info)
    }

    /// A client is gone. Answers that were parked for it still come and are to be dropped; what was held
    /// back until there is room is not carried out any more if an answer was wanted.
    pub fn disconnect(&self, connection: Connection) {
        connection.leave();
    }

    /// Carries out one request. `frame` is what follows the four bytes of its size.
    pub fn handle(&self, connection: &mut Connection, frame: &[u8], now: Now) -> Outcome {
        self.carry_out(connection, frame, None, now)
    }

    /// Carries out a request that may have been held before.
    pub(crate) fn carry_out(
        &self,
        connection: &mut Connection,
        frame: &[u8],
        held: Option<HeldBefore>,
        now: Now,
    ) -> Outcome {
        let mut reader = Reader::new(frame);
        let Ok(header) = RequestHeader::decode(&mut reader) else {
            return Outcome::Close(CloseReason::MalformedHeader);
        };
        if held.is_none() {
            self.metrics.request(header.api_key);
            connection.came_from(header.client_id);
        }
        let Some(api) = Api::find(header.api_key) else {
            let api_key = header.api_key;
            self.refuse_client(connection);
            return Outcome::Close(CloseReason::UnsupportedApi { api_key });
        };
        let is_served = api.versions().contains(&header.api_version);
        if !is_served && api.key == ApiKey::ApiVersions {
            // Its body is not even looked at: the client must learn what we speak (KIP-511).
            return outcome(handlers::k18_api_versions::refuse_version(&header));
        }
        if !is_served {
            self.refuse_client(connection);
            return Outcome::Close(CloseReason::UnsupportedVersion {
                api: api.key.name(),
                version: header.api_version,
            });
        }
        let counted = held.is_none() && self.config.metrics_level == "client";
        let (api_version, client_id) = (header.api_version, header.client_id.unwrap_or(""));
        let request = Request {
            broker: self,
            connection: &mut *connection,
            header,
            key: api.key,
            frame,
            body: reader.rest(),
            held,
            view: self.view.load_full(),
            now,
        };
        let outcome = outcome((api.handle)(request));
        if counted {
            // Behind the handler: with the first request a client says what it is.
            self.count_client_request(connection, client_id, api.key as i16, api_version);
        }
        outcome
    }

    fn count_client_request(
        &self,
        connection: &Connection,
        client_id: &str,
        api_key: i16,
        api_version: i16,
    ) {
        let unnamed = || ClientSoftware {
            name: client_id.to_owned(),
            version: String::new(),
        };
        self.metrics.client_request(ClientRequest {
            software: connection.software().cloned().unwrap_or_else(unnamed),
            api_key,
            api_version,
        });
    }

    fn refuse_client(&self, connection: &Connection) {
        if let Some(software) = connection.software() {
            self.metrics.client_refused(software);
        }
    }

    /// What the broker counts.
    pub fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }

    /// Bytes of requests that are kept until there is room for them: memory that received bytes take,
    /// like those the server still holds.
    pub fn held_bytes(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.held_bytes)
    }

    /// Lets BROKER_LOGGER resources be `loggers`; without any, there are none. Only the first counts.
    pub fn use_loggers(&self, loggers: Arc<dyn Loggers>) {
        self.loggers.get_or_init(|| loggers);
    }

    pub(crate) fn loggers(&self) -> Option<&Arc<dyn Loggers>> {
        self.loggers.get()
    }

    /// What counts at once when it is changed while the broker runs.
    pub fn live_settings(&self) -> Arc<LiveSettings> {
        self.live_settings.load_full()
    }

    /// What the broker was configured with.
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// The metadata as this broker serves it.
    pub fn image(&self) -> Arc<Image> {
        Arc::clone(&self.view.load().image)
    }

    /// How many fetch sessions there are.
    pub fn fetch_sessions_count(&self) -> usize {
        self.sessions.len()
    }

    /// Whether this incarnation is registered: from then on it serves its partitions.
    pub fn is_ready(&self) -> bool {
        self.registered_epoch().is_some()
    }

    /// Why the metadata can never change again in this process, if that is so. What was stored before is
    /// still served.
    pub fn metadata_failure(&self) -> Option<Arc<str>> {
        self.desk.lock().controller.failure().cloned()
    }

    /// The epoch this incarnation is registered in.
    pub(crate) fn registered_epoch(&self) -> Option<BrokerEpoch> {
        let view = self.view.load();
        let registration = view.image.broker(self.config.node_id)?;
        (registration.incarnation == self.incarnation).then_some(registration.epoch)
    }

    /// Answers waiting fetches now and lets none wait any more; members that wait for others are sent
    /// away. Everything else goes on.
    pub fn begin_shutdown(&self, _now: Now) {
        self.is_draining.store(true, Ordering::SeqCst);
        self.send_groups_away();
        for index in 0..self.cores.len() {
            self.wake_core(CoreId::new(index as u16));
        }
    }

    /// Whether no request waits for an answer.
    pub fn is_drained(&self) -> bool {
        self.cores
            .iter()
            .all(|core| core.state.lock().parked.is_empty())
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("node_id", &self.config.node_id)
            .finish_non_exhaustive()
    }
}
