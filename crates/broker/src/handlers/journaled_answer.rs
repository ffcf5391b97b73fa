use crate::request::{Handled, ReplyTo, Request};
use crate::waiting::{FailedReply, JournalPlace, ParkedReply};
use ottla_protocol::{EncodeError, Writer};
use ottla_types::{ErrorCode, Mono};

/// An answer whose successes depend on journals: it is written at once, with the places of its errors, and goes out when
/// the journals are so far, or with errors in these places.
pub(super) struct JournaledAnswer {
    pub(super) writer: Writer,
    reply_to: ReplyTo,
    start: usize,
    is_flexible: bool,
    error_positions: Vec<usize>,
    places: Vec<JournalPlace>,
}

impl JournaledAnswer {
    /// Begins the answer to `request`, whose versions are flexible from `first_flexible` on.
    pub(super) fn begin(request: &Request<'_>, first_flexible: i16) -> JournaledAnswer {
        let reply_to = request.reply_to();
        let (writer, start) = reply_to.begin();
        JournaledAnswer {
            writer,
            reply_to,
            start,
            is_flexible: first_flexible <= request.version(),
            error_positions: Vec::new(),
            places: Vec::new(),
        }
    }

    /// How many elements follow.
    pub(super) fn length(&mut self, count: usize) -> Result<(), EncodeError> {
        self.writer.length(self.is_flexible, count)
    }

    pub(super) fn string(&mut self, text: &str) -> Result<(), EncodeError> {
        self.writer.string(self.is_flexible, text)
    }

    /// An error, or none once these places are durable.
    pub(super) fn error(
        &mut self,
        request: &Request<'_>,
        result: Result<impl IntoIterator<Item = JournalPlace>, ErrorCode>,
    ) {
        let code = match result {
            Ok(places) => {
                self.error_positions.push(self.writer.buf().len());
                self.places.extend(places);
                ErrorCode::None
            }
            Err(code) => code,
        };
        request.broker.metrics.error(code);
        self.writer.i16(code.code());
    }

    pub(super) fn end_struct(&mut self) {
        if self.is_flexible {
            self.writer.no_tagged_fields();
        }
    }

    /// The answer was written as a whole, or cannot be.
    pub(super) fn finish(
        mut self,
        written: Result<(), EncodeError>,
        request: &Request<'_>,
        deadline: Mono,
    ) -> Handled {
        written
            .and_then(|()| self.writer.finish_frame(self.start))
            .map_err(|error| self.reply_to.cannot_encode(error))?;
        let reply = ParkedReply {
            frame: self.writer.into_buf(),
            failure: FailedReply::ErrorsAt(self.error_positions),
            places: self.places,
            deadline: Some(deadline),
        };
        let core = request.connection.core;
        let token = request.held.as_ref().map(|held| held.token);
        Ok(request.broker.reply_or_park(core, reply, token))
    }
}
