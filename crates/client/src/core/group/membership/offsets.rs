//! Committing offsets and looking them up, for members and for consumers that only borrow a group's
//! memory.

use super::{GroupCore, Pending};
use crate::core::call::{Answer, BrokerEndpoint, Call, CallFailure, Target};
use crate::core::group::config::CommitError;
use crate::core::group_call::{CommittedOffset, GroupCall};
use crate::core::partition_key::PartitionKey;
use ottla_protocol::messages::{OffsetCommitResponse, OffsetFetchResponse};
use ottla_protocol::{Message, Reader};
use ottla_types::{ErrorCode, LeaderEpoch, Mono, Offset};
use std::collections::BTreeMap;

/// Names a commit or look-up until its outcome has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetsId(u64);

/// The offsets of a group; `None` where nothing was committed.
pub type CommittedOffsets = BTreeMap<PartitionKey, Option<CommittedOffset>>;

/// How a commit (with an empty map) or look-up ended.
pub type OffsetsOutcome = Result<CommittedOffsets, CommitError>;

#[derive(Clone, Debug)]
enum Work {
    Commit {
        offsets: Vec<(PartitionKey, CommittedOffset)>,
        /// The generation that the positions are of; -1 outside of any.
        generation: i32,
    },
    Fetch(Vec<PartitionKey>),
    /// A LeaveGroup whose answer does not matter.
    Goodbye(GroupCall),
}

/// A commit or look-up that has no outcome yet.
#[derive(Clone, Debug)]
pub(super) struct OffsetsJob {
    work: Work,
    /// `None`: never.
    pub(super) give_up_at: Option<Mono>,
    not_before: Mono,
    failures: u32,
    is_under_way: bool,
    obstacle: String,
}

impl OffsetsJob {
    fn new(work: Work, give_up_at: Option<Mono>) -> OffsetsJob {
        OffsetsJob {
            work,
            give_up_at,
            not_before: Mono::ZERO,
            failures: 0,
            is_under_way: false,
            obstacle: "the coordinator is not known yet".to_owned(),
        }
    }

    pub(super) fn goodbye(call: GroupCall) -> OffsetsJob {
        OffsetsJob::new(Work::Goodbye(call), None)
    }

    /// When it is to be sent, if it is not under way.
    pub(super) fn due_at(&self) -> Option<Mono> {
        (!self.is_under_way).then_some(self.not_before)
    }
}

impl GroupCore {
    pub(super) fn new_job(&mut self) -> OffsetsId {
        let id = OffsetsId(self.next_job);
        self.next_job += 1;
        id
    }

    /// Begins to commit offsets. Those of a member are refused once it is no longer of the generation
    /// that it is of now.
    pub fn commit(
        &mut self,
        offsets: BTreeMap<PartitionKey, CommittedOffset>,
        give_up_at: Mono,
    ) -> OffsetsId {
        let id = self.new_job();
        if offsets.is_empty() {
            self.outcomes.push((id, Ok(BTreeMap::new())));
            return id;
        }
        if !self.topics.is_empty() && self.generation < 0 {
            self.outcomes.push((id, Err(CommitError::NotMember)));
            return id;
        }
        let work = Work::Commit {
            offsets: offsets.into_iter().collect(),
            generation: self.generation,
        };
        self.jobs
            .insert(id, OffsetsJob::new(work, Some(give_up_at)));
        id
    }

    /// Begins to look up what was committed. Without `give_up_at` it is tried for ever.
    pub fn fetch_committed(
        &mut self,
        partitions: impl IntoIterator<Item = PartitionKey>,
        give_up_at: Option<Mono>,
    ) -> OffsetsId {
        let id = self.new_job();
        let mut partitions: Vec<PartitionKey> = partitions.into_iter().collect();
        partitions.sort();
        if partitions.is_empty() {
            self.outcomes.push((id, Ok(BTreeMap::new())));
            return id;
        }
        self.jobs
            .insert(id, OffsetsJob::new(Work::Fetch(partitions), give_up_at));
        id
    }

