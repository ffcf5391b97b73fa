use crate::fixtures::*;
use ottla_metadata::*;
use ottla_types::*;

fn with_topics(names: &[&str]) -> Image {
    let topics = names.iter().map(|name| new_topic(name)).collect();
    run(&cluster(&[]), 10, &create(topics)).unwrap().1
}

fn texts<T>(results: &[Result<T, ControllerError>]) -> Vec<String> {
    results
        .iter()
        .map(|result| match result {
            Ok(_) => "ok".to_owned(),
            Err(error) => format!("{} {error}", error.code().name()),
        })
        .collect()
}

#[test]
fn topics_are_deleted_by_name_or_by_id_and_can_be_created_again() {
    let image = with_topics(&["a", "b", "c", "keeps.dots"]);
    let id = |name: &str| image.topic_id(name).unwrap();
    let command = Command::DeleteTopics {
        topics: vec![
            TopicSelector::Name("a".into()),
            TopicSelector::Id(id("b")),
            TopicSelector::Name("none".into()),
            TopicSelector::Id(TopicId::default()),
            TopicSelector::Name("c".into()),
            TopicSelector::Id(id("c")),
        ],
    };
    let (reply, after) = run(&image, 11, &command).unwrap();
    let Reply::TopicsDeleted(results) = reply else {
        panic!("{reply:?}")
    };
    let both = "INVALID_REQUEST The provided topic name maps to an ID that was already supplied.";
    assert_eq!(
        texts(&results),
        [
            "ok",
            "ok",
            "UNKNOWN_TOPIC_OR_PARTITION This server does not host this topic-partition.",
            "UNKNOWN_TOPIC_ID This server does not host this topic ID.",
            both,
            both
        ]
    );
    assert_eq!(after.topics_count(), 2);
    let (_, again) = run(&after, 12, &create(vec![new_topic("a")])).unwrap();
    assert_ne!(again.topic_id("a"), image.topic_id("a"));
    // The image before is what it was.
    assert_eq!(image.topics_count(), 4);
    assert_eq!(
        after.colliding_topic("keeps_dots").map(|n| &**n),
        Some("keeps.dots")
    );
}

#[test]
fn configs_go_with_their_topic() {
    let topic = NewTopic {
        configs: vec![("retention.ms".into(), Some("1".into()))],
        ..new_topic("a")
    };
    let (_, image) = run(&cluster(&[]), 10, &create(vec![topic])).unwrap();
    let delete = Command::DeleteTopics {
        topics: vec![TopicSelector::Name("a".into())],
    };
    let (_, image) = run(&image, 11, &delete).unwrap();
    let (_, image) = run(&image, 12, &create(vec![new_topic("a")])).unwrap();
    assert_eq!(image.topic_configs("a"), None);
}

#[test]
fn partitions_only_become_more() {
    let image = with_topics(&["a", "b", "c", "d", "e"]);
    let more = |name: &str, count| MorePartitions {
        name: name.into(),
        count,
        assignments: None,
    };
    let command = Command::CreatePartitions {
        topics: vec![
            more("a", 3),
            more("b", 1),
            more("c", 0),
            more("none", 2),
            MorePartitions {
                assignments: Some(vec![vec![broker(1)]]),
                ..more("d", 3)
            },
            MorePartitions {
                assignments: Some(vec![vec![broker(1)], vec![broker(1)]]),
                ..more("e", 3)
            },
            // Far too many, if they counted.
            more("f", i32::MAX),
            more("f", i32::MAX),
        ],
        mode: Mode::Commit,
    };
    let (reply, after) = run(&image, 11, &command).unwrap();
    let Reply::PartitionsCreated(results) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(
        texts(&results),
        [
            "ok",
            "INVALID_PARTITIONS Topic already has 1 partition(s).",
            "INVALID_PARTITIONS The topic c currently has 1 partition(s); 0 would not be an increase.",
            "UNKNOWN_TOPIC_OR_PARTITION This server does not host this topic-partition.",
            "INVALID_REPLICA_ASSIGNMENT Attempted to add 2 additional partition(s), but only 1 \
             assignment(s) were specified.",
            "ok",
            "INVALID_REQUEST Duplicate topic name.",
            "INVALID_REQUEST Duplicate topic name.",
        ]
    );
    let count = |name: &str| after.topic_by_name(name).unwrap().partitions.len();
    assert_eq!(
        (count("a"), count("b"), count("d"), count("e")),
        (3, 1, 1, 3)
    );
    assert_eq!(after.topic_id("a"), image.topic_id("a"));
}

fn change(name: &str, operation: ConfigOperation, value: Option<&str>) -> ConfigChange {
    ConfigChange {
        name: name.into(),
        operation,
        value: value.map(Into::into),
    }
}

fn alter(image: &Image, resource: ConfigResource, changes: Vec<ConfigChange>) -> (String, Image) {
    let command = Command::AlterConfigs {
        resources: vec![ConfigAlteration { resource, changes }],
        mode: Mode::Commit,
    };
    let (reply, image) = run(image, image.applied_index() + 1, &command).unwrap();
    match reply {
        Reply::ConfigsAltered(results) => (texts(&results).remove(0), image),
        other => panic!("{other:?}"),
    }
}

