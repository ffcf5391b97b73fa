use crate::core::call::{FetchCallPartition, ForgottenPartition};
use crate::core::partition_key::PartitionKey;
use std::collections::BTreeMap;

/// Our side of a fetch session with one broker (KIP-227): what the broker believes we want.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// A fetch is under way.
    pub(super) is_busy: bool,
    /// 0 as long as the broker gave none.
    id: i32,
    /// The epoch of the next request.
    epoch: i32,
    known: BTreeMap<PartitionKey, FetchCallPartition>,
}

/// What to put into the next request.
pub(super) struct Plan {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    pub(super) partitions: Vec<FetchCallPartition>,
    pub(super) forgotten: Vec<ForgottenPartition>,
}

/// "No session, and none wanted."
const SESSIONLESS_EPOCH: i32 = -1;

impl Session {
    /// What to send so that the broker fetches exactly `wanted`.
    pub(super) fn plan<'a>(
        &mut self,
        wanted: impl Iterator<Item = &'a FetchCallPartition>,
        use_sessions: bool,
    ) -> Plan {
        let wanted: BTreeMap<PartitionKey, FetchCallPartition> = wanted
            .map(|part| (part.key.clone(), part.clone()))
            .collect();
        if !use_sessions {
            let partitions = wanted.into_values().collect();
            let forgotten = Vec::new();
            return Plan {
                session_id: 0,
                session_epoch: SESSIONLESS_EPOCH,
                partitions,
                forgotten,
            };
        }
        let recreated = self.known.values().any(|known| {
            wanted
                .get(&known.key)
                .is_some_and(|part| part.topic_id != known.topic_id)
        });
        if recreated {
            // A session keeps topic ids; one that has changed needs a new session.
            self.epoch = 0;
        }
        if self.id == 0 || self.epoch == 0 {
            // A full request with the old id closes the old session.
            let plan = Plan {
                session_id: self.id,
                session_epoch: 0,
                partitions: wanted.values().cloned().collect(),
                forgotten: Vec::new(),
            };
            self.known = wanted;
            return plan;
        }
        let changed = wanted
            .values()
            .filter(|part| self.known.get(&part.key) != Some(part));
        let gone = self
            .known
            .values()
            .filter(|part| !wanted.contains_key(&part.key));
        let plan = Plan {
            session_id: self.id,
            session_epoch: self.epoch,
            partitions: changed.cloned().collect(),
            forgotten: gone
                .map(|part| ForgottenPartition {
                    key: part.key.clone(),
                    topic_id: part.topic_id,
                })
                .collect(),
        };
        self.known = wanted;
        plan
    }

    /// The broker answered; `id` is 0 when it has no session for us.
    pub(super) fn on_response(&mut self, id: i32) {
        if id == 0 {
            self.reset();
        } else {
            self.id = id;
            // After the largest epoch comes 1: 0 would ask for a new session.
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        }
    }

    /// The session is lost.
    pub(super) fn reset(&mut self) {
        self.id = 0;
        self.epoch = 0;
        self.known.clear();
    }

    /// The broker knows the session, but not this epoch: a full request makes a new one.
    pub(super) fn renew(&mut self) {
        self.epoch = 0;
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(partition: i32, fetch_offset: i64) -> FetchCallPartition {
        FetchCallPartition {
            key: PartitionKey::new("t", partition),
            topic_id: None,
            fetch_offset,
            leader_epoch: 0,
            max_bytes: 100,
        }
    }

    fn numbers(plan: &Plan) -> (i32, i32, Vec<(i32, i64)>, Vec<i32>) {
        (
            plan.session_id,
            plan.session_epoch,
            plan.partitions
                .iter()
                .map(|part| (part.key.partition, part.fetch_offset))
                .collect(),
            plan.forgotten
                .iter()
                .map(|part| part.key.partition)
                .collect(),
        )
    }

    #[test]
    fn only_what_changed_is_said_again() {
        let mut session = Session::default();
        let plan = |session: &mut Session, parts: &[FetchCallPartition]| {
            numbers(&session.plan(parts.iter(), true))
        };
        let first = plan(&mut session, &[part(0, 5), part(1, 5)]);
        assert_eq!(first, (0, 0, vec![(0, 5), (1, 5)], vec![]));
        session.on_response(77);
        let second = plan(&mut session, &[part(0, 9), part(1, 5)]);
        assert_eq!(second, (77, 1, vec![(0, 9)], vec![]));
        session.on_response(77);
        assert_eq!(plan(&mut session, &[part(1, 5)]), (77, 2, vec![], vec![0]));
        session.renew();
        assert_eq!(
            plan(&mut session, &[part(1, 5)]),
            (77, 0, vec![(1, 5)], vec![])
        );
        session.on_response(78);
        session.reset();
        assert_eq!(
            plan(&mut session, &[part(1, 5)]),
            (0, 0, vec![(1, 5)], vec![])
        );
        // No session was given: every request is a full one.
        session.on_response(0);
        assert_eq!(
            plan(&mut session, &[part(1, 5)]),
            (0, 0, vec![(1, 5)], vec![])
        );
    }

    #[test]
    fn a_topic_created_again_gets_a_new_session() {
        let mut session = Session::default();
        let with_id = |byte| FetchCallPartition {
            topic_id: Some(ottla_types::TopicId::new(ottla_types::Uuid::from_bytes(
                [byte; 16],
            ))),
            ..part(0, 5)
        };
        session.plan([with_id(1)].iter(), true);
        session.on_response(5);
        let plan = session.plan([with_id(2)].iter(), true);
        assert_eq!(numbers(&plan), (5, 0, vec![(0, 5)], vec![]));
    }
}
