use super::fetch_item::{FetchItem, Look, TopicKey};
use super::fetch_set::Budget;
use crate::error_map;
use crate::partition::{LocalPartition, ReadView};
use crate::response::ResponsePart;
use crate::view::View;
use ottla_storage::log_dir::{LogDir, Part, ReadError, ReadLimit, ReadTicket};
use ottla_types::{ErrorCode, LeaderEpoch, Offset};
use std::sync::Arc;

/// Cold partitions that one look has read: the others have their turn at the next one.
const COLD_READS_MAX: usize = 64;

/// A read that has to be done by a thread that may wait.
pub(crate) struct ColdRead {
    pub(crate) partition: Arc<LocalPartition>,
    /// Where it is to be done, if the log is still there then.
    pub(crate) log_dir: Arc<LogDir>,
    pub(crate) ticket: ReadTicket,
}

/// Finds the partition an item means, as of `view`, if it is not known or gone. Returns whether it
/// is another one now.
pub(crate) fn find_target(view: &View, item: &mut FetchItem) -> Result<bool, ErrorCode> {
    if item.target.as_ref().is_some_and(|target| !target.is_gone()) {
        return Ok(false);
    }
    let target = resolve(view, item)?;
    item.target = Some(target);
    item.watching = false;
    item.told = None;
    Ok(true)
}

/// Looks at the partition an item means. A cold read counts as data withheld, and goes to `cold`.
pub(crate) fn look(item: &FetchItem, budget: Budget, cold: &mut Vec<ColdRead>) -> Look {
    let Some(target) = &item.target else {
        return Look::error(ErrorCode::UnknownTopicOrPartition);
    };
    let read = match target.read_view(item.position.current_leader_epoch) {
        Ok(read) => read,
        Err(code) => return Look::error(code),
    };
    let looked = look_at(target, &read, item, budget, cold);
    looked.unwrap_or_else(|code| Look::error(target.error_unless_gone(code)))
}

fn resolve(view: &View, item: &FetchItem) -> Result<Arc<LocalPartition>, ErrorCode> {
    match &item.topic {
        TopicKey::Name(name) => view.by_name(name, item.partition).map(Arc::clone),
        TopicKey::Id(id) => {
            let found = view.by_id(*id, item.partition).map(Arc::clone);
            match (&found, &item.target) {
                // The session knew the topic; by its name there is another one now, or none.
                (Err(ErrorCode::UnknownTopicId), Some(before)) => {
                    Err(match view.image.topic_by_name(&before.topic) {
                        Some(_) => ErrorCode::InconsistentTopicId,
                        None => ErrorCode::UnknownTopicOrPartition,
                    })
                }
                _ => found,
            }
        }
    }
}

