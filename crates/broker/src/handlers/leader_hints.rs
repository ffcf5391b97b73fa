use crate::broker::Broker;
use crate::connection::Reached;
use crate::view::View;
use ottla_types::{BrokerId, ErrorCode, TopicPartition};

/// Who leads a partition, for a client that asked the wrong broker (KIP-951); -1 for unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaderHint {
    pub(super) leader_id: i32,
    pub(super) leader_epoch: i32,
}

/// The leaders an answer names, and where they are reached.
pub(super) struct LeaderHints {
    named: Vec<BrokerId>,
}

/// Where a named leader is reached.
pub(super) struct LeaderAddress {
    pub(super) node_id: i32,
    pub(super) host: String,
    pub(super) port: i32,
    pub(super) rack: Option<String>,
}

impl LeaderHints {
    pub(super) fn new() -> LeaderHints {
        LeaderHints { named: Vec::new() }
    }

    /// The hint to give with `code`; errors that have nothing to do with leadership get none.
    pub(super) fn hint(
        &mut self,
        view: &View,
        id: Option<TopicPartition>,
        code: ErrorCode,
    ) -> Option<LeaderHint> {
        if !matches!(
            code,
            ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
        ) {
            return None;
        }
        let partition = view.image.partition(id?)?;
        let leader = partition.leader?;
        if !self.named.contains(&leader) {
            self.named.push(leader);
        }
        Some(LeaderHint {
            leader_id: leader.get(),
            leader_epoch: partition.leader_epoch.get(),
        })
    }

    /// Where the named leaders are reached by a client of this listener.
    pub(super) fn addresses(
        &self,
        broker: &Broker,
        view: &View,
        reached: &Reached,
    ) -> Vec<LeaderAddress> {
        let registered = self.named.iter().filter_map(|id| view.image.broker(*id));
        let addresses = registered.filter_map(|registration| {
            let endpoint = registration.endpoint(&reached.listener)?;
            let is_me = registration.id == broker.config.node_id;
            let (host, port) = reached.address(&broker.config, endpoint, is_me);
            Some(LeaderAddress {
                node_id: registration.id.get(),
                host: host.into_owned(),
                port,
                rack: registration.rack.clone(),
            })
        });
        addresses.collect()
    }
}
