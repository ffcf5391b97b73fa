use super::deadlines::Deadlines;
use super::journal_waits::JournalWaits;
use crate::connection::Connection;
use crate::fetch::ParkedFetch;
use crate::partition::LocalPartition;
use crate::response::{Outcome, Response, Token};
use ottla_records::{Scratch, ValidBatch};
use ottla_storage::log_dir::{AppendError, LargeBatch};
use ottla_storage::partition::Durability;
use ottla_types::{ErrorCode, Lsn, Mono};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// What belongs to one thread that serves connections. Its requests park and complete here; other
/// threads only leave notes.
pub(crate) struct Core {
    pub(crate) state: Mutex<CoreState>,
    /// What other threads have to say to this core.
    pub(crate) notes: Mutex<Notes>,
    /// Set from the first note until the core looks: it is woken once per batch of notes.
    pub(crate) is_woken: AtomicBool,
    /// By directory: it appended what it has to bring to the journal itself.
    pub(crate) owes_write: Vec<AtomicBool>,
    /// The lowest numbers this core waits for, so that a commit wakes only whom it serves.
    pub(crate) awaited: Vec<Awaited>,
    /// Reused by validation from batch to batch.
    pub(crate) scratch: Mutex<Scratch>,
}

/// The lowest LSNs that are waited for from one directory; `u64::MAX` for none.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) fsynced: AtomicU64,
    pub(crate) written: AtomicU64,
}

/// The part of a [`Core`] that its own thread works on.
#[derive(Default)]
pub(crate) struct CoreState {
    pub(crate) parked: BTreeMap<u64, Parked>,
    pub(crate) numbers_count: u64,
    pub(crate) deadlines: Deadlines,
    pub(crate) directories: Vec<DirectoryWaits>,
}

/// What a core waits for from one log directory.
#[derive(Default)]
pub(crate) struct DirectoryWaits {
    pub(crate) fsynced: JournalWaits<Waiter>,
    pub(crate) written: JournalWaits<Waiter>,
}

/// Who waits for the journal.
pub(crate) enum Waiter {
    /// A parked reply, by number.
    Reply(u64),
    /// A partition whose high watermark may move.
    Partition(Arc<LocalPartition>),
}

/// A place in a journal that a reply depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalPlace {
    pub(crate) directory: usize,
    pub(crate) durability: Durability,
    pub(crate) lsn: Lsn,
}

/// A request that waits.
pub(crate) enum Parked {
    /// A finished reply that may not leave before the journal is so far.
    Reply(ParkedReply),
    /// A long poll.
    Fetch(Box<ParkedFetch>),
    /// Another room has the request and has promised the answer: the controller, a group's shard, a thread
    /// that may wait for a disk. It comes as a note.
    Promised {
        /// When the client does not wait any longer.
        deadline: Option<Mono>,
    },
    /// A request that is not carried out yet: memory or the journal are full, its large batches are being written, or a
    /// log changes its directory.
    Held(HeldRequest),
}

/// A request that is carried out later, as if it came then.
pub(crate) struct HeldRequest {
    /// What follows the frame's size.
    pub(crate) frame: Vec<u8>,
    pub(crate) connection: Connection,
    pub(crate) patience: HeldPatience,
    /// Its large batches, once they are being written.
    pub(crate) large: Option<Vec<WrittenBatch>>,
}

/// How long a request may be held, and for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldPatience {
    /// Then it is refused if there is still no room.
    pub(crate) give_up: Mono,
    /// Whether the client waits for the answer: when it has gone it will send again, elsewhere, and the
    /// request is dropped. What was sent without acknowledgement is carried out all the same.
    pub(crate) is_awaited: bool,
}

/// How a request is held.
pub(crate) struct Keep {
    pub(crate) patience: HeldPatience,
    /// The token of one that was held before.
    pub(crate) token: Option<Token>,
    /// See [`HeldRequest::large`].
    pub(crate) large: Option<Vec<WrittenBatch>>,
}

/// What a request that was held before has to know when it is carried out.
pub(crate) struct HeldBefore {
    /// Its answer was promised under this.
    pub(crate) token: Token,
    /// There was no room in time, or its large batches were not written: it must be refused.
    pub(crate) is_over: bool,
    /// When that will be.
    pub(crate) patience: HeldPatience,
    /// Its large batches, if it was held for them.
    pub(crate) large: Option<Vec<WrittenBatch>>,
}

