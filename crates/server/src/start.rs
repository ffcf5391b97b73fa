use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ottla_broker::config::{AdvertisedHost, BrokerConfig};
use ottla_broker::{Broker, BrokerStart, Directory};
use ottla_storage::log_dir::LogDir;
use ottla_types::{IncarnationId, Mono};

use crate::broker_service::{BrokerService, WakeWorkers};
use crate::clock::Clock;
use crate::data_directory::DataDirectory;
use crate::disk::PlannedFault;
use crate::http;
use crate::metadata_quorum::{self, MetadataQuorum};
use crate::network::{
    self, BoundListener, ConnectionQuotas, Network, NetworkLimits, Unresolved, Workers,
};
use crate::opened_disks::OpenedDisks;
use crate::quorum_slot::QuorumSlot;
use crate::random::{random_bytes, random_id};
use crate::report::{ReportedDirectory, ServerReport};
use crate::start_error::StartError;
use crate::threads::{
    BlockingPool, Cleaner, Flusher, Journal, JournalCounters, Mover, MoverWaker, Scrubber,
};

/// Where the HTTP endpoints are.
const HTTP_PORT: &str = "ottla.http.port";

/// Threads that flush one directory.
const FLUSHERS: usize = 2;

/// Where the data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataPlace {
    /// In the configured directories.
    Directories,
    /// For throwaway brokers: in memory, gone with the process.
    Memory,
    /// For tests: in the configured directories, on disks that do harm.
    HarmfulDirectories(TestDisk),
}

/// What the disks of a test do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestDisk {
    /// What was not synced is gone with the process; the seed decides what is written back early.
    pub power_cut_seed: Option<u64>,
    /// Operations that fail.
    pub fault: Option<PlannedFault>,
}

/// A broker that is up, as a person is told about it.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// `node.id`.
    pub node_id: i32,
    /// The cluster's id.
    pub cluster_id: String,
    /// For each listener: its name, where it is bound, and what clients are told.
    pub listeners: Vec<(String, SocketAddr, String)>,
    /// Where the HTTP endpoints are.
    pub http: Option<SocketAddr>,
    /// The directories, as configured; none in memory.
    pub directories: Vec<String>,
    /// From the call of `start` to here.
    pub took: Duration,
}

/// A running broker.
pub struct Server {
    pub(crate) broker: Arc<Broker>,
    pub(crate) network: Network<BrokerService>,
    pub(crate) listeners: Vec<(TcpListener, BoundListener)>,
    pub(crate) log_dirs: Vec<Arc<LogDir>>,
    pub(crate) report: Arc<ServerReport>,
    pub(crate) clock: Clock,
    pub(crate) greeting: Greeting,
    pub(crate) quorum: MetadataQuorum,
    pub(crate) journals: Vec<Journal>,
    pub(crate) flushers: Vec<Flusher>,
    pub(crate) cleaners: Vec<Cleaner>,
    pub(crate) scrubbers: Vec<Scrubber>,
    pub(crate) mover: Mover,
}