    /// The outcomes since the last time.
    pub fn take_outcomes(&mut self) -> Vec<(OffsetsId, OffsetsOutcome)> {
        std::mem::take(&mut self.outcomes)
    }

    pub(super) fn expire_jobs(&mut self, now: Mono) {
        let expired = |job: &OffsetsJob| job.give_up_at.is_some_and(|at| at <= now);
        for (id, job) in self.jobs.extract_if(.., |_, job| expired(job)) {
            let obstacle = job.obstacle;
            self.outcomes
                .push((id, Err(CommitError::TimedOut { obstacle })));
        }
    }

    pub(super) fn fail_jobs_unsupported(&mut self, api: &'static str) {
        for (id, _) in std::mem::take(&mut self.jobs) {
            self.outcomes
                .push((id, Err(CommitError::Unsupported { api })));
        }
    }

    pub(super) fn fail_jobs_refused(&mut self, code: ErrorCode) {
        for (id, _) in std::mem::take(&mut self.jobs) {
            self.outcomes.push((id, Err(CommitError::Refused { code })));
        }
    }

    pub(super) fn push_jobs(
        &mut self,
        coordinator: &BrokerEndpoint,
        now: Mono,
        calls: &mut Vec<Call>,
    ) {
        let due: Vec<OffsetsId> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.due_at().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let identity = self.identity();
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            let call = match &job.work {
                Work::Commit {
                    offsets,
                    generation,
                } => {
                    if *generation != identity.generation && *generation >= 0 {
                        self.jobs.remove(&id);
                        self.outcomes.push((id, Err(CommitError::NotMember)));
                        continue;
                    }
                    GroupCall::OffsetCommit {
                        member: identity,
                        offsets: offsets.clone(),
                    }
                }
                Work::Fetch(partitions) => GroupCall::OffsetFetch {
                    group_id: identity.group_id,
                    partitions: Some(partitions.clone()),
                    require_stable: self.config.require_stable,
                },
                Work::Goodbye(call) => call.clone(),
            };
            job.is_under_way = true;
            let timeout = self.config.request_timeout;
            let target = Target::Broker(coordinator.clone());
            self.push_call(calls, target, call, Pending::Offsets(id), timeout);
        }
    }

    pub(super) fn on_offsets(&mut self, id: OffsetsId, answer: &Answer, now: Mono) {
        // It may have been given up meanwhile.
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.is_under_way = false;
        if matches!(job.work, Work::Goodbye(_)) {
            self.jobs.remove(&id);
            return;
        }
        let (version, body) = match answer {
            Answer::Response { version, body } => (*version, body),
            Answer::Failed(CallFailure::Unsupported { api }) => {
                self.jobs.remove(&id);
                let error = CommitError::Unsupported { api };
                self.outcomes.push((id, Err(error)));
                return;
            }
            Answer::Failed(failure) => {
                let text = failure.to_string();
                self.on_coordinator_gone(&text, now);
                return self.retry_job(id, text, now);
            }
            Answer::Sent => return self.retry_job(id, "no answer".to_owned(), now),
        };
        let outcome = match &job.work {
            Work::Commit { .. } => committed(version, body),
            Work::Fetch(partitions) => fetched(version, body, partitions),
            Work::Goodbye(_) => return,
        };
        match outcome {
            Ok(offsets) => {
                self.jobs.remove(&id);
                self.outcomes.push((id, Ok(offsets)));
            }
            Err(code) => self.on_offsets_refused(id, code, now),
        }
    }

    fn on_offsets_refused(&mut self, id: OffsetsId, code: ErrorCode, now: Mono) {
        let of_members = self.jobs.get(&id).is_some_and(|job| {
            matches!(
                job.work,
                Work::Commit {
                    generation: 0..,
                    ..
                }
            )
        });
        // What it says about us matters only if it is about us as we are now.
        let current = self.jobs.get(&id).is_some_and(|job| {
            matches!(job.work, Work::Commit { generation, .. } if generation == self.generation)
        });
        let retriable = match code {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.on_coordinator_gone(code.name(), now);
                true
            }
            ErrorCode::UnstableOffsetCommit | ErrorCode::NetworkException => true,
            code => code.is_retriable(),
        };
        if retriable {
            return self.retry_job(id, code.name().to_owned(), now);
        }
        self.jobs.remove(&id);
        let gone = matches!(
            code,
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::FencedInstanceId
        );
        let error = if of_members && gone {
            CommitError::NotMember
        } else {
            CommitError::Refused { code }
        };
        self.outcomes.push((id, Err(error)));
        if of_members && current && (gone || code == ErrorCode::RebalanceInProgress) {
            self.on_member_code("OffsetCommit", code, now);
        }
    }

    fn retry_job(&mut self, id: OffsetsId, obstacle: String, now: Mono) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.failures = job.failures.saturating_add(1);
            let wait = self.config.backoff.delay(job.failures, &mut self.prng);
            job.not_before = now.plus(wait);
            job.obstacle = obstacle;
        }
    }
}

