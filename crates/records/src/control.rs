//! Control batches: what brokers write into a log for brokers.
//!
//! ```text
//! key   version i16 | type i16
//! value of a transaction marker: version i16 | coordinator epoch i32
//! ```

use crate::batch_builder::BatchBuilder;
use crate::codec::{Codec, Compressor};
use crate::record_view::RecordView;
use ottla_types::{ProducerEpoch, ProducerId, Timestamp};

const KEY_VERSION: i16 = 0;
const MARKER_VERSION: i16 = 0;

/// What a control record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum ControlType {
    /// A transaction ended; its records do not count.
    Abort = 0,
    /// A transaction ended; its records count.
    Commit = 1,
    /// Metadata quorum: a leader began its term.
    LeaderChange = 2,
    /// Metadata quorum: begin of a snapshot.
    SnapshotHeader = 3,
    /// Metadata quorum: end of a snapshot.
    SnapshotFooter = 4,
    /// Metadata quorum: its feature level.
    KraftVersion = 5,
    /// Metadata quorum: who votes.
    KraftVoters = 6,
}

impl ControlType {
    /// The type with this number.
    pub const fn from_wire(number: i16) -> Option<ControlType> {
        match number {
            0 => Some(ControlType::Abort),
            1 => Some(ControlType::Commit),
            2 => Some(ControlType::LeaderChange),
            3 => Some(ControlType::SnapshotHeader),
            4 => Some(ControlType::SnapshotFooter),
            5 => Some(ControlType::KraftVersion),
            6 => Some(ControlType::KraftVoters),
            _ => None,
        }
    }
}

/// A control record, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRecord<'a> {
    /// The producer's open transaction on this partition is aborted.
    Abort {
        /// Epoch of the transaction coordinator that decided.
        coordinator_epoch: i32,
    },
    /// The producer's open transaction on this partition is committed.
    Commit {
        /// Epoch of the transaction coordinator that decided.
        coordinator_epoch: i32,
    },
    /// A record of the metadata quorum; its value is a message of its own.
    Quorum {
        /// Which.
        control_type: ControlType,
        /// The encoded message.
        value: &'a [u8],
    },
    /// A type of a later version: to be skipped.
    Unknown {
        /// Its number.
        number: i16,
    },
}

/// A control record that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlRecordError {
    /// The key is missing or shorter than version and type.
    #[error("the control record's key is shorter than four bytes")]
    Key,
    /// The marker's value is missing or shorter than version and epoch.
    #[error("the transaction marker's value is shorter than six bytes")]
    Value,
}

impl<'a> ControlRecord<'a> {
    /// Reads the (only) record of a control batch.
    pub fn parse(record: &RecordView<'a>) -> Result<ControlRecord<'a>, ControlRecordError> {
        let key = record
            .key
            .and_then(<[u8]>::first_chunk::<4>)
            .ok_or(ControlRecordError::Key)?;
        let number = i16::from_be_bytes([key[2], key[3]]);
        let value = record.value.unwrap_or_default();
        match ControlType::from_wire(number) {
            None => Ok(ControlRecord::Unknown { number }),
            Some(ControlType::Abort) => Ok(ControlRecord::Abort {
                coordinator_epoch: marker_epoch(value)?,
            }),
            Some(ControlType::Commit) => Ok(ControlRecord::Commit {
                coordinator_epoch: marker_epoch(value)?,
            }),
            Some(control_type) => Ok(ControlRecord::Quorum {
                control_type,
                value,
            }),
        }
    }
}

fn marker_epoch(value: &[u8]) -> Result<i32, ControlRecordError> {
    let value = value.first_chunk::<6>().ok_or(ControlRecordError::Value)?;
    Ok(i32::from_be_bytes([value[2], value[3], value[4], value[5]]))
}

/// What to write as a control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlBatch<'a> {
    /// The end of a transaction.
    Marker {
        /// Whose transaction.
        producer_id: ProducerId,
        /// In which of its lives.
        producer_epoch: ProducerEpoch,
        /// Commit, otherwise abort.
        commit: bool,
        /// Epoch of the coordinator that decided.
        coordinator_epoch: i32,
    },
    /// A record of the metadata quorum.
    Quorum {
        /// Which.
        control_type: ControlType,
        /// The encoded message.
        value: &'a [u8],
    },
}

