use ottla_types::ErrorCode;

/// Why a measurement could not be made. A failed measurement has no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The socket, a file or a process failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The server answered something that is no message.
    #[error("the server's answer cannot be read: {0}")]
    Decode(#[from] ottla_protocol::DecodeError),
    /// We asked for something the protocol cannot say.
    #[error("the request cannot be written: {0}")]
    Encode(#[from] ottla_protocol::EncodeError),
    /// The server refused.
    #[error("{what}: {code}")]
    Refused {
        /// What we asked for.
        what: &'static str,
        /// Why it was refused.
        code: ErrorCode,
    },
    /// The server gave an error number Kafka 4.4 does not have.
    #[error("{what}: error {code}")]
    Unknown {
        /// What we asked for.
        what: &'static str,
        /// The number.
        code: i16,
    },
    /// A server did not become ready.
    #[error("{name} did not get ready:\n{log}")]
    NotReady {
        /// The contender.
        name: String,
        /// The end of its log.
        log: String,
    },
}

/// `Ok` for code 0.
pub fn check(what: &'static str, code: i16) -> Result<(), BenchError> {
    match ErrorCode::from_wire(code) {
        Some(ErrorCode::None) => Ok(()),
        Some(code) => Err(BenchError::Refused { what, code }),
        None => Err(BenchError::Unknown { what, code }),
    }
}
