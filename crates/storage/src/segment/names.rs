//! Names of directories and files, as Kafka gives them.

use crate::segment::small_files;
use ottla_types::{Lsn, Offset, PartitionId, TopicId};
use std::path::{Path, PathBuf};

/// File names hold at most this many bytes on common file systems.
const FILE_NAME_BYTES_MAX: usize = 255;

/// Ends the name of a partition directory that is being removed.
pub const DELETED_SUFFIX: &str = "-delete";

/// What a file of a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// `.log`: the batches.
    Log,
    /// `.sums`: the checksum sidecar.
    Sums,
    /// `.index`: Kafka's offset index.
    OffsetIndex,
    /// `.timeindex`: Kafka's time index.
    TimeIndex,
    /// `.snapshot`: Kafka's producer snapshot.
    Snapshot,
}

impl FileKind {
    /// The kinds that come and go with a segment.
    pub const OF_SEGMENT: [FileKind; 4] = [
        FileKind::Log,
        FileKind::Sums,
        FileKind::OffsetIndex,
        FileKind::TimeIndex,
    ];

    fn suffix(self) -> &'static str {
        match self {
            FileKind::Log => "log",
            FileKind::Sums => "sums",
            FileKind::OffsetIndex => "index",
            FileKind::TimeIndex => "timeindex",
            FileKind::Snapshot => "snapshot",
        }
    }
}

/// `<topic>-<partition>`.
pub fn partition_dir(topic_name: &str, partition: PartitionId) -> String {
    format!("{topic_name}-{partition}")
}

/// `<topic>-<partition>.<topic id>-delete`; a long topic name is cut so that the name fits. The partitions of a topic
/// keep names of their own.
pub fn deleted_dir(dir: &str, topic_id: TopicId) -> String {
    let topic = dir.rfind('-').unwrap_or(dir.len());
    let suffix = format!("{}.{topic_id}{DELETED_SUFFIX}", &dir[topic..]);
    let room = FILE_NAME_BYTES_MAX - suffix.len();
    format!("{}{suffix}", &dir[..topic.min(room)])
}

/// The topic that a name made by [`deleted_dir`] says.
pub fn deleted_topic(name: &str) -> Option<TopicId> {
    let (_, id) = name.strip_suffix(DELETED_SUFFIX)?.rsplit_once('.')?;
    Some(TopicId::new(id.parse().ok()?))
}

/// `<20 digits of the base offset>.<suffix>`.
pub fn file_name(base_offset: Offset, kind: FileKind) -> String {
    format!("{:020}.{}", base_offset.get(), kind.suffix())
}

/// `<dir>/<20 digits of the base offset>.<suffix>`.
pub fn file(dir: &str, base_offset: Offset, kind: FileKind) -> PathBuf {
    Path::new(dir).join(file_name(base_offset, kind))
}

/// `<dir>/<20 digits of the base offset>.<suffix>.<token>.cleaned`: what compaction wrote, until it is swapped in.
pub fn cleaned(dir: &str, base_offset: Offset, kind: FileKind, token: Lsn) -> PathBuf {
    let name = file_name(base_offset, kind);
    Path::new(dir).join(format!("{name}.{}{CLEANED_SUFFIX}", token.get()))
}

/// `<dir>/<20 digits of the base offset>.<suffix>.<mark>.spared`: a file that is kept for the operator. `mark` tells
/// several of them apart.
pub fn spared(dir: &str, base_offset: Offset, kind: FileKind, mark: Lsn) -> PathBuf {
    let name = file_name(base_offset, kind);
    Path::new(dir).join(format!("{name}.{}{SPARED_SUFFIX}", mark.get()))
}

/// A file in a partition's directory that we make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnFile {
    /// Of a segment, or a producer snapshot.
    Segment(Offset, FileKind),
    /// `partition.metadata` or `leader-epoch-checkpoint`.
    Small,
    /// Not finished: an operation was interrupted, or goes on.
    Draft,
    /// Written by the compaction with this token.
    Cleaned(Lsn),
    /// Of a segment that lost something: what is in it is nowhere else.
    Spared,
}

/// Ends the name of a file that is being written and gets its own name when it is whole.
pub const DRAFT_SUFFIX: &str = ".tmp";

/// Ends the name of a file that stood where a partition that lost something goes on.
pub const SPARED_SUFFIX: &str = ".spared";

