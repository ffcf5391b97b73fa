use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use ottla_types::{Mono, Now};
use tokio::runtime::RuntimeMetrics;
use tokio::task::LocalSet;

use super::acceptor::Accepted;
use super::buffer_pool::BufferPool;
use super::connection::{Connection, ConnectionCell};
use super::ending::Ending;
use super::mailbox::{ConnectionNumber, Mail, Mailbox};
use super::request_memory::RequestMemory;
use super::response_queue::{Load, SlotNumber};
use super::roster::{ConnectionEntry, Roster};
use super::service::{Outcome, Peer, Service};
use super::{ConnectionQuotas, ConnectionSlots, NetworkLimits};
use crate::clock::Clock;
use crate::metrics::{CoreCounters, add};
use crate::threads::BlockingPool;

/// One read from a socket.
const READ_SIZE: usize = 256 << 10;
/// One read while request memory is short: what is read must be kept.
const READ_SIZE_SHORT: usize = 4 << 10;
/// Connections are looked at for idleness at least so often,
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// and not more often than this: `connections.max.idle.ms` may be 0.
const SWEEP_EVERY_MIN: Duration = Duration::from_millis(20);
/// How often those that wait for memory ask again: it may have been freed by another worker.
const MEMORY_RETRY: Duration = Duration::from_millis(10);
/// A connection may hold part of a request this long without sending, while memory is short.
const STALL_MAX: Duration = Duration::from_secs(10);
/// A client that was sent everything has this long to close its side too.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// What all workers share.
pub struct Shared<S: Service> {
    pub service: Arc<S>,
    pub clock: Clock,
    pub limits: NetworkLimits,
    pub memory: Arc<RequestMemory>,
    pub readers: BlockingPool,
    pub slots: ConnectionSlots,
    /// Those in force; a change counts for the next connection.
    pub quotas: Arc<ArcSwap<ConnectionQuotas>>,
}

/// What the other threads see of a worker.
#[derive(Debug, Default)]
pub struct WorkerHandle {
    pub mailbox: Arc<Mailbox>,
    pub counters: Arc<CoreCounters>,
    /// Who is connected.
    pub roster: Roster,
    /// Open connections, to find the least loaded worker.
    pub open: AtomicUsize,
    /// How busy its runtime is; set when it runs.
    pub runtime: OnceLock<RuntimeMetrics>,
}

type ParkedRequests<S> = HashMap<<S as Service>::Token, (SharedCell<S>, SlotNumber)>;
type SharedCell<S> = Rc<ConnectionCell<<S as Service>::Token>>;

/// One worker thread: its runtime's tasks reach everything through this.
pub struct WorkerContext<S: Service> {
    shared: Arc<Shared<S>>,
    handle: Arc<WorkerHandle>,
    core: usize,
    pub mailbox: Arc<Mailbox>,
    pub counters: Arc<CoreCounters>,
    pub pool: Rc<BufferPool>,
    scratch: RefCell<Vec<u8>>,
    connections: RefCell<HashMap<ConnectionNumber, SharedCell<S>>>,
    parked: RefCell<ParkedRequests<S>>,
    waiting_for_memory: RefCell<Vec<SharedCell<S>>>,
    next_number: Cell<u64>,
    /// When the worker's timer rings.
    armed: Cell<Mono>,
    state: Cell<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// What was executed is answered, nothing new is executed.
    Draining,
    Stopped,
}

impl<S: Service> std::ops::Deref for WorkerContext<S> {
    type Target = Shared<S>;

    fn deref(&self) -> &Shared<S> {
        &self.shared
    }
}

/// Runs worker `core` on this thread until it is stopped, or drained.
pub fn run<S: Service>(
    core: usize,
    shared: Arc<Shared<S>>,
    handle: Arc<WorkerHandle>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    handle.runtime.get_or_init(|| runtime.metrics());
    let worker = Rc::new(WorkerContext {
        core,
        mailbox: Arc::clone(&handle.mailbox),
        counters: Arc::clone(&handle.counters),
        shared,
        handle,
        pool: Rc::default(),
        scratch: RefCell::default(),
        connections: RefCell::default(),
        parked: RefCell::default(),
        waiting_for_memory: RefCell::default(),
        next_number: Cell::new(0),
        armed: Cell::new(Mono::ZERO),
        state: Cell::new(State::Open),
    });
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, worker.serve());
    Ok(())
}

