//! Client connections: accepting, reading frames, answering in order.
//!
//! One thread and one runtime per core; a connection stays on its worker, and its requests are
//! executed there to completion. Nothing is handed between threads but in batches.

mod acceptor;
mod buffer_pool;
mod connection;
mod ending;
mod foreign_protocol;
mod input;
mod mailbox;
mod quotas;
mod request_memory;
mod response_queue;
mod roster;
mod service;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

pub use acceptor::{ConnectionSlots, bind};
use quotas::Gate;
pub use quotas::{ConnectionQuotas, Unresolved};
pub use roster::ConnectionEntry;
pub use service::{LoadError, Outcome, Part, Peer, RangeSource, Service};

use crate::clock::Clock;
use crate::metrics::CoreCounters;
use crate::threads::BlockingPool;
use arc_swap::ArcSwap;
use mailbox::Mail;
use request_memory::RequestMemory;
use tokio::runtime::RuntimeMetrics;
use worker::{Shared, WorkerHandle};

/// What connections may do; how many there may be is in [`ConnectionQuotas`].
#[derive(Clone, Debug)]
pub struct NetworkLimits {
    /// Largest request in bytes (`socket.request.max.bytes`).
    pub request_bytes_max: usize,
    /// All half-received requests together, in bytes.
    pub request_memory_bytes_max: usize,
    /// Silence after which a connection is closed (`connections.max.idle.ms`).
    pub idle_max: Duration,
}

/// A listener that is bound but not served yet.
#[derive(Clone, Debug)]
pub struct BoundListener {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Where it is bound, with the true port.
    pub address: SocketAddr,
    /// What clients are told, if that is a loopback address.
    pub advertises_loopback: Option<String>,
}

/// The wake-up ends of the workers, made before the service that uses them.
#[derive(Clone)]
pub struct Workers(Arc<[Arc<WorkerHandle>]>);

impl Workers {
    /// For `count` workers.
    pub fn new(count: usize) -> Workers {
        assert!(count > 0);
        Workers((0..count).map(|_| Arc::default()).collect())
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Tells a worker to look at its completions.
    pub fn wake(&self, core: usize) {
        self.0[core].mailbox.wake();
    }

    /// What each has counted.
    pub fn counters(&self) -> impl Iterator<Item = &CoreCounters> {
        self.0.iter().map(|worker| &*worker.counters)
    }

    /// How busy each is, as far as they run.
    pub fn runtimes(&self) -> impl Iterator<Item = Option<&RuntimeMetrics>> {
        self.0.iter().map(|worker| worker.runtime.get())
    }

    /// Everybody who is connected now.
    pub fn connections(&self) -> Vec<Arc<ConnectionEntry>> {
        let rosters = self.0.iter().map(|worker| worker.roster.entries());
        rosters.flatten().collect()
    }

    fn send(&self, mail: fn() -> Mail) {
        for worker in &*self.0 {
            worker.mailbox.send(mail());
        }
    }
}

/// What goes up and down, for metrics.
#[derive(Clone, Debug)]
pub struct Gauges {
    slots: ConnectionSlots,
    memory: Arc<RequestMemory>,
}

impl Gauges {
    /// Open connections, and how many were refused by a limit.
    pub fn connections(&self) -> (usize, u64) {
        self.slots.counts()
    }

    /// Bytes held for half-received requests.
    pub fn request_memory_bytes(&self) -> usize {
        self.memory.used_bytes()
    }
}

/// The running network.
pub struct Network<S: Service> {
    shared: Arc<Shared<S>>,
    workers: Workers,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl<S: Service> Network<S> {
    /// Starts the workers. Nothing is accepted yet.
    pub fn start(
        service: Arc<S>,
        workers: Workers,
        limits: NetworkLimits,
        quotas: Arc<ArcSwap<ConnectionQuotas>>,
        readers: BlockingPool,
        clock: Clock,
    ) -> io::Result<Network<S>> {
        let shared = Arc::new(Shared {
            clock,
            memory: Arc::new(RequestMemory::new(
                limits.request_memory_bytes_max,
                service.held_bytes(),
            )),
            service,
            limits,
            readers,
            slots: ConnectionSlots::default(),
            quotas,
        });
        let threads = workers
            .0
            .iter()
            .enumerate()
            .map(|(core, handle)| {
                let (shared, handle) = (Arc::clone(&shared), Arc::clone(handle));
                std::thread::Builder::new()
                    .name(format!("worker-{core}"))
                    .spawn(move || worker::run(core, shared, handle))
            })
            .collect::<io::Result<_>>()?;
        Ok(Network {
            shared,
            workers,
            threads,
        })
    }

    /// The task that accepts connections of one listener; dropping it stops that.
    pub fn accept(
        &self,
        listener: TcpListener,
        bound: BoundListener,
    ) -> io::Result<impl Future<Output = ()> + use<S>> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(acceptor::accept(
            listener,
            bound,
            Arc::clone(&self.workers.0),
            self.shared.slots.clone(),
            Arc::clone(&self.shared.quotas),
        ))
    }

    /// For metrics.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            slots: self.shared.slots.clone(),
            memory: Arc::clone(&self.shared.memory),
        }
    }

    /// Executes nothing more, sends what is owed, closes.
    pub fn drain(&self) {
        self.workers.send(|| Mail::Drain);
    }

    /// Whether every connection is gone.
    pub fn is_drained(&self) -> bool {
        self.workers
            .0
            .iter()
            .all(|worker| worker.open.load(Ordering::Relaxed) == 0)
    }

    /// Ends all connections and the workers.
    pub fn stop(self) {
        self.workers.send(|| Mail::Stop);
        for thread in self.threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("a worker could not start: {error}"),
                Err(_) => tracing::error!("a worker panicked"),
            }
        }
    }
}
