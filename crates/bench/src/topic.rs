use crate::connection::Connection;
use crate::error::{BenchError, check};
use crate::frames;
use ottla_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::messages::create_topics_response::CreateTopicsResponse;
use ottla_protocol::messages::produce_response::ProduceResponse;
use ottla_protocol::{ApiKey, Message};
use ottla_types::ErrorCode;

const CREATE_VERSION: i16 = 5;

/// Bytes of the first batch of each partition.
const FIRST_BATCH_SIZE: usize = 1024;

/// Creates a topic with one replica; `false`: it was there already.
pub fn create_empty(
    connection: &mut Connection,
    name: &str,
    partitions: i32,
) -> Result<bool, BenchError> {
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 60_000,
        ..Default::default()
    };
    loop {
        let code = connection.call(ApiKey::CreateTopics, CREATE_VERSION, &request, |reader| {
            let response = CreateTopicsResponse::decode(reader, CREATE_VERSION)?;
            Ok(response.topics[0].error_code)
        })?;
        match ErrorCode::from_wire(code) {
            Some(ErrorCode::TopicAlreadyExists) => return Ok(false),
            // A server that has just started may not know its controller yet.
            Some(code) if code.is_retriable() => {}
            _ => return check("creating a topic", code).map(|()| true),
        }
    }
}

/// Creates a topic with one replica, unless it is there, and writes a batch to each partition, trying
/// again until the leader takes it: some brokers show a topic before it can be produced to. `false`: it
/// was there already.
pub fn create(
    connection: &mut Connection,
    name: &str,
    partitions: i32,
) -> Result<bool, BenchError> {
    let first_batch = frames::batch(FIRST_BATCH_SIZE);
    let is_new = create_empty(connection, name, partitions)?;
    if is_new {
        for index in 0..partitions {
            write_until_taken(connection, name, index, &first_batch)?;
        }
    }
    Ok(is_new)
}

/// Writes a batch, trying again while the leader is not ready.
pub fn write_until_taken(
    connection: &mut Connection,
    name: &str,
    partition: i32,
    batch: &[u8],
) -> Result<(), BenchError> {
    let frame = frames::produce_to(name, partition, batch, -1)?;
    loop {
        connection.send(&frame)?;
        let code = produce_error(connection.receive()?)?;
        match ErrorCode::from_wire(code) {
            Some(ErrorCode::None) => return Ok(()),
            Some(code) if code.is_retriable() => {}
            _ => check("the first record", code)?,
        }
    }
}

/// The error code of a produce response with one partition.
pub fn produce_error(response: &[u8]) -> Result<i16, BenchError> {
    Ok(produce_result(response)?.0)
}

/// The error code and base offset of a produce response with one partition.
pub fn produce_result(response: &[u8]) -> Result<(i16, i64), BenchError> {
    let body = crate::connection::body(ApiKey::Produce, frames::PRODUCE_VERSION, response);
    let mut reader = ottla_protocol::Reader::new(body);
    let response = ProduceResponse::decode(&mut reader, frames::PRODUCE_VERSION)?;
    let partition = &response.responses[0].partition_responses[0];
    Ok((partition.error_code, partition.base_offset))
}
