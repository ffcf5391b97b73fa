use crate::fixtures::*;
use ottla_metadata::*;
use ottla_types::*;

fn with_topic(image: &Image, partitions: i32, replication_factor: i16) -> Image {
    let topic = NewTopic {
        partitions,
        replication_factor,
        ..new_topic("t")
    };
    run(image, 50, &create(vec![topic])).unwrap().1
}

fn register(
    image: &Image,
    index: u64,
    registration: RegisterBroker,
) -> Result<(BrokerEpoch, Image), ControllerError> {
    let (reply, image) = run(image, index, &Command::RegisterBroker(registration))?;
    match reply {
        Reply::Registered { epoch } => Ok((epoch, image)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_incarnation_replaces_the_old_one_and_raises_the_epochs_it_leads_in() {
    let image = with_topic(&cluster(&[]), 3, 1);
    let old_epoch = image.broker(broker(1)).unwrap().epoch;
    let (epoch, image) = register(&image, 60, registration(1, 2, 1)).unwrap();
    assert!(old_epoch < epoch);
    assert_eq!(image.broker(broker(1)).unwrap().epoch, epoch);
    for partition in &image.topic_by_name("t").unwrap().partitions {
        assert_eq!(partition.leader, Some(broker(1)));
        assert_eq!(partition.leader_epoch, LeaderEpoch::new(1));
        assert_eq!(partition.partition_epoch, 1);
    }
}

#[test]
fn only_partitions_the_broker_leads_change_epochs() {
    let image = with_topic(&cluster(&[2]), 4, 1);
    let (_, image) = register(&image, 60, registration(2, 7, 2)).unwrap();
    for partition in &image.topic_by_name("t").unwrap().partitions {
        let expected = if partition.leader == Some(broker(2)) {
            1
        } else {
            0
        };
        assert_eq!(partition.leader_epoch, LeaderEpoch::new(expected));
    }
}

#[test]
fn asking_again_with_the_same_incarnation_changes_nothing() {
    let image = with_topic(&cluster(&[]), 1, 1);
    let before = image.to_records();
    let (epoch, image) = register(&image, 60, registration(1, 1, 1)).unwrap();
    assert_eq!(epoch, image.broker(broker(1)).unwrap().epoch);
    assert_eq!(image.to_records(), before);
}

#[test]
fn another_process_with_another_directory_is_refused_while_the_first_lives() {
    let image = cluster(&[]);
    let error = register(&image, 60, registration(1, 2, 9)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::DuplicateBrokerRegistration);
}

#[test]
fn registrations_that_cannot_be_are_refused() {
    let image = cluster(&[2]);
    let foreign = RegisterBroker {
        cluster_id: Some("other".into()),
        ..registration(1, 2, 1)
    };
    assert_eq!(
        register(&image, 60, foreign).unwrap_err().to_string(),
        "Expected cluster ID test-cluster, but got cluster ID other"
    );
    let old = RegisterBroker {
        features: [("metadata.version".into(), FeatureRange { min: 7, max: 20 })].into(),
        ..registration(1, 2, 1)
    };
    let error = register(&image, 60, old).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnsupportedVersion);
    let stolen = registration(3, 3, 2);
    let error = register(&image, 60, stolen).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidRegistration);
}

#[test]
fn a_lossy_directory_leaves_the_isr_unless_nobody_else_is_in_it() {
    let lossy = |id: i32| {
        let mut registration = registration(id, 70, id as u8);
        registration.directories[0].verdict = DirectoryVerdict::Lossy;
        registration
    };
    let image = with_topic(&cluster(&[2]), 2, 2);
    let (_, image) = register(&image, 60, lossy(1)).unwrap();
    for partition in &image.topic_by_name("t").unwrap().partitions {
        assert_eq!(partition.isr.as_slice(), [broker(2)]);
        assert_eq!(partition.leader, Some(broker(2)));
    }
    let alone = with_topic(&cluster(&[]), 1, 1);
    let (_, alone) = register(&alone, 60, lossy(1)).unwrap();
    let partition = &alone.topic_by_name("t").unwrap().partitions[0];
    assert_eq!(partition.leader, Some(broker(1)));
    assert_eq!(partition.leader_epoch, LeaderEpoch::new(1));
}

#[test]
fn an_unregistered_broker_leads_nothing() {
    let image = with_topic(&cluster(&[2]), 4, 1);
    let command = Command::UnregisterBroker { broker: broker(2) };
    let (_, image) = run(&image, 60, &command).unwrap();
    assert!(image.broker(broker(2)).is_none());
    let leaders: Vec<_> = image
        .topic_by_name("t")
        .unwrap()
        .partitions
        .iter()
        .map(|p| p.leader)
        .collect();
    assert!(leaders.contains(&None) && leaders.contains(&Some(broker(1))));
    assert!(!leaders.contains(&Some(broker(2))));
    let again = run(&image, 61, &command).unwrap_err();
    assert_eq!(again.to_string(), "Broker ID 2 is not currently registered");
    // The broker comes back and leads what nobody else could.
    let (_, image) = register(&image, 62, registration(2, 9, 2)).unwrap();
    assert!(
        image
            .topic_by_name("t")
            .unwrap()
            .partitions
            .iter()
            .all(|p| p.leader.is_some())
    );
}
