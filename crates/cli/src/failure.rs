use std::fmt;
use std::process::ExitCode;

use ottla_client::{ApiError, ClientError, ConsumeError, SendError};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It was tried, and failed.
    Failed,
    /// It makes no sense as it was put.
    Usage,
    /// Some of what was asked for failed, and was reported already.
    Reported,
}

impl Failure {
    /// Something failed. `message` says what and why.
    pub fn failed(message: impl fmt::Display) -> Failure {
        Failure {
            message: message.to_string(),
            hint: None,
            kind: Kind::Failed,
        }
    }

    /// The command line or the configuration is wrong.
    pub fn usage(message: impl fmt::Display) -> Failure {
        Failure {
            kind: Kind::Usage,
            ..Failure::failed(message)
        }
    }

    /// Some items failed; each was reported when it did.
    pub fn reported() -> Failure {
        Failure {
            kind: Kind::Reported,
            ..Failure::failed("")
        }
    }

    /// One item of several failed, and the others go on.
    pub fn item(name: &str, error: &ApiError) -> Failure {
        Failure::failed(format!("{name}: {error}")).with_hint(error.hint())
    }

    /// Adds what can be done about it.
    pub fn with_hint(mut self, hint: Option<&str>) -> Failure {
        self.hint = hint.map(str::to_owned);
        self
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Failed | Kind::Reported => ExitCode::from(1),
            Kind::Usage => ExitCode::from(2),
        }
    }

    /// Tells the person, unless that was done already.
    pub fn report(&self) {
        if self.kind != Kind::Reported {
            errln!("{self}");
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let failure = match error {
            ClientError::Address { .. } => Failure::usage(&error),
            _ => Failure::failed(&error),
        };
        failure.with_hint(error.hint())
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Failure {
        Failure::failed(&error).with_hint(error.hint())
    }
}

impl From<ConsumeError> for Failure {
    fn from(error: ConsumeError) -> Failure {
        Failure::failed(&error).with_hint(error.hint())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::failed(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}
