use crate::codec::{CodecError, encode_entry};
use crate::quorum::{NotLeader, Quorum, QuorumEvent, QuorumStatus, Ticket, Voter};
use crate::quorum_store::{QuorumStore, QuorumStoreError, QuorumStoreOptions};
use crate::raft_types::{LogPosition, Payload, StoredEntry, Vote};
use crate::record::Record;
use crate::state_machine::StateMachine;
use ottla_storage::disk::Disk;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// A quorum of one voter without threads: [`LocalQuorum::step`] is its pump.
///
/// It keeps the same store as the quorum on openraft, and on demand it misbehaves in the ways that the
/// [contract](crate::quorum) allows.
pub struct LocalQuorum {
    state: Mutex<State>,
}

/// How a local quorum is opened.
#[derive(Clone)]
pub struct LocalQuorumOptions {
    /// Its one voter.
    pub me: Voter,
    /// Bytes of entries after which a snapshot is taken.
    pub snapshot_entries_size: u64,
    /// Of the store.
    pub store: QuorumStoreOptions,
}

/// Ways to misbehave that the contract allows. Keeping a proposal is not stepping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Leadership is lost and won again in a later term. Of the proposals in flight the first `kept`
    /// stay; the others are lost.
    LoseLeadership {
        /// How many proposals stay.
        kept: usize,
    },
    /// As before, but nobody is told what becomes of the proposals in flight: those that stay are
    /// applied without a ticket.
    LoseTrack {
        /// How many proposals stay.
        kept: usize,
    },
    /// As before, but what stays is written in the later term, so that it has no effect.
    LoseTerm {
        /// How many proposals stay.
        kept: usize,
    },
    /// An entry without records is written.
    WriteBlank,
    /// Proposals are refused until the next step.
    Refuse,
}

struct State {
    me: Voter,
    store: QuorumStore,
    machine: StateMachine,
    term: u64,
    is_leading: bool,
    refuses: bool,
    tickets_count: u64,
    proposals: VecDeque<Proposal>,
    events: VecDeque<QuorumEvent>,
    snapshot_entries_size: u64,
    is_proven: bool,
    has_failed: bool,
}

struct Proposal {
    ticket: Option<Ticket>,
    /// The term it will be written in.
    term: u64,
    payload: Payload,
}

impl LocalQuorum {
    /// Opens the store in `dir`. A new one begins with `first_batch`, in one synced write.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &LocalQuorumOptions,
        first_batch: impl FnOnce() -> Vec<Record>,
    ) -> Result<LocalQuorum, QuorumStoreError> {
        let me = options.me;
        let store = QuorumStore::open_or_create(disk, dir, &options.store, me, first_batch)?;
        let mut state = State {
            me,
            term: store.vote().map_or(0, |vote| vote.term),
            machine: StateMachine::new(store.snapshot().map(|snapshot| &**snapshot)),
            store,
            is_leading: false,
            refuses: false,
            tickets_count: 0,
            proposals: VecDeque::new(),
            events: VecDeque::new(),
            snapshot_entries_size: options.snapshot_entries_size,
            is_proven: false,
            has_failed: false,
        };
        state.events.push_back(QuorumEvent::ImageReplaced {
            image: Arc::clone(state.machine.image()),
        });
        // Every entry of a quorum of one is committed once it is durable, and what was read is.
        state.apply_stored(std::iter::empty())?;
        state.lead();
        Ok(LocalQuorum {
            state: Mutex::new(state),
        })
    }

    /// Does at most one write and hands over what is certain after it. Nothing to do, nothing returned.
    pub fn step(&self) -> Vec<QuorumEvent> {
        let state = &mut *self.state.lock();
        if state.events.is_empty()
            && !state.has_failed
            && let Err(error) = state.advance()
        {
            state.fail(&error);
        }
        state.events.drain(..).collect()
    }

    /// Whether [`LocalQuorum::step`] has something to do.
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.events.is_empty() && (state.has_failed || !state.has_work())
    }

    /// Whether its store failed: it decides nothing any more.
    pub fn has_failed(&self) -> bool {
        self.state.lock().has_failed
    }

    /// Bytes of the entries since the last snapshot.
    pub fn entries_size(&self) -> u64 {
        self.state.lock().store.entries_size()
    }

    /// Misbehaves.
    pub fn disturb(&self, disturbance: Disturbance) {
        let state = &mut *self.state.lock();
        if state.has_failed {
            return;
        }
        match disturbance {
            Disturbance::LoseLeadership { kept } => {
                state.step_down(kept, |ticket| QuorumEvent::Lost { ticket }, false);
            }
            Disturbance::LoseTrack { kept } => {
                state.step_down(kept, |ticket| QuorumEvent::Unknown { ticket }, true);
            }
            Disturbance::LoseTerm { kept } => {
                state.step_down(kept, |ticket| QuorumEvent::Unknown { ticket }, true);
                let next_term = state.term + 1;
                for proposal in &mut state.proposals {
                    proposal.term = next_term;
                }
            }
            Disturbance::WriteBlank => {
                let term = state.term;
                state.proposals.push_back(Proposal {
                    ticket: None,
                    term,
                    payload: Payload::Blank,
                });
            }
            Disturbance::Refuse => state.refuses = true,
        }
    }
}

