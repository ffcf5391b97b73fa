use crate::broker::Broker;
use crate::controller_desk::Waiting;
use crate::request::ReplyTo;
use crate::response::{CoreId, Outcome, Token};
use crate::waiting::{Parked, PromisedAnswer};
use ottla_metadata::Command;
use ottla_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use ottla_types::ErrorCode;
use std::ops::Range;

/// Below this many ids the next block is asked for, so that nobody waits.
const IDS_COUNT_LOW: i64 = 100;

/// Producer ids that are ours to give away: no other broker and no later incarnation has them.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    block: Range<i64>,
    next_block: Range<i64>,
    is_requested: bool,
    waiting: Vec<(Token, ReplyTo)>,
}

/// What the controller said to a request for ids.
pub(crate) enum ProducerIdsAnswer {
    Block(Range<i64>),
    Unavailable,
}

impl ProducerIds {
    fn take(&mut self) -> Option<i64> {
        if self.block.is_empty() {
            self.block = std::mem::take(&mut self.next_block);
        }
        self.block.next()
    }

    fn left(&self) -> i64 {
        (self.block.end - self.block.start) + (self.next_block.end - self.next_block.start)
    }
}

impl Broker {
    /// Answers a request for a producer id, now or when a block has come.
    pub(crate) fn give_producer_id(&self, core: CoreId, reply_to: ReplyTo) -> Outcome {
        let outcome = {
            let mut ids = self.producer_ids.lock();
            match ids.take() {
                Some(id) => success(reply_to, id),
                None => {
                    let token = self.park(core, Parked::Promised { deadline: None }, None);
                    ids.waiting.push((token, reply_to));
                    Outcome::Parked {
                        token,
                        blocks_connection: false,
                    }
                }
            }
        };
        self.ensure_producer_ids();
        outcome
    }

    /// Asks for a block if there are few ids left.
    pub(crate) fn ensure_producer_ids(&self) {
        let is_low = self.producer_ids.lock().left() < IDS_COUNT_LOW;
        if is_low {
            self.request_producer_ids();
        }
    }

    /// Asks the controller for a block, unless one is on its way.
    pub(crate) fn request_producer_ids(&self) {
        let Some(broker_epoch) = self.registered_epoch() else {
            // Not registered: there is nobody to ask, and clients must not wait for it.
            return self.take_producer_ids(ProducerIdsAnswer::Unavailable);
        };
        if std::mem::replace(&mut self.producer_ids.lock().is_requested, true) {
            return;
        }
        let command = Command::AllocateProducerIds {
            broker: self.config.node_id,
            broker_epoch,
        };
        self.submit_own(&command, Waiting::ProducerIds);
    }

    pub(crate) fn take_producer_ids(&self, answer: ProducerIdsAnswer) {
        let mut ids = self.producer_ids.lock();
        ids.is_requested = false;
        if let ProducerIdsAnswer::Block(block) = answer {
            if ids.block.is_empty() {
                ids.block = block;
            } else {
                ids.next_block = block;
            }
        }
        let waiting = std::mem::take(&mut ids.waiting);
        let mut answers = Vec::with_capacity(waiting.len());
        for (token, reply_to) in waiting {
            let outcome = match ids.take() {
                Some(id) => success(reply_to, id),
                // Kafka's answer while no block has come: clients try again.
                None => failure(reply_to, ErrorCode::CoordinatorLoadInProgress),
            };
            answers.push((token, outcome));
        }
        drop(ids);
        for (token, outcome) in answers {
            self.note_answer(token, PromisedAnswer::Done(outcome));
        }
    }
}

fn success(reply_to: ReplyTo, producer_id: i64) -> Outcome {
    let response = InitProducerIdResponse {
        producer_id,
        producer_epoch: 0,
        ..InitProducerIdResponse::default()
    };
    crate::request::outcome(reply_to.encode(&response).map(Outcome::Reply))
}

/// The refusal of a request for a producer id.
pub(crate) fn failure(reply_to: ReplyTo, code: ErrorCode) -> Outcome {
    let response = InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    };
    crate::request::outcome(reply_to.encode(&response).map(Outcome::Reply))
}
