use crate::broker::Broker;
use crate::connection::Connection;
use crate::counter::add;
use crate::fetch::ParkedFetch;
use crate::groups::OFFSETS_TOPIC;
use crate::partition::LocalPartition;
use crate::request::outcome;
use crate::response::{CoreId, Outcome, Token};
use crate::waiting::{
    Core, CoreState, FailedReply, HeldBefore, HeldRequest, JournalPlace, Keep, Parked, ParkedReply,
    PromisedAnswer, Waiter,
};
use ottla_storage::log_dir::DirHealth;
use ottla_storage::partition::Durability;
use ottla_types::{ErrorCode, Lsn, Mono, Now};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// How soon a held request is tried again: a flush or a commit takes about as long.
const CONGESTION_RETRY: Duration = Duration::from_millis(5);

/// Parking is: register, then check again. Who changes something publishes it first and looks for
/// waiters then, so one of the two sees the other.
impl Broker {
    /// Parks a request.
    pub(crate) fn park(&self, core: CoreId, parked: Parked, deadline: Option<Mono>) -> Token {
        let mut state = self.cores[core.index()].state.lock();
        self.park_in(core, &mut state, parked, deadline, None)
    }

    /// A token for a request that may have to wait, before it is known whether it must.
    pub(crate) fn reserve(&self, core: CoreId) -> Token {
        let number = self.cores[core.index()].state.lock().next_number();
        Token { core, number }
    }

    /// Parks a request under a reserved token. Notes for it that came before are still unread: only
    /// the core's own thread, which is here, reads them.
    pub(crate) fn park_as(&self, token: Token, parked: Parked, deadline: Mono) {
        let mut state = self.cores[token.core.index()].state.lock();
        state.deadlines.insert(deadline, token.number);
        state.parked.insert(token.number, parked);
        add(&self.metrics.parked_requests, 1);
    }

    /// Parks a request under a reserved token until a note answers it.
    pub(crate) fn park_for_note(&self, token: Token, parked: Parked) {
        let mut state = self.cores[token.core.index()].state.lock();
        state.parked.insert(token.number, parked);
        add(&self.metrics.parked_requests, 1);
    }

    fn park_in(
        &self,
        core: CoreId,
        state: &mut CoreState,
        parked: Parked,
        deadline: Option<Mono>,
        token: Option<Token>,
    ) -> Token {
        let number = token.map_or_else(|| state.next_number(), |token| token.number);
        if let Some(deadline) = deadline {
            state.deadlines.insert(deadline, number);
        }
        state.parked.insert(number, parked);
        add(&self.metrics.parked_requests, 1);
        Token { core, number }
    }

    /// Parks a finished reply until the journals are so far; gives it back if they are already.
    pub(crate) fn park_reply(
        &self,
        core: CoreId,
        mut reply: ParkedReply,
        token: Option<Token>,
    ) -> Result<Token, ParkedReply> {
        let Some(place) = self.next_place(&mut reply) else {
            return Err(reply);
        };
        let deadline = reply.deadline;
        let owner = &self.cores[core.index()];
        let mut state = owner.state.lock();
        let token = self.park_in(core, &mut state, Parked::Reply(reply), deadline, token);
        state.wait(place, Waiter::Reply(token.number));
        publish_awaited(owner, &state);
        drop(state);
        self.check_again(core, place);
        Ok(token)
    }

    /// Whether appended bytes wait for memory or for the journal: producers must wait with them.
    pub(crate) fn is_congested(&self) -> bool {
        self.log_dirs.iter().any(|log_dir| log_dir.is_congested())
    }

    /// Keeps a request until there is room for it and its large batches are written, and at most until
    /// `give_up`: then it is carried out with [`HeldBefore::is_over`], to be refused.
    pub(crate) fn hold(
        &self,
        connection: &Connection,
        frame: &[u8],
        keep: Keep,
        now: Now,
    ) -> Token {
        let retry = now.mono.plus(CONGESTION_RETRY);
        let held = HeldRequest {
            frame: frame.to_vec(),
            connection: connection.copy_for_later(),
            patience: keep.patience,
            large: keep.large,
        };
        add(&self.metrics.held_requests, 1);
        self.held_bytes.fetch_add(held.size(), Ordering::Relaxed);
        let mut state = self.cores[connection.core.index()].state.lock();
        let parked = Parked::Held(held);
        self.park_in(connection.core, &mut state, parked, Some(retry), keep.token)
    }