/// A batch as the broker compressed it.
pub(crate) type Recompressed = (Vec<u8>, ValidBatch);

/// A batch of a request that is made ready before the request is carried out, because it may be too large for the journal.
pub(crate) struct WrittenBatch {
    /// Which of the request's partitions it is for, counted from 0 over all topics.
    pub(crate) place: usize,
    /// The log directory in which it is written, by its index.
    pub(crate) directory: usize,
    /// What is written, if it is not what was sent: the topic wants it compressed in another way.
    pub(crate) again: Option<Recompressed>,
    /// It is on its way, or the disk takes it not; `None`: it is not too large after all.
    pub(crate) batch: Option<Result<LargeBatch, AppendError>>,
}

impl HeldRequest {
    /// Bytes it keeps in memory, apart from what is being written.
    pub(crate) fn size(&self) -> usize {
        let again = self.large.iter().flatten().flat_map(|it| &it.again);
        self.frame.len() + again.map(|(bytes, _)| bytes.len()).sum::<usize>()
    }

    /// Whether nothing of it is being written any more.
    pub(crate) fn is_settled(&self) -> bool {
        let mut batches = self.large.iter().flatten();
        batches.all(|it| !matches!(&it.batch, Some(Ok(large)) if !large.is_settled()))
    }
}

/// A finished reply and what it waits for.
pub(crate) struct ParkedReply {
    pub(crate) frame: Vec<u8>,
    /// What is said when the journal never gets so far.
    pub(crate) failure: FailedReply,
    /// Places still to be waited for, apart from the one it is registered under.
    pub(crate) places: Vec<JournalPlace>,
    pub(crate) deadline: Option<Mono>,
}

/// What takes the place of a reply whose journal went offline, or whose time is over.
pub(crate) enum FailedReply {
    /// The same frame with an error at these places, where it says "no error" about something that is not certain.
    ErrorsAt(Vec<usize>),
    /// The same frame: what it says was decided elsewhere, and the journal only follows.
    Same,
}

/// What other threads have to say to a core.
#[derive(Default)]
pub(crate) struct Notes {
    /// Parked fetches whose partitions moved.
    pub(crate) moved: Vec<u64>,
    /// Answers that were promised.
    pub(crate) answered: Vec<(u64, PromisedAnswer)>,
}

/// An answer that was promised, and how soon it may leave.
pub(crate) enum PromisedAnswer {
    /// It may go.
    Done(Outcome),
    /// It may go once the journal is so far.
    After(ParkedReply),
}

impl ParkedReply {
    /// The reply as it stands.
    pub(crate) fn into_response(self) -> Response {
        Response::from_bytes(self.frame)
    }

    /// The reply with an error in place of each success that did not become certain.
    pub(crate) fn into_failure(mut self, code: ErrorCode) -> Response {
        match &mut self.failure {
            FailedReply::ErrorsAt(positions) => {
                for position in positions {
                    let field = &mut self.frame[*position..*position + 2];
                    field.copy_from_slice(&code.code().to_be_bytes());
                }
            }
            FailedReply::Same => {}
        }
        self.into_response()
    }
}

impl Core {
    pub(crate) fn new(directories_count: usize) -> Core {
        let mut state = CoreState::default();
        state
            .directories
            .resize_with(directories_count, DirectoryWaits::default);
        Core {
            state: Mutex::new(state),
            notes: Mutex::default(),
            is_woken: AtomicBool::new(false),
            owes_write: (0..directories_count)
                .map(|_| AtomicBool::default())
                .collect(),
            awaited: (0..directories_count).map(|_| Awaited::nothing()).collect(),
            scratch: Mutex::default(),
        }
    }
}

impl Awaited {
    fn nothing() -> Awaited {
        Awaited {
            fsynced: AtomicU64::new(u64::MAX),
            written: AtomicU64::new(u64::MAX),
        }
    }
}

impl CoreState {
    /// The next number of a parked request.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.numbers_count += 1;
        self.numbers_count
    }

    /// Makes `waiter` hear when the journal is at `place`.
    pub(crate) fn wait(&mut self, place: JournalPlace, waiter: Waiter) {
        let waits = &mut self.directories[place.directory];
        let waits = match place.durability {
            Durability::Fsync => &mut waits.fsynced,
            Durability::Os => &mut waits.written,
        };
        waits.push(place.lsn, waiter);
    }
}
