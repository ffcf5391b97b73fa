//! One connection to one address: requests leave in the order they came, responses are matched to
//! them, a broken connection answers everything that waits.

use crate::core::{
    Answer, ApiVersionRanges, CallFailure, CallId, HandshakeError, HandshakeStep, encode_frame,
    handshake_request, read_response_header,
};
use crate::hints;
use crate::options::ClientOptions;
use bytes::{Bytes, BytesMut};
use ottla_protocol::{ApiKey, EncodeError, Writer};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// What brokers are told we are (KIP-511).
pub(crate) const SOFTWARE_NAME: &str = "ottla-client";
pub(crate) const SOFTWARE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Largest response that is accepted: more than a fetch of any sensible size.
const RESPONSE_BYTES_MAX: usize = 512 << 20;

/// The handshake's version; the broker says if it is too new for it.
const HANDSHAKE_VERSION: i16 = 4;

type EncodeBody = Box<dyn FnOnce(&mut Writer, i16) -> Result<(), EncodeError> + Send>;

/// A request on its way to a link.
pub(crate) struct OutCall {
    pub(crate) key: ApiKey,
    /// Versions in which it can be said.
    pub(crate) versions: RangeInclusive<i16>,
    pub(crate) encode: EncodeBody,
    pub(crate) has_response: bool,
    pub(crate) timeout: Duration,
    pub(crate) reply: Reply,
}

/// Where the answer goes. One that is dropped without an answer counts as lost.
pub(crate) struct Reply(Option<ReplyTo>);

enum ReplyTo {
    Machine(mpsc::UnboundedSender<(CallId, Answer)>, CallId),
    One(oneshot::Sender<Answer>),
}

impl Reply {
    pub(crate) fn machine(sender: mpsc::UnboundedSender<(CallId, Answer)>, id: CallId) -> Reply {
        Reply(Some(ReplyTo::Machine(sender, id)))
    }

    pub(crate) fn one() -> (Reply, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Reply(Some(ReplyTo::One(sender))), receiver)
    }

    fn answer(mut self, answer: Answer) {
        self.send(answer);
    }

    fn send(&mut self, answer: Answer) {
        // Whoever no longer waits does not want to know.
        match self.0.take() {
            Some(ReplyTo::Machine(sender, id)) => drop(sender.send((id, answer))),
            Some(ReplyTo::One(sender)) => drop(sender.send(answer)),
            None => {}
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let reason = "the connection's task has ended".to_owned();
        self.send(Answer::Failed(CallFailure::Lost { reason }));
    }
}

/// A handle to the task that owns the connection to one address.
#[derive(Clone)]
pub(crate) struct Link {
    calls: mpsc::UnboundedSender<OutCall>,
    connected: Arc<AtomicBool>,
}

impl Link {
    /// Starts the task. It connects with the first call, and again when the connection is lost, and
    /// ends when the last handle is dropped.
    pub(crate) fn start(host: Arc<str>, port: u16, options: Arc<ClientOptions>) -> Link {
        let (calls, receiver) = mpsc::unbounded_channel();
        let connected = Arc::new(AtomicBool::new(false));
        let task = LinkTask {
            address: format!("{host}:{port}"),
            host,
            port,
            options,
            calls: receiver,
            connected: connected.clone(),
        };
        tokio::spawn(task.run());
        Link { calls, connected }
    }

    /// Queues a call behind those queued before.
    pub(crate) fn call(&self, call: OutCall) {
        // Without a task the call is dropped, which answers it.
        drop(self.calls.send(call));
    }

    /// Whether there was a connection a moment ago.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

struct LinkTask {
    address: String,
    host: Arc<str>,
    port: u16,
    options: Arc<ClientOptions>,
    calls: mpsc::UnboundedReceiver<OutCall>,
    connected: Arc<AtomicBool>,
}

impl LinkTask {
    async fn run(mut self) {
        while let Some(first) = self.calls.recv().await {
            match timeout(self.options.connect_timeout, self.connect()).await {
                Ok(Ok(connection)) => {
                    tracing::debug!(address = self.address, "connected");
                    self.connected.store(true, Ordering::Relaxed);
                    self.serve(connection, first).await;
                    self.connected.store(false, Ordering::Relaxed);
                }
                Ok(Err(reason)) => self.refuse(first, &reason),
                Err(_) => {
                    let seconds = self.options.connect_timeout.as_secs_f32();
                    let reason = format!("{}: no connection within {seconds} s", self.address);
                    self.refuse(first, &reason);
                }
            }
        }
    }

