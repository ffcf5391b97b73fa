use crate::broker::Broker;
use crate::request::{Handled, outcome};
use crate::response::{Outcome, Token};
use crate::waiting::PromisedAnswer;
use ottla_coordinator::Refusal;
use ottla_coordinator::group::GroupReply;
use parking_lot::Mutex;

/// What a shard said, or why it said nothing.
pub(crate) type Answered = Result<GroupReply, Refusal>;

/// Makes the client's answer of everything that was said, in the order it was asked.
pub(crate) type Finish = Box<dyn FnOnce(&Broker, Vec<Answered>) -> Handled + Send>;

/// A client's request to one or several shards, until all of them have answered.
pub(crate) struct Question {
    token: Token,
    state: Mutex<QuestionState>,
}

struct QuestionState {
    answers: Vec<Option<Answered>>,
    missing: usize,
    finish: Option<Finish>,
    /// The client waits: whoever brings the last answer finishes.
    is_parked: bool,
}

impl Question {
    pub(super) fn new(token: Token, parts: usize, finish: Finish) -> Question {
        Question {
            token,
            state: Mutex::new(QuestionState {
                answers: std::iter::repeat_with(|| None).take(parts).collect(),
                missing: parts,
                finish: Some(finish),
                is_parked: false,
            }),
        }
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    /// The answer to part `index` has come.
    pub(super) fn answer(&self, broker: &Broker, index: usize, answered: Answered) {
        let mut state = self.state.lock();
        let earlier = state.answers[index].replace(answered);
        assert!(earlier.is_none(), "each part is answered once");
        state.missing -= 1;
        if state.missing == 0 && state.is_parked {
            let (finish, answers) = state.take();
            drop(state);
            let answer = PromisedAnswer::Done(outcome(finish(broker, answers)));
            broker.note_answer(self.token, answer);
        }
    }

    /// The whole answer if it is there already; otherwise it will come under the token.
    pub(super) fn finish_or_park(&self, broker: &Broker) -> Handled {
        let mut state = self.state.lock();
        if 0 < state.missing {
            state.is_parked = true;
            return Ok(Outcome::Parked {
                token: self.token,
                blocks_connection: false,
            });
        }
        let (finish, answers) = state.take();
        drop(state);
        finish(broker, answers)
    }
}

impl QuestionState {
    fn take(&mut self) -> (Finish, Vec<Answered>) {
        let finish = self.finish.take().expect("a question is finished once");
        let answers = self.answers.drain(..);
        let answers = answers.map(|answer| answer.expect("none is missing"));
        (finish, answers.collect())
    }
}
