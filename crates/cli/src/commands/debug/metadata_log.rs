use std::path::Path;
use std::sync::Arc;

use ottla_metadata::codec::decode_entry;
use ottla_metadata::{Payload, QuorumStore, QuorumStoreError, QuorumStoreOptions, StoredEntry};
use ottla_storage::raft_log::RaftDamageKind;
use serde_json::json;

use super::Detail;
use super::findings::Findings;
use super::read_only_disk::ReadOnlyDisk;
use crate::failure::Failure;

const METADATA_DIR: &str = "metadata";

/// Shows and checks the metadata log.
pub fn show(disk: &ReadOnlyDisk, detail: Detail, findings: &mut Findings) -> Result<(), Failure> {
    let dir = Path::new(METADATA_DIR);
    // Opening it mends what a crash left, so that is done to a copy.
    let copy = disk.copy(dir).map_err(Failure::failed)?;
    let store = match QuorumStore::open(Arc::new(copy), dir, &QuorumStoreOptions::default()) {
        Ok(Some(store)) => store,
        Ok(None) => {
            findings.tell(
                || format!("{METADATA_DIR}: a log that was begun and never finished"),
                || json!({"metadata_log": METADATA_DIR, "is_finished": false}),
            );
            return Ok(());
        }
        Err(error) => {
            tell_damage(&error, findings);
            return Ok(());
        }
    };
    let (voter, cluster_id) = store.owner();
    let term = store.vote().map_or(0, |vote| vote.term);
    let end = store.end_index();
    let snapshot = store.snapshot().map(|snapshot| snapshot.position.index);
    let covered = snapshot.map_or("no snapshot".to_owned(), |index| {
        format!("a snapshot up to {index}")
    });
    findings.tell(
        || {
            format!(
                "{METADATA_DIR}: of node {voter} in cluster {cluster_id}, term {term}, {covered}, \
                 entries up to {}",
                end.saturating_sub(1)
            )
        },
        || {
            json!({"metadata_log": METADATA_DIR, "voter": voter.to_string(),
                   "cluster_id": cluster_id, "term": term, "snapshot_index": snapshot,
                   "end_index": end})
        },
    );
    for entry in store.entries(0..end) {
        tell_entry(&entry, detail, findings);
    }
    Ok(())
}

fn tell_entry(entry: &StoredEntry, detail: Detail, findings: &mut Findings) {
    let (index, term) = (entry.position.index, entry.position.term);
    let what = match &entry.payload {
        Payload::Blank => vec!["a leader's beginning".to_owned()],
        Payload::Membership(membership) => {
            let voters = membership.voters.iter().flatten();
            let voters: Vec<String> = voters.map(ToString::to_string).collect();
            vec![format!("voters {}", voters.join(", "))]
        }
        Payload::Batch(bytes) => match decode_entry(bytes) {
            Ok(decoded) => decoded.records.iter().map(|it| format!("{it:?}")).collect(),
            Err(error) => {
                let what = format!("entry {index} cannot be read: {error}");
                return findings.fault(METADATA_DIR, None, &what);
            }
        },
    };
    if detail == Detail::Summary {
        return;
    }
    findings.tell(
        || format!("  entry {index}, term {term}: {}", what.join("; ")),
        || json!({"entry": index, "term": term, "says": what}),
    );
}

fn tell_damage(error: &QuorumStoreError, findings: &mut Findings) {
    let what = error.to_string();
    match error {
        QuorumStoreError::Damaged(RaftDamageKind::Frame { path, position, .. }) => {
            findings.fault(&path.display().to_string(), Some(*position), &what);
        }
        _ => findings.fault(METADATA_DIR, None, &what),
    }
}
