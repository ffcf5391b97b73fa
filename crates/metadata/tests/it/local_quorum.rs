use ottla_metadata::quorum::{Quorum, QuorumEvent, Voter};
use ottla_metadata::quorum_conformance::{self as conformance, Harness};
use ottla_metadata::{
    Disturbance, LocalQuorum, LocalQuorumOptions, QuorumStoreError, QuorumStoreOptions,
};
use ottla_storage::disk::Disk;
use ottla_storage::memory_disk::MemoryDisk;
use ottla_types::{BrokerId, DirectoryId, Prng, Uuid};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

const SNAPSHOT_SIZE: u64 = 64 << 10;

pub fn voter(node: i32, directory: u8) -> Voter {
    Voter {
        node: BrokerId::new(node),
        directory: DirectoryId::new(Uuid::from_bytes([directory; 16])),
    }
}

pub fn options(me: Voter) -> LocalQuorumOptions {
    LocalQuorumOptions {
        me,
        snapshot_entries_size: SNAPSHOT_SIZE,
        store: QuorumStoreOptions::default(),
    }
}

fn open(disk: &Arc<dyn Disk>, me: Voter) -> Result<Arc<LocalQuorum>, QuorumStoreError> {
    let dir = Path::new("metadata");
    let first = conformance::first_batch;
    LocalQuorum::open(Arc::clone(disk), dir, &options(me), first).map(Arc::new)
}

struct LocalHarness {
    disk: Arc<dyn Disk>,
    quorum: Arc<LocalQuorum>,
    events: VecDeque<QuorumEvent>,
}

impl LocalHarness {
    fn new() -> LocalHarness {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        LocalHarness {
            quorum: open(&disk, voter(1, 1)).unwrap(),
            disk,
            events: VecDeque::new(),
        }
    }
}

impl Harness for LocalHarness {
    fn quorum(&self) -> Arc<dyn Quorum> {
        self.quorum.clone()
    }

    fn next_event(&mut self) -> QuorumEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            assert!(!self.quorum.is_idle(), "no event can come");
            self.events.extend(self.quorum.step());
        }
    }

    fn crash_and_reopen(&mut self) {
        self.events.clear();
        self.quorum = open(&self.disk, voter(1, 1)).unwrap();
    }

    fn disturb(&mut self, prng: &mut Prng) -> bool {
        let kept = prng.below(3) as usize;
        self.quorum.disturb(*prng.pick(&[
            Disturbance::LoseLeadership { kept },
            Disturbance::LoseTrack { kept },
            Disturbance::LoseTerm { kept },
            Disturbance::WriteBlank,
            Disturbance::Refuse,
        ]));
        true
    }

    fn snapshot_entries_size(&self) -> u64 {
        SNAPSHOT_SIZE
    }

    fn entries_size(&self) -> u64 {
        self.quorum.entries_size()
    }
}

#[test]
fn a_new_quorum_leads_with_its_first_batch() {
    conformance::a_new_quorum_leads_with_its_first_batch(&mut LocalHarness::new());
}

#[test]
fn proposals_are_applied_in_order() {
    conformance::proposals_are_applied_in_order(&mut LocalHarness::new());
}

#[test]
fn another_term_is_refused() {
    conformance::another_term_is_refused(&mut LocalHarness::new());
}

#[test]
fn what_was_applied_survives_a_crash() {
    conformance::what_was_applied_survives_a_crash(&mut LocalHarness::new());
}

#[test]
fn snapshots_bound_the_log() {
    conformance::snapshots_bound_the_log(&mut LocalHarness::new());
}

#[test]
fn misbehaviour_stays_within_the_contract() {
    for seed in 0..100 {
        conformance::misbehaviour_stays_within_the_contract(&mut LocalHarness::new(), seed);
    }
}

#[test]
fn a_foreign_store_is_refused_by_name() {
    let harness = LocalHarness::new();
    drop(harness.quorum);
    let error = open(&harness.disk, voter(1, 2)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the metadata log belongs to node 1@AQEBAQEBAQEBAQEBAQEBAQ, and this is node \
         1@AgICAgICAgICAgICAgICAg"
    );
}