impl<S: Service> WorkerContext<S> {
    /// The loop of the worker itself, beside its connections: completions, deadlines, mail.
    async fn serve(self: Rc<Self>) {
        let sweep_every = (self.limits.idle_max / 2).clamp(SWEEP_EVERY_MIN, SWEEP_EVERY);
        let mut sweep_at = self.clock.mono().plus(sweep_every);
        let mut completed = Vec::new();
        loop {
            self.wait(sweep_at).await;
            let now = self.clock.now();
            if self
                .service
                .next_deadline(self.core)
                .is_some_and(|at| at <= now.mono)
            {
                self.service.tick(self.core, now);
            }
            self.service.completions(self.core, now, &mut completed);
            for (token, outcome) in completed.drain(..) {
                self.complete(token, outcome, now.mono);
            }
            for mail in self.mailbox.take() {
                self.open_mail(mail, now);
            }
            self.memory_released();
            if sweep_at <= now.mono {
                self.sweep(now.mono);
                sweep_at = now.mono.plus(sweep_every);
            }
            match self.state.get() {
                State::Stopped => return,
                State::Draining if self.connections.borrow().is_empty() => return,
                State::Draining | State::Open => {}
            }
        }
    }

    /// Until woken, or until the next deadline.
    async fn wait(&self, sweep_at: Mono) {
        let mut at = sweep_at;
        if let Some(deadline) = self.service.next_deadline(self.core) {
            at = at.min(deadline);
        }
        if !self.waiting_for_memory.borrow().is_empty() {
            at = at.min(self.clock.mono().plus(MEMORY_RETRY));
        }
        self.armed.set(at);
        let timer = tokio::time::sleep_until(self.clock.instant(at).into());
        tokio::select! {
            () = self.mailbox.woken() => {}
            () = timer => {}
        }
    }

    fn open_mail(self: &Rc<Self>, mail: Mail, now: Now) {
        match mail {
            Mail::Accepted(accepted) => self.take_over(*accepted, now),
            Mail::Loaded { connection, result } => {
                let cell = self.connections.borrow().get(&connection).map(Rc::clone);
                let Some(cell) = cell else {
                    // It ended meanwhile.
                    if let Ok(buffer) = result {
                        self.pool.give(buffer.bytes);
                    }
                    return;
                };
                cell.last_progress.set(now.mono);
                match result {
                    Ok(buffer) => {
                        cell.queue.borrow_mut().loaded(buffer);
                        cell.wake();
                    }
                    Err(error) => cell.end(Ending::Load(error)),
                }
            }
            Mail::Drain => {
                self.state.set(State::Draining);
                for cell in self.connections.borrow().values() {
                    cell.wake();
                }
            }
            Mail::Stop => self.state.set(State::Stopped),
        }
    }

    fn take_over(self: &Rc<Self>, accepted: Accepted, now: Now) {
        let stream = match tokio::net::TcpStream::from_std(accepted.stream) {
            Ok(stream) => stream,
            Err(error) => {
                self.handle.open.fetch_sub(1, Ordering::Relaxed);
                tracing::warn!("client {}: cannot be served: {error}", accepted.peer);
                return;
            }
        };
        let number = ConnectionNumber(self.next_number.get());
        self.next_number.set(number.0 + 1);
        let cell = Rc::new(ConnectionCell::new(number, now.mono, Rc::clone(&self.pool)));
        self.connections
            .borrow_mut()
            .insert(number, Rc::clone(&cell));
        let counters = self.counters.listener(&accepted.listener);
        add(&counters.connections, 1);
        let service = self.service.connect(Peer {
            core: self.core,
            listener: Arc::clone(&accepted.listener),
            peer: accepted.peer,
            local: accepted.local,
        });
        let (peer, listener, slot) = (accepted.peer, accepted.listener, accepted.slot);
        let identity = self.service.identity(&service);
        let entry = ConnectionEntry::new(peer, Arc::clone(&listener), identity, now);
        let entry = Arc::new(entry);
        self.handle.roster.enter(number, Arc::clone(&entry));
        let connected = Arc::clone(&counters);
        let connection = Connection::new(Rc::clone(self), cell, stream, service, connected, entry);
        tokio::task::spawn_local(async move {
            let ending = connection.await;
            counters.closed(ending.kind());
            if ending.is_worth_a_line() {
                tracing::warn!("client {peer} on listener {listener}: {ending}");
            } else {
                tracing::debug!("client {peer} on listener {listener}: {ending}");
            }
            drop(slot);
        });
    }

