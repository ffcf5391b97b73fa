use super::link::Frame;
use super::node::Node;
use super::producer::malformed;
use crate::hold;
use crate::oracle::Violation;
use ottla_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use ottla_protocol::messages::create_partitions_response::CreatePartitionsResponse;
use ottla_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_protocol::messages::create_topics_response::CreateTopicsResponse;
use ottla_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use ottla_protocol::messages::delete_records_response::DeleteRecordsResponse;
use ottla_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::messages::delete_topics_response::DeleteTopicsResponse;
use ottla_protocol::{ApiKey, Message, Reader};
use ottla_types::{Prng, TopicId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// What the administrator asked for and was told.
pub(super) struct Topics {
    some_are_os: bool,
    names_made: u64,
    /// Topics that were created for certain, with how many partitions they must have.
    created: BTreeMap<TopicId, usize>,
    /// Topics whose deletion was asked for.
    delete_asked: BTreeSet<TopicId>,
    /// Topics whose deletion was acknowledged.
    deleted: BTreeSet<TopicId>,
    under_way: Option<(i32, Request)>,
}

/// What the administrator waits for.
#[derive(Clone, Debug)]
enum Request {
    Create { partitions: usize },
    Delete(TopicId),
    Grow(TopicId, usize),
    DeleteRecords(TopicPartition),
}

/// What an answer says that others must know.
pub(super) enum Told {
    Nothing,
    RecordsDeleted(TopicPartition, i64),
}

impl Topics {
    pub(super) fn new(some_are_os: bool) -> Topics {
        Topics {
            some_are_os,
            names_made: 0,
            created: BTreeMap::new(),
            delete_asked: BTreeSet::new(),
            deleted: BTreeSet::new(),
            under_way: None,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    pub(super) fn disconnected(&mut self) {
        self.under_way = None;
    }

    /// Whether the deletion of this topic was asked for: nothing is expected of it any more.
    pub(super) fn may_be_gone(&self, id: TopicId) -> bool {
        self.delete_asked.contains(&id)
    }

    /// The administrator's next request, if there is something to do. `ends` are the high watermarks of
    /// the partitions there are; the last value is what DeleteRecords asks for, if it does.
    pub(super) fn request(
        &mut self,
        prng: &mut Prng,
        node: &Node,
        correlation: i32,
        ends: &BTreeMap<TopicPartition, i64>,
    ) -> Option<(Frame, Option<(TopicPartition, i64)>)> {
        let image = node.broker.image();
        let topics: Vec<_> = image.topics().cloned().collect();
        let choice = prng.below(10);
        if topics.len() < 2 || (choice < 3 && topics.len() < 5) {
            return Some((self.create(prng, correlation), None));
        }
        let topic = prng.pick(&topics);
        match choice {
            3 if topics.len() > 2 => {
                self.delete_asked.insert(topic.id);
                self.under_way = Some((correlation, Request::Delete(topic.id)));
                let request = DeleteTopicsRequest {
                    topics: vec![DeleteTopicState {
                        name: None,
                        topic_id: topic.id.uuid(),
                    }],
                    timeout_ms: 5_000,
                    ..DeleteTopicsRequest::default()
                };
                let frame = Frame::new(ApiKey::DeleteTopics, 6, correlation, &request);
                Some((frame, None))
            }
            4 if topic.partitions.len() < 4 => {
                let count = topic.partitions.len() + 1;
                self.under_way = Some((correlation, Request::Grow(topic.id, count)));
                let request = CreatePartitionsRequest {
                    topics: vec![CreatePartitionsTopic {
                        name: topic.name.as_ref().into(),
                        count: count as i32,
                        assignments: None,
                    }],
                    timeout_ms: 5_000,
                    ..CreatePartitionsRequest::default()
                };
                let frame = Frame::new(ApiKey::CreatePartitions, 3, correlation, &request);
                Some((frame, None))
            }
            5..7 => {
                let ends: Vec<_> = ends.iter().filter(|(_, end)| **end > 0).collect();
                let (&id, &end) = *ends.get(prng.below(ends.len().max(1) as u64) as usize)?;
                let topic = image.topic(id.topic_id)?;
                let to = prng.range(1, end as u64 + 1) as i64;
                self.under_way = Some((correlation, Request::DeleteRecords(id)));
                let request = DeleteRecordsRequest {
                    topics: vec![DeleteRecordsTopic {
                        name: topic.name.as_ref().into(),
                        partitions: vec![DeleteRecordsPartition {
                            partition_index: id.partition.get(),
                            offset: to,
                        }],
                    }],
                    timeout_ms: 5_000,
                };
                let frame = Frame::new(ApiKey::DeleteRecords, 2, correlation, &request);
                Some((frame, Some((id, to))))
            }
            _ => None,
        }
    }

    fn create(&mut self, prng: &mut Prng, correlation: i32) -> Frame {
        let partitions = prng.range(1, 3) as usize;
        // Names come again after a deletion.
        let name = format!("t{}", self.names_made % 7);
        self.names_made += 1;
        let mut configs = vec![CreatableTopicConfig {
            name: "file.delete.delay.ms".into(),
            value: Some("1000".into()),
        }];
        if self.some_are_os && prng.chance(1, 2) {
            configs.push(CreatableTopicConfig {
                name: "ottla.durability".into(),
                value: Some("os".into()),
            });
        }
        self.under_way = Some((correlation, Request::Create { partitions }));
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: partitions as i32,
                replication_factor: 1,
                configs,
                ..CreatableTopic::default()
            }],
            timeout_ms: 5_000,
            ..CreateTopicsRequest::default()
        };
        Frame::new(ApiKey::CreateTopics, 7, correlation, &request)
    }

    /// Takes in an answer.
    pub(super) fn answered(&mut self, correlation: i32, body: &[u8]) -> Result<Told, Violation> {
        let Some((expected, request)) = self.under_way.take() else {
            return Ok(Told::Nothing);
        };
        if expected != correlation {
            return Ok(Told::Nothing);
        }
        let mut reader = Reader::new(body);
        let bad =
            |error: ottla_protocol::DecodeError| malformed("an admin answer", &error.to_string());
        match request {
            Request::Create { partitions } => {
                let response = CreateTopicsResponse::decode(&mut reader, 7).map_err(bad)?;
                if let Some(topic) = response
                    .topics
                    .first()
                    .filter(|topic| topic.error_code == 0)
                {
                    self.created
                        .insert(TopicId::new(topic.topic_id), partitions);
                }
            }
            Request::Delete(id) => {
                let response = DeleteTopicsResponse::decode(&mut reader, 6).map_err(bad)?;
                if response
                    .responses
                    .first()
                    .is_some_and(|topic| topic.error_code == 0)
                {
                    self.deleted.insert(id);
                }
            }
            Request::Grow(id, count) => {
                let response = CreatePartitionsResponse::decode(&mut reader, 3).map_err(bad)?;
                if response
                    .results
                    .first()
                    .is_some_and(|topic| topic.error_code == 0)
                {
                    let known = self.created.entry(id).or_default();
                    *known = count.max(*known);
                }
            }
            Request::DeleteRecords(id) => {
                let response = DeleteRecordsResponse::decode(&mut reader, 2).map_err(bad)?;
                let partition = response
                    .topics
                    .first()
                    .and_then(|topic| topic.partitions.first());
                if let Some(done) = partition.filter(|partition| partition.error_code == 0) {
                    return Ok(Told::RecordsDeleted(id, done.low_watermark));
                }
            }
        }
        Ok(Told::Nothing)
    }

    /// What was acknowledged is so, from the moment the node knows its metadata.
    pub(super) fn check(&self, node: &Node) -> Result<(), Violation> {
        if !node.broker.is_ready() {
            return Ok(());
        }
        let image = node.broker.image();
        for (id, &count) in &self.created {
            if self.delete_asked.contains(id) {
                continue;
            }
            let found = image.topic(*id).map_or(0, |topic| topic.partitions.len());
            hold!(
                count <= found,
                "what an admin call changed stays",
                "topic {id} has {found} partitions, {count} were acknowledged"
            );
        }
        for id in &self.deleted {
            hold!(
                image.topic(*id).is_none(),
                "deletions stay done",
                "topic {id} is back"
            );
        }
        Ok(())
    }
}
