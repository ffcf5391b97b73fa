use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_broker::GroupClient;
use ottla_protocol::ApiKey;
use serde_json::{Value, json};

use super::ServerReport;
use crate::network::ConnectionEntry;

/// Groups by the client id and the address of a member.
type Memberships = BTreeMap<(Arc<str>, Arc<str>), BTreeSet<String>>;

impl ServerReport {
    /// The connections to this node, those that came first first.
    pub(super) fn connected(&self) -> Value {
        let mut memberships = Memberships::new();
        for member in self.broker.group_clients() {
            let GroupClient {
                group,
                client_id,
                client_host,
            } = member;
            let groups = memberships.entry((client_id, client_host)).or_default();
            groups.insert(group);
        }
        let mut connections = self.workers.connections();
        connections.sort_by_key(|entry| entry.since.mono);
        let connections = connections
            .iter()
            .map(|entry| self.connection(entry, &memberships));
        json!({
            "cluster_id": self.broker.image().cluster_id().unwrap_or_default(),
            "node_id": self.broker.config().node_id.get(),
            "clients": connections.collect::<Vec<_>>(),
        })
    }

    fn connection(&self, entry: &ConnectionEntry, memberships: &Memberships) -> Value {
        let said = entry.identity.said();
        let host = format!("/{}", entry.peer.ip().to_canonical());
        // Members are known by what they call themselves: two processes of one name on one machine
        // are shown in each other's groups.
        let groups = said.client_id.as_ref().and_then(|client_id| {
            let key = (Arc::clone(client_id), Arc::from(host.as_str()));
            memberships.get(&key)
        });
        let now = self.clock.mono();
        let last = entry.last_request();
        let heard_at = last.map_or(entry.since.mono, |last| last.at);
        json!({
            "client_id": said.client_id.as_deref(),
            "software_name": said.software.as_ref().map(|software| &software.name),
            "software_version": said.software.as_ref().map(|software| &software.version),
            "address": entry.peer.to_string(),
            "listener": &*entry.listener,
            "connected_at_ms": entry.since.wall.as_millis(),
            "connected_ms": millis(now.since(entry.since.mono)),
            "idle_ms": millis(now.since(heard_at)),
            "requests": entry.requests(),
            "received_bytes": entry.received_bytes.load(Ordering::Relaxed),
            "sent_bytes": entry.sent_bytes.load(Ordering::Relaxed),
            "last_api": last.map(|last| api_name(last.api_key)),
            "last_api_version": last.map(|last| last.api_version),
            "groups": groups.into_iter().flatten().collect::<Vec<_>>(),
            "topics": entry.identity.topics().iter().map(|topic| &**topic).collect::<Vec<_>>(),
        })
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn api_name(key: i16) -> String {
    ApiKey::from_i16(key).map_or_else(|| key.to_string(), |api| api.name().to_owned())
}
