use crate::harness::{CLUSTER_ID, Called, Harness, body, read};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_protocol::messages::api_versions_response::ApiVersionsResponse;
use ottla_protocol::messages::end_txn_request::EndTxnRequest;
use ottla_protocol::messages::list_offsets_request::ListOffsetsRequest;

fn request() -> ApiVersionsRequest<'static> {
    ApiVersionsRequest {
        client_software_name: "tester".into(),
        client_software_version: "1.0".into(),
        ..ApiVersionsRequest::default()
    }
}

fn error(harness: &mut Harness, version: i16, request: &ApiVersionsRequest<'_>) -> i16 {
    harness.call(ApiKey::ApiVersions, version, request, |body| {
        let response: ApiVersionsResponse<'_> = read(body, version);
        response.error_code
    })
}

#[test]
fn every_version_names_what_is_served_and_nothing_else() {
    let mut harness = Harness::new();
    for version in 0..=5 {
        let request = match version {
            0..=2 => ApiVersionsRequest::default(),
            _ => request(),
        };
        harness.call(ApiKey::ApiVersions, version, &request, |body| {
            let response: ApiVersionsResponse<'_> = read(body, version);
            assert_eq!(response.error_code, 0);
            let range = |key: ApiKey| {
                let found = response
                    .api_keys
                    .iter()
                    .find(|api| api.api_key == key as i16);
                found.map(|api| (api.min_version, api.max_version))
            };
            assert_eq!(
                range(ApiKey::Produce),
                Some((0, 13)),
                "old librdkafka looks for 0"
            );
            assert_eq!(range(ApiKey::Fetch), Some((4, 18)));
            assert_eq!(range(ApiKey::ApiVersions), Some((0, 5)));
            assert_eq!(range(ApiKey::JoinGroup), Some((0, 9)));
            assert_eq!(range(ApiKey::EndTxn), None, "comes with a later release");
            assert_eq!(response.api_keys.len(), 37);
            if 3 <= version {
                let [supported] = &response.supported_features[..] else {
                    panic!("{:?}", response.supported_features);
                };
                assert_eq!((supported.min_version, supported.max_version), (7, 33));
                let [finalized] = &response.finalized_features[..] else {
                    panic!("{:?}", response.finalized_features);
                };
                assert_eq!(
                    (&*finalized.name, finalized.max_version_level),
                    ("metadata.version", 33)
                );
            }
        });
    }
    let clients = harness.broker.metrics().clients();
    assert_eq!(clients.len(), 1);
    assert_eq!(
        (clients[0].0.name.as_str(), clients[0].1.connections),
        ("tester", 1),
        "one connection"
    );
    assert!(clients[0].1.is_supported);
}

#[test]
fn a_version_from_the_future_is_answered_in_version_0() {
    let mut harness = Harness::new();
    // A header of version 9 and a body nobody can read.
    let mut frame = vec![0, 18, 0, 9, 0, 0, 0, 77, 0xff, 0xff];
    frame.extend_from_slice(&[0xee; 40]);
    let answer = harness.send_raw(&frame).answered();
    let response: ApiVersionsResponse<'_> = read(body(&answer, ApiKey::ApiVersions, 0, 77), 0);
    assert_eq!(response.error_code, 35);
    assert_eq!(response.api_keys.len(), 1);
    assert_eq!(
        (
            response.api_keys[0].api_key,
            response.api_keys[0].max_version
        ),
        (18, 5)
    );
}

#[test]
fn software_names_and_identities_are_checked() {
    let mut harness = Harness::new();
    let bad = ApiVersionsRequest {
        client_software_name: "-bad-".into(),
        ..request()
    };
    assert_eq!(error(&mut harness, 3, &bad), 42);
    let identity = |cluster: Option<&'static str>, node_id| ApiVersionsRequest {
        cluster_id: cluster.map(Into::into),
        node_id,
        ..request()
    };
    assert_eq!(error(&mut harness, 5, &identity(Some(CLUSTER_ID), 1)), 0);
    assert_eq!(error(&mut harness, 5, &identity(Some(CLUSTER_ID), 2)), 129);
    assert_eq!(error(&mut harness, 5, &identity(Some("other"), 1)), 129);
    assert_eq!(error(&mut harness, 5, &identity(Some(CLUSTER_ID), -1)), 42);
    assert_eq!(error(&mut harness, 5, &identity(None, 1)), 42);
}

#[test]
fn anything_else_unknown_closes_the_connection() {
    let mut harness = Harness::new();
    let closed = |called: Called<Vec<u8>>| called.closed().to_string();
    let transaction = harness.send(ApiKey::EndTxn, 5, &EndTxnRequest::default());
    assert_eq!(closed(transaction), "API key 26 is not offered here");
    let mut old = vec![0, 2, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    old.extend_from_slice(&[0; 8]);
    assert_eq!(
        closed(harness.send_raw(&old)),
        "ListOffsets version 0 is not offered here"
    );
    assert_eq!(
        closed(harness.send_raw(&[0, 3])),
        "the request header cannot be read"
    );
    let mut frame = vec![0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff];
    frame.extend_from_slice(&[0x7f; 4]);
    assert!(closed(harness.send_raw(&frame)).starts_with("malformed Metadata request"));
    let answered = harness.send(ApiKey::ListOffsets, 1, &ListOffsetsRequest::default());
    assert!(!answered.answered().is_empty());
}
