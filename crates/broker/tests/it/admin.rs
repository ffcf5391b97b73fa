use crate::harness::{Called, Harness, batch, body, read};
use ottla_metadata::Disturbance;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::create_partitions_request as cp;
use ottla_protocol::messages::create_partitions_response::CreatePartitionsResponse;
use ottla_protocol::messages::create_topics_request as ct;
use ottla_protocol::messages::create_topics_response::CreateTopicsResponse;
use ottla_protocol::messages::delete_records_request as dr;
use ottla_protocol::messages::delete_records_response::DeleteRecordsResponse;
use ottla_protocol::messages::delete_topics_request as dt;
use ottla_protocol::messages::delete_topics_response::DeleteTopicsResponse;
use ottla_protocol::messages::describe_log_dirs_request as dl;
use ottla_protocol::messages::describe_log_dirs_response::DescribeLogDirsResponse;
use ottla_types::Uuid;

/// Deletes a topic that is there.
pub fn delete_topic(harness: &mut Harness, name: &'static str) {
    assert_eq!(
        delete(harness, 6, selector(Some(name), Uuid::ZERO)),
        (0, Some(name.to_owned()))
    );
}

fn selector(name: Option<&'static str>, topic_id: Uuid) -> dt::DeleteTopicsRequest<'static> {
    dt::DeleteTopicsRequest {
        topics: vec![dt::DeleteTopicState {
            name: name.map(Into::into),
            topic_id,
        }],
        timeout_ms: 1000,
        ..dt::DeleteTopicsRequest::default()
    }
}

fn delete(
    harness: &mut Harness,
    version: i16,
    request: dt::DeleteTopicsRequest<'_>,
) -> (i16, Option<String>) {
    harness.call(ApiKey::DeleteTopics, version, &request, |body| {
        let response: DeleteTopicsResponse<'_> = read(body, version);
        let result = &response.responses[0];
        (
            result.error_code,
            result.name.as_ref().map(ToString::to_string),
        )
    })
}

fn topic(
    name: &'static str,
    partitions: i32,
    replication_factor: i16,
) -> ct::CreatableTopic<'static> {
    ct::CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor,
        ..ct::CreatableTopic::default()
    }
}

fn create(
    harness: &mut Harness,
    version: i16,
    topics: Vec<ct::CreatableTopic<'static>>,
) -> Vec<i16> {
    let request = ct::CreateTopicsRequest {
        topics,
        timeout_ms: 1000,
        ..ct::CreateTopicsRequest::default()
    };
    harness.call(ApiKey::CreateTopics, version, &request, |body| {
        let response: CreateTopicsResponse<'_> = read(body, version);
        response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect()
    })
}

#[test]
fn topics_are_created_in_every_version_and_survive() {
    let mut harness = Harness::new();
    let names = ["v2", "v3", "v4", "v5", "v6", "v7"];
    for (version, name) in (2..=7).zip(names) {
        let request = ct::CreateTopicsRequest {
            topics: vec![topic(name, 2, 1)],
            timeout_ms: 1000,
            ..ct::CreateTopicsRequest::default()
        };
        harness.call(ApiKey::CreateTopics, version, &request, |body| {
            let response: CreateTopicsResponse<'_> = read(body, version);
            let created = &response.topics[0];
            assert_eq!((created.error_code, &*created.name), (0, name));
            if 5 <= version {
                assert_eq!((created.num_partitions, created.replication_factor), (2, 1));
                let configs = created.configs.as_ref().expect("shown");
                let policy = configs
                    .iter()
                    .find(|config| config.name == "cleanup.policy");
                let policy = policy.expect("every config");
                assert_eq!(
                    (policy.value.as_deref(), policy.config_source),
                    (Some("delete"), 5)
                );
            }
            assert_eq!(created.topic_id == Uuid::ZERO, version < 7);
        });
        assert_eq!(harness.produce(name, 1, &batch(&["x"])), Ok(0));
    }
    let mut harness = harness.restart();
    for name in names {
        assert_eq!(harness.fetch(name, 1, 0), Ok(vec![(0, "x".to_owned())]));
    }
}

