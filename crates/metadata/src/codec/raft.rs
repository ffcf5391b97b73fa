//! What the quorum's store keeps of votes, entries and snapshots; terms and indexes are the store's.
//!
//! ```text
//! vote       := format u8 (1) | term u64 | node i32 | directory 16 bytes | is_committed u8
//! payload    := format u8 (1) | kind u8 | body
//!               kind 0 blank, 1 batch (body: entry of codec.rs), 2 membership
//! membership := sets u8 | sets * voters | voters (learners)
//! voters     := count uvarint | count * (node i32 | directory 16 bytes)
//! snapshot   := meta: format u8 (1) | membership term u64 | membership index u64 | membership
//!               data: image of codec.rs
//! ```

use super::entry::{read_format, read_u64};
use super::{CodecError, FORMAT};
use crate::quorum::Voter;
use crate::raft_types::{LogPosition, Membership, Payload, Vote};
use bytes::Bytes;
use ottla_protocol::{Reader, Writer};
use ottla_types::{BrokerId, DirectoryId};
use std::collections::BTreeSet;

const VOTE: &str = "a vote of the metadata quorum";
const ENTRY: &str = "an entry of the metadata quorum";
const SNAPSHOT: &str = "a snapshot of the metadata quorum";

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

/// The bytes of a payload.
pub fn encode_payload(payload: &Payload) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&[FORMAT]);
    match payload {
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

/// Reads a payload; a batch shares its bytes.
pub fn decode_payload(bytes: &Bytes) -> Result<Payload, CodecError> {
    let mut reader = Reader::new(bytes);
    read_format(&mut reader, ENTRY)?;
    let payload = match read_u8(&mut reader, ENTRY)? {
        0 => Payload::Blank,
        1 => return Ok(Payload::Batch(bytes.slice(reader.position()..))),
        2 => Payload::Membership(read_membership(&mut reader, ENTRY)?),
        _ => {
            return Err(CodecError::InvalidField {
                what: ENTRY,
                field: "kind",
            });
        }
    };
    end(&reader, ENTRY)?;
    Ok(payload)
}

/// What a snapshot says beside the image: who votes, and where that was written.
pub fn encode_snapshot_meta(position: LogPosition, membership: &Membership) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&[FORMAT]);
    put_position(position, &mut writer);
    put_membership(membership, &mut writer);
    writer.into_buf()
}

/// Reads what [`encode_snapshot_meta`] wrote.
pub fn decode_snapshot_meta(bytes: &[u8]) -> Result<(LogPosition, Membership), CodecError> {
    let mut reader = Reader::new(bytes);
    read_format(&mut reader, SNAPSHOT)?;
    let position = read_position(&mut reader, SNAPSHOT)?;
    let membership = read_membership(&mut reader, SNAPSHOT)?;
    end(&reader, SNAPSHOT)?;
    Ok((position, membership))
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
