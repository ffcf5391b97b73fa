use crate::log_record::LogRecord;
use crate::machine::{Effects, Machine, ReplayError, Waiter, WriteNumber};
use ottla_records::{BatchBuilder, BatchError, Codec, Compressor, Decompressor, batches};
use ottla_types::{Mono, Now, Offset, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The partition a shard writes to.
pub trait Log {
    /// Whether an append would be taken now. After `Ok` one append of any size that
    /// [`ShardOptions`] allows is expected to succeed.
    fn admit(&mut self) -> Result<(), Refusal>;

    /// Appends one batch; returns the offset after it.
    fn append(&mut self, batch: &[u8], now: Now) -> Result<Offset, Refusal>;
}

/// Why nobody was asked, or why it is not known what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The shard still reads its log.
    Loading,
    /// This is not, or no longer, the place to ask.
    NotCoordinator,
    /// The log takes no appends at the moment. Nothing happened.
    Unavailable,
    /// What the reply depends on was not committed in time. It may still be.
    TimedOut,
}

/// A reply that may go, or why there is none.
pub type Answer<R> = (Waiter, Result<R, Refusal>);

/// How a shard writes.
#[derive(Clone, Copy, Debug)]
pub struct ShardOptions {
    /// Compression of its batches.
    pub codec: Codec,
    /// Batches of records that may be divided are not much larger, in bytes.
    pub divided_batch_bytes: usize,
    /// How long a reply waits for what it depends on (`offsets.commit.timeout.ms`).
    pub commit_timeout: Duration,
}

impl Default for ShardOptions {
    fn default() -> ShardOptions {
        ShardOptions {
            codec: Codec::None,
            divided_batch_bytes: 512 << 10,
            commit_timeout: Duration::from_secs(5),
        }
    }
}

/// How soon due timers are tried again when the log takes no appends.
const TICK_RETRY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next offset to replay; ready from `end` on.
    Loading {
        next: Offset,
        end: Offset,
    },
    /// Everything is replayed. The next tick, which knows the time, makes it serve.
    Replayed,
    Serving,
    /// Leadership, the directory or the meaning of the log is lost. Nothing is asked any more.
    Gone,
}

/// One partition's worth of a coordinator: the machine, who waits for the log, and how far the log is.
///
/// The caller serialises calls, tells it how far the log is committed, and takes its answers after
/// each call. A shard that is [`Shard::is_gone`] has answered everybody and is to be dropped.
///
/// Invariants, checked by [`Shard::check`]: `committed` is at most `last_write`; every reply that
/// waits depends on a write above `committed`; ends of writes rise.
#[derive(Debug)]
pub struct Shard<M: Machine> {
    machine: M,
    options: ShardOptions,
    phase: Phase,
    high_watermark: Offset,
    last_write: WriteNumber,
    /// All writes up to here are below the high watermark; `None` until what was loaded is.
    committed: Option<WriteNumber>,
    /// Writes that are not committed, with the offsets after them.
    writes: VecDeque<(WriteNumber, Offset)>,
    /// Replies by what they depend on, in the order they were made.
    waiting: BTreeMap<(WriteNumber, u64), Waiting<M::Reply>>,
    waiting_count: u64,
    answers: Vec<Answer<M::Reply>>,
    tick_retry: Option<Mono>,
    /// Records that were passed over while loading.
    unreadable_count: u64,
}

#[derive(Debug)]
struct Waiting<R> {
    waiter: Waiter,
    reply: R,
    deadline: Mono,
}

/// A log that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not a batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A batch whose records cannot be read.
    #[error("the batch at offset {offset} cannot be read: {reason}")]
    Records {
        /// Where it begins.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
}

impl<M: Machine> Shard<M> {
    /// A shard that is still to be loaded from the log's offsets `start..end`.
    pub fn new(machine: M, options: ShardOptions, start: Offset, end: Offset) -> Shard<M> {
        Shard {
            machine,
            options,
            phase: Phase::Loading { next: start, end },
            high_watermark: Offset::ZERO,
            last_write: WriteNumber::LOADED,
            committed: None,
            writes: VecDeque::from([(WriteNumber::LOADED, end)]),
            waiting: BTreeMap::new(),
            waiting_count: 0,
            answers: Vec::new(),
            tick_retry: None,
            unreadable_count: 0,
        }
    }

    /// The offset to read on from (inclusive) and where to stop (exclusive), while it loads.
    pub fn load_range(&self) -> Option<(Offset, Offset)> {
        match self.phase {
            Phase::Loading { next, end } => Some((next, end)),
            Phase::Replayed | Phase::Serving | Phase::Gone => None,
        }
    }

