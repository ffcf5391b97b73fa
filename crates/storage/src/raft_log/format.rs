//! What stands in the frames of a Raft log. Each item is a record of the frame's directory and a body:
//!
//! ```text
//! kind  item      topic id      partition  base         end       argument  body
//! 64    identity  directory id  node id    0            0         0         cluster id, UTF-8
//! 65    vote      0             0          0            0         0         the vote, opaque
//! 66    entry     0             0          index        node id   term      the payload, opaque
//! 67    truncate  0             0          first index  0         0         -
//! 68    purge     0             0          last index   node id   term      -
//! 69    moved     0             0          next epoch   0         0         -
//! ```

use crate::checksum::crc32c;
use crate::wal::DurabilityClass;
use crate::wal::entry::DirectoryRecord;
use crate::wal::frame::{Frame, FrameBuilder, FrameEntry};
use bytes::Bytes;
use ottla_types::{BrokerId, DirectoryId, TopicId};

/// Whose log it is. A voter of the quorum is named by node id and directory id together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftIdentity {
    /// The cluster.
    pub cluster_id: String,
    /// The node.
    pub node_id: BrokerId,
    /// The directory: a node that lost its log comes back with another one.
    pub directory_id: DirectoryId,
}

/// Names an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RaftLogId {
    /// Term of the leader that made it.
    pub term: u64,
    /// That leader.
    pub node_id: u64,
    /// Its place in the log.
    pub index: u64,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftEntry {
    /// Its name.
    pub id: RaftLogId,
    /// Its content, in its owner's format.
    pub payload: Bytes,
}

/// What one append writes, applied in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct RaftBatch {
    /// Removes the entries with this index and above.
    pub truncate_from: Option<u64>,
    /// Replaces the vote.
    pub vote: Option<Bytes>,
    /// Adds entries behind the last one.
    pub entries: Vec<RaftEntry>,
    /// Removes the entries up to this one, inclusive. A snapshot that covers it must have been saved.
    pub purge_to: Option<RaftLogId>,
}

impl RaftBatch {
    pub(super) fn items(self) -> Vec<Item> {
        let mut items = Vec::with_capacity(self.entries.len() + 3);
        items.extend(self.truncate_from.map(|from| Item::Truncate { from }));
        items.extend(self.vote.map(Item::Vote));
        items.extend(self.entries.into_iter().map(Item::Entry));
        items.extend(self.purge_to.map(Item::Purge));
        items
    }
}

/// One change of the log's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Identity(RaftIdentity),
    Vote(Bytes),
    Entry(RaftEntry),
    Truncate {
        from: u64,
    },
    Purge(RaftLogId),
    /// The log goes on in the other file, under this epoch.
    Moved {
        epoch: u64,
    },
}

const IDENTITY: u8 = 64;
const VOTE: u8 = 65;
const ENTRY: u8 = 66;
const TRUNCATE: u8 = 67;
const PURGE: u8 = 68;
const MOVED: u8 = 69;

/// Pushes the items' records; returns their bodies.
pub(super) fn encode_items(items: &[Item], builder: &mut FrameBuilder) -> Vec<Bytes> {
    let mut bodies = Vec::with_capacity(items.len());
    for item in items {
        let mut record = DirectoryRecord {
            kind: 0,
            class: DurabilityClass::Fsync,
            gap: 0,
            topic_id: TopicId::default(),
            partition: 0,
            base: 0,
            end: 0,
            argument: 0,
            body_size: 0,
            body_crc: 0,
        };
        let body = match item {
            Item::Identity(identity) => {
                record.kind = IDENTITY;
                record.topic_id = TopicId::new(identity.directory_id.uuid());
                record.partition = identity.node_id.get();
                Bytes::copy_from_slice(identity.cluster_id.as_bytes())
            }
            Item::Vote(vote) => {
                record.kind = VOTE;
                vote.clone()
            }
            Item::Entry(entry) => {
                record.kind = ENTRY;
                (record.base, record.end) = (entry.id.index, entry.id.node_id);
                record.argument = entry.id.term;
                entry.payload.clone()
            }
            Item::Truncate { from } => {
                (record.kind, record.base) = (TRUNCATE, *from);
                Bytes::new()
            }
            Item::Purge(id) => {
                record.kind = PURGE;
                (record.base, record.end, record.argument) = (id.index, id.node_id, id.term);
                Bytes::new()
            }
            Item::Moved { epoch } => {
                (record.kind, record.base) = (MOVED, *epoch);
                Bytes::new()
            }
        };
        record.body_size = u32::try_from(body.len()).expect("an item is below 4 GiB");
        record.body_crc = if body.is_empty() { 0 } else { crc32c(&body) };
        builder.push(&record);
        bodies.push(body);
    }
    bodies
}

/// The items of a valid frame; `None` when one is of a kind we do not know.
pub(super) fn decode_items(frame: &Frame) -> Option<Vec<Item>> {
    frame.entries().map(|entry| decode_item(&entry)).collect()
}

fn decode_item(entry: &FrameEntry) -> Option<Item> {
    let record = &entry.record;
    let id = RaftLogId {
        term: record.argument,
        node_id: record.end,
        index: record.base,
    };
    Some(match record.kind {
        IDENTITY => Item::Identity(RaftIdentity {
            cluster_id: String::from_utf8(entry.body.to_vec()).ok()?,
            node_id: BrokerId::from_wire(record.partition)?,
            directory_id: DirectoryId::new(record.topic_id.uuid()),
        }),
        VOTE => Item::Vote(entry.body.clone()),
        ENTRY => Item::Entry(RaftEntry {
            id,
            payload: entry.body.clone(),
        }),
        TRUNCATE => Item::Truncate { from: record.base },
        PURGE => Item::Purge(id),
        MOVED => Item::Moved { epoch: record.base },
        _ => return None,
    })
}