/// The first error of any partition decides.
fn committed(version: i16, body: &[u8]) -> Result<CommittedOffsets, ErrorCode> {
    let response = OffsetCommitResponse::decode(&mut Reader::new(body), version)
        .map_err(|_| ErrorCode::NetworkException)?;
    for part in response.topics.iter().flat_map(|topic| &topic.partitions) {
        match ErrorCode::from_wire(part.error_code).unwrap_or(ErrorCode::UnknownServerError) {
            ErrorCode::None => {}
            code => return Err(code),
        }
    }
    Ok(BTreeMap::new())
}

fn fetched(
    version: i16,
    body: &[u8],
    partitions: &[PartitionKey],
) -> Result<CommittedOffsets, ErrorCode> {
    let response = OffsetFetchResponse::decode(&mut Reader::new(body), version)
        .map_err(|_| ErrorCode::NetworkException)?;
    let mut found = committed_offsets(&response)?;
    for key in partitions {
        found.entry(key.clone()).or_insert(None);
    }
    Ok(found)
}

/// Reads an OffsetFetch response of either form, about one group.
pub(crate) fn committed_offsets(
    response: &OffsetFetchResponse<'_>,
) -> Result<CommittedOffsets, ErrorCode> {
    let check = |wire: i16| match ErrorCode::from_wire(wire) {
        Some(ErrorCode::None) => Ok(()),
        code => Err(code.unwrap_or(ErrorCode::UnknownServerError)),
    };
    let offset = |offset: i64, epoch: i32, metadata: Option<&str>| {
        Offset::from_wire(offset).map(|offset| CommittedOffset {
            offset,
            leader_epoch: LeaderEpoch::from_wire(epoch),
            metadata: metadata.unwrap_or_default().to_owned(),
        })
    };
    let mut found = CommittedOffsets::new();
    check(response.error_code)?;
    for topic in &response.topics {
        for part in &topic.partitions {
            check(part.error_code)?;
            let key = PartitionKey::new(&*topic.name, part.partition_index);
            let metadata = part.metadata.as_deref();
            let committed = offset(part.committed_offset, part.committed_leader_epoch, metadata);
            found.insert(key, committed);
        }
    }
    for group in &response.groups {
        check(group.error_code)?;
        for topic in &group.topics {
            for part in &topic.partitions {
                check(part.error_code)?;
                let key = PartitionKey::new(&*topic.name, part.partition_index);
                let metadata = part.metadata.as_deref();
                let committed =
                    offset(part.committed_offset, part.committed_leader_epoch, metadata);
                found.insert(key, committed);
            }
        }
    }
    Ok(found)
}
