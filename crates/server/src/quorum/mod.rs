//! The metadata quorum on openraft: a thread of its own, apart from client work and the data WAL.
//!
//! What is persisted is `metadata`'s `QuorumStore`, in our own format; openraft decides, this module
//! carries out and translates. Today's quorum has one voter, which leads from its first write on; that the
//! same path carries three is what the tests with a network within one process show.

mod events;
mod log_store;
mod machine;
mod network;
mod types;

pub use events::EventSink;

use bytes::Bytes;
use events::Events;
use log_store::LogStore;
use machine::Machine;
use network::Peers;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, RaftError};
use openraft::metrics::RaftServerMetrics;
use openraft::{Config, Raft, SnapshotPolicy};
use ottla_metadata::quorum::{NotLeader, Quorum, QuorumStatus, Ticket, Voter};
use ottla_metadata::{QuorumStore, QuorumStoreError, Record, codec};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;
use types::{Batch, TypeConfig};

/// The member of the metadata quorum in this process.
///
/// Dropping it ends its thread without ceremony: everything that was answered is durable already.
pub struct OpenraftQuorum {
    events: Arc<Events>,
    log_store: LogStore,
    requests: mpsc::UnboundedSender<Batch>,
    thread: Option<JoinHandle<()>>,
}

/// How a quorum works.
pub struct QuorumOptions {
    /// Bytes of entries after which a snapshot is taken.
    pub snapshot_entries_size: u64,
    /// How long after the last write it is proven by another one, so that damage to it can be told from a
    /// torn write.
    pub proof_pause: Duration,
    /// Whether there are others to hear from.
    pub pace: Pace,
}

/// What a member does as time passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nothing: a quorum of one needs no clock, and an idle node is not woken.
    Alone,
    /// It says that it leads, or asks to lead when nobody says so.
    Among {
        /// How often a leader is heard.
        heartbeat: Duration,
        /// After how much silence a member asks for votes; the longer ones differ by chance.
        election: Range<Duration>,
    },
}

impl Default for QuorumOptions {
    /// What suits a cluster: a start applies at most 4 MiB of entries.
    fn default() -> QuorumOptions {
        QuorumOptions {
            snapshot_entries_size: 4 << 20,
            proof_pause: Duration::from_millis(20),
            pace: Pace::Alone,
        }
    }
}

impl OpenraftQuorum {
    /// Is the quorum, with `store`. Events come from the quorum's own thread from now on.
    pub fn start(
        store: QuorumStore,
        options: &QuorumOptions,
        sink: EventSink,
    ) -> io::Result<OpenraftQuorum> {
        OpenraftQuorum::start_among(store, options, sink, network::Nobody)
    }

    /// Joins the quorum whose other members are reached through `peers`.
    fn start_among(
        store: QuorumStore,
        options: &QuorumOptions,
        sink: EventSink,
        peers: impl Peers,
    ) -> io::Result<OpenraftQuorum> {
        let (me, _) = store.owner();
        let log_store = LogStore::new(store);
        let events = Arc::new(Events::new(sink, options.snapshot_entries_size));
        let (requests, incoming) = mpsc::unbounded_channel();
        let member = Member {
            me,
            log_store: log_store.clone(),
            events: Arc::clone(&events),
            proof_pause: options.proof_pause,
            pace: options.pace.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("metadata-quorum".to_owned())
            .spawn(move || runtime.block_on(member.run(incoming, peers)))?;
        Ok(OpenraftQuorum {
            events,
            log_store,
            requests,
            thread: Some(thread),
        })
    }

    /// Bytes of the entries since the last snapshot.
    pub fn entries_size(&self) -> u64 {
        self.log_store.lock().store.entries_size()
    }
}

impl Quorum for OpenraftQuorum {
    fn propose(&self, term: u64, batch: Vec<Record>) -> Result<Ticket, NotLeader> {
        let bytes: Bytes = codec::encode_entry(term, &batch).into();
        self.events.admit(term, |ticket| {
            // A thread that is gone has said `Failed`, or the process ends: nobody waits any more.
            let _ = self.requests.send(Batch {
                bytes,
                ticket: Some(ticket),
            });
        })
    }

