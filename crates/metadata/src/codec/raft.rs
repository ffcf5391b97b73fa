//! Votes, entries and snapshots of the quorum's store.
//!
//! ```text
//! vote       := format u8 (1) | term u64 | node i32 | directory 16 bytes | is_committed u8
//! entry      := format u8 (1) | term u64 | index u64 | kind u8 | body
//!               kind 0 blank, 1 batch (body: entry of codec.rs), 2 membership
//! membership := sets u8 | sets * voters | voters (learners)
//! voters     := count uvarint | count * (node i32 | directory 16 bytes)
//! snapshot   := format u8 (1) | term u64 | index u64 | membership term u64 | membership index u64
//!             | membership | image
//! ```

use super::entry::{read_format, read_u64};
use super::{CodecError, FORMAT, decode_image, encode_image};
use crate::image::Image;
use crate::quorum::Voter;
use crate::raft_types::{LogPosition, Membership, Payload, StoredEntry, Vote};
use ottla_protocol::{Reader, Writer};
use ottla_types::{BrokerId, DirectoryId};
use std::collections::BTreeSet;

const VOTE: &str = "a vote of the metadata quorum";
const ENTRY: &str = "an entry of the metadata quorum";
const SNAPSHOT: &str = "a snapshot of the metadata quorum";

/// A snapshot as it is stored: everything up to a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotParts {
    /// The last entry in it.
    pub position: LogPosition,
    /// Where the membership in force was written.
    pub membership_position: LogPosition,
    /// The membership in force.
    pub membership: Membership,
    /// The state.
    pub image: Image,
}

/// The bytes of a vote.
pub fn encode_vote(vote: &Vote) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&[FORMAT]);
    put_u64(vote.term, &mut writer);
    put_voter(&vote.candidate, &mut writer);
    writer.bool(vote.is_committed);
    writer.into_buf()
}

/// Reads a vote.
pub fn decode_vote(bytes: &[u8]) -> Result<Vote, CodecError> {
    let mut reader = Reader::new(bytes);
    read_format(&mut reader, VOTE)?;
    let malformed = |cause| CodecError::Malformed { what: VOTE, cause };
    let vote = Vote {
        term: read_u64(&mut reader, VOTE)?,
        candidate: read_voter(&mut reader, VOTE)?,
        is_committed: reader.bool().map_err(malformed)?,
    };
    end(&reader, VOTE)?;
    Ok(vote)
}

/// The bytes of an entry.
pub fn encode_stored_entry(entry: &StoredEntry) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&[FORMAT]);
    put_position(entry.position, &mut writer);
    match &entry.payload {
        Payload::Blank => writer.raw(&[0]),
        Payload::Batch(batch) => {
            writer.raw(&[1]);
            writer.raw(batch);
        }
        Payload::Membership(membership) => {
            writer.raw(&[2]);
            put_membership(membership, &mut writer);
        }
    }
    writer.into_buf()
}

/// Reads an entry.
pub fn decode_stored_entry(bytes: &[u8]) -> Result<StoredEntry, CodecError> {
    let mut reader = Reader::new(bytes);
    read_format(&mut reader, ENTRY)?;
    let position = read_position(&mut reader, ENTRY)?;
    let kind = read_u8(&mut reader, ENTRY)?;
    let payload = match kind {
        0 => Payload::Blank,
        1 => {
            let batch = reader.rest();
            return Ok(StoredEntry {
                position,
                payload: Payload::Batch(batch.into()),
            });
        }
        2 => Payload::Membership(read_membership(&mut reader, ENTRY)?),
        _ => {
            return Err(CodecError::InvalidField {
                what: ENTRY,
                field: "kind",
            });
        }
    };
    end(&reader, ENTRY)?;
    Ok(StoredEntry { position, payload })
}

/// The bytes of a snapshot.
pub fn encode_snapshot(
    position: LogPosition,
    membership_position: LogPosition,
    membership: &Membership,
    image: &Image,
) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&[FORMAT]);
    put_position(position, &mut writer);
    put_position(membership_position, &mut writer);
    put_membership(membership, &mut writer);
    writer.raw(&encode_image(image));
    writer.into_buf()
}

/// Reads a snapshot.
pub fn decode_snapshot(bytes: &[u8]) -> Result<SnapshotParts, CodecError> {
    let mut reader = Reader::new(bytes);
    read_format(&mut reader, SNAPSHOT)?;
    Ok(SnapshotParts {
        position: read_position(&mut reader, SNAPSHOT)?,
        membership_position: read_position(&mut reader, SNAPSHOT)?,
        membership: read_membership(&mut reader, SNAPSHOT)?,
        image: decode_image(reader.rest())?,
    })
}

fn put_membership(membership: &Membership, writer: &mut Writer) {
    let sets = u8::try_from(membership.voters.len()).expect("one or two sets of voters");
    writer.raw(&[sets]);
    for voters in &membership.voters {
        put_voters(voters, writer);
    }
    put_voters(&membership.learners, writer);
}

fn read_membership(reader: &mut Reader<'_>, what: &'static str) -> Result<Membership, CodecError> {
    let sets = read_u8(reader, what)?;
    let voters = (0..sets).map(|_| read_voters(reader, what));
    Ok(Membership {
        voters: voters.collect::<Result<_, _>>()?,
        learners: read_voters(reader, what)?,
    })
}

fn put_voters(voters: &BTreeSet<Voter>, writer: &mut Writer) {
    writer.uvarint(u32::try_from(voters.len()).expect("a cluster has few nodes"));
    for voter in voters {
        put_voter(voter, writer);
    }
}

fn read_voters(reader: &mut Reader<'_>, what: &'static str) -> Result<BTreeSet<Voter>, CodecError> {
    let count = reader
        .uvarint()
        .map_err(|cause| CodecError::Malformed { what, cause })?;
    (0..count).map(|_| read_voter(reader, what)).collect()
}

fn put_voter(voter: &Voter, writer: &mut Writer) {
    writer.i32(voter.node.get());
    writer.uuid(voter.directory.uuid());
}

fn read_voter(reader: &mut Reader<'_>, what: &'static str) -> Result<Voter, CodecError> {
    let malformed = |cause| CodecError::Malformed { what, cause };
    let node = reader.i32().map_err(malformed)?;
    Ok(Voter {
        node: BrokerId::from_wire(node).ok_or(CodecError::InvalidField {
            what,
            field: "node",
        })?,
        directory: DirectoryId::new(reader.uuid().map_err(malformed)?),
    })
}

fn put_position(position: LogPosition, writer: &mut Writer) {
    put_u64(position.term, writer);
    put_u64(position.index, writer);
}

fn read_position(reader: &mut Reader<'_>, what: &'static str) -> Result<LogPosition, CodecError> {
    Ok(LogPosition {
        term: read_u64(reader, what)?,
        index: read_u64(reader, what)?,
    })
}

fn put_u64(value: u64, writer: &mut Writer) {
    writer.raw(&value.to_be_bytes());
}

fn read_u8(reader: &mut Reader<'_>, what: &'static str) -> Result<u8, CodecError> {
    let byte = reader
        .take(1)
        .map_err(|cause| CodecError::Malformed { what, cause })?;
    Ok(byte[0])
}

fn end(reader: &Reader<'_>, what: &'static str) -> Result<(), CodecError> {
    match reader.remaining() {
        0 => Ok(()),
        count => Err(CodecError::BytesLeftOver { what, count }),
    }
}
