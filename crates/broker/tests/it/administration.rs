//! What operators do: configs by the old API, loggers, elections, features, the quorum.

use crate::harness::{Harness, batch, read};
use ottla_broker::{LogLevel, Loggers};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::alter_configs_request as ac;
use ottla_protocol::messages::alter_configs_response::AlterConfigsResponse;
use ottla_protocol::messages::alter_partition_reassignments_request as apr;
use ottla_protocol::messages::alter_partition_reassignments_response::AlterPartitionReassignmentsResponse;
use ottla_protocol::messages::describe_configs_request as dc;
use ottla_protocol::messages::describe_configs_response::DescribeConfigsResponse;
use ottla_protocol::messages::describe_producers_request as dp;
use ottla_protocol::messages::describe_producers_response::DescribeProducersResponse;
use ottla_protocol::messages::describe_quorum_request as dq;
use ottla_protocol::messages::describe_quorum_response::DescribeQuorumResponse;
use ottla_protocol::messages::elect_leaders_request as el;
use ottla_protocol::messages::elect_leaders_response::ElectLeadersResponse;
use ottla_protocol::messages::incremental_alter_configs_request as iac;
use ottla_protocol::messages::incremental_alter_configs_response::IncrementalAlterConfigsResponse;
use ottla_protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use ottla_protocol::messages::list_config_resources_response::ListConfigResourcesResponse;
use ottla_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use ottla_protocol::messages::list_partition_reassignments_response::ListPartitionReassignmentsResponse;
use ottla_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use ottla_protocol::messages::update_features_request as uf;
use ottla_protocol::messages::update_features_response::UpdateFeaturesResponse;
use parking_lot::Mutex;
use std::sync::Arc;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;

fn replace(harness: &mut Harness, kind: i8, name: &str, configs: &[(&str, &str)]) -> i16 {
    let configs = configs.iter().map(|(name, value)| ac::AlterableConfig {
        name: (*name).into(),
        value: Some((*value).into()),
    });
    let request = ac::AlterConfigsRequest {
        resources: vec![ac::AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: configs.collect(),
        }],
        validate_only: false,
    };
    harness.call(ApiKey::AlterConfigs, 2, &request, |body| {
        let response: AlterConfigsResponse<'_> = read(body, 2);
        response.responses[0].error_code
    })
}

/// `name=value@source` of every config that is set on the resource itself.
fn set_on(harness: &mut Harness, kind: i8, name: &str) -> Vec<String> {
    let request = dc::DescribeConfigsRequest {
        resources: vec![dc::DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: None,
        }],
        ..dc::DescribeConfigsRequest::default()
    };
    harness.call(ApiKey::DescribeConfigs, 4, &request, |body| {
        let response: DescribeConfigsResponse<'_> = read(body, 4);
        let configs = response.results[0].configs.iter();
        let set = configs.filter(|config| !matches!(config.config_source, 4 | 5));
        set.map(|config| {
            let value = config.value.as_deref().unwrap_or("null");
            format!("{}={value}@{}", config.name, config.config_source)
        })
        .collect()
    })
}

#[test]
fn the_old_api_replaces_all_that_was_set() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[("max.message.bytes", "5000"), ("flush.ms", "7")]);
    assert_eq!(
        replace(&mut harness, TOPIC, "t", &[("retention.ms", "9")]),
        0
    );
    assert_eq!(set_on(&mut harness, TOPIC, "t"), ["retention.ms=9@1"]);
    let mut harness = harness.restart();
    assert_eq!(set_on(&mut harness, TOPIC, "t"), ["retention.ms=9@1"]);
    assert_eq!(replace(&mut harness, TOPIC, "t", &[("no.such", "9")]), 40);
    assert_eq!(replace(&mut harness, TOPIC, "missing", &[]), 3);
    assert_eq!(replace(&mut harness, LOGGER, "1", &[("root", "INFO")]), 42);
    assert_eq!(
        replace(&mut harness, BROKER, "7", &[]),
        42,
        "another broker"
    );
    assert_eq!(set_on(&mut harness, TOPIC, "t"), ["retention.ms=9@1"]);
    assert_eq!(
        replace(&mut harness, BROKER, "", &[("message.max.bytes", "300")]),
        0
    );
    let large = batch(&["x".repeat(500).as_str()]);
    assert_eq!(harness.produce("t", 0, &large), Err(10));
    assert_eq!(replace(&mut harness, BROKER, "", &[]), 0);
    assert_eq!(harness.produce("t", 0, &large), Ok(0));
    assert_eq!(replace(&mut harness, TOPIC, "t", &[]), 0);
    assert!(set_on(&mut harness, TOPIC, "t").is_empty());
}

