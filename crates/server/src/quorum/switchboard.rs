use super::network::{Peers, RaftMember};
use super::types::TypeConfig;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use ottla_metadata::StoredSnapshot;
use ottla_metadata::quorum::Voter;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

/// A network within one process, for tests: members are called directly, unless one of the two is cut off.
#[derive(Clone, Default)]
pub(super) struct Switchboard(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    members: BTreeMap<Voter, RaftMember>,
    cut_off: BTreeSet<Voter>,
}

/// What one member calls the others by.
pub(super) struct Port {
    switchboard: Switchboard,
    me: Voter,
}

/// From one member to another.
pub(super) struct Line {
    switchboard: Switchboard,
    ends: [Voter; 2],
}

impl Switchboard {
    pub(super) fn port(&self, me: Voter) -> Port {
        let switchboard = self.clone();
        Port { switchboard, me }
    }

    /// The member, if it runs.
    pub(super) fn member(&self, voter: Voter) -> Option<RaftMember> {
        self.0.lock().members.get(&voter).cloned()
    }

    /// The member ends.
    pub(super) fn unplug(&self, voter: Voter) {
        self.0.lock().members.remove(&voter);
    }

    /// Nobody hears the member, and it hears nobody.
    pub(super) fn cut(&self, voter: Voter) {
        self.0.lock().cut_off.insert(voter);
    }

    /// The member is heard again.
    pub(super) fn mend(&self, voter: Voter) {
        self.0.lock().cut_off.remove(&voter);
    }
}

impl Peers for Port {
    fn joining(&self) -> Box<dyn FnOnce(&RaftMember) + Send> {
        let (switchboard, me) = (self.switchboard.clone(), self.me);
        Box::new(move |member| drop(switchboard.0.lock().members.insert(me, member.clone())))
    }
}

impl RaftNetworkFactory<TypeConfig> for Port {
    type Network = Line;

    async fn new_client(&mut self, target: Voter, _node: &EmptyNode) -> Line {
        Line {
            switchboard: self.switchboard.clone(),
            ends: [self.me, target],
        }
    }
}

impl Line {
    fn peer(&self) -> Result<RaftMember, Unreachable<TypeConfig>> {
        let lines = self.switchboard.0.lock();
        let is_cut = self.ends.iter().any(|end| lines.cut_off.contains(end));
        let peer = lines.members.get(&self.ends[1]).filter(|_| !is_cut);
        peer.cloned()
            .ok_or_else(|| Unreachable::from_string("nobody answers"))
    }

    /// An answer is lost too when the line was cut meanwhile.
    fn heard<T, E: ToString>(&self, answer: Result<T, E>) -> Result<T, Unreachable<TypeConfig>> {
        self.peer()?;
        answer.map_err(|error| Unreachable::from_string(error.to_string()))
    }
}

impl RaftNetworkV2<TypeConfig> for Line {
    type SnapshotData = Arc<StoredSnapshot>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let peer = self.peer().map_err(RPCError::Unreachable)?;
        let answer = peer.append_entries(rpc).await;
        self.heard(answer).map_err(RPCError::Unreachable)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let peer = self.peer().map_err(RPCError::Unreachable)?;
        let answer = peer.vote(rpc).await;
        self.heard(answer).map_err(RPCError::Unreachable)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let peer = self.peer().map_err(RPCError::Unreachable)?;
        let answer = peer.pre_vote(rpc).await;
        self.heard(answer).map_err(RPCError::Unreachable)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, Arc<StoredSnapshot>>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let peer = self.peer().map_err(StreamingError::Unreachable)?;
        let answer = peer.install_full_snapshot(vote, snapshot).await;
        self.heard(answer).map_err(StreamingError::Unreachable)
    }
}
