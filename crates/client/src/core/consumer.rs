//! A whole consumer: [`FetcherCore`] reads, [`GroupCore`] says what, and this machine sees to it that
//! offsets are committed behind the records that the application has finished with.
//!
//! The application has finished with what it was given when it comes back for more. So
//! [`ConsumerCore::at_poll`] is where offsets are committed automatically and where partitions may
//! change hands:
//!
//! 1. The group rebalances. The application is at work on partition 3; heartbeats go on.
//! 2. It comes back. The positions are committed, then it is told that partition 3 is revoked
//!    ([`ConsumerCore::app_event`]).
//! 3. [`ConsumerCore::app_event_done`]: only now JoinGroup leaves, and another member may get 3.

use super::call::{Answer, Call, CallId, IsolationLevel};
use super::consumed::ConsumedRecord;
use super::fetcher::{
    FetchFault, FetchFaultKind, FetcherConfig, FetcherCore, OffsetReset, PartitionProgress,
    StartOffset,
};
use super::group::{
    CommitError, CommittedOffsets, GroupConfig, GroupCore, GroupEvent, GroupFault, OffsetsId,
    OffsetsOutcome,
};
use super::group_call::CommittedOffset;
use super::partition_key::PartitionKey;
use ottla_records::Decompressor;
use ottla_types::{Mono, Offset};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How a consumer works.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// How it fetches.
    pub fetcher: FetcherConfig,
    /// Its group, if it has one.
    pub group: Option<GroupConfig>,
    /// `auto.commit.interval.ms`; `None` is `enable.auto.commit=false`.
    pub auto_commit_interval: Option<Duration>,
    /// How long a commit or look-up of offsets may take: `default.api.timeout.ms`.
    pub operation_timeout: Duration,
    /// Largest batch after decompression, in bytes.
    pub batch_bytes_max: usize,
}

/// Why the application gets no records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerFault {
    /// One partition stopped; the others go on.
    #[error("{0}")]
    Partition(#[from] FetchFault),
    /// It cannot be a member of its group.
    #[error("{0}")]
    Group(GroupFault),
    /// It took longer between two polls than it may, and lost its partitions to others. The next poll
    /// joins the group again.
    #[error("the application took longer than {} ms between two polls and lost its partitions", .interval_max.as_millis())]
    PollIntervalExceeded {
        /// `max.poll.interval.ms`.
        interval_max: Duration,
    },
}

/// Where an event of the group is.
#[derive(Debug)]
enum Stage {
    /// There is none, or the application has not come for it.
    Idle,
    /// What is revoked is being committed first.
    Committing(OffsetsId, GroupEvent),
    /// For the application to take.
    ForApp(GroupEvent),
    WithApp(GroupEvent),
}

/// What a commit or look-up is for.
#[derive(Debug)]
enum Purpose {
    /// Of what was assigned: by which [`FetcherCore::hold`].
    Positions(Vec<(PartitionKey, u64)>),
    AutoCommit,
    App,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    Closing,
    /// Nobody says whether the last records were finished with.
    Abandoned,
}

/// See the module's description.
#[derive(Debug)]
pub struct ConsumerCore {
    config: ConsumerConfig,
    fetcher: FetcherCore,
    group: Option<GroupCore>,
    decompressor: Decompressor,
    /// Records of the chunk that is being given out.
    current: VecDeque<ConsumedRecord>,
    stage: Stage,
    purposes: BTreeMap<OffsetsId, Purpose>,
    outcomes: Vec<(OffsetsId, OffsetsOutcome)>,
    kept_topics: BTreeSet<Arc<str>>,
    /// The application waits for records at the moment.
    is_polling: bool,
    /// It has finished with everything it was given.
    has_come_back: bool,
    last_poll: Mono,
    next_auto_commit: Mono,
    auto_commit_under_way: bool,
    /// What was committed automatically last.
    committed: BTreeMap<PartitionKey, Offset>,
    poll_overdue: bool,
    ending: Ending,
    close_error: Option<CommitError>,
}

impl ConsumerCore {
    /// A consumer without partitions, outside of its group.
    pub fn new(config: ConsumerConfig) -> ConsumerCore {
        ConsumerCore {
            fetcher: FetcherCore::new(config.fetcher.clone()),
            group: config.group.clone().map(GroupCore::new),
            decompressor: Decompressor::with_limit(config.batch_bytes_max),
            current: VecDeque::new(),
            stage: Stage::Idle,
            purposes: BTreeMap::new(),
            outcomes: Vec::new(),
            kept_topics: BTreeSet::new(),
            is_polling: false,
            has_come_back: true,
            last_poll: Mono::ZERO,
            next_auto_commit: Mono::ZERO,
            auto_commit_under_way: false,
            committed: BTreeMap::new(),
            poll_overdue: false,
            ending: Ending::Open,
            close_error: None,
            config,
        }
    }