impl Quorum for LocalQuorum {
    fn propose(&self, term: u64, batch: Vec<Record>) -> Result<Ticket, NotLeader> {
        let state = &mut *self.state.lock();
        if !state.is_leading || state.term != term || state.refuses || state.has_failed {
            return Err(NotLeader);
        }
        state.tickets_count += 1;
        let ticket = Ticket::new(state.tickets_count);
        state.proposals.push_back(Proposal {
            ticket: Some(ticket),
            term,
            payload: Payload::Batch(encode_entry(term, &batch).into()),
        });
        Ok(ticket)
    }

    fn status(&self) -> QuorumStatus {
        let state = self.state.lock();
        let (_, membership) = state.machine.membership();
        QuorumStatus {
            term: state.term,
            leader: state.is_leading.then_some(state.me.node),
            last_index: state.store.end_index().saturating_sub(1),
            applied_index: state.machine.applied().map_or(0, |applied| applied.index),
            snapshot_index: state
                .store
                .snapshot()
                .map_or(0, |snapshot| snapshot.position.index),
            voters: membership.voters.iter().flatten().copied().collect(),
        }
    }
}

impl State {
    fn has_work(&self) -> bool {
        !self.is_leading || !self.proposals.is_empty() || self.is_compaction_due()
    }

    fn is_compaction_due(&self) -> bool {
        self.snapshot_entries_size <= self.store.entries_size()
            && self.store.purged() < self.machine.applied()
    }

    /// The one write of a step: the vote of a new term, or a snapshot, or a purge, or proposals,
    /// or the proof of the last one. On a full disk nothing is done, and the next step tries again.
    fn advance(&mut self) -> Result<(), QuorumStoreError> {
        self.refuses = false;
        let done = if !self.is_leading {
            self.elect()
        } else if self.is_compaction_due() {
            self.compact()
        } else if !self.proposals.is_empty() {
            self.write_proposals(None)
        } else {
            return self.prove();
        };
        self.is_proven = false;
        match done {
            Err(error) if error.is_full() => Ok(()),
            done => done,
        }
    }

    fn prove(&mut self) -> Result<(), QuorumStoreError> {
        match self.store.prove() {
            Err(error) if error.is_full() => return Ok(()),
            proven => proven?,
        };
        self.is_proven = true;
        Ok(())
    }

    /// Wins the election of one: vote, the entries that stay and the new term's first are one write.
    fn elect(&mut self) -> Result<(), QuorumStoreError> {
        let term = self.term + 1;
        self.proposals.push_back(Proposal {
            ticket: None,
            term,
            payload: Payload::Blank,
        });
        let vote = Vote {
            term,
            candidate: self.me,
            is_committed: true,
        };
        if let Err(error) = self.write_proposals(Some(vote)) {
            self.proposals.pop_back();
            return Err(error);
        }
        self.term = term;
        self.lead();
        Ok(())
    }

    fn lead(&mut self) {
        self.is_leading = true;
        self.events
            .push_back(QuorumEvent::Leading { term: self.term });
    }

    /// Everything proposed becomes durable in one write, and is applied.
    fn write_proposals(&mut self, vote: Option<Vote>) -> Result<(), QuorumStoreError> {
        let indexes = self.store.end_index()..;
        let entries = indexes
            .zip(&self.proposals)
            .map(|(index, proposal)| StoredEntry {
                position: LogPosition {
                    term: proposal.term,
                    index,
                },
                payload: proposal.payload.clone(),
            });
        let entries: Vec<StoredEntry> = entries.collect();
        self.store.write(vote, &entries)?;
        let written: Vec<Proposal> = self.proposals.drain(..).collect();
        let tickets = written.iter().map(|proposal| proposal.ticket);
        self.apply_stored(tickets)?;
        Ok(())
    }

    fn apply_stored(
        &mut self,
        mut tickets: impl Iterator<Item = Option<Ticket>>,
    ) -> Result<(), CodecError> {
        let start = self
            .machine
            .applied()
            .map_or(0, |applied| applied.index + 1);
        for entry in self.store.entries(start..u64::MAX) {
            let applied = self.machine.apply(&entry, tickets.next().flatten())?;
            self.events.push_back(QuorumEvent::Applied(applied));
        }
        Ok(())
    }

    /// The state becomes a snapshot, or the log in front of it goes.
    fn compact(&mut self) -> Result<(), QuorumStoreError> {
        let snapshot = self
            .machine
            .snapshot()
            .expect("a log that is long has entries, and its first is the membership");
        let stored = self.store.snapshot().map(|stored| stored.position);
        if stored == Some(snapshot.position) {
            return self.store.purge(snapshot.position);
        }
        self.store.save_snapshot(snapshot)
    }

    fn step_down(&mut self, kept: usize, end: impl Fn(Ticket) -> QuorumEvent, is_untold: bool) {
        self.is_leading = false;
        self.events
            .push_back(QuorumEvent::Following { leader: None });
        for (place, proposal) in self.proposals.iter_mut().enumerate() {
            if is_untold || kept <= place {
                let ticket = proposal.ticket.take();
                self.events.extend(ticket.map(&end));
            }
        }
        self.proposals.truncate(kept);
    }

    fn fail(&mut self, error: &QuorumStoreError) {
        self.has_failed = true;
        self.is_leading = false;
        self.proposals.clear();
        self.events.push_back(QuorumEvent::Failed {
            reason: error.to_string(),
        });
    }
}
