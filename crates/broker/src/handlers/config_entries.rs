use crate::config::{
    BrokerLayers, ConfigMap, ConfigSource, ConfigSynonym, Definition, Dynamic, Visibility,
    broker_definition, broker_definitions, client_metrics_definitions, group_definitions,
    listener_override, topic_definitions,
};
use crate::loggers::LogLevel;

/// Kafka's number for a config whose type it does not say.
const UNKNOWN_KIND: i8 = 0;

/// A config of a resource as DescribeConfigs shows it.
pub(super) struct ConfigEntry {
    pub(super) name: String,
    /// `None` for null, and where it must not be shown.
    pub(super) value: Option<String>,
    pub(super) is_read_only: bool,
    pub(super) source: ConfigSource,
    pub(super) is_sensitive: bool,
    /// In order of precedence; the first one is in force.
    pub(super) synonyms: Vec<ConfigSynonym>,
    pub(super) kind: i8,
    pub(super) documentation: String,
}

/// Every config of a topic that sets `topic` itself (`ConfigHelper.createTopicConfigEntry`).
pub(super) fn topic_entries(topic: &ConfigMap, layers: BrokerLayers<'_>) -> Vec<ConfigEntry> {
    let is_listed = |definition: &&Definition| {
        definition.visibility == Visibility::Public || topic.contains_key(definition.name)
    };
    topic_definitions()
        .filter(is_listed)
        .map(|definition| topic_entry(definition, topic, layers))
        .collect()
}

fn topic_entry(
    definition: &Definition,
    topic: &ConfigMap,
    layers: BrokerLayers<'_>,
) -> ConfigEntry {
    let broker = definition
        .synonyms
        .first()
        .and_then(|name| broker_definition(name));
    let mut synonyms = broker
        .map(|broker| layers.synonyms(broker))
        .unwrap_or_default();
    let own = topic.get(definition.name);
    let value = match own {
        Some(value) => Some(definition.parse(value).unwrap_or_else(|_| value.clone())),
        None => layers.topic_default(definition),
    };
    if own.is_some() {
        let name = definition.name.to_owned();
        let (value, source) = (value.clone(), ConfigSource::Topic);
        synonyms.insert(
            0,
            ConfigSynonym {
                name,
                value,
                source,
            },
        );
    }
    ConfigEntry {
        name: definition.name.to_owned(),
        value,
        is_read_only: false,
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |first| first.source),
        is_sensitive: definition.is_sensitive(),
        synonyms,
        kind: definition.kind.wire(),
        documentation: definition.documentation(),
    }
}

/// Every config of this broker (`ConfigHelper.createBrokerConfigEntry`).
pub(super) fn broker_entries(layers: BrokerLayers<'_>) -> Vec<ConfigEntry> {
    let is_set = |name: &str| layers.places_of(name).next().is_some();
    let is_listed = |definition: &&Definition| {
        definition.visibility == Visibility::Public || is_set(definition.name)
    };
    let known = broker_definitions().filter(is_listed);
    let mut entries: Vec<ConfigEntry> = known
        .map(|definition| broker_entry(definition.name, definition, layers))
        .collect();
    // Settings of single listeners are listed under the names they were given.
    let of_listeners = layers.names().into_iter().filter_map(|name| {
        let (_, definition) = listener_override(name)?;
        Some(broker_entry(name, definition, layers))
    });
    entries.extend(of_listeners);
    entries
}

fn broker_entry(name: &str, definition: &Definition, layers: BrokerLayers<'_>) -> ConfigEntry {
    let is_sensitive = definition.is_sensitive();
    let is_of_listener = name != definition.name;
    let printed = |value: &str| definition.parse(value).unwrap_or_else(|_| value.to_owned());
    let mut synonyms = Vec::new();
    if is_of_listener {
        let places = layers.places_of(name);
        synonyms.extend(places.map(|(value, source)| ConfigSynonym {
            name: name.to_owned(),
            value: (!is_sensitive).then(|| value.to_owned()),
            source,
        }));
    }
    let of_listener = layers.places_of(name).next().filter(|_| is_of_listener);
    synonyms.extend(layers.synonyms(definition));
    let value = match of_listener {
        Some((value, _)) => Some(printed(value)),
        None => own_value(definition, layers).as_deref().map(printed),
    };
    ConfigEntry {
        name: name.to_owned(),
        value: value.filter(|_| !is_sensitive),
        // Kafka shows settings of single listeners as such that cannot change, although they can.
        is_read_only: is_of_listener || definition.dynamic == Dynamic::ReadOnly,
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |first| first.source),
        is_sensitive,
        synonyms,
        kind: definition.kind.wire(),
        documentation: definition.documentation(),
    }
}

