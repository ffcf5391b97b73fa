use super::producer::malformed;
use crate::oracle::Violation;
use ottla_protocol::messages::fetch_request::{
    FetchPartition, FetchRequest, FetchTopic, ForgottenTopic,
};
use ottla_protocol::messages::fetch_response::FetchResponse;
use ottla_protocol::{Message, Reader, Records};
use ottla_records::{Decompressor, batches};
use ottla_types::{ErrorCode, Mono, PartitionId, TopicId, TopicPartition};
use std::collections::BTreeMap;

/// A client that reads every partition from its start.
pub(super) struct Consumer {
    pub(super) uses_session: bool,
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    /// Next offset of each partition that it reads.
    pub(super) positions: BTreeMap<TopicPartition, i64>,
    /// What the session was told last.
    told: BTreeMap<TopicPartition, i64>,
    /// The fetch that is on its way.
    pub(super) waiting: Option<i32>,
    /// When it was sent.
    pub(super) sent_at: Mono,
}

/// What a fetch said about one partition.
pub(super) struct Fetched {
    pub(super) partition: TopicPartition,
    pub(super) error: ErrorCode,
    pub(super) high_watermark: i64,
    pub(super) log_start: i64,
    /// Offset and value of every record, in order.
    pub(super) records: Vec<(i64, u64)>,
}

impl Consumer {
    pub(super) fn new(uses_session: bool) -> Consumer {
        Consumer {
            uses_session,
            session_id: 0,
            session_epoch: 0,
            positions: BTreeMap::new(),
            told: BTreeMap::new(),
            waiting: None,
            sent_at: Mono::ZERO,
        }
    }

    /// The next fetch. A session is told only what changed.
    pub(super) fn request(
        &mut self,
        max_wait_ms: i32,
        partition_max_bytes: i32,
    ) -> FetchRequest<'static> {
        let is_incremental = self.uses_session && self.session_epoch > 0;
        let mut topics: BTreeMap<TopicId, Vec<FetchPartition>> = BTreeMap::new();
        for (&id, &position) in &self.positions {
            if is_incremental && self.told.get(&id) == Some(&position) {
                continue;
            }
            topics.entry(id.topic_id).or_default().push(FetchPartition {
                partition: id.partition.get(),
                fetch_offset: position,
                partition_max_bytes,
                ..FetchPartition::default()
            });
        }
        let mut forgotten: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for id in self
            .told
            .keys()
            .filter(|id| !self.positions.contains_key(id))
        {
            if is_incremental {
                forgotten
                    .entry(id.topic_id)
                    .or_default()
                    .push(id.partition.get());
            }
        }
        self.told.clone_from(&self.positions);
        FetchRequest {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: 1 << 20,
            session_id: self.session_id,
            session_epoch: match self.uses_session {
                true => self.session_epoch,
                false => -1,
            },
            topics: topics
                .into_iter()
                .map(|(id, partitions)| FetchTopic {
                    topic_id: id.uuid(),
                    partitions,
                    ..FetchTopic::default()
                })
                .collect(),
            forgotten_topics_data: forgotten
                .into_iter()
                .map(|(id, partitions)| ForgottenTopic {
                    topic_id: id.uuid(),
                    partitions,
                    ..ForgottenTopic::default()
                })
                .collect(),
            ..FetchRequest::default()
        }
    }

    /// The connection broke, or the session did: it begins anew.
    pub(super) fn restart_session(&mut self) {
        self.session_id = 0;
        self.session_epoch = 0;
        self.told.clear();
        self.waiting = None;
    }

    /// Takes in an answer.
    pub(super) fn answered(&mut self, body: &[u8]) -> Result<Vec<Fetched>, Violation> {
        self.waiting = None;
        let mut reader = Reader::new(body);
        let response = FetchResponse::decode(&mut reader, super::FETCH_VERSION);
        let response = response.map_err(|error| malformed("Fetch", &error.to_string()))?;
        if response.error_code != 0 {
            self.restart_session();
            return Ok(Vec::new());
        }
        if self.uses_session && response.session_id != 0 {
            self.session_id = response.session_id;
            self.session_epoch += 1;
        }
        let mut fetched = Vec::new();
        for topic in &response.responses {
            for data in &topic.partitions {
                let bytes = match data.records {
                    Some(Records::Slice(bytes)) => bytes,
                    _ => &[],
                };
                fetched.push(Fetched {
                    partition: TopicPartition {
                        topic_id: TopicId::new(topic.topic_id),
                        partition: PartitionId::new(data.partition_index),
                    },
                    error: ErrorCode::from_wire(data.error_code)
                        .ok_or_else(|| malformed("Fetch", "an unknown error code"))?,
                    high_watermark: data.high_watermark,
                    log_start: data.log_start_offset,
                    records: records(bytes)?,
                });
            }
        }
        Ok(fetched)
    }
}

/// Offset and value of every record in `bytes`: whole batches with right checksums.
pub(super) fn records(bytes: &[u8]) -> Result<Vec<(i64, u64)>, Violation> {
    let mut decompressor = Decompressor::default();
    let mut found = Vec::new();
    for batch in batches(bytes) {
        let batch = batch.map_err(|error| malformed("Fetch", &error.to_string()))?;
        if !batch.is_crc_valid() {
            return Err(Violation {
                invariant: "damage is reported, never served",
                detail: format!("a batch at {} with a wrong checksum", batch.base_offset()),
            });
        }
        let records = batch.records(&mut decompressor);
        for record in records.map_err(|error| malformed("Fetch", &error.to_string()))? {
            let record = record.map_err(|error| malformed("Fetch", &error.to_string()))?;
            let value = record.value.and_then(|value| value.get(..8));
            let value = value.and_then(|value| value.try_into().ok());
            let value = value.ok_or_else(|| malformed("Fetch", "a value that nobody sent"))?;
            found.push((record.offset.get(), u64::from_be_bytes(value)));
        }
    }
    Ok(found)
}
