//! One suite for every implementation of [`Quorum`]: what [`quorum`](crate::quorum) promises.

use crate::config_resource::ConfigResource;
use crate::image::Image;
use crate::quorum::{Applied, NotLeader, Quorum, QuorumEvent, Ticket};
use crate::record::Record;
use ottla_types::{Prng, TopicId, Uuid};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A quorum under test, on a disk that outlives it.
pub trait Harness {
    /// The running quorum.
    fn quorum(&self) -> Arc<dyn Quorum>;

    /// The next event; waits for it. Panics when none can come.
    fn next_event(&mut self) -> QuorumEvent;

    /// Ends the process without notice, and starts another one on what is durable.
    fn crash_and_reopen(&mut self);

    /// Misbehaves in a way of its own choice among the allowed ones; false if it cannot.
    fn disturb(&mut self, prng: &mut Prng) -> bool;

    /// Bytes of entries after which the quorum takes a snapshot.
    fn snapshot_entries_size(&self) -> u64;

    /// Bytes of entries since the last snapshot.
    fn entries_size(&self) -> u64;
}

/// The records a new quorum of these tests begins with.
pub fn first_batch() -> Vec<Record> {
    vec![Record::Cluster {
        id: "conformance".into(),
    }]
}

/// Watches events and holds them to the contract.
pub struct Observer {
    image: Option<Arc<Image>>,
    leads: Option<u64>,
    last_term: u64,
    highest_ticket_applied: u64,
    has_lost_in_term: bool,
    proposed: BTreeSet<Ticket>,
    ended: BTreeSet<Ticket>,
}

