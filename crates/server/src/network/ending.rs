use std::fmt;

use super::foreign_protocol::ForeignProtocol;
use super::service::LoadError;
use crate::metrics::CloseKind;

/// Why a connection ends.
#[derive(Debug)]
pub enum Ending {
    /// The client closed it.
    ClosedByClient,
    /// The network failed.
    Network(std::io::Error),
    /// Nothing happened for `connections.max.idle.ms`.
    Idle,
    /// It held request memory without sending anything while others waited for it.
    Stalled,
    /// The first bytes were another protocol's.
    Foreign(ForeignProtocol),
    /// A frame whose size is not allowed.
    FrameSize {
        /// As received.
        size: i32,
        /// `socket.request.max.bytes`.
        size_max: usize,
    },
    /// The service refused to go on.
    Service(String),
    /// A promised response could not be read.
    Load(LoadError),
    /// The server ends.
    Shutdown,
}

impl Ending {
    /// As a metric's label.
    pub fn kind(&self) -> CloseKind {
        match self {
            Ending::ClosedByClient | Ending::Network(_) => CloseKind::Client,
            Ending::Idle | Ending::Stalled => CloseKind::Idle,
            Ending::Foreign(_) | Ending::FrameSize { .. } | Ending::Service(_) => {
                CloseKind::Protocol
            }
            Ending::Load(_) | Ending::Shutdown => CloseKind::Server,
        }
    }

    /// Whether a person should see it without asking.
    pub fn is_worth_a_line(&self) -> bool {
        match self {
            Ending::ClosedByClient | Ending::Network(_) | Ending::Idle | Ending::Shutdown => false,
            Ending::Stalled
            | Ending::Foreign(_)
            | Ending::FrameSize { .. }
            | Ending::Service(_)
            | Ending::Load(_) => true,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::ClosedByClient => f.write_str("closed by the client"),
            Ending::Network(error) => write!(f, "the network failed: {error}"),
            Ending::Idle => f.write_str("idle for connections.max.idle.ms"),
            Ending::Stalled => {
                f.write_str("sent half a request and stopped while request memory was short")
            }
            Ending::Foreign(protocol) => {
                write!(f, "sent {}; {}", protocol.name(), protocol.hint())
            }
            Ending::FrameSize { size, .. } if *size < 0 => {
                write!(
                    f,
                    "sent a request of {size} bytes: this is not Kafka's protocol"
                )
            }
            Ending::FrameSize { size, size_max } => write!(
                f,
                "sent a request of {size} bytes, socket.request.max.bytes is {size_max}"
            ),
            Ending::Service(reason) => f.write_str(reason),
            Ending::Load(error) => error.fmt(f),
            Ending::Shutdown => f.write_str("shutting down"),
        }
    }
}
