//! Queueing and committing under a permutation scheduler: `cargo test -p ottla-storage --features shuttle`.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

use bytes::Bytes;
use ottla_storage::marker::Markers;
use ottla_storage::memory_disk::MemoryDisk;
use ottla_storage::wal::{
    CommitStep, DurabilityClass, Entry, EntryHeader, EntryKind, Replayed, Wal, WalOptions,
};
use ottla_types::{Lsn, Mono, Now, Offset, PartitionId, Timestamp, TopicId, TopicPartition};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;
use std::path::Path;
use std::sync::Arc;

const WORKERS_COUNT: i32 = 3;
const ENTRIES_COUNT: i64 = 3;

/// What `Thread::unpark` is: remembered until the pump sleeps.
#[derive(Default)]
struct Token {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Token {
    fn set(&self) {
        *self.is_set.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut is_set = self.is_set.lock().unwrap();
        while !*is_set {
            is_set = self.changed.wait(is_set).unwrap();
        }
        *is_set = false;
    }
}

fn entry(partition: i32, offset: i64) -> Entry {
    let header = EntryHeader {
        kind: EntryKind::Append,
        topic_partition: TopicPartition {
            topic_id: TopicId::default(),
            partition: PartitionId::new(partition),
        },
        base_offset: Offset::new(offset),
        end_offset: Offset::new(offset + 1),
        argument: 0,
    };
    let class = match is_unawaited(partition) {
        true => DurabilityClass::Os,
        false => DurabilityClass::Fsync,
    };
    Entry::new(header, class, Bytes::from(vec![partition as u8; 10]))
}

/// Whose entries are written by who queues them.
fn is_unawaited(partition: i32) -> bool {
    0 < partition
}

/// Workers queue entries of their own partition while the pump commits and sleeps; some write theirs themselves. No
/// wake-up is lost (the scheduler reports a deadlock), numbers follow the queue, and everything is replayed in order.
fn workers_and_pump() {
    let disk = MemoryDisk::new();
    let shared = Arc::new(disk.clone());
    let markers = Arc::new(Markers::new());
    let options = WalOptions::tiny();
    let dir = Path::new("wal");
    let (wal, _) = Wal::open(shared, dir, options, markers.clone(), None, &mut |_| {}).unwrap();
    let wal = Arc::new(wal);
    let token = Arc::new(Token::default());
    let waker = token.clone();
    wal.set_waker(Box::new(move || waker.set()));

    let pump = thread::spawn({
        let (wal, token) = (wal.clone(), token.clone());
        move || commit_all(&wal, &token)
    });
    let workers: Vec<_> = (0..WORKERS_COUNT)
        .map(|partition| {
            let wal = wal.clone();
            thread::spawn(move || {
                let mut last = Lsn::ZERO;
                for offset in 0..ENTRIES_COUNT {
                    let entry = entry(partition, offset);
                    let lsn = match is_unawaited(partition) {
                        true => wal.enqueue_unawaited(entry).unwrap(),
                        false => wal.enqueue(entry).unwrap(),
                    };
                    if is_unawaited(partition) {
                        wal.write_unawaited(Now::default());
                    }
                    assert!(last < lsn);
                    assert!(lsn < wal.next_lsn());
                    assert!(wal.durable_lsn() <= wal.written_lsn());
                    last = lsn;
                }
            })
        })
        .collect();
    workers
        .into_iter()
        .for_each(|worker| worker.join().unwrap());
    pump.join().unwrap();
    assert_eq!(wal.queued_bytes(), 0);

    let mut next = vec![0; WORKERS_COUNT as usize];
    let copy = Arc::new(disk.copy());
    Wal::open(copy, dir, options, markers, None, &mut |it| match it {
        Replayed::Entry(it) => {
            let partition = it.header.topic_partition.partition.get() as usize;
            assert_eq!(it.header.base_offset.get(), next[partition]);
            next[partition] += 1;
        }
        Replayed::Damage(damage) => panic!("{damage:?}"),
    })
    .unwrap();
    assert!(next.iter().all(|next| *next == ENTRIES_COUNT));
}

/// The loop of the thread that owns the pump; time moves only when it waits for it.
fn commit_all(wal: &Wal, token: &Token) {
    let all = Lsn::new((i64::from(WORKERS_COUNT) * ENTRIES_COUNT) as u64);
    let mut now = Now {
        mono: Mono::ZERO,
        wall: Timestamp::from_millis(0),
    };
    let mut durable = Lsn::ZERO;
    while durable < all {
        match wal.commit_step(now) {
            CommitStep::Idle => token.wait(),
            CommitStep::Waiting { until }
            | CommitStep::Stalled { until }
            | CommitStep::Full { until } => now.mono = until,
            CommitStep::Synced { durable: last } => {
                assert!(durable <= last && last <= wal.written_lsn());
                durable = last;
            }
            CommitStep::Wrote { .. } | CommitStep::Prepared => {}
            CommitStep::Failed(error) => panic!("{error}"),
        }
    }
}

#[test]
fn no_schedule_loses_an_entry_or_a_wake_up() {
    shuttle::check_random(workers_and_pump, 2_000);
    shuttle::check_pct(workers_and_pump, 2_000, 3);
}
