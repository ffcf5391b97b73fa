use crate::changes::Changes;
use crate::command::{Command, Reply};
use crate::config_rules::ConfigRules;
use crate::controller_error::ControllerError;
use crate::decide::decide;
use crate::image::Image;
use crate::quorum::{Applied, Quorum, QuorumEvent, QuorumStatus, Ticket};
use ottla_types::Prng;
use std::collections::VecDeque;
use std::sync::Arc;

/// The cluster's one writer, on the node that leads the quorum; idle on the others.
///
/// A command is decided against the state *including what is proposed and not yet applied*, so two
/// commands in a row see each other. Its answer, refusals included, is handed out when everything it
/// was decided on is applied: it never reveals what a crash can take back. When leadership or a
/// proposal is lost, all uncommitted effects go and their waiters hear [`ControllerError::NotController`], or
/// [`ControllerError::MetadataFailed`] when that is for good.
///
/// Invariants: without a term nothing is pending; with nothing pending `appended` is `committed`;
/// tickets in `pending` rise.
pub struct Controller {
    quorum: Arc<dyn Quorum>,
    rules: Arc<dyn ConfigRules>,
    prng: Prng,
    committed: Arc<Image>,
    appended: Arc<Image>,
    term: Option<u64>,
    pending: VecDeque<Pending>,
    requests_count: u64,
    /// Set once the quorum failed for good.
    failure: Option<Arc<str>>,
}

/// A proposal in flight with the answers that wait for it.
struct Pending {
    ticket: Ticket,
    answers: Vec<(RequestId, Result<Reply, ControllerError>)>,
}

/// Names a submitted command until its answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// What became of a command at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// The answer depends on nothing that is not certain.
    Answered(Result<Reply, ControllerError>),
    /// The answer comes with a later [`Progress`].
    Waiting(RequestId),
}

/// What an event brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The new state, when it changed.
    pub image: Option<Arc<Image>>,
    /// What is new in it; `None` with an image means anything may be.
    pub changes: Option<Changes>,
    /// Answers that are certain now, in the order of their commands.
    pub answers: Vec<(RequestId, Result<Reply, ControllerError>)>,
}

impl Controller {
    /// An idle controller; `seed` makes the ids of topics and the places of replicas.
    pub fn new(quorum: Arc<dyn Quorum>, rules: Arc<dyn ConfigRules>, seed: u64) -> Controller {
        let empty = Arc::new(Image::empty());
        Controller {
            quorum,
            rules,
            prng: Prng::new(seed),
            committed: Arc::clone(&empty),
            appended: empty,
            term: None,
            pending: VecDeque::new(),
            requests_count: 0,
            failure: None,
        }
    }

    /// The state that is certain.
    pub fn image(&self) -> &Arc<Image> {
        &self.committed
    }

    /// How the quorum stands.
    pub fn quorum_status(&self) -> QuorumStatus {
        self.quorum.status()
    }

    /// The term this node leads, if it does.
    pub fn term(&self) -> Option<u64> {
        self.term
    }

    /// Why the metadata can never change again in this process, if that is so.
    pub fn failure(&self) -> Option<&Arc<str>> {
        self.failure.as_ref()
    }

    /// Decides `command` and proposes what it changes.
    pub fn submit(&mut self, command: &Command) -> Submission {
        let Some(term) = self.term else {
            return Submission::Answered(Err(self.not_leading()));
        };
        let decided = decide(command, &self.appended, &*self.rules, &mut self.prng);
        let (records, reply) = match decided {
            Ok(decision) => (decision.records, Ok(decision.reply)),
            Err(refusal) => (Vec::new(), Err(refusal)),
        };
        if records.is_empty() {
            return self.answer_after_pending(reply);
        }
        let next = self
            .appended
            .apply(self.appended.applied_index() + 1, &records)
            .expect("the controller decides records that fit the state they were decided on");
        match self.quorum.propose(term, records) {
            Ok(ticket) => {
                self.appended = Arc::new(next);
                self.pending.push_back(Pending {
                    ticket,
                    answers: Vec::new(),
                });
                self.answer_after_pending(reply)
            }
            // Nothing was proposed; the quorum will say `Following` for those in flight.
            Err(_not_leader) => Submission::Answered(Err(self.not_leading())),
        }
    }

    fn answer_after_pending(&mut self, reply: Result<Reply, ControllerError>) -> Submission {
        let Some(last) = self.pending.back_mut() else {
            return Submission::Answered(reply);
        };
        self.requests_count += 1;
        let id = RequestId(self.requests_count);
        last.answers.push((id, reply));
        Submission::Waiting(id)
    }

    /// Takes in what the quorum says. Every event must come here, in the order the quorum sends.
    pub fn on_event(&mut self, event: &QuorumEvent) -> Progress {
        match event {
            QuorumEvent::ImageReplaced { image } => {
                self.committed = Arc::clone(image);
                let answers = self.drop_uncommitted();
                Progress {
                    image: Some(Arc::clone(image)),
                    changes: None,
                    answers,
                }
            }
            QuorumEvent::Applied(applied) => self.on_applied(applied),
            QuorumEvent::Leading { term } => {
                let answers = self.drop_uncommitted();
                self.term = Some(*term);
                Progress {
                    answers,
                    ..Progress::default()
                }
            }
            QuorumEvent::Failed { reason } => {
                self.failure = Some(Arc::from(&**reason));
                Progress {
                    answers: self.drop_uncommitted(),
                    ..Progress::default()
                }
            }
            QuorumEvent::Following { .. }
            | QuorumEvent::Lost { .. }
            | QuorumEvent::Unknown { .. } => Progress {
                answers: self.drop_uncommitted(),
                ..Progress::default()
            },
        }
    }

    fn on_applied(&mut self, applied: &Applied) -> Progress {
        let mut progress = Progress {
            image: Some(Arc::clone(&applied.image)),
            changes: Some(Changes::of(&applied.records)),
            answers: Vec::new(),
        };
        self.committed = Arc::clone(&applied.image);
        let is_front = match (self.pending.front(), applied.ticket) {
            (Some(front), Some(ticket)) => front.ticket == ticket,
            _ => false,
        };
        if is_front {
            let done = self.pending.pop_front().expect("there is a front");
            progress.answers = done.answers;
        } else if !self.pending.is_empty() && !applied.records.is_empty() {
            // Not ours while ours are in flight: they were decided on another state than this one.
            progress.answers = self.drop_uncommitted();
        }
        if self.pending.is_empty() {
            self.appended = Arc::clone(&self.committed);
        }
        progress
    }

    /// Forgets what is not certain, leadership included; who waited must ask again.
    fn drop_uncommitted(&mut self) -> Vec<(RequestId, Result<Reply, ControllerError>)> {
        self.term = None;
        self.appended = Arc::clone(&self.committed);
        let error = self.not_leading();
        self.pending
            .drain(..)
            .flat_map(|pending| pending.answers)
            .map(|(id, _)| (id, Err(error.clone())))
            .collect()
    }

    /// What who asks is told: to ask again, or that there is no point in it.
    fn not_leading(&self) -> ControllerError {
        match &self.failure {
            None => ControllerError::NotController,
            Some(reason) => ControllerError::MetadataFailed {
                reason: Arc::clone(reason),
            },
        }
    }
}
