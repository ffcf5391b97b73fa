use ottla_types::{Offset, TopicPartition};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many findings are kept for whoever tells them; more are only counted.
const KEPT_MAX: usize = 1_000;

/// Something on disk that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Bytes are not what was written. They are never served.
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// The file.
        file: PathBuf,
        /// Where the stretch that failed its check begins.
        position: u32,
        /// First and last offset (inclusive) of that stretch, if they are known.
        offsets: Option<(Offset, Offset)>,
    },
    /// The file is not there, and with it all that was in it.
    Missing {
        /// The partition.
        partition: TopicPartition,
        /// The file.
        file: PathBuf,
        /// The first offset that it may have held.
        base_offset: Offset,
        /// The one after the last, if it is known.
        end_offset: Option<Offset>,
    },
    /// The file ends too early.
    TooShort {
        /// The partition.
        partition: TopicPartition,
        /// The file.
        file: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// What was synced.
        synced_size: u32,
    },
    /// It could not be read: by the device, or because it is not what its name says.
    Unreadable {
        /// What was tried, and the answer.
        error: String,
    },
    /// Not one of our files. It is left alone.
    Foreign {
        /// The file or directory.
        path: PathBuf,
    },
    /// A directory of a partition that neither the checkpoint nor the journal knows. It is kept.
    Stray {
        /// Whose it is.
        partition: TopicPartition,
        /// The directory.
        path: PathBuf,
    },
    /// A segment file of a partition that lost data, which is not part of what is left of it. It is kept.
    CutOff {
        /// The partition.
        partition: TopicPartition,
        /// The file.
        path: PathBuf,
    },
    /// Something that an interrupted operation left behind, removed by now.
    Leftover {
        /// The file or directory.
        path: PathBuf,
    },
    /// A log cannot be compacted because a part of it cannot be read. It grows until that is mended.
    Uncleanable {
        /// The partition.
        partition: TopicPartition,
        /// Why.
        reason: String,
    },
    /// A file that follows from others was missing or wrong and is made again.
    Mended {
        /// The file.
        path: PathBuf,
    },
}

impl Finding {
    /// Whether records are lost or cannot be read.
    pub fn is_damage(&self) -> bool {
        match self {
            Finding::Corrupt { .. }
            | Finding::Missing { .. }
            | Finding::TooShort { .. }
            | Finding::CutOff { .. }
            | Finding::Unreadable { .. } => true,
            Finding::Foreign { .. }
            | Finding::Stray { .. }
            | Finding::Leftover { .. }
            | Finding::Uncleanable { .. }
            | Finding::Mended { .. } => false,
        }
    }
}

impl Finding {
    /// What makes it the same thing found again.
    fn key(&self) -> (u8, PathBuf, u32) {
        match self {
            Finding::Corrupt { file, position, .. } => (0, file.clone(), *position),
            Finding::Missing { file, .. } => (1, file.clone(), 0),
            Finding::TooShort { file, .. } => (2, file.clone(), 0),
            Finding::Unreadable { error } => (3, PathBuf::from(error), 0),
            Finding::Foreign { path } => (4, path.clone(), 0),
            Finding::Stray { path, .. } => (5, path.clone(), 0),
            Finding::Leftover { path } => (6, path.clone(), 0),
            Finding::Mended { path } => (7, path.clone(), 0),
            Finding::CutOff { path, .. } => (8, path.clone(), 0),
            Finding::Uncleanable { partition, .. } => (9, PathBuf::from(partition.to_string()), 0),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Corrupt {
                partition,
                file,
                position,
                offsets,
            } => {
                let file = file.display();
                write!(f, "{file} is corrupt at position {position}")?;
                if let Some((first, last)) = offsets {
                    write!(f, " (offsets {first} to {last})")?;
                }
                write!(
                    f,
                    ": these records of partition {partition} are not served; the rest of it is"
                )
            }
            Finding::Missing {
                partition,
                file,
                base_offset,
                end_offset,
            } => {
                let file = file.display();
                write!(
                    f,
                    "{file} is missing, and with it the records of partition {partition}"
                )?;
                write!(f, " from offset {base_offset} on")?;
                match end_offset {
                    Some(end) => write!(f, ", up to {end} (exclusive)"),
                    None => Ok(()),
                }
            }
            Finding::TooShort {
                partition,
                file,
                size,
                synced_size,
            } => write!(
                f,
                "{} of partition {partition} has {size} bytes, {synced_size} were written: the \
                 records behind are not there",
                file.display()
            ),
            Finding::Unreadable { error } => write!(f, "{error}"),
            Finding::Foreign { path } => write!(
                f,
                "{} is none of our files; it is left alone",
                path.display()
            ),
            Finding::Stray { partition, path } => write!(
                f,
                "{} belongs to partition {partition}, which is not known here; it is kept",
                path.display()
            ),
            Finding::CutOff { partition, path } => write!(
                f,
                "{} is not part of what is left of the damaged partition {partition}: its records \
                 are not served; it is kept",
                path.display()
            ),
            Finding::Leftover { path } => write!(
                f,
                "{} was left by an operation that was interrupted; it is removed",
                path.display()
            ),
            Finding::Uncleanable { partition, reason } => write!(
                f,
                "partition {partition} is not compacted any more and grows: {reason}"
            ),
            Finding::Mended { path } => write!(
                f,
                "{} was missing or wrong; it is made again from the records",
                path.display()
            ),
        }
    }
}

/// What was found so far, by readers and by the scrub: each thing once.
#[derive(Debug, Default)]
pub struct Findings {
    damage_count: AtomicU64,
    count: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    known: BTreeSet<(u8, PathBuf, u32)>,
    list: Vec<Finding>,
}

impl Findings {
    /// Notes a finding. Returns false when it is known already.
    pub(crate) fn note(&self, finding: Finding) -> bool {
        let key = finding.key();
        let mut kept = self.kept.lock();
        if kept.known.contains(&key) {
            return false;
        }
        if finding.is_damage() {
            self.damage_count.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        if kept.known.len() < KEPT_MAX {
            kept.known.insert(key);
            kept.list.push(finding);
        }
        true
    }

    /// The findings from number `from` on, oldest first.
    pub fn since(&self, from: usize) -> Vec<Finding> {
        let kept = self.kept.lock();
        kept.list.get(from..).unwrap_or_default().to_vec()
    }

    /// How many there were, also those that are no damage.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many of them mean that records are lost or cannot be read.
    pub fn damage_count(&self) -> u64 {
        self.damage_count.load(Ordering::Relaxed)
    }
}
