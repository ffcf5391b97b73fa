use super::store::Store;
use crate::error::BenchError;
use ottla_protocol::messages::create_topics_request::CreateTopicsRequest;
use ottla_protocol::messages::create_topics_response::{
    CreatableTopicResult, CreateTopicsResponse,
};
use ottla_protocol::messages::fetch_request::FetchRequest;
use ottla_protocol::messages::fetch_response::{
    FetchResponse, FetchableTopicResponse, PartitionData,
};
use ottla_protocol::messages::produce_request::ProduceRequest;
use ottla_protocol::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use ottla_protocol::{ApiKey, Message, Reader, Records, RequestHeader, Writer};
use ottla_records::BatchView;
use ottla_types::ErrorCode;
use std::ops::Range;

/// Room in the file buffer for what stands before the records of a fetch response,
const HEAD_ROOM: usize = 512;
/// and behind them, and for one batch over the limit.
const FETCH_ROOM: usize = 2 << 20;

/// Executes one request of the load generator: adds its answer to `answers`, or gives the stretch of
/// `file_buffer` that is the answer.
pub fn execute(
    store: &Store,
    frame: &[u8],
    answers: &mut Vec<u8>,
    file_buffer: &mut Vec<u8>,
) -> Result<Option<Range<usize>>, BenchError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader)?;
    let version = header.api_version;
    match ApiKey::from_i16(header.api_key) {
        Some(ApiKey::CreateTopics) => {
            let request = CreateTopicsRequest::decode(&mut reader, version)?;
            let mut topics = Vec::new();
            for topic in request.topics {
                store.create(&topic.name, topic.num_partitions)?;
                topics.push(CreatableTopicResult {
                    name: topic.name,
                    ..Default::default()
                });
            }
            let response = CreateTopicsResponse {
                topics,
                ..Default::default()
            };
            answers.extend_from_slice(encode(ApiKey::CreateTopics, &header, &response)?.buf());
            Ok(None)
        }
        Some(ApiKey::Produce) => {
            let request = ProduceRequest::decode(&mut reader, version)?;
            let topic = &request.topic_data[0];
            let data = &topic.partition_data[0];
            let base_offset = append(store, &topic.name, data.index, data.records.as_ref())?;
            let response = ProduceResponse {
                responses: vec![TopicProduceResponse {
                    name: topic.name.clone(),
                    partition_responses: vec![PartitionProduceResponse {
                        index: data.index,
                        base_offset,
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            answers.extend_from_slice(encode(ApiKey::Produce, &header, &response)?.buf());
            Ok(None)
        }
        Some(ApiKey::Fetch) => {
            let request = FetchRequest::decode(&mut reader, version)?;
            fetch(store, &header, &request, file_buffer).map(Some)
        }
        _ => Err(refused(ErrorCode::UnsupportedVersion)),
    }
}

fn append(
    store: &Store,
    topic: &str,
    index: i32,
    records: Option<&Records<'_>>,
) -> Result<i64, BenchError> {
    let Some(Records::Slice(bytes)) = records else {
        return Err(refused(ErrorCode::InvalidRecord));
    };
    let batch = BatchView::parse(bytes).ok().filter(BatchView::is_crc_valid);
    let batch = batch.ok_or_else(|| refused(ErrorCode::CorruptMessage))?;
    let count = i64::from(batch.records_count());
    Ok(store.partition(topic, index, |partition| {
        store.append(partition, bytes, count)
    })?)
}

/// Reads behind the room for the head, then puts the head right before the records.
fn fetch(
    store: &Store,
    header: &RequestHeader<'_>,
    request: &FetchRequest<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Range<usize>, BenchError> {
    let topic = &request.topics[0];
    let asked = &topic.partitions[0];
    let size_max = asked.partition_max_bytes as usize;
    buffer.resize(buffer.len().max(size_max + FETCH_ROOM), 0);
    let (size, high_watermark) = store.partition(&topic.topic, asked.partition, |partition| {
        partition.read(asked.fetch_offset, size_max, &mut buffer[HEAD_ROOM..])
    })?;
    let records = Records::External {
        id: 0,
        size: size as u32,
    };
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: topic.topic.clone(),
            partitions: vec![PartitionData {
                partition_index: asked.partition,
                high_watermark,
                records: Some(records),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let (frame, externals) = encode(ApiKey::Fetch, header, &response)?.into_parts();
    let (head, tail) = frame.split_at(externals.first().map_or(frame.len(), |it| it.at));
    let start = HEAD_ROOM - head.len();
    let end = HEAD_ROOM + size + tail.len();
    buffer[start..HEAD_ROOM].copy_from_slice(head);
    buffer[HEAD_ROOM + size..end].copy_from_slice(tail);
    Ok(start..end)
}

fn encode<'m>(
    key: ApiKey,
    header: &RequestHeader<'_>,
    response: &impl Message<'m>,
) -> Result<Writer, BenchError> {
    let mut writer = Writer::new();
    let start = writer.begin_frame();
    writer.i32(header.correlation_id);
    if key.response_header_version(header.api_version) == 1 {
        writer.no_tagged_fields();
    }
    response.encode(&mut writer, header.api_version)?;
    writer.finish_frame(start)?;
    Ok(writer)
}

fn refused(code: ErrorCode) -> BenchError {
    let what = "a request to the floor";
    BenchError::Refused { what, code }
}
