use super::machine::Machine;
use super::types::TypeConfig;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{NetSnapshot, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, OptionalSend, Raft, RaftNetworkFactory, RaftNetworkV2};
use ottla_metadata::StoredSnapshot;
use ottla_metadata::quorum::Voter;
use std::future::Future;
use std::sync::Arc;

/// How a member reaches the others.
pub(super) trait Peers:
    RaftNetworkFactory<TypeConfig, Network: NetSnapshot<TypeConfig, SnapshotData = Arc<StoredSnapshot>>>
{
    /// What is called when the member is there and can be reached by others.
    fn joining(&self) -> Box<dyn FnOnce(&RaftMember) + Send>;
}

/// One member, as its peers call it.
pub(super) type RaftMember = Raft<TypeConfig, Machine>;

/// The network of a quorum of one: nobody is there.
pub(super) struct Nobody;

fn unreachable() -> Unreachable<TypeConfig> {
    Unreachable::from_string("this quorum has one voter")
}

impl Peers for Nobody {
    fn joining(&self) -> Box<dyn FnOnce(&RaftMember) + Send> {
        Box::new(|_| {})
    }
}

impl RaftNetworkFactory<TypeConfig> for Nobody {
    type Network = Nobody;

    async fn new_client(&mut self, _target: Voter, _node: &EmptyNode) -> Nobody {
        Nobody
    }
}

impl RaftNetworkV2<TypeConfig> for Nobody {
    type SnapshotData = Arc<StoredSnapshot>;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(RPCError::Unreachable(unreachable()))
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(RPCError::Unreachable(unreachable()))
    }

    async fn full_snapshot(
        &mut self,
        _vote: VoteOf<TypeConfig>,
        _snapshot: SnapshotOf<TypeConfig, Arc<StoredSnapshot>>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(StreamingError::Unreachable(unreachable()))
    }
}