#[test]
fn topics_that_cannot_be_are_refused_one_by_one() {
    let mut harness = Harness::new();
    assert_eq!(create(&mut harness, 7, vec![topic("a.b", 1, 1)]), [0]);
    let mut assigned = topic("assigned", 3, -1);
    assigned.assignments = vec![ct::CreatableReplicaAssignment {
        partition_index: 0,
        broker_ids: vec![1],
    }];
    let mut compacted = topic("compacted", 1, 1);
    compacted.configs = vec![ct::CreatableTopicConfig {
        name: "cleanup.policy".into(),
        value: Some("shrink".into()),
    }];
    let mut misspelt = topic("misspelt", 1, 1);
    misspelt.configs = vec![ct::CreatableTopicConfig {
        name: "retention".into(),
        value: Some("1".into()),
    }];
    let topics = vec![
        topic("a.b", 1, 1),
        topic("a_b", 1, 1),
        topic("bad name", 1, 1),
        topic("none", 0, 1),
        topic("many", 1, 3),
        topic("twice", 1, 1),
        topic("twice", 1, 1),
        assigned,
        compacted,
        misspelt,
        topic("good", -1, -1),
    ];
    let codes = create(&mut harness, 7, topics);
    // What is named twice is answered once.
    assert_eq!(codes, [36, 17, 17, 37, 38, 42, 42, 40, 40, 0]);
}

#[test]
fn validating_creates_nothing() {
    let mut harness = Harness::new();
    let request = ct::CreateTopicsRequest {
        topics: vec![topic("t", 4, 1)],
        validate_only: true,
        ..ct::CreateTopicsRequest::default()
    };
    harness.call(ApiKey::CreateTopics, 7, &request, |body| {
        let response: CreateTopicsResponse<'_> = read(body, 7);
        assert_eq!(
            (
                response.topics[0].error_code,
                response.topics[0].num_partitions
            ),
            (0, 4)
        );
    });
    assert_eq!(harness.fetch("t", 0, 0), Err(3));
}

#[test]
fn a_topic_is_not_shown_before_it_is_certain() {
    let mut harness = Harness::new();
    let request = ct::CreateTopicsRequest {
        topics: vec![topic("t", 1, 1)],
        ..ct::CreateTopicsRequest::default()
    };
    let Called::Waiting(token) = harness.send(ApiKey::CreateTopics, 7, &request) else {
        panic!("the metadata log was not written");
    };
    assert!(harness.broker.image().topic_id("t").is_none());
    while harness.take(token).is_none() {
        assert!(harness.step_quorum(), "the quorum has something to do");
    }
    assert!(harness.broker.image().topic_id("t").is_some());
    assert_eq!(harness.produce("t", 0, &batch(&["x"])), Ok(0));
}

#[test]
fn topics_are_deleted_for_good_and_a_new_one_is_another() {
    let mut harness = Harness::new();
    let id = harness.create_topic("t", 1, &[]);
    harness.produce("t", 0, &batch(&["old"])).expect("appended");
    delete_topic(&mut harness, "t");
    assert_eq!(harness.fetch("t", 0, 0), Err(3));
    assert_eq!(
        delete(&mut harness, 6, selector(Some("t"), Uuid::ZERO)),
        (3, Some("t".to_owned()))
    );
    assert_eq!(delete(&mut harness, 6, selector(None, id)).0, 100);
    assert_eq!(
        delete(&mut harness, 6, selector(Some("t"), id)).0,
        42,
        "name and id"
    );

    let again = harness.create_topic("t", 1, &[]);
    assert_ne!(again, id);
    assert_eq!(harness.fetch("t", 0, 0), Ok(vec![]));
    assert_eq!(harness.produce("t", 0, &batch(&["new"])), Ok(0));
    let mut harness = harness.restart();
    assert_eq!(harness.fetch("t", 0, 0), Ok(vec![(0, "new".to_owned())]));
    assert_eq!(
        delete(&mut harness, 6, selector(None, again)),
        (0, Some("t".to_owned()))
    );
    let by_names = dt::DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        timeout_ms: 1000,
        ..dt::DeleteTopicsRequest::default()
    };
    assert_eq!(delete(&mut harness, 1, by_names).0, 3);
}

