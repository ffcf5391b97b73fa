use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use ottla_storage::checkpoint::{Checkpoint, CheckpointStore};
use ottla_storage::marker::Markers;
use ottla_storage::wal::{Damage, InspectedFrame, Replayed, ReplayedEntry, Wal};
use serde_json::json;

use super::Detail;
use super::findings::Findings;
use super::read_only_disk::ReadOnlyDisk;
use crate::failure::Failure;

const WAL_DIR: &str = "wal";
const CHECKPOINTS_DIR: &str = "checkpoints";

/// Shows and checks the checkpoints, and the journal from the newest good one on.
pub fn show(
    disk: &Arc<ReadOnlyDisk>,
    detail: Detail,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let checkpoint = show_checkpoints(disk, findings)?;
    let start = checkpoint.map(|checkpoint| checkpoint.wal_start());
    let steps = RefCell::new(Vec::new());
    let inspected = Wal::inspect(
        &**disk,
        Path::new(WAL_DIR),
        start,
        &mut |frame| steps.borrow_mut().push(Step::Frame(*frame)),
        &mut |replayed| steps.borrow_mut().push(Step::of(replayed)),
    );
    let report = inspected.map_err(Failure::failed)?;
    let steps = steps.into_inner();
    let frames = || steps.iter().filter_map(Step::frame);
    // A frame is proven by a later one that was written after its fsync.
    let proven_seq = frames().map(|frame| frame.synced_seq).max().unwrap_or(0);
    let proven = frames().filter(|frame| frame.frame_seq <= proven_seq);
    let proven = proven.count();
    let (frames_count, entries) = (frames().count(), report.entries_count);
    let end = report.end.lsn.get();
    findings.tell(
        || {
            format!(
                "{WAL_DIR}: {frames_count} frames ({proven} proven by a later one), {entries} \
                 entries, the next is LSN {end}"
            )
        },
        || {
            json!({"journal": WAL_DIR, "frames": frames_count, "proven_frames": proven,
                   "entries": entries, "next_lsn": end, "torn_frame": report.torn_seq})
        },
    );
    for step in &steps {
        step.tell(proven_seq, detail, findings);
    }
    if let Some(frame) = report.torn_seq {
        let file = ring_file(report.end.file_number);
        let position = report.end.position;
        findings.tell(
            || {
                format!(
                    "  {file} at position {position}: frame {frame} was never finished and never \
                     acknowledged"
                )
            },
            || json!({"unfinished_frame": frame, "file": file, "position": position}),
        );
    }
    Ok(())
}

fn show_checkpoints(
    disk: &Arc<ReadOnlyDisk>,
    findings: &mut Findings,
) -> Result<Option<Checkpoint>, Failure> {
    let dir = Path::new(CHECKPOINTS_DIR);
    let opened = CheckpointStore::open(Arc::clone(disk) as _, dir, &Markers::new());
    let (_, newest, skipped) = opened.map_err(Failure::failed)?;
    for checkpoint in skipped {
        let path = checkpoint.path.display().to_string();
        findings.fault(
            &path,
            None,
            &format!("its {} is damaged", checkpoint.bad_part),
        );
    }
    if let Some(newest) = &newest {
        let (number, partitions) = (newest.number(), newest.records_count());
        let lsn = newest.wal_start().position.lsn.get();
        findings.tell(
            || {
                format!(
                    "{CHECKPOINTS_DIR}: checkpoint {number} holds {partitions} partitions, the \
                     journal is needed from LSN {lsn} on"
                )
            },
            || json!({"checkpoint": number, "partitions": partitions, "first_lsn": lsn}),
        );
    }
    Ok(newest)
}

/// What the journal shows, in its order.
enum Step {
    Frame(InspectedFrame),
    Entry(ReplayedEntry),
    Damage(Damage),
}

impl Step {
    fn of(replayed: Replayed) -> Step {
        match replayed {
            // The bytes would keep the whole journal in memory.
            Replayed::Entry(mut entry) => {
                let size = entry.body.len() as u64;
                entry.body = Default::default();
                entry.header.argument = size;
                Step::Entry(entry)
            }
            Replayed::Damage(damage) => Step::Damage(damage),
        }
    }

    fn frame(&self) -> Option<&InspectedFrame> {
        match self {
            Step::Frame(frame) => Some(frame),
            Step::Entry(_) | Step::Damage(_) => None,
        }
    }

    fn tell(&self, proven_seq: u64, detail: Detail, findings: &mut Findings) {
        match self {
            Step::Frame(frame) => tell_frame(frame, proven_seq, detail, findings),
            Step::Entry(entry) if detail == Detail::All => tell_entry(entry, findings),
            Step::Entry(_) => {}
            Step::Damage(damage) => tell_damage(damage, findings),
        }
    }
}

fn ring_file(number: u32) -> String {
    format!("{WAL_DIR}/ring-{number:06}.wal")
}

fn tell_frame(frame: &InspectedFrame, proven_seq: u64, detail: Detail, findings: &mut Findings) {
    let file = ring_file(frame.file_number);
    let (seq, position) = (frame.frame_seq, frame.position);
    if !frame.is_valid {
        let what = format!("frame {seq} was fsynced, and it is damaged");
        return findings.fault(&file, Some(position), &what);
    }
    if detail == Detail::Summary {
        return;
    }
    let is_proven = seq <= proven_seq;
    let (entries, size, lsn) = (frame.entries_count, frame.size, frame.first_lsn.get());
    let proof = match is_proven {
        true => "proven",
        false => "not proven",
    };
    findings.tell(
        || {
            format!(
                "  {file} at {position}: frame {seq}, {entries} entries from LSN {lsn} on, {size} \
                 bytes, {proof}"
            )
        },
        || {
            json!({"frame": seq, "file": file, "position": position, "bytes": size,
                   "entries": entries, "first_lsn": lsn, "ring_epoch": frame.ring_epoch,
                   "is_proven": is_proven})
        },
    );
}

fn tell_entry(entry: &ReplayedEntry, findings: &Findings) {
    let header = &entry.header;
    let (lsn, kind) = (entry.lsn.get(), format!("{:?}", header.kind));
    let topic = header.topic_partition.topic_id.to_string();
    let partition = header.topic_partition.partition.get();
    let (base, end) = (header.base_offset.get(), header.end_offset.get());
    let size = header.argument;
    findings.tell(
        || format!("    LSN {lsn}: {kind} of {topic}-{partition}, {base}..{end}, {size} bytes"),
        || {
            json!({"lsn": lsn, "kind": kind, "topic_id": topic, "partition": partition,
                   "base_offset": base, "end_offset": end, "bytes": size})
        },
    );
}

fn tell_damage(damage: &Damage, findings: &mut Findings) {
    let what = match damage {
        Damage::Entry { lsn, header } => {
            let (base, end) = (header.base_offset.get(), header.end_offset.get());
            let id = header.topic_partition;
            format!(
                "LSN {}, {:?} of {}-{}, {base}..{end}, is lost",
                lsn.get(),
                header.kind,
                id.topic_id,
                id.partition.get()
            )
        }
        Damage::Unnamed { first, end } => {
            format!("the entries LSN {}..{} are lost", first.get(), end.get())
        }
    };
    findings.fault(WAL_DIR, None, &what);
}
