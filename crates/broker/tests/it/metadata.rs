use crate::harness::{CLUSTER_ID, Harness, batch, read};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use ottla_protocol::messages::describe_cluster_response::DescribeClusterResponse;
use ottla_protocol::messages::describe_topic_partitions_request as dtp;
use ottla_protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponse;
use ottla_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::messages::metadata_response::MetadataResponse;
use ottla_types::Uuid;

fn by_name(names: &[&'static str]) -> MetadataRequest<'static> {
    let topics = names.iter().map(|name| MetadataRequestTopic {
        name: Some((*name).into()),
        ..MetadataRequestTopic::default()
    });
    MetadataRequest {
        topics: Some(topics.collect()),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    }
}

/// `(error, name, partitions)` of each topic.
fn topics(
    harness: &mut Harness,
    version: i16,
    request: &MetadataRequest<'_>,
) -> Vec<(i16, String, usize)> {
    harness.call(ApiKey::Metadata, version, request, |body| {
        let response: MetadataResponse<'_> = read(body, version);
        let shown = response.topics.iter().map(|topic| {
            let name = topic.name.as_deref().unwrap_or("null").to_owned();
            (topic.error_code, name, topic.partitions.len())
        });
        shown.collect()
    })
}

#[test]
fn brokers_are_named_as_they_are_reached() {
    let mut harness = Harness::new();
    harness.create_topic("t", 2, &[]);
    for version in 0..=13 {
        harness.call(ApiKey::Metadata, version, &by_name(&["t"]), |body| {
            let response: MetadataResponse<'_> = read(body, version);
            let [broker] = &response.brokers[..] else {
                panic!("one broker")
            };
            assert_eq!(
                (broker.node_id, &*broker.host, broker.port),
                (1, "127.0.0.1", 9092)
            );
            let [topic] = &response.topics[..] else {
                panic!("one topic")
            };
            let partition = &topic.partitions[1];
            assert_eq!((topic.error_code, partition.error_code), (0, 0));
            assert_eq!((partition.partition_index, partition.leader_id), (1, 1));
            assert_eq!(
                (&partition.replica_nodes[..], &partition.isr_nodes[..]),
                (&[1][..], &[1][..])
            );
            if 1 <= version {
                assert_eq!(response.controller_id, 1);
            }
            if 2 <= version {
                assert_eq!(response.cluster_id.as_deref(), Some(CLUSTER_ID));
            }
            if 7 <= version {
                assert_eq!(partition.leader_epoch, 0);
            }
            if (8..=10).contains(&version) {
                assert_eq!(response.cluster_authorized_operations, i32::MIN);
            }
            assert_eq!(topic.topic_id == Uuid::ZERO, version < 10);
        });
    }
}

#[test]
fn empty_and_null_lists_mean_what_the_version_says() {
    let mut harness = Harness::new();
    harness.create_topic("b", 1, &[]);
    harness.create_topic("a", 1, &[]);
    let none = by_name(&[]);
    assert_eq!(topics(&mut harness, 0, &none).len(), 2);
    assert_eq!(topics(&mut harness, 1, &none).len(), 0);
    let all = MetadataRequest {
        topics: None,
        ..by_name(&[])
    };
    let names: Vec<String> = topics(&mut harness, 1, &all)
        .into_iter()
        .map(|t| t.1)
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn missing_topics_are_created_on_the_side() {
    let mut harness = Harness::with(&["num.partitions=3"]);
    let first = topics(&mut harness, 4, &by_name(&["fresh"]));
    assert_eq!(first, [(3, "fresh".to_owned(), 0)]);
    harness.settle();
    let second = topics(&mut harness, 4, &by_name(&["fresh"]));
    assert_eq!(second, [(0, "fresh".to_owned(), 3)]);
    assert_eq!(
        harness.produce("fresh", 2, &batch(&["x"])),
        Ok(0),
        "what is shown can be produced to"
    );

    let unwanted = MetadataRequest {
        allow_auto_topic_creation: false,
        ..by_name(&["never"])
    };
    assert_eq!(topics(&mut harness, 4, &unwanted)[0].0, 3);
    harness.settle();
    assert_eq!(topics(&mut harness, 4, &unwanted)[0].0, 3);
    assert_eq!(topics(&mut harness, 4, &by_name(&["bad name"]))[0].0, 17);

    let mut strict = Harness::with(&["auto.create.topics.enable=false"]);
    topics(&mut strict, 4, &by_name(&["fresh"]));
    strict.settle();
    assert_eq!(topics(&mut strict, 4, &by_name(&["fresh"]))[0].0, 3);
}

#[test]
fn topics_are_found_by_id() {
    let mut harness = Harness::new();
    let id = harness.create_topic("t", 1, &[]);
    let by_id = |topic_id| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            topic_id,
            name: None,
        }]),
        ..MetadataRequest::default()
    };
    assert_eq!(
        topics(&mut harness, 12, &by_id(id)),
        [(0, "t".to_owned(), 1)]
    );
    let unknown = by_id(Uuid::from_bytes([1; 16]));
    assert_eq!(
        topics(&mut harness, 12, &unknown),
        [(100, "null".to_owned(), 0)]
    );
}

