use crate::fixtures::{broker, cluster, new_topic, run};
use ottla_metadata::{
    BrokerIds, Command, ControllerError, Election, ElectionScope, Image, LeaderRecovery, Mode,
    NewTopic, Partition, PartitionChange, Record, Reply,
};
use ottla_types::{BrokerId, PartitionId};

/// A cluster of three with one partition on brokers 1 and 2, led by 1.
fn with_topic() -> Image {
    let topic = NewTopic {
        partitions: -1,
        replication_factor: -1,
        assignments: vec![(PartitionId::new(0), vec![broker(1), broker(2)])],
        ..new_topic("t")
    };
    let command = Command::CreateTopics {
        topics: vec![topic],
        mode: Mode::Commit,
    };
    run(&cluster(&[2, 3]), 9, &command).expect("created").1
}

fn partition(image: &Image) -> &Partition {
    let topic = image.topic_by_name("t").expect("it exists");
    &topic.partitions[0]
}

fn led_by(image: &Image, leader: Option<BrokerId>, isr: &[BrokerId]) -> Image {
    let change = PartitionChange {
        topic_id: image.topic_id("t").expect("it exists"),
        partition: PartitionId::new(0),
        leader: Some(leader),
        isr: Some(BrokerIds::from_slice(isr)),
        ..PartitionChange::default()
    };
    let next = image.apply(
        image.applied_index() + 1,
        &[Record::PartitionChange(change)],
    );
    next.expect("it fits")
}

fn elect(image: &Image, election: Election) -> Result<Image, ControllerError> {
    let scope = ElectionScope::Some(vec![("t".to_owned(), 0)]);
    let command = Command::ElectLeaders { election, scope };
    let (reply, next) = run(image, image.applied_index() + 1, &command)?;
    let Reply::LeadersElected(mut results) = reply else {
        panic!("{reply:?}")
    };
    results.remove(0).map(|()| next)
}

#[test]
fn the_first_replica_leads_when_it_can() {
    let image = with_topic();
    let refused = elect(&image, Election::Preferred);
    assert_eq!(refused, Err(ControllerError::ElectionNotNeeded));
    let image = led_by(&image, Some(broker(2)), &[broker(1), broker(2)]);
    let epoch = partition(&image).leader_epoch;
    let elected = elect(&image, Election::Preferred).expect("1 is in sync");
    assert_eq!(partition(&elected).leader, Some(broker(1)));
    assert!(epoch < partition(&elected).leader_epoch);
    let everywhere = Command::ElectLeaders {
        election: Election::Preferred,
        scope: ElectionScope::All,
    };
    let (_, elected) = run(&image, image.applied_index() + 1, &everywhere).expect("decided");
    assert_eq!(partition(&elected).leader, Some(broker(1)));
    let image = led_by(&image, Some(broker(2)), &[broker(2)]);
    let refused = elect(&image, Election::Preferred);
    assert_eq!(refused, Err(ControllerError::PreferredLeaderNotAvailable));
}

#[test]
fn an_unclean_election_is_for_partitions_without_a_leader() {
    let image = with_topic();
    let refused = elect(&image, Election::Unclean);
    assert_eq!(refused, Err(ControllerError::ElectionNotNeeded));
    let in_sync = led_by(&image, None, &[broker(2)]);
    let elected = elect(&in_sync, Election::Unclean).expect("2 is in sync");
    assert_eq!(partition(&elected).leader, Some(broker(2)));
    assert_eq!(
        partition(&elected).leader_recovery,
        LeaderRecovery::Recovered
    );
    let nobody = led_by(&image, None, &[]);
    let elected = elect(&nobody, Election::Unclean).expect("1 lives");
    assert_eq!(partition(&elected).leader, Some(broker(1)));
    assert_eq!(partition(&elected).isr[..], [broker(1)]);
    assert_eq!(
        partition(&elected).leader_recovery,
        LeaderRecovery::Recovering
    );
}
