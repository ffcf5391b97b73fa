use crate::broker::Broker;
use crate::producer_ids::ProducerIdsAnswer;
use crate::response::{CoreId, Outcome, Token};
use crate::waiting::{ControllerAnswer, Parked, ParkedReply};
use ottla_metadata::{Command, Controller, ControllerError, Reply, RequestId, Submission};
use std::collections::BTreeMap;

/// The answer a controller gives.
pub(crate) type ControllerResult = Result<Reply, ControllerError>;

/// Turns the controller's answer into the client's.
pub(crate) type Answer = Box<dyn FnOnce(&Broker, ControllerResult) -> ControllerAnswer + Send>;

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
}

impl Broker {
    /// Hands `command` to the controller; `answer` makes the client's reply of what it says.
    pub(crate) fn submit(&self, core: CoreId, command: &Command, answer: Answer) -> Outcome {
        let result = {
            let mut desk = self.desk.lock();
            match desk.controller.submit(command) {
                Submission::Answered(result) => result,
                Submission::Waiting(id) => {
                    let token = self.park(core, Parked::Controller, None);
                    desk.waiting.insert(id, Waiting::Client { token, answer });
                    return Outcome::Parked {
                        token,
                        blocks_connection: false,
                    };
                }
            }
        };
        match answer(self, result) {
            ControllerAnswer::Done(outcome) => outcome,
            ControllerAnswer::After(reply) => self.reply_or_park(core, reply, None),
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
