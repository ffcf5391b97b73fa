//! Faults planted on purpose: the simulator must find each of them.

/// A way to break a promise. Only builds with the feature `planted-bugs` can switch one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlantedBug {
    /// The fsync of a commit is left out.
    SkipFsync,
    /// A commit is acknowledged when it is written, before its fsync.
    AcknowledgeBeforeFsync,
    /// The high watermark moves before the fsync.
    HighWatermarkBeforeFsync,
    /// Recovery accepts frames of any ring epoch.
    RingEpochIgnored,
    /// Recovery checks no CRC.
    CrcIgnored,
    /// Recovery takes the first bad frame for the end although later ones prove that it was synced.
    FirstBadFrameIsEnd,
    /// Recovery does not rewrite frames that nothing proves to be on the device.
    UnprovenNotRewritten,
    /// A ring file is released before the segment's fsync.
    RingReleasedEarly,
    /// Entries are queued outside the partition's lock.
    QueuedOutsideLock,
    /// A truncation is not journaled.
    TruncationNotJournaled,
    /// A file is removed before its entry is durable.
    UnlinkBeforeEntry,
    /// A restarted leader keeps its leader epoch.
    SameEpochAfterRestart,
    /// A duplicate is acknowledged before its original is durable.
    DuplicateAcknowledgedEarly,
    /// A `Tail` entry is applied beside the entries it replaces.
    TailBesideEntries,
    /// A large batch is appended before its file is synced.
    LargeBatchUnsynced,
    /// Names of new files are not synced.
    DirectoryNotSynced,
    /// A full disk in the middle of a flush loses the tail.
    FullDiskLosesTail,
    /// Producer snapshots are dropped.
    SnapshotDropped,
    /// Compacted segments are swapped in without being synced.
    SwapBeforeSync,
    /// Compacted segments take the names of others before their entry is durable.
    SwapBeforeEntry,
    /// Recovery does not finish a swap that a crash interrupted.
    SwapNotRedone,
    /// Compaction removes markers of deletion at once.
    TombstoneForgotten,
    /// A copy of a log serves before it is durable.
    DecidedBeforeCopyIsDurable,
    /// A copy of a log is not told what its batches do not say.
    CopyRemembersNothing,
    /// The source of a log goes before it is decided that its copy serves.
    SourceDroppedEarly,
    /// The journal does not say that a log is a copy in the making.
    CopyMarkForgotten,
    /// A coordinator answers before what it wrote is durable.
    CoordinatorAnswersEarly,
    /// A coordinator that is loaded does not read the last batch of its log.
    CoordinatorLoadsShort,
}

impl PlantedBug {
    /// All of them, in order of declaration.
    pub const ALL: &'static [PlantedBug] = &[
        PlantedBug::SkipFsync,
        PlantedBug::AcknowledgeBeforeFsync,
        PlantedBug::HighWatermarkBeforeFsync,
        PlantedBug::RingEpochIgnored,
        PlantedBug::CrcIgnored,
        PlantedBug::FirstBadFrameIsEnd,
        PlantedBug::UnprovenNotRewritten,
        PlantedBug::RingReleasedEarly,
        PlantedBug::QueuedOutsideLock,
        PlantedBug::TruncationNotJournaled,
        PlantedBug::UnlinkBeforeEntry,
        PlantedBug::SameEpochAfterRestart,
        PlantedBug::DuplicateAcknowledgedEarly,
        PlantedBug::TailBesideEntries,
        PlantedBug::LargeBatchUnsynced,
        PlantedBug::DirectoryNotSynced,
        PlantedBug::FullDiskLosesTail,
        PlantedBug::SnapshotDropped,
        PlantedBug::SwapBeforeSync,
        PlantedBug::SwapBeforeEntry,
        PlantedBug::SwapNotRedone,
        PlantedBug::TombstoneForgotten,
        PlantedBug::DecidedBeforeCopyIsDurable,
        PlantedBug::CopyRemembersNothing,
        PlantedBug::SourceDroppedEarly,
        PlantedBug::CopyMarkForgotten,
        PlantedBug::CoordinatorAnswersEarly,
        PlantedBug::CoordinatorLoadsShort,
    ];
}

/// Which bug is planted: always none, unless the feature `planted-bugs` is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    #[cfg(feature = "planted-bugs")]
    bug: Option<PlantedBug>,
}

impl Planted {
    /// No bug.
    pub const fn none() -> Planted {
        Planted {
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// This bug.
    #[cfg(feature = "planted-bugs")]
    pub const fn bug(bug: PlantedBug) -> Planted {
        Planted { bug: Some(bug) }
    }

    /// True when `bug` is the planted one.
    #[cfg(feature = "planted-bugs")]
    pub fn is(self, bug: PlantedBug) -> bool {
        self.bug == Some(bug)
    }

    /// True when `bug` is the planted one: never in this build, so its code disappears.
    #[cfg(not(feature = "planted-bugs"))]
    pub const fn is(self, _bug: PlantedBug) -> bool {
        false
    }
}
