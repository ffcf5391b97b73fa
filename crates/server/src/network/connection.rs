use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ottla_types::Mono;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::buffer_pool::BufferPool;
use super::ending::Ending;
use super::foreign_protocol::ForeignProtocol;
use super::input::Input;
use super::mailbox::ConnectionNumber;
use super::response_queue::{Request, ResponseQueue, SlotNumber};
use super::roster::ConnectionEntry;
use super::service::{Outcome, Service};
use super::worker::WorkerContext;
use crate::metrics::{ListenerCounters, add};

/// A connection's turn ends after this many bytes,
const TURN_BYTES_MAX: usize = 1 << 20;
/// or after this long; then the others of its worker run.
const TURN_TIME_MAX: Duration = Duration::from_micros(500);
/// Pieces of one `writev`.
const WRITE_SLICES: usize = 128;
/// The size of a frame stands before it, in this many bytes.
const FRAME_SIZE_BYTES: usize = 4;
/// Behind a frame of this size not more than the beginning of the next one is read until its size is known: it is
/// received where it stays. Smaller ones are more often executed in the worker's buffer.
const LARGE_FRAME: usize = 256 << 10;
/// The beginning.
pub(super) const HEAD_SIZE: usize = 4 << 10;

/// What a connection shares with its worker, which completes parked requests and ends idle
/// connections. Both live on one thread.
pub struct ConnectionCell<Token> {
    pub number: ConnectionNumber,
    pub queue: RefCell<ResponseQueue<Token>>,
    /// The request that keeps later ones from being executed.
    pub blocked_by: Cell<Option<SlotNumber>>,
    /// When bytes moved last, in or out.
    pub last_progress: Cell<Mono>,
    /// Holds part of a request.
    pub holds_memory: Cell<bool>,
    /// Since when it only waits for the client to close.
    pub lingering_since: Cell<Option<Mono>>,
    ending: RefCell<Option<Ending>>,
    waker: RefCell<Option<Waker>>,
}

