use super::ring::{RingFile, RingLimits};
use super::*;
use crate::memory_disk::MemoryDisk;
use bytes::Bytes;
use ottla_types::{Offset, PartitionId, Timestamp, TopicId, TopicPartition};

/// A journal on a disk in memory with a clock that the test moves.
struct Fixture {
    disk: MemoryDisk,
    wal: Wal,
    now: Now,
    markers: Arc<Markers>,
}

fn dir() -> &'static Path {
    Path::new("wal")
}

fn open(
    disk: &MemoryDisk,
    options: WalOptions,
    start: Option<WalStart>,
) -> (Fixture, WalRecovery, Vec<Replayed>) {
    let markers = Arc::new(Markers::new());
    let mut replayed = Vec::new();
    let (wal, report) = Wal::open(
        Arc::new(disk.clone()),
        dir(),
        options,
        markers.clone(),
        start,
        &mut |it| replayed.push(it),
    )
    .unwrap();
    let fixture = Fixture {
        disk: disk.clone(),
        wal,
        now: Now::default(),
        markers,
    };
    (fixture, report, replayed)
}

fn entry(number: u64, size: usize, class: DurabilityClass) -> Entry {
    let header = EntryHeader {
        kind: EntryKind::Append,
        topic_partition: TopicPartition {
            topic_id: TopicId::default(),
            partition: PartitionId::new(1),
        },
        base_offset: Offset::new(number as i64),
        end_offset: Offset::new(number as i64 + 1),
        argument: 0,
    };
    Entry::new(header, class, Bytes::from(vec![number as u8; size]))
}

impl Fixture {
    fn put(&self, number: u64, size: usize) -> Lsn {
        self.wal
            .enqueue(entry(number, size, DurabilityClass::Fsync))
            .unwrap()
    }

    fn put_os(&self, number: u64, size: usize) -> Lsn {
        self.wal
            .enqueue(entry(number, size, DurabilityClass::Os))
            .unwrap()
    }

    fn pass(&mut self, millis: u64) {
        self.now.mono = self.now.mono.plus(std::time::Duration::from_millis(millis));
        self.now.wall = Timestamp::from_millis(self.now.mono.as_nanos() as i64 / 1_000_000);
    }

    /// Steps until nothing is to be done now.
    fn run(&self) -> CommitStep {
        loop {
            match self.wal.commit_step(self.now) {
                CommitStep::Wrote { .. } | CommitStep::Synced { .. } | CommitStep::Prepared => {}
                other => return other,
            }
        }
    }

    /// A second process after a kill: all that was written is there.
    fn reopen(&self, start: Option<WalStart>) -> (Fixture, WalRecovery, Vec<Replayed>) {
        open(&self.disk.copy(), self.wal.options, start)
    }

    /// Overwrites bytes of ring file 1.
    fn overwrite(&self, position: u64, bytes: &[u8]) {
        let file = self
            .disk
            .open(&ring_path(dir(), 1), crate::disk::OpenMode::ReadWrite)
            .unwrap();
        file.write_at(position, &[bytes]).unwrap();
    }
}

