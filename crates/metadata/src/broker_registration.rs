use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, IncarnationId};
use std::collections::BTreeMap;
use std::fmt;

/// How a listener is secured, with Kafka's numbers (`SecurityProtocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext = 0,
    /// TLS.
    Ssl = 1,
    /// SASL without encryption.
    SaslPlaintext = 2,
    /// SASL over TLS.
    SaslSsl = 3,
}

impl SecurityProtocol {
    /// The protocol with Kafka's number `id`.
    pub const fn from_wire(id: i16) -> Option<SecurityProtocol> {
        match id {
            0 => Some(SecurityProtocol::Plaintext),
            1 => Some(SecurityProtocol::Ssl),
            2 => Some(SecurityProtocol::SaslPlaintext),
            3 => Some(SecurityProtocol::SaslSsl),
            _ => None,
        }
    }

    /// Kafka's name, such as `SASL_SSL`.
    pub const fn name(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }

    /// Reads Kafka's name in any case.
    pub fn from_name(name: &str) -> Option<SecurityProtocol> {
        (0..=3)
            .filter_map(SecurityProtocol::from_wire)
            .find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where one listener of a broker is reached: what it advertises, not what it binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener, such as `PLAINTEXT` or `INTERNAL`.
    pub listener: String,
    /// Host name or address for clients.
    pub host: String,
    /// Port for clients.
    pub port: u16,
    /// How the listener is secured.
    pub security_protocol: SecurityProtocol,
}

/// The levels of one feature that a broker can work with; both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureRange {
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// One broker as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// `node.id`.
    pub id: BrokerId,
    /// Orders the incarnations of this broker (KIP-903).
    pub epoch: BrokerEpoch,
    /// Names this run of the process.
    pub incarnation: IncarnationId,
    /// One per listener; listener names are unique.
    pub endpoints: Vec<Endpoint>,
    /// What the broker supports, by feature name.
    pub features: BTreeMap<String, FeatureRange>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Whether the broker may lead and count as in sync.
    pub fencing: Fencing,
    /// Its log directories that are online.
    pub directories: Vec<DirectoryId>,
    /// Log directories that get no new replicas (KIP-1066); what is in them stays.
    pub cordoned: Vec<DirectoryId>,
}

/// Whether a broker takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fencing {
    /// It may lead partitions.
    Unfenced,
    /// It is registered and leads nothing until it has caught up.
    Fenced,
    /// It hands its partitions over and will stop (KIP-841).
    ControlledShutdown,
}

impl BrokerRegistration {
    /// The endpoint of the listener called `listener`.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.listener == listener)
    }

    /// Whether a replica in `directory` is there. One that is not assigned to a directory may be in any.
    pub fn has_online(&self, directory: DirectoryId) -> bool {
        directory == DirectoryId::default() || self.directories.contains(&directory)
    }

    /// Whether all its log directories are cordoned: it gets no new replicas.
    pub fn is_cordoned(&self) -> bool {
        let mut directories = self.directories.iter();
        !self.directories.is_empty() && directories.all(|id| self.cordoned.contains(id))
    }

    /// Whether it may be a leader: neither fenced nor on its way out.
    pub fn is_active(&self) -> bool {
        self.fencing == Fencing::Unfenced
    }
}