#[test]
fn resources_with_configs_are_listed() {
    let mut harness = Harness::new();
    harness.create_topic("a", 1, &[]);
    harness.create_topic("b", 1, &[]);
    let mut list = |version: i16, kinds: Vec<i8>| {
        let request = ListConfigResourcesRequest {
            resource_types: kinds,
        };
        harness.call(ApiKey::ListConfigResources, version, &request, |body| {
            let response: ListConfigResourcesResponse<'_> = read(body, version);
            let resources = response.config_resources.iter();
            let resources = resources
                .map(|resource| format!("{}:{}", resource.resource_type, resource.resource_name));
            (response.error_code, resources.collect::<Vec<_>>())
        })
    };
    assert_eq!(list(0, vec![]), (0, vec![]));
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(list(1, vec![]), (0, named(&["2:a", "2:b", "4:1", "8:1"])));
    assert_eq!(list(1, vec![TOPIC]), (0, named(&["2:a", "2:b"])));
    assert_eq!(list(1, vec![BROKER]), (0, named(&["4:1"])));
    assert_eq!(list(1, vec![TOPIC, 3]), (35, vec![]));
}

#[test]
fn a_leader_needs_no_election() {
    let mut harness = Harness::new();
    harness.create_topic("t", 2, &[]);
    let elect = |harness: &mut Harness, version: i16, kind: i8, partitions: Option<Vec<i32>>| {
        let request = el::ElectLeadersRequest {
            election_type: kind,
            topic_partitions: partitions.map(|partitions| {
                vec![el::TopicPartitions {
                    topic: "t".into(),
                    partitions,
                }]
            }),
            timeout_ms: 1000,
        };
        harness.call(ApiKey::ElectLeaders, version, &request, |body| {
            let response: ElectLeadersResponse<'_> = read(body, version);
            let results = response.replica_election_results.iter();
            assert_eq!(results.len(), 1, "a topic without partitions is named too");
            let results = results.flat_map(|topic| &topic.partition_result);
            let codes = results.map(|result| result.error_code);
            (response.error_code, codes.collect::<Vec<_>>())
        })
    };
    for version in 0..=2 {
        let expected = (0, vec![84, 3]);
        assert_eq!(elect(&mut harness, version, 0, Some(vec![1, 2])), expected);
    }
    assert_eq!(elect(&mut harness, 2, 1, Some(vec![0])), (0, vec![84]));
    assert_eq!(elect(&mut harness, 2, 0, None), (0, vec![]));
    assert_eq!(elect(&mut harness, 2, 0, Some(vec![])), (0, vec![]));
    assert_eq!(elect(&mut harness, 2, 9, Some(vec![0])), (42, vec![42]));
    assert_eq!(harness.produce("t", 0, &batch(&["x"])), Ok(0));
}

#[test]
fn replicas_stay_where_they_are() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let reassign = |harness: &mut Harness, version: i16, index: i32, replicas: Option<Vec<i32>>| {
        let request = apr::AlterPartitionReassignmentsRequest {
            timeout_ms: 1000,
            topics: vec![apr::ReassignableTopic {
                name: "t".into(),
                partitions: vec![apr::ReassignablePartition {
                    partition_index: index,
                    replicas,
                }],
            }],
            ..apr::AlterPartitionReassignmentsRequest::default()
        };
        harness.call(
            ApiKey::AlterPartitionReassignments,
            version,
            &request,
            |body| {
                let response: AlterPartitionReassignmentsResponse<'_> = read(body, version);
                assert_eq!(response.error_code, 0);
                response.responses[0].partitions[0].error_code
            },
        )
    };
    for version in 0..=1 {
        assert_eq!(reassign(&mut harness, version, 0, Some(vec![1])), 0);
    }
    for (partition, replicas, code) in [
        (0, None, 85),
        (0, Some(vec![]), 39),
        (0, Some(vec![2]), 39),
        (0, Some(vec![1, 1]), 39),
        (7, Some(vec![1]), 3),
    ] {
        assert_eq!(reassign(&mut harness, 1, partition, replicas), code);
    }
    let request = ListPartitionReassignmentsRequest {
        topics: None,
        ..ListPartitionReassignmentsRequest::default()
    };
    harness.call(ApiKey::ListPartitionReassignments, 0, &request, |body| {
        let response: ListPartitionReassignmentsResponse<'_> = read(body, 0);
        assert_eq!((response.error_code, response.topics.len()), (0, 0));
    });
}

