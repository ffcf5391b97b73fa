use crate::codec::{CodecError, decode_entry};
use crate::image::Image;
use crate::quorum::{Applied, Ticket};
use crate::quorum_store::StoredSnapshot;
use crate::raft_types::{LogPosition, Membership, Payload, StoredEntry};
use std::sync::Arc;

/// What committed entries come to. Every quorum applies through it, so that all come to the same.
#[derive(Clone, Debug, Default)]
pub struct StateMachine {
    image: Arc<Image>,
    applied: Option<LogPosition>,
    membership_position: Option<LogPosition>,
    membership: Membership,
}

impl StateMachine {
    /// The state at `snapshot`, or before the first entry.
    pub fn new(snapshot: Option<&StoredSnapshot>) -> StateMachine {
        match snapshot {
            None => StateMachine::default(),
            Some(snapshot) => StateMachine {
                image: Arc::clone(&snapshot.image),
                applied: Some(snapshot.position),
                membership_position: Some(snapshot.membership_position),
                membership: snapshot.membership.clone(),
            },
        }
    }

    /// The state.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// The last entry in it.
    pub fn applied(&self) -> Option<LogPosition> {
        self.applied
    }

    /// Who votes, and where that was written.
    pub fn membership(&self) -> (Option<LogPosition>, &Membership) {
        (self.membership_position, &self.membership)
    }

    /// Takes in the next entry. `ticket` is passed on.
    ///
    /// A batch that was decided in another term than it was written in is applied as if it were empty:
    /// it was decided on a state that may not have come about. This is checked here and nowhere else,
    /// so that safety does not hang on any one quorum.
    pub fn apply(
        &mut self,
        entry: &StoredEntry,
        ticket: Option<Ticket>,
    ) -> Result<Applied, CodecError> {
        let position = entry.position;
        let records = match &entry.payload {
            Payload::Blank => Vec::new(),
            Payload::Membership(membership) => {
                self.membership_position = Some(position);
                self.membership = membership.clone();
                Vec::new()
            }
            Payload::Batch(bytes) => {
                let decoded = decode_entry(bytes)?;
                match decoded.term == position.term {
                    true => decoded.records,
                    false => Vec::new(),
                }
            }
        };
        self.image = Arc::new(self.image.apply(position.index, &records)?);
        self.applied = Some(position);
        Ok(Applied {
            index: position.index,
            term: position.term,
            ticket,
            records: records.into(),
            image: Arc::clone(&self.image),
        })
    }

    /// What to store so that the entries up to here are not needed any more; `None` before the first.
    pub fn snapshot(&self) -> Option<StoredSnapshot> {
        Some(StoredSnapshot {
            position: self.applied?,
            membership_position: self.membership_position?,
            membership: self.membership.clone(),
            image: Arc::clone(&self.image),
        })
    }
}