    /// Carries out a held request, unless there is still no room, or something of it being written, and time left.
    fn retry_held(
        &self,
        core: CoreId,
        owner: &Core,
        number: u64,
        mut held: HeldRequest,
        now: Now,
        out: &mut Vec<(Token, Outcome)>,
    ) {
        let is_over = held.patience.give_up <= now.mono;
        let is_unwanted = held.patience.is_awaited && held.connection.is_gone();
        let must_wait = self.is_congested() || !held.is_settled();
        if must_wait && !is_over && !is_unwanted {
            let mut state = owner.state.lock();
            let retry = now.mono.plus(CONGESTION_RETRY);
            state.deadlines.insert(retry, number);
            state.parked.insert(number, Parked::Held(held));
            return;
        }
        let token = Token { core, number };
        self.held_bytes.fetch_sub(held.size(), Ordering::Relaxed);
        if is_unwanted {
            out.push((token, Outcome::NoReply));
            return;
        }
        self.metrics.parked_requests.fetch_sub(1, Ordering::Relaxed);
        let before = HeldBefore {
            token,
            is_over: must_wait,
            patience: held.patience,
            large: held.large,
        };
        match self.carry_out(&mut held.connection, &held.frame, Some(before), now) {
            Outcome::Parked { .. } => {}
            outcome => {
                add(&self.metrics.parked_requests, 1); // Taken off again with the other answers.
                out.push((token, outcome));
            }
        }
    }

    /// The high watermark of `partition` may move once its journal is at `place`.
    pub(crate) fn await_partition(
        &self,
        core: CoreId,
        partition: &Arc<LocalPartition>,
        place: JournalPlace,
    ) {
        let owner = &self.cores[core.index()];
        let mut state = owner.state.lock();
        state.wait(place, Waiter::Partition(Arc::clone(partition)));
        publish_awaited(owner, &state);
        drop(state);
        self.check_again(core, place);
    }

    /// A commit may have come between the look at the journal and the registration.
    fn check_again(&self, core: CoreId, place: JournalPlace) {
        if self.is_reached(place) || self.is_offline(place.directory) {
            self.wake_core(core);
        }
    }

    /// The next place the reply still has to wait for.
    fn next_place(&self, reply: &mut ParkedReply) -> Option<JournalPlace> {
        while let Some(place) = reply.places.pop() {
            if !self.is_reached(place) {
                return Some(place);
            }
        }
        None
    }

    fn is_reached(&self, place: JournalPlace) -> bool {
        let log_dir = &self.log_dirs[place.directory];
        match place.durability {
            Durability::Fsync => place.lsn <= log_dir.durable_lsn(),
            // What is fsynced was written.
            Durability::Os => place.lsn <= log_dir.written_lsn().max(log_dir.durable_lsn()),
        }
    }

    fn is_offline(&self, directory: usize) -> bool {
        matches!(self.log_dirs[directory].health(), DirHealth::Offline { .. })
    }

    /// The journal of some directory got further, or a directory failed: wakes the cores that wait
    /// for it. Called by the threads that commit; takes no lock.
    pub fn on_commit(&self, _now: Now) {
        self.wake_served(None);
    }

    /// Wakes the cores that a commit serves, apart from the one that is at work.
    fn wake_served(&self, working: Option<CoreId>) {
        fence(Ordering::SeqCst);
        if self.awaits_journal.load(Ordering::Relaxed) {
            self.wake.wake_mover();
        }
        for (index, core) in self.cores.iter().enumerate() {
            if working.is_some_and(|working| working.index() == index) {
                continue;
            }
            let is_served = core.awaited.iter().enumerate().any(|(directory, awaited)| {
                let log_dir = &self.log_dirs[directory];
                let fsynced = awaited.fsynced.load(Ordering::SeqCst);
                let written = awaited.written.load(Ordering::SeqCst);
                let waits = fsynced != u64::MAX || written != u64::MAX;
                fsynced <= log_dir.durable_lsn().get()
                    || written <= log_dir.written_lsn().get()
                    || (waits && self.is_offline(directory))
            });
            if is_served {
                self.wake_core(CoreId::new(index as u16));
            }
        }
    }

