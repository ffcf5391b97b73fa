use super::directory_loads::DirectoryLoads;
use super::placement::{place, place_as_told};
use super::{Decision, PARTITIONS_PER_REQUEST_MAX};
use crate::command::{CreatedTopic, Mode, NewTopic, Reply};
use crate::config_resource::{ConfigResource, Configs};
use crate::config_rules::ConfigRules;
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::partition::Partition;
use crate::record::Record;
use ottla_types::{PartitionId, Prng, TopicId, Uuid, validate_topic_name};
use std::collections::BTreeMap;

/// The topic in which Kafka shows its metadata log.
const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Creates topics in the order of the request; each is refused or created on its own
/// (`ReplicationControlManager.createTopics`).
pub(super) fn create_topics(
    topics: &[NewTopic],
    mode: Mode,
    image: &Image,
    rules: &dyn ConfigRules,
    prng: &mut Prng,
) -> Result<Decision, ControllerError> {
    if PARTITIONS_PER_REQUEST_MAX < partitions_asked(topics, image, rules) {
        return Err(ControllerError::TooManyPartitions);
    }
    let mut names_count = BTreeMap::<&str, usize>::new();
    for topic in topics {
        *names_count.entry(&topic.name).or_default() += 1;
    }

    let mut records = Vec::new();
    let mut results = Vec::with_capacity(topics.len());
    let mut loads = DirectoryLoads::of(image);
    for topic in topics {
        let result = if 1 < names_count[topic.name.as_str()] {
            Err(ControllerError::DuplicateTopicName)
        } else {
            create_topic(topic, image, rules, &mut loads, prng)
        };
        results.push(result.map(|(created, partitions)| {
            if mode == Mode::Commit {
                records.extend(records_of(&created, partitions));
            }
            created
        }));
    }
    Ok(Decision {
        records,
        reply: Reply::TopicsCreated(results),
    })
}

fn partitions_asked(topics: &[NewTopic], image: &Image, rules: &dyn ConfigRules) -> usize {
    let of_topic = |topic: &NewTopic| {
        if !topic.assignments.is_empty() {
            topic.assignments.len()
        } else if topic.partitions == -1 {
            usize::try_from(rules.default_partitions(image)).unwrap_or(0)
        } else {
            usize::try_from(topic.partitions).unwrap_or(0)
        }
    };
    topics.iter().map(of_topic).fold(0, usize::saturating_add)
}

fn create_topic(
    topic: &NewTopic,
    image: &Image,
    rules: &dyn ConfigRules,
    loads: &mut DirectoryLoads<'_>,
    prng: &mut Prng,
) -> Result<(CreatedTopic, Vec<Partition>), ControllerError> {
    check_name(&topic.name, image)?;
    let configs = check_configs(topic, image, rules)?;
    let partitions = check_partitions(topic, image, rules, loads, prng)?;
    let created = CreatedTopic {
        name: topic.name.clone(),
        id: new_topic_id(image, prng),
        partitions: partitions.len() as i32,
        replication_factor: partitions[0].replicas.len() as i16,
        configs,
    };
    Ok((created, partitions))
}

fn check_name(name: &str, image: &Image) -> Result<(), ControllerError> {
    validate_topic_name(name)?;
    if name == CLUSTER_METADATA_TOPIC {
        return Err(ControllerError::ReservedTopicName {
            name: name.to_owned(),
        });
    }
    if image.topic_id(name).is_some() {
        return Err(ControllerError::TopicExists {
            name: name.to_owned(),
        });
    }
    // As in Kafka, topics of one request are not compared with each other.
    match image.colliding_topic(name) {
        Some(existing) => Err(ControllerError::CollidingTopicName {
            name: name.to_owned(),
            existing: existing.to_string(),
        }),
        None => Ok(()),
    }
}

fn check_configs(
    topic: &NewTopic,
    image: &Image,
    rules: &dyn ConfigRules,
) -> Result<Configs, ControllerError> {
    let nulls: Vec<&str> = topic
        .configs
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if !nulls.is_empty() {
        return Err(ControllerError::InvalidConfig {
            message: format!(
                "Null value not supported for topic configs: {}",
                nulls.join(",")
            ),
        });
    }
    let configs: Configs = topic
        .configs
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
        .collect();
    for value in configs.values() {
        super::alter_configs::check_value_size(value)?;
    }
    let changed: Vec<&str> = configs.keys().map(String::as_str).collect();
    let resource = ConfigResource::topic(&topic.name);
    rules.validate(image, &resource, &configs, &changed)?;
    Ok(configs)
}

fn check_partitions(
    topic: &NewTopic,
    image: &Image,
    rules: &dyn ConfigRules,
    loads: &mut DirectoryLoads<'_>,
    prng: &mut Prng,
) -> Result<Vec<Partition>, ControllerError> {
    if !topic.assignments.is_empty() {
        return check_assignments(topic, image, loads);
    }
    let replication_factor = match topic.replication_factor {
        -1 => rules.default_replication_factor(image),
        factor if factor < 1 => return Err(ControllerError::InvalidReplicationFactor),
        factor => factor,
    };
    let partitions = match topic.partitions {
        -1 => rules.default_partitions(image),
        count if count < 1 => return Err(ControllerError::InvalidPartitionsCount),
        count => count,
    };
    let count = usize::try_from(partitions.max(1)).expect("it is at least 1");
    place(count, replication_factor, image, loads, prng)
}

fn check_assignments(
    topic: &NewTopic,
    image: &Image,
    loads: &mut DirectoryLoads<'_>,
) -> Result<Vec<Partition>, ControllerError> {
    if topic.replication_factor != -1 {
        return Err(ControllerError::AssignmentWithReplicationFactor);
    }
    if topic.partitions != -1 {
        return Err(ControllerError::AssignmentWithPartitions);
    }
    let mut placed = BTreeMap::new();
    let mut replicas_count = None;
    for (partition, brokers) in &topic.assignments {
        if placed.contains_key(partition) {
            return Err(ControllerError::DuplicateAssignment {
                partition: *partition,
            });
        }
        let state = place_as_told(*partition, brokers, replicas_count, image, loads)?;
        replicas_count = Some(brokers.len());
        placed.insert(*partition, state);
    }
    let numbers = (0..).map(PartitionId::new);
    if !placed.keys().copied().eq(numbers.take(placed.len())) {
        return Err(ControllerError::GapInAssignments);
    }
    Ok(placed.into_values().collect())
}

fn new_topic_id(image: &Image, prng: &mut Prng) -> TopicId {
    loop {
        let mut bytes = [0; 16];
        prng.fill(&mut bytes);
        let id = TopicId::new(Uuid::from_random(bytes));
        // Kafka never gives ids whose text begins with a dash: they look like options to its tools.
        if image.topic(id).is_none() && !id.to_string().starts_with('-') {
            return id;
        }
    }
}

fn records_of(created: &CreatedTopic, partitions: Vec<Partition>) -> Vec<Record> {
    let mut records = vec![Record::Topic {
        name: created.name.clone(),
        id: created.id,
    }];
    records.extend(created.configs.iter().map(|(name, value)| Record::Config {
        resource: ConfigResource::topic(&created.name),
        name: name.clone(),
        value: Some(value.clone()),
    }));
    let numbers = (0..).map(PartitionId::new);
    records.extend(
        numbers
            .zip(partitions)
            .map(|(partition, state)| Record::Partition {
                topic_id: created.id,
                partition,
                state,
            }),
    );
    records
}