/// Offsets of the replayed entries, and the damage between them.
fn story(replayed: &[Replayed]) -> String {
    let word = |it: &Replayed| match it {
        Replayed::Entry(entry) => {
            assert!(
                entry
                    .body
                    .iter()
                    .all(|byte| *byte == entry.header.base_offset.get() as u8)
            );
            entry.header.base_offset.to_string()
        }
        Replayed::Damage(Damage::Entry { header, .. }) => format!("-{}", header.base_offset),
        Replayed::Damage(Damage::Unnamed { first, end }) => format!("?{first}..{end}"),
    };
    replayed.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_new_journal_is_empty_and_what_is_committed_is_replayed() {
    let (mut it, report, replayed) = open(&MemoryDisk::new(), WalOptions::default(), None);
    assert!(report.is_new && report.is_clean() && replayed.is_empty());
    assert!(matches!(it.wal.commit_step(it.now), CommitStep::Idle));
    assert_eq!(it.put(0, 10), Lsn::new(1));
    assert_eq!(it.put(1, 5000), Lsn::new(2));
    assert_eq!(it.wal.durable_lsn(), Lsn::ZERO);
    assert!(
        matches!(it.wal.commit_step(it.now), CommitStep::Wrote { written } if written == Lsn::new(2))
    );
    assert_eq!(
        (it.wal.written_lsn(), it.wal.durable_lsn()),
        (Lsn::new(2), Lsn::ZERO)
    );
    assert!(
        matches!(it.wal.commit_step(it.now), CommitStep::Synced { durable } if durable == Lsn::new(2))
    );
    assert_eq!(
        (it.wal.durable_lsn(), it.wal.queued_bytes()),
        (Lsn::new(2), 0)
    );

    let (_, report, replayed) = it.reopen(None);
    assert_eq!(story(&replayed), "0 1");
    assert_eq!((report.rewritten_count, report.end.lsn), (1, Lsn::new(3)));
    assert!(!report.is_clean() && !report.is_lossy());

    it.pass(25);
    it.run();
    assert_eq!(it.markers.count(Marker::IdleFrameWritten), 1);
    let (again, report, replayed) = it.reopen(None);
    assert_eq!(story(&replayed), "0 1");
    assert!(report.is_clean(), "{report:?}");
    again.put(2, 1);
    again.run();
    let (_, report, replayed) = again.reopen(None);
    assert_eq!(
        (story(&replayed), report.end.lsn),
        ("0 1 2".to_owned(), Lsn::new(4))
    );
}

#[test]
fn os_entries_are_fsynced_later_and_a_topic_that_becomes_durable_does_not_wait() {
    let (mut it, ..) = open(&MemoryDisk::new(), WalOptions::default(), None);
    it.put_os(0, 100);
    let until = match it.run() {
        CommitStep::Waiting { until } => until,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (it.wal.written_lsn(), it.wal.durable_lsn()),
        (Lsn::new(1), Lsn::ZERO)
    );
    it.pass(1000);
    assert!(until <= it.now.mono);
    it.run();
    assert_eq!(it.wal.durable_lsn(), Lsn::new(1));
    it.put_os(1, 100);
    it.run();
    assert_eq!(it.wal.durable_lsn(), Lsn::new(1));
    it.wal.sync_soon();
    it.run();
    assert_eq!(it.wal.durable_lsn(), Lsn::new(2));
    // One that waits for the fsync takes the others along.
    it.put_os(2, 100);
    it.put(3, 100);
    it.run();
    assert_eq!(it.wal.durable_lsn(), Lsn::new(4));
    assert_eq!(it.markers.count(Marker::OsSyncSkipped), 2);
    assert_eq!(it.markers.count(Marker::OsSyncDue), 1);
}

#[test]
fn what_nobody_awaits_is_written_by_who_queued_it_and_fsynced_by_the_pump() {
    let (mut it, ..) = open(&MemoryDisk::new(), WalOptions::default(), None);
    let woken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&woken);
    it.wal.set_waker(Box::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    let wakes = || woken.swap(0, Ordering::Relaxed);
    let put = |it: &Fixture, number, size| {
        let entry = entry(number, size, DurabilityClass::Os);
        it.wal.enqueue_unawaited(entry).unwrap()
    };
    it.put(0, 100);
    it.run();
    it.pass(1000);
    it.run();
    assert_eq!(wakes(), 0, "it had not slept");

    assert_eq!(put(&it, 1, 100), Lsn::new(2));
    assert_eq!(wakes(), 0, "who queued it writes it");
    let step = it.wal.write_unawaited(it.now);
    assert!(matches!(step, Some(CommitStep::Wrote { written }) if written == Lsn::new(2)));
    assert_eq!(wakes(), 1, "the pump has to know when to sync");
    put(&it, 2, 100);
    assert!(it.wal.write_unawaited(it.now).is_some());
    assert!(it.wal.write_unawaited(it.now).is_none(), "there is no more");
    assert_eq!(wakes(), 0, "it knows");
    assert_eq!(it.wal.durable_lsn(), Lsn::new(1));
    it.run();
    it.pass(1000);
    it.run();
    assert_eq!(it.wal.durable_lsn(), Lsn::new(3));

    put(&it, 3, 100);
    it.put(4, 100);
    assert_eq!(wakes(), 1);
    assert!(
        it.wal.write_unawaited(it.now).is_none(),
        "an fsync is awaited"
    );
    it.run();
    put(&it, 5, 1 << 20);
    assert!(it.wal.write_unawaited(it.now).is_none(), "it is too much");
    assert_eq!(wakes(), 1);
    it.run();
    assert_eq!(it.wal.written_lsn(), Lsn::new(6));
    let (_, _, replayed) = it.reopen(None);
    assert_eq!(replayed.len(), 6);
}

/// Three frames of one page each behind the header page: offsets 0, 1 and 2.
fn three_frames() -> Fixture {
    let (it, ..) = open(&MemoryDisk::new(), WalOptions::default(), None);
    for number in 0..3 {
        it.put(number, 1000);
        it.run();
    }
    it
}

#[test]
fn a_bad_frame_at_the_end_is_torn_and_a_bad_frame_before_a_proof_is_damage() {
    let page = PAGE_SIZE;
    // The last frame is proven by nothing.
    let it = three_frames();
    it.overwrite(3 * page + 500, b"x");
    let (again, report, replayed) = it.reopen(None);
    assert_eq!(
        (story(&replayed).as_str(), report.torn_seq),
        ("0 1", Some(3))
    );
    assert!(!report.is_lossy());
    // What is cut never comes back, not even when the journal stops right there again.
    again.put(7, 1000);
    again.run();
    let (_, _, replayed) = again.reopen(None);
    assert_eq!(story(&replayed), "0 1 7");

    // The second one is proven by the third: its body is named, its neighbours are served.
    let it = three_frames();
    it.overwrite(2 * page + 500, b"x");
    let (_, report, replayed) = it.reopen(None);
    assert_eq!(story(&replayed), "0 -1 2");
    assert!(report.is_lossy() && report.torn_seq.is_none());

    // Its directory is gone: nobody knows whose entries they were.
    let it = three_frames();
    it.overwrite(2 * page + 100, b"x");
    assert_eq!(story(&it.reopen(None).2), "0 ?2..3 2");

    // Its header is gone: the next frame says what is missing.
    let it = three_frames();
    it.overwrite(2 * page + 10, b"x");
    assert_eq!(story(&it.reopen(None).2), "0 ?2..3 2");

    // The file's header is gone: the first frame stands in for it.
    let it = three_frames();
    it.overwrite(0, &[0; 100]);
    assert_eq!(story(&it.reopen(None).2), "0 1 2");
}

#[test]
fn good_bodies_are_salvaged_from_a_damaged_frame() {
    let (it, ..) = open(&MemoryDisk::new(), WalOptions::default(), None);
    for number in 0..5 {
        it.put(number, 1000);
    }
    it.run();
    it.put(5, 10);
    it.run();
    let bodies = PAGE_SIZE + 96 + 5 * 56;
    it.overwrite(bodies + 1500, b"x");
    it.overwrite(bodies + 3500, b"x");
    let (_, report, replayed) = it.reopen(None);
    assert_eq!(story(&replayed), "0 -1 2 -3 4 5");
    assert_eq!(report.damage.len(), 2);
}

#[test]
fn a_checkpoint_proves_what_it_says_was_durable() {
    let it = three_frames();
    let start = WalStart {
        position: it.wal.position_for_checkpoint(Lsn::new(2)),
        durable: it.wal.durable_lsn(),
    };
    assert_eq!(story(&it.reopen(Some(start)).2), "0 1 2");
    let start = WalStart {
        position: it.wal.position_for_checkpoint(Lsn::new(9)),
        ..start
    };
    assert_eq!(
        (
            start.position.lsn,
            story(&it.reopen(Some(start)).2).as_str()
        ),
        (Lsn::new(4), "")
    );
    // The end is bad and no later frame proves it, but the checkpoint does.
    let start = WalStart {
        position: it.wal.position_for_checkpoint(Lsn::new(1)),
        ..start
    };
    it.overwrite(3 * PAGE_SIZE + 500, b"x");
    assert_eq!(story(&it.reopen(Some(start)).2), "0 1 -2");
    it.overwrite(3 * PAGE_SIZE, &[0; 96]);
    let (again, _, replayed) = it.reopen(Some(start));
    assert_eq!(story(&replayed), "0 1 ?3..4");
    // Lost numbers are not used again, and what follows is found.
    assert_eq!(again.put(9, 10), Lsn::new(4));
    again.run();
    assert_eq!(story(&again.reopen(Some(start)).2), "0 1 ?3..4 9");
    // The whole journal is gone.
    let (again, report, replayed) = open(&MemoryDisk::new(), WalOptions::default(), Some(start));
    assert_eq!(
        (story(&replayed).as_str(), again.wal.next_lsn()),
        ("?1..4", Lsn::new(4))
    );
    assert!(report.is_lossy());
}

/// A checkpoint stood behind the last entry of a file, an idle frame followed in the same file, and the next
/// entry began the next file: by its LSN the file was behind the checkpoint, by its frames it was not, and
/// commits stalled for ever.
#[test]
fn a_file_whose_last_frame_is_idle_is_not_taken_for_released() {
    let options = WalOptions {
        span_max: 1 << 30,
        ..WalOptions::tiny()
    };
    let (mut it, ..) = open(&MemoryDisk::new(), options, None);
    let (size, mut number) = (5000, 0);
    // Until an idle frame fits this file and another entry does not.
    loop {
        it.put(number, size);
        number += 1;
        it.run();
        let left = it.wal.ring.lock().room();
        if PAGE_SIZE <= left && left < size as u64 {
            break;
        }
    }
    let behind_last = it.wal.position_for_checkpoint(it.wal.next_lsn());
    it.wal.checkpointed(&behind_last, &behind_last);
    it.pass(30);
    it.run();
    loop {
        it.put(number, size);
        number += 1;
        if let CommitStep::Stalled { .. } = it.run() {
            break;
        }
    }
    let pressure = it.wal.pressure(it.now).unwrap();
    assert_eq!(pressure.release_to, behind_last.lsn);
    assert!(behind_last.frame_seq < pressure.release_to_frame);
    let behind_idle = it.wal.position_for_checkpoint(pressure.release_to);
    assert!(pressure.release_to_frame <= behind_idle.frame_seq);
    it.wal.checkpointed(&behind_idle, &behind_idle);
    assert!(!matches!(it.run(), CommitStep::Stalled { .. }));
}

#[test]
fn the_ring_grows_turns_and_stalls_and_what_is_not_released_is_replayed() {
    let (mut it, ..) = open(&MemoryDisk::new(), WalOptions::tiny(), None);
    let mut number = 0;
    // Nothing is released: the ring grows to its full size, then commits stall.
    let stalled = loop {
        it.put(number, 5000);
        number += 1;
        match it.run() {
            CommitStep::Stalled { .. } => break number,
            _ => assert!(number < 1000),
        }
    };
    assert_eq!(it.wal.stats().ring_bytes, it.wal.options.ring_size_max);
    let pressure = it.wal.pressure(it.now).unwrap();
    assert_eq!(pressure.urgency, Urgency::Now);
    assert!(it.wal.options.span_max < pressure.span_bytes);
    let everything = (0..stalled - 1)
        .map(|n| n.to_string())
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(story(&it.reopen(None).2), everything);

    // Each release lets it go on; a restart from the checkpoint finds all that is needed.
    for turn in 0..40 {
        let needed = it
            .wal
            .pressure(it.now)
            .map_or(it.wal.durable_lsn(), |it| it.release_to);
        let position = it.wal.position_for_checkpoint(needed);
        assert!(position.lsn <= needed);
        it.wal.checkpointed(&position, &position);
        for _ in 0..11 {
            it.put(number, 5000);
            number += 1;
            it.run();
        }
        let start = WalStart {
            position,
            durable: it.wal.durable_lsn(),
        };
        let (_, report, replayed) = it.reopen(Some(start));
        let expected: Vec<String> = (position.lsn.get() - 1..it.wal.durable_lsn().get())
            .map(|n| n.to_string())
            .collect();
        assert_eq!(story(&replayed), expected.join(" "), "turn {turn}");
        assert!(!report.is_lossy());
        it.pass(1);
    }
    assert!(10 < it.markers.count(Marker::RingReused));
}

#[test]
fn a_full_disk_stops_growth_and_not_the_commits_that_fit() {
    // Room for the first file and half of another one.
    let disk = MemoryDisk::with_size(100 << 10);
    let (mut it, ..) = open(&disk, WalOptions::tiny(), None);
    let mut number = 0;
    let stalled = loop {
        it.put(number, 3000);
        number += 1;
        if let CommitStep::Stalled { until } = it.run() {
            break until;
        }
    };
    assert!(it.now.mono < stalled);
    assert!(0 < it.markers.count(Marker::RingGrowthRefused));
    assert!(it.wal.failure().is_none());
    // Nothing of the unfinished file stays behind, and it is tried again later.
    assert_eq!(disk.list(dir()).unwrap().len(), 1);
    it.pass(6000);
    it.run();
    assert!(1 < it.markers.count(Marker::RingGrowthRefused));
}

/// What was queued waits for room, and a crash meanwhile finds what was acknowledged and nothing half written.
#[test]
fn a_full_disk_is_waited_out_and_the_same_group_is_written_again() {
    let disk = MemoryDisk::new();
    let (mut it, ..) = open(&disk, WalOptions::tiny(), None);
    it.put(0, 3000);
    it.run();
    disk.fill(true);
    it.put(1, 9000);
    it.put_os(2, 100);
    let until = match it.run() {
        CommitStep::Full { until } => until,
        other => panic!("{other:?}"),
    };
    assert!(it.now.mono < until && it.wal.is_full());
    assert!(it.wal.failure().is_none());
    assert_eq!(it.wal.written_lsn(), Lsn::new(1));
    assert_eq!(it.wal.queued_bytes(), 9100);
    // Not tried again before its time, whatever is queued.
    it.put(3, 5);
    assert!(
        matches!(it.wal.commit_step(it.now), CommitStep::Full { until: again } if again == until)
    );
    assert_eq!(it.markers.count(Marker::WalFull), 1);
    // Half of the frame stands in the file: it is torn.
    let (_, report, replayed) = it.reopen(None);
    assert_eq!((story(&replayed).as_str(), report.is_lossy()), ("0", false));

    it.pass(1000);
    assert!(matches!(it.run(), CommitStep::Full { .. }));
    assert_eq!(it.markers.count(Marker::WalFull), 2);
    disk.fill(false);
    it.pass(1000);
    it.run();
    assert!(!it.wal.is_full());
    assert_eq!(
        (it.wal.durable_lsn(), it.wal.queued_bytes()),
        (Lsn::new(4), 0)
    );
    assert_eq!(story(&it.reopen(None).2), "0 1 2 3");
}

/// What was written before the disk was full is fsynced while it is.
#[test]
fn a_full_disk_keeps_nobody_waiting_for_what_is_written() {
    let disk = MemoryDisk::new();
    let (mut it, ..) = open(&disk, WalOptions::tiny(), None);
    it.put_os(0, 100);
    it.run();
    disk.fill(true);
    it.put(1, 100);
    assert!(matches!(it.run(), CommitStep::Full { .. }));
    assert_eq!(it.wal.durable_lsn(), Lsn::ZERO);
    it.wal.sync_soon();
    it.run();
    assert_eq!(it.wal.durable_lsn(), Lsn::new(1));
    disk.fill(false);
    it.pass(1000);
    it.run();
    assert_eq!(it.wal.durable_lsn(), Lsn::new(2));
    assert_eq!(story(&it.reopen(None).2), "0 1");
}

/// A proof that was refused may be there as a whole: what comes later cannot have its number at another place, or a
/// recovery would meet the proof first and miss the rest.
#[test]
fn a_proof_that_a_full_disk_refused_is_written_before_anything_else() {
    let (mut it, ..) = open(&MemoryDisk::new(), WalOptions::tiny(), None);
    for number in 0..14 {
        it.put(number, 100);
        it.run();
    }
    assert_eq!(it.wal.ring.lock().room(), PAGE_SIZE);
    it.disk.fill(true);
    it.pass(25);
    assert!(matches!(it.run(), CommitStep::Full { .. }));
    // Two pages: it goes to the next file.
    it.put(14, 5000);
    it.disk.fill(false);
    it.pass(1000);
    it.run();
    assert_eq!(it.wal.durable_lsn(), Lsn::new(15));
    let (_, report, replayed) = it.reopen(None);
    assert!(!report.is_lossy());
    assert_eq!(story(&replayed), "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14");
}

/// The empty frames that a recovery holds back go out together with the next frame, also when that is refused first.
#[test]
fn a_full_disk_takes_no_frame_away_that_recovery_held_back() {
    let (mut it, ..) = open(&MemoryDisk::new(), WalOptions::tiny(), None);
    it.put(0, 100);
    it.run();
    it.pass(25);
    it.run();
    let (mut again, report, _) = it.reopen(None);
    assert_eq!(report.rewritten_count, 0);
    again.disk.fill(true);
    // Once where it fits behind them, and once where it does not.
    again.put(1, 30_000);
    assert!(matches!(again.run(), CommitStep::Full { .. }));
    let (mut third, ..) = again.reopen(None);
    third.disk.fill(true);
    third.put(1, 32 << 10);
    third.put(2, 32 << 10);
    assert!(matches!(third.run(), CommitStep::Full { .. }));
    for it in [&mut again, &mut third] {
        it.disk.fill(false);
        it.pass(1000);
        it.run();
        assert!(it.wal.failure().is_none());
    }
    assert_eq!(story(&again.reopen(None).2), "0 1");
    assert_eq!(story(&third.reopen(None).2), "0 1 2");
}

#[test]
fn a_shutdown_leaves_nothing_to_prove() {
    let (it, ..) = open(&MemoryDisk::new(), WalOptions::default(), None);
    it.put(0, 10);
    it.put_os(1, 10);
    it.wal.begin_shutdown();
    assert!(!it.wal.is_clean());
    it.run();
    assert!(it.wal.is_clean());
    let (_, report, replayed) = it.reopen(None);
    assert!(report.is_clean());
    assert_eq!(story(&replayed), "0 1");
}

#[test]
fn entries_that_do_not_fit_are_refused_and_the_largest_fits() {
    let (it, ..) = open(&MemoryDisk::new(), WalOptions::tiny(), None);
    let too_large = entry(0, (32 << 10) + 1, DurabilityClass::Fsync);
    assert!(matches!(
        it.wal.enqueue(too_large),
        Err(WalError::EntryTooLarge { .. })
    ));
    for number in 0..5 {
        it.put(number, 32 << 10);
    }
    it.run();
    assert_eq!(it.wal.durable_lsn(), Lsn::new(5));
    assert_eq!(story(&it.reopen(None).2), "0 1 2 3 4");
}

/// What two runs leave when the first one's second frame is torn and its third is not: the third has the
/// number, the place and the LSN that the second run's next frame would have.
fn replay_over_a_leftover(options: WalOptions) -> String {
    let (it, ..) = open(&MemoryDisk::new(), options, None);
    for number in 0..3 {
        it.put_os(number, 1000);
        it.run();
    }
    it.overwrite(2 * PAGE_SIZE + 500, b"x");
    let (again, _, replayed) = it.reopen(None);
    assert_eq!(story(&replayed), "0");
    again.put_os(7, 1000);
    again.run();
    story(&again.reopen(None).2)
}

#[test]
fn a_leftover_behind_a_cut_is_told_by_its_epoch() {
    assert_eq!(replay_over_a_leftover(WalOptions::default()), "0 7");
}

#[cfg(feature = "planted-bugs")]
#[test]
fn without_epochs_a_leftover_comes_back() {
    let planted = crate::planted::Planted::bug(crate::planted::PlantedBug::RingEpochIgnored);
    let options = WalOptions {
        planted,
        ..WalOptions::default()
    };
    assert_eq!(replay_over_a_leftover(options), "0 7 2");
}

/// A refusal to grow counts until something became free, and no longer.
#[test]
fn a_ring_that_got_files_back_does_not_stay_short() {
    let size = 64 << 10;
    let file = |number| RingFile {
        number,
        file: MemoryDisk::new()
            .open(Path::new("file"), crate::disk::OpenMode::Create)
            .unwrap(),
        size,
        was_used: true,
    };
    let place = |file_number, frame_seq| WalPosition {
        file_number,
        position: PAGE_SIZE,
        frame_seq,
        lsn: Lsn::new(frame_seq),
        ring_epoch: 1,
    };
    let limits = RingLimits {
        first_file_size: size,
        file_size_max: size,
        ring_size_max: 4 * size,
        span_max: 4 * size,
    };
    let mut ring = Ring::new(limits, place(1, 1));
    for number in 1..=2 {
        let start = place(number, u64::from(number));
        ring.add_live(file(number), start);
        ring.add_frame(start, 40 << 10, Lsn::new(start.frame_seq + 1));
    }
    ring.is_refused = true;
    ring.refused_until = u64::MAX;
    assert!(ring.is_short(0));
    assert_eq!(ring.growth(1), None);
    assert_eq!(ring.release(&place(2, 2), &place(2, 2)), 1);
    let again = ring.take_free(size).expect("one was released");
    ring.add_live(again, place(1, 3));
    ring.add_frame(place(1, 3), 40 << 10, Lsn::new(4));
    assert!(!ring.is_short(64 << 10));
    assert!(ring.growth(1).is_some(), "it is tried at once");
}
