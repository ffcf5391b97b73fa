use crate::broker::Broker;
use crate::partition::LocalPartition;
use ottla_coordinator::group::Rebalances;
use ottla_records::HEADER_SIZE;
use ottla_storage::log_dir::{Part, ReadLimit};
use ottla_types::{Now, Offset, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a batch's header says when its first and its last record are from.
const BASE_TIMESTAMP: std::ops::Range<usize> = 27..35;

/// A group as metrics show it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupReport {
    /// Its id.
    pub group: String,
    /// How it stands, in Kafka's words.
    pub state: &'static str,
    /// Members it has.
    pub members_count: usize,
    /// Generations it had: each is a rebalance.
    pub generation: i32,
    /// Rebalances that came to an end since it was loaded.
    pub rebalances: Rebalances,
    /// Requests that committed offsets since it was loaded.
    pub commits: u64,
    /// How far behind it is, partition by partition of those it has committed offsets of.
    pub lags: Vec<PartitionLag>,
}

/// How far a group is behind in one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionLag {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The next offset it reads, as it said.
    pub committed: i64,
    /// When it said so.
    pub committed_at: Timestamp,
    /// Records that are readable and not committed as read.
    pub records: u64,
    /// Age of the oldest of them; `None` when a disk would have to be waited for to know.
    pub seconds: Option<f64>,
}

/// Who is a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupClient {
    /// The group's id.
    pub group: String,
    /// Under which it joined.
    pub client_id: Arc<str>,
    /// The address it joined from, as Kafka writes it: `/127.0.0.1`.
    pub client_host: Arc<str>,
}

impl Broker {
    /// The members of the groups that are coordinated here.
    pub fn group_clients(&self) -> Vec<GroupClient> {
        let mut clients = Vec::new();
        for shard in self.groups.all() {
            shard.look(|coordinator| {
                for (id, group) in coordinator.groups() {
                    clients.extend(group.members().map(|member| GroupClient {
                        group: id.as_str().to_owned(),
                        client_id: Arc::clone(&member.parts.client_id),
                        client_host: Arc::clone(&member.parts.client_host),
                    }));
                }
            });
        }
        clients
    }

    /// The groups that are coordinated here, by id. Lags are those of partitions led from here.
    pub fn group_reports(&self, now: Now) -> Vec<GroupReport> {
        let mut reports = BTreeMap::<String, GroupReport>::new();
        let mut committed = Vec::new();
        for shard in self.groups.all() {
            shard.look(|coordinator| {
                for (id, group) in coordinator.groups() {
                    let report = GroupReport {
                        group: id.as_str().to_owned(),
                        state: group.state().name(),
                        members_count: group.members_count(),
                        generation: group.generation(),
                        rebalances: group.rebalances(),
                        commits: 0,
                        lags: Vec::new(),
                    };
                    reports.insert(report.group.clone(), report);
                }
                for (id, commits) in coordinator.commits() {
                    if let Some(report) = reports.get_mut(id.as_str()) {
                        report.commits = commits;
                    }
                }
                let offsets = coordinator.offsets();
                committed.extend(offsets.map(|(id, topic, partition, committed)| {
                    let said = (committed.offset, committed.committed_at);
                    (id.clone(), Arc::clone(topic), partition, said)
                }));
            });
        }
        // Logs are looked at when no shard is held up by it.
        let view = self.view.load();
        for (id, topic, partition, (offset, committed_at)) in committed {
            let Ok(local) = view.by_name(&topic, partition) else {
                continue;
            };
            let Some((records, seconds)) = lag(local, offset, now) else {
                continue;
            };
            if let Some(report) = reports.get_mut(id.as_str()) {
                report.lags.push(PartitionLag {
                    topic,
                    partition,
                    committed: offset,
                    committed_at,
                    records,
                    seconds,
                });
            }
        }
        reports.into_values().collect()
    }
}

/// Records behind and how old the oldest of them is.
fn lag(local: &LocalPartition, committed: i64, now: Now) -> Option<(u64, Option<f64>)> {
    let read = local.read_view(None).ok()?;
    let end = read.last_stable_offset();
    let from = Offset::from_wire(committed)?.max(read.log_start_offset);
    if end <= from {
        return Some((0, Some(0.0)));
    }
    let records = u64::try_from(end.get() - from.get()).unwrap_or(0);
    let seconds = first_timestamp(local, from, end).map(|millis| {
        let age = now.wall.as_millis().saturating_sub(millis);
        age.max(0) as f64 / 1e3
    });
    Some((records, seconds))
}

/// When the batch with the record at `from` was begun.
fn first_timestamp(local: &LocalPartition, from: Offset, end: Offset) -> Option<i64> {
    let limit = ReadLimit {
        end,
        bytes_max: 1,
        at_least_one_batch: true,
    };
    let plan = local.at_home(|home| home.log_dir.read(home.slot, from, limit));
    let plan = plan.ok()?;
    let mut header = [0; HEADER_SIZE];
    match plan.parts.first()? {
        Part::Memory(bytes) => header.copy_from_slice(bytes.get(..HEADER_SIZE)?),
        Part::File(range) => match range.try_load(0, &mut header) {
            Ok(true) => {}
            _ => return None,
        },
    }
    let millis = i64::from_be_bytes(header[BASE_TIMESTAMP].try_into().ok()?);
    (0 <= millis).then_some(millis)
}
