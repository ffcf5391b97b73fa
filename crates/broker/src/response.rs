use bytes::Bytes;
use ottla_protocol::{External, Writer};
use ottla_storage::log_dir::FileRange;
use std::fmt;

/// One of the broker's lanes: a thread that serves connections. Counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(u16);

impl CoreId {
    /// The lane with this number.
    pub const fn new(index: u16) -> CoreId {
        CoreId(index)
    }

    /// Its number.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names a reply that is still to come. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The core whose completions will hold it.
    pub core: CoreId,
    /// Rises with every parked request of that core.
    pub number: u64,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The answer.
    Reply(Response),
    /// It was carried out and has no answer (acks=0).
    NoReply,
    /// The answer comes later, among the completions of the connection's core.
    Parked {
        /// Names the answer.
        token: Token,
        /// Whether later requests of the connection must wait for this one.
        blocks_connection: bool,
    },
    /// The connection is to be closed without an answer.
    Close(CloseReason),
}

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The header cannot be read.
    MalformedHeader,
    /// No such API, or not offered.
    UnsupportedApi {
        /// The number asked for.
        api_key: i16,
    },
    /// A version that is not offered.
    UnsupportedVersion {
        /// Kafka's name of the API.
        api: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The body is not what its version says.
    MalformedRequest {
        /// Kafka's name of the API.
        api: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A produce request without acknowledgement failed: closing is how the client learns of it.
    FailedWithoutAcks,
    /// Our own mistake: an answer could not be written.
    CannotEncode {
        /// Kafka's name of the API.
        api: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::MalformedHeader => f.write_str("the request header cannot be read"),
            CloseReason::UnsupportedApi { api_key } => {
                write!(f, "API key {api_key} is not offered here")
            }
            CloseReason::UnsupportedVersion { api, version } => {
                write!(f, "{api} version {version} is not offered here")
            }
            CloseReason::MalformedRequest { api, reason } => {
                write!(f, "malformed {api} request: {reason}")
            }
            CloseReason::FailedWithoutAcks => f.write_str("a produce request with acks=0 failed"),
            CloseReason::CannotEncode { api, reason } => {
                write!(f, "the {api} response cannot be encoded: {reason}")
            }
        }
    }
}

/// A piece of a response.
#[derive(Clone, Debug)]
pub enum ResponsePart {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes in a segment file.
    File(FileRange),
}

impl ResponsePart {
    /// In bytes.
    pub fn size(&self) -> usize {
        match self {
            ResponsePart::Bytes(bytes) => bytes.len(),
            ResponsePart::File(range) => range.size(),
        }
    }
}

/// A whole frame: size, header and body.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The pieces in their order.
    pub parts: Vec<ResponsePart>,
}

impl Response {
    /// A response that is one piece.
    pub fn from_bytes(frame: Vec<u8>) -> Response {
        Response {
            parts: vec![ResponsePart::Bytes(Bytes::from(frame))],
        }
    }

    /// In bytes, the four of the size included.
    pub fn size(&self) -> usize {
        self.parts.iter().map(ResponsePart::size).sum()
    }

    /// What `writer` wrote, with `records[id]` wherever it left room for external bytes.
    pub(crate) fn assemble(writer: Writer, mut records: Vec<Vec<ResponsePart>>) -> Response {
        let (buf, externals) = writer.into_parts();
        let buf = Bytes::from(buf);
        let mut parts = Vec::with_capacity(1 + 2 * externals.len());
        let mut sent = 0;
        for External { at, id, size } in externals {
            if sent < at {
                parts.push(ResponsePart::Bytes(buf.slice(sent..at)));
                sent = at;
            }
            let inserted = std::mem::take(&mut records[id as usize]);
            let inserted_size: usize = inserted.iter().map(ResponsePart::size).sum();
            assert_eq!(
                inserted_size, size as usize,
                "the frame's size is already written"
            );
            parts.extend(inserted);
        }
        if sent < buf.len() {
            parts.push(ResponsePart::Bytes(buf.slice(sent..)));
        }
        Response { parts }
    }
}