#[test]
fn features_only_stay() {
    let mut harness = Harness::new();
    let mut update = |version: i16, level: i16, upgrade_type: i8| {
        let request = uf::UpdateFeaturesRequest {
            feature_updates: vec![uf::FeatureUpdateKey {
                feature: "metadata.version".into(),
                max_version_level: level,
                upgrade_type: if version == 0 { 1 } else { upgrade_type },
                ..uf::FeatureUpdateKey::default()
            }],
            timeout_ms: 1000,
            ..uf::UpdateFeaturesRequest::default()
        };
        harness.call(ApiKey::UpdateFeatures, version, &request, |body| {
            let response: UpdateFeaturesResponse<'_> = read(body, version);
            (response.error_code, response.results.len())
        })
    };
    assert_eq!(update(0, 33, 1), (0, 1));
    assert_eq!(update(1, 33, 1), (0, 1));
    assert_eq!(update(2, 33, 1), (0, 0));
    for (level, upgrade_type) in [(34, 1), (32, 1), (32, 2), (32, 3), (0, 2), (-1, 1), (33, 9)] {
        assert_eq!(
            update(2, level, upgrade_type),
            (95, 0),
            "{level} {upgrade_type}"
        );
    }
}

#[test]
fn the_quorum_is_this_node() {
    let mut harness = Harness::new();
    let describe = |harness: &mut Harness, version: i16, topic: &'static str| {
        let request = dq::DescribeQuorumRequest {
            topics: vec![dq::TopicData {
                topic_name: topic.into(),
                partitions: vec![dq::PartitionData { partition_index: 0 }],
            }],
        };
        harness.call(ApiKey::DescribeQuorum, version, &request, |body| {
            let response: DescribeQuorumResponse<'_> = read(body, version);
            assert_eq!(response.error_code, 0);
            let partition = &response.topics[0].partitions[0];
            let voters: Vec<i32> = partition
                .current_voters
                .iter()
                .map(|voter| voter.replica_id)
                .collect();
            let end = partition.current_voters.first();
            let is_caught_up =
                end.is_some_and(|voter| partition.high_watermark == voter.log_end_offset);
            let leader = (partition.leader_id, is_caught_up);
            (partition.error_code, leader, voters, response.nodes.len())
        })
    };
    for version in 0..=2 {
        let nodes = usize::from(version == 2);
        let expected = (0, (1, true), vec![1], nodes);
        assert_eq!(
            describe(&mut harness, version, "__cluster_metadata"),
            expected
        );
    }
    assert_eq!(describe(&mut harness, 2, "t"), (3, (0, false), vec![], 0));
}

#[test]
fn producers_of_a_partition_are_described() {
    use ottla_records::{BatchBuilder, Codec, Compressor};
    use ottla_types::{ProducerEpoch, ProducerId, Sequence, Timestamp};
    let mut harness = Harness::new();
    harness.create_topic("t", 2, &[]);
    let builder = BatchBuilder::new(Codec::None);
    let mut builder =
        builder.producer(ProducerId::new(77), ProducerEpoch::new(3), Sequence::new(0));
    for value in [b"a", b"b"] {
        let now = Timestamp::from_millis(crate::harness::START);
        builder.push(now, None, Some(value), &[]);
    }
    let bytes = builder.finish(&mut Compressor::default());
    assert_eq!(harness.produce("t", 0, &bytes), Ok(0));
    let mut harness = harness.restart();
    let mut describe = |topic: &'static str, partition: i32| {
        let request = dp::DescribeProducersRequest {
            topics: vec![dp::TopicRequest {
                name: topic.into(),
                partition_indexes: vec![partition],
            }],
        };
        harness.call(ApiKey::DescribeProducers, 0, &request, |body| {
            let response: DescribeProducersResponse<'_> = read(body, 0);
            let partition = &response.topics[0].partitions[0];
            let producers = partition.active_producers.iter().map(|producer| {
                let (id, epoch) = (producer.producer_id, producer.producer_epoch);
                (id, epoch, producer.last_sequence)
            });
            (partition.error_code, producers.collect::<Vec<_>>())
        })
    };
    assert_eq!(describe("t", 0), (0, vec![(77, 3, 1)]));
    assert_eq!(describe("t", 1), (0, vec![]));
    assert_eq!(describe("t", 2), (3, vec![]));
    assert_eq!(describe("missing", 0), (3, vec![]));
    assert_eq!(describe("a b", 0), (17, vec![]));
}

#[test]
fn a_broker_that_is_taken_out_while_it_lives_comes_back() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let unregister = |harness: &mut Harness, id: i32| {
        let request = UnregisterBrokerRequest { broker_id: id };
        harness.call(ApiKey::UnregisterBroker, 0, &request, |body| {
            let response: UnregisterBrokerResponse<'_> = read(body, 0);
            response.error_code
        })
    };
    assert_eq!(unregister(&mut harness, 7), 102);
    assert_eq!(unregister(&mut harness, -1), 102);
    assert_eq!(unregister(&mut harness, 1), 0);
    harness.settle();
    assert!(harness.broker.is_ready(), "it registers itself again");
    assert_eq!(harness.produce("t", 0, &batch(&["x"])), Ok(0));
}

