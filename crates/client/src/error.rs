use crate::core::{
    AppendError, CallFailure, CommitError, ConsumerFault, FetchFault, FetchFaultKind, GroupFault,
    ProduceFault, ProduceFaultKind,
};
use crate::hints;
use ottla_protocol::DecodeError;
use ottla_types::ErrorCode;
use std::fmt;
use std::time::Duration;

/// What a broker answered instead of doing what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Kafka's error.
    pub code: ErrorCode,
    /// The broker's words.
    pub message: Option<String>,
}

impl ApiError {
    pub(crate) fn check(code: i16, message: Option<&str>) -> Result<(), ApiError> {
        match ErrorCode::from_wire(code).unwrap_or(ErrorCode::UnknownServerError) {
            ErrorCode::None => Ok(()),
            code => Err(ApiError {
                code,
                message: message.filter(|text| !text.is_empty()).map(str::to_owned),
            }),
        }
    }

    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        hints::for_code(self.code)
    }

    /// Whether the same may succeed when it is asked for again.
    pub fn is_retriable(&self) -> bool {
        self.code.is_retriable()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.name())?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

/// Why an operation on the cluster failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The bootstrap servers are not a list of host:port.
    #[error("'{text}' is not a list of host:port")]
    Address {
        /// What was given.
        text: String,
    },
    /// No broker could be reached.
    #[error("no broker could be reached: {reason}")]
    Unreachable {
        /// The last failure, with the address.
        reason: String,
    },
    /// A request got no answer; it may have been carried out.
    #[error("{api} got no answer: {reason}")]
    NoAnswer {
        /// Kafka's name of the API.
        api: &'static str,
        /// What happened, with the address.
        reason: String,
    },
    /// The broker does not offer the API in a version that says what was asked.
    #[error("the broker does not offer {api} in a version this client can use")]
    Unsupported {
        /// Kafka's name of the API.
        api: &'static str,
    },
    /// The answer is not one of Kafka's protocol.
    #[error("the answer to {api} is malformed: {error}")]
    Malformed {
        /// Kafka's name of the API.
        api: &'static str,
        /// What is wrong.
        error: DecodeError,
    },
    /// The broker refused.
    #[error("{0}")]
    Refused(#[from] ApiError),
    /// The operation cannot be said in Kafka's protocol.
    #[error("{reason}")]
    Invalid {
        /// Why not.
        reason: String,
    },
}

impl ClientError {
    pub(crate) fn from_failure(api: &'static str, failure: CallFailure) -> ClientError {
        match failure {
            CallFailure::NotSent { reason } => ClientError::Unreachable { reason },
            CallFailure::Lost { reason } => ClientError::NoAnswer { api, reason },
            CallFailure::Unsupported { api } => ClientError::Unsupported { api },
        }
    }

    /// Kafka's error, if a broker answered one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused(error) => Some(error.code),
            ClientError::Unsupported { .. } => Some(ErrorCode::UnsupportedVersion),
            ClientError::Address { .. }
            | ClientError::Unreachable { .. }
            | ClientError::NoAnswer { .. }
            | ClientError::Malformed { .. }
            | ClientError::Invalid { .. } => None,
        }
    }

    /// Whether the same may succeed when it is asked for again. What got no answer may have been carried
    /// out already.
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Refused(error) => error.is_retriable(),
            ClientError::Unreachable { .. } | ClientError::NoAnswer { .. } => true,
            ClientError::Address { .. }
            | ClientError::Unsupported { .. }
            | ClientError::Malformed { .. }
            | ClientError::Invalid { .. } => false,
        }
    }

    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ClientError::Refused(error) => error.hint(),
            ClientError::Unreachable { .. } => Some(hints::NO_CONNECTION),
            ClientError::Address { .. } => Some("write host:port, several separated by commas"),
            ClientError::Unsupported { .. } => hints::for_code(ErrorCode::UnsupportedVersion),
            ClientError::NoAnswer { .. }
            | ClientError::Malformed { .. }
            | ClientError::Invalid { .. } => None,
        }
    }
}

/// Why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It was never taken: unknown topic or partition, too large.
    #[error("{0}")]
    NotTaken(#[from] AppendError),
    /// Its batch was given up.
    #[error("{0}")]
    NotDelivered(ProduceFault),
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed,
}

impl SendError {
    /// Whether the record may be in the log nevertheless. If true, sending it again may write it twice.
    pub fn possibly_written(&self) -> bool {
        match self {
            SendError::NotDelivered(fault) => fault.possibly_written,
            SendError::NotTaken(_) => false,
            // The outcome got lost with the task that would have told it.
            SendError::Closed => true,
        }
    }

    /// Whether sending the record once more may succeed where this failed: the time ran out, or a
    /// broker refused what it may accept later. The producer itself has tried until
    /// `delivery.timeout.ms` already. False for what will fail again, such as a record that is too
    /// large.
    pub fn is_retriable(&self) -> bool {
        match self {
            SendError::NotDelivered(fault) => match &fault.kind {
                ProduceFaultKind::TimedOut { .. } => true,
                ProduceFaultKind::Refused { code, .. } => code.is_retriable(),
                ProduceFaultKind::Stopped { .. } => false,
            },
            SendError::NotTaken(AppendError::TopicUnknown { .. }) => true,
            SendError::NotTaken(_) | SendError::Closed => false,
        }
    }

    /// Whether this producer is of no more use: make another one.
    pub fn is_fatal(&self) -> bool {
        match self {
            SendError::NotDelivered(fault) => {
                matches!(fault.kind, ProduceFaultKind::Stopped { .. })
            }
            SendError::Closed => true,
            SendError::NotTaken(_) => false,
        }
    }

