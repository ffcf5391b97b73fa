use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::mailbox::Mail;
use super::worker::WorkerHandle;
use super::{BoundListener, ConnectionQuotas, Gate};

/// After a failed accept (out of file descriptors, mostly) it is tried again this much later.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// A connection on its way to its worker.
#[derive(Debug)]
pub struct Accepted {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub listener: Arc<str>,
    pub slot: ConnectionSlot,
}

/// Counts connections against `max.connections`, also of a listener, and `max.connections.per.ip`.
#[derive(Clone, Debug)]
pub struct ConnectionSlots {
    counts: Arc<Mutex<Counts>>,
    /// `max.connection.creation.rate` of all listeners together.
    gate: Arc<Mutex<Gate>>,
}

impl Default for ConnectionSlots {
    fn default() -> ConnectionSlots {
        ConnectionSlots {
            counts: Arc::default(),
            gate: Arc::new(Mutex::new(Gate::new(Instant::now()))),
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    by_listener: HashMap<Arc<str>, usize>,
    refused: u64,
}

/// One counted connection; given back when dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    slots: ConnectionSlots,
    address: IpAddr,
    listener: Arc<str>,
}

impl ConnectionSlots {
    /// A slot, unless a limit is reached; then its name.
    pub fn take(
        &self,
        address: IpAddr,
        listener: &Arc<str>,
        quotas: &ConnectionQuotas,
    ) -> Result<ConnectionSlot, &'static str> {
        let mut counts = self.counts.lock();
        let address_max = quotas.connections_max_of(address);
        let of_listener = counts.by_listener.get(listener).copied().unwrap_or(0);
        let of_address = counts.by_address.get(&address).copied().unwrap_or(0);
        let listener_max = quotas.listener(listener).connections_max;
        if counts.all >= quotas.connections_max || of_listener >= listener_max {
            counts.refused += 1;
            return Err("max.connections");
        }
        if of_address >= address_max {
            counts.refused += 1;
            return Err("max.connections.per.ip");
        }
        counts.all += 1;
        *counts.by_address.entry(address).or_default() += 1;
        *counts.by_listener.entry(Arc::clone(listener)).or_default() += 1;
        Ok(ConnectionSlot {
            slots: self.clone(),
            address,
            listener: Arc::clone(listener),
        })
    }

    /// Open connections, and how many were refused.
    pub fn counts(&self) -> (usize, u64) {
        let counts = self.counts.lock();
        (counts.all, counts.refused)
    }

    /// How long the next connection has to wait for its turn.
    fn delay(&self, rate_max: u32) -> Duration {
        self.gate.lock().pass(rate_max, Instant::now())
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut counts = self.slots.counts.lock();
        counts.all -= 1;
        if let Some(of_listener) = counts.by_listener.get_mut(&self.listener) {
            *of_listener -= 1;
        }
        if let Some(of_address) = counts.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// Hands the connections of one listener to the least loaded worker, until the task is dropped.
pub async fn accept(
    listener: tokio::net::TcpListener,
    bound: BoundListener,
    workers: Arc<[Arc<WorkerHandle>]>,
    slots: ConnectionSlots,
    quotas: Arc<ArcSwap<ConnectionQuotas>>,
) {
    let mut gate = Gate::new(Instant::now());
    let is_failing = AtomicBool::new(false);
    let refusing = AtomicBool::new(false);
    let warned_of_loopback = AtomicBool::new(false);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_failing.swap(true, Ordering::Relaxed) {
                    tracing::error!("cannot accept connections on {}: {error}", bound.address);
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        is_failing.store(false, Ordering::Relaxed);
        let quotas = quotas.load_full();
        let rate_max = quotas.listener(&bound.name).creation_rate_max;
        let turn = gate
            .pass(rate_max, Instant::now())
            .max(slots.delay(quotas.creation_rate_max));
        if !turn.is_zero() {
            // Those behind it wait in the operating system's queue.
            tokio::time::sleep(turn).await;
        }
        match slots.take(peer.ip().to_canonical(), &bound.name, &quotas) {
            Ok(slot) => {
                refusing.store(false, Ordering::Relaxed);
                if let Err(error) = hand_over(stream, peer, slot, &bound, &workers) {
                    tracing::debug!("client {peer} was gone before it was served: {error}");
                }
            }
            // One line when it starts, not one for each.
            Err(limit) if !refusing.swap(true, Ordering::Relaxed) => {
                tracing::warn!("client {peer} and perhaps more are refused: {limit} is reached");
            }
            Err(_) => {}
        }
        if let Some(advertised) = &bound.advertises_loopback
            && !peer.ip().to_canonical().is_loopback()
            && !warned_of_loopback.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "client {peer} comes from another machine and is told to use {advertised}, which \
                 is that machine itself: set advertised.listeners to an address it can reach, or \
                 to auto"
            );
        }
    }
}

fn hand_over(
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    slot: ConnectionSlot,
    bound: &BoundListener,
    workers: &[Arc<WorkerHandle>],
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let stream = stream.into_std()?;
    let worker = workers
        .iter()
        .min_by_key(|worker| worker.open.load(Ordering::Relaxed))
        .expect("there is at least one worker");
    worker.open.fetch_add(1, Ordering::Relaxed);
    worker.mailbox.send(Mail::Accepted(Box::new(Accepted {
        stream,
        peer,
        local,
        listener: Arc::clone(&bound.name),
        slot,
    })));
    Ok(())
}

/// Binds an address for clients; an empty host means all addresses of this machine.
pub fn bind(host: &str, port: u16) -> std::io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let addresses: Vec<SocketAddr> = if host.is_empty() {
        vec![
            SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port),
            SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), port),
        ]
    } else {
        std::net::ToSocketAddrs::to_socket_addrs(&(host, port))?.collect()
    };
    let mut last = std::io::Error::other("the name has no address");
    for address in addresses {
        let bound = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )
        .and_then(|socket| {
            // A restarted broker gets its port back although old connections linger.
            socket.set_reuse_address(true)?;
            if address.is_ipv6() && host.is_empty() {
                socket.set_only_v6(false)?;
            }
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(1024)?;
            Ok(socket.into())
        });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}
