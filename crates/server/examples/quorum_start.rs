//! Measures the metadata quorum: `cargo run --release -p ottla-server --example quorum_start DIR`.
//!
//! Prints the time of a first start, of later starts, of one committed change, and what openraft
//! adds to the resident memory.

use ottla_metadata::quorum::{Quorum, QuorumEvent, Voter};
use ottla_metadata::{ConfigResource, QuorumStore, QuorumStoreOptions, Record};
use ottla_server::OsDisk;
use ottla_server::quorum::{OpenraftQuorum, QuorumOptions};
use ottla_types::{BrokerId, DirectoryId};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("which directory?")?;
    let root = Path::new(&dir);
    std::fs::create_dir_all(root)?;
    let before = resident_kib();
    for round in 0..6 {
        let begin = Instant::now();
        let (quorum, term, events) = start(root)?;
        let led = begin.elapsed();
        let resident = resident_kib();
        let begin = Instant::now();
        commit(&*quorum, term, &events, round)?;
        let first = begin.elapsed();
        let begin = Instant::now();
        const CHANGES: u32 = 200;
        for _ in 0..CHANGES {
            commit(&*quorum, term, &events, round)?;
        }
        println!(
            "start {round}: leads after {led:?}, first change after {first:?}, a change takes {:?}; \
             resident {resident} KiB, {} KiB more than before",
            begin.elapsed() / CHANGES,
            resident - before,
        );
    }
    Ok(())
}

type Started = (Arc<OpenraftQuorum>, u64, mpsc::Receiver<QuorumEvent>);

fn start(root: &Path) -> Result<Started, Box<dyn std::error::Error>> {
    let (sender, events) = mpsc::channel();
    let me = Voter {
        node: BrokerId::new(1),
        directory: DirectoryId::default(),
    };
    let store = QuorumStore::open_or_create(
        Arc::new(OsDisk::open(root)?),
        Path::new("metadata"),
        &QuorumStoreOptions::default(),
        me,
        || {
            vec![Record::Cluster {
                id: "measured".into(),
            }]
        },
    )?;
    let sink = Box::new(move |event| drop(sender.send(event)));
    let quorum = OpenraftQuorum::start(store, &QuorumOptions::default(), sink)?;
    loop {
        if let QuorumEvent::Leading { term } = events.recv()? {
            return Ok((Arc::new(quorum), term, events));
        }
    }
}

fn commit(
    quorum: &dyn Quorum,
    term: u64,
    events: &mpsc::Receiver<QuorumEvent>,
    value: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    let change = Record::Config {
        resource: ConfigResource::every_broker(),
        name: "k".into(),
        value: Some(value.to_string()),
    };
    let ticket = quorum.propose(term, vec![change])?;
    loop {
        if let QuorumEvent::Applied(applied) = events.recv()?
            && applied.ticket == Some(ticket)
        {
            return Ok(());
        }
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    value.unwrap_or(0)
}
