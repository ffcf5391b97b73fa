//! What the unit tests of this crate share.

use ottla_records::{BatchBuilder, Codec, Compressor, stamp};
use ottla_types::{LeaderEpoch, Offset, Timestamp};

/// A batch of `count` records of 20 bytes, as a leader of `epoch` appended it.
pub(crate) fn batch_at(base: i64, count: i32, epoch: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for index in 0..count {
        let timestamp = Timestamp::from_millis(1_000 + base + i64::from(index));
        builder.push(timestamp, Some(b"key"), Some(&[7; 20]), &[]);
    }
    let mut bytes = builder.finish(&mut Compressor::default());
    stamp(&mut bytes, Offset::new(base), LeaderEpoch::new(epoch));
    bytes.to_vec()
}