    /// What reads.
    pub fn fetcher(&self) -> &FetcherCore {
        &self.fetcher
    }

    /// What says what to read, if there is a group.
    pub fn group(&self) -> Option<&GroupCore> {
        self.group.as_ref()
    }

    /// Makes sure the topic is looked up, so that its partitions become known.
    pub fn want_topic(&mut self, topic: &Arc<str>, now: Mono) {
        self.fetcher.want_topic(topic, now);
    }

    /// Whether the group decides what is read.
    pub fn is_subscribed(&self) -> bool {
        self.group
            .as_ref()
            .is_some_and(|group| !group.topics().is_empty())
    }

    /// Joins the group to read these topics. False without a group.
    pub fn subscribe(&mut self, topics: BTreeSet<Arc<str>>, now: Mono) -> bool {
        let Some(group) = &mut self.group else {
            return false;
        };
        if !group.topics().is_empty() || !topics.is_empty() {
            self.last_poll = now;
        }
        if topics.is_empty() {
            group.leave();
        } else {
            group.subscribe(topics);
        }
        true
    }

    /// Reads this partition, which no group has to do with.
    pub fn assign(&mut self, key: PartitionKey, start: StartOffset, now: Mono) {
        self.drop_current(&key);
        self.fetcher.assign(key, start, now);
    }

    /// Reads this partition from the offset that the group has committed.
    pub fn assign_committed(&mut self, key: PartitionKey, now: Mono) {
        self.drop_current(&key);
        let number = self.fetcher.hold(key.clone(), now);
        self.look_up(vec![(key, number)]);
    }

    /// Moves a partition that is read. False if it is not.
    pub fn seek(&mut self, key: &PartitionKey, start: StartOffset, now: Mono) -> bool {
        self.drop_current(key);
        self.fetcher.seek(key, start, now)
    }

    /// Reads this partition no more.
    pub fn unassign(&mut self, key: &PartitionKey) {
        self.drop_current(key);
        self.fetcher.unassign(key);
        self.committed.remove(key);
    }

    fn drop_current(&mut self, key: &PartitionKey) {
        self.current.retain(|record| record.partition != *key);
    }

    /// Gives nothing more of a partition out that is not fetched already.
    pub fn pause(&mut self, key: &PartitionKey) {
        self.fetcher.pause(key);
    }

    /// Ends a pause.
    pub fn resume(&mut self, key: &PartitionKey) {
        self.fetcher.resume(key);
    }

    /// How far the application has come; its position is behind the last record it was given.
    pub fn progress(&self, key: &PartitionKey) -> Option<PartitionProgress> {
        let mut progress = self.fetcher.progress(key)?;
        if let Some(next) = self.current.front().filter(|next| next.partition == *key) {
            progress.position = Some(next.offset);
        }
        Some(progress)
    }

    /// The positions of the partitions that have one.
    pub fn positions(&self) -> BTreeMap<PartitionKey, Offset> {
        self.fetcher
            .assignment()
            .filter_map(|key| Some((key.clone(), self.progress(key)?.position?)))
            .collect()
    }

    /// A member that has only just come, or gathers again, does not know yet what it is to read.
    fn knows_its_partitions(&self) -> bool {
        let group = self.group.as_ref();
        !self.is_subscribed() || group.is_some_and(GroupCore::is_stable)
    }

    /// Whether everything was given out that was in the partitions when a broker last answered.
    pub fn is_at_end(&self) -> bool {
        self.current.is_empty()
            && self.knows_its_partitions()
            && self.fetcher.assignment().all(|key| {
                self.fetcher.progress(key).is_some_and(|progress| {
                    let end = match self.config.fetcher.isolation {
                        IsolationLevel::ReadUncommitted => progress.high_watermark,
                        IsolationLevel::ReadCommitted => progress.last_stable_offset,
                    };
                    end.is_some() && progress.position >= end
                })
            })
    }

    /// What stands in the way of reading at the moment, if anything does.
    pub fn waiting_for(&self) -> Option<&str> {
        let group = self.group.as_ref().and_then(GroupCore::waiting_for);
        group.or_else(|| self.fetcher.waiting_for())
    }

    /// The application asks for records: it has finished with those it was given before.
    pub fn at_poll(&mut self, now: Mono) {
        self.is_polling = true;
        self.has_come_back = true;
        self.last_poll = now;
        self.auto_commit(now);
    }