/// Two loggers and the root.
struct TestLoggers(Mutex<Vec<(String, LogLevel)>>);

impl Loggers for TestLoggers {
    fn levels(&self) -> Vec<(String, LogLevel)> {
        self.0.lock().clone()
    }

    fn set(&self, logger: &str, level: Option<LogLevel>) {
        let mut levels = self.0.lock();
        let found = levels.iter_mut().find(|(name, _)| name == logger);
        found.expect("only known loggers").1 = level.unwrap_or(LogLevel::Info);
    }
}

fn set_level(
    harness: &mut Harness,
    changes: &[(&str, i8, Option<&str>)],
    validate_only: bool,
) -> (i16, String) {
    let configs = changes
        .iter()
        .map(|(name, operation, value)| iac::AlterableConfig {
            name: (*name).into(),
            config_operation: *operation,
            value: value.map(Into::into),
        });
    let request = iac::IncrementalAlterConfigsRequest {
        resources: vec![iac::AlterConfigsResource {
            resource_type: LOGGER,
            resource_name: "1".into(),
            configs: configs.collect(),
        }],
        validate_only,
    };
    harness.call(ApiKey::IncrementalAlterConfigs, 1, &request, |body| {
        let response: IncrementalAlterConfigsResponse<'_> = read(body, 1);
        let result = &response.responses[0];
        let message = result.error_message.as_deref().unwrap_or("");
        (result.error_code, message.to_owned())
    })
}

#[test]
fn loggers_change_their_level() {
    let mut harness = Harness::new();
    let refused = set_level(&mut harness, &[("root", 0, Some("DEBUG"))], false);
    assert_eq!(refused, (40, "Logger root does not exist!".to_owned()));
    let names = ["network", "root"].map(|name| (name.to_owned(), LogLevel::Info));
    let loggers = TestLoggers(Mutex::new(names.to_vec()));
    harness.broker.use_loggers(Arc::new(loggers));
    let levels = |harness: &mut Harness| set_on(harness, LOGGER, "1");
    assert_eq!(levels(&mut harness), ["network=INFO@6", "root=INFO@6"]);
    let debug = [("network", 0, Some("DEBUG"))];
    assert_eq!(set_level(&mut harness, &debug, true).0, 0);
    assert_eq!(levels(&mut harness), ["network=INFO@6", "root=INFO@6"]);
    assert_eq!(set_level(&mut harness, &debug, false).0, 0);
    assert_eq!(levels(&mut harness), ["network=DEBUG@6", "root=INFO@6"]);
    let half_wrong = [("root", 0, Some("TRACE")), ("network", 0, Some("LOUD"))];
    let (code, text) = set_level(&mut harness, &half_wrong, false);
    assert_eq!(code, 40);
    assert!(
        text.ends_with("levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN"),
        "{text}"
    );
    assert_eq!(levels(&mut harness), ["network=DEBUG@6", "root=INFO@6"]);
    assert_eq!(set_level(&mut harness, &[("root", 1, None)], false).0, 42);
    assert_eq!(
        set_level(&mut harness, &[("network", 2, Some("INFO"))], false).0,
        42
    );
    assert_eq!(set_level(&mut harness, &[("network", 1, None)], false).0, 0);
    assert_eq!(levels(&mut harness), ["network=INFO@6", "root=INFO@6"]);
}

#[test]
fn limits_of_single_records_count_once_decompressed() {
    use crate::harness::{START, batch_with};
    use ottla_records::Codec;
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[("max.decompressed.message.bytes", "1000")]);
    // Beside its value of 993 bytes a record has 7: Kafka draws the line there.
    let (fits, too_large) = ("a".repeat(993), "a".repeat(994));
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let produced = harness.produce("t", 0, &batch_with(codec, &[&fits, "b"], START));
        assert!(produced.is_ok(), "{codec}");
        let refused = harness.produce("t", 0, &batch_with(codec, &["b", &too_large], START));
        assert_eq!(refused, Err(87), "{codec}");
    }
    let many = ["a"; 5000];
    assert!(
        harness
            .produce("t", 0, &batch_with(Codec::Gzip, &many, START))
            .is_ok()
    );
    assert!(
        harness.produce("t", 0, &batch(&[&too_large])).is_ok(),
        "not compressed"
    );
    assert_eq!(replace(&mut harness, TOPIC, "t", &[]), 0);
    let large = batch_with(Codec::Gzip, &[&too_large], START);
    assert!(harness.produce("t", 0, &large).is_ok(), "applied at once");
}
