//! The journal against a disk that crashes inside any operation, also during recovery.

use crate::crash_disk::{Crash, CrashDisk};
use bytes::Bytes;
use ottla_storage::marker::{Marker, Markers};
use ottla_storage::planted::Planted;
use ottla_storage::wal::{
    CommitStep, Damage, DurabilityClass, Entry, EntryHeader, EntryKind, PAGE_SIZE, Replayed,
    Urgency, Wal, WalOptions, WalStart,
};
use ottla_types::{Lsn, Now, Offset, PartitionId, Prng, TopicId, TopicPartition};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What an entry was when it was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    number: u64,
    size: usize,
}

/// A journal under test and what must be true of it.
struct Run {
    prng: Prng,
    /// How many of a hundred entries wait for no fsync.
    os_percent: u64,
    disk: CrashDisk,
    options: WalOptions,
    markers: Arc<Markers>,
    /// All entries of the journal's present history that are not released, by LSN.
    model: BTreeMap<u64, Content>,
    next_number: u64,
    /// The first entry that the checkpoint does not hold.
    needed: u64,
    start: Option<WalStart>,
    previous_start: Option<WalStart>,
    now: Now,
    /// Entries up to here survive a power cut, and up to there a kill.
    durable: Lsn,
    written: Lsn,
}

type Finding = Result<(), String>;

impl Run {
    fn new(seed: u64, planted: Planted) -> Run {
        Run {
            prng: Prng::new(seed),
            os_percent: [25, 0, 100][seed as usize % 3],
            disk: CrashDisk::new(seed ^ 0x5eed),
            options: WalOptions {
                planted,
                full_retry_after: Duration::from_millis(20),
                ..WalOptions::tiny()
            },
            markers: Arc::new(Markers::new()),
            model: BTreeMap::new(),
            next_number: 0,
            needed: 1,
            start: None,
            previous_start: None,
            now: Now::default(),
            durable: Lsn::ZERO,
            written: Lsn::ZERO,
        }
    }

    /// Several lives, each ended by a crash; at the end of each the promises are checked.
    fn run(&mut self, lives: usize) -> Finding {
        let mut wal = self.open_checked()?;
        for _ in 0..lives {
            let crash_after = self.prng.below(120);
            self.disk.crash_after(crash_after);
            if self.prng.chance(1, 6) {
                self.disk.fail_next_sync();
            }
            if self.prng.chance(1, 3) {
                self.disk.fill_up(self.prng.below(20));
            }
            self.live(&wal)?;
            drop(wal);
            wal = self.crash_and_open()?;
        }
        Ok(())
    }

    /// Works until the disk fails.
    fn live(&mut self, wal: &Wal) -> Finding {
        for _ in 0..100_000 {
            match self.prng.below(10) {
                0..=3 if wal.queued_bytes() < 1 << 20 => self.enqueue(wal),
                4..=7 => {
                    let step = match self.prng.chance(1, 3) {
                        true => wal.write_unawaited(self.now),
                        false => Some(wal.commit_step(self.now)),
                    };
                    self.durable = wal.durable_lsn();
                    self.written = wal.written_lsn();
                    match step {
                        Some(CommitStep::Failed(_)) => return Ok(()),
                        Some(CommitStep::Stalled { .. }) => self.checkpoint(wal)?,
                        None
                        | Some(
                            CommitStep::Idle
                            | CommitStep::Waiting { .. }
                            | CommitStep::Wrote { .. }
                            | CommitStep::Synced { .. }
                            | CommitStep::Prepared
                            | CommitStep::Full { .. },
                        ) => {}
                    }
                }
                0..=3 => {}
                8 => {
                    wal.zero_step(self.now);
                }
                _ => {
                    let millis = self.prng.below(30);
                    self.now.mono = self.now.mono.plus(Duration::from_millis(millis));
                    let urgency = wal.pressure(self.now).map(|pressure| pressure.urgency);
                    if urgency == Some(Urgency::Now) || self.prng.chance(1, 20) {
                        self.checkpoint(wal)?;
                    }
                }
            }
        }
        Err(format!(
            "it does not go on: {:?} {:?}",
            wal.stats(),
            wal.commit_step(self.now)
        ))
    }

    fn enqueue(&mut self, wal: &Wal) {
        let size = match self.prng.below(10) {
            0 => self.prng.below(20_000) as usize,
            1 => 0,
            _ => self.prng.below(3000) as usize,
        };
        let content = Content {
            number: self.next_number,
            size,
        };
        let class = if self.prng.chance(self.os_percent, 100) {
            DurabilityClass::Os
        } else {
            DurabilityClass::Fsync
        };
        if let Ok(lsn) = wal.enqueue(entry(content, class)) {
            self.next_number += 1;
            self.model.insert(lsn.get(), content);
        }
    }

