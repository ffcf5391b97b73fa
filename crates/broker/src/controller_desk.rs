use crate::broker::Broker;
use crate::producer_ids::ProducerIdsAnswer;
use crate::response::{CoreId, Outcome, Token};
use crate::waiting::{Parked, ParkedReply, PromisedAnswer};
use ottla_metadata::{Command, Controller, ControllerError, Reply, RequestId, Submission};
use ottla_types::{Mono, Now, TopicPartition};
use std::collections::BTreeMap;

/// The answer a controller gives.
pub(crate) type ControllerResult = Result<Reply, ControllerError>;

/// Turns the controller's answer into the client's.
pub(crate) type Answer = Box<dyn FnOnce(&Broker, ControllerResult) -> PromisedAnswer + Send>;

/// How long a client waits for the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// The request has no timeout.
    Forever,
    /// Until then.
    Until(Mono),
    /// Not at all: Kafka then does nothing.
    NoTime,
}

/// Where requests to the controller are handed in, and who waits for what.
pub(crate) struct ControllerDesk {
    pub(crate) controller: Controller,
    waiting: BTreeMap<RequestId, Waiting>,
}

/// Who waits for an answer of the controller.
pub(crate) enum Waiting {
    /// A client's request.
    Client { token: Token, answer: Answer },
    /// This broker, to be registered.
    Registration,
    /// This broker, for producer ids.
    ProducerIds,
    /// A move of a log to another directory, by its number, that asked at this time.
    Move {
        id: TopicPartition,
        number: u64,
        now: Now,
    },
    /// Nobody: a topic that is created on the side.
    Nobody,
}

impl ControllerDesk {
    pub(crate) fn new(controller: Controller) -> ControllerDesk {
        ControllerDesk {
            controller,
            waiting: BTreeMap::new(),
        }
    }

    /// Who waits for `id`.
    pub(crate) fn take(&mut self, id: RequestId) -> Option<Waiting> {
        self.waiting.remove(&id)
    }

    /// What `token`'s client would have been answered with.
    fn take_of(&mut self, token: Token) -> Option<Answer> {
        let is_meant = |_: &RequestId, waiting: &mut Waiting| matches!(waiting, Waiting::Client { token: other, .. } if *other == token);
        match self.waiting.extract_if(.., is_meant).next() {
            Some((_, Waiting::Client { answer, .. })) => Some(answer),
            _ => None,
        }
    }
}

impl Broker {
    /// Hands `command` to the controller; `answer` makes the client's reply of what it says, or of
    /// [`ControllerError::TimedOut`] when the client waits no longer. The command may take effect
    /// nevertheless.
    pub(crate) fn submit(
        &self,
        core: CoreId,
        command: &Command,
        patience: Patience,
        answer: Answer,
    ) -> Outcome {
        let deadline = match patience {
            Patience::Forever => None,
            Patience::Until(deadline) => Some(deadline),
            Patience::NoTime => {
                return match answer(self, Err(ControllerError::NoTime)) {
                    PromisedAnswer::Done(outcome) => outcome,
                    PromisedAnswer::After(reply) => self.reply_or_park(core, reply, None),
                };
            }
        };
        let result = {
            let mut desk = self.desk.lock();
            match desk.controller.submit(command) {
                Submission::Answered(result) => result,
                Submission::Waiting(id) => {
                    let token = self.park(core, Parked::Promised { deadline }, deadline);
                    desk.waiting.insert(id, Waiting::Client { token, answer });
                    return Outcome::Parked {
                        token,
                        blocks_connection: false,
                    };
                }
            }
        };
        match answer(self, result) {
            PromisedAnswer::Done(outcome) => outcome,
            PromisedAnswer::After(reply) => self.reply_or_park(core, reply, None),
        }
    }

    /// The answer to a client that does not wait any longer; `None` when the true one is on its way.
    pub(crate) fn give_up(&self, token: Token) -> Option<Outcome> {
        let answer = self.desk.lock().take_of(token)?;
        match answer(self, Err(ControllerError::TimedOut)) {
            PromisedAnswer::Done(outcome) => Some(outcome),
            // What did not happen yet waits for nothing.
            PromisedAnswer::After(reply) => Some(Outcome::Reply(reply.into_response())),
        }
    }

    /// Hands in a command of the broker's own.
    pub(crate) fn submit_own(&self, command: &Command, waiting: Waiting) {
        let answered = {
            let mut desk = self.desk.lock();
            match desk.controller.submit(command) {
                Submission::Answered(result) => (waiting, result),
                Submission::Waiting(id) => {
                    desk.waiting.insert(id, waiting);
                    return;
                }
            }
        };
        self.answer_own(answered.0, answered.1);
    }

    /// Passes an answer of the controller on.
    pub(crate) fn deliver(&self, waiting: Waiting, result: ControllerResult) {
        match waiting {
            Waiting::Client { token, answer } => {
                let answer = answer(self, result);
                self.note_answer(token, answer);
            }
            own => self.answer_own(own, result),
        }
    }

    fn answer_own(&self, waiting: Waiting, result: ControllerResult) {
        match waiting {
            Waiting::ProducerIds => {
                let answer = match result {
                    Ok(Reply::ProducerIds(block)) => ProducerIdsAnswer::Block(block),
                    _ => ProducerIdsAnswer::Unavailable,
                };
                self.take_producer_ids(answer);
            }
            Waiting::Move { id, number, now } => self.move_answered(id, number, &result, now),
            Waiting::Registration => self.registration_answered(result.is_ok()),
            Waiting::Nobody | Waiting::Client { .. } => {}
        }
    }

    /// Sends `reply` now if all it waits for is there, else parks it, under `token` if there is one.
    pub(crate) fn reply_or_park(
        &self,
        core: CoreId,
        reply: ParkedReply,
        token: Option<Token>,
    ) -> Outcome {
        match self.park_reply(core, reply, token) {
            Ok(token) => Outcome::Parked {
                token,
                blocks_connection: false,
            },
            Err(reply) => Outcome::Reply(reply.into_response()),
        }
    }
}