    /// The core has appended, in one of the directories, what nobody awaits an fsync of: it writes that itself, when it has done what else there is
    /// to do, and then hears of it.
    pub(crate) fn owe_write(&self, core: CoreId, directory: usize) {
        let owes_write = &self.cores[core.index()].owes_write;
        owes_write[directory].store(true, Ordering::Relaxed);
        self.wake_core(core);
    }

    fn write_owed(&self, core: CoreId, owner: &Core, now: Now) {
        let mut has_written = false;
        // Only where it owes something: a disk that hangs is none of the others' business.
        for (log_dir, owes_write) in self.log_dirs.iter().zip(&owner.owes_write) {
            if owes_write.swap(false, Ordering::Relaxed) {
                has_written |= log_dir.write_unawaited(now);
            }
        }
        if has_written {
            self.wake_served(Some(core));
        }
    }

    /// Gets the core's attention, unless it has been got already.
    pub(crate) fn wake_core(&self, core: CoreId) {
        let is_woken = &self.cores[core.index()].is_woken;
        if !is_woken.swap(true, Ordering::SeqCst) {
            self.wake.wake(core);
        }
    }

    /// Tells the cores of these fetches that something moved.
    pub(crate) fn note_moved(&self, tokens: &[Token]) {
        for token in tokens {
            let core = &self.cores[token.core.index()];
            core.notes.lock().moved.push(token.number);
            self.wake_core(token.core);
        }
    }

    /// Tells a core the answer to one of its requests.
    pub(crate) fn note_answer(&self, token: Token, answer: PromisedAnswer) {
        let core = &self.cores[token.core.index()];
        core.notes.lock().answered.push((token.number, answer));
        self.wake_core(token.core);
    }

    /// The earliest time at which a request of the core runs out of time, or a group of it has something
    /// to do.
    pub fn next_deadline(&self, core: CoreId) -> Option<Mono> {
        let parked = self.cores[core.index()].state.lock().deadlines.next();
        parked
            .into_iter()
            .chain(self.groups.next_deadline(core))
            .min()
    }

    /// Whether that time has come: then [`Broker::completions`] does what is due.
    pub fn tick(&self, core: CoreId, now: Now) -> bool {
        self.next_deadline(core)
            .is_some_and(|deadline| deadline <= now.mono)
    }

    /// Hands out the answers that became possible: what they depend on is durable, data has come,
    /// the controller has answered, or time is up. Called by the core's own thread, after a wake and
    /// at its deadlines.
    pub fn completions(&self, core: CoreId, now: Now, out: &mut Vec<(Token, Outcome)>) {
        let owner = &self.cores[core.index()];
        // From here on a new note wakes again.
        owner.is_woken.store(false, Ordering::SeqCst);
        let before = out.len();
        self.write_owed(core, owner, now);
        self.complete_journal(core, owner, out);
        self.tick_groups(core, now);
        self.complete_notes(core, owner, now, out);
        self.complete_deadlines(core, owner, now, out);
        if self.is_draining() {
            self.complete_fetches(core, owner, now, out);
        }
        let done = (out.len() - before) as u64;
        self.metrics
            .parked_requests
            .fetch_sub(done, Ordering::Relaxed);
    }

    fn complete_journal(&self, core: CoreId, owner: &Core, out: &mut Vec<(Token, Outcome)>) {
        let mut state = owner.state.lock();
        let mut moved = Vec::new();
        let (mut committed, mut failed) = (Vec::new(), Vec::new());
        for directory in 0..self.log_dirs.len() {
            let log_dir = &self.log_dirs[directory];
            let fsynced = log_dir.durable_lsn();
            let written = log_dir.written_lsn().max(fsynced);
            while let Some(waiter) = state.directories[directory].fsynced.pop_reached(fsynced) {
                self.serve_waiter(core, &mut state, waiter, &mut moved, &mut committed, out);
            }
            while let Some(waiter) = state.directories[directory].written.pop_reached(written) {
                self.serve_waiter(core, &mut state, waiter, &mut moved, &mut committed, out);
            }
            if self.is_offline(directory) {
                fail_waiters(core, &mut state, directory, &mut failed, out);
            }
        }
        publish_awaited(owner, &state);
        if self.is_something_reached(&state) {
            // A reply that waits for another journal was put there after that one had got so far.
            self.wake_core(core);
        }
        drop(state);
        self.note_moved(&moved);
        for partition in committed {
            self.groups_committed(&partition);
        }
        for partition in failed {
            self.groups_failed(&partition);
        }
    }