impl Server {
    /// Brings a broker up: directories, journals, metadata, registration, sockets. It answers
    /// nobody before `serve`.
    pub fn start(mut config: BrokerConfig, place: DataPlace) -> Result<Server, StartError> {
        let clock = Clock::start();
        let is_in_memory = place == DataPlace::Memory;
        let mut opened = OpenedDisks::open(&config, &place, clock)?;
        let sockets = bind_all(&mut config)?;
        let http = bind_http(&mut config)?;
        let workers = Workers::new(worker_count(&config));
        let blocking = BlockingPool::default();
        let quotas = Arc::new(ArcSwap::from_pointee(quotas(&config)?));
        let slot = Arc::new(QuorumSlot::default());
        let mover_waker = MoverWaker::default();
        let log_dirs: Vec<Arc<LogDir>> = opened
            .directories
            .iter()
            .map(|directory| Arc::clone(&directory.log_dir))
            .collect();
        let broker = Broker::new(BrokerStart {
            config: config.clone(),
            incarnation: IncarnationId::new(random_id()?),
            directories: opened.directories.iter().map(as_directory).collect(),
            failed_directories: opened.failed.clone(),
            quorum: Arc::clone(&slot) as _,
            wake: Arc::new(WakeWorkers::new(
                workers.clone(),
                blocking.clone(),
                Arc::clone(&quotas),
                mover_waker.clone(),
            )),
            cores_count: workers.count(),
            seed: u64::from_le_bytes(random_bytes()?),
        });

        let cluster_id = opened.directories[0].identity.cluster_id.clone();
        let first_batch = || broker.found_cluster(&cluster_id);
        let (store, metadata_lock) = opened.make_durable(first_batch)?;
        let directories = opened.directories;

        let counters: Vec<Arc<JournalCounters>> = log_dirs.iter().map(|_| Arc::default()).collect();
        let journals =
            log_dirs
                .iter()
                .zip(&counters)
                .enumerate()
                .map(|(number, (dir, counters))| {
                    let (commits, failures) = (Arc::clone(&broker), Arc::clone(&broker));
                    let on_commit = move |now| commits.on_commit(now);
                    let on_failure = move |now| failures.on_directory_failure(now);
                    Journal::start(
                        number,
                        Arc::clone(dir),
                        clock,
                        Arc::clone(counters),
                        on_commit,
                        on_failure,
                    )
                });
        let journals = journals.collect::<Result<_, _>>().map_err(no_threads)?;

        let quorum = metadata_quorum::start(&config, store, metadata_lock, &broker, &slot, clock)?;

        tell_missing(&broker);

        let limits = limits(&config);
        let service = Arc::new(BrokerService::new(Arc::clone(&broker)));
        let network = Network::start(service, workers.clone(), limits, quotas, blocking, clock)
            .map_err(no_threads)?;
        let flushers = log_dirs
            .iter()
            .enumerate()
            .map(|(number, dir)| Flusher::start(number, FLUSHERS, dir, clock))
            .collect::<Result<_, _>>()
            .map_err(no_threads)?;
        let cleaners = log_dirs
            .iter()
            .enumerate()
            .map(|(number, dir)| Cleaner::start(number, Arc::clone(dir), clock))
            .collect::<Result<_, _>>()
            .map_err(no_threads)?;
        let scrubbers = directories
            .iter()
            .enumerate()
            .map(|(number, directory)| {
                let log_dir = Arc::clone(&directory.log_dir);
                let broker = Arc::clone(&broker);
                let on_failure = move |now| broker.on_directory_failure(now);
                Scrubber::start(number, directory.path.clone(), log_dir, clock, on_failure)
            })
            .collect::<Result<_, _>>()
            .map_err(no_threads)?;

        let mover = Mover::start(Arc::clone(&broker), &mover_waker, clock).map_err(no_threads)?;

        let reported = directories
            .into_iter()
            .zip(counters)
            .map(|(directory, journal)| ReportedDirectory {
                path: match is_in_memory {
                    true => "memory".to_owned(),
                    false => directory.path,
                },
                log_dir: directory.log_dir,
                journal,
            });
        let reported = reported.collect();
        let report = Arc::new(ServerReport::new(
            Arc::clone(&broker),
            slot,
            reported,
            workers,
            network.gauges(),
            clock,
        ));
        let http = http.map(|listener| http::start(listener, Arc::clone(&report) as _));
        let http = http.transpose().map_err(|source| StartError::System {
            what: "the HTTP endpoints",
            source,
        })?;
        let greeting = Greeting {
            node_id: config.node_id.get(),
            cluster_id,
            listeners: sockets
                .iter()
                .zip(&config.listeners.advertised)
                .map(|((_, bound), advertised)| {
                    let host = match &advertised.host {
                        AdvertisedHost::Auto => "auto".to_owned(),
                        AdvertisedHost::Named(host) => host.clone(),
                    };
                    let port = advertised.port.unwrap_or(bound.address.port());
                    (
                        bound.name.to_string(),
                        bound.address,
                        format!("{host}:{port}"),
                    )
                })
                .collect(),
            http,
            directories: match is_in_memory {
                true => Vec::new(),
                false => config.log_dirs.clone(),
            },
            took: clock.mono().since(Mono::ZERO),
        };
        Ok(Server {
            broker,
            network,
            listeners: sockets,
            log_dirs,
            report,
            clock,
            greeting,
            quorum,
            journals,
            flushers,
            cleaners,
            scrubbers,
            mover,
        })
    }
}