    /// Answers the call, and all that were queued while we tried to connect.
    fn refuse(&mut self, first: OutCall, reason: &str) {
        tracing::debug!(address = self.address, reason, "not connected");
        let mut next = Some(first);
        while let Some(call) = next {
            let reason = reason.to_owned();
            call.reply
                .answer(Answer::Failed(CallFailure::NotSent { reason }));
            next = self.calls.try_recv().ok();
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let fail = |error: io::Error| format!("{}: {}", self.address, describe(&error));
        let stream = TcpStream::connect((&*self.host, self.port))
            .await
            .map_err(fail)?;
        stream.set_nodelay(true).map_err(fail)?;
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::with_capacity(64 << 10, read);
        let versions = self.handshake(&mut read, &mut write).await?;
        let waiting = Arc::new(Mutex::new(VecDeque::new()));
        let reader = tokio::spawn(read_responses(read, waiting.clone()));
        Ok(Connection {
            write,
            versions,
            waiting,
            reader,
            next_correlation_id: 1,
        })
    }

    async fn handshake(
        &self,
        read: &mut BufReader<OwnedReadHalf>,
        write: &mut OwnedWriteHalf,
    ) -> Result<ApiVersionRanges, String> {
        let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", self.address);
        let mut version = HANDSHAKE_VERSION;
        loop {
            let body = handshake_request(version, SOFTWARE_NAME, SOFTWARE_VERSION);
            let client_id = &self.options.client_id;
            let frame = encode_frame(ApiKey::ApiVersions, version, 0, client_id, |writer, _| {
                writer.raw(&body);
                Ok(())
            });
            let frame = frame.map_err(|error| fail(&error))?;
            write
                .write_all(&frame)
                .await
                .map_err(|error| fail(&describe(&error)))?;
            let response = read_frame(read)
                .await
                .map_err(|error| fail(&describe(&error)))?;
            let (_, at) = read_response_header(&response, ApiKey::ApiVersions, version)
                .map_err(|error| fail(&error))?;
            match HandshakeStep::from_answer(version, &response[at..]) {
                Ok(HandshakeStep::Done(versions)) => return Ok(versions),
                Ok(HandshakeStep::Retry(older)) if older < version => version = older,
                Ok(HandshakeStep::Retry(_)) => {
                    return Err(fail(&HandshakeError::Refused { code: 35 }));
                }
                Err(error) => return Err(fail(&error)),
            }
        }
    }

    /// Sends calls until the connection breaks, an answer is overdue, or nobody wants the link.
    async fn serve(&mut self, mut connection: Connection, first: OutCall) {
        let mut failure = connection
            .send(first, &self.address, &self.options.client_id)
            .await
            .err();
        while failure.is_none() {
            let overdue = connection.overdue_at();
            tokio::select! {
                // A connection that the peer has closed must not take another call.
                biased;
                ended = &mut connection.reader => {
                    failure = Some(match ended {
                        Ok(reason) => format!("{}: {reason}", self.address),
                        Err(_) => format!("{}: the reading task has failed", self.address),
                    });
                }
                call = self.calls.recv() => match call {
                    Some(call) => {
                        let sent = connection.send(call, &self.address, &self.options.client_id).await;
                        failure = sent.err();
                    }
                    None => break,
                },
                () = sleep_until(overdue.unwrap_or_else(far_away)), if overdue.is_some() => {
                    // A stale deadline is no reason: the answer may just have come.
                    if connection.overdue_at().is_some_and(|at| at <= Instant::now()) {
                        failure = Some(format!("{}: no answer in time", self.address));
                    }
                }
            }
        }
        connection.reader.abort();
        let reason = failure.unwrap_or_else(|| format!("{}: closed", self.address));
        tracing::debug!(address = self.address, reason, "disconnected");
        let waiting: Vec<Waiting> = connection.waiting.lock().drain(..).collect();
        for waiting in waiting {
            let lost = CallFailure::Lost {
                reason: reason.clone(),
            };
            waiting.reply.answer(Answer::Failed(lost));
        }
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// A request that was sent and waits for its response.
struct Waiting {
    correlation_id: i32,
    key: ApiKey,
    version: i16,
    overdue_at: Instant,
    reply: Reply,
}

struct Connection {
    write: OwnedWriteHalf,
    versions: ApiVersionRanges,
    /// In the order of sending, which is the order of the responses.
    waiting: Arc<Mutex<VecDeque<Waiting>>>,
    /// Ends with the reason why nothing can be read any more.
    reader: JoinHandle<String>,
    next_correlation_id: i32,
}

impl Connection {
    fn overdue_at(&self) -> Option<Instant> {
        self.waiting
            .lock()
            .iter()
            .map(|waiting| waiting.overdue_at)
            .min()
    }

    /// Sends one call; an error says why the connection is no longer usable.
    async fn send(&mut self, call: OutCall, address: &str, client_id: &str) -> Result<(), String> {
        let Some(version) = self.versions.choose(call.key, &call.versions) else {
            let api = call.key.name();
            call.reply
                .answer(Answer::Failed(CallFailure::Unsupported { api }));
            return Ok(());
        };
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = self.next_correlation_id.wrapping_add(1) & i32::MAX;
        let frame = encode_frame(call.key, version, correlation_id, client_id, call.encode);
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let reason = format!("{} cannot be encoded: {error}", call.key.name());
                call.reply
                    .answer(Answer::Failed(CallFailure::NotSent { reason }));
                return Ok(());
            }
        };
        let mut reply = Some(call.reply);
        if call.has_response {
            let reply = reply.take().expect("it was put there");
            let overdue_at = Instant::now() + call.timeout;
            let waiting = Waiting {
                correlation_id,
                key: call.key,
                version,
                overdue_at,
                reply,
            };
            self.waiting.lock().push_back(waiting);
        }
        let result = match timeout(call.timeout, self.write.write_all(&frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{address}: {}", describe(&error))),
            Err(_) => Err(format!("{address}: the peer takes no more bytes")),
        };
        if let Some(reply) = reply {
            reply.answer(match &result {
                Ok(()) => Answer::Sent,
                Err(reason) => Answer::Failed(CallFailure::Lost {
                    reason: reason.clone(),
                }),
            });
        }
        result
    }
}

/// Hands responses to those who wait, until the connection ends; gives back why.
async fn read_responses(
    mut read: BufReader<OwnedReadHalf>,
    waiting: Arc<Mutex<VecDeque<Waiting>>>,
) -> String {
    loop {
        let frame = match read_frame(&mut read).await {
            Ok(frame) => frame,
            Err(error) => return describe(&error),
        };
        let Some(next) = waiting.lock().pop_front() else {
            return "the peer answered what was not asked".to_owned();
        };
        match read_response_header(&frame, next.key, next.version) {
            Ok((correlation_id, at)) if correlation_id == next.correlation_id => {
                let body = frame.slice(at..);
                next.reply.answer(Answer::Response {
                    version: next.version,
                    body,
                });
            }
            // Dropping the reply answers it as lost.
            Ok(_) => return "the peer answered out of order".to_owned(),
            Err(error) => return format!("malformed response header: {error}"),
        }
    }
}

async fn read_frame(read: &mut BufReader<OwnedReadHalf>) -> io::Result<Bytes> {
    let size = read.read_u32().await?;
    if let Some(hint) = hints::for_frame_size(size) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, hint));
    }
    let size = size as usize;
    if !(4..=RESPONSE_BYTES_MAX).contains(&size) {
        let text = format!("the peer announces a response of {size} bytes: this is no Kafka port");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    // Memory grows with what arrives, not with what is announced.
    let mut frame = BytesMut::with_capacity(size.min(1 << 20));
    let mut limited = read.take(size as u64);
    while frame.len() < size {
        if limited.read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if frame.len() == frame.capacity() && frame.len() < size {
            frame.reserve((size - frame.len()).min(frame.len().max(1 << 20)));
        }
    }
    Ok(frame.freeze())
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the peer closed the connection".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens there (connection refused)".to_owned(),
        _ => error.to_string(),
    }
}