    /// It works, or has given up asking.
    pub fn poll_left(&mut self, now: Mono) {
        self.is_polling = false;
        self.last_poll = now;
    }

    /// The next records, at most so many, of one partition. None while partitions change hands.
    pub fn take_records(&mut self, max: usize) -> Result<Vec<ConsumedRecord>, ConsumerFault> {
        self.take_fault()?;
        let rebalancing = self.group.as_ref().is_some_and(GroupCore::has_event);
        if rebalancing || !matches!(self.stage, Stage::Idle) {
            return Ok(Vec::new());
        }
        self.fill_current()?;
        let count = self.current.len().min(max);
        if count > 0 {
            self.has_come_back = false;
            self.is_polling = false;
        }
        if count == self.current.len() {
            return Ok(std::mem::take(&mut self.current).into());
        }
        Ok(self.current.drain(..count).collect())
    }

    fn take_fault(&mut self) -> Result<(), ConsumerFault> {
        if std::mem::take(&mut self.poll_overdue)
            && let Some(group) = &self.config.group
        {
            let interval_max = group.poll_interval_max;
            return Err(ConsumerFault::PollIntervalExceeded { interval_max });
        }
        match self.group.as_ref().and_then(GroupCore::fault) {
            Some(fault) => Err(ConsumerFault::Group(fault.clone())),
            None => Ok(()),
        }
    }

    fn fill_current(&mut self) -> Result<(), ConsumerFault> {
        while self.current.is_empty() {
            let Some(chunk) = self.fetcher.take_chunk() else {
                break;
            };
            let isolation = self.config.fetcher.isolation;
            let mut records = Vec::new();
            let read = chunk.records(isolation, &mut self.decompressor, &mut records);
            self.current = records.into();
            if let Err(error) = read {
                self.fetcher.on_unreadable(&chunk, error.to_string());
                break;
            }
        }
        // What was readable before the fault goes first.
        if self.current.is_empty()
            && let Some(fault) = self.fetcher.take_fault()
        {
            return Err(fault.into());
        }
        Ok(())
    }

    /// Begins to commit these offsets; the outcome comes from [`ConsumerCore::take_outcomes`].
    pub fn commit(
        &mut self,
        offsets: BTreeMap<PartitionKey, CommittedOffset>,
        now: Mono,
    ) -> Result<OffsetsId, CommitError> {
        let give_up_at = now.plus(self.config.operation_timeout);
        let group = self.group.as_mut().ok_or(CommitError::NoGroup)?;
        let id = group.commit(offsets, give_up_at);
        self.purposes.insert(id, Purpose::App);
        Ok(id)
    }

    /// Begins to look up what the group has committed.
    pub fn fetch_committed(
        &mut self,
        partitions: impl IntoIterator<Item = PartitionKey>,
        now: Mono,
    ) -> Result<OffsetsId, CommitError> {
        let give_up_at = now.plus(self.config.operation_timeout);
        let group = self.group.as_mut().ok_or(CommitError::NoGroup)?;
        let id = group.fetch_committed(partitions, Some(give_up_at));
        self.purposes.insert(id, Purpose::App);
        Ok(id)
    }

