use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use ottla_client::{Client, ClientOptions};
use tracing_subscriber::filter::LevelFilter;

use crate::client_arguments::ClientArguments;
use crate::failure::Failure;
use crate::logs;
use crate::profiles::Profiles;
use crate::properties::{Properties, read_file};
use crate::protection::{PROTECTED, Protection};

/// The same, as Java and librdkafka name it.
pub const BOOTSTRAP_NAMES: &[&str] = &["bootstrap.servers", "metadata.broker.list"];
const DEFAULT_BOOTSTRAP: &str = "localhost:9092";
/// A person waits less long than a program: a topic or broker that is not there by then is missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long nothing is said while the cluster is tried to be reached.
const SILENCE: Duration = Duration::from_secs(2);

/// A client, and the properties nobody has read yet.
pub struct Session {
    pub client: Client,
    pub properties: Properties,
    /// Where the client asks first.
    pub bootstrap: String,
    /// What stands before deeds that cannot be undone.
    pub protection: Protection,
}

/// Runs `work` with a client that is made as the command line says, and has reached the cluster.
pub fn with_client(
    arguments: &ClientArguments,
    work: impl AsyncFnOnce(Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    with_lazy_client(arguments, async |session| {
        reach(&session).await?;
        work(session).await
    })
}

/// Reaches the cluster, and says so if that takes long: it may be about to start.
async fn reach(session: &Session) -> Result<(), Failure> {
    let mut reaching = std::pin::pin!(session.client.reach());
    if let Ok(reached) = tokio::time::timeout(SILENCE, &mut reaching).await {
        return Ok(reached?);
    }
    errln!("waiting: {} does not answer yet", session.bootstrap);
    Ok(reaching.await?)
}

/// As [`with_client`], but the cluster may be out of reach.
pub fn with_lazy_client(
    arguments: &ClientArguments,
    work: impl AsyncFnOnce(Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // A server that asks its own broker something has begun to log already, and never asks for more.
    if arguments.verbose {
        logs::start(LevelFilter::DEBUG, arguments)?;
    }
    let profile = profile(arguments)?;
    let mut properties = properties(arguments, &profile)?;
    let from_properties = properties.take(BOOTSTRAP_NAMES);
    let bootstrap = arguments.bootstrap_servers.clone().or(from_properties);
    let bootstrap = bootstrap.unwrap_or_else(|| DEFAULT_BOOTSTRAP.to_owned());
    let is_protected = properties.take_parsed(&[PROTECTED])?.unwrap_or(false);
    let protection = match profile {
        Some(profile) if is_protected && !arguments.yes && profile.is_of(&bootstrap)? => {
            Protection::Profile(profile.name)
        }
        _ => Protection::None,
    };
    let mut options = client_options(&mut properties)?;
    if let Some(timeout) = arguments.timeout {
        options.operation_timeout = timeout;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    runtime.block_on(async {
        let client = Client::lazy(&bootstrap, options)?;
        work(Session {
            client,
            properties,
            bootstrap,
            protection,
        })
        .await
    })
}

/// The profile that is used.
struct Profile {
    name: String,
    /// Its properties, as `key=value` lines.
    lines: Vec<String>,
}

impl Profile {
    /// Whether its cluster is the one at `bootstrap`: another may have been named beside it.
    fn is_of(&self, bootstrap: &str) -> Result<bool, Failure> {
        let own = Properties::parse(&self.lines)?.take(BOOTSTRAP_NAMES);
        Ok(own.is_none_or(|own| is_shared(&brokers_of(&own), &brokers_of(bootstrap), resolve)))
    }
}

/// Whether the lists have a broker in common, by its name or by where that leads: `localhost` is
/// `127.0.0.1`.
fn is_shared(
    one: &HashSet<String>,
    other: &HashSet<String>,
    resolve: impl Fn(&str) -> Vec<SocketAddr>,
) -> bool {
    let places = |brokers: &HashSet<String>| -> HashSet<SocketAddr> {
        let found = brokers.iter().flat_map(|broker| resolve(broker));
        found.map(place).collect()
    };
    !one.is_disjoint(other) || !places(one).is_disjoint(&places(other))
}

/// Where a name leads; nowhere, if nobody knows it.
fn resolve(broker: &str) -> Vec<SocketAddr> {
    broker
        .to_socket_addrs()
        .map_or(Vec::new(), Iterator::collect)
}

/// The same for all addresses by which this machine reaches itself.
fn place(address: SocketAddr) -> SocketAddr {
    let ip = address.ip().to_canonical();
    let is_own = ip.is_loopback() || ip.is_unspecified();
    let ip = if is_own {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        ip
    };
    SocketAddr::new(ip, address.port())
}

/// The brokers of a list, alike for those that are reached alike. Two lists of one cluster seldom
/// name the same of its brokers: one in common is enough to know it by.
fn brokers_of(list: &str) -> HashSet<String> {
    const PORT_DEFAULT: &str = ":9092";
    let addresses = list.split(',').map(str::trim).filter(|it| !it.is_empty());
    let whole = addresses.map(|address| {
        let port = address.rsplit(']').next().filter(|it| it.contains(':'));
        address.to_ascii_lowercase() + port.map_or(PORT_DEFAULT, |_| "")
    });
    whole.collect()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn profile(arguments: &ClientArguments) -> Result<Option<Profile>, Failure> {
    let Some(profiles) = Profiles::of_user() else {
        return Ok(None);
    };
    let named = arguments
        .profile
        .clone()
        .or_else(|| variable("OTTLA_PROFILE"));
    let name = match named {
        Some(name) => Some(name),
        None => profiles.current()?,
    };
    let Some(name) = name else {
        return Ok(None);
    };
    let lines = profiles.read(&name)?;
    Ok(Some(Profile { name, lines }))
}

/// The profile's, then the environment's, then the file's, then those of -X: the last one wins.
fn properties(
    arguments: &ClientArguments,
    profile: &Option<Profile>,
) -> Result<Properties, Failure> {
    let mut lines = Vec::new();
    if let Some(profile) = profile {
        lines.extend(profile.lines.iter().cloned());
    }
    let servers = variable("OTTLA_BOOTSTRAP_SERVERS");
    let servers = servers.or_else(|| variable("KAFKA_BOOTSTRAP_SERVERS"));
    lines.extend(servers.map(|servers| format!("bootstrap.servers={servers}")));
    if let Some(path) = &arguments.config_file {
        lines.extend(read_file(path)?);
    }
    lines.extend(arguments.properties.iter().cloned());
    Properties::parse(&lines)
}

fn client_options(properties: &mut Properties) -> Result<ClientOptions, Failure> {
    let mut options = ClientOptions {
        client_id: "ottla".to_owned(),
        operation_timeout: PATIENCE,
        ..ClientOptions::default()
    };
    if let Some(client_id) = properties.take(&["client.id"]) {
        options.client_id = client_id;
    }
    if let Some(timeout) = properties.take_millis(&["request.timeout.ms"])? {
        options.request_timeout = timeout;
    }
    let connect = ["socket.connection.setup.timeout.ms"];
    if let Some(timeout) = properties.take_millis(&connect)? {
        options.connect_timeout = timeout;
    }
    if let Some(timeout) = properties.take_millis(&["default.api.timeout.ms", "max.block.ms"])? {
        options.operation_timeout = timeout;
    }
    if let Some(backoff) = properties.take_millis(&["retry.backoff.ms"])? {
        options.backoff.first = backoff;
    }
    if let Some(backoff) = properties.take_millis(&["retry.backoff.max.ms"])? {
        options.backoff.max = backoff;
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::{SocketAddr, brokers_of, is_shared};

    #[test]
    fn lists_of_one_cluster_share_a_broker() {
        for (one, other, expected) in [
            ("a:9092,b:9092", "b:9092", true),
            ("a:9092", "c:9092, A", true),
            ("[::1]:9092", "b,[::1]", true),
            ("a:9092,b:9092", "b:9093,c:9092", false),
            ("a:9092,", "b:9092,", false),
        ] {
            let nobody = |_: &str| Vec::new();
            let found = is_shared(&brokers_of(one), &brokers_of(other), nobody);
            assert_eq!(found, expected, "{one} and {other}");
        }
    }

    #[test]
    fn names_of_one_place_are_one_broker() {
        let resolve = |broker: &str| -> Vec<SocketAddr> {
            let places: &[&str] = match broker {
                "localhost:9092" => &["[::1]:9092", "127.0.0.1:9092"],
                "kafka:9092" | "10.0.0.7:9092" => &["10.0.0.7:9092"],
                "[::1]:9092" => &["[::1]:9092"],
                "[::ffff:127.0.0.1]:9092" => &["[::ffff:127.0.0.1]:9092"],
                "127.0.1.1:9092" => &["127.0.1.1:9092"],
                "0.0.0.0:9092" => &["0.0.0.0:9092"],
                "localhost:9093" => &["127.0.0.1:9093"],
                _ => &[],
            };
            places.iter().map(|place| place.parse().unwrap()).collect()
        };
        for (one, other, expected) in [
            ("localhost", "[::1]:9092", true),
            ("localhost", "127.0.1.1", true),
            ("localhost", "0.0.0.0", true),
            ("localhost", "[::ffff:127.0.0.1]:9092", true),
            ("a,kafka", "10.0.0.7", true),
            ("localhost", "localhost:9093", false),
            ("localhost", "kafka", false),
            ("unknown", "nobody", false),
        ] {
            let found = is_shared(&brokers_of(one), &brokers_of(other), resolve);
            assert_eq!(found, expected, "{one} and {other}");
        }
    }
}
