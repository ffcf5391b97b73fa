//! Brokers with several log directories: where replicas go, and what becomes of them when a directory fails.

use crate::fixtures::*;
use ottla_metadata::*;
use ottla_types::*;

/// An incarnation of broker 1 with these directories.
fn with_directories(incarnation: u8, numbers: &[u8]) -> RegisterBroker {
    let reports = numbers.iter().map(|number| DirectoryReport {
        id: directory(*number),
        verdict: DirectoryVerdict::Clean,
    });
    RegisterBroker {
        directories: reports.collect(),
        ..registration(1, incarnation, 1)
    }
}

/// Broker 1 with directories 1 and 2, and topic `t` of four partitions.
fn image() -> Image {
    let start = Command::RegisterBroker(with_directories(2, &[1, 2]));
    let image = run(&cluster(&[]), 10, &start).unwrap().1;
    let topic = NewTopic {
        partitions: 4,
        ..new_topic("t")
    };
    run(&image, 11, &create(vec![topic])).unwrap().1
}

fn update(image: &Image, numbers: &[u8]) -> Result<Image, ControllerError> {
    cordon(image, numbers, &[])
}

fn cordon(image: &Image, online: &[u8], cordoned: &[u8]) -> Result<Image, ControllerError> {
    let command = Command::UpdateDirectories {
        broker: broker(1),
        broker_epoch: image.broker(broker(1)).unwrap().epoch,
        directories: online.iter().copied().map(directory).collect(),
        cordoned: cordoned.iter().copied().map(directory).collect(),
    };
    Ok(run(image, 20, &command)?.1)
}

/// Directory, leader and leader epoch of every partition.
fn places(image: &Image) -> Vec<(DirectoryId, Option<BrokerId>, i32)> {
    let topic = image.topic_by_name("t").unwrap();
    let partitions = topic.partitions.iter();
    let places = partitions.map(|p| (p.directories[0], p.leader, p.leader_epoch.get()));
    places.collect()
}

#[test]
fn new_replicas_go_to_the_directory_with_the_fewest() {
    let image = image();
    let directories: Vec<_> = places(&image).into_iter().map(|place| place.0).collect();
    let expected = [1, 2, 1, 2].map(directory);
    assert_eq!(directories, expected);
    // A directory that is added later is filled first, also over several topics of one request.
    let more = Command::RegisterBroker(with_directories(3, &[1, 2, 3]));
    let image = run(&image, 12, &more).unwrap().1;
    let topics = ["a", "b"].map(|name| NewTopic {
        partitions: 2,
        ..new_topic(name)
    });
    let image = run(&image, 13, &create(topics.to_vec())).unwrap().1;
    let of = |name: &str| {
        let partitions = &image.topic_by_name(name).unwrap().partitions;
        let directories: Vec<_> = partitions.iter().map(|p| p.directories[0]).collect();
        directories
    };
    assert_eq!(of("a"), [directory(3), directory(3)]);
    assert_eq!(of("b"), [directory(1), directory(2)]);
}

#[test]
fn what_lies_in_a_directory_that_fails_is_led_by_nobody_until_it_is_back() {
    let me = Some(broker(1));
    let (one, two) = (directory(1), directory(2));
    let image = update(&image(), &[2]).unwrap();
    let expected = [(one, None, 1), (two, me, 0), (one, None, 1), (two, me, 0)];
    assert_eq!(places(&image), expected);
    let partition = &image.topic_by_name("t").unwrap().partitions[0];
    assert_eq!(partition.isr.as_slice(), [broker(1)]);
    assert!(!image.may_lead(partition, broker(1)));
    let election = Command::ElectLeaders {
        election: Election::Unclean,
        scope: ElectionScope::All,
    };
    let same = run(&image, 21, &election).unwrap().1;
    assert_eq!(places(&same), expected, "nobody has it");
    // Nothing new goes there.
    let created = run(&image, 22, &create(vec![new_topic("u")])).unwrap().1;
    let new = &created.topic_by_name("u").unwrap().partitions[0];
    assert_eq!((new.directories[0], new.leader), (two, me));

    let image = update(&image, &[1, 2]).unwrap();
    let expected = [(one, me, 2), (two, me, 0), (one, me, 2), (two, me, 0)];
    assert_eq!(places(&image), expected);
    // After one failed, a start with only that one is still a start of this broker.
    let without = update(&image, &[2]).unwrap();
    let back = Command::RegisterBroker(with_directories(5, &[1]));
    let back = run(&without, 30, &back).unwrap().1;
    let expected = [(one, me, 4), (two, None, 1), (one, me, 4), (two, None, 1)];
    assert_eq!(places(&back), expected);
    let error = update(&image, &[]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidRegistration);
}