    /// Kafka's error, if a broker answered one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            SendError::NotDelivered(fault) => match &fault.kind {
                ProduceFaultKind::Refused { code, .. } => Some(*code),
                ProduceFaultKind::TimedOut { .. } | ProduceFaultKind::Stopped { .. } => None,
            },
            SendError::NotTaken(AppendError::TopicRefused { code, .. }) => Some(*code),
            SendError::NotTaken(AppendError::TopicUnknown { code, .. }) => *code,
            SendError::NotTaken(_) | SendError::Closed => None,
        }
    }

    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SendError::NotTaken(AppendError::TopicUnknown { code: None, .. }) => {
                Some(hints::NO_CONNECTION)
            }
            SendError::NotTaken(AppendError::TooLarge { .. }) => {
                Some("raise the producer's max.request.size and the topic's max.message.bytes")
            }
            SendError::NotTaken(AppendError::PartitionUnknown { .. }) => {
                Some("choose one of the topic's partitions, or add partitions")
            }
            _ => self.code().and_then(hints::for_code),
        }
    }
}

/// Why a consumer cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// One partition stopped; the others go on.
    #[error("{0}")]
    Partition(#[from] FetchFault),
    /// It cannot be a member of its group. It stays outside until it subscribes again.
    #[error("{0}")]
    Group(GroupFault),
    /// The application took longer between two polls than `max.poll.interval.ms`, and its partitions
    /// went to other members. The next poll joins the group again.
    #[error("the application took longer than {} ms between two polls and lost its partitions", .interval_max.as_millis())]
    PollIntervalExceeded {
        /// `max.poll.interval.ms`.
        interval_max: Duration,
    },
    /// The consumer was made without a group.
    #[error("the consumer has no group")]
    NoGroup,
    /// The topic could not be looked up in time.
    #[error("topic {topic} cannot be read: {reason}")]
    Topic {
        /// Its name.
        topic: String,
        /// Kafka's error, if a broker answered one.
        code: Option<ErrorCode>,
        /// What the last look brought.
        reason: String,
    },
}

impl From<ConsumerFault> for ConsumeError {
    fn from(fault: ConsumerFault) -> ConsumeError {
        match fault {
            ConsumerFault::Partition(fault) => ConsumeError::Partition(fault),
            ConsumerFault::Group(fault) => ConsumeError::Group(fault),
            ConsumerFault::PollIntervalExceeded { interval_max } => {
                ConsumeError::PollIntervalExceeded { interval_max }
            }
        }
    }
}

impl ConsumeError {
    /// Kafka's error, if a broker answered one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ConsumeError::Partition(fault) => match &fault.kind {
                FetchFaultKind::Refused { code } => Some(*code),
                FetchFaultKind::OutOfRange { .. } => Some(ErrorCode::OffsetOutOfRange),
                FetchFaultKind::CommittedOffsetUnknown {
                    error: CommitError::Refused { code },
                } => Some(*code),
                FetchFaultKind::NoCommittedOffset
                | FetchFaultKind::CommittedOffsetUnknown { .. }
                | FetchFaultKind::Unreadable { .. }
                | FetchFaultKind::Unsupported { .. } => None,
            },
            ConsumeError::Group(GroupFault::Refused { code, .. }) => Some(*code),
            ConsumeError::Group(GroupFault::Unsupported { .. }) => {
                Some(ErrorCode::UnsupportedVersion)
            }
            ConsumeError::Topic { code, .. } => *code,
            ConsumeError::Group(GroupFault::Misunderstood { .. })
            | ConsumeError::PollIntervalExceeded { .. }
            | ConsumeError::NoGroup => None,
        }
    }

    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ConsumeError::Partition(fault) if fault.kind == FetchFaultKind::NoCommittedOffset => {
                Some("set auto.offset.reset to earliest or latest, or seek")
            }
            ConsumeError::PollIntervalExceeded { .. } => Some(
                "take fewer records per poll (max.poll.records), work faster, or raise \
                 max.poll.interval.ms",
            ),
            ConsumeError::NoGroup => Some("give the consumer a group.id"),
            _ => self.code().and_then(hints::for_code),
        }
    }
}

impl CommitError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CommitError::NotMember => Some(
                "records since the last commit will be read again, perhaps by another member; if the \
                 application works too long between polls, raise max.poll.interval.ms",
            ),
            CommitError::Refused { code } => hints::for_code(*code),
            CommitError::Unsupported { .. } => hints::for_code(ErrorCode::UnsupportedVersion),
            CommitError::NoGroup => Some("give the consumer a group.id"),
            CommitError::TimedOut { .. } | CommitError::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody should look for a typing error in a topic's name while no broker answers.
    #[test]
    fn a_topic_nobody_was_asked_about_is_no_topic_that_is_missing() {
        let unknown = |code| {
            SendError::NotTaken(AppendError::TopicUnknown {
                topic: "orders".into(),
                code,
                reason: None,
            })
        };
        let missing = unknown(Some(ErrorCode::UnknownTopicOrPartition));
        assert_eq!(missing.code(), Some(ErrorCode::UnknownTopicOrPartition));
        let hint = hints::for_code(ErrorCode::UnknownTopicOrPartition);
        assert_eq!(missing.hint(), hint);
        let unreachable = unknown(None);
        assert_eq!(unreachable.code(), None);
        assert_eq!(unreachable.hint(), Some(hints::NO_CONNECTION));
    }
}
