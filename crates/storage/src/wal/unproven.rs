//! Frames that were read and that nothing proves to be on the device.

use super::WalError;
use super::replay::Replay;
use super::scan::Place;
use crate::marker::Marker;
use crate::planted::PlantedBug;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeSet;

/// An intact frame that no later one has proven yet.
pub(super) struct Unproven {
    pub(super) place: Place,
    pub(super) seq: u64,
    pub(super) is_empty: bool,
    pub(super) bytes: Bytes,
}

impl Replay<'_> {
    pub(super) fn prove(&mut self, synced_seq: u64) {
        self.proven_seq = self.proven_seq.max(synced_seq);
        while self
            .unproven
            .front()
            .is_some_and(|it| it.seq <= self.proven_seq)
        {
            self.unproven.pop_front();
        }
    }

    /// Writes every frame again that nothing proves to be on the device, bit for bit, and fsyncs: read from
    /// the page cache it may never have been there, and after a failed fsync its pages are clean although
    /// they are not there. Because the bytes are the same, a crash in the middle leaves what was there.
    ///
    /// When only empty frames are left to write, their bytes are returned instead: they go out together
    /// with the next frame and cost a restart no fsync.
    pub(super) fn rewrite_unproven(&mut self) -> Result<Bytes, WalError> {
        if self.options.planted.is(PlantedBug::UnprovenNotRewritten) {
            return Ok(Bytes::new());
        }
        if self.unproven.iter().all(|it| it.is_empty) {
            return Ok(self.take_prefix());
        }
        let mut written = BTreeSet::new();
        for it in &self.unproven {
            self.markers.reach(Marker::UnprovenRewritten);
            let file = &self.scan.files[it.place.file_index].file;
            file.write_at(it.place.position, &[&it.bytes])?;
            written.insert(it.place.file_index);
        }
        for file_index in written {
            self.scan.files[file_index].file.sync_data()?;
        }
        self.report.rewritten_count = self.unproven.len() as u64;
        self.proven_seq = self.next.seq - 1;
        Ok(Bytes::new())
    }

    /// The empty frames right before the end.
    fn take_prefix(&mut self) -> Bytes {
        let mut prefix = BytesMut::new();
        for it in &self.unproven {
            if self.next.place.map(|place| place.file_index) == Some(it.place.file_index) {
                prefix.extend_from_slice(&it.bytes);
            }
        }
        prefix.freeze()
    }
}
