use super::Place;
use super::result::PartitionResult;
use crate::handlers::leader_hints::{LeaderHint, LeaderHints};
use crate::partition::LocalPartition;
use crate::request::Request;
use crate::view::View;
use crate::waiting::JournalPlace;
use ottla_protocol::messages::produce_request::{ProduceRequest, TopicProduceData};
use ottla_protocol::{EncodeError, Records, Writer};
use ottla_records::Scratch;
use ottla_types::{ErrorCode, PartitionId, TopicId, TopicPartition};
use std::sync::Arc;

/// The answer while it is written, partition by partition.
pub(super) struct Answer {
    pub(super) writer: Writer,
    version: i16,
    hints: LeaderHints,
    pub(super) error_positions: Vec<usize>,
    pub(super) places: Vec<JournalPlace>,
    pub(super) has_errors: bool,
}

impl Answer {
    /// An answer of this version that goes on in `writer`.
    pub(super) fn new(writer: Writer, version: i16) -> Answer {
        Answer {
            writer,
            version,
            hints: LeaderHints::new(),
            error_positions: Vec::new(),
            places: Vec::new(),
            has_errors: false,
        }
    }

    /// Carries the request out, partition by partition, by `produce`.
    pub(super) fn write<'v>(
        &mut self,
        message: &ProduceRequest<'_>,
        request: &'v Request<'_>,
        scratch: &mut Scratch,
        produce: impl Fn(
            Place<'_>,
            Option<Records<'_>>,
            &mut Scratch,
        ) -> (Option<&'v Arc<LocalPartition>>, PartitionResult),
    ) -> Result<(), EncodeError> {
        let is_flexible = 9 <= self.version;
        self.writer.length(is_flexible, message.topic_data.len())?;
        let mut numbers = 0..;
        for topic in &message.topic_data {
            match self.version < 13 {
                true => self.writer.string(is_flexible, &topic.name)?,
                false => self.writer.uuid(topic.topic_id),
            }
            self.writer
                .length(is_flexible, topic.partition_data.len())?;
            for data in &topic.partition_data {
                let place = Place {
                    topic,
                    index: data.index,
                    number: numbers.next().expect("it has no end"),
                };
                let (partition, result) = produce(place, data.records, scratch);
                let id = match partition {
                    Some(partition) => Some(partition.id),
                    None => topic_partition(&request.view, topic, data.index),
                };
                request.broker.metrics.error(result.error);
                self.has_errors |= result.error != ErrorCode::None;
                let hint = self.hints.hint(&request.view, id, result.error);
                self.write_partition(data.index, result, hint)?;
            }
            if is_flexible {
                self.writer.no_tagged_fields();
            }
        }
        self.writer.i32(0); // No throttling.
        if is_flexible {
            self.write_endpoints(request)?;
        }
        Ok(())
    }

    fn write_partition(
        &mut self,
        index: i32,
        result: PartitionResult,
        hint: Option<LeaderHint>,
    ) -> Result<(), EncodeError> {
        let version = self.version;
        let is_flexible = 9 <= version;
        let writer = &mut self.writer;
        writer.i32(index);
        if let Some(place) = result.place {
            if result.error == ErrorCode::None {
                self.error_positions.push(writer.buf().len());
            }
            // One place per journal is enough: the highest.
            let is_same = |other: &&mut JournalPlace| {
                other.directory == place.directory && other.durability == place.durability
            };
            match self.places.iter_mut().find(is_same) {
                Some(other) => other.lsn = other.lsn.max(place.lsn),
                None => self.places.push(place),
            }
        }
        writer.i16(result.error.code());
        writer.i64(result.base_offset);
        writer.i64(result.log_append_time);
        if 5 <= version {
            writer.i64(result.log_start_offset);
        }
        if 8 <= version {
            writer.length(is_flexible, result.record_errors.len())?;
            for (place, text) in &result.record_errors {
                writer.i32(*place);
                writer.nullable_string(is_flexible, Some(text))?;
                if is_flexible {
                    writer.no_tagged_fields();
                }
            }
            writer.nullable_string(is_flexible, result.message.as_deref())?;
        }
        if is_flexible {
            let fields = writer.tagged_fields();
            if let Some(hint) = hint.filter(|_| 10 <= version) {
                let field = writer.begin_tagged_field(fields, 0);
                writer.i32(hint.leader_id);
                writer.i32(hint.leader_epoch);
                writer.no_tagged_fields();
                writer.end_tagged_field(field)?;
            }
        }
        Ok(())
    }

    fn write_endpoints(&mut self, request: &Request<'_>) -> Result<(), EncodeError> {
        let reached = &request.connection.reached;
        let addresses = self.hints.addresses(request.broker, &request.view, reached);
        let writer = &mut self.writer;
        let fields = writer.tagged_fields();
        if addresses.is_empty() || self.version < 10 {
            return Ok(());
        }
        let field = writer.begin_tagged_field(fields, 0);
        writer.length(true, addresses.len())?;
        for address in &addresses {
            writer.i32(address.node_id);
            writer.string(true, &address.host)?;
            writer.i32(address.port);
            writer.nullable_string(true, address.rack.as_deref())?;
            writer.no_tagged_fields();
        }
        writer.end_tagged_field(field)
    }
}

/// The partition a request means, also when it is not held here.
fn topic_partition(
    view: &View,
    topic: &TopicProduceData<'_>,
    index: i32,
) -> Option<TopicPartition> {
    let named = match topic.name.is_empty() {
        true => view.image.topic(TopicId::new(topic.topic_id)),
        false => view.image.topic_by_name(&topic.name),
    };
    Some(TopicPartition {
        topic_id: named?.id,
        partition: PartitionId::from_wire(index)?,
    })
}
