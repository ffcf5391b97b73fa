use crate::broker::Broker;
use crate::config::{AdvertisedHost, BrokerLayers, ConfigMap, LiveSettings, TopicConfig};
use crate::controller_desk::Waiting;
use crate::partition::{LocalPartition, LogHome};
use crate::producer_ids::ProducerIdsAnswer;
use crate::response::Token;
use crate::view::View;
use crate::waiting::JournalPlace;
use ottla_metadata::quorum::QuorumEvent;
use ottla_metadata::{
    Bootstrap, Changes, Command, ConfigResource, DirectoryReport, DirectoryVerdict, Endpoint,
    FeatureRange, Fencing, Image, Record, RegisterBroker, ResourceKind, SecurityProtocol, Topic,
};
use ottla_storage::log_dir::Verdict;
use ottla_storage::partition::Durability;
use ottla_types::{DirectoryId, Now, PartitionId, TopicId, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The metadata version whose records and rules are implemented here: Kafka 4.4's, `4.4-IV2`.
pub(crate) const METADATA_VERSION: FeatureRange = FeatureRange { min: 7, max: 33 };

/// How far this broker has followed the metadata.
#[derive(Default)]
pub(crate) struct Following {
    is_registering: bool,
    /// Whether partitions that nobody knows were removed, once after the registration; never where the
    /// metadata log was founded.
    is_swept: bool,
    /// Journal entries of removed topics, for the requests that removed them.
    dropped: BTreeMap<TopicId, Vec<JournalPlace>>,
}

/// Removed topics whose journal entries are remembered.
const DROPPED_TOPICS_MAX: usize = 1024;

impl Broker {
    /// Takes in what the quorum says. Every event must come here, in the quorum's order.
    pub fn on_quorum_event(&self, event: &QuorumEvent, now: Now) {
        let (progress, waiting) = {
            let mut desk = self.desk.lock();
            let mut progress = desk.controller.on_event(event);
            let answers = std::mem::take(&mut progress.answers);
            let waiting: Vec<_> = answers
                .into_iter()
                .filter_map(|(id, result)| Some((desk.take(id)?, result)))
                .collect();
            (progress, waiting)
        };
        if let Some(image) = progress.image {
            self.follow(image, progress.changes.as_ref(), now);
        }
        for (waiting, result) in waiting {
            self.deliver(waiting, result);
        }
        self.ensure_registered();
        self.report_directories();
    }

    /// What this incarnation registers with; the first registration is part of a cluster's bootstrap.
    pub fn registration(&self) -> RegisterBroker {
        let listeners = &self.config.listeners;
        let endpoints = listeners.clients.iter().zip(&listeners.advertised);
        let endpoints = endpoints.map(|(listener, advertised)| Endpoint {
            listener: listener.name.clone(),
            host: match &advertised.host {
                AdvertisedHost::Named(host) => host.clone(),
                AdvertisedHost::Auto => "localhost".to_owned(),
            },
            port: advertised.port.unwrap_or(listener.port),
            security_protocol: SecurityProtocol::Plaintext,
        });
        RegisterBroker {
            broker: self.config.node_id,
            cluster_id: None,
            incarnation: self.incarnation,
            endpoints: endpoints.collect(),
            features: [("metadata.version".to_owned(), METADATA_VERSION)].into(),
            rack: self.config.rack.clone(),
            directories: self.directory_reports(),
            cordoned: self.cordoned_directories(),
            fencing: Fencing::Unfenced,
        }
    }

    /// What the metadata log of a new cluster begins with: the cluster, this broker, and a block of
    /// producer ids for it. To be called once, for a log that is made with it.
    pub fn found_cluster(&self, cluster_id: &str) -> Vec<Record> {
        let registration = self.registration();
        let supported = registration.features.iter();
        let bootstrap = Bootstrap {
            cluster_id: cluster_id.to_owned(),
            features: supported
                .map(|(name, range)| (name.clone(), range.max))
                .collect(),
            registration,
        };
        let (records, block) = bootstrap.records_with_producer_ids();
        self.take_producer_ids(ProducerIdsAnswer::Block(block));
        // A metadata log that just begins does not know which topics were deleted: no log is removed on its word.
        self.following.lock().is_swept = true;
        records
    }

    /// Of the directories that are online; of all if none is, which is then what its partitions tell.
    fn directory_reports(&self) -> Vec<DirectoryReport> {
        let online = self.online_directories();
        let reports = self.log_dirs.iter().zip(&self.directories);
        reports
            .filter(|(_, directory)| online.is_empty() || online.contains(&directory.id))
            .map(|(log_dir, directory)| DirectoryReport {
                id: directory.id,
                verdict: match log_dir.verdict() {
                    Verdict::Clean => DirectoryVerdict::Clean,
                    Verdict::Recovered => DirectoryVerdict::Recovered,
                    Verdict::Lossy => DirectoryVerdict::Lossy,
                },
            })
            .collect()
    }

    /// Registers this incarnation as soon as this node may propose.
    fn ensure_registered(&self) {
        if self.registered_epoch().is_some() || self.desk.lock().controller.term().is_none() {
            return;
        }
        if std::mem::replace(&mut self.following.lock().is_registering, true) {
            return;
        }
        let command = Command::RegisterBroker(self.registration());
        self.submit_own(&command, Waiting::Registration);
    }

    pub(crate) fn registration_answered(&self, _is_registered: bool) {
        self.following.lock().is_registering = false;
    }

    /// Makes the new image the one that is served, after its partitions are there.
    fn follow(&self, image: Arc<Image>, changes: Option<&Changes>, now: Now) {
        let before = self.view.load_full();
        let was_ready = self.registered_epoch().is_some();
        let mut view = before.with_image(image);
        let is_ready = is_registered(self, &view.image);
        let mut moved = Vec::new();
        match changes {
            // With the registration every partition gets its leader.
            Some(changes) if was_ready == is_ready => {
                for id in &changes.topics_removed {
                    self.drop_topic(&before, &mut view, *id, &mut moved, now);
                }
                for id in &changes.topics {
                    self.follow_topic(&mut view, *id, is_ready, &mut moved);
                }
                self.follow_configs(&view, changes);
            }
            _ => self.follow_all(&before, &mut view, is_ready, &mut moved, now),
        }
        if is_ready && !was_ready {
            for local in view.locals() {
                self.promote_found(local);
            }
        }
        self.view.store(Arc::new(view));
        self.follow_groups();
        self.resume_groups(now);
        if let Some(changes) = changes {
            for topic in changes
                .topics_removed
                .iter()
                .filter_map(|id| before.image.topic(*id))
            {
                self.forget_topic_offsets(&topic.name, topic.id, now);
            }
        }
        if is_ready && !was_ready {
            self.sweep(now);
            self.report_places();
            self.ensure_producer_ids();
        }
        self.note_moved(&moved);
    }

    fn follow_all(
        &self,
        before: &View,
        view: &mut View,
        is_ready: bool,
        moved: &mut Vec<Token>,
        now: Now,
    ) {
        let known = before.locals().map(|partition| partition.id.topic_id);
        let mut gone: Vec<TopicId> = known.filter(|id| view.image.topic(*id).is_none()).collect();
        gone.dedup();
        for id in gone {
            self.drop_topic(before, view, id, moved, now);
        }
        let ids: Vec<TopicId> = view.image.topics().map(|topic| topic.id).collect();
        for id in ids {
            self.follow_topic(view, id, is_ready, moved);
        }
        self.follow_settings(view);
        self.configure_all(view);
    }

    fn follow_topic(&self, view: &mut View, id: TopicId, is_ready: bool, moved: &mut Vec<Token>) {
        let Some(topic) = view.image.topic(id).cloned() else {
            return;
        };
        let is_registered = self.registered_epoch().is_some();
        let mut config = None;
        for (number, partition) in topic.numbered() {
            let id = TopicPartition {
                topic_id: topic.id,
                partition: number,
            };
            if !partition.is_replica(self.config.node_id) {
                continue;
            }
            let assigned = partition.directory_of(self.config.node_id);
            if !is_registered {
                self.forget_misplaced(view, id, assigned);
            }
            let local = match view.local(id) {
                Some(local) => Arc::clone(local),
                None => {
                    let config = config.get_or_insert_with(|| self.topic_config(view, &topic.name));
                    let Some(local) = self.create_partition(&topic, number, config) else {
                        continue; // Its directory failed; it is not shown as ours.
                    };
                    view.insert(Arc::clone(&local));
                    local
                }
            };
            if let Some(directory) = assigned
                && self.directories[local.home().directory].id != directory
            {
                self.change_over(local.id, directory, moved);
            }
            // An epoch that was inherited is never appended in.
            if is_ready && local.follow(self.config.node_id, partition) {
                // A directory that just failed shows with the first append.
                let home = local.home();
                let _ = home
                    .log_dir
                    .bump_leader_epoch(home.slot, partition.leader_epoch);
            }
        }
    }

    /// Before this broker is registered it only hears again what was decided long ago: where a log was then does not
    /// matter if it is elsewhere now.
    fn forget_misplaced(&self, view: &mut View, id: TopicPartition, assigned: Option<DirectoryId>) {
        let home = view.local(id).map(|local| local.home().directory);
        let is_misplaced = home.is_some_and(|home| Some(self.directories[home].id) != assigned);
        let mut directories = self.directories.iter().zip(&self.log_dirs);
        let there = directories.find(|(directory, _)| Some(directory.id) == assigned);
        // In a directory that is not open it is, too, and nothing else may be taken for it.
        let is_there = there.is_none_or(|(_, log_dir)| log_dir.slot(id).is_some());
        if is_misplaced && is_there {
            view.remove(id);
        }
    }

    fn create_partition(
        &self,
        topic: &Topic,
        number: PartitionId,
        config: &Arc<TopicConfig>,
    ) -> Option<Arc<LocalPartition>> {
        let id = TopicPartition {
            topic_id: topic.id,
            partition: number,
        };
        let directory = self.directory_of(topic, number)?;
        let log_dir = Arc::clone(&self.log_dirs[directory]);
        // One that recovery found may not know its directory's name: it is told here.
        let created = log_dir.create_partition(id, &topic.name, config.log_config(id));
        let slot = created.ok().or_else(|| log_dir.slot(id))?;
        let metrics = self.metrics.topic(&topic.name);
        let name = Arc::clone(&topic.name);
        let config = Arc::clone(config);
        let home = LogHome {
            directory,
            log_dir,
            slot,
        };
        let local = LocalPartition::new(id, name, metrics, home, config);
        Some(Arc::new(local))
    }

    fn drop_topic(
        &self,
        before: &View,
        view: &mut View,
        id: TopicId,
        moved: &mut Vec<Token>,
        now: Now,
    ) {
        let Some(topic) = before.image.topic(id) else {
            return;
        };
        let mut places = Vec::new();
        for (number, _) in topic.numbered() {
            let id = TopicPartition {
                topic_id: topic.id,
                partition: number,
            };
            let Some(local) = view.remove(id) else {
                continue;
            };
            moved.extend(local.leave());
            places.extend(self.abandon_move(id, now));
            let home = local.home();
            // On a failed directory the removal waits for the next start, which sweeps it.
            if let Ok(lsn) = home.log_dir.drop_partition(home.slot, now) {
                places.push(JournalPlace {
                    directory: home.directory,
                    durability: Durability::Fsync,
                    lsn,
                });
            }
        }
        self.metrics.forget_topic(&topic.name);
        let mut following = self.following.lock();
        if DROPPED_TOPICS_MAX <= following.dropped.len() {
            following.dropped.pop_first();
        }
        following.dropped.insert(id, places);
    }

    /// The journal entries that removed a topic, once.
    pub(crate) fn take_dropped(&self, id: TopicId) -> Vec<JournalPlace> {
        let dropped = self.following.lock().dropped.remove(&id);
        dropped.unwrap_or_default()
    }

    /// Removes the logs of topics that were deleted while this broker was away, and second copies of those that
    /// are elsewhere, unless they are on their way to become the first.
    fn sweep(&self, now: Now) {
        if std::mem::replace(&mut self.following.lock().is_swept, true) {
            return;
        }
        let view = self.view.load();
        for (index, log_dir) in self.log_dirs.iter().enumerate() {
            for (slot, id, _) in log_dir.partitions() {
                let is_unknown = view.image.partition(id).is_none();
                if is_unknown
                    || (self.is_second_copy(&view, log_dir, id)
                        && !self.resume_move(&view, index, slot, id))
                {
                    // On a failed directory this waits for the next start.
                    let _ = log_dir.drop_partition(slot, now);
                }
            }
        }
    }

    fn follow_configs(&self, view: &View, changes: &Changes) {
        let is_broker = |resource: &ConfigResource| resource.kind == ResourceKind::Broker;
        if changes.configs.iter().any(is_broker) {
            self.follow_settings(view);
            return self.configure_all(view);
        }
        for resource in &changes.configs {
            if resource.kind == ResourceKind::Topic
                && let Some(topic) = view.image.topic_by_name(&resource.name)
            {
                self.configure_topic(view, topic);
            }
        }
    }

    /// Puts in force what counts at once.
    fn follow_settings(&self, view: &View) {
        let settings = with_layers(self, &view.image, LiveSettings::resolve);
        if settings == **self.live_settings.load() {
            return;
        }
        let expiration = settings.producer_expiration.as_millis();
        for log_dir in &self.log_dirs {
            log_dir.set_producer_expiration_ms(i64::try_from(expiration).unwrap_or(i64::MAX));
        }
        let settings = Arc::new(settings);
        self.live_settings.store(Arc::clone(&settings));
        self.wake.settings_changed(&settings);
    }

    fn configure_all(&self, view: &View) {
        let cleaner = with_layers(self, &view.image, |layers| layers.cleaner_options());
        for log_dir in self.log_dirs.iter() {
            log_dir.configure_cleaner(cleaner);
        }
        for topic in view.image.topics() {
            self.configure_topic(view, topic);
        }
    }

    fn configure_topic(&self, view: &View, topic: &Topic) {
        let config = self.topic_config(view, &topic.name);
        for (number, _) in topic.numbered() {
            let id = TopicPartition {
                topic_id: topic.id,
                partition: number,
            };
            if let Some(local) = view.local(id) {
                // A copy that is begun meanwhile has it already.
                local.set_config(Arc::clone(&config));
                let (home, log_config) = (local.home(), config.log_config(id));
                home.log_dir.set_config(home.slot, log_config);
                if let Some(copy) = self.moves.lock().copy_of(id) {
                    copy.log_dir.set_config(copy.slot, log_config);
                }
            }
        }
    }

    fn topic_config(&self, view: &View, name: &str) -> Arc<TopicConfig> {
        let nothing = ConfigMap::new();
        let topic = view.image.topic_configs(name);
        let topic = topic.map_or(&nothing, |configs| &**configs);
        with_layers(self, &view.image, |layers| {
            Arc::new(TopicConfig::resolve(topic, layers))
        })
    }
}

/// Calls `f` with what is set for brokers in `image` and where this one was started.
pub(crate) fn with_layers<T>(
    broker: &Broker,
    image: &Image,
    f: impl FnOnce(BrokerLayers<'_>) -> T,
) -> T {
    let nothing = ConfigMap::new();
    let this_broker = image.configs(&ConfigResource::broker(broker.config.node_id));
    let all_brokers = image.configs(&ConfigResource::every_broker());
    f(BrokerLayers {
        this_broker: this_broker.map_or(&nothing, |configs| &**configs),
        all_brokers: all_brokers.map_or(&nothing, |configs| &**configs),
        started_with: &broker.config.started_with,
    })
}

fn is_registered(broker: &Broker, image: &Image) -> bool {
    let registration = image.broker(broker.config.node_id);
    registration.is_some_and(|registration| registration.incarnation == broker.incarnation)
}