    /// Whether a journal is where somebody waits for it.
    fn is_something_reached(&self, state: &CoreState) -> bool {
        let waits = self.log_dirs.iter().zip(&state.directories);
        waits.into_iter().any(|(log_dir, waits)| {
            let fsynced = log_dir.durable_lsn();
            let written = log_dir.written_lsn().max(fsynced);
            waits.fsynced.first().is_some_and(|lsn| lsn <= fsynced)
                || waits.written.first().is_some_and(|lsn| lsn <= written)
        })
    }

    fn serve_waiter(
        &self,
        core: CoreId,
        state: &mut CoreState,
        waiter: Waiter,
        moved: &mut Vec<Token>,
        committed: &mut Vec<Arc<LocalPartition>>,
        out: &mut Vec<(Token, Outcome)>,
    ) {
        match waiter {
            Waiter::Partition(partition) => {
                moved.extend(partition.announce());
                if is_of_groups(&partition) {
                    push_once(committed, partition);
                }
            }
            Waiter::Reply(number) => {
                // Gone when its time was up before.
                let Some(Parked::Reply(mut reply)) = state.parked.remove(&number) else {
                    return;
                };
                if let Some(place) = self.next_place(&mut reply) {
                    state.parked.insert(number, Parked::Reply(reply));
                    state.wait(place, Waiter::Reply(number));
                    return;
                }
                if let Some(deadline) = reply.deadline {
                    state.deadlines.remove(deadline, number);
                }
                out.push((
                    Token { core, number },
                    Outcome::Reply(reply.into_response()),
                ));
            }
        }
    }

    fn complete_notes(
        &self,
        core: CoreId,
        owner: &Core,
        now: Now,
        out: &mut Vec<(Token, Outcome)>,
    ) {
        let notes = std::mem::take(&mut *owner.notes.lock());
        for (number, answer) in notes.answered {
            let mut state = owner.state.lock();
            let token = Token { core, number };
            match state.parked.remove(&number) {
                Some(Parked::Promised {
                    deadline: Some(deadline),
                }) => state.deadlines.remove(deadline, number),
                Some(_) => {}
                None => continue, // Its time was up before.
            }
            match answer {
                PromisedAnswer::Done(outcome) => out.push((token, outcome)),
                PromisedAnswer::After(mut reply) => match self.next_place(&mut reply) {
                    Some(place) => {
                        if let Some(deadline) = reply.deadline {
                            state.deadlines.insert(deadline, number);
                        }
                        state.parked.insert(number, Parked::Reply(reply));
                        state.wait(place, Waiter::Reply(number));
                        publish_awaited(owner, &state);
                        drop(state);
                        self.check_again(core, place);
                    }
                    None => out.push((token, Outcome::Reply(reply.into_response()))),
                },
            }
        }
        for number in notes.moved {
            self.try_fetch(core, owner, number, now, out);
        }
    }

    fn try_fetch(
        &self,
        core: CoreId,
        owner: &Core,
        number: u64,
        now: Now,
        out: &mut Vec<(Token, Outcome)>,
    ) {
        let parked = owner.state.lock().parked.remove(&number);
        let Some(Parked::Fetch(fetch)) = parked else {
            // Answered since, or never a fetch.
            if let Some(other) = parked {
                owner.state.lock().parked.insert(number, other);
            }
            return;
        };
        let deadline = fetch.deadline;
        let token = Token { core, number };
        match self.resume_fetch(*fetch, token, now) {
            Ok(handled) => {
                owner.state.lock().deadlines.remove(deadline, number);
                out.push((token, outcome(handled)));
            }
            Err(fetch) => {
                let mut state = owner.state.lock();
                if fetch.deadline != deadline {
                    state.deadlines.remove(deadline, number);
                    state.deadlines.insert(fetch.deadline, number);
                }
                state.parked.insert(number, Parked::Fetch(fetch));
            }
        }
    }