    /// As if all up to a random durable LSN were in segments, and a checkpoint that says so were durable.
    fn checkpoint(&mut self, wal: &Wal) -> Finding {
        let durable = wal.durable_lsn();
        let first = self.needed;
        if durable.get() + 1 < first {
            return Ok(());
        }
        let needed = Lsn::new(self.prng.range(first, durable.get() + 2));
        let position = wal.position_for_checkpoint(needed);
        if needed < position.lsn {
            return Err(format!("position {position:?} is behind {needed}"));
        }
        self.needed = needed.get();
        self.previous_start = self.start;
        self.start = Some(WalStart { position, durable });
        let kept = self.previous_start.map_or(position, |start| start.position);
        if self.previous_start.is_some() {
            wal.checkpointed(&position, &kept);
        }
        Ok(())
    }

    fn crash_and_open(&mut self) -> Result<Wal, String> {
        for round in 0.. {
            let crash = if self.prng.chance(1, 2) {
                Crash::Kill
            } else {
                Crash::PowerCut
            };
            if crash == Crash::PowerCut {
                self.written = self.durable;
            }
            self.disk = self.disk.reboot(crash);
            // Up to two crashes during recovery.
            if round < 2 && self.prng.chance(1, 3) {
                let crash_after = self.prng.below(6);
                self.disk.crash_after(crash_after);
                if let Ok((wal, _)) = self.open(&mut |_| {}) {
                    // It survived its recovery: what it said is a promise like any other.
                    self.disk.crash_after(0);
                    let recovered = wal.durable_lsn();
                    (self.durable, self.written) = (recovered, recovered);
                    self.model.retain(|lsn, _| *lsn <= recovered.get());
                }
            } else {
                break;
            }
        }
        self.open_checked()
    }

    fn open(&mut self, visitor: &mut dyn FnMut(Replayed)) -> Result<(Wal, bool), String> {
        // Once in a while the newest checkpoint is unreadable.
        let falls_back = self.previous_start.is_some() && self.prng.chance(1, 10);
        let start = if falls_back {
            self.previous_start
        } else {
            self.start
        };
        let disk = Arc::new(self.disk.clone());
        let dir = Path::new("wal");
        Wal::open(
            disk,
            dir,
            self.options,
            self.markers.clone(),
            start,
            visitor,
        )
        .map(|(wal, report)| (wal, report.is_lossy()))
        .map_err(|error| error.to_string())
    }

    /// Opens the journal and compares what it replays with the model.
    fn open_checked(&mut self) -> Result<Wal, String> {
        let mut replayed: Vec<(u64, Content)> = Vec::new();
        let mut findings = Vec::new();
        let (wal, _) = self.open(&mut |it| match it {
            Replayed::Entry(it) => {
                let number = it.header.base_offset.get() as u64;
                let content = Content {
                    number,
                    size: it.body.len(),
                };
                if it.body.iter().any(|byte| *byte != number as u8) {
                    findings.push(format!("entry {} has wrong bytes", it.lsn));
                }
                replayed.push((it.lsn.get(), content));
            }
            Replayed::Damage(damage) => findings.push(format!("{damage:?}")),
        })?;
        if let Some(finding) = findings.first() {
            return Err(finding.clone());
        }
        let end = wal.next_lsn().get();
        let first = replayed.first().map_or(end, |(lsn, _)| *lsn);
        let needed = self.needed;
        if needed < first.min(end)
            && self.model.range(needed..).next().is_some()
            && needed <= self.written.get()
        {
            return Err(format!("replay begins at {first}, needed from {needed}"));
        }
        for (index, (lsn, content)) in replayed.iter().enumerate() {
            if *lsn != first + index as u64 {
                return Err(format!(
                    "entry {lsn} comes after {}",
                    first + index as u64 - 1
                ));
            }
            if self.model.get(lsn) != Some(content) {
                return Err(format!(
                    "entry {lsn} is {content:?}, was {:?}",
                    self.model.get(lsn)
                ));
            }
        }
        if end <= self.written.get() {
            return Err(format!("ends before {end}, promised was {}", self.written));
        }
        if first + replayed.len() as u64 != end {
            return Err(format!(
                "{} entries from {first} do not end at {end}",
                replayed.len()
            ));
        }
        self.model.retain(|lsn, _| *lsn < end);
        self.durable = wal.durable_lsn();
        self.written = wal.written_lsn();
        if self.durable.get() + 1 != end {
            return Err(format!(
                "what was replayed to {end} is durable to {} only",
                self.durable
            ));
        }
        Ok(wal)
    }
}

fn entry(content: Content, class: DurabilityClass) -> Entry {
    let header = EntryHeader {
        kind: EntryKind::Append,
        topic_partition: TopicPartition {
            topic_id: TopicId::default(),
            partition: PartitionId::new(0),
        },
        base_offset: Offset::new(content.number as i64),
        end_offset: Offset::new(content.number as i64 + 1),
        argument: 0,
    };
    let body = Bytes::from(vec![content.number as u8; content.size]);
    let entry = Entry::new(header, class, body);
    match content.number % 3 {
        0 => entry.lying_at((content.size * 7 % PAGE_SIZE as usize) as u16),
        _ => entry,
    }
}