/// Ends the name of a file that compaction wrote.
pub const CLEANED_SUFFIX: &str = ".cleaned";

/// What a file in a partition's directory is; `None` when it is none of ours.
pub fn own_file(name: &str) -> Option<OwnFile> {
    if let Some(whole) = name.strip_suffix(DRAFT_SUFFIX) {
        return parse(whole).map(|_| OwnFile::Draft);
    }
    if let Some(whole) = name.strip_suffix(CLEANED_SUFFIX) {
        let (whole, token) = whole.rsplit_once('.')?;
        return parse(whole)
            .zip(token.parse().ok())
            .map(|(_, token)| OwnFile::Cleaned(Lsn::new(token)));
    }
    if let Some(whole) = name.strip_suffix(SPARED_SUFFIX) {
        let (whole, mark) = whole.rsplit_once('.')?;
        let mark: Option<u64> = mark.parse().ok();
        return parse(whole).zip(mark).map(|_| OwnFile::Spared);
    }
    let is_small = [
        small_files::PARTITION_METADATA,
        small_files::LEADER_EPOCH_CHECKPOINT,
    ];
    if is_small.contains(&name) {
        return Some(OwnFile::Small);
    }
    let (offset, kind) = parse(name)?;
    Some(OwnFile::Segment(offset, kind))
}

/// Whether a file in a partition's directory is one that we make.
pub fn is_ours(name: &str) -> bool {
    own_file(name).is_some()
}

/// The base offset and kind that a file name says; `None` for other files.
pub fn parse(name: &str) -> Option<(Offset, FileKind)> {
    let (digits, suffix) = name.split_once('.')?;
    if digits.len() != 20 {
        return None;
    }
    let kinds = [FileKind::Log, FileKind::Sums, FileKind::OffsetIndex];
    let kind = kinds
        .into_iter()
        .chain([FileKind::TimeIndex, FileKind::Snapshot])
        .find(|kind| kind.suffix() == suffix)?;
    Some((Offset::from_wire(digits.parse().ok()?)?, kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_types::Uuid;

    #[test]
    fn names_are_kafkas() {
        let dir = partition_dir("orders", PartitionId::new(3));
        assert_eq!(dir, "orders-3");
        let path = file(&dir, Offset::new(1234), FileKind::TimeIndex);
        assert_eq!(path, Path::new("orders-3/00000000000000001234.timeindex"));
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("text");
        assert_eq!(parse(name), Some((Offset::new(1234), FileKind::TimeIndex)));
        assert_eq!(parse("partition.metadata"), None);
        assert_eq!(parse("00000000000000001234.swap"), None);
        assert_eq!(
            own_file("00000000000000001234.snapshot.tmp"),
            Some(OwnFile::Draft)
        );
        assert_eq!(own_file("leader-epoch-checkpoint"), Some(OwnFile::Small));
        assert_eq!(own_file("00000000000000001234.log.bak"), None);
        let path = cleaned(&dir, Offset::new(1234), FileKind::Sums, Lsn::new(77));
        assert_eq!(
            path,
            Path::new("orders-3/00000000000000001234.sums.77.cleaned")
        );
        let name = path.file_name().and_then(|name| name.to_str());
        let own = own_file(name.expect("text"));
        assert_eq!(own, Some(OwnFile::Cleaned(Lsn::new(77))));
        assert_eq!(parse(name.expect("text")), None);
        let path = spared(&dir, Offset::new(1234), FileKind::Log, Lsn::new(7));
        let name = path.file_name().and_then(|name| name.to_str());
        assert_eq!(own_file(name.expect("text")), Some(OwnFile::Spared));
    }

    #[test]
    fn the_longest_topic_name_can_be_deleted() {
        let dir = partition_dir(&"x".repeat(249), PartitionId::new(99_999));
        let deleted = deleted_dir(&dir, TopicId::new(Uuid::ZERO));
        assert_eq!(deleted.len(), FILE_NAME_BYTES_MAX);
        assert!(deleted.ends_with("x-99999.AAAAAAAAAAAAAAAAAAAAAA-delete"));
        assert_eq!(deleted_topic(&deleted), Some(TopicId::new(Uuid::ZERO)));
        assert_eq!(deleted_topic("orders-3"), None);
        assert_eq!(deleted_topic("a-3.not an id-delete"), None);
    }
}
