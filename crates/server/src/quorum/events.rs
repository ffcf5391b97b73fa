use ottla_metadata::StateMachine;
use ottla_metadata::quorum::{Applied, NotLeader, QuorumEvent, QuorumStatus, Ticket, Voter};
use ottla_types::BrokerId;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use tokio::sync::Notify;

/// Where a quorum's events go. Called on the quorum's thread only, one event at a time.
pub type EventSink = Box<dyn FnMut(QuorumEvent) + Send>;

/// Turns what openraft tells into the events of the contract, in an order that it allows.
///
/// Two locks: `state` is taken by proposers and never held while the sink runs, because the sink
/// may take locks under which others propose.
pub(super) struct Events {
    state: Mutex<State>,
    sink: Mutex<EventSink>,
    /// There are enough entries for a snapshot.
    pub(super) snapshot_due: Notify,
    snapshot_entries_size: u64,
}

#[derive(Default)]
struct State {
    /// The term that the node was told to lead.
    leading: Option<u64>,
    /// Set while openraft leads: its term, and the last index of the log when that began.
    led: Option<(u64, u64)>,
    leader: Option<BrokerId>,
    term: u64,
    tickets_count: u64,
    in_flight: BTreeSet<Ticket>,
    applied: Option<(u64, u64)>,
    voters: Vec<Voter>,
    has_failed: bool,
}

impl Events {
    pub(super) fn new(sink: EventSink, snapshot_entries_size: u64) -> Events {
        Events {
            state: Mutex::default(),
            sink: Mutex::new(sink),
            snapshot_due: Notify::new(),
            snapshot_entries_size,
        }
    }

    /// Admits a proposal in `term` and hands it to `send` in the order of the tickets.
    pub(super) fn admit(&self, term: u64, send: impl FnOnce(Ticket)) -> Result<Ticket, NotLeader> {
        let state = &mut *self.state.lock();
        if state.leading != Some(term) {
            return Err(NotLeader);
        }
        state.tickets_count += 1;
        let ticket = Ticket::new(state.tickets_count);
        state.in_flight.insert(ticket);
        send(ticket);
        Ok(ticket)
    }

    /// How the quorum stands, without what only the store knows.
    pub(super) fn status(&self) -> QuorumStatus {
        let state = self.state.lock();
        QuorumStatus {
            term: state.term,
            leader: state.leader,
            applied_index: state.applied.map_or(0, |(_, index)| index),
            voters: state.voters.clone(),
            ..QuorumStatus::default()
        }
    }

    pub(super) fn image_replaced(&self, machine: &StateMachine) {
        self.state.lock().take_in(machine);
        self.send([QuorumEvent::ImageReplaced {
            image: machine.image().clone(),
        }]);
    }

    pub(super) fn applied(&self, mut applied: Applied, machine: &StateMachine, entries_size: u64) {
        let leading = {
            let state = &mut *self.state.lock();
            // A ticket that was given up is nobody's any more.
            applied.ticket = applied
                .ticket
                .filter(|ticket| state.in_flight.remove(ticket));
            state.take_in(machine);
            state.begin_to_lead()
        };
        self.send(
            [Some(QuorumEvent::Applied(applied)), leading]
                .into_iter()
                .flatten(),
        );
        if self.snapshot_entries_size <= entries_size {
            self.snapshot_due.notify_one();
        }
    }

    /// openraft leads in `term`; its log ends with `last_index` or did so earlier in this term.
    pub(super) fn raft_leads(&self, term: u64, me: BrokerId, last_index: u64) {
        let mut events = Vec::new();
        {
            let state = &mut *self.state.lock();
            if state.led.is_none_or(|(led, _)| led != term) {
                events.extend(state.give_up(Some(me)));
                state.led = Some((term, last_index));
            }
            state.term = term;
            state.leader = Some(me);
            events.extend(state.begin_to_lead());
        }
        self.send(events);
    }

    /// openraft does not lead.
    pub(super) fn raft_follows(&self, term: u64, leader: Option<BrokerId>) {
        let events = {
            let state = &mut *self.state.lock();
            state.term = term;
            state.led = None;
            let is_news = state.leading.is_some() || state.leader != leader;
            state.leader = leader;
            match is_news {
                true => {
                    let mut events = state.give_up(leader);
                    if events.is_empty() {
                        events.push(QuorumEvent::Following { leader });
                    }
                    events
                }
                false => Vec::new(),
            }
        };
        self.send(events);
    }

    /// openraft stopped because of an error.
    pub(super) fn failed(&self, reason: String) {
        {
            let state = &mut *self.state.lock();
            if std::mem::replace(&mut state.has_failed, true) {
                return;
            }
            // Not `Following` first: who asks between the two would be told to ask another node.
            state.give_up(None);
        }
        self.send([QuorumEvent::Failed { reason }]);
    }

    fn send(&self, events: impl IntoIterator<Item = QuorumEvent>) {
        let sink = &mut *self.sink.lock();
        for event in events {
            sink(event);
        }
    }
}

impl State {
    fn take_in(&mut self, machine: &StateMachine) {
        self.applied = machine.applied().map(|at| (at.term, at.index));
        let (_, membership) = machine.membership();
        self.voters = membership.voters.iter().flatten().copied().collect();
    }

    /// The node leads once openraft does, an entry of the term is applied, and so is everything that
    /// was in the log when the leadership began: a restored leader finds entries of its own term.
    fn begin_to_lead(&mut self) -> Option<QuorumEvent> {
        let (term, last_index) = self.led?;
        let (applied_term, applied_index) = self.applied?;
        let is_current = applied_term == term && last_index <= applied_index;
        if self.leading == Some(term) || !is_current {
            return None;
        }
        self.leading = Some(term);
        Some(QuorumEvent::Leading { term })
    }

    /// Ends what was led: the proposals in flight may or may not be applied.
    fn give_up(&mut self, leader: Option<BrokerId>) -> Vec<QuorumEvent> {
        if self.leading.take().is_none() {
            return Vec::new();
        }
        let tickets = std::mem::take(&mut self.in_flight);
        let unknown = tickets
            .into_iter()
            .map(|ticket| QuorumEvent::Unknown { ticket });
        std::iter::once(QuorumEvent::Following { leader })
            .chain(unknown)
            .collect()
    }
}
