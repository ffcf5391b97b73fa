//! What a member makes of the answers.

use super::{Coordinator, GroupCore, Pending, Phase};
use crate::core::call::{Answer, BrokerEndpoint, CallFailure, CallId};
use crate::core::group::assignor::Assignor;
use crate::core::group::config::{GroupEvent, GroupFault};
use crate::core::group::member::GroupMember;
use crate::core::group::subscription::{Subscription, decode_assignment};
use crate::core::partition_key::PartitionKey;
use ottla_protocol::messages::{
    FindCoordinatorResponse, HeartbeatResponse, JoinGroupResponse, SyncGroupResponse,
};
use ottla_protocol::{Message, Reader};
use ottla_types::{BrokerId, ErrorCode, Mono};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What an error means for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// Somebody else coordinates the group, or nobody at the moment.
    CoordinatorGone,
    /// The same again after a wait.
    Wait,
    /// Another round.
    Rejoin,
    /// Not of this generation: another round, as the member we were.
    OldGeneration,
    /// Not a member: another round, as somebody new.
    NotMember,
    /// Never.
    Refused,
}

fn verdict(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::None => Verdict::Fine,
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => Verdict::CoordinatorGone,
        ErrorCode::CoordinatorLoadInProgress => Verdict::Wait,
        ErrorCode::RebalanceInProgress => Verdict::Rejoin,
        ErrorCode::IllegalGeneration => Verdict::OldGeneration,
        ErrorCode::UnknownMemberId => Verdict::NotMember,
        code if code.is_retriable() => Verdict::Wait,
        _ => Verdict::Refused,
    }
}

fn code(wire: i16) -> ErrorCode {
    ErrorCode::from_wire(wire).unwrap_or(ErrorCode::UnknownServerError)
}

impl GroupCore {
    /// Takes in how a call ended.
    pub fn on_answer(&mut self, id: CallId, answer: &Answer, now: Mono) {
        match self.pending.remove(&id) {
            None => {}
            Some(Pending::FindCoordinator) => self.on_coordinator(answer, now),
            Some(Pending::Join(attempt)) if attempt == self.attempt => self.on_join(answer, now),
            Some(Pending::Sync(attempt)) if attempt == self.attempt => self.on_sync(answer, now),
            Some(Pending::Heartbeat(attempt)) if attempt == self.attempt => {
                self.heartbeat_under_way = false;
                self.on_heartbeat(answer, now);
            }
            Some(Pending::Join(_) | Pending::Sync(_) | Pending::Heartbeat(_)) => {}
            Some(Pending::Leave) => {
                // Whatever the coordinator thinks of it, we are gone.
                if matches!(self.phase, Phase::Leaving) {
                    self.go_away();
                }
            }
            Some(Pending::Offsets(job)) => self.on_offsets(job, answer, now),
        }
    }

    fn on_coordinator(&mut self, answer: &Answer, now: Mono) {
        let found = match answer {
            Answer::Response { version, body } => coordinator_of(*version, body),
            Answer::Failed(CallFailure::Unsupported { api }) => return self.unsupported(api),
            Answer::Failed(failure) => {
                Err((ErrorCode::NetworkException, Some(failure.to_string())))
            }
            Answer::Sent => Err((ErrorCode::NetworkException, None)),
        };
        match found {
            Ok(endpoint) => {
                self.coordinator = Coordinator::Known(endpoint);
                self.coordinator_failures = 0;
                self.obstacle = None;
                self.last_contact = now;
            }
            Err((code, message)) if code.is_retriable() => {
                let text = message.unwrap_or_else(|| code.name().to_owned());
                self.coordinator_failures = self.coordinator_failures.saturating_add(1);
                let backoff = self.config.backoff;
                let wait = backoff.delay(self.coordinator_failures, &mut self.prng);
                self.coordinator = Coordinator::Unknown(now.plus(wait));
                self.obstacle = Some(format!("no coordinator: {text}"));
            }
            Err((code, message)) => {
                let wait = self.config.backoff.max;
                self.coordinator = Coordinator::Unknown(now.plus(wait));
                self.fail_jobs_refused(code);
                self.refuse("FindCoordinator", code, message);
            }
        }
    }

    /// The coordinator must be looked up again.
    pub(super) fn on_coordinator_gone(&mut self, reason: &str, now: Mono) {
        if let Coordinator::Known(endpoint) = &self.coordinator {
            self.obstacle = Some(format!(
                "{endpoint} no longer coordinates the group: {reason}"
            ));
            self.coordinator = Coordinator::Unknown(now.plus(self.config.backoff.first));
        }
    }