#[test]
fn deleting_can_be_forbidden() {
    let mut harness = Harness::with(&["delete.topic.enable=false"]);
    harness.create_topic("t", 1, &[]);
    assert_eq!(
        delete(&mut harness, 6, selector(Some("t"), Uuid::ZERO)).0,
        73
    );
}

#[test]
fn topics_get_more_partitions_and_never_fewer() {
    let mut harness = Harness::new();
    harness.create_topic("t", 2, &[]);
    let mut grow = |name: &'static str, count| {
        let request = cp::CreatePartitionsRequest {
            topics: vec![cp::CreatePartitionsTopic {
                name: name.into(),
                count,
                assignments: None,
            }],
            timeout_ms: 1000,
            ..cp::CreatePartitionsRequest::default()
        };
        harness.call(ApiKey::CreatePartitions, 3, &request, |body| {
            let response: CreatePartitionsResponse<'_> = read(body, 3);
            assert_eq!(response.results.len(), 1);
            response.results[0].error_code
        })
    };
    assert_eq!(grow("t", 2), 37);
    assert_eq!(grow("t", 1), 37);
    assert_eq!(grow("missing", 3), 3);
    assert_eq!(grow("t", 4), 0);
    assert_eq!(harness.produce("t", 3, &batch(&["x"])), Ok(0));
}

pub fn delete_records(harness: &mut Harness, topic: &'static str, offset: i64) -> (i16, i64) {
    let request = dr::DeleteRecordsRequest {
        topics: vec![dr::DeleteRecordsTopic {
            name: topic.into(),
            partitions: vec![dr::DeleteRecordsPartition {
                partition_index: 0,
                offset,
            }],
        }],
        timeout_ms: 1000,
    };
    harness.call(ApiKey::DeleteRecords, 2, &request, |body| {
        let response: DeleteRecordsResponse<'_> = read(body, 2);
        let result = &response.topics[0].partitions[0];
        (result.error_code, result.low_watermark)
    })
}

/// Deletes all records of partition 0.
pub fn delete_all_records(harness: &mut Harness, topic: &'static str) {
    assert_eq!(delete_records(harness, topic, -1).0, 0);
}

#[test]
fn records_are_deleted_for_good() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    for value in ["a", "b", "c", "d"] {
        harness.produce("t", 0, &batch(&[value])).expect("appended");
    }
    assert_eq!(delete_records(&mut harness, "t", 2), (0, 2));
    assert_eq!(harness.fetch("t", 0, 1), Err(1));
    assert_eq!(harness.fetch("t", 0, 2).expect("readable").len(), 2);
    assert_eq!(delete_records(&mut harness, "t", 9), (1, -1));
    assert_eq!(delete_records(&mut harness, "t", -2), (1, -1));
    assert_eq!(
        delete_records(&mut harness, "t", 1),
        (0, 2),
        "already deleted"
    );
    assert_eq!(delete_records(&mut harness, "missing", 1), (3, -1));
    let mut harness = harness.restart();
    assert_eq!(harness.fetch("t", 0, 1), Err(1), "after a restart too");
    assert_eq!(delete_records(&mut harness, "t", -1), (0, 4), "all of it");
}

