use std::fmt;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use ottla_broker::ClientIdentity;
use ottla_types::{Mono, Now};

/// What answers requests: the broker, or a stand-in in this crate's tests.
///
/// Every call returns at once. What has to wait is parked and comes out of `completions` of the
/// core that owns the connection.
pub trait Service: Send + Sync + 'static {
    /// What the service keeps about one client connection.
    type Connection: 'static;
    /// Names a parked request.
    type Token: Copy + Eq + Hash + fmt::Debug + 'static;

    /// A client connected.
    fn connect(&self, peer: Peer) -> Self::Connection;

    /// What the client of a connection calls itself, now and later.
    fn identity(&self, _connection: &Self::Connection) -> Arc<ClientIdentity> {
        Arc::default()
    }

    /// The connection is gone; its parked requests are forgotten.
    fn disconnect(&self, connection: Self::Connection);

    /// Executes one request; `frame` is without its four bytes of size.
    fn handle(
        &self,
        connection: &mut Self::Connection,
        frame: &[u8],
        now: Now,
    ) -> Outcome<Self::Token>;

    /// Everything parked on `core` that can be answered now.
    fn completions(
        &self,
        core: usize,
        now: Now,
        out: &mut Vec<(Self::Token, Outcome<Self::Token>)>,
    );

    /// When `tick` has to be called next, if nothing else happens.
    fn next_deadline(&self, core: usize) -> Option<Mono>;

    /// Bytes of requests that the service keeps because it cannot execute them yet.
    fn held_bytes(&self) -> Arc<AtomicUsize> {
        Arc::default()
    }

    /// A deadline may have passed; what it completes comes out of `completions`.
    fn tick(&self, core: usize, now: Now);
}

/// Where a connection comes from and where it arrived.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The worker that owns the connection.
    pub core: usize,
    /// The listener's name, for example `PLAINTEXT`.
    pub listener: Arc<str>,
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address as the client reached it.
    pub local: SocketAddr,
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome<Token> {
    /// The whole response frame.
    Reply(Vec<Part>),
    /// A request without a response (acks=0).
    NoReply,
    /// The response comes later.
    Parked {
        /// Names it.
        token: Token,
        /// Parked before its effect: nothing more of this connection may be executed.
        blocks_connection: bool,
    },
    /// The connection cannot go on; the reason is logged.
    Close(String),
}

/// A piece of a response.
#[derive(Clone)]
pub enum Part {
    /// In memory.
    Bytes(Bytes),
    /// In a file, loaded as the socket drains.
    Range(Arc<dyn RangeSource>),
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Part::Range(range) => write!(f, "Range({})", range.size()),
        }
    }
}

/// Bytes that are read when they are sent. Keeps the file behind it alive.
pub trait RangeSource: Send + Sync {
    /// In bytes.
    fn size(&self) -> u64;

    /// How many bytes to load at once from `at`, where a piece before ended: at least one, and at
    /// most `bytes_max` unless they can only be read together.
    fn piece_size(&self, at: u64, bytes_max: usize) -> usize;

    /// Fills `buf`, which has the size of the piece at `at`; `false` when that would block.
    fn try_load(&self, at: u64, buf: &mut [u8]) -> Result<bool, LoadError>;

    /// The same, and may block.
    fn load(&self, at: u64, buf: &mut [u8]) -> Result<(), LoadError>;
}

/// A file range that could not be read, or was damaged. Its response has been promised in full, so
/// the connection is closed and the client asks again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("reading for a response failed: {0}")]
pub struct LoadError(pub String);
