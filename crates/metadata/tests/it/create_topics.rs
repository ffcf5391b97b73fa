use crate::fixtures::*;
use ottla_metadata::*;
use ottla_types::*;

/// What creating `topic` on `image` answers: the topic, or code and text.
fn answer(image: &Image, topic: NewTopic) -> Result<CreatedTopic, (ErrorCode, String)> {
    match run(image, 100, &create(vec![topic])).unwrap().0 {
        Reply::TopicsCreated(mut results) => results
            .remove(0)
            .map_err(|error| (error.code(), error.to_string())),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(image: &Image, topic: NewTopic, code: ErrorCode, text: &str) {
    assert_eq!(answer(image, topic), Err((code, text.to_owned())));
}

/// Partitions with their brokers.
type Assignments<'a> = &'a [(i32, &'a [i32])];

fn assigned(name: &str, assignments: Assignments<'_>) -> NewTopic {
    let assignments = assignments.iter().map(|(partition, brokers)| {
        let brokers = brokers.iter().map(|id| broker(*id)).collect();
        (PartitionId::new(*partition), brokers)
    });
    NewTopic {
        partitions: -1,
        replication_factor: -1,
        assignments: assignments.collect(),
        ..new_topic(name)
    }
}

#[test]
fn a_topic_is_there_with_its_partitions_and_configs() {
    let image = cluster(&[]);
    let topic = NewTopic {
        partitions: 2,
        configs: vec![("retention.ms".into(), Some("5".into()))],
        ..new_topic("flights")
    };
    let (reply, image) = run(&image, 7, &create(vec![topic])).unwrap();
    let Reply::TopicsCreated(results) = reply else {
        panic!("{reply:?}")
    };
    let created = results[0].as_ref().unwrap();
    assert_eq!((created.partitions, created.replication_factor), (2, 1));
    let topic = image.topic_by_name("flights").unwrap();
    assert_eq!(topic.id, created.id);
    assert_eq!(image.topic(created.id), Some(topic));
    assert_eq!(topic.partitions.len(), 2);
    let partition = &topic.partitions[1];
    assert_eq!(partition.leader, Some(broker(1)));
    assert_eq!(partition.leader_epoch, LeaderEpoch::new(0));
    assert_eq!(partition.isr.as_slice(), [broker(1)]);
    assert_eq!(partition.directories.as_slice(), [directory(1)]);
    assert_eq!(image.topic_configs("flights").unwrap()["retention.ms"], "5");
    assert_eq!(image.partitions_count(), 2);
}

#[test]
fn defaults_are_the_rules() {
    let topic = NewTopic {
        partitions: -1,
        replication_factor: -1,
        ..new_topic("defaults")
    };
    let created = answer(&cluster(&[]), topic).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (3, 1));
}

#[test]
fn names_are_judged_with_kafkas_texts() {
    let (_, image) = run(&cluster(&[]), 7, &create(vec![new_topic("a.b")])).unwrap();
    let invalid = ErrorCode::InvalidTopicException;
    check(
        &image,
        new_topic("a_b"),
        invalid,
        "Topic 'a_b' collides with existing topic: a.b",
    );
    check(
        &image,
        new_topic("a.b"),
        ErrorCode::TopicAlreadyExists,
        "Topic 'a.b' already exists.",
    );
    check(
        &image,
        new_topic("__cluster_metadata"),
        ErrorCode::InvalidRequest,
        "Creation of internal topic __cluster_metadata is prohibited.",
    );
    check(
        &image,
        new_topic(""),
        invalid,
        "Topic name is invalid: the empty string is not allowed",
    );
    check(
        &image,
        new_topic("a b"),
        invalid,
        "Topic name is invalid: 'a b' contains one or more characters other than ASCII \
         alphanumerics, '.', '_' and '-'",
    );
}

#[test]
fn topics_of_one_request_are_compared_by_name_only() {
    let command = create(vec![
        new_topic("x.y"),
        new_topic("x_y"),
        new_topic("twice"),
        new_topic("twice"),
    ]);
    let (reply, image) = run(&cluster(&[]), 7, &command).unwrap();
    let Reply::TopicsCreated(results) = reply else {
        panic!("{reply:?}")
    };
    let texts: Vec<_> = results
        .iter()
        .map(|result| {
            result
                .as_ref()
                .map_or_else(|e| e.to_string(), |t| t.name.clone())
        })
        .collect();
    assert_eq!(
        texts,
        [
            "x.y",
            "x_y",
            "Duplicate topic name.",
            "Duplicate topic name."
        ]
    );
    assert_eq!(image.topics_count(), 2);
    let delete = Command::DeleteTopics {
        topics: vec![TopicSelector::Name("x.y".into())],
    };
    let (_, image) = run(&image, 8, &delete).unwrap();
    let existing = image.colliding_topic("x.y").map(|name| &**name);
    assert_eq!(existing, Some("x_y"));
}

#[test]
fn counts_are_judged_with_kafkas_texts() {
    let image = cluster(&[]);
    let sized = |partitions, replication_factor| NewTopic {
        partitions,
        replication_factor,
        ..new_topic("t")
    };
    check(
        &image,
        sized(0, 1),
        ErrorCode::InvalidPartitions,
        "Number of partitions was set to an invalid non-positive value.",
    );
    check(
        &image,
        sized(1, 0),
        ErrorCode::InvalidReplicationFactor,
        "Replication factor must be larger than 0, or -1 to use the default value.",
    );
    check(
        &image,
        sized(1, 3),
        ErrorCode::InvalidReplicationFactor,
        "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be \
         reached because only 1 broker(s) are registered or some brokers have all their log \
         directories cordoned.",
    );
    let refused = run(&image, 7, &create(vec![sized(10_001, 1)])).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PolicyViolation);
    assert_eq!(answer(&image, sized(10_000, 1)).unwrap().partitions, 10_000);
}

#[test]
fn assignments_are_judged_with_kafkas_texts() {
    let image = cluster(&[2]);
    let invalid = ErrorCode::InvalidReplicaAssignment;
    let both = NewTopic {
        partitions: 1,
        ..assigned("t", &[(0, &[1])])
    };
    check(
        &image,
        both,
        ErrorCode::InvalidRequest,
        "A manual partition assignment was specified, but numPartitions was not set to -1.",
    );
    let both = NewTopic {
        replication_factor: 1,
        ..assigned("t", &[(0, &[1])])
    };
    check(
        &image,
        both,
        ErrorCode::InvalidRequest,
        "A manual partition assignment was specified, but replication factor was not set to -1.",
    );
    let cases: [(Assignments<'_>, &str); 6] = [
        (
            &[(0, &[])],
            "The manual partition assignment includes an empty replica list.",
        ),
        (
            &[(0, &[9])],
            "The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
        (
            &[(0, &[1, 1])],
            "The manual partition assignment includes the broker 1 more than once.",
        ),
        (
            &[(0, &[1]), (1, &[1, 2])],
            "The manual partition assignment includes a partition with 2 replica(s), but this is \
             not consistent with previous partitions, which have 1 replica(s).",
        ),
        (
            &[(0, &[1]), (0, &[2])],
            "Found multiple manual partition assignments for partition 0",
        ),
        (
            &[(0, &[1]), (2, &[2])],
            "partitions should be a consecutive 0-based integer sequence",
        ),
    ];
    for (assignments, text) in cases {
        check(&image, assigned("t", assignments), invalid, text);
    }
    let created = answer(&image, assigned("t", &[(1, &[1, 2]), (0, &[2, 1])])).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (2, 2));
}

#[test]
fn configs_are_judged_before_anything_is_created() {
    let image = cluster(&[]);
    let configured = |name: &str, value: Option<&str>| NewTopic {
        configs: vec![(name.into(), value.map(Into::into))],
        ..new_topic("t")
    };
    let invalid = ErrorCode::InvalidConfig;
    check(
        &image,
        configured("no.such", Some("1")),
        invalid,
        "Unknown topic config name: no.such",
    );
    check(
        &image,
        configured("retention.ms", None),
        invalid,
        "Null value not supported for topic configs: retention.ms",
    );
    check(
        &image,
        configured("cleanup.policy", Some(&"x".repeat(40_000))),
        invalid,
        "The configuration value cannot be added because it exceeds the maximum value size of 32767 \
         bytes.",
    );
}

#[test]
fn validate_only_says_what_would_be_and_changes_nothing() {
    let command = Command::CreateTopics {
        topics: vec![new_topic("t")],
        mode: Mode::ValidateOnly,
    };
    let image = cluster(&[]);
    let (reply, after) = run(&image, 7, &command).unwrap();
    let Reply::TopicsCreated(results) = reply else {
        panic!("{reply:?}")
    };
    // An id is shown, as by Kafka, and nobody has it.
    assert_ne!(results[0].as_ref().unwrap().id, TopicId::default());
    assert_eq!(after.topics_count(), 0);
}

#[test]
fn leaders_and_followers_are_spread() {
    let image = cluster(&[2, 3]);
    let topic = NewTopic {
        partitions: 6,
        replication_factor: 2,
        ..new_topic("t")
    };
    let (_, image) = run(&image, 7, &create(vec![topic])).unwrap();
    let topic = image.topic_by_name("t").unwrap();
    for id in [1, 2, 3].map(broker) {
        let leads = topic
            .partitions
            .iter()
            .filter(|p| p.leader == Some(id))
            .count();
        let holds = topic.partitions.iter().filter(|p| p.is_replica(id)).count();
        assert_eq!((leads, holds), (2, 4), "broker {id}");
    }
}