#[test]
fn configs_change_key_by_key() {
    use ConfigOperation::*;
    let topic = || ConfigResource::topic("a");
    let image = with_topics(&["a"]);
    let (answer, image) = alter(
        &image,
        topic(),
        vec![change("retention.ms", Set, Some("7"))],
    );
    assert_eq!(answer, "ok");
    let appended = vec![change("cleanup.policy", Append, Some("compact"))];
    let (answer, image) = alter(&image, topic(), appended);
    assert_eq!(answer, "ok");
    let configs = image.topic_configs("a").unwrap();
    assert_eq!(configs["cleanup.policy"], "delete,compact");
    assert_eq!(configs["retention.ms"], "7");
    let taken = vec![
        change("cleanup.policy", Subtract, Some("delete")),
        change("retention.ms", Delete, None),
    ];
    let (_, image) = alter(&image, topic(), taken);
    let configs = image.topic_configs("a").unwrap();
    assert_eq!(
        **configs,
        Configs::from([("cleanup.policy".into(), "compact".into())])
    );
    let (answer, image) = alter(&image, topic(), vec![change("retention.ms", Delete, None)]);
    assert_eq!(
        (answer.as_str(), image.topic_configs("a").unwrap().len()),
        ("ok", 1)
    );
}

#[test]
fn wrong_config_changes_are_refused_with_kafkas_texts() {
    use ConfigOperation::*;
    let image = with_topics(&["a"]);
    let topic = || ConfigResource::topic("a");
    let cases = [
        (
            topic(),
            vec![change("retention.ms", Append, Some("1"))],
            "INVALID_CONFIG Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            topic(),
            vec![change("retention.ms", Set, None)],
            "INVALID_REQUEST Null value not supported for : retention.ms",
        ),
        (
            topic(),
            vec![
                change("retention.ms", Set, Some("1")),
                change("retention.ms", Set, Some("2")),
            ],
            "INVALID_REQUEST Error due to duplicate config keys",
        ),
        (
            topic(),
            vec![change("no.such", Set, Some("1"))],
            "INVALID_CONFIG Unknown topic config name: no.such",
        ),
        (
            ConfigResource::topic("none"),
            vec![change("retention.ms", Set, Some("1"))],
            "UNKNOWN_TOPIC_OR_PARTITION The topic 'none' does not exist.",
        ),
        (
            ConfigResource::topic("none"),
            vec![change("no.such", Set, Some("1"))],
            "INVALID_CONFIG Unknown topic config name: no.such",
        ),
        (
            ConfigResource::broker(broker(9)),
            vec![change("retention.ms", Set, Some("1"))],
            "BROKER_ID_NOT_REGISTERED No broker with id 9 found.",
        ),
    ];
    for (resource, changes, text) in cases {
        let before = image.to_records();
        let (answer, after) = alter(&image, resource, changes);
        assert_eq!(answer, text);
        assert_eq!(after.to_records(), before);
    }
}

#[test]
fn a_resource_named_twice_is_refused_both_times() {
    let alteration = ConfigAlteration {
        resource: ConfigResource::topic("a"),
        changes: vec![change("retention.ms", ConfigOperation::Set, Some("1"))],
    };
    let command = Command::AlterConfigs {
        resources: vec![alteration.clone(), alteration],
        mode: Mode::Commit,
    };
    let (reply, image) = run(&with_topics(&["a"]), 11, &command).unwrap();
    let Reply::ConfigsAltered(results) = reply else {
        panic!("{reply:?}")
    };
    let text = "INVALID_REQUEST Each resource must appear at most once.";
    assert_eq!(texts(&results), [text, text]);
    assert_eq!(image.topic_configs("a"), None);
}

#[test]
fn the_old_alter_configs_replaces_the_whole_set() {
    use ConfigOperation::Set;
    let set = vec![
        change("retention.ms", Set, Some("7")),
        change("cleanup.policy", Set, Some("compact")),
    ];
    let (_, image) = alter(&with_topics(&["a"]), ConfigResource::topic("a"), set);
    let command = Command::ReplaceConfigs {
        resources: vec![ConfigReplacement {
            resource: ConfigResource::topic("a"),
            configs: vec![("retention.ms".into(), Some("9".into()))],
        }],
        mode: Mode::Commit,
    };
    let (_, image) = run(&image, 20, &command).unwrap();
    let expected = Configs::from([("retention.ms".into(), "9".into())]);
    assert_eq!(**image.topic_configs("a").unwrap(), expected);
}

#[test]
fn producer_ids_come_in_blocks_that_never_overlap() {
    let image = cluster(&[]);
    let epoch = image.broker(broker(1)).unwrap().epoch;
    let ask = |broker_epoch| Command::AllocateProducerIds {
        broker: broker(1),
        broker_epoch,
    };
    let (reply, image) = run(&image, 10, &ask(epoch)).unwrap();
    assert_eq!(reply, Reply::ProducerIds(0..1000));
    let (reply, image) = run(&image, 11, &ask(epoch)).unwrap();
    assert_eq!(reply, Reply::ProducerIds(1000..2000));
    let stale = run(&image, 12, &ask(BrokerEpoch::new(epoch.get() + 1))).unwrap_err();
    assert_eq!(stale.code(), ErrorCode::StaleBrokerEpoch);
}

/// A new cluster's first batch gives its node producer ids that nobody gets again.
#[test]
fn the_first_producer_ids_come_with_the_cluster() {
    let (records, block) = bootstrap().records_with_producer_ids();
    let image = Image::empty().apply(1, &records).unwrap();
    assert_eq!(block, 0..1000);
    let broker = bootstrap().registration.broker;
    let allocate = Command::AllocateProducerIds {
        broker,
        broker_epoch: image.broker(broker).unwrap().epoch,
    };
    let (reply, _) = run(&image, 2, &allocate).unwrap();
    assert_eq!(reply, Reply::ProducerIds(1000..2000));
}