    /// The outcomes of the application's commits and look-ups since the last time.
    pub fn take_outcomes(&mut self) -> Vec<(OffsetsId, OffsetsOutcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// The event to be told to the application now.
    pub fn app_event(&mut self) -> Option<GroupEvent> {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::ForApp(event) => {
                self.stage = Stage::WithApp(event.clone());
                Some(event)
            }
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    /// The application has done what it wanted about the event.
    pub fn app_event_done(&mut self) {
        let Stage::WithApp(event) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return;
        };
        match &event {
            GroupEvent::Revoked(keys) | GroupEvent::Lost(keys) => {
                for key in keys {
                    self.unassign(key);
                }
            }
            GroupEvent::Assigned(keys) => {
                // The application may have said where to begin.
                let held = keys.iter().filter_map(|key| {
                    let number = self.fetcher.held_number(key)?;
                    Some((key.clone(), number))
                });
                let held = held.collect();
                self.look_up(held);
            }
        }
        if let Some(group) = &mut self.group {
            group.event_done();
        }
    }

    fn look_up(&mut self, held: Vec<(PartitionKey, u64)>) {
        if let Some(group) = &mut self.group
            && !held.is_empty()
        {
            let keys: Vec<PartitionKey> = held.iter().map(|(key, _)| key.clone()).collect();
            let id = group.fetch_committed(keys, None);
            self.purposes.insert(id, Purpose::Positions(held));
        }
    }

    /// Leaves the group after committing what the application has finished with: everything.
    pub fn close(&mut self, now: Mono) {
        self.end(Ending::Closing, now);
    }

    /// Leaves the group; commits nothing.
    pub fn abandon(&mut self, now: Mono) {
        self.end(Ending::Abandoned, now);
    }

    fn end(&mut self, ending: Ending, now: Mono) {
        if self.ending != Ending::Open {
            return;
        }
        self.ending = ending;
        if ending == Ending::Closing && !self.is_subscribed() {
            self.next_auto_commit = Mono::ZERO;
            self.has_come_back = true;
            self.auto_commit(now);
        }
        if let Some(group) = &mut self.group {
            group.leave();
        }
    }

    /// Whether it is being closed.
    pub fn is_ending(&self) -> bool {
        self.ending != Ending::Open
    }

    /// Whether records are there to be given out.
    pub fn has_records(&self) -> bool {
        !self.current.is_empty()
    }

    /// Why the last offsets were not committed while closing, if so.
    pub fn take_close_error(&mut self) -> Option<CommitError> {
        self.close_error.take()
    }

    fn on_commit_failed(&mut self, error: &CommitError) {
        tracing::warn!(%error, "offsets were not committed automatically");
        self.committed.clear();
        if self.ending == Ending::Closing {
            self.close_error = Some(error.clone());
        }
    }

    /// Whether everything has been done that [`ConsumerCore::close`] asked for.
    pub fn is_closed(&self) -> bool {
        let outside = self
            .group
            .as_ref()
            .is_none_or(|g| g.is_away() && !g.has_event());
        self.ending != Ending::Open
            && outside
            && matches!(self.stage, Stage::Idle)
            && !self.auto_commit_under_way
            && !self.purposes.values().any(|p| matches!(p, Purpose::App))
    }

    /// Adds the calls that are to be made now.
    pub fn poll(&mut self, now: Mono, calls: &mut Vec<Call>) {
        self.watch_application(now);
        if self.is_polling {
            self.auto_commit(now);
        }
        // An event done at once may bring the next.
        while self.take_step(now) {}
        if let Some(group) = &mut self.group {
            let topics = group.topics_to_know();
            if topics != self.kept_topics {
                self.kept_topics = topics.clone();
                self.fetcher.keep_topics(topics, now);
            }
            group.poll(now, self.fetcher.metadata(), calls);
            self.take_group_outcomes(now);
        }
        if self.ending == Ending::Open {
            self.fetcher.poll(now, calls);
        }
    }

    /// The application must come back in time, or others get its partitions.
    fn watch_application(&mut self, now: Mono) {
        let subscribed = self.is_subscribed();
        let Some(group) = &mut self.group else { return };
        let overdue_at = self.last_poll.plus(group.config().poll_interval_max);
        if subscribed && !self.is_polling && overdue_at <= now && group.member().is_some() {
            group.on_poll_overdue(now);
            self.poll_overdue = true;
        }
    }

    /// Brings the group's event one stage further. False if there is nothing to do.
    fn take_step(&mut self, now: Mono) -> bool {
        let here = self.is_polling || self.has_come_back || self.ending != Ending::Open;
        if !matches!(self.stage, Stage::Idle) || !here {
            return false;
        }
        let Some(event) = self.group.as_mut().and_then(GroupCore::take_event) else {
            return false;
        };
        let commits =
            self.config.auto_commit_interval.is_some() && self.ending != Ending::Abandoned;
        self.stage = match event {
            GroupEvent::Revoked(keys) => {
                let offsets = self.offsets_of(|key| keys.contains(key));
                let event = GroupEvent::Revoked(keys);
                match &mut self.group {
                    Some(group) if commits && !offsets.is_empty() => {
                        let give_up_at = now.plus(self.config.operation_timeout);
                        Stage::Committing(group.commit(offsets, give_up_at), event)
                    }
                    _ => Stage::ForApp(event),
                }
            }
            GroupEvent::Lost(keys) => {
                for key in &keys {
                    self.unassign(key);
                }
                Stage::ForApp(GroupEvent::Lost(keys))
            }
            GroupEvent::Assigned(keys) => {
                for key in &keys {
                    self.fetcher.hold(key.clone(), now);
                }
                Stage::ForApp(GroupEvent::Assigned(keys))
            }
        };
        true
    }

    fn offsets_of(
        &self,
        wanted: impl Fn(&PartitionKey) -> bool,
    ) -> BTreeMap<PartitionKey, CommittedOffset> {
        self.positions()
            .into_iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, offset)| (key, CommittedOffset::at(offset)))
            .collect()
    }

    fn auto_commit(&mut self, now: Mono) {
        let Some(interval) = self.config.auto_commit_interval else {
            return;
        };
        if self.next_auto_commit > now
            || self.auto_commit_under_way
            || !self.has_come_back
            || !matches!(self.stage, Stage::Idle)
        {
            return;
        }
        let subscribed = self.is_subscribed();
        let Some(group) = &self.group else { return };
        if (subscribed && !group.is_stable()) || group.has_event() {
            return;
        }
        self.next_auto_commit = now.plus(interval);
        let committed = &self.committed;
        let mut offsets = self.offsets_of(|_| true);
        offsets.retain(|key, position| committed.get(key) != Some(&position.offset));
        if offsets.is_empty() {
            return;
        }
        let reached = offsets.iter().map(|(key, at)| (key.clone(), at.offset));
        self.committed.extend(reached.collect::<Vec<_>>());
        if let Some(group) = &mut self.group {
            let id = group.commit(offsets, now.plus(self.config.operation_timeout));
            self.purposes.insert(id, Purpose::AutoCommit);
            self.auto_commit_under_way = true;
        }
    }

    fn take_group_outcomes(&mut self, now: Mono) {
        let outcomes = self.group.as_mut().map(GroupCore::take_outcomes);
        for (id, outcome) in outcomes.into_iter().flatten() {
            if matches!(&self.stage, Stage::Committing(other, _) if *other == id) {
                self.on_revocation_committed(&outcome);
                continue;
            }
            match self.purposes.remove(&id) {
                Some(Purpose::App) => self.outcomes.push((id, outcome)),
                Some(Purpose::AutoCommit) => {
                    self.auto_commit_under_way = false;
                    if let Err(error) = &outcome {
                        self.on_commit_failed(error);
                    }
                }
                Some(Purpose::Positions(held)) => self.on_positions(&held, outcome, now),
                None => {}
            }
        }
    }

    fn on_revocation_committed(&mut self, outcome: &OffsetsOutcome) {
        if let Err(error) = outcome {
            self.on_commit_failed(error);
        }
        if let Stage::Committing(_, event) = std::mem::replace(&mut self.stage, Stage::Idle) {
            self.stage = Stage::ForApp(event);
        }
    }

    fn on_positions(&mut self, held: &[(PartitionKey, u64)], outcome: OffsetsOutcome, now: Mono) {
        let (found, error) = match outcome {
            Ok(found) => (found, None),
            Err(error) => (CommittedOffsets::new(), Some(error)),
        };
        for (key, number) in held {
            if !self.fetcher.is_held(key, *number) {
                continue;
            }
            if let Some(error) = &error {
                let error = error.clone();
                let kind = FetchFaultKind::CommittedOffsetUnknown { error };
                self.fetcher.stop(key, kind);
                continue;
            }
            let start = match (found.get(key), self.config.fetcher.offset_reset) {
                (Some(Some(committed)), _) => StartOffset::At(committed.offset),
                (_, OffsetReset::Earliest) => StartOffset::Earliest,
                (_, OffsetReset::Latest) => StartOffset::Latest,
                (_, OffsetReset::Fail) => {
                    self.fetcher.stop(key, FetchFaultKind::NoCommittedOffset);
                    continue;
                }
            };
            if let StartOffset::At(offset) = start {
                self.committed.insert(key.clone(), offset);
            }
            self.fetcher.seek(key, start, now);
        }
    }

    /// Takes in how a call ended.
    pub fn on_answer(&mut self, id: CallId, answer: Answer, now: Mono) {
        match &mut self.group {
            Some(group) if GroupCore::is_own(id) => {
                group.on_answer(id, &answer, now);
                self.take_group_outcomes(now);
            }
            _ => self.fetcher.on_answer(id, answer, now),
        }
    }

    /// When [`ConsumerCore::poll`] wants to be called without an answer having come.
    pub fn next_deadline(&self, now: Mono) -> Option<Mono> {
        let mut deadlines = Vec::new();
        if self.ending == Ending::Open {
            deadlines.extend(self.fetcher.next_deadline(now));
        }
        if let Some(group) = &self.group {
            deadlines.extend(group.next_deadline());
            if self.is_subscribed() && !self.is_polling && group.member().is_some() {
                deadlines.push(self.last_poll.plus(group.config().poll_interval_max));
            }
            let commits = self.config.auto_commit_interval.is_some() && !self.auto_commit_under_way;
            if self.is_polling && commits && group.is_stable() {
                deadlines.push(self.next_auto_commit);
            }
        }
        deadlines.into_iter().min()
    }
}

#[cfg(test)]
mod tests;
