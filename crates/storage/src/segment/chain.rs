//! Walks the batches of a segment file link by link, where no sidecar vouches for them.
//!
//! Each batch must begin where the one before ended, have the next offset and a valid checksum, and not go back
//! in leader epochs. Together these cover what Kafka's checksum leaves out: offset and epoch by the order,
//! length and magic by the checksum that would miss. Only the ends of the chain can be bent: the epoch of its first
//! batch downwards, offset and epoch of its last one upwards.

use ottla_records::BatchView;
use ottla_types::{LeaderEpoch, Offset};

/// Where a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Position of the next batch.
    pub(crate) position: u32,
    /// Offset that the next batch must have at least.
    pub(crate) next_offset: Offset,
    /// Epoch that the next batch must have at least.
    pub(crate) epoch: Option<LeaderEpoch>,
}

/// The batch at this position is not one, or does not belong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrokenLink {
    /// Where it begins in the segment.
    pub(crate) position: u32,
}

/// What stopped a walk without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalkEnd {
    /// Every byte was walked.
    Whole,
    /// The last batch needs this many bytes from its beginning; they are not all there.
    Needs(usize),
}

impl Walk {
    /// From the beginning of a segment.
    #[cfg(test)]
    pub(crate) fn from_base(base_offset: Offset) -> Walk {
        Walk {
            position: 0,
            next_offset: base_offset,
            epoch: None,
        }
    }

    /// Walks over `bytes`, which begin at `self.position`, and shows every whole batch to `visit`.
    pub(crate) fn over<'a>(
        &mut self,
        bytes: &'a [u8],
        mut visit: impl FnMut(u32, BatchView<'a>),
    ) -> Result<WalkEnd, BrokenLink> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let batch = match BatchView::parse(rest) {
                Ok(batch) => batch,
                Err(ottla_records::BatchError::Truncated { size, .. }) => {
                    return Ok(WalkEnd::Needs(size));
                }
                Err(_) => {
                    return Err(BrokenLink {
                        position: self.position,
                    });
                }
            };
            if batch.base_offset() < self.next_offset
                || batch.leader_epoch().is_none()
                || batch.leader_epoch() < self.epoch
                || !batch.is_crc_valid()
            {
                return Err(BrokenLink {
                    position: self.position,
                });
            }
            visit(self.position, batch);
            self.position += batch.size_in_bytes() as u32;
            self.next_offset = batch.last_offset().next();
            self.epoch = batch.leader_epoch();
            rest = &rest[batch.size_in_bytes()..];
        }
        Ok(WalkEnd::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::batch_at;

    #[test]
    fn a_broken_link_is_found_wherever_it_is() {
        let parts: Vec<Vec<u8>> = (0..4).map(|index| batch_at(10 + index * 3, 3, 1)).collect();
        let bytes = parts.concat();
        let mut walk = Walk::from_base(Offset::new(10));
        let mut seen = Vec::new();
        let end = walk.over(&bytes, |position, batch| {
            seen.push((position as usize, batch.base_offset().get()));
        });
        assert_eq!(end, Ok(WalkEnd::Whole));
        assert_eq!(seen.len(), 4);
        assert_eq!(walk.next_offset, Offset::new(22));
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            let mut count = 0;
            let mut walk = Walk::from_base(Offset::new(10));
            let end = walk.over(&broken, |_, _| count += 1);
            // A flip may move offset or epoch of the very last batch upwards, or the first epoch downwards: only
            // who knows the log's end and its epochs sees that.
            let is_last = bytes.len() - parts[3].len() <= bit / 8;
            let is_first_epoch = (12..16).contains(&(bit / 8));
            let may_pass = is_last || is_first_epoch;
            assert!(may_pass || end != Ok(WalkEnd::Whole), "bit {bit}");
            assert!(may_pass || count < 4, "bit {bit}");
        }
    }
}