impl<Token: Copy> ConnectionCell<Token> {
    pub fn new(number: ConnectionNumber, now: Mono, pool: Rc<BufferPool>) -> Self {
        ConnectionCell {
            number,
            queue: RefCell::new(ResponseQueue::new(pool)),
            blocked_by: Cell::new(None),
            last_progress: Cell::new(now),
            holds_memory: Cell::new(false),
            lingering_since: Cell::new(None),
            ending: RefCell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// Lets the connection run.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Ends the connection when it runs next.
    pub fn end(&self, ending: Ending) {
        self.ending.borrow_mut().get_or_insert(ending);
        self.wake();
    }

    fn keep_waker(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(kept) => kept.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }
}

/// One client connection as a future that gives why it ended. It reads frames, has them executed
/// in order on this thread, and sends the answers in the same order.
pub struct Connection<S: Service> {
    worker: Rc<WorkerContext<S>>,
    cell: Rc<ConnectionCell<S::Token>>,
    stream: TcpStream,
    /// Given back to the service at the end.
    service: Option<S::Connection>,
    counters: Arc<ListenerCounters>,
    /// What others see of it.
    entry: Arc<ConnectionEntry>,
    input: Input,
    /// Of the last frame, with its size field.
    last_frame_size: usize,
    /// No frame has been seen yet: the first bytes may be another protocol's.
    is_new: bool,
    /// Nothing more is executed; what is owed is sent, then it ends.
    closing: Option<Ending>,
    /// Everything owed is sent, and we wait for the client to close.
    is_lingering: bool,
}

/// How much of its turn a connection has used.
struct Turn {
    started: Mono,
    now: Mono,
    bytes: usize,
    parked: bool,
}

impl Turn {
    fn is_over(&self) -> bool {
        self.bytes >= TURN_BYTES_MAX || self.now.since(self.started) >= TURN_TIME_MAX
    }
}

impl<S: Service> Connection<S> {
    pub fn new(
        worker: Rc<WorkerContext<S>>,
        cell: Rc<ConnectionCell<S::Token>>,
        stream: TcpStream,
        service: S::Connection,
        counters: Arc<ListenerCounters>,
        entry: Arc<ConnectionEntry>,
    ) -> Connection<S> {
        Connection {
            worker,
            cell,
            stream,
            service: Some(service),
            counters,
            entry,
            input: Input::default(),
            last_frame_size: 0,
            is_new: true,
            closing: None,
            is_lingering: false,
        }
    }

    fn run(&mut self, context: &mut Context<'_>) -> Result<(), Ending> {
        self.cell.keep_waker(context);
        let now = self.worker.clock.mono();
        let mut turn = Turn {
            started: now,
            now,
            bytes: 0,
            parked: false,
        };
        let result = self.run_turn(context, &mut turn);
        if turn.parked {
            self.worker.deadline_may_be_earlier();
        }
        if turn.bytes > 0 {
            self.cell.last_progress.set(turn.now);
        }
        result
    }

    /// Goes on until it would have to wait (each source of a wake-up has been asked, and will
    /// wake), or until its turn is over.
    fn run_turn(&mut self, context: &mut Context<'_>, turn: &mut Turn) -> Result<(), Ending> {
        loop {
            if let Some(ending) = self.cell.ending.borrow_mut().take() {
                return Err(self.closing.take().unwrap_or(ending));
            }
            let sent = self.send(context, turn)?;
            let received = self.receive(context, turn)?;
            if !received && self.cell.queue.borrow().is_empty() {
                if self.worker.is_draining() {
                    // Why it was closing before is worth more than that we end.
                    return Err(self.closing.take().unwrap_or(Ending::Shutdown));
                }
                if self.closing.is_some() {
                    return self.linger(context, turn);
                }
            }
            if turn.is_over() {
                context.waker().wake_by_ref();
                return Ok(());
            }
            if !sent && !received {
                return Ok(());
            }
        }
    }

    /// Closing while there are bytes we have not read would reset the connection, and the client
    /// would lose the answers it has not read yet. So its bytes are thrown away until it closes
    /// too; the worker ends one that does not.
    fn linger(&mut self, context: &mut Context<'_>, turn: &mut Turn) -> Result<(), Ending> {
        if !self.is_lingering {
            self.is_lingering = true;
            self.cell.lingering_since.set(Some(turn.now));
            // Of TCP this never waits.
            let _ = Pin::new(&mut self.stream).poll_shutdown(context);
        }
        let mut scratch = self.worker.take_scratch();
        let mut result = Ok(Some(0));
        while matches!(result, Ok(Some(_))) && !turn.is_over() {
            result = self.read(context, turn, &mut scratch);
        }
        self.worker.give_scratch(scratch);
        match result {
            Ok(None) => Ok(()),
            Ok(Some(_)) => {
                context.waker().wake_by_ref();
                Ok(())
            }
            Err(_) => Err(self.closing.take().unwrap_or(Ending::ClosedByClient)),
        }
    }

    /// Sends what is ready; gives whether anything went out.
    fn send(&mut self, context: &mut Context<'_>, turn: &mut Turn) -> Result<bool, Ending> {
        let worker = &*self.worker;
        let mut queue = self.cell.queue.borrow_mut();
        let mut sent_any = false;
        while !turn.is_over() {
            let mut loads = 0;
            let load = queue.load_ahead(&mut loads);
            add(&worker.counters.warm_loads, loads);
            if let Some(load) = load.map_err(Ending::Load)? {
                worker.load(load, self.cell.number);
            }
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let count = queue.gather(&mut slices);
            if count == 0 {
                break;
            }
            let stream = Pin::new(&mut self.stream);
            let sent = match stream.poll_write_vectored(context, &slices[..count]) {
                Poll::Pending => break,
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(error)) => return Err(Ending::Network(error)),
            };
            turn.now = worker.clock.mono();
            queue.advance(sent, &mut |request| {
                self.counters
                    .answered(request.api_key, request.received, turn.now);
            });
            add(&worker.counters.sent_bytes, sent as u64);
            add(&self.entry.sent_bytes, sent as u64);
            turn.bytes += sent;
            sent_any = true;
        }
        Ok(sent_any)
    }

    /// Executes what is there, else reads; gives whether that made progress.
    fn receive(&mut self, context: &mut Context<'_>, turn: &mut Turn) -> Result<bool, Ending> {
        let mut progress = false;
        if self.input.may_hold_frame() && self.may_execute() {
            progress = self.execute_input(turn);
        }
        if !self.may_execute() || turn.is_over() {
            return Ok(progress);
        }
        let read = if self.input.is_empty() {
            self.read_and_execute(context, turn)?
        } else {
            self.read_on(context, turn)?
        };
        Ok(progress || read)
    }

    fn may_execute(&self) -> bool {
        self.closing.is_none()
            && self.cell.blocked_by.get().is_none()
            && !self.worker.is_draining()
            && self.cell.queue.borrow().has_room()
    }

    /// Executes frames in the worker's buffer, without one of our own. Most connections never
    /// need more than this.
    fn read_and_execute(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Result<bool, Ending> {
        let mut scratch = self.worker.take_scratch();
        let mut size_max = self.worker.read_size_max().min(scratch.len());
        if LARGE_FRAME <= self.last_frame_size {
            size_max = size_max.min(HEAD_SIZE);
        }
        let result = self.read(context, turn, &mut scratch[..size_max]);
        if let Ok(Some(size)) = result {
            let executed = self.execute(&scratch[..size], turn);
            let rest = &scratch[executed..size];
            if self.closing.is_none() && !rest.is_empty() {
                let (pool, memory) = (&self.worker.pool, &self.worker.memory);
                self.input.keep(rest, self.last_frame_size, pool, memory);
            }
        }
        self.worker.give_scratch(scratch);
        self.note_memory();
        result.map(|size| size.is_some())
    }

    /// Reads more of the frame that `input` holds the beginning of.
    fn read_on(&mut self, context: &mut Context<'_>, turn: &mut Turn) -> Result<bool, Ending> {
        let frame_size = self.input.frame_size();
        if !self
            .input
            .make_room(frame_size, &self.worker.pool, &self.worker.memory)
        {
            self.worker.wait_for_memory(&self.cell);
            return Ok(false);
        }
        let mut buffer = std::mem::take(self.input.buffer_mut());
        let window = self.input.window(frame_size, buffer.len());
        let result = self.read(context, turn, &mut buffer[window]);
        *self.input.buffer_mut() = buffer;
        let Some(size) = result? else {
            return Ok(false);
        };
        self.input.filled(size);
        if self.input.may_hold_frame() {
            self.execute_input(turn);
        }
        Ok(true)
    }

    /// `None`: nothing there, and the socket will wake us.
    fn read(
        &mut self,
        context: &mut Context<'_>,
        turn: &mut Turn,
        buffer: &mut [u8],
    ) -> Result<Option<usize>, Ending> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Pending => Ok(None),
            Poll::Ready(Err(error)) => Err(Ending::Network(error)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Err(Ending::ClosedByClient),
            Poll::Ready(Ok(())) => {
                let size = buffer.filled().len();
                add(&self.worker.counters.received_bytes, size as u64);
                add(&self.entry.received_bytes, size as u64);
                turn.bytes += size;
                Ok(Some(size))
            }
        }
    }

    /// Executes the whole frames of `input`; gives whether there was one.
    fn execute_input(&mut self, turn: &mut Turn) -> bool {
        let buffer = std::mem::take(self.input.buffer_mut());
        let executed = self.execute(&buffer[self.input.range()], turn);
        *self.input.buffer_mut() = buffer;
        self.input.consume(executed);
        if self.input.is_empty() || self.closing.is_some() {
            self.release_input();
        }
        self.note_memory();
        executed > 0
    }

    fn release_input(&mut self) {
        if self.input.release(&self.worker.pool, &self.worker.memory) {
            self.worker.memory_released();
        }
    }

    fn note_memory(&self) {
        self.cell.holds_memory.set(!self.input.is_empty());
    }

    /// Executes the whole frames at the start of `bytes`, as far as limits and the turn allow;
    /// gives how many bytes they were.
    fn execute(&mut self, bytes: &[u8], turn: &mut Turn) -> usize {
        let mut executed = 0;
        while self.may_execute() && !turn.is_over() {
            let Some((head, rest)) = bytes[executed..].split_first_chunk::<FRAME_SIZE_BYTES>()
            else {
                break;
            };
            if self.is_new
                && let Some(protocol) = ForeignProtocol::recognise(*head)
            {
                self.closing = Some(Ending::Foreign(protocol));
                self.say_farewell(protocol);
                break;
            }
            let size = i32::from_be_bytes(*head);
            let size_max = self.worker.limits.request_bytes_max;
            let Some(size) = usize::try_from(size).ok().filter(|&size| size <= size_max) else {
                self.closing = Some(Ending::FrameSize { size, size_max });
                break;
            };
            self.is_new = false;
            let Some(frame) = rest.get(..size) else {
                break;
            };
            self.execute_frame(frame, turn);
            self.last_frame_size = FRAME_SIZE_BYTES + size;
            executed += FRAME_SIZE_BYTES + size;
        }
        executed
    }

    fn execute_frame(&mut self, frame: &[u8], turn: &mut Turn) {
        let now = self.worker.clock.now();
        turn.now = now.mono;
        let (api_key, version) = frame.first_chunk().map_or((-1, -1), |[a, b, c, d]| {
            (i16::from_be_bytes([*a, *b]), i16::from_be_bytes([*c, *d]))
        });
        self.counters.received(api_key, version);
        self.entry.request(api_key, version, now.mono);
        let request = Request {
            api_key,
            received: now.mono,
            size: frame.len(),
        };
        let service = self.service.as_mut().expect("kept until the end");
        match self.worker.service.handle(service, frame, now) {
            Outcome::Reply(parts) => self.cell.queue.borrow_mut().push_ready(request, parts),
            Outcome::NoReply => {}
            Outcome::Parked {
                token,
                blocks_connection,
            } => {
                turn.parked = true;
                let slot = self.cell.queue.borrow_mut().push_parked(request, token);
                self.worker.park(token, &self.cell, slot);
                if blocks_connection {
                    self.cell.blocked_by.set(Some(slot));
                }
            }
            Outcome::Close(reason) => self.closing = Some(Ending::Service(reason)),
        }
    }

    /// A new connection's send buffer is empty, so this needs no waiting; if it fails, no harm.
    fn say_farewell(&self, protocol: ForeignProtocol) {
        if let Some(bytes) = protocol.farewell() {
            let _ = self.stream.try_write(bytes);
        }
    }
}

impl<S: Service> Future for Connection<S> {
    type Output = Ending;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ending> {
        match self.run(context) {
            Ok(()) => Poll::Pending,
            Err(ending) => Poll::Ready(ending),
        }
    }
}

// Nothing in a connection refers to itself.
impl<S: Service> Unpin for Connection<S> {}

impl<S: Service> Drop for Connection<S> {
    fn drop(&mut self) {
        self.release_input();
        self.worker.forget(&self.cell);
        if let Some(service) = self.service.take() {
            self.worker.service.disconnect(service);
        }
    }
}
