use std::collections::BTreeMap;
use std::fmt;

/// What kind of thing a config belongs to, with Kafka's numbers (`ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum ResourceKind {
    /// A topic, by name.
    Topic = 2,
    /// A broker by its number in decimal, or every broker under the empty name.
    Broker = 4,
    /// Log levels of a broker; never persisted.
    BrokerLogger = 8,
    /// A client metrics subscription (KIP-714).
    ClientMetrics = 16,
    /// A group (KIP-848).
    Group = 32,
}

impl ResourceKind {
    /// The kind with Kafka's number.
    pub const fn from_wire(id: i8) -> Option<ResourceKind> {
        match id {
            2 => Some(ResourceKind::Topic),
            4 => Some(ResourceKind::Broker),
            8 => Some(ResourceKind::BrokerLogger),
            16 => Some(ResourceKind::ClientMetrics),
            32 => Some(ResourceKind::Group),
            _ => None,
        }
    }

    /// Kafka's number.
    pub const fn to_wire(self) -> i8 {
        self as i8
    }

    /// Kafka's name, such as `BROKER_LOGGER`.
    pub const fn name(self) -> &'static str {
        match self {
            ResourceKind::Topic => "TOPIC",
            ResourceKind::Broker => "BROKER",
            ResourceKind::BrokerLogger => "BROKER_LOGGER",
            ResourceKind::ClientMetrics => "CLIENT_METRICS",
            ResourceKind::Group => "GROUP",
        }
    }
}

/// A thing with configs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigResource {
    /// What it is.
    pub kind: ResourceKind,
    /// Which one; empty for "every broker".
    pub name: String,
}

impl ConfigResource {
    /// The topic called `name`.
    pub fn topic(name: &str) -> ConfigResource {
        ConfigResource {
            kind: ResourceKind::Topic,
            name: name.to_owned(),
        }
    }

    /// The broker with this number.
    pub fn broker(id: ottla_types::BrokerId) -> ConfigResource {
        ConfigResource {
            kind: ResourceKind::Broker,
            name: id.to_string(),
        }
    }

    /// Every broker: the cluster-wide dynamic defaults.
    pub fn every_broker() -> ConfigResource {
        ConfigResource {
            kind: ResourceKind::Broker,
            name: String::new(),
        }
    }
}

impl fmt::Display for ConfigResource {
    /// As Kafka prints it in error texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ConfigResource(type={}, name='{}')",
            self.kind.name(),
            self.name
        )
    }
}

/// What somebody set on a resource, by Kafka's config names. Defaults are not in it.
pub type Configs = BTreeMap<String, String>;
