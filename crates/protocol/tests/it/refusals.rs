//! What a version cannot say is refused when it is written, unless it may be left out.

use std::borrow::Cow;

use ottla_protocol::messages::{
    FetchRequest, JoinGroupResponse, MetadataRequest, MetadataResponse, ProduceRequest,
    fetch_request, metadata_response, produce_request,
};
use ottla_protocol::{DecodeErrorKind, EncodeError, Message, Reader, Writer};
use ottla_types::Uuid;

fn encode<'a>(message: &impl Message<'a>, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    message.encode(&mut w, version).map(|()| w.into_buf())
}

#[test]
fn versions_out_of_range() {
    let unsupported = EncodeError::UnsupportedVersion {
        message: "ProduceRequest",
        version: 2,
    };
    assert_eq!(encode(&ProduceRequest::default(), 2), Err(unsupported));
    for version in [2, 14, -1, i16::MIN, i16::MAX] {
        let decoded = ProduceRequest::decode(&mut Reader::new(&[0; 64]), version);
        assert_eq!(
            decoded.map_err(|e| e.kind),
            Err(DecodeErrorKind::UnsupportedVersion)
        );
    }
}

#[test]
fn a_field_that_the_version_does_not_carry() {
    let request = FetchRequest {
        replica_state: fetch_request::ReplicaState {
            replica_id: 3,
            replica_epoch: 7,
        },
        ..Default::default()
    };
    assert!(encode(&request, 15).is_ok());
    for version in [4, 14] {
        let refused = EncodeError::FieldNotInVersion {
            field: "FetchRequest.ReplicaState",
            version,
        };
        assert_eq!(encode(&request, version), Err(refused));
    }
    // The replica's id moved: what older versions carry the newer ones do not.
    let request = FetchRequest {
        replica_id: 3,
        ..Default::default()
    };
    assert!(encode(&request, 14).is_ok());
    assert_eq!(
        encode(&request, 15),
        Err(EncodeError::FieldNotInVersion {
            field: "FetchRequest.ReplicaId",
            version: 15
        })
    );
}

#[test]
fn an_ignorable_field_is_left_out() {
    let plain = FetchRequest::default();
    let racked = FetchRequest {
        rack_id: Cow::Borrowed("r1"),
        ..Default::default()
    };
    assert_eq!(encode(&racked, 10), encode(&plain, 10));
    assert_ne!(encode(&racked, 11), encode(&plain, 11));
    // The same in a struct within: topics by name and by id in one response.
    let partition = produce_request::PartitionProduceData::default();
    let request = |name, topic_id| ProduceRequest {
        topic_data: vec![produce_request::TopicProduceData {
            name,
            topic_id,
            partition_data: vec![partition.clone()],
        }],
        ..Default::default()
    };
    let both = request(Cow::Borrowed("t"), Uuid::from_bytes([1; 16]));
    assert_eq!(
        encode(&both, 12),
        encode(&request(Cow::Borrowed("t"), Uuid::ZERO), 12)
    );
    assert_eq!(
        encode(&both, 13),
        encode(&request("".into(), Uuid::from_bytes([1; 16])), 13)
    );
}

#[test]
fn null_where_the_version_has_none() {
    let all_topics = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    assert!(encode(&all_topics, 1).is_ok());
    assert_eq!(
        encode(&all_topics, 0),
        Err(EncodeError::NullNotInVersion {
            field: "MetadataRequest.Topics",
            version: 0
        })
    );
    let decoded = MetadataRequest::decode(&mut Reader::new(&[0xff; 4]), 0);
    assert_eq!(
        decoded.map_err(|e| e.kind),
        Err(DecodeErrorKind::UnexpectedNull)
    );

    let nameless = MetadataResponse {
        topics: vec![metadata_response::MetadataResponseTopic {
            name: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    assert!(encode(&nameless, 12).is_ok());
    let field = "MetadataResponseTopic.Name";
    assert_eq!(
        encode(&nameless, 11),
        Err(EncodeError::NullNotInVersion { field, version: 11 })
    );

    let joined = JoinGroupResponse {
        protocol_name: None,
        ..Default::default()
    };
    assert!(encode(&joined, 7).is_ok());
    assert!(encode(&joined, 6).is_err());
}

#[test]
fn defaults_are_kafkas() {
    let request = FetchRequest::default();
    assert_eq!((request.replica_id, request.max_bytes), (-1, i32::MAX));
    assert_eq!((request.session_id, request.session_epoch), (0, -1));
    let partition = fetch_request::FetchPartition::default();
    assert_eq!(
        (partition.current_leader_epoch, partition.high_watermark),
        (-1, i64::MAX)
    );
    assert_eq!(
        produce_request::PartitionProduceData::default().records,
        None
    );
    assert!(MetadataRequest::default().allow_auto_topic_creation);
    assert_eq!(MetadataRequest::default().topics, Some(vec![]));
    assert_eq!(MetadataResponse::default().controller_id, -1);
}
