use crate::broker::Broker;
use crate::connection::Connection;
use crate::controller_desk::Patience;
use crate::response::{CloseReason, Outcome, Response};
use crate::view::View;
use crate::waiting::{HeldBefore, HeldPatience, Keep, WrittenBatch};
use ottla_protocol::{ApiKey, EncodeError, Message, Reader, RequestHeader, ResponseHeader, Writer};
use ottla_types::{Mono, Now};
use std::sync::Arc;
use std::time::Duration;

/// A healthy disk is done with a write long before this.
const JOURNAL_PATIENCE_MIN: Duration = Duration::from_secs(1);

/// What a handler does with a request: an outcome, or a reason to close the connection.
pub(crate) type Handled = Result<Outcome, CloseReason>;

/// One request with everything a handler may look at.
pub(crate) struct Request<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) connection: &'a mut Connection,
    pub(crate) header: RequestHeader<'a>,
    pub(crate) key: ApiKey,
    /// Header and body.
    pub(crate) frame: &'a [u8],
    /// What follows the header.
    pub(crate) body: &'a [u8],
    /// Set if it was held before.
    pub(crate) held: Option<HeldBefore>,
    /// The state of the cluster for this request, from beginning to end.
    pub(crate) view: Arc<View>,
    pub(crate) now: Now,
}

impl<'a> Request<'a> {
    /// Its large batches, if it was held for them to be written.
    pub(crate) fn large(&self) -> Option<&[WrittenBatch]> {
        self.held.as_ref()?.large.as_deref()
    }

    /// The version of the request and of its answer.
    pub(crate) fn version(&self) -> i16 {
        self.header.api_version
    }

    /// Reads the body. Bytes behind it are ignored, as by Kafka.
    pub(crate) fn decode<M: Message<'a>>(&self) -> Result<M, CloseReason> {
        let mut reader = Reader::new(self.body);
        M::decode(&mut reader, self.version()).map_err(|error| CloseReason::MalformedRequest {
            api: self.key.name(),
            reason: error.to_string(),
        })
    }

    /// What it takes to answer, now or later.
    pub(crate) fn reply_to(&self) -> ReplyTo {
        ReplyTo {
            key: self.key,
            version: self.version(),
            correlation_id: self.header.correlation_id,
        }
    }

    /// When a request that waits for the journal gives up. Kafka's timeouts bound the wait for other
    /// brokers only, so even a request that allows no time gets what a write to the disk takes.
    pub(crate) fn journal_deadline(&self, timeout_ms: i32) -> Mono {
        self.deadline(timeout_ms)
            .max(self.now.mono.plus(JOURNAL_PATIENCE_MIN))
    }

    /// How long a client with this timeout waits for the controller.
    pub(crate) fn patience(&self, timeout_ms: i32) -> Patience {
        match timeout_ms {
            1.. => Patience::Until(self.deadline(timeout_ms)),
            _ => Patience::NoTime,
        }
    }

    fn deadline(&self, timeout_ms: i32) -> Mono {
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        self.now.mono.plus(timeout)
    }

    /// Keeps the request, to be carried out a little later as if it came then; `patience` counts from the first time
    /// on. Nothing of it has had an effect yet.
    pub(crate) fn keep(&self, patience: HeldPatience, large: Option<Vec<WrittenBatch>>) -> Outcome {
        let before = self.held.as_ref();
        let keep = Keep {
            patience: before.map_or(patience, |held| held.patience),
            token: before.map(|held| held.token),
            large,
        };
        let (connection, frame) = (&*self.connection, self.frame);
        let token = self.broker.hold(connection, frame, keep, self.now);
        Outcome::Parked {
            token,
            // Before its effect: nothing behind it on the connection may overtake it.
            blocks_connection: true,
        }
    }

    /// Whether it was kept for as long as its client waits.
    pub(crate) fn is_out_of_patience(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.patience.give_up <= self.now.mono)
    }

    /// The answer.
    pub(crate) fn reply<'m>(&self, message: &impl Message<'m>) -> Handled {
        self.reply_to().encode(message).map(Outcome::Reply)
    }
}

/// What it takes to write an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
}

impl ReplyTo {
    /// A writer behind the answer's header, and where the frame's content began.
    pub(crate) fn begin(&self) -> (Writer, usize) {
        let mut writer = Writer::new();
        let start = writer.begin_frame();
        let header = ResponseHeader {
            correlation_id: self.correlation_id,
        };
        header.encode(&mut writer, self.key, self.version);
        (writer, start)
    }

    /// The whole frame around `message`, for answers without external bytes.
    pub(crate) fn frame<'m>(&self, message: &impl Message<'m>) -> Result<Vec<u8>, CloseReason> {
        let (mut writer, start) = self.begin();
        message
            .encode(&mut writer, self.version)
            .and_then(|()| writer.finish_frame(start))
            .map_err(|error| self.cannot_encode(error))?;
        Ok(writer.into_buf())
    }

    /// The answer.
    pub(crate) fn encode<'m>(&self, message: &impl Message<'m>) -> Result<Response, CloseReason> {
        self.frame(message).map(Response::from_bytes)
    }

    pub(crate) fn cannot_encode(&self, error: EncodeError) -> CloseReason {
        CloseReason::CannotEncode {
            api: self.key.name(),
            reason: error.to_string(),
        }
    }
}

/// An outcome for either way it went.
pub(crate) fn outcome(handled: Handled) -> Outcome {
    handled.unwrap_or_else(Outcome::Close)
}