/// The value under the config's own name: Kafka does not look at synonyms here.
fn own_value(definition: &Definition, layers: BrokerLayers<'_>) -> Option<String> {
    let alone = Definition {
        synonyms: &[],
        ..*definition
    };
    let value = layers.value(&alone).or(definition.default);
    value.map(str::to_owned)
}

/// What is set for every broker while they run: the only configs of the cluster-wide default.
pub(super) fn every_broker_entries(all_brokers: &ConfigMap) -> Vec<ConfigEntry> {
    let entries = all_brokers.iter().filter_map(|(name, value)| {
        let definition = broker_definition(name)?;
        let is_sensitive = definition.is_sensitive();
        let value = (!is_sensitive).then(|| value.clone());
        let source = ConfigSource::DynamicDefaultBroker;
        Some(ConfigEntry {
            name: name.clone(),
            value: value.clone(),
            is_read_only: definition.dynamic == Dynamic::ReadOnly,
            source,
            is_sensitive,
            synonyms: vec![ConfigSynonym {
                name: name.clone(),
                value,
                source,
            }],
            kind: definition.kind.wire(),
            documentation: definition.documentation(),
        })
    });
    entries.collect()
}

/// Every config of a group that sets `group` itself (`ConfigHelper.createGroupConfigEntry`).
pub(super) fn group_entries(group: &ConfigMap, layers: BrokerLayers<'_>) -> Vec<ConfigEntry> {
    let is_listed = |definition: &&Definition| {
        definition.visibility == Visibility::Public || group.contains_key(definition.name)
    };
    let entries = group_definitions()
        .filter(is_listed)
        .map(|definition| group_entry(definition, group, layers));
    entries.collect()
}

fn group_entry(
    definition: &Definition,
    group: &ConfigMap,
    layers: BrokerLayers<'_>,
) -> ConfigEntry {
    let broker = definition
        .synonyms
        .first()
        .and_then(|name| broker_definition(name));
    let own = own_synonym(definition, group, ConfigSource::Group);
    let mut synonyms = Vec::from_iter(own);
    match broker {
        Some(broker) => synonyms.extend(layers.synonyms(broker)),
        None => synonyms.push(ConfigSynonym {
            name: definition.name.to_owned(),
            value: definition.default.map(str::to_owned),
            source: ConfigSource::Default,
        }),
    }
    changeable_entry(definition, synonyms)
}

/// Every config of a subscription to client metrics (`ConfigHelper.createClientMetricsConfigEntry`).
pub(super) fn client_metrics_entries(subscription: &ConfigMap) -> Vec<ConfigEntry> {
    let entries = client_metrics_definitions().map(|definition| {
        let own = own_synonym(definition, subscription, ConfigSource::ClientMetrics);
        changeable_entry(definition, Vec::from_iter(own))
    });
    entries.collect()
}

fn own_synonym(
    definition: &Definition,
    own: &ConfigMap,
    source: ConfigSource,
) -> Option<ConfigSynonym> {
    own.get(definition.name).map(|value| ConfigSynonym {
        name: definition.name.to_owned(),
        value: Some(definition.parse(value).unwrap_or_else(|_| value.clone())),
        source,
    })
}

/// A config that anybody may change; the first of its synonyms is in force, else the default.
fn changeable_entry(definition: &Definition, synonyms: Vec<ConfigSynonym>) -> ConfigEntry {
    let first = synonyms.first();
    ConfigEntry {
        name: definition.name.to_owned(),
        value: match first {
            Some(synonym) => synonym.value.clone(),
            None => definition.default.map(str::to_owned),
        },
        is_read_only: false,
        source: first.map_or(ConfigSource::Default, |first| first.source),
        is_sensitive: false,
        synonyms,
        kind: definition.kind.wire(),
        documentation: definition.documentation(),
    }
}

/// The level of one of this broker's loggers.
pub(super) fn logger_entry(name: String, level: LogLevel) -> ConfigEntry {
    ConfigEntry {
        name,
        value: Some(level.name().to_owned()),
        is_read_only: false,
        source: ConfigSource::Logger,
        is_sensitive: false,
        synonyms: Vec::new(),
        kind: UNKNOWN_KIND,
        documentation: String::new(),
    }
}
