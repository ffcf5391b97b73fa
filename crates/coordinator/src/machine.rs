use crate::log_record::LogRecord;
use ottla_types::{Mono, Now};

/// Names somebody who asked and waits for one reply. The caller chooses the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter(u64);

impl Waiter {
    /// The waiter with this number.
    pub const fn new(number: u64) -> Waiter {
        Waiter(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Names one append of a shard, counted from 1; 0 is everything it was loaded from.
/// What a reply depends on is said with it: offsets are only known once the append is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteNumber(u64);

impl WriteNumber {
    /// What the shard was loaded from.
    pub const LOADED: WriteNumber = WriteNumber(0);

    pub(crate) const fn next(self) -> WriteNumber {
        WriteNumber(self.0 + 1)
    }
}

/// The state of a coordinator and its rules.
///
/// Its state includes what is not committed yet, so two commands in a row see each other. What it
/// keeps is in records; what it does not write (who waits, whose time runs) is lost when it is
/// unloaded, and its clients are made to survive that.
pub trait Machine {
    /// What it can be asked.
    type Command;
    /// What it answers.
    type Reply;

    /// Takes in a record of the log, in the order of the log. `None` is a tombstone.
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ReplayError>;

    /// Everything was replayed: from now on time counts.
    fn loaded(&mut self, now: Now, effects: &mut Effects<Self::Reply>);

    /// Whether carrying out `command` can add records. One that cannot is also carried out while
    /// the log takes no appends.
    fn may_write(&self, command: &Self::Command) -> bool;

    /// Carries out `command`: changes the state, adds records, replies now or keeps `waiter`.
    fn execute(
        &mut self,
        waiter: Waiter,
        command: Self::Command,
        now: Now,
        effects: &mut Effects<Self::Reply>,
    );

    /// When [`Machine::tick`] has something to do.
    fn next_deadline(&self) -> Option<Mono>;

    /// Does part of what is due; the next deadline says whether more is.
    fn tick(&mut self, now: Now, effects: &mut Effects<Self::Reply>);

    /// Gives up everybody it kept.
    fn release_waiters(&mut self) -> Vec<Waiter>;
}

/// A record that its own schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record cannot be read: {reason}")]
pub struct ReplayError {
    /// What is wrong.
    pub reason: String,
}

/// What a step of a machine leads to: records for its log, all appended before anything else
/// happens, and replies, each with the write it depends on.
#[derive(Debug)]
pub struct Effects<R> {
    pub(crate) write: WriteNumber,
    pub(crate) records: Vec<LogRecord>,
    pub(crate) is_divisible: bool,
    pub(crate) replies: Vec<(Waiter, R, WriteNumber)>,
}

impl<R> Effects<R> {
    pub(crate) fn new(write: WriteNumber) -> Effects<R> {
        Effects {
            write,
            records: Vec::new(),
            is_divisible: false,
            replies: Vec::new(),
        }
    }

    /// Adds a record; returns the write it is part of.
    pub fn write(&mut self, record: LogRecord) -> WriteNumber {
        self.records.push(record);
        self.write
    }

    /// The records mean something each on its own: they may be spread over several batches.
    pub fn is_divisible(&mut self) {
        self.is_divisible = true;
    }

    /// How many records there are so far.
    pub fn records_count(&self) -> usize {
        self.records.len()
    }

    /// Answers `waiter`, once `after` is committed. Refusals and reads depend on what they show.
    pub fn reply(&mut self, waiter: Waiter, reply: R, after: WriteNumber) {
        self.replies.push((waiter, reply, after));
    }
}
