use std::net::IpAddr;
use std::time::Duration;

use ottla_client::{Admin, BrokerDescription, ConfigResource};
use serde_json::Value;

use crate::failure::Failure;
use crate::http_get::http_get;

/// How long one node may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node, and where its HTTP endpoints are.
pub struct Node {
    id: i32,
    cluster_id: String,
    http: String,
}

/// What a node says about one connection to it.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The node it is connected to.
    pub node: i64,
    /// Everything else.
    pub said: Value,
}

impl Node {
    /// The nodes of a cluster, with HTTP endpoints where they are configured to be.
    pub async fn all(admin: &Admin) -> Result<Vec<Node>, Failure> {
        let cluster = admin.describe_cluster().await?;
        let mut nodes = Vec::new();
        for broker in &cluster.brokers {
            nodes.push(Node {
                id: broker.id.get(),
                cluster_id: cluster.cluster_id.clone(),
                http: http_address(admin, broker).await?,
            });
        }
        Ok(nodes)
    }

    /// The one node with HTTP endpoints at `http`.
    pub async fn at(admin: &Admin, http: &str) -> Result<Node, Failure> {
        let cluster = admin.describe_cluster().await?;
        let [broker] = &cluster.brokers[..] else {
            return Err(Failure::usage(
                "--http names the endpoints of one node, and the cluster has several",
            ));
        };
        Ok(Node {
            id: broker.id.get(),
            cluster_id: cluster.cluster_id.clone(),
            http: http.to_owned(),
        })
    }

    /// Who is connected to it.
    pub async fn clients(&self) -> Result<Vec<Connected>, Failure> {
        let answer = http_get(&self.http, "/api/v1/clients", PATIENCE).await;
        let answer = answer.map_err(|reason| self.unreachable(&reason))?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| self.unreachable(&format!("the answer is not JSON: {error}")))?;
        // On a loopback address, or behind a forwarded port, somebody else may have answered.
        let is_it = answer["node_id"] == self.id && answer["cluster_id"] == *self.cluster_id;
        let clients = match (is_it, answer["clients"].as_array()) {
            (true, Some(clients)) => clients,
            _ => return Err(self.unreachable("another node answers there")),
        };
        let connected = clients.iter().map(|client| Connected {
            node: i64::from(self.id),
            said: client.clone(),
        });
        Ok(connected.collect())
    }

    fn unreachable(&self, reason: &str) -> Failure {
        let (id, http) = (self.id, &self.http);
        let failure = Failure::failed(format!(
            "node {id} does not say who is connected at http://{http}: {reason}"
        ));
        let is_local = http.starts_with("127.") || http.starts_with("[::1]");
        failure.with_hint(Some(match is_local {
            true => {
                "the node answers HTTP on its own machine only: run this there, or have it started \
                 with another ottla.http.host; --http names an address by which it is reached"
            }
            false => "--http names another address by which it is reached",
        }))
    }
}

/// Where the broker's HTTP endpoints are, as its configuration says.
async fn http_address(admin: &Admin, broker: &BrokerDescription) -> Result<String, Failure> {
    let configs = admin
        .describe_configs(&ConfigResource::Broker(broker.id))
        .await?;
    let value = |name: &str| {
        let config = configs.iter().find(|config| config.name == name);
        config.and_then(|config| config.value.as_deref())
    };
    let id = broker.id;
    let Some(port) = value("ottla.http.port") else {
        return Err(Failure::failed(format!(
            "broker {id} is not Ottla, and Kafka does not tell who is connected"
        )));
    };
    let Some(port) = port.parse::<u16>().ok() else {
        return Err(
            Failure::failed(format!("node {id} opens no HTTP endpoints to ask"))
                .with_hint(Some("ottla.http.port of the node sets their port")),
        );
    };
    let host = value("ottla.http.host").unwrap_or_default();
    let is_any = host.is_empty()
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_unspecified());
    // Bound to all addresses: also to the one that clients are told.
    let host = if is_any { &broker.host } else { host };
    Ok(match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    })
}