    fn complete(&self, token: S::Token, outcome: Outcome<S::Token>, now: Mono) {
        let Some((cell, slot)) = self.parked.borrow_mut().remove(&token) else {
            return; // Its connection ended meanwhile.
        };
        cell.last_progress.set(now); // It is the client's turn now.
        match outcome {
            Outcome::Reply(parts) => cell.queue.borrow_mut().complete(slot, parts),
            Outcome::NoReply => cell.queue.borrow_mut().complete(slot, Vec::new()),
            Outcome::Parked {
                token,
                blocks_connection,
            } => {
                cell.queue.borrow_mut().park_again(slot, token);
                self.park(token, &cell, slot);
                if blocks_connection {
                    return;
                }
            }
            Outcome::Close(reason) => return cell.end(Ending::Service(reason)),
        }
        if cell.blocked_by.get() == Some(slot) {
            cell.blocked_by.set(None);
        }
        cell.wake();
    }

    /// Ends what is idle, and what keeps memory from others.
    fn sweep(&self, now: Mono) {
        let memory_is_short = self.memory.is_short();
        for cell in self.connections.borrow().values() {
            let lingers = cell.lingering_since.get();
            if lingers.is_some_and(|since| now.since(since) >= LINGER_MAX) {
                cell.end(Ending::Idle);
                continue;
            }
            let silent_for = now.since(cell.last_progress.get());
            if memory_is_short && cell.holds_memory.get() && silent_for >= STALL_MAX {
                cell.end(Ending::Stalled);
            } else if silent_for >= self.limits.idle_max && !cell.queue.borrow().waits_for_service()
            {
                cell.end(Ending::Idle);
            }
        }
    }

    /// Has `load` done by a thread that may wait; a connection has at most one at a time.
    pub fn load(&self, load: Load, connection: ConnectionNumber) {
        add(&self.counters.cold_loads, 1);
        let mailbox = Arc::clone(&self.mailbox);
        self.readers.run(move || {
            let result = load.run();
            mailbox.send(Mail::Loaded { connection, result });
        });
    }

    /// Remembers who waits for the parked request.
    pub fn park(&self, token: S::Token, cell: &Rc<ConnectionCell<S::Token>>, slot: SlotNumber) {
        self.parked
            .borrow_mut()
            .insert(token, (Rc::clone(cell), slot));
    }

    /// A connection is gone, and what was parked for it.
    pub fn forget(&self, cell: &ConnectionCell<S::Token>) {
        let mut parked = self.parked.borrow_mut();
        for token in cell.queue.borrow().parked() {
            parked.remove(&token);
        }
        self.connections.borrow_mut().remove(&cell.number);
        self.handle.roster.leave(cell.number);
        self.handle.open.fetch_sub(1, Ordering::Relaxed);
        if self.state.get() == State::Draining {
            self.mailbox.wake();
        }
    }

    /// Something was parked: the timer may have to ring earlier.
    pub fn deadline_may_be_earlier(&self) {
        let deadline = self.service.next_deadline(self.core);
        if deadline.is_some_and(|deadline| deadline < self.armed.get()) {
            self.mailbox.wake();
        }
    }

    pub fn is_draining(&self) -> bool {
        self.state.get() != State::Open
    }

    /// The buffer sockets are read into; connections take turns.
    pub fn take_scratch(&self) -> Vec<u8> {
        let scratch = self.scratch.take();
        if scratch.is_empty() {
            return vec![0; READ_SIZE];
        }
        scratch
    }

    pub fn give_scratch(&self, scratch: Vec<u8>) {
        self.scratch.replace(scratch);
    }

    /// How much may be read at once.
    pub fn read_size_max(&self) -> usize {
        if self.memory.is_short() {
            READ_SIZE_SHORT
        } else {
            READ_SIZE
        }
    }

    /// The connection reads on when memory has been freed.
    pub fn wait_for_memory(&self, cell: &Rc<ConnectionCell<S::Token>>) {
        add(&self.counters.memory_waits, 1);
        let mut waiting = self.waiting_for_memory.borrow_mut();
        if waiting.is_empty() {
            self.mailbox.wake(); // So that the timer is set.
        }
        waiting.push(Rc::clone(cell));
    }

    /// Lets those ask again that wait for memory.
    pub fn memory_released(&self) {
        for cell in self.waiting_for_memory.take() {
            cell.wake();
        }
    }
}
