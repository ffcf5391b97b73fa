use crate::broker::{BlockingWork, Broker};
use crate::error_map;
use crate::partition::{LocalPartition, ReadView};
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::view::View;
use crate::waiting::{Parked, PromisedAnswer};
use ottla_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use ottla_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ottla_storage::log_dir::{ReadError, TimestampOffset};
use ottla_storage::segment::Access;
use ottla_types::{ErrorCode, LeaderEpoch, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a timestamp asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// The end of what the client may read.
    Latest,
    /// The start of the log.
    Earliest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The start of what is on local disks (KIP-405): everything is.
    EarliestLocal,
    /// The end of what is in a remote tier (KIP-1005): nothing is.
    LatestTiered,
    /// The start of what is about to go to a remote tier (KIP-1023): nothing is.
    EarliestPendingUpload,
    /// The first record at or after this time.
    At(Timestamp),
}

impl Wanted {
    /// `None` for numbers that mean nothing in this version.
    fn from_wire(timestamp: i64, version: i16) -> Option<Wanted> {
        let (wanted, since) = match timestamp {
            -1 => (Wanted::Latest, 0),
            -2 => (Wanted::Earliest, 0),
            -3 => (Wanted::MaxTimestamp, 7),
            -4 => (Wanted::EarliestLocal, 8),
            -5 => (Wanted::LatestTiered, 9),
            -6 => (Wanted::EarliestPendingUpload, 11),
            timestamp if timestamp < 0 => return None,
            timestamp => (Wanted::At(Timestamp::from_millis(timestamp)), 0),
        };
        (since <= version).then_some(wanted)
    }
}

/// The request without borrowed parts: a search may go on in another thread.
struct Query {
    reply_to: ReplyTo,
    topics: Vec<(String, Vec<ListOffsetsPartition>)>,
    view: Arc<View>,
}

/// A search that would have to wait for a disk.
struct WouldBlock;

/// An offset with its timestamp and epoch; `None` where the answer has -1.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    offset: Option<i64>,
    timestamp: Option<i64>,
    leader_epoch: Option<LeaderEpoch>,
}

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: ListOffsetsRequest<'_> = request.decode()?;
    let topics = message.topics.into_iter();
    let query = Query {
        reply_to: request.reply_to(),
        topics: topics
            .map(|topic| (topic.name.into_owned(), topic.partitions))
            .collect(),
        view: Arc::clone(&request.view),
    };
    if let Ok(handled) = query.run(request.broker, Access::Try) {
        return handled;
    }
    let token = request.broker.park(
        request.connection.core,
        Parked::Promised { deadline: None },
        None,
    );
    let broker = request.broker.shared();
    request.broker.wake.block(BlockingWork::new(move || {
        let handled = query.run(&broker, Access::Wait);
        // Who may wait is never told that it would have to.
        let Ok(handled) = handled else { return };
        broker.note_answer(token, PromisedAnswer::Done(outcome(handled)));
    }));
    Ok(Outcome::Parked {
        token,
        blocks_connection: false,
    })
}

impl Query {
    fn run(&self, broker: &Broker, access: Access) -> Result<Handled, WouldBlock> {
        let version = self.reply_to.version;
        let mut times_named = BTreeMap::<_, usize>::new();
        for (name, partitions) in &self.topics {
            for partition in partitions {
                let key = (name.as_str(), partition.partition_index);
                *times_named.entry(key).or_default() += 1;
            }
        }
        let mut topics = Vec::with_capacity(self.topics.len());
        for (name, partitions) in &self.topics {
            let mut answers = Vec::with_capacity(partitions.len());
            for partition in partitions {
                let found = match times_named.remove(&(name.as_str(), partition.partition_index)) {
                    Some(1) => self.find(name, partition, access)?,
                    Some(_) => Err(ErrorCode::InvalidRequest),
                    None => continue, // Answered where it was named first.
                };
                if let Err(code) = found {
                    broker.metrics.error(code);
                }
                answers.push(wire_answer(partition.partition_index, version, found));
            }
            if answers.is_empty() && !partitions.is_empty() {
                continue;
            }
            topics.push(ListOffsetsTopicResponse {
                name: name.as_str().into(),
                partitions: answers,
            });
        }
        let response = ListOffsetsResponse {
            topics,
            ..ListOffsetsResponse::default()
        };
        Ok(self.reply_to.encode(&response).map(Outcome::Reply))
    }

    fn find(
        &self,
        name: &str,
        partition: &ListOffsetsPartition,
        access: Access,
    ) -> Result<Result<Found, ErrorCode>, WouldBlock> {
        let version = self.reply_to.version;
        let Some(wanted) = Wanted::from_wire(partition.timestamp, version) else {
            return Ok(Err(ErrorCode::UnsupportedVersion));
        };
        let local = match self.view.by_name(name, partition.partition_index) {
            Ok(local) => local,
            Err(code) => return Ok(Err(code)),
        };
        let client_epoch = LeaderEpoch::from_wire(partition.current_leader_epoch);
        let read = match local.read_view(client_epoch) {
            Ok(read) => read,
            Err(code) => return Ok(Err(code)),
        };
        if !read.is_certain
            && matches!(
                wanted,
                Wanted::Latest | Wanted::At(_) | Wanted::MaxTimestamp
            )
        {
            // An earlier leader may have shown more than is known here so far (KIP-207).
            return Ok(Err(match version < 5 {
                true => ErrorCode::LeaderNotAvailable,
                false => ErrorCode::OffsetNotAvailable,
            }));
        }
        search(local, &read, wanted, access)
    }
}

fn search(
    local: &LocalPartition,
    read: &ReadView,
    wanted: Wanted,
    access: Access,
) -> Result<Result<Found, ErrorCode>, WouldBlock> {
    let found = match wanted {
        Wanted::Latest => {
            return Ok(Ok(Found {
                offset: Some(read.last_stable_offset().get()),
                timestamp: None,
                leader_epoch: Some(read.leader_epoch),
            }));
        }
        Wanted::Earliest | Wanted::EarliestLocal => {
            let start = read.log_start_offset;
            return Ok(Ok(Found {
                offset: Some(start.get()),
                timestamp: None,
                leader_epoch: local.at_home(|home| home.log_dir.epoch_of(home.slot, start)),
            }));
        }
        Wanted::LatestTiered | Wanted::EarliestPendingUpload => return Ok(Ok(Found::default())),
        Wanted::MaxTimestamp => local.at_home(|home| home.log_dir.max_timestamp(home.slot, access)),
        Wanted::At(timestamp) => local.at_home(|home| {
            let (log_dir, slot) = (&home.log_dir, home.slot);
            log_dir.offset_for_timestamp(slot, timestamp, access)
        }),
    };
    match found {
        Ok(found) => {
            let readable = |found: &TimestampOffset| found.offset < read.last_stable_offset();
            Ok(Ok(found.filter(readable).map_or_else(
                Found::default,
                |found| Found {
                    offset: Some(found.offset.get()),
                    timestamp: Some(found.timestamp.as_millis()),
                    leader_epoch: found.leader_epoch,
                },
            )))
        }
        Err(ReadError::WouldBlock(_)) => Err(WouldBlock),
        Err(error) => Ok(Err(error_map::read(&error))),
    }
}

fn wire_answer(
    partition_index: i32,
    version: i16,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (code, found) = match found {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => (code, Found::default()),
    };
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: code.code(),
        timestamp: found.timestamp.unwrap_or(-1),
        offset: found.offset.unwrap_or(-1),
        leader_epoch: match found.leader_epoch {
            Some(epoch) if 4 <= version => epoch.get(),
            _ => -1,
        },
    }
}
