use crate::connection::Connection;
use crate::error::{BenchError, check};
use crate::frames;
use ottla_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::messages::create_topics_response::CreateTopicsResponse;
use ottla_protocol::messages::produce_response::ProduceResponse;
use ottla_protocol::{ApiKey, Message};
use ottla_types::ErrorCode;

const CREATE_VERSION: i16 = 5;

/// Creates a topic with one replica and writes `first_batch` to each partition, trying again until
/// the leader takes it: some brokers show a topic before it can be produced to.
pub fn create(
    connection: &mut Connection,
    name: &str,
    partitions: i32,
    first_batch: &[u8],
) -> Result<(), BenchError> {
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
    connection.call(ApiKey::CreateTopics, CREATE_VERSION, &request, |reader| {
        let response = CreateTopicsResponse::decode(reader, CREATE_VERSION)?;
        check("creating a topic", response.topics[0].error_code)
    })?;
    for frame in frames::produce(name, partitions, first_batch, 1)? {
        loop {
            connection.send(&frame)?;
            let code = produce_error(connection.receive()?)?;
            match ErrorCode::from_wire(code) {
                Some(ErrorCode::None) => break,
                Some(code) if code.is_retriable() => {}
                _ => check("the first record", code)?,
            }
        }
    }
    Ok(())
}

/// The error code of a produce response with one partition.
pub fn produce_error(response: &[u8]) -> Result<i16, BenchError> {
    let body = crate::connection::body(ApiKey::Produce, frames::PRODUCE_VERSION, response);
    let mut reader = ottla_protocol::Reader::new(body);
    let response = ProduceResponse::decode(&mut reader, frames::PRODUCE_VERSION)?;
    Ok(response.responses[0].partition_responses[0].error_code)
}
