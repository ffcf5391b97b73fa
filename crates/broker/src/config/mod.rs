//! Every config by Kafka's name in one table, where values come from, and what they mean.

mod definition;

mod broker_table;
mod group_table;
mod ottla_table;
mod topic_table;

mod environment;
mod properties;
mod registry;

mod reference;

mod static_config;

mod listener;
mod live_settings;
mod topic_config;

mod cleaner_config;

mod broker_config;
#[cfg(test)]
mod tests;

pub use broker_config::{
    BrokerConfig, ConnectionLimits, GroupSettings, LoadedConfig, RequestLimits, StorageLimits,
    TopicCreation,
};
pub use definition::{
    Definition, Dynamic, Importance, InvalidValue, Kind, Support, Valid, Visibility, split_list,
};
pub use environment::{Variable, variable};
pub use listener::{AdvertisedHost, AdvertisedListener, Listener, Listeners, SecurityProtocol};
pub(crate) use live_settings::address_overrides;
pub use live_settings::{
    ConnectionSettings, CordonedLogDirs, ListenerSettings, LiveSettings, is_live,
};
pub use properties::{PropertiesError, Property, parse_properties};
pub use reference::reference;
pub use registry::{
    broker_definition, broker_definitions, client_metrics_definition, client_metrics_definitions,
    group_definition, group_definitions, listener_override, near_miss, topic_definition,
    topic_definitions,
};
pub use static_config::{ConfigFault, ConfigNote, ConfigSources, StaticConfig, Strictness};
pub use topic_config::{
    BrokerLayers, ConfigMap, ConfigSource, ConfigSynonym, TopicConfig, TopicDurability,
    TopicTimestamps,
};