    fn complete_deadlines(
        &self,
        core: CoreId,
        owner: &Core,
        now: Now,
        out: &mut Vec<(Token, Outcome)>,
    ) {
        loop {
            let (number, parked) = {
                let mut state = owner.state.lock();
                let Some(number) = state.deadlines.pop_due(now.mono) else {
                    return;
                };
                (number, state.parked.remove(&number))
            };
            let token = Token { core, number };
            match parked {
                Some(Parked::Reply(reply)) => {
                    if !matches!(reply.failure, FailedReply::Same) {
                        self.metrics.error(ErrorCode::RequestTimedOut);
                    }
                    let response = reply.into_failure(ErrorCode::RequestTimedOut);
                    out.push((token, Outcome::Reply(response)));
                }
                Some(Parked::Fetch(fetch)) => {
                    out.push((token, outcome(self.finish_fetch(*fetch, token, now))));
                }
                Some(Parked::Held(held)) => self.retry_held(core, owner, number, held, now, out),
                Some(Parked::Promised { .. }) => match self.give_up(token) {
                    Some(outcome) => out.push((token, outcome)),
                    None => {
                        let waiting = Parked::Promised { deadline: None };
                        owner.state.lock().parked.insert(number, waiting);
                    }
                },
                None => {}
            }
        }
    }

    fn complete_fetches(
        &self,
        core: CoreId,
        owner: &Core,
        now: Now,
        out: &mut Vec<(Token, Outcome)>,
    ) {
        let fetches: Vec<(u64, Box<ParkedFetch>)> = {
            let mut state = owner.state.lock();
            let is_fetch = |_: &u64, parked: &mut Parked| matches!(parked, Parked::Fetch(_));
            let taken = state.parked.extract_if(.., is_fetch);
            let fetches = taken.filter_map(|(number, parked)| match parked {
                Parked::Fetch(fetch) => Some((number, fetch)),
                Parked::Reply(_) | Parked::Promised { .. } | Parked::Held(_) => None,
            });
            fetches.collect()
        };
        for (number, fetch) in fetches {
            owner.state.lock().deadlines.remove(fetch.deadline, number);
            let token = Token { core, number };
            out.push((token, outcome(self.finish_fetch(*fetch, token, now))));
        }
    }
}

fn is_of_groups(partition: &LocalPartition) -> bool {
    &*partition.topic == OFFSETS_TOPIC
}

/// One commit often serves many appends to one partition.
fn push_once(partitions: &mut Vec<Arc<LocalPartition>>, partition: Arc<LocalPartition>) {
    if !partitions
        .iter()
        .any(|other| Arc::ptr_eq(other, &partition))
    {
        partitions.push(partition);
    }
}

/// A failed directory never gets further: what waits for it fails now.
fn fail_waiters(
    core: CoreId,
    state: &mut CoreState,
    directory: usize,
    failed: &mut Vec<Arc<LocalPartition>>,
    out: &mut Vec<(Token, Outcome)>,
) {
    let waits = &mut state.directories[directory];
    let waiters: Vec<Waiter> = waits.fsynced.drain().chain(waits.written.drain()).collect();
    for waiter in waiters {
        let number = match waiter {
            Waiter::Reply(number) => number,
            Waiter::Partition(partition) => {
                if is_of_groups(&partition) {
                    push_once(failed, partition);
                }
                continue;
            }
        };
        let Some(Parked::Reply(reply)) = state.parked.remove(&number) else {
            continue;
        };
        if let Some(deadline) = reply.deadline {
            state.deadlines.remove(deadline, number);
        }
        let response = reply.into_failure(ErrorCode::KafkaStorageError);
        out.push((Token { core, number }, Outcome::Reply(response)));
    }
}

/// Publishes what the core waits for, for the threads that commit.
fn publish_awaited(core: &Core, state: &CoreState) {
    let number = |lsn: Option<Lsn>| lsn.map_or(u64::MAX, Lsn::get);
    for (awaited, waits) in core.awaited.iter().zip(&state.directories) {
        awaited
            .fsynced
            .store(number(waits.fsynced.first()), Ordering::SeqCst);
        awaited
            .written
            .store(number(waits.written.first()), Ordering::SeqCst);
    }
    fence(Ordering::SeqCst);
}