    fn status(&self) -> QuorumStatus {
        let mut status = self.events.status();
        // Without the store's lock, which is held while it writes.
        let indices = self.log_store.indices();
        status.last_index = indices.last.load(Ordering::Relaxed);
        status.snapshot_index = indices.snapshot.load(Ordering::Relaxed);
        status
    }
}

impl Drop for OpenraftQuorum {
    fn drop(&mut self) {
        // The closed channel ends the loop of the thread.
        let (closed, _) = mpsc::unbounded_channel();
        self.requests = closed;
        let Some(thread) = self.thread.take() else {
            return;
        };
        // The sink may hold the last handle: then this is the thread itself.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

/// Why a member cannot go on.
#[derive(Debug, thiserror::Error)]
enum StopReason {
    #[error(transparent)]
    Raft(#[from] Fatal<TypeConfig>),
    #[error(transparent)]
    Write(#[from] RaftError<TypeConfig, ClientWriteError<TypeConfig>>),
    #[error(transparent)]
    Store(#[from] QuorumStoreError),
}

/// What the quorum's thread runs.
struct Member {
    me: Voter,
    log_store: LogStore,
    events: Arc<Events>,
    proof_pause: Duration,
    pace: Pace,
}

impl Member {
    async fn run(self, incoming: mpsc::UnboundedReceiver<Batch>, peers: impl Peers) {
        if let Err(error) = self.serve(incoming, peers).await {
            self.events.failed(error.to_string());
        }
    }

    async fn serve(
        &self,
        mut incoming: mpsc::UnboundedReceiver<Batch>,
        peers: impl Peers,
    ) -> Result<(), StopReason> {
        let machine = Machine::new(self.log_store.clone(), Arc::clone(&self.events));
        let join = peers.joining();
        let raft = Raft::new(
            self.me,
            Arc::new(config(&self.pace)),
            peers,
            self.log_store.clone(),
            machine,
        )
        .await?;
        join(&raft);
        let mut metrics = raft.server_metrics();
        if !self.observe(&metrics) && self.pace == Pace::Alone {
            raft.trigger().elect(false).await?;
        }
        let mut is_proven = false;
        loop {
            tokio::select! {
                batch = incoming.recv() => match batch {
                    Some(batch) => raft.client_write_ff(batch, None).await?,
                    None => break,
                },
                changed = metrics.changed() => match changed {
                    Ok(()) => { self.observe(&metrics); }
                    // openraft is gone; its reason comes with the next call.
                    Err(_) => { raft.write_blank().await?; }
                },
                () = self.events.snapshot_due.notified() => {
                    if self.log_store.lock().store.has_room_for_snapshot() {
                        raft.trigger().snapshot().await?;
                    }
                }
                () = tokio::time::sleep(self.proof_pause), if !is_proven => {
                    self.prove()?;
                    is_proven = true;
                    continue;
                }
            }
            is_proven = false;
        }
        let _ = raft.shutdown().await;
        Ok(())
    }

    /// Without room the proof comes with the next write.
    fn prove(&self) -> Result<(), QuorumStoreError> {
        match self.log_store.lock().store.prove() {
            Err(error) if !error.is_full() => Err(error),
            _ => Ok(()),
        }
    }

    /// Passes on whether openraft leads; true if it does.
    fn observe(
        &self,
        metrics: &WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
    ) -> bool {
        let metrics = metrics.borrow_watched();
        let vote = types::to_vote(&metrics.vote);
        if metrics.state.is_leader() {
            let last_index = self.log_store.lock().store.end_index().saturating_sub(1);
            self.events.raft_leads(vote.term, self.me.node, last_index);
        } else {
            let leader = metrics.current_leader.map(|leader| leader.node);
            self.events.raft_follows(vote.term, leader);
        }
        metrics.state.is_leader()
    }
}

fn config(pace: &Pace) -> Config {
    let config = Config {
        cluster_name: "metadata".to_owned(),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    };
    match pace {
        Pace::Alone => Config {
            enable_tick: false,
            enable_heartbeat: false,
            enable_elect: false,
            enable_leader_restore: Some(true),
            ..config
        },
        Pace::Among {
            heartbeat,
            election,
        } => Config {
            heartbeat_interval: millis(*heartbeat),
            election_timeout_min: millis(election.start),
            election_timeout_max: millis(election.end),
            // Others may have led since: only they can say.
            enable_leader_restore: Some(false),
            ..config
        },
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod counting_disk;
#[cfg(test)]
mod switchboard;
#[cfg(test)]
mod tests;