/// Says what a directory that is not here means.
fn tell_missing(broker: &Broker) {
    let missing = broker.partition_states().missing;
    if 0 < missing {
        tracing::error!(
            "{missing} partitions are in log directories that are not here: they are offline until a start with \
             these directories"
        );
    }
}

fn as_directory(directory: &DataDirectory) -> (Directory, Arc<LogDir>) {
    let named = Directory {
        id: directory.identity.directory_id,
        path: directory.path.clone(),
    };
    (named, Arc::clone(&directory.log_dir))
}

/// Binds the listeners, and puts the true ports into `config`.
fn bind_all(config: &mut BrokerConfig) -> Result<Vec<(TcpListener, BoundListener)>, StartError> {
    let listeners = &mut config.listeners;
    let mut bound = Vec::new();
    for (listener, advertised) in listeners.clients.iter_mut().zip(&listeners.advertised) {
        let failed = |source| StartError::Bind {
            listener: listener.to_string(),
            source,
        };
        let socket = network::bind(&listener.host, listener.port).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let port = advertised.port.unwrap_or(address.port());
        let advertises_loopback = match &advertised.host {
            AdvertisedHost::Named(host) if is_loopback(host) => Some(format!("{host}:{port}")),
            AdvertisedHost::Named(_) | AdvertisedHost::Auto => None,
        };
        let named = BoundListener {
            name: listener.name.as_str().into(),
            address,
            advertises_loopback,
        };
        listener.port = address.port();
        bound.push((socket, named));
    }
    Ok(bound)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

fn worker_count(config: &BrokerConfig) -> usize {
    match config.worker_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

/// How many connections there may be at the start. A host that cannot be found is a mistake then, and
/// only a warning when somebody sets it later.
fn quotas(config: &BrokerConfig) -> Result<ConnectionQuotas, StartError> {
    let (quotas, mut unresolved) = ConnectionQuotas::resolve(&config.live_settings().connections);
    match unresolved.pop() {
        Some(Unresolved { name, source }) => Err(StartError::Override { name, source }),
        None => Ok(quotas),
    }
}

fn limits(config: &BrokerConfig) -> NetworkLimits {
    let connections = &config.connections;
    NetworkLimits {
        request_bytes_max: config.requests.request_bytes_max,
        request_memory_bytes_max: usize::try_from(connections.request_memory_bytes)
            .unwrap_or(usize::MAX),
        idle_max: connections.idle_max,
    }
}

/// Binds the HTTP endpoints. A port that nobody asked for gives way to whoever has it. Clients find the
/// true port in this broker's configuration.
fn bind_http(config: &mut BrokerConfig) -> Result<Option<TcpListener>, StartError> {
    let Some((host, port)) = config.http.clone() else {
        return Ok(None);
    };
    let failed = |source| StartError::BindHttp {
        host: host.clone(),
        port,
        source,
    };
    let was_asked_for = config.started_with.values().contains_key(HTTP_PORT);
    let listener = match network::bind(&host, port) {
        Err(error) if !was_asked_for => {
            tracing::warn!(
                "port {port} is taken ({error}): the HTTP endpoints are on a free one; \
                 {HTTP_PORT} sets it"
            );
            network::bind(&host, 0).map_err(failed)?
        }
        bound => bound.map_err(failed)?,
    };
    let bound = listener.local_addr().map_err(failed)?.port();
    if bound != port {
        config.http = Some((host.clone(), bound));
        config.started_with.became(HTTP_PORT, bound.to_string());
    }
    Ok(Some(listener))
}

fn no_threads(source: std::io::Error) -> StartError {
    StartError::System {
        what: "a thread",
        source,
    }
}