#[test]
fn so_does_a_start_without_a_directory_and_one_with_it_again() {
    let me = Some(broker(1));
    let (one, two) = (directory(1), directory(2));
    let without = Command::RegisterBroker(with_directories(3, &[1]));
    let image = run(&image(), 12, &without).unwrap().1;
    let expected = [(one, me, 1), (two, None, 1), (one, me, 1), (two, None, 1)];
    assert_eq!(places(&image), expected);
    let again = Command::RegisterBroker(with_directories(4, &[2, 1]));
    let image = run(&image, 13, &again).unwrap().1;
    let expected = [(one, me, 2), (two, me, 2), (one, me, 2), (two, me, 2)];
    assert_eq!(places(&image), expected);
}

#[test]
fn a_replica_that_is_found_elsewhere_is_led_again() {
    let me = Some(broker(1));
    let (one, two) = (directory(1), directory(2));
    let image = update(&image(), &[2]).unwrap();
    let id = |partition| TopicPartition {
        topic_id: image.topic_id("t").unwrap(),
        partition: PartitionId::new(partition),
    };
    let assign = |broker_epoch| Command::AssignDirectories {
        broker: broker(1),
        broker_epoch,
        assignments: vec![(id(0), two), (id(1), two), (id(9), two)],
    };
    let epoch = image.broker(broker(1)).unwrap().epoch;
    let moved = run(&image, 21, &assign(epoch)).unwrap().1;
    let expected = [(two, me, 2), (two, me, 0), (one, None, 1), (two, me, 0)];
    assert_eq!(places(&moved), expected);
    let stale = run(&image, 22, &assign(BrokerEpoch::new(1))).unwrap_err();
    assert_eq!(stale.code(), ErrorCode::StaleBrokerEpoch);
}

#[test]
fn nothing_new_goes_to_a_directory_that_is_cordoned() {
    let image = cordon(&image(), &[1, 2], &[1]).unwrap();
    let expected = places(&self::image());
    assert_eq!(places(&image), expected, "what is there stays");
    let topic = NewTopic {
        partitions: 2,
        ..new_topic("u")
    };
    let created = run(&image, 22, &create(vec![topic])).unwrap().1;
    let partitions = &created.topic_by_name("u").unwrap().partitions;
    let directories: Vec<_> = partitions.iter().map(|p| p.directories[0]).collect();
    assert_eq!(directories, [directory(2), directory(2)]);

    let image = cordon(&image, &[1, 2], &[2, 1]).unwrap();
    let refusal = |topic| {
        let (reply, _) = run(&image, 23, &create(vec![topic])).unwrap();
        let Reply::TopicsCreated(results) = reply else {
            panic!("{reply:?}")
        };
        let error = results[0].as_ref().unwrap_err();
        (error.code(), error.to_string())
    };
    let (code, text) = refusal(new_topic("v"));
    assert_eq!(code, ErrorCode::InvalidReplicationFactor);
    assert!(
        text.contains("all their log directories cordoned"),
        "{text}"
    );
    let (code, text) = refusal(NewTopic {
        partitions: -1,
        replication_factor: -1,
        assignments: vec![(PartitionId::new(0), vec![broker(1)])],
        ..new_topic("v")
    });
    assert_eq!(code, ErrorCode::InvalidReplicaAssignment);
    let expected = "The manual partition assignment includes broker 1, but all its log directories are \
                    cordoned.";
    assert_eq!(text, expected);

    let without = Command::RegisterBroker(RegisterBroker {
        cordoned: vec![directory(2)],
        ..with_directories(3, &[1, 2])
    });
    let image = run(&image, 24, &without).unwrap().1;
    assert_eq!(image.broker(broker(1)).unwrap().cordoned, [directory(2)]);
    let created = run(&image, 25, &create(vec![new_topic("v")])).unwrap().1;
    let new = &created.topic_by_name("v").unwrap().partitions[0];
    assert_eq!(new.directories[0], directory(1));
}

#[test]
fn a_change_says_only_what_changes_so_that_older_binaries_can_read_on() {
    let image = image();
    let cordons = |image: &Image, online: &[u8], cordoned: &[u8]| {
        let command = Command::UpdateDirectories {
            broker: broker(1),
            broker_epoch: image.broker(broker(1)).unwrap().epoch,
            directories: online.iter().copied().map(directory).collect(),
            cordoned: cordoned.iter().copied().map(directory).collect(),
        };
        let decided = decide(&command, image, &TestRules, &mut Prng::new(1)).unwrap();
        match &decided.records[0] {
            Record::BrokerRegistrationChange { cordoned, .. } => cordoned.clone(),
            record => panic!("{record:?}"),
        }
    };
    assert_eq!(cordons(&image, &[1], &[]), None, "only a directory failed");
    let set = cordon(&image, &[1, 2], &[2]).unwrap();
    assert_eq!(cordons(&image, &[1, 2], &[2]), Some(vec![directory(2)]));
    assert_eq!(cordons(&set, &[1], &[2]), None);
    assert_eq!(cordons(&set, &[1, 2], &[]), Some(vec![]), "it is lifted");
}