#[test]
fn clusters_are_described() {
    let mut harness = Harness::with(&["broker.rack=r1"]);
    for version in 0..=2 {
        let request = DescribeClusterRequest {
            endpoint_type: 1,
            ..DescribeClusterRequest::default()
        };
        harness.call(ApiKey::DescribeCluster, version, &request, |body| {
            let response: DescribeClusterResponse<'_> = read(body, version);
            assert_eq!(
                (response.error_code, &*response.cluster_id),
                (0, CLUSTER_ID)
            );
            assert_eq!((response.controller_id, response.brokers.len()), (1, 1));
            assert_eq!(response.brokers[0].rack.as_deref(), Some("r1"));
        });
    }
    let controllers = DescribeClusterRequest {
        endpoint_type: 2,
        ..DescribeClusterRequest::default()
    };
    let error = harness.call(ApiKey::DescribeCluster, 1, &controllers, |body| {
        let response: DescribeClusterResponse<'_> = read(body, 1);
        response.error_code
    });
    assert_eq!(error, 114);
}

#[test]
fn partitions_are_described_page_by_page() {
    let mut harness = Harness::new();
    harness.create_topic("a", 3, &[]);
    harness.create_topic("b", 3, &[]);
    let mut seen = Vec::new();
    let mut cursor: Option<(String, i32)> = None;
    loop {
        let request = dtp::DescribeTopicPartitionsRequest {
            topics: ["a", "b", "missing"]
                .map(|name| dtp::TopicRequest { name: name.into() })
                .to_vec(),
            response_partition_limit: 2,
            cursor: cursor.take().map(|(name, partition_index)| dtp::Cursor {
                topic_name: name.into(),
                partition_index,
            }),
        };
        cursor = harness.call(ApiKey::DescribeTopicPartitions, 0, &request, |body| {
            let response: DescribeTopicPartitionsResponse<'_> = read(body, 0);
            for topic in &response.topics {
                let name = topic.name.as_deref().expect("named").to_owned();
                if topic.error_code != 0 {
                    seen.push((name, -i32::from(topic.error_code)));
                    continue;
                }
                let partitions = topic
                    .partitions
                    .iter()
                    .map(|p| (name.clone(), p.partition_index));
                seen.extend(partitions);
            }
            response
                .next_cursor
                .map(|c| (c.topic_name.into_owned(), c.partition_index))
        });
        if cursor.is_none() {
            break;
        }
    }
    let expected = [
        ("a", 0),
        ("a", 1),
        ("a", 2),
        ("b", 0),
        ("b", 1),
        ("b", 2),
        ("missing", -3),
    ];
    assert_eq!(seen, expected.map(|(name, n)| (name.to_owned(), n)));
}

#[test]
fn a_page_begins_in_a_topic_that_was_asked_for() {
    let mut harness = Harness::new();
    harness.create_topic("a", 1, &[]);
    harness.create_topic("c", 1, &[]);
    for (cursor, codes) in [
        ("a", vec![0, 0]),
        ("b", vec![42, 42]),
        ("c", vec![0]),
        ("d", vec![42, 42]),
    ] {
        let request = dtp::DescribeTopicPartitionsRequest {
            topics: ["a", "c"]
                .map(|name| dtp::TopicRequest { name: name.into() })
                .to_vec(),
            response_partition_limit: 10,
            cursor: Some(dtp::Cursor {
                topic_name: cursor.into(),
                partition_index: 0,
            }),
        };
        let found = harness.call(ApiKey::DescribeTopicPartitions, 0, &request, |body| {
            let response: DescribeTopicPartitionsResponse<'_> = read(body, 0);
            let topics = response.topics.iter();
            topics.map(|topic| topic.error_code).collect::<Vec<_>>()
        });
        assert_eq!(found, codes, "from {cursor}");
    }
}

#[test]
fn advertised_addresses_are_as_configured() {
    for (advertised, host, port) in [
        ("auto", "127.0.0.1", 9092),
        ("PLAINTEXT://auto:19092", "127.0.0.1", 19092),
        ("PLAINTEXT://kafka.example:29092", "kafka.example", 29092),
    ] {
        let mut harness = Harness::with(&[&format!("advertised.listeners={advertised}")]);
        harness.call(ApiKey::Metadata, 9, &by_name(&[]), |body| {
            let response: MetadataResponse<'_> = read(body, 9);
            let broker = &response.brokers[0];
            assert_eq!((&*broker.host, broker.port), (host, port), "{advertised}");
        });
    }
}
