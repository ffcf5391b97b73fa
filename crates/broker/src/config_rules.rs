use crate::config::{
    BrokerConfig, BrokerLayers, ConfigMap, Dynamic, StaticConfig, Support, broker_definition,
    topic_definition,
};
use ottla_metadata::{ConfigResource, ConfigRules, Configs, ControllerError, Image, ResourceKind};
use ottla_types::BrokerId;

/// What the controller must know about configs, from the broker's tables.
pub(crate) struct BrokerConfigRules {
    node_id: BrokerId,
    started_with: StaticConfig,
    default_partitions: i32,
    default_replication_factor: i16,
}

impl BrokerConfigRules {
    pub(crate) fn new(config: &BrokerConfig) -> BrokerConfigRules {
        BrokerConfigRules {
            node_id: config.node_id,
            started_with: config.started_with.clone(),
            default_partitions: config.topics.partitions_count,
            default_replication_factor: config.topics.replication_factor,
        }
    }

    fn with_layers<T>(&self, image: &Image, f: impl FnOnce(BrokerLayers<'_>) -> T) -> T {
        let nothing = ConfigMap::new();
        let this_broker = image.configs(&ConfigResource::broker(self.node_id));
        let all_brokers = image.configs(&ConfigResource::every_broker());
        f(BrokerLayers {
            this_broker: this_broker.map_or(&nothing, |configs| &**configs),
            all_brokers: all_brokers.map_or(&nothing, |configs| &**configs),
            started_with: &self.started_with,
        })
    }
}

fn refuse(message: String) -> ControllerError {
    ControllerError::InvalidConfig { message }
}

impl ConfigRules for BrokerConfigRules {
    fn is_list(&self, resource: &ConfigResource, name: &str) -> bool {
        let definition = match resource.kind {
            ResourceKind::Topic => topic_definition(name),
            ResourceKind::Broker => broker_definition(name),
            ResourceKind::BrokerLogger | ResourceKind::ClientMetrics | ResourceKind::Group => None,
        };
        definition.is_some_and(|definition| definition.kind == crate::config::Kind::List)
    }

    fn effective_default(
        &self,
        image: &Image,
        resource: &ConfigResource,
        name: &str,
    ) -> Option<String> {
        match resource.kind {
            ResourceKind::Topic => {
                let definition = topic_definition(name)?;
                self.with_layers(image, |layers| layers.topic_default(definition))
            }
            ResourceKind::Broker => {
                let definition = broker_definition(name)?;
                let nothing = ConfigMap::new();
                let every_broker = image.configs(&ConfigResource::every_broker());
                // What is set on the resource itself is not its default.
                let all_brokers = match resource.name.is_empty() {
                    true => &nothing,
                    false => every_broker.map_or(&nothing, |configs| &**configs),
                };
                let layers = BrokerLayers {
                    this_broker: &nothing,
                    all_brokers,
                    started_with: &self.started_with,
                };
                let value = layers.value(definition).or(definition.default);
                value.map(str::to_owned)
            }
            ResourceKind::BrokerLogger | ResourceKind::ClientMetrics | ResourceKind::Group => None,
        }
    }

    fn validate(
        &self,
        _image: &Image,
        resource: &ConfigResource,
        configs: &Configs,
        changed: &[&str],
    ) -> Result<(), ControllerError> {
        match resource.kind {
            ResourceKind::Topic => validate_topic(configs, changed),
            ResourceKind::Broker => validate_broker(resource, configs, changed),
            ResourceKind::BrokerLogger | ResourceKind::ClientMetrics | ResourceKind::Group => {
                Err(ControllerError::InvalidRequest {
                    message: format!(
                        "Configs of {} resources come with a later release.",
                        resource.kind.name()
                    ),
                })
            }
        }
    }

    fn default_partitions(&self, _image: &Image) -> i32 {
        self.default_partitions
    }

    fn default_replication_factor(&self, _image: &Image) -> i16 {
        self.default_replication_factor
    }
}

fn validate_topic(configs: &Configs, changed: &[&str]) -> Result<(), ControllerError> {
    for name in changed {
        let Some(value) = configs.get(*name) else {
            continue; // Removed: back to the default, even of a config nobody knows any more.
        };
        let definition = topic_definition(name)
            .ok_or_else(|| refuse(format!("Unknown topic config name: {name}")))?;
        definition
            .parse(value)
            .map_err(|error| refuse(error.to_string()))?;
    }
    let number = |name: &str| {
        configs
            .get(name)
            .and_then(|value| value.trim().parse::<i64>().ok())
    };
    if let (Some(least), Some(most)) = (
        number("min.compaction.lag.ms"),
        number("max.compaction.lag.ms"),
    ) && most < least
    {
        return Err(refuse(format!(
            "conflict topic config setting min.compaction.lag.ms ({least}) > max.compaction.lag.ms ({most})"
        )));
    }
    Ok(())
}

fn validate_broker(
    resource: &ConfigResource,
    configs: &Configs,
    changed: &[&str],
) -> Result<(), ControllerError> {
    for name in changed {
        let Some(value) = configs.get(*name) else {
            continue;
        };
        let definition = broker_definition(name)
            .ok_or_else(|| refuse(format!("Unknown broker config name: {name}")))?;
        let is_read_only = match definition.dynamic {
            Dynamic::ReadOnly => true,
            Dynamic::PerBroker => resource.name.is_empty(),
            Dynamic::ClusterWide => false,
        };
        if is_read_only {
            return Err(invalid(format!(
                "Cannot update these configs dynamically: [{name}]"
            )));
        }
        definition
            .parse(value)
            .map_err(|error| invalid(error.to_string()))?;
        if RETENTION_TIMES.contains(name) && matches!(value.trim().parse::<i64>(), Ok(0)) {
            return Err(invalid(format!(
                "requirement failed: {name} must be unlimited (-1) or, greater than or equal to 1"
            )));
        }
        let is_too_small = |bytes: i64| bytes < CLEANER_BUFFER_MIN;
        if *name == "log.cleaner.dedupe.buffer.size" && value.trim().parse().is_ok_and(is_too_small)
        {
            return Err(invalid(format!(
                "{name} must be at least {CLEANER_BUFFER_MIN} bytes"
            )));
        }
        // Listeners and limits of connections are read at the start only.
        if !is_applied_dynamically(name) && definition.support == Support::Applied {
            return Err(invalid(format!(
                "{name} can only be changed in the configuration file, with a restart"
            )));
        }
    }
    Ok(())
}

/// Kafka's error for configs of brokers; for those of topics it is another.
fn invalid(message: String) -> ControllerError {
    ControllerError::InvalidRequest { message }
}

/// Less memory for keys is not worth a round of compaction.
const CLEANER_BUFFER_MIN: i64 = 1 << 20;

const RETENTION_TIMES: &[&str] = &[
    "log.retention.ms",
    "log.retention.minutes",
    "log.retention.hours",
];

/// Whether a change reaches what the config is for while the broker runs: the defaults of topics do, and the log
/// cleaner's settings.
fn is_applied_dynamically(name: &str) -> bool {
    if name.starts_with("log.cleaner.") {
        return true;
    }
    let is_synonym = |definition: &crate::config::Definition| {
        definition.synonyms.iter().any(|synonym| {
            let broker = broker_definition(synonym);
            *synonym == name || broker.is_some_and(|broker| broker.synonyms.contains(&name))
        })
    };
    crate::config::topic_definitions().any(is_synonym)
}
