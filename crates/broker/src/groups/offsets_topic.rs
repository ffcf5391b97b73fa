use crate::broker::Broker;
use ottla_metadata::{Command, Mode, NewTopic};

/// Kafka's topic of groups and offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

impl Broker {
    /// What makes the offsets topic, as Kafka's `AutoTopicCreationManager` does.
    pub(crate) fn create_offsets_topic(&self) -> Command {
        let groups = &self.config.groups;
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", groups.offsets_segment_bytes.to_string()),
        ];
        let configs = configs.map(|(name, value)| (name.to_owned(), Some(value)));
        let topic = NewTopic {
            name: OFFSETS_TOPIC.to_owned(),
            partitions: groups.offsets_partitions,
            replication_factor: self.offsets_replication_factor(),
            assignments: Vec::new(),
            configs: configs.to_vec(),
        };
        Command::CreateTopics {
            topics: vec![topic],
            mode: Mode::Commit,
        }
    }

    /// Kafka's default of 3 cannot be met by fewer brokers, and its groups then never start. Where
    /// nobody asked for a number, as many brokers as there are will do.
    fn offsets_replication_factor(&self) -> i16 {
        const NAME: &str = "offsets.topic.replication.factor";
        let factor = self.config.groups.offsets_replication_factor;
        if self.config.started_with.values().contains_key(NAME) {
            return factor;
        }
        let image = self.image();
        let active = image.brokers().filter(|broker| broker.is_active()).count();
        factor.min(i16::try_from(active).unwrap_or(i16::MAX)).max(1)
    }
}