#[test]
fn log_directories_are_described() {
    let mut harness = Harness::new();
    harness.create_topic("t", 2, &[]);
    let bytes = batch(&["x"]);
    harness.produce("t", 1, &bytes).expect("appended");
    for version in 1..=5 {
        let request = dl::DescribeLogDirsRequest { topics: None };
        harness.call(ApiKey::DescribeLogDirs, version, &request, |body| {
            let response: DescribeLogDirsResponse<'_> = read(body, version);
            let [result] = &response.results[..] else {
                panic!("one directory")
            };
            assert_eq!((result.error_code, &*result.log_dir), (0, "data"));
            let sizes: Vec<i64> = result.topics[0]
                .partitions
                .iter()
                .map(|p| p.partition_size)
                .collect();
            assert_eq!(sizes, [0, bytes.len() as i64]);
        });
    }
    let request = dl::DescribeLogDirsRequest {
        topics: Some(Vec::new()),
    };
    harness.call(ApiKey::DescribeLogDirs, 5, &request, |body| {
        let response: DescribeLogDirsResponse<'_> = read(body, 5);
        assert_eq!(response.results[0].topics.len(), 0);
    });
}

#[test]
fn a_controller_that_loses_its_quorum_takes_nothing_back() {
    for disturbance in [
        Disturbance::LoseLeadership { kept: 0 },
        Disturbance::LoseTrack { kept: 1 },
        Disturbance::LoseTrack { kept: 0 },
        Disturbance::LoseTerm { kept: 1 },
    ] {
        let mut harness = Harness::new();
        let request = ct::CreateTopicsRequest {
            topics: vec![topic("t", 1, 1)],
            ..ct::CreateTopicsRequest::default()
        };
        let Called::Waiting(token) = harness.send(ApiKey::CreateTopics, 7, &request) else {
            panic!("the metadata log was not written");
        };
        harness.quorum.disturb(disturbance);
        harness.settle();
        let frame = harness.take(token).expect("answered, one way or the other");
        let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
        let body = body(&frame, ApiKey::CreateTopics, 7, correlation_id);
        let response: CreateTopicsResponse<'_> = read(body, 7);
        assert_eq!(response.topics[0].error_code, 41, "{disturbance:?}");
        assert!(harness.broker.is_ready());
        // The client asks again, as it does after this error.
        let code = create(&mut harness, 7, vec![topic("t", 1, 1)])[0];
        assert!(code == 0 || code == 36, "{disturbance:?}: {code}");
        assert_eq!(harness.produce("t", 0, &batch(&["x"])), Ok(0));
    }
}

#[test]
fn refused_proposals_are_answered_at_once() {
    let mut harness = Harness::new();
    harness.quorum.disturb(Disturbance::Refuse);
    assert_eq!(create(&mut harness, 7, vec![topic("t", 1, 1)]), [41]);
    harness.settle();
    assert_eq!(create(&mut harness, 7, vec![topic("t", 1, 1)]), [0]);
}

#[test]
fn at_most_as_many_replicas_are_demanded_as_there_are() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[("min.insync.replicas", "2")]);
    assert_eq!(harness.produce("t", 0, &batch(&["x"])), Ok(0));
}

/// The answer that has come for `token`, behind its header.
fn late_answer(harness: &mut Harness, token: ottla_broker::Token, header_size: usize) -> Vec<u8> {
    let frame = harness.take(token).expect("its time is up");
    frame[4 + header_size..].to_vec()
}

fn waits(called: Called<Vec<u8>>) -> ottla_broker::Token {
    match called {
        Called::Waiting(token) => token,
        _ => panic!("the request waits"),
    }
}

