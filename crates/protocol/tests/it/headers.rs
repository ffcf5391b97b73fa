use ottla_protocol::{ALL_API_KEYS, ApiKey, Reader, RequestHeader, ResponseHeader, Writer};

use crate::all_messages::ALL_MESSAGES;

#[test]
fn every_api_has_a_request_and_a_response() {
    for key in ALL_API_KEYS {
        assert_eq!(ApiKey::from_i16(key.number()), Some(key));
        let of_key = |is_request| {
            let mut entries = ALL_MESSAGES
                .iter()
                .filter(move |e| e.api_key == Some(key.number()) && e.is_request == is_request);
            (entries.next().map(|e| e.name), entries.next().is_none())
        };
        let (request, response) = (format!("{key}Request"), format!("{key}Response"));
        assert_eq!(of_key(true), (Some(request.as_str()), true));
        assert_eq!(of_key(false), (Some(response.as_str()), true));
    }
    // The four of the ZooKeeper era are gone; 94 is the last one of 4.4.
    assert_eq!(ALL_API_KEYS.len(), 95 - 4);
    assert_eq!(ApiKey::from_i16(5), None);
    assert_eq!(ApiKey::from_i16(95), None);
    assert_eq!(ApiKey::from_i16(-1), None);
}

#[test]
fn ranges_are_kafkas() {
    assert_eq!(ApiKey::Produce.versions(), 3..=13);
    assert_eq!(ApiKey::Produce.advertised_versions(), 0..=13);
    assert_eq!(ApiKey::InitProducerId.versions(), 0..=5);
    assert_eq!(ApiKey::InitProducerId.advertised_versions(), 0..=5);
    assert_eq!(ApiKey::InitProducerId.parsed_versions(), 0..=6);
    assert_eq!(ApiKey::Fetch.first_flexible(), Some(12));
    assert_eq!(ApiKey::WriteTxnMarkers.first_flexible(), Some(1));
    assert_eq!(ApiKey::SaslHandshake.first_flexible(), None);
    assert_eq!(ApiKey::OffsetDelete.first_flexible(), None);
}

#[test]
fn header_versions() {
    assert_eq!(ApiKey::ApiVersions.request_header_version(2), 1);
    assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
    assert_eq!(ApiKey::ApiVersions.response_header_version(3), 0);
    assert_eq!(ApiKey::Metadata.response_header_version(8), 0);
    assert_eq!(ApiKey::Metadata.response_header_version(9), 1);
}

#[test]
fn a_header_comes_back() {
    for (key, version, size) in [
        (ApiKey::Fetch, 11, 12),
        (ApiKey::Fetch, 12, 13),
        (ApiKey::ApiVersions, 3, 13),
        (ApiKey::SaslHandshake, 1, 12),
    ] {
        let header = RequestHeader {
            api_key: key.number(),
            api_version: version,
            correlation_id: 77,
            client_id: Some("ab"),
        };
        let mut w = Writer::new();
        let start = w.begin_frame();
        header.encode(&mut w).unwrap();
        w.finish_frame(start).unwrap();
        let frame = w.into_buf();
        assert_eq!(frame[..4], i32::to_be_bytes(size));
        let mut r = Reader::new(&frame[4..]);
        assert_eq!(RequestHeader::decode(&mut r), Ok(header));
        assert_eq!(r.remaining(), 0);
    }
}

#[test]
fn a_header_from_the_future_is_read_up_to_the_client_id() {
    // ApiVersions 99 with no client id and tagged fields of a kind we cannot know.
    let bytes = [0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff];
    let mut r = Reader::new(&bytes);
    let header = RequestHeader::decode(&mut r).unwrap();
    assert_eq!(
        (header.api_version, header.correlation_id, header.client_id),
        (99, 7, None)
    );
    assert_eq!(r.remaining(), 2);
}

#[test]
fn a_response_header_comes_back() {
    for (key, version, size) in [
        (ApiKey::Fetch, 11, 4),
        (ApiKey::Fetch, 12, 5),
        (ApiKey::ApiVersions, 4, 4),
    ] {
        let header = ResponseHeader { correlation_id: -5 };
        let mut w = Writer::new();
        header.encode(&mut w, key, version);
        let bytes = w.into_buf();
        assert_eq!(bytes.len(), size);
        let mut r = Reader::new(&bytes);
        assert_eq!(ResponseHeader::decode(&mut r, key, version), Ok(header));
        assert_eq!(r.remaining(), 0);
    }
}
