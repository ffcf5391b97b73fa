use super::definition::split_list;
use super::static_config::{Findings, StaticConfig};
use std::collections::BTreeMap;
use std::fmt;

/// How bytes travel on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// As they are.
    Plaintext,
}

impl SecurityProtocol {
    /// Kafka's number, as in registration records.
    pub const fn wire(self) -> i16 {
        match self {
            SecurityProtocol::Plaintext => 0,
        }
    }
}

/// One address the broker listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in upper case.
    pub name: String,
    /// The address to bind; empty means all.
    pub host: String,
    /// The port to bind; 0 picks a free one.
    pub port: u16,
    /// How bytes travel on it.
    pub protocol: SecurityProtocol,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.name, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.name, self.host, self.port)
        }
    }
}

/// The address clients of a listener are told to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedListener {
    /// Name of the listener, in upper case.
    pub name: String,
    /// The host to name.
    pub host: AdvertisedHost,
    /// The port to name; `None`: the one that is bound.
    pub port: Option<u16>,
}

/// The host clients are told to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdvertisedHost {
    /// The address the client already reached.
    Auto,
    /// This one.
    Named(String),
}

/// Listeners for clients, what they advertise, and the controller's, which nobody connects to yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// What clients connect to.
    pub clients: Vec<Listener>,
    /// One for each of `clients`, in the same order.
    pub advertised: Vec<AdvertisedListener>,
    /// Names of the listeners that are the controller's.
    pub controllers: Vec<String>,
}

struct Address<'a> {
    name: String,
    host: &'a str,
    port: u16,
}

impl Listeners {
    pub(super) fn read(config: &StaticConfig, findings: &mut Findings) -> Listeners {
        let controllers: Vec<String> =
            split_list(config.text("controller.listener.names").unwrap_or(""))
                .into_iter()
                .map(str::to_uppercase)
                .collect();
        let protocols = read_protocols(config, findings);
        let mut clients: Vec<Listener> = Vec::new();
        for item in split_list(config.text("listeners").unwrap_or("")) {
            let Some(address) = read_address("listeners", item, findings) else {
                continue;
            };
            if clients.iter().any(|other| other.name == address.name) {
                findings.fault(format!(
                    "listeners: each listener must have a different name, {} is there twice",
                    address.name
                ));
                continue;
            }
            let is_controller = controllers.contains(&address.name);
            let Some(protocol) = read_protocol(&address.name, &protocols, is_controller, findings)
            else {
                continue;
            };
            if !is_controller {
                clients.push(Listener {
                    name: address.name,
                    host: address.host.to_owned(),
                    port: address.port,
                    protocol,
                });
            }
        }
        if clients.is_empty() && findings.faults.is_empty() {
            findings.fault(
                "listeners: there must be at least one that is not the controller's".to_owned(),
            );
        }
        check_inter_broker(config, &clients, findings);
        let advertised = read_advertised(config, &clients, &controllers, findings);
        Listeners {
            clients,
            advertised,
            controllers,
        }
    }
}

/// `NAME:PROTOCOL` pairs; names in upper case.
fn read_protocols(config: &StaticConfig, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut protocols = BTreeMap::new();
    for item in split_list(config.text("listener.security.protocol.map").unwrap_or("")) {
        match item.split_once(':') {
            Some((name, protocol)) => {
                protocols.insert(name.trim().to_uppercase(), protocol.trim().to_uppercase());
            }
            None => findings.fault(format!(
                "listener.security.protocol.map: expected NAME:PROTOCOL, not '{item}'"
            )),
        }
    }
    protocols
}

fn read_protocol(
    name: &str,
    protocols: &BTreeMap<String, String>,
    is_controller: bool,
    findings: &mut Findings,
) -> Option<SecurityProtocol> {
    match protocols.get(name).map(String::as_str) {
        Some("PLAINTEXT") => Some(SecurityProtocol::Plaintext),
        // Nobody connects to a controller listener of a single node.
        Some("SSL" | "SASL_PLAINTEXT" | "SASL_SSL") | None if is_controller => {
            Some(SecurityProtocol::Plaintext)
        }
        Some(secure @ ("SSL" | "SASL_PLAINTEXT" | "SASL_SSL")) => {
            findings.fault(format!(
                "listeners: listener {name} uses {secure}, which comes with a later release; only PLAINTEXT is there now"
            ));
            None
        }
        Some(other) => {
            findings.fault(format!(
                "listener.security.protocol.map: {other} is not a security protocol (PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL)"
            ));
            None
        }
        None => {
            findings.fault(format!(
                "listeners: no security protocol is defined for listener {name}; add {name}:PLAINTEXT to listener.security.protocol.map"
            ));
            None
        }
    }
}

fn read_address<'a>(key: &str, item: &'a str, findings: &mut Findings) -> Option<Address<'a>> {
    let parsed = item.split_once("://").and_then(|(name, rest)| {
        let (host, port) = rest.rsplit_once(':')?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        Some(Address {
            name: name.trim().to_uppercase(),
            host,
            port: port.parse().ok()?,
        })
    });
    if parsed.is_none() {
        findings.fault(format!(
            "{key}: unable to parse '{item}' as a listener: expected NAME://host:port"
        ));
    }
    parsed
}

fn check_inter_broker(config: &StaticConfig, clients: &[Listener], findings: &mut Findings) {
    let Some(name) = config.text("inter.broker.listener.name") else {
        return;
    };
    let name = name.to_uppercase();
    if !clients.is_empty() && clients.iter().all(|listener| listener.name != name) {
        findings.fault(format!(
            "inter.broker.listener.name: {name} is not one of the listeners"
        ));
    }
}

fn read_advertised(
    config: &StaticConfig,
    clients: &[Listener],
    controllers: &[String],
    findings: &mut Findings,
) -> Vec<AdvertisedListener> {
    let text = config.text("advertised.listeners").unwrap_or("auto");
    let mut given: BTreeMap<String, (AdvertisedHost, u16)> = BTreeMap::new();
    if text != "auto" {
        for item in split_list(text) {
            let Some(address) = read_address("advertised.listeners", item, findings) else {
                continue;
            };
            let host = match address.host {
                "auto" | "" => AdvertisedHost::Auto,
                "0.0.0.0" | "::" => {
                    findings.fault(format!(
                        "advertised.listeners cannot use the nonroutable meta-address {}: name a host clients can reach, or write auto",
                        address.host
                    ));
                    continue;
                }
                host => AdvertisedHost::Named(host.to_owned()),
            };
            let is_known = controllers.contains(&address.name)
                || clients.iter().any(|listener| listener.name == address.name);
            if is_known {
                given.insert(address.name, (host, address.port));
            } else {
                findings.fault(format!(
                    "advertised.listeners: {} is not one of the listeners",
                    address.name
                ));
            }
        }
    }
    clients
        .iter()
        .map(|listener| match given.remove(&listener.name) {
            Some((host, port)) => AdvertisedListener {
                name: listener.name.clone(),
                host,
                port: (port != 0).then_some(port),
            },
            None => AdvertisedListener {
                name: listener.name.clone(),
                host: match listener.host.as_str() {
                    "" | "0.0.0.0" | "::" => AdvertisedHost::Auto,
                    host => AdvertisedHost::Named(host.to_owned()),
                },
                port: None,
            },
        })
        .collect()
}