/// A control batch: one uncompressed record that consumes one offset. Base offset 0, to be stamped.
pub fn control_batch(content: ControlBatch<'_>, timestamp: Timestamp) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None).control();
    match content {
        ControlBatch::Marker {
            producer_id,
            producer_epoch,
            commit,
            coordinator_epoch,
        } => {
            builder = builder
                .transactional()
                .producer_without_sequence(producer_id, producer_epoch);
            let control_type = if commit {
                ControlType::Commit
            } else {
                ControlType::Abort
            };
            let mut value = [0; 6];
            value[..2].copy_from_slice(&MARKER_VERSION.to_be_bytes());
            value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
            builder.push(timestamp, Some(&key(control_type)), Some(&value), &[]);
        }
        ControlBatch::Quorum {
            control_type,
            value,
        } => {
            builder.push(timestamp, Some(&key(control_type)), Some(value), &[]);
        }
    }
    builder.finish(&mut Compressor::default())
}

fn key(control_type: ControlType) -> [u8; 4] {
    let [v0, v1] = KEY_VERSION.to_be_bytes();
    let [t0, t1] = (control_type as i16).to_be_bytes();
    [v0, v1, t0, t1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchView, Decompressor};

    #[test]
    fn markers_round_trip() {
        for commit in [true, false] {
            let bytes = control_batch(
                ControlBatch::Marker {
                    producer_id: ProducerId::new(7),
                    producer_epoch: ProducerEpoch::new(3),
                    commit,
                    coordinator_epoch: 11,
                },
                Timestamp::from_millis(5),
            );
            let batch = BatchView::parse(&bytes).unwrap();
            assert!(batch.is_control() && batch.is_transactional() && batch.is_crc_valid());
            assert_eq!(batch.producer(), None);
            let producer = (ProducerId::new(7), ProducerEpoch::new(3));
            assert_eq!(batch.producer_id_and_epoch(), Some(producer));
            let mut decompressor = Decompressor::default();
            let records: Vec<_> = batch.records(&mut decompressor).unwrap().collect();
            assert_eq!(records.len(), 1);
            let expected = if commit {
                ControlRecord::Commit {
                    coordinator_epoch: 11,
                }
            } else {
                ControlRecord::Abort {
                    coordinator_epoch: 11,
                }
            };
            assert_eq!(
                ControlRecord::parse(records[0].as_ref().unwrap()),
                Ok(expected)
            );
        }
    }

    #[test]
    fn short_keys_and_values_are_refused() {
        let record = |key: Option<&'static [u8]>, value: Option<&'static [u8]>| RecordView {
            offset: ottla_types::Offset::ZERO,
            timestamp: Timestamp::from_millis(0),
            key,
            value,
            headers: crate::Headers::EMPTY,
        };
        let parse = |key, value| ControlRecord::parse(&record(key, value));
        assert_eq!(parse(None, None), Err(ControlRecordError::Key));
        assert_eq!(parse(Some(&[0, 0, 0]), None), Err(ControlRecordError::Key));
        assert_eq!(
            parse(Some(&[0, 0, 0, 1]), Some(&[0; 5])),
            Err(ControlRecordError::Value)
        );
        assert_eq!(
            parse(Some(&[0, 0, 0, 9]), None),
            Ok(ControlRecord::Unknown { number: 9 })
        );
        let footer = ControlRecord::Quorum {
            control_type: ControlType::SnapshotFooter,
            value: b"x",
        };
        assert_eq!(parse(Some(&[0, 0, 0, 4]), Some(b"x")), Ok(footer));
    }
}