    /// Replays whole batches; `next_offset` is where to read on. From the end on it is due to be
    /// ticked, and serves then.
    pub fn load(
        &mut self,
        bytes: &[u8],
        next_offset: Offset,
        decompressor: &mut Decompressor,
    ) -> Result<(), LoadError> {
        let Phase::Loading { next, end } = self.phase else {
            return Ok(()); // Given up meanwhile.
        };
        for batch in batches(bytes) {
            let batch = batch?;
            let offset = batch.base_offset();
            let unreadable = |reason: String| LoadError::Records { offset, reason };
            if batch.is_control() || batch.last_offset() < next {
                continue;
            }
            let records = batch
                .records(decompressor)
                .map_err(|error| unreadable(error.to_string()))?;
            for record in records {
                let record = record.map_err(|error| unreadable(format!("{error:?}")))?;
                let Some(key) = record.key else {
                    continue; // Not a coordinator's.
                };
                if let Err(ReplayError { .. }) = self.machine.replay(key, record.value) {
                    // It is about one thing, of which what came before stays; the others must not do without
                    // a coordinator because of it.
                    self.unreadable_count += 1;
                }
            }
        }
        if next_offset < end {
            assert!(next <= next_offset, "loading never goes back");
            self.phase = Phase::Loading {
                next: next_offset,
                end,
            };
            return Ok(());
        }
        self.phase = Phase::Replayed;
        Ok(())
    }

    fn serve(&mut self, log: &mut dyn Log, now: Now) {
        self.phase = Phase::Serving;
        let mut effects = Effects::new(self.last_write.next());
        self.machine.loaded(now, &mut effects);
        self.carry_out(effects, log, now);
    }