    fn on_join(&mut self, answer: &Answer, now: Mono) {
        let (version, body) = match answer {
            Answer::Response { version, body } => (*version, body),
            other => return self.on_round_lost(other, now),
        };
        let response = match JoinGroupResponse::decode(&mut Reader::new(body), version) {
            Ok(response) => response,
            Err(error) => {
                return self.misunderstood(format!("malformed JoinGroup response: {error}"));
            }
        };
        self.last_contact = now;
        match code(response.error_code) {
            ErrorCode::None => self.on_joined(&response),
            ErrorCode::MemberIdRequired => {
                self.member_id = Arc::from(&*response.member_id);
                self.phase = Phase::JoinWanted;
                self.not_before = now;
            }
            code => self.on_round_refused("JoinGroup", code, now),
        }
    }

    fn on_joined(&mut self, response: &JoinGroupResponse<'_>) {
        let name = response.protocol_name.as_deref().unwrap_or_default();
        let offered = Assignor::from_name(name).filter(|a| self.config.assignors.contains(a));
        let Some(assignor) = offered else {
            return self.misunderstood(format!(
                "the group chose the assignor '{name}', which was not offered"
            ));
        };
        self.member_id = Arc::from(&*response.member_id);
        self.generation = response.generation_id;
        self.assignor = Some(assignor);
        self.led_topics = None;
        self.obstacle = None;
        self.rejoin = None;
        let mut members = Vec::new();
        // A static leader that came back under its name may be told to leave things as they are.
        if response.leader == response.member_id && !response.skip_assignment {
            for member in &response.members {
                let subscription = match Subscription::decode(&member.metadata, assignor) {
                    Ok(subscription) => subscription,
                    Err(error) => {
                        return self.misunderstood(format!(
                            "the subscription of member {} is malformed: {error}",
                            member.member_id
                        ));
                    }
                };
                members.push(GroupMember {
                    member_id: Arc::from(&*member.member_id),
                    instance_id: member.group_instance_id.as_deref().map(Arc::from),
                    subscription,
                });
            }
        }
        // Followers know no members, and send no assignment.
        self.phase = Phase::Assigning(members);
    }

    fn on_sync(&mut self, answer: &Answer, now: Mono) {
        let (version, body) = match answer {
            Answer::Response { version, body } => (*version, body),
            other => return self.on_round_lost(other, now),
        };
        let response = match SyncGroupResponse::decode(&mut Reader::new(body), version) {
            Ok(response) => response,
            Err(error) => {
                return self.misunderstood(format!("malformed SyncGroup response: {error}"));
            }
        };
        self.last_contact = now;
        match code(response.error_code) {
            ErrorCode::None => match decode_assignment(&response.assignment) {
                Ok(assigned) => self.install(assigned, now),
                Err(error) => self.misunderstood(format!("malformed assignment: {error}")),
            },
            code => self.on_round_refused("SyncGroup", code, now),
        }
    }

    fn install(&mut self, assigned: BTreeSet<PartitionKey>, now: Mono) {
        self.failures = 0;
        self.rebalances += 1;
        self.next_heartbeat = now.plus(self.config.heartbeat_interval);
        self.previous = (assigned.clone(), self.generation);
        let revoked: BTreeSet<PartitionKey> = self.owned.difference(&assigned).cloned().collect();
        let added = assigned.difference(&self.owned).cloned().collect();
        if !revoked.is_empty() {
            // Who gets them waits for us to come again without them.
            self.rejoin = Some("partitions were given up that others wait for".to_owned());
            self.events.push_back(GroupEvent::Revoked(revoked));
        }
        self.events.push_back(GroupEvent::Assigned(added));
        self.phase = Phase::Installing;
    }

    /// JoinGroup or SyncGroup got no answer.
    fn on_round_lost(&mut self, answer: &Answer, now: Mono) {
        match answer {
            Answer::Failed(CallFailure::Unsupported { api }) => self.unsupported(api),
            Answer::Failed(failure) => {
                self.on_coordinator_gone(&failure.to_string(), now);
                self.retry_round(now);
            }
            Answer::Sent | Answer::Response { .. } => self.retry_round(now),
        }
    }

    /// JoinGroup or SyncGroup was refused.
    fn on_round_refused(&mut self, api: &'static str, code: ErrorCode, now: Mono) {
        match verdict(code) {
            Verdict::Fine => {}
            Verdict::CoordinatorGone => {
                self.on_coordinator_gone(code.name(), now);
                self.retry_round(now);
            }
            Verdict::Wait | Verdict::Rejoin => self.retry_round(now),
            Verdict::OldGeneration => self.lose_membership(code.name(), now),
            Verdict::NotMember => {
                self.member_id = Arc::from("");
                self.lose_membership(code.name(), now);
            }
            Verdict::Refused => self.refuse(api, code, None),
        }
    }

