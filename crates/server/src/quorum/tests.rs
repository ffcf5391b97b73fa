use super::*;
use ottla_metadata::quorum::QuorumEvent;
use ottla_metadata::quorum_conformance::{self as conformance, Harness};
use ottla_storage::memory_disk::MemoryDisk;
use ottla_types::{BrokerId, DirectoryId, Prng, Uuid};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

const SNAPSHOT: u64 = 64 << 10;

fn me() -> Voter {
    Voter {
        node: BrokerId::new(1),
        directory: DirectoryId::new(Uuid::from_bytes([1; 16])),
    }
}

struct OpenraftHarness {
    disk: Arc<dyn Disk>,
    quorum: Option<Arc<OpenraftQuorum>>,
    events: std_mpsc::Receiver<QuorumEvent>,
}

fn start(disk: &Arc<dyn Disk>) -> (Arc<OpenraftQuorum>, std_mpsc::Receiver<QuorumEvent>) {
    let (sender, events) = std_mpsc::channel();
    let options = QuorumOptions {
        me: me(),
        snapshot_entries_size: SNAPSHOT,
        store: QuorumStoreOptions::default(),
    };
    let quorum = OpenraftQuorum::start(
        Arc::clone(disk),
        Path::new("metadata"),
        &options,
        conformance::first_batch,
        Box::new(move |event| drop(sender.send(event))),
    );
    (Arc::new(quorum.unwrap()), events)
}

impl OpenraftHarness {
    fn new() -> OpenraftHarness {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let (quorum, events) = start(&disk);
        OpenraftHarness {
            disk,
            quorum: Some(quorum),
            events,
        }
    }
}

impl Harness for OpenraftHarness {
    fn quorum(&self) -> Arc<dyn Quorum> {
        self.quorum.clone().unwrap()
    }

    fn next_event(&mut self) -> QuorumEvent {
        let patience = Duration::from_secs(20);
        self.events.recv_timeout(patience).expect("an event comes")
    }

    fn crash_and_reopen(&mut self) {
        // Nothing is written when a quorum is dropped: what is in flight is lost as in a crash.
        self.quorum = None;
        let (quorum, events) = start(&self.disk);
        (self.quorum, self.events) = (Some(quorum), events);
    }

    fn disturb(&mut self, _prng: &mut Prng) -> bool {
        false
    }

    fn snapshot_entries_size(&self) -> u64 {
        SNAPSHOT
    }

    fn entries_size(&self) -> u64 {
        self.quorum.as_ref().unwrap().entries_size()
    }
}

#[test]
fn a_new_quorum_leads_with_its_first_batch() {
    conformance::a_new_quorum_leads_with_its_first_batch(&mut OpenraftHarness::new());
}

#[test]
fn proposals_are_applied_in_order() {
    conformance::proposals_are_applied_in_order(&mut OpenraftHarness::new());
}

#[test]
fn another_term_is_refused() {
    conformance::another_term_is_refused(&mut OpenraftHarness::new());
}

#[test]
fn what_was_applied_survives_a_crash() {
    conformance::what_was_applied_survives_a_crash(&mut OpenraftHarness::new());
}

#[test]
fn snapshots_bound_the_log() {
    conformance::snapshots_bound_the_log(&mut OpenraftHarness::new());
}

#[test]
fn misbehaviour_stays_within_the_contract() {
    for seed in 0..10 {
        conformance::misbehaviour_stays_within_the_contract(&mut OpenraftHarness::new(), seed);
    }
}