    /// Whether it takes commands.
    pub fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    /// Whether it is to be dropped, and loaded anew if this is still the place.
    pub fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }

    /// Records that loading passed over because their own schemas do not allow them.
    pub fn unreadable_count(&self) -> u64 {
        self.unreadable_count
    }

    /// The state, for metrics and tests.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Carries out a command. Its answer comes among [`Shard::take_answers`], now or later.
    pub fn execute(&mut self, waiter: Waiter, command: M::Command, log: &mut dyn Log, now: Now) {
        let refusal = match self.phase {
            Phase::Loading { .. } | Phase::Replayed => Some(Refusal::Loading),
            Phase::Gone => Some(Refusal::NotCoordinator),
            Phase::Serving if self.machine.may_write(&command) => log.admit().err(),
            Phase::Serving => None,
        };
        if let Some(refusal) = refusal {
            self.answers.push((waiter, Err(refusal)));
            return;
        }
        let mut effects = Effects::new(self.last_write.next());
        self.machine.execute(waiter, command, now, &mut effects);
        self.carry_out(effects, log, now);
    }

    fn carry_out(&mut self, effects: Effects<M::Reply>, log: &mut dyn Log, now: Now) {
        if !effects.records.is_empty() {
            match self.append(&effects, log, now) {
                Ok(end) => {
                    self.last_write = effects.write;
                    self.writes.push_back((effects.write, end));
                }
                Err(_refusal) => {
                    // The state is ahead of the log: it is not the state any more.
                    let asked = effects.replies.into_iter().map(|(waiter, _, _)| waiter);
                    let asked: Vec<Waiter> = asked.collect();
                    self.give_up();
                    for waiter in asked {
                        self.answers.push((waiter, Err(Refusal::NotCoordinator)));
                    }
                    return;
                }
            }
        }
        for (waiter, reply, after) in effects.replies {
            if self.committed.is_some_and(|committed| after <= committed) {
                self.answers.push((waiter, Ok(reply)));
                continue;
            }
            self.waiting_count += 1;
            let waiting = Waiting {
                waiter,
                reply,
                deadline: now.mono.plus(self.options.commit_timeout),
            };
            self.waiting.insert((after, self.waiting_count), waiting);
        }
    }

    fn append(
        &self,
        effects: &Effects<M::Reply>,
        log: &mut dyn Log,
        now: Now,
    ) -> Result<Offset, Refusal> {
        let mut end = Offset::ZERO;
        let size_max = match effects.is_divisible {
            true => self.options.divided_batch_bytes,
            false => usize::MAX,
        };
        let mut records = effects.records.iter().peekable();
        while records.peek().is_some() {
            let mut builder = BatchBuilder::new(self.options.codec);
            while let Some(record) = records.next_if(|record| fits(&builder, record, size_max)) {
                push(&mut builder, record, now.wall);
            }
            end = log.append(&builder.finish(&mut Compressor::default()), now)?;
        }
        Ok(end)
    }

    /// The log is committed up to `high_watermark` (exclusive): lets go what depends on it.
    pub fn committed(&mut self, high_watermark: Offset) {
        if self.phase == Phase::Gone {
            return;
        }
        self.high_watermark = self.high_watermark.max(high_watermark);
        while let Some((number, end)) = self.writes.front().copied() {
            if self.high_watermark < end {
                break;
            }
            self.committed = Some(number);
            self.writes.pop_front();
        }
        let Some(committed) = self.committed else {
            return;
        };
        while let Some(entry) = self.waiting.first_entry() {
            if committed < entry.key().0 {
                break;
            }
            let waiting = entry.remove();
            self.answers.push((waiting.waiter, Ok(waiting.reply)));
        }
    }

    /// When [`Shard::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Mono> {
        match self.phase {
            Phase::Serving => {}
            Phase::Replayed => return Some(Mono::ZERO),
            Phase::Loading { .. } | Phase::Gone => return None,
        }
        let waiting = self.waiting.first_key_value();
        let waiting = waiting.map(|(_, waiting)| waiting.deadline);
        self.machine_deadline().into_iter().chain(waiting).min()
    }

    /// The machine's own, put off while the log takes no appends.
    fn machine_deadline(&self) -> Option<Mono> {
        let at = self.machine.next_deadline()?;
        Some(self.tick_retry.map_or(at, |retry| retry.max(at)))
    }

    /// Does part of what is due.
    pub fn tick(&mut self, log: &mut dyn Log, now: Now) {
        match self.phase {
            Phase::Serving => {}
            Phase::Replayed => return self.serve(log, now),
            Phase::Loading { .. } | Phase::Gone => return,
        }
        while let Some(entry) = self.waiting.first_entry() {
            if now.mono < entry.get().deadline {
                break;
            }
            let waiting = entry.remove();
            self.answers.push((waiting.waiter, Err(Refusal::TimedOut)));
        }
        if self.machine_deadline().is_none_or(|at| now.mono < at) {
            return;
        }
        if log.admit().is_err() {
            self.tick_retry = Some(now.mono.plus(TICK_RETRY));
            return;
        }
        self.tick_retry = None;
        let mut effects = Effects::new(self.last_write.next());
        self.machine.tick(now, &mut effects);
        self.carry_out(effects, log, now);
    }

    /// This is no longer the place to ask: everybody who waits is told so.
    pub fn give_up(&mut self) {
        self.phase = Phase::Gone;
        let waiting = std::mem::take(&mut self.waiting);
        let waiting = waiting.into_values().map(|waiting| waiting.waiter);
        let kept = self.machine.release_waiters();
        for waiter in waiting.chain(kept) {
            self.answers.push((waiter, Err(Refusal::NotCoordinator)));
        }
    }

    /// The process is about to end: who waits for others to do something is sent away. What waits
    /// for the log still comes.
    pub fn send_away(&mut self) {
        for waiter in self.machine.release_waiters() {
            self.answers.push((waiter, Err(Refusal::NotCoordinator)));
        }
    }

    /// Takes what became answerable.
    pub fn take_answers(&mut self) -> Vec<Answer<M::Reply>> {
        std::mem::take(&mut self.answers)
    }

    /// Panics where an invariant does not hold. For tests and the simulator.
    pub fn check(&self) {
        assert!(
            self.committed
                .is_none_or(|committed| committed <= self.last_write)
        );
        let mut ends = self.writes.iter().map(|(_, end)| *end);
        let mut last = ends.next();
        for end in ends {
            assert!(last < Some(end), "ends of writes rise");
            last = Some(end);
        }
        if let Some(((after, _), _)) = self.waiting.first_key_value() {
            assert!(self.committed < Some(*after));
        }
    }
}

/// A batch has at least one record.
fn fits(builder: &BatchBuilder, record: &LogRecord, size_max: usize) -> bool {
    builder.size_in_bytes() <= ottla_records::HEADER_SIZE
        || builder.size_in_bytes() + record.size_max() <= size_max
}

fn push(builder: &mut BatchBuilder, record: &LogRecord, timestamp: Timestamp) {
    builder.push(timestamp, Some(&record.key), record.value.as_deref(), &[]);
}