    fn retry_round(&mut self, now: Mono) {
        self.failures = self.failures.saturating_add(1);
        let wait = self.config.backoff.delay(self.failures, &mut self.prng);
        self.not_before = now.plus(wait);
        self.phase = Phase::JoinWanted;
    }

    fn on_heartbeat(&mut self, answer: &Answer, now: Mono) {
        let (version, body) = match answer {
            Answer::Response { version, body } => (*version, body),
            Answer::Failed(CallFailure::Unsupported { api }) => return self.unsupported(api),
            Answer::Failed(failure) => return self.on_coordinator_gone(&failure.to_string(), now),
            Answer::Sent => return,
        };
        let Ok(response) = HeartbeatResponse::decode(&mut Reader::new(body), version) else {
            return self.on_coordinator_gone("malformed Heartbeat response", now);
        };
        self.on_member_code("Heartbeat", code(response.error_code), now);
    }

    /// What the coordinator's answer to a heartbeat or commit says about us.
    pub(super) fn on_member_code(&mut self, api: &'static str, code: ErrorCode, now: Mono) {
        match verdict(code) {
            Verdict::Fine => {
                self.last_contact = now;
                self.obstacle = None;
            }
            Verdict::CoordinatorGone => self.on_coordinator_gone(code.name(), now),
            Verdict::Wait => {}
            Verdict::Rejoin => {
                self.last_contact = now;
                if matches!(self.phase, Phase::Stable) {
                    self.begin_round("the group is rebalancing".to_owned());
                } else if matches!(self.phase, Phase::Installing) {
                    self.rejoin = Some("the group is rebalancing".to_owned());
                }
            }
            Verdict::OldGeneration => self.lose_membership(code.name(), now),
            Verdict::NotMember => {
                self.member_id = Arc::from("");
                self.lose_membership(code.name(), now);
            }
            Verdict::Refused if code == ErrorCode::FencedInstanceId => {
                self.refuse(api, code, None);
            }
            Verdict::Refused => self.obstacle = Some(format!("{api}: {}", code.name())),
        }
    }

    /// The member stays outside.
    fn refuse(&mut self, api: &'static str, code: ErrorCode, message: Option<String>) {
        self.give_up(GroupFault::Refused {
            group_id: self.config.group_id.clone(),
            api,
            code,
            message,
        });
    }

    pub(super) fn unsupported(&mut self, api: &'static str) {
        self.coordinator = Coordinator::Unknown(Mono::ZERO);
        self.fail_jobs_unsupported(api);
        self.give_up(GroupFault::Unsupported {
            group_id: self.config.group_id.clone(),
            api,
        });
    }

    fn misunderstood(&mut self, reason: String) {
        self.give_up(GroupFault::Misunderstood {
            group_id: self.config.group_id.clone(),
            reason,
        });
    }

    fn give_up(&mut self, fault: GroupFault) {
        let wanted = !matches!(self.phase, Phase::Away | Phase::Leaving);
        self.forget_membership();
        self.events.clear();
        if !self.owned.is_empty() {
            self.events.push_back(GroupEvent::Lost(BTreeSet::new()));
        }
        self.phase = Phase::Away;
        if wanted {
            self.fault = Some(fault);
        }
    }
}

/// Reads a FindCoordinator response about one group.
pub(crate) fn coordinator_of(
    version: i16,
    body: &[u8],
) -> Result<BrokerEndpoint, (ErrorCode, Option<String>)> {
    let malformed = |error: String| {
        let text = format!("malformed FindCoordinator response: {error}");
        (ErrorCode::NetworkException, Some(text))
    };
    let response = FindCoordinatorResponse::decode(&mut Reader::new(body), version)
        .map_err(|error| malformed(error.to_string()))?;
    let (error_code, message, node_id, host, port) = match response.coordinators.first() {
        Some(found) => (
            found.error_code,
            found.error_message.as_deref(),
            found.node_id,
            &*found.host,
            found.port,
        ),
        None => (
            response.error_code,
            response.error_message.as_deref(),
            response.node_id,
            &*response.host,
            response.port,
        ),
    };
    if error_code != 0 {
        return Err((code(error_code), message.map(str::to_owned)));
    }
    let endpoint = BrokerId::from_wire(node_id)
        .zip(u16::try_from(port).ok())
        .map(|(id, port)| BrokerEndpoint {
            id,
            host: Arc::from(host),
            port,
        });
    endpoint.ok_or_else(|| malformed("it names no broker".to_owned()))
}
