use super::OFFSETS_TOPIC;
use super::shard::GroupShard;
use crate::broker::{BlockingWork, Broker};
use crate::counter::add;
use crate::partition::{LocalPartition, LogHome};
use crate::view::View;
use ottla_records::{Decompressor, batches};
use ottla_storage::log_dir::{DirHealth, Part, ReadLimit};
use ottla_storage::planted::PlantedBug;
use ottla_storage::segment::Access;
use ottla_types::{Now, Offset, PartitionId, TopicId, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What one read of a shard's log brings, at most, unless a batch is larger.
const LOAD_STEP_BYTES: usize = 1 << 20;

/// Why a shard cannot be loaded.
#[derive(Debug, thiserror::Error)]
enum LoadFailure {
    #[error(transparent)]
    Read(#[from] ottla_storage::log_dir::ReadError),
    #[error(transparent)]
    Fault(#[from] ottla_storage::segment::ReadFault),
    #[error(transparent)]
    Load(#[from] ottla_coordinator::LoadError),
}

impl Broker {
    /// Makes the shards those of the partitions that are led from here.
    pub(crate) fn follow_groups(&self) {
        let view = self.view.load();
        let led = led_partitions(&view);
        let mut gone = Vec::new();
        let mut new = Vec::new();
        {
            let mut shards = self.groups.shards.write();
            shards.retain(|number, shard| {
                let stays = led
                    .get(number)
                    .is_some_and(|(partition, epoch)| shard.is_for(partition, *epoch));
                if !stays {
                    gone.push(Arc::clone(shard));
                }
                stays
            });
            for (number, (partition, epoch)) in led {
                if shards.contains_key(&number) {
                    continue;
                }
                if let Some(shard) = GroupShard::new(&self.groups, partition, epoch) {
                    let shard = Arc::new(shard);
                    shards.insert(number, Arc::clone(&shard));
                    new.push(shard);
                }
            }
        }
        for shard in gone {
            shard.work(self, ottla_coordinator::Shard::give_up);
        }
        for shard in new {
            self.load_soon(shard);
        }
    }

    fn load_soon(&self, shard: Arc<GroupShard>) {
        let broker = self.shared();
        self.wake.block(BlockingWork::new(move || {
            if shard.load(&broker).is_err() {
                // Without its state it must not speak for its groups.
                add(&broker.metrics.groups_load_failures, 1);
                shard.is_unreadable.store(true, Ordering::SeqCst);
                shard.work(&broker, ottla_coordinator::Shard::give_up);
            }
        }));
    }

    /// The high watermark of a partition moved.
    pub(crate) fn groups_committed(&self, partition: &LocalPartition) {
        let Some(shard) = self.groups.get(partition.id.partition) else {
            return;
        };
        if let Ok(view) = shard.partition.read_view(None) {
            shard.work(self, |shard| shard.committed(view.high_watermark));
        }
    }

    /// The directory of a partition failed: its groups are not ours any more.
    pub(crate) fn groups_failed(&self, partition: &LocalPartition) {
        if let Some(shard) = self.groups.get(partition.id.partition) {
            shard.work(self, ottla_coordinator::Shard::give_up);
        }
    }

    /// A shard gave up. If this is still the place, another begins from what is in the log.
    pub(super) fn shard_is_gone(&self, gone: &GroupShard) {
        let number = gone.partition.id.partition;
        let next = {
            let mut shards = self.groups.shards.write();
            let is_current = shards
                .get(&number)
                .is_some_and(|shard| std::ptr::eq(&**shard, gone));
            if !is_current || !gone.can_begin_again() {
                return;
            }
            shards.remove(&number);
            let epoch = gone.leader_epoch;
            let next = GroupShard::new(&self.groups, Arc::clone(&gone.partition), epoch);
            let Some(next) = next.map(Arc::new) else {
                return;
            };
            shards.insert(number, Arc::clone(&next));
            next
        };
        self.load_soon(next);
    }

    /// A log has changed its directory, or stays where it is: what its shard put off goes on.
    pub(crate) fn resume_groups(&self, now: Now) {
        for shard in self.groups.all() {
            if shard.has_deferred() {
                shard.resume(self, now);
            }
        }
    }

    /// This broker is about to end: nobody waits here for other members.
    pub(crate) fn send_groups_away(&self) {
        for shard in self.groups.all() {
            shard.work(self, ottla_coordinator::Shard::send_away);
        }
    }

    /// A topic is gone: so are its offsets, in every group.
    pub(crate) fn forget_topic_offsets(&self, name: &Arc<str>, id: TopicId, now: Now) {
        for shard in self.groups.all() {
            shard.forget_topic(self, name, id, now);
        }
    }
}

type Led = BTreeMap<PartitionId, (Arc<LocalPartition>, ottla_types::LeaderEpoch)>;

fn led_partitions(view: &View) -> Led {
    let mut led = BTreeMap::new();
    let Some(topic) = view.image.topic_by_name(OFFSETS_TOPIC) else {
        return led;
    };
    for (number, _) in topic.numbered() {
        let id = TopicPartition {
            topic_id: topic.id,
            partition: number,
        };
        let Some(local) = view.local(id) else {
            continue;
        };
        if let Ok(view) = local.produce_view() {
            led.insert(number, (Arc::clone(local), view.leader_epoch));
        }
    }
    led
}

impl GroupShard {
    /// Reads the log step by step. Others may ask in between, and are told to wait.
    fn load(&self, broker: &Broker) -> Result<(), LoadFailure> {
        let mut decompressor = Decompressor::default();
        while let Some((from, end)) = self.work(broker, |shard| shard.load_range()) {
            let (mut bytes, next) = self.read(from, end)?;
            if next == end && self.has_planted(PlantedBug::CoordinatorLoadsShort) {
                let last = batches(&bytes).filter_map(Result::ok).last();
                let size = last.map_or(0, |last| last.size_in_bytes());
                bytes.truncate(bytes.len() - size);
            }
            self.work(broker, |shard| shard.load(&bytes, next, &mut decompressor))?;
        }
        let unreadable = self.work(broker, |shard| shard.unreadable_count());
        add(&broker.metrics.groups_unreadable_records, unreadable);
        Ok(())
    }

    fn read(&self, from: Offset, end: Offset) -> Result<(Vec<u8>, Offset), LoadFailure> {
        if from == end {
            return Ok((Vec::new(), end));
        }
        let limit = ReadLimit {
            end,
            bytes_max: LOAD_STEP_BYTES,
            at_least_one_batch: true,
        };
        let read = |home: &LogHome| home.log_dir.read_with(home.slot, from, limit, Access::Wait);
        let plan = self.partition.at_home(read)?;
        let mut bytes = Vec::with_capacity(plan.size);
        for part in &plan.parts {
            match part {
                Part::Memory(part) => bytes.extend_from_slice(part),
                Part::File(range) => bytes.extend_from_slice(&range.load_all()?),
            }
        }
        // Nothing left below the end: compaction took the last of it.
        let next = match plan.parts.is_empty() {
            true => end,
            false => plan.next_offset,
        };
        Ok((bytes, next))
    }

    /// Whether it gave up although this is still the place.
    fn can_begin_again(&self) -> bool {
        let is_online = !matches!(
            self.partition.home().log_dir.health(),
            DirHealth::Offline { .. }
        );
        let view = self.partition.produce_view();
        let is_readable = !self.is_unreadable.load(Ordering::SeqCst);
        is_readable && is_online && view.is_ok_and(|view| view.leader_epoch == self.leader_epoch)
    }
}