impl Observer {
    /// For a process that has just started.
    pub fn new() -> Observer {
        Observer {
            image: None,
            leads: None,
            last_term: 0,
            highest_ticket_applied: 0,
            has_lost_in_term: false,
            proposed: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    /// The state after the last event.
    pub fn image(&self) -> &Arc<Image> {
        self.image.as_ref().expect("the first event is the image")
    }

    /// The term led, if any.
    pub fn leads(&self) -> Option<u64> {
        self.leads
    }

    /// Takes note of a proposal.
    pub fn proposed(&mut self, ticket: Ticket) {
        assert!(self.proposed.insert(ticket), "tickets name one proposal");
        assert_eq!(self.proposed.last(), Some(&ticket), "tickets rise");
    }

    /// How many proposals have not ended.
    pub fn in_flight(&self) -> usize {
        self.proposed.len() - self.ended.len()
    }

    /// Panics when `event` may not follow the events before it.
    pub fn check(&mut self, event: &QuorumEvent) {
        match event {
            QuorumEvent::ImageReplaced { image } => {
                assert_eq!(self.leads, None, "a leader's image is never replaced");
                if let Some(before) = &self.image {
                    assert!(before.applied_index() <= image.applied_index());
                }
                self.image = Some(Arc::clone(image));
            }
            QuorumEvent::Applied(applied) => self.check_applied(applied),
            QuorumEvent::Leading { term } => {
                assert!(self.image.is_some(), "the image comes first");
                assert!(self.last_term < *term, "terms of leading rise");
                self.last_term = *term;
                self.leads = Some(*term);
                self.has_lost_in_term = false;
            }
            QuorumEvent::Following { .. } => self.leads = None,
            QuorumEvent::Lost { ticket } | QuorumEvent::Unknown { ticket } => {
                self.has_lost_in_term = true;
                self.end(*ticket);
            }
            QuorumEvent::Failed { reason } => panic!("the quorum failed: {reason}"),
        }
    }

    fn check_applied(&mut self, applied: &Applied) {
        let before = self.image();
        assert!(
            applied.index > before.applied_index() || before.applied_index() == 0,
            "indexes rise"
        );
        let expected = before
            .apply(applied.index, &applied.records)
            .expect("what is applied fits");
        assert_eq!(
            *applied.image, expected,
            "an image is the one before plus one entry"
        );
        if let Some(ticket) = applied.ticket {
            assert!(
                self.highest_ticket_applied < ticket.get(),
                "proposals are applied in their order"
            );
            self.highest_ticket_applied = ticket.get();
            self.end(ticket);
        } else if self.leads.is_some() {
            assert!(applied.records.is_empty(), "only the leader writes records");
        }
        self.image = Some(Arc::clone(&applied.image));
    }

    fn end(&mut self, ticket: Ticket) {
        assert!(
            self.proposed.contains(&ticket),
            "only what was proposed ends"
        );
        assert!(self.ended.insert(ticket), "a proposal ends once");
    }
}

impl Default for Observer {
    fn default() -> Observer {
        Observer::new()
    }
}

/// Takes events until the quorum leads.
pub fn until_leading(harness: &mut dyn Harness, observer: &mut Observer) -> u64 {
    loop {
        if let Some(term) = observer.leads() {
            return term;
        }
        let event = harness.next_event();
        observer.check(&event);
    }
}

/// Takes events until nothing proposed is in flight.
fn until_settled(harness: &mut dyn Harness, observer: &mut Observer) {
    while 0 < observer.in_flight() {
        let event = harness.next_event();
        observer.check(&event);
    }
}

fn topic(number: u64) -> Record {
    let mut bytes = [1; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Record::Topic {
        name: format!("topic-{number}"),
        id: TopicId::new(Uuid::from_bytes(bytes)),
    }
}

fn config(name: &str, value: String) -> Record {
    Record::Config {
        resource: ConfigResource::every_broker(),
        name: name.into(),
        value: Some(value),
    }
}

fn propose(
    harness: &dyn Harness,
    observer: &mut Observer,
    term: u64,
    batch: Vec<Record>,
) -> Result<(), NotLeader> {
    let ticket = harness.quorum().propose(term, batch)?;
    observer.proposed(ticket);
    Ok(())
}

/// A new quorum leads at once, and its first batch is in the image by then.
pub fn a_new_quorum_leads_with_its_first_batch(harness: &mut dyn Harness) {
    let mut observer = Observer::new();
    let term = until_leading(harness, &mut observer);
    assert_eq!(observer.image().cluster_id(), Some("conformance"));
    let status = harness.quorum().status();
    assert_eq!(status.term, term);
    assert_eq!(status.voters.len(), 1);
    assert_eq!(status.leader, Some(status.voters[0].node));
    assert_eq!(status.applied_index, observer.image().applied_index());
    assert_eq!(status.last_index, status.applied_index);
}

/// Proposals are applied in their order, each once, with their tickets.
pub fn proposals_are_applied_in_order(harness: &mut dyn Harness) {
    let mut observer = Observer::new();
    let term = until_leading(harness, &mut observer);
    for number in 0..50 {
        propose(harness, &mut observer, term, vec![topic(number)]).expect("it leads");
    }
    until_settled(harness, &mut observer);
    assert_eq!(observer.image().topics_count(), 50);
}

/// A term that is not led is refused.
pub fn another_term_is_refused(harness: &mut dyn Harness) {
    let mut observer = Observer::new();
    let term = until_leading(harness, &mut observer);
    for other in [0, term - 1, term + 1] {
        let refused = harness.quorum().propose(other, vec![topic(1)]);
        assert_eq!(refused, Err(NotLeader), "term {other} while {term} is led");
    }
    propose(harness, &mut observer, term, vec![topic(2)]).expect("it leads");
    until_settled(harness, &mut observer);
    assert_eq!(observer.image().topics_count(), 1);
}

/// What was applied is there after any crash, at the same index, and the log goes on behind it.
pub fn what_was_applied_survives_a_crash(harness: &mut dyn Harness) {
    let mut number = 0;
    let mut expected = None::<Arc<Image>>;
    for _life in 0..4 {
        let mut observer = Observer::new();
        let term = until_leading(harness, &mut observer);
        if let Some(expected) = &expected {
            assert_eq!(observer.image().to_records(), expected.to_records());
            assert!(expected.applied_index() <= observer.image().applied_index());
        }
        for _ in 0..3 {
            number += 1;
            propose(harness, &mut observer, term, vec![topic(number)]).expect("it leads");
        }
        until_settled(harness, &mut observer);
        assert_eq!(observer.image().topics_count() as u64, number);
        expected = Some(Arc::clone(observer.image()));
        harness.crash_and_reopen();
    }
}

/// Snapshots bound the log, and nothing is lost by them.
pub fn snapshots_bound_the_log(harness: &mut dyn Harness) {
    let mut observer = Observer::new();
    let limit = harness.snapshot_entries_size();
    let mut written = 0;
    let mut round = 0;
    while written < 4 * limit {
        let term = until_leading(harness, &mut observer);
        let value = format!("{round:0>1000}");
        written += value.len() as u64;
        round += 1;
        propose(harness, &mut observer, term, vec![config("k", value)]).expect("it leads");
        until_settled(harness, &mut observer);
        if round % 500 == 0 {
            let before = Arc::clone(observer.image());
            harness.crash_and_reopen();
            observer = Observer::new();
            until_leading(harness, &mut observer);
            assert_eq!(observer.image().to_records(), before.to_records());
        }
    }
    let status = harness.quorum().status();
    assert!(0 < status.snapshot_index, "there is a snapshot");
    assert!(
        harness.entries_size() < 3 * limit,
        "{} bytes of entries",
        harness.entries_size()
    );
    let before = Arc::clone(observer.image());
    harness.crash_and_reopen();
    let mut observer = Observer::new();
    until_leading(harness, &mut observer);
    assert_eq!(observer.image().to_records(), before.to_records());
    assert_eq!(observer.image().cluster_id(), Some("conformance"));
}

/// Whatever it does to us is allowed: proposals, misbehaviour and crashes in any order.
pub fn misbehaviour_stays_within_the_contract(harness: &mut dyn Harness, seed: u64) {
    let mut prng = Prng::new(seed);
    let mut observer = Observer::new();
    until_leading(harness, &mut observer);
    let mut number = 0;
    for _ in 0..300 {
        match prng.below(10) {
            0 => {
                harness.disturb(&mut prng);
            }
            1 if prng.chance(1, 4) => {
                // Everything that is certain now is there afterwards; what is in flight may be.
                let certain = Arc::clone(observer.image());
                harness.crash_and_reopen();
                observer = Observer::new();
                until_leading(harness, &mut observer);
                for topic in certain.topics() {
                    assert!(observer.image().topic(topic.id).is_some());
                }
            }
            2..=5 => {
                number += 1;
                if let Some(term) = observer.leads() {
                    let _refused = propose(harness, &mut observer, term, vec![topic(number)]);
                }
            }
            _ => {
                if 0 < observer.in_flight() || observer.leads().is_none() {
                    let event = harness.next_event();
                    observer.check(&event);
                }
            }
        }
    }
    until_leading(harness, &mut observer);
    until_settled(harness, &mut observer);
    observer.image().check();
}
