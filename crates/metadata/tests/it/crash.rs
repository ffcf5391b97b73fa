//! The store of the quorum on a disk that crashes inside any operation, also during recovery.

use crate::local_quorum::{options, voter};
use ottla_metadata::quorum::{Quorum, QuorumEvent};
use ottla_metadata::quorum_conformance::{Observer, first_batch};
use ottla_metadata::{ConfigResource, Image, LocalQuorum, QuorumStoreError, Record};
use ottla_sim::Trace;
use ottla_sim::disk::{CrashKind, Failure, PlannedFailure, SimDisk};
use ottla_storage::disk::DiskOperation;
use ottla_types::Prng;
use std::path::Path;
use std::sync::Arc;

/// Change number `number`: it leaves its number behind, and something to make the log long.
fn change(number: u64) -> Vec<Record> {
    let config = |name: &str, value: String| Record::Config {
        resource: ConfigResource::every_broker(),
        name: name.into(),
        value: Some(value),
    };
    vec![
        config("number", number.to_string()),
        config("padding", "x".repeat((number % 7 * 900) as usize)),
    ]
}

/// The number of the last change in `image`.
fn last_change(image: &Image) -> u64 {
    let configs = image.configs(&ConfigResource::every_broker());
    configs.map_or(0, |configs| configs["number"].parse().unwrap())
}

/// One life: proposes and steps until the disk crashes or `steps` are over. Returns the last change
/// that is certain and the last one proposed; `None` for a life that did not begin.
fn live(disk: &SimDisk, prng: &mut Prng, steps: u64) -> Option<(u64, u64)> {
    let disk = Arc::new(disk.clone());
    let opened = LocalQuorum::open(
        disk.clone(),
        Path::new("metadata"),
        &options(voter(1, 1)),
        first_batch,
    );
    let quorum = match opened {
        Ok(quorum) => quorum,
        // The disk failed or crashed; anything else would say that something is lost.
        Err(QuorumStoreError::Log(_)) => return None,
        Err(error) => panic!("a whole store was refused: {error}"),
    };
    let mut observer = Observer::new();
    let mut proposed = None;
    for _ in 0..steps {
        for event in quorum.step() {
            if matches!(event, QuorumEvent::Failed { .. }) {
                let certain = last_change(observer.image());
                return Some((certain, proposed.unwrap_or(certain)));
            }
            observer.check(&event);
        }
        let Some(term) = observer.leads() else {
            continue;
        };
        for _ in 0..prng.below(4) {
            let number = proposed.unwrap_or(last_change(observer.image())) + 1;
            if let Ok(ticket) = quorum.propose(term, change(number)) {
                observer.proposed(ticket);
                proposed = Some(number);
            }
        }
    }
    let certain = last_change(observer.image());
    Some((certain, proposed.unwrap_or(certain)))
}

#[test]
fn what_was_applied_survives_every_crash() {
    let (mut certain_in_all, mut lives_cut_short) = (0, 0);
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let mut disk = SimDisk::new(seed, 1 << 30, Trace::quiet());
        let (mut certain, mut proposed) = (0, 0);
        for _life in 0..8 {
            disk.crash_after(prng.chance(4, 5).then(|| prng.below(60)));
            if prng.chance(1, 8) {
                disk.fail_next(PlannedFailure {
                    operation: DiskOperation::Sync,
                    class: None,
                    failure: Failure::Io,
                });
            }
            let steps = prng.range(1, 60);
            match live(&disk, &mut prng, steps) {
                Some((now_certain, now_proposed)) => {
                    assert!(
                        certain <= now_certain,
                        "seed {seed}: change {certain} was certain, {now_certain} is left"
                    );
                    certain = certain.max(now_certain);
                    proposed = proposed.max(now_proposed);
                }
                None => lives_cut_short += 1,
            }
            let kinds = [CrashKind::ProcessKill, CrashKind::PowerLoss];
            disk = disk.reboot(*prng.pick(&kinds));
        }
        // A last start without faults finds what was certain, and nothing that was never proposed.
        let opened = LocalQuorum::open(
            Arc::new(disk),
            Path::new("metadata"),
            &options(voter(1, 1)),
            first_batch,
        );
        let mut observer = Observer::new();
        let quorum = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for event in quorum.step() {
            observer.check(&event);
        }
        let found = last_change(observer.image());
        assert_eq!(observer.image().cluster_id(), Some("conformance"));
        assert!(
            certain <= found && found <= proposed,
            "seed {seed}: {found} is not in {certain}..={proposed}"
        );
        certain_in_all += certain;
    }
    assert!(500 < certain_in_all, "{certain_in_all} changes");
    assert!(5 < lives_cut_short, "{lives_cut_short} lives");
}
