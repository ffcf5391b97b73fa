use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use ottla_broker::config::{ConnectionSettings, ListenerSettings};

/// How many connections there may be, with names of hosts turned into addresses.
#[derive(Clone, Debug)]
pub struct ConnectionQuotas {
    /// `max.connections`.
    pub connections_max: usize,
    /// `max.connections.per.ip`.
    pub per_address_max: usize,
    /// `max.connections.per.ip.overrides`.
    pub per_address_overrides: Vec<(IpAddr, usize)>,
    /// `max.connection.creation.rate`, a second.
    pub creation_rate_max: u32,
    /// What counts for single listeners besides, by name in lower case.
    pub listeners: HashMap<String, ListenerSettings>,
}

/// A host among the overrides that has no address.
#[derive(Debug)]
pub struct Unresolved {
    pub name: String,
    pub source: io::Error,
}

impl ConnectionQuotas {
    /// What `settings` mean, and which hosts are left out for want of an address. May wait for a name
    /// server.
    pub fn resolve(settings: &ConnectionSettings) -> (ConnectionQuotas, Vec<Unresolved>) {
        let mut overrides = Vec::new();
        let mut unresolved = Vec::new();
        for (name, count) in &settings.per_address_overrides {
            match (name.as_str(), 0).to_socket_addrs() {
                Ok(addresses) => {
                    overrides.extend(addresses.map(|address| (address.ip(), *count)));
                }
                Err(source) => unresolved.push(Unresolved {
                    name: name.clone(),
                    source,
                }),
            }
        }
        let listeners = settings.listeners.iter();
        let quotas = ConnectionQuotas {
            connections_max: settings.connections_max,
            per_address_max: settings.per_address_max,
            per_address_overrides: overrides,
            creation_rate_max: settings.creation_rate_max,
            listeners: listeners
                .map(|(name, limits)| (name.clone(), *limits))
                .collect(),
        };
        (quotas, unresolved)
    }

    /// Most connections from `address`.
    pub fn connections_max_of(&self, address: IpAddr) -> usize {
        let mut overrides = self.per_address_overrides.iter();
        overrides
            .find(|(overridden, _)| *overridden == address)
            .map_or(self.per_address_max, |(_, max)| *max)
    }

    /// What counts for one listener.
    pub fn listener(&self, name: &str) -> ListenerSettings {
        let limits = self.listeners.get(&name.to_ascii_lowercase());
        limits.copied().unwrap_or_default()
    }
}

/// Lets so many through a second, those of a second at once; whoever comes too early waits.
#[derive(Debug)]
pub struct Gate {
    /// When everything that was let through has been paid for.
    paid_until: Instant,
}

impl Gate {
    pub fn new(now: Instant) -> Gate {
        Gate { paid_until: now }
    }

    /// Lets one through at `rate_max` a second, and says how long it has to wait first.
    pub fn pass(&mut self, rate_max: u32, now: Instant) -> Duration {
        let each = Duration::from_secs(1) / rate_max.max(1);
        let burst = Duration::from_secs(1).saturating_sub(each);
        self.paid_until = self.paid_until.max(now) + each;
        (self.paid_until - each).saturating_duration_since(now + burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_the_rate_through_and_no_more() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        let waits: Vec<u128> = (0..7).map(|_| gate.pass(4, start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 250, 500, 750]);
        let later = start + Duration::from_secs(10);
        assert_eq!(gate.pass(4, later), Duration::ZERO);
        let mut free = Gate::new(start);
        assert!((0..1_000_000).all(|_| free.pass(u32::MAX, start) == Duration::ZERO));
    }

    #[test]
    fn names_become_addresses_and_listeners_have_their_own_limits() {
        let settings = ConnectionSettings {
            connections_max: 9,
            per_address_max: 3,
            per_address_overrides: vec![("127.0.0.2".to_owned(), 5), ("not a host".to_owned(), 1)],
            creation_rate_max: 7,
            listeners: [(
                "internal".to_owned(),
                ListenerSettings {
                    connections_max: 2,
                    ..ListenerSettings::default()
                },
            )]
            .into(),
        };
        let (quotas, unresolved) = ConnectionQuotas::resolve(&settings);
        assert_eq!(unresolved.len(), 1);
        assert_eq!(unresolved[0].name, "not a host");
        let of = |address: &str| quotas.connections_max_of(address.parse().unwrap());
        assert_eq!((of("127.0.0.2"), of("127.0.0.3")), (5, 3));
        assert_eq!(quotas.listener("INTERNAL").connections_max, 2);
        assert_eq!(quotas.listener("PLAINTEXT").connections_max, usize::MAX);
    }
}