fn run_seed(seed: u64, planted: Planted, reached: &mut BTreeMap<Marker, u64>) -> Finding {
    let mut run = Run::new(seed, planted);
    let finding = run.run(12);
    for marker in Marker::ALL {
        *reached.entry(*marker).or_default() += run.markers.count(*marker);
    }
    finding
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_else_appears() {
    let mut reached = BTreeMap::new();
    for seed in 0..300 {
        if let Err(finding) = run_seed(seed, Planted::none(), &mut reached) {
            panic!("seed {seed}: {finding}");
        }
    }
    let expected = [
        Marker::RingReused,
        Marker::RingGrown,
        Marker::IdleFrameWritten,
        Marker::OsSyncSkipped,
        Marker::UnawaitedWritten,
        Marker::OsSyncDue,
        Marker::TornFrameCut,
        Marker::UnprovenRewritten,
        Marker::StaleFrameRejected,
        Marker::WalFull,
        Marker::WalOffline,
    ];
    for marker in expected {
        assert!(
            0 < reached[&marker],
            "{} is never reached: {reached:?}",
            marker.name()
        );
    }
}

/// One flipped bit anywhere in what is proven: each entry is replayed as it was, or named as lost.
#[test]
fn a_flipped_bit_is_named_and_the_rest_is_served() {
    for seed in 0..300 {
        if let Err(finding) = flip_one(seed, Planted::none()) {
            panic!("seed {seed}: {finding}");
        }
    }
}

fn flip_one(seed: u64, planted: Planted) -> Finding {
    let mut run = Run::new(seed, planted);
    let wal = run.open_checked()?;
    let frames = run.prng.range(2, 10);
    let mut ends = Vec::new();
    for _ in 0..frames {
        for _ in 0..run.prng.range(1, 4) {
            let size = run.prng.below(2000) as usize;
            let content = Content {
                number: run.next_number,
                size,
            };
            let lsn = wal
                .enqueue(entry(content, DurabilityClass::Fsync))
                .map_err(|e| e.to_string())?;
            run.next_number += 1;
            run.model.insert(lsn.get(), content);
        }
        wal.begin_shutdown();
        while !wal.is_clean() {
            wal.commit_step(run.now);
        }
        ends.push(wal.position_for_checkpoint(wal.next_lsn()).position);
    }
    // The last frame is the empty one that proves the others.
    let end = ends[ends.len() - 1] - 4096;
    let bit = run.prng.below(end * 8);
    drop(wal);
    run.disk.flip(Path::new("wal/ring-000001.wal"), bit);
    run.disk = run.disk.reboot(Crash::PowerCut);
    let mut accounted = BTreeMap::new();
    let mut findings = Vec::new();
    run.open(&mut |it| match it {
        Replayed::Entry(it) => {
            let number = it.header.base_offset.get() as u64;
            let is_same = it.body.iter().all(|byte| *byte == number as u8);
            accounted.insert(
                it.lsn.get(),
                Some(Content {
                    number,
                    size: it.body.len(),
                }),
            );
            if !is_same {
                findings.push(format!("entry {} has wrong bytes", it.lsn));
            }
        }
        Replayed::Damage(Damage::Entry { lsn, .. }) => {
            accounted.insert(lsn.get(), None);
        }
        Replayed::Damage(Damage::Unnamed { first, end }) => {
            accounted.extend((first.get()..end.get()).map(|lsn| (lsn, None)));
        }
    })?;
    if let Some(finding) = findings.pop() {
        return Err(finding);
    }
    for (lsn, content) in &run.model {
        match accounted.get(lsn) {
            Some(Some(found)) if found == content => {}
            Some(None) => {}
            other => return Err(format!("entry {lsn} was {content:?} and is {other:?}")),
        }
    }
    Ok(())
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_are_found() {
    use ottla_storage::planted::PlantedBug;
    let bugs = [
        PlantedBug::SkipFsync,
        PlantedBug::AcknowledgeBeforeFsync,
        PlantedBug::CrcIgnored,
        PlantedBug::FirstBadFrameIsEnd,
        PlantedBug::UnprovenNotRewritten,
        PlantedBug::DirectoryNotSynced,
    ];
    for bug in bugs {
        let planted = Planted::bug(bug);
        let fails = |seed: &u64| {
            let crashes = || run_seed(*seed, planted, &mut BTreeMap::new());
            std::panic::catch_unwind(|| crashes().and_then(|()| flip_one(*seed, planted)))
                .map_or(true, |finding| finding.is_err())
        };
        let seed = (0..2000).find(fails);
        assert!(seed.is_some(), "{bug:?} is not found");
        println!("{bug:?} is found by seed {}", seed.unwrap());
    }
}
