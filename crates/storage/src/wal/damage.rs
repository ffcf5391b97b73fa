//! The first bad frame: the end of the journal, or damage to get over.

use super::WalError;
use super::entry::{EntryHeader, ReplayedEntry};
use super::frame::{Frame, FrameHeader, PAGE_SIZE};
use super::replay::{Expected, InspectedFrame, Replay, Replayed};
use super::scan::{Found, Place};
use crate::marker::Marker;
use crate::planted::PlantedBug;
use ottla_types::Lsn;

/// Something the journal lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The body of this entry is unreadable.
    Entry {
        /// Its LSN.
        lsn: Lsn,
        /// What it changed and where.
        header: EntryHeader,
    },
    /// Nothing is known about the entries `first..end`: every partition without later proof of
    /// continuity is suspect.
    Unnamed {
        /// The first one.
        first: Lsn,
        /// The one after the last.
        end: Lsn,
    },
}

impl Replay<'_> {
    /// The first bad frame: the end of the journal (false), or damage to get over (true).
    pub(super) fn pass_bad_frame(
        &mut self,
        here: Option<FrameHeader>,
        bad: Option<Frame>,
    ) -> Result<bool, WalError> {
        let behind = self.next.place.map(|place| {
            let size = match (&bad, here) {
                (Some(frame), _) => frame.header.frame_size(),
                (None, Some(_)) => PAGE_SIZE,
                // What stands here may be a later frame.
                (None, None) => 0,
            };
            Place {
                position: place.position + size,
                ..place
            }
        });
        let found = self.scan.look_on(behind, self.next.seq, self.next.floor)?;
        let epochs = found.iter().map(|it| it.header.ring_epoch);
        self.epoch_seen = epochs.fold(self.epoch_seen, u64::max);
        let synced_seq = found
            .iter()
            .map(|it| it.header.synced_seq)
            .max()
            .unwrap_or(0);
        let is_proven = self.next.seq <= synced_seq || self.next.lsn < self.durable_end;
        if !is_proven || self.options.planted.is(PlantedBug::FirstBadFrameIsEnd) {
            if here.is_some() || !found.is_empty() {
                self.markers.reach(Marker::TornFrameCut);
                self.report.torn_seq = Some(self.next.seq);
            }
            return Ok(false);
        }
        self.markers.reach(Marker::DamageProven);
        self.prove(synced_seq);
        match bad {
            Some(frame) => {
                let place = self.next.place.expect("a frame was read at a place");
                self.show(&frame.header, place, false);
                self.salvage(&frame);
                self.pass(&frame.header);
                Ok(true)
            }
            None => {
                if let Some(place) = self.next.place {
                    (self.on_frame)(&InspectedFrame {
                        file_number: self.scan.files[place.file_index].number,
                        position: place.position,
                        size: 0,
                        frame_seq: self.next.seq,
                        ring_epoch: self.next.floor,
                        synced_seq: 0,
                        first_lsn: self.next.lsn,
                        entries_count: 0,
                        is_valid: false,
                    });
                }
                Ok(self.resume(&found))
            }
        }
    }

    /// Hands over the intact entries of a damaged frame and names the others.
    fn salvage(&mut self, frame: &Frame) {
        if !frame.is_directory_valid() {
            let (first, end) = (frame.header.first_lsn, frame.header.end_lsn());
            return self.lose(Damage::Unnamed { first, end });
        }
        for entry in frame.entries() {
            match entry.record.entry_header() {
                Some(header) if entry.is_valid() => {
                    self.markers.reach(Marker::DamageSalvaged);
                    self.report.entries_count += 1;
                    (self.visitor)(Replayed::Entry(ReplayedEntry {
                        lsn: entry.lsn,
                        header,
                        class: entry.record.class,
                        body: entry.body,
                    }));
                }
                Some(header) => self.lose(Damage::Entry {
                    lsn: entry.lsn,
                    header,
                }),
                None => self.lose(Damage::Unnamed {
                    first: entry.lsn,
                    end: entry.lsn.next(),
                }),
            }
        }
    }

    /// Goes on at the next frame whose header is readable; false when there is none.
    fn resume(&mut self, found: &[Found]) -> bool {
        let first = self.next.lsn;
        match found.iter().min_by_key(|it| it.header.frame_seq) {
            Some(it) => {
                self.lose(Damage::Unnamed {
                    first,
                    end: it.header.first_lsn,
                });
                self.next = Expected {
                    place: Some(it.place),
                    seq: it.header.frame_seq,
                    lsn: it.header.first_lsn,
                    floor: it.header.ring_epoch,
                };
                true
            }
            None => {
                self.lose(Damage::Unnamed {
                    first,
                    end: self.durable_end,
                });
                self.next.lsn = self.durable_end;
                // Frames with entries up to there existed: their numbers must not come again.
                self.next.seq += self.durable_end.get() - first.get();
                false
            }
        }
    }

    pub(super) fn lose(&mut self, damage: Damage) {
        if let Damage::Unnamed { first, end } = damage {
            if end <= first {
                return;
            }
            self.markers.reach(Marker::DamageUnnamed);
        }
        self.report.damage.push(damage);
        (self.visitor)(Replayed::Damage(damage));
    }
}
