//! What a run has reached: the simulator demands that each of these happens in its runs.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! markers {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A situation that tests must reach, because its code runs rarely otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Marker {
            $($(#[$doc])* $name,)*
        }

        impl Marker {
            /// All of them, in order of declaration.
            pub const ALL: &'static [Marker] = &[$(Marker::$name,)*];

            /// Its name in reports.
            pub fn name(self) -> &'static str {
                match self {
                    $(Marker::$name => stringify!($name),)*
                }
            }
        }
    };
}

markers! {
    /// A released file of the journal's ring was activated again.
    RingReused,
    /// The ring got a new file.
    RingGrown,
    /// There was no room for a new file of the ring.
    RingGrowthRefused,
    /// A commit waited because no file of the ring was free.
    RingStalled,
    /// A file of the ring that had become too small was removed.
    RingFileRemoved,
    /// An idle journal wrote an empty frame that proves the one before.
    IdleFrameWritten,
    /// A group of `os` entries was written without an fsync.
    OsSyncSkipped,
    /// Such a group was written by who queued it, and not by the pump.
    UnawaitedWritten,
    /// Such groups were fsynced later, because of their age or size.
    OsSyncDue,
    /// A commit waited a little to gather a larger group.
    CommitGathered,
    /// Recovery cut a frame that was torn or never synced.
    TornFrameCut,
    /// Recovery found a bad frame that had been synced.
    DamageProven,
    /// Recovery took intact bodies out of a damaged frame.
    DamageSalvaged,
    /// Recovery met a frame whose directory is unreadable, or that is not there at all.
    DamageUnnamed,
    /// Recovery rewrote a frame that nothing proved to be on the device.
    UnprovenRewritten,
    /// Recovery rejected intact bytes of an earlier use of a ring file.
    StaleFrameRejected,
    /// The disk had no room for a frame of the journal, which was tried again later.
    WalFull,
    /// The journal went offline after a failed write or sync.
    WalOffline,
    /// A torn checkpoint was passed over for the one before.
    CheckpointSkipped,
    /// The Raft log cut an unfinished write at its end.
    RaftTornCut,
    /// The Raft log found damage or a rollback.
    RaftDamageFound,
    /// The Raft log moved on to its other file.
    RaftLogSwitched,
    /// A small tail was rewritten forward to free a ring file.
    TailRewritten,
    /// A segment was rolled.
    SegmentRolled,
    /// A tail went to a new segment because the one before it was damaged.
    SegmentSplit,
    /// Producer state was read from a snapshot.
    SnapshotUsed,
    /// Recovery read a batch that lies beside the journal.
    LargeBatchReplayed,
    /// The file of a large batch was removed: no replay can ask for it any more.
    LargeBatchReleased,
    /// Recovery found records of an unreadable journal entry in their segment.
    LossHealed,
    /// The scrub came upon bytes of a segment that are not what was written.
    ScrubFoundDamage,
    /// The scrub removed what an interrupted operation had left.
    LeftoverRemoved,
    /// Compacted segments were put in the place of others.
    SegmentsSwapped,
    /// A round of compaction came to its end.
    LogCompacted,
    /// Recovery gave compacted segments their names.
    SwapRedone,
}

/// Counts how often each [`Marker`] was reached.
#[derive(Debug)]
pub struct Markers {
    counts: Box<[AtomicU64]>,
}

impl Markers {
    /// All at zero.
    pub fn new() -> Markers {
        Markers {
            counts: Marker::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts one.
    pub fn reach(&self, marker: Marker) {
        self.counts[marker as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often `marker` was reached.
    pub fn count(&self, marker: Marker) -> u64 {
        self.counts[marker as usize].load(Ordering::Relaxed)
    }
}

impl Default for Markers {
    fn default() -> Markers {
        Markers::new()
    }
}