fn look_at(
    target: &Arc<LocalPartition>,
    read: &ReadView,
    item: &FetchItem,
    budget: Budget,
    cold: &mut Vec<ColdRead>,
) -> Result<Look, ErrorCode> {
    let position = &item.position;
    let from = Offset::from_wire(position.fetch_offset).ok_or(ErrorCode::OffsetOutOfRange)?;
    if from < read.log_start_offset {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    if let Some(epoch) = position.last_fetched_epoch
        && let Some(diverging) = divergence(target, read, epoch, from)?
    {
        return Ok(Look {
            diverging: Some(diverging),
            ..Look::empty(read.told())
        });
    }
    if read.log_end_offset < from {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let readable_end = read.last_stable_offset();
    if readable_end <= from {
        return Ok(Look::empty(read.told()));
    }
    let partition_bytes = usize::try_from(position.bytes_max).unwrap_or(0);
    let bytes_max = partition_bytes.min(budget.bytes);
    if bytes_max == 0 && !budget.may_exceed {
        return Ok(Look {
            is_withheld: true,
            ..Look::empty(read.told())
        });
    }
    let limit = ReadLimit {
        end: readable_end,
        bytes_max,
        at_least_one_batch: budget.may_exceed,
    };
    let plan = target.at_home(|home| {
        let plan = home.log_dir.read(home.slot, from, limit);
        plan.map_err(|error| (error, Arc::clone(&home.log_dir)))
    });
    let plan = match plan {
        Ok(plan) => plan,
        Err((ReadError::WouldBlock(ticket), log_dir)) => {
            if cold.len() < COLD_READS_MAX {
                cold.push(ColdRead {
                    partition: Arc::clone(target),
                    log_dir,
                    ticket,
                });
            }
            return Ok(Look {
                is_withheld: true,
                ..Look::empty(read.told())
            });
        }
        Err((error, _)) => return Err(error_map::read(&error)),
    };
    let records = response_parts(plan.parts);
    let size = records.iter().map(ResponsePart::size).sum();
    Ok(Look {
        is_withheld: size == 0,
        size,
        records,
        ..Look::empty(read.told())
    })
}

/// A batch in memory up to this size is copied behind its neighbour: passing a piece on costs about
/// as much as copying so many bytes, on our side and again on the socket's.
const COPIED_BYTES_MAX: usize = 2 * 1024;

/// What a read found as pieces of a response, small neighbours in one.
fn response_parts(parts: Vec<Part>) -> Vec<ResponsePart> {
    if parts.len() == 1 {
        return parts.into_iter().map(response_part).collect();
    }
    let mut pieces = Vec::new();
    let mut small = Vec::new();
    for part in parts {
        match part {
            Part::Memory(bytes) if bytes.len() <= COPIED_BYTES_MAX => {
                small.extend_from_slice(&bytes);
            }
            part => {
                if !small.is_empty() {
                    pieces.push(ResponsePart::Bytes(std::mem::take(&mut small).into()));
                }
                pieces.push(response_part(part));
            }
        }
    }
    if !small.is_empty() {
        pieces.push(ResponsePart::Bytes(small.into()));
    }
    pieces
}

fn response_part(part: Part) -> ResponsePart {
    match part {
        Part::Memory(bytes) => ResponsePart::Bytes(bytes),
        Part::File(range) => ResponsePart::File(range),
    }
}

/// Where the client's log parts from ours, if it does (`Partition.readRecords`).
fn divergence(
    target: &LocalPartition,
    read: &ReadView,
    last_fetched: LeaderEpoch,
    from: Offset,
) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
    let (epoch, end) = target
        .epoch_end(read, last_fetched)
        .ok_or(ErrorCode::OffsetOutOfRange)?;
    Ok((epoch < last_fetched || end < from).then_some((epoch, end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn small_neighbours_become_one_piece_in_their_order() {
        let sizes = [
            1,
            2,
            COPIED_BYTES_MAX,
            COPIED_BYTES_MAX + 1,
            5,
            6,
            3000,
            4000,
        ];
        let part = |(index, size): (usize, &usize)| Part::Memory(vec![index as u8; *size].into());
        let parts: Vec<Part> = sizes.iter().enumerate().map(part).collect();
        let flat = |pieces: &[ResponsePart]| -> Vec<u8> {
            let bytes = pieces.iter().flat_map(|piece| match piece {
                ResponsePart::Bytes(bytes) => bytes.to_vec(),
                ResponsePart::File(_) => panic!("all in memory"),
            });
            bytes.collect()
        };
        let expected: Vec<u8> = parts
            .iter()
            .flat_map(|part| match part {
                Part::Memory(bytes) => bytes.to_vec(),
                Part::File(_) => panic!("all in memory"),
            })
            .collect();
        let pieces = response_parts(parts);
        assert_eq!(flat(&pieces), expected);
        let sizes: Vec<usize> = pieces.iter().map(ResponsePart::size).collect();
        assert_eq!(
            sizes,
            [3 + COPIED_BYTES_MAX, COPIED_BYTES_MAX + 1, 11, 3000, 4000]
        );
        let one = response_parts(vec![Part::Memory(Bytes::from_static(b"x"))]);
        assert_eq!(one.len(), 1);
    }
}