#[test]
fn nobody_waits_for_the_controller_longer_than_they_said() {
    let mut harness = Harness::new();
    let create = |timeout_ms| ct::CreateTopicsRequest {
        topics: vec![ct::CreatableTopic {
            name: "t".into(),
            num_partitions: 1,
            replication_factor: 1,
            ..ct::CreatableTopic::default()
        }],
        timeout_ms,
        ..ct::CreateTopicsRequest::default()
    };
    let code = |body: &[u8]| {
        let response: CreateTopicsResponse<'_> = read(body, 7);
        response.topics[0].error_code
    };
    // Without any time nothing is done, as by Kafka.
    for timeout_ms in [0, -1] {
        let answered = harness.call(ApiKey::CreateTopics, 7, &create(timeout_ms), code);
        assert_eq!(answered, 7);
    }
    harness.settle();
    assert_eq!(harness.broker.image().topics_count(), 0);
    // Out of time, it may happen nevertheless.
    let token = waits(harness.send(ApiKey::CreateTopics, 7, &create(100)));
    harness.now.mono = harness.now.mono.plus(std::time::Duration::from_millis(99));
    harness.collect();
    assert!(harness.take(token).is_none(), "not yet");
    harness.now.mono = harness.now.mono.plus(std::time::Duration::from_millis(1));
    harness.collect();
    assert_eq!(code(&late_answer(&mut harness, token, 5)), 7);
    harness.settle();
    assert_eq!(harness.broker.image().topics_count(), 1);
    assert!(
        harness.broker.is_drained(),
        "the late decision finds nobody"
    );
    let named = selector(Some("t"), Uuid::ZERO);
    let token = waits(harness.send(ApiKey::DeleteTopics, 6, &named));
    harness.now.mono = harness.now.mono.plus(std::time::Duration::from_secs(1));
    harness.collect();
    let body = late_answer(&mut harness, token, 5);
    let response: DeleteTopicsResponse<'_> = read(&body, 6);
    assert_eq!(response.responses[0].error_code, 7);
    harness.settle();
    assert_eq!(harness.broker.image().topics_count(), 0);
    assert!(harness.broker.is_drained());
}

#[test]
fn nobody_waits_for_the_journal_longer_than_they_said() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    assert_eq!(harness.produce("t", 0, &batch(&["a", "b"])), Ok(0));
    let request = dr::DeleteRecordsRequest {
        topics: vec![dr::DeleteRecordsTopic {
            name: "t".into(),
            partitions: vec![dr::DeleteRecordsPartition {
                partition_index: 0,
                offset: 1,
            }],
        }],
        timeout_ms: 0, // Kafka, which waits for no disk, would do it: a second it gets.
    };
    let deleted = waits(harness.send(ApiKey::DeleteRecords, 2, &request));
    let bytes = batch(&["c"]);
    let mut request = crate::harness::produce_request("t", 0, &bytes, 1);
    request.timeout_ms = 0;
    let produced = waits(harness.send(ApiKey::Produce, 8, &request));
    harness.now.mono = harness
        .now
        .mono
        .plus(std::time::Duration::from_millis(1000));
    harness.collect();
    let body = late_answer(&mut harness, deleted, 5);
    let response: DeleteRecordsResponse<'_> = read(&body, 2);
    assert_eq!(response.topics[0].partitions[0].error_code, 7);
    let body = late_answer(&mut harness, produced, 4);
    let response: ottla_protocol::messages::produce_response::ProduceResponse<'_> = read(&body, 8);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 7);
    harness.settle();
    assert_eq!(harness.fetch("t", 0, 0), Err(1), "it happened nevertheless");
    assert_eq!(harness.fetch("t", 0, 2), Ok(vec![(2, "c".to_owned())]));
}

/// Kafka takes any number for the default factor, and refuses each topic that would get it.
#[test]
fn a_default_replication_factor_that_is_none_makes_no_topics() {
    for factor in ["0", "-1", "65536"] {
        let setting = format!("default.replication.factor={factor}");
        let mut harness = Harness::with(&[&setting]);
        let request = ct::CreateTopicsRequest {
            topics: vec![ct::CreatableTopic {
                name: "t".into(),
                num_partitions: 1,
                replication_factor: -1,
                ..ct::CreatableTopic::default()
            }],
            timeout_ms: 1000,
            ..ct::CreateTopicsRequest::default()
        };
        harness.call(ApiKey::CreateTopics, 7, &request, |body| {
            let response: CreateTopicsResponse<'_> = read(body, 7);
            assert_eq!(response.topics[0].error_code, 38, "{factor}");
        });
    }
}
