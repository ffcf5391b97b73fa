use super::counting_disk::counting;
use super::*;
use ottla_metadata::QuorumStoreOptions;
use ottla_metadata::quorum::QuorumEvent;
use ottla_metadata::quorum_conformance::{self as conformance, Harness};
use ottla_storage::disk::Disk;
use ottla_storage::memory_disk::MemoryDisk;
use ottla_types::{BrokerId, DirectoryId, Prng, Uuid};
use std::path::Path;
use std::sync::atomic::Ordering;
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

type Started = (Arc<OpenraftQuorum>, std_mpsc::Receiver<QuorumEvent>);

fn start(disk: &Arc<dyn Disk>) -> Started {
    start_with(disk, Duration::from_millis(1))
}

fn start_with(disk: &Arc<dyn Disk>, proof_pause: Duration) -> Started {
    let (sender, events) = std_mpsc::channel();
    let options = QuorumOptions {
        snapshot_entries_size: SNAPSHOT,
        proof_pause,
        pace: Pace::Alone,
    };
    let sink = Box::new(move |event| drop(sender.send(event)));
    let quorum = OpenraftQuorum::start(store(disk), &options, sink);
    (Arc::new(quorum.unwrap()), events)
}

fn store(disk: &Arc<dyn Disk>) -> QuorumStore {
    let options = QuorumStoreOptions::default();
    let dir = Path::new("metadata");
    let first_batch = conformance::first_batch;
    QuorumStore::open_or_create(Arc::clone(disk), dir, &options, me(), first_batch).unwrap()
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

/// Takes events until the quorum leads.
fn until_leading(events: &std_mpsc::Receiver<QuorumEvent>) -> u64 {
    loop {
        let event = events.recv_timeout(Duration::from_secs(20)).unwrap();
        if let QuorumEvent::Leading { term } = event {
            return term;
        }
    }
}

#[test]
fn a_start_needs_few_syncs() {
    let (disk, counters) = counting(Arc::new(MemoryDisk::new()));
    const NEVER: Duration = Duration::from_secs(3600);
    let syncs = || counters.syncs.load(Ordering::Relaxed);
    let (quorum, events) = start_with(&disk, NEVER);
    until_leading(&events);
    // The log with vote, membership and first batch; its name; the name of its directory.
    let created = syncs();
    assert!(created <= 3, "{created} syncs");
    drop(quorum);

    // The last write may be in the page cache only, and so may the log's name and that of its directory.
    let (quorum, events) = start_with(&disk, NEVER);
    until_leading(&events);
    let restarted = syncs();
    assert!(restarted <= created + 3, "{} syncs", restarted - created);
    drop(quorum);
}

#[test]
fn a_failed_sync_ends_the_quorum_and_is_told() {
    let memory: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (disk, counters) = counting(Arc::clone(&memory));
    let (quorum, events) = start_with(&disk, Duration::from_secs(3600));
    let term = until_leading(&events);
    counters.syncs_left.store(0, Ordering::Relaxed);
    let batch = vec![Record::NoOp];
    quorum.propose(term, batch.clone()).unwrap();
    let reason = loop {
        match events.recv_timeout(Duration::from_secs(20)).unwrap() {
            QuorumEvent::Failed { reason } => break reason,
            QuorumEvent::Applied(applied) => panic!("{applied:?} was not synced"),
            // Whoever asks from here on must hear the reason, not that another node leads.
            QuorumEvent::Following { .. } => panic!("told to follow before the failure"),
            _ => {}
        }
    };
    assert!(reason.contains("Input/output error"), "{reason}");
    assert!(quorum.propose(term, batch).is_err());
    drop(quorum);

    // The next process finds a log that is whole.
    let (_quorum, events) = start(&memory);
    until_leading(&events);
}
