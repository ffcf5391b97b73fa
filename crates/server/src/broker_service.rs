use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use ottla_broker::config::LiveSettings;
use ottla_broker::{
    BlockingWork, Broker, ClientIdentity, Connection, ConnectionInfo, CoreId, Outcome, Response,
    ResponsePart, Token, Wake,
};
use ottla_storage::log_dir::FileRange;
use ottla_types::{Mono, Now};
use parking_lot::Mutex;

use crate::network::{
    self, ConnectionQuotas, LoadError, Part, Peer, RangeSource, Service, Unresolved, Workers,
};
use crate::threads::{BlockingPool, MoverWaker};

/// The broker as the network sees it.
pub struct BrokerService {
    broker: Arc<Broker>,
}

impl BrokerService {
    /// Serves `broker`.
    pub fn new(broker: Arc<Broker>) -> BrokerService {
        BrokerService { broker }
    }
}

impl fmt::Debug for BrokerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerService")
    }
}

impl Service for BrokerService {
    type Connection = Connection;
    type Token = Token;

    fn connect(&self, peer: Peer) -> Connection {
        self.broker.connect(ConnectionInfo {
            core: core_id(peer.core),
            listener: peer.listener.to_string(),
            peer: peer.peer,
            local: peer.local,
        })
    }

    fn identity(&self, connection: &Connection) -> Arc<ClientIdentity> {
        connection.identity()
    }

    fn disconnect(&self, connection: Connection) {
        self.broker.disconnect(connection);
    }

    fn handle(
        &self,
        connection: &mut Connection,
        frame: &[u8],
        now: Now,
    ) -> network::Outcome<Token> {
        outcome(self.broker.handle(connection, frame, now))
    }

    fn completions(&self, core: usize, now: Now, out: &mut Vec<(Token, network::Outcome<Token>)>) {
        let mut completed = Vec::new();
        self.broker.completions(core_id(core), now, &mut completed);
        out.extend(
            completed
                .into_iter()
                .map(|(token, done)| (token, outcome(done))),
        );
    }

    fn next_deadline(&self, core: usize) -> Option<Mono> {
        self.broker.next_deadline(core_id(core))
    }

    fn held_bytes(&self) -> Arc<AtomicUsize> {
        self.broker.held_bytes()
    }

    fn tick(&self, core: usize, now: Now) {
        self.broker.tick(core_id(core), now);
    }
}

fn core_id(core: usize) -> CoreId {
    CoreId::new(u16::try_from(core).expect("there are fewer cores than that"))
}

fn outcome(outcome: Outcome) -> network::Outcome<Token> {
    match outcome {
        Outcome::Reply(response) => network::Outcome::Reply(parts(response)),
        Outcome::NoReply => network::Outcome::NoReply,
        Outcome::Parked {
            token,
            blocks_connection,
        } => network::Outcome::Parked {
            token,
            blocks_connection,
        },
        Outcome::Close(reason) => network::Outcome::Close(reason.to_string()),
    }
}

fn parts(response: Response) -> Vec<Part> {
    let part = |part| match part {
        ResponsePart::Bytes(bytes) => Part::Bytes(bytes),
        ResponsePart::File(range) => Part::Range(Arc::new(StoredRange(range))),
    };
    response.parts.into_iter().map(part).collect()
}

struct StoredRange(FileRange);

impl RangeSource for StoredRange {
    fn size(&self) -> u64 {
        self.0.size() as u64
    }

    fn piece_size(&self, at: u64, bytes_max: usize) -> usize {
        self.0.piece_size(position(at), bytes_max)
    }

    fn try_load(&self, at: u64, buf: &mut [u8]) -> Result<bool, LoadError> {
        self.0.try_load(position(at), buf).map_err(load_error)
    }

    fn load(&self, at: u64, buf: &mut [u8]) -> Result<(), LoadError> {
        self.0.load(position(at), buf).map_err(load_error)
    }
}

fn position(at: u64) -> usize {
    usize::try_from(at).expect("a range fits in memory's addresses")
}

fn load_error(error: impl fmt::Display) -> LoadError {
    LoadError(error.to_string())
}

/// How the broker gets the workers' attention.
pub struct WakeWorkers {
    workers: Workers,
    blocking: BlockingPool,
    quotas: Arc<ArcSwap<ConnectionQuotas>>,
    mover: MoverWaker,
    /// The settings told last, until they are in force.
    told: Arc<Mutex<Option<Arc<LiveSettings>>>>,
    /// Held while some are put in force, so that none that are older come later.
    turn: Arc<Mutex<()>>,
}

impl WakeWorkers {
    /// Wakes `workers` and `mover`; what waits for a device runs in `blocking`; changed settings go to `quotas`.
    pub fn new(
        workers: Workers,
        blocking: BlockingPool,
        quotas: Arc<ArcSwap<ConnectionQuotas>>,
        mover: MoverWaker,
    ) -> WakeWorkers {
        WakeWorkers {
            workers,
            blocking,
            quotas,
            mover,
            told: Arc::default(),
            turn: Arc::default(),
        }
    }
}

fn put_in_force(settings: &LiveSettings, quotas: &ArcSwap<ConnectionQuotas>) {
    let (resolved, unresolved) = ConnectionQuotas::resolve(&settings.connections);
    for Unresolved { name, source } in unresolved {
        tracing::warn!(
            "max.connections.per.ip.overrides: '{name}' cannot be resolved and has no limit of its own: \
             {source}"
        );
    }
    quotas.store(Arc::new(resolved));
}

impl Wake for WakeWorkers {
    fn wake(&self, core: CoreId) {
        self.workers.wake(core.index());
    }

    fn wake_mover(&self) {
        self.mover.wake();
    }

    fn settings_changed(&self, settings: &Arc<LiveSettings>) {
        // It may go on sooner than it thought.
        self.mover.wake();
        *self.told.lock() = Some(Arc::clone(settings));
        let (told, turn) = (Arc::clone(&self.told), Arc::clone(&self.turn));
        let quotas = Arc::clone(&self.quotas);
        // Names of hosts may have to be asked for.
        self.blocking.run(move || {
            let _turn = turn.lock();
            let settings = told.lock().take();
            if let Some(settings) = settings {
                put_in_force(&settings, &quotas);
            }
        });
    }

    fn block(&self, work: BlockingWork) {
        self.blocking.run(|| work.run());
    }
}
