use std::path::Path;
use std::sync::Arc;

use ottla_broker::FailedDirectory;
use ottla_broker::config::BrokerConfig;
use ottla_metadata::quorum::Voter;
use ottla_metadata::{QuorumStore, QuorumStoreError, QuorumStoreOptions, Record};
use ottla_storage::disk::{Disk, DiskError, DiskLock};
use ottla_storage::log_dir::LogDir;
use ottla_types::DirectoryId;

use crate::clock::Clock;
use crate::data_directory::{self, DataDirectory};
use crate::directory_identity::DirectoryIdentity;
use crate::disk::{FoundingDisk, settle};
use crate::random::random_id;
use crate::start::DataPlace;
use crate::start_error::StartError;

/// The metadata log's directory, below `metadata.log.dir`.
pub(crate) const METADATA_DIR: &str = "metadata";
/// The lock of a directory that holds only metadata.
pub(crate) const METADATA_LOCK: &str = "metadata.lock";
/// What a directory may hold and still be new: what was never written to has locks at most.
const NAMES_OF_NOTHING: [&str; 3] = [".lock", METADATA_LOCK, "lost+found"];

/// Everything that a broker finds on its disks, opened. What is new is there and not durable yet:
/// [`OpenedDisks::make_durable`] is the one place where a first start waits for a device.
///
/// # Crashes in between
///
/// A first start writes, in any order: the journal, `meta.properties.new`, the metadata log with
/// its first batch. Then all of it is synced side by side, `meta.properties` gets its name, and the
/// roots are synced. A crash leaves one of these:
///
/// | what is durable                     | what the next start does                                |
/// |-------------------------------------|---------------------------------------------------------|
/// | neither identity nor metadata log   | begins again; nobody has seen the ids                   |
/// | the metadata log only               | takes the ids from it, writes `meta.properties`         |
/// | `meta.properties`, and no partition | begins the metadata log again, of the same cluster      |
/// | both                                | goes on                                                 |
///
/// # What goes missing later
///
/// No partition is there before a metadata log is durable. So where partitions are and no metadata log is, that one is
/// elsewhere: its disk is not mounted, or `metadata.log.dir` names another directory than before. Such a start is
/// refused, because a new metadata log would know none of the partitions.
///
/// A log directory that cannot be opened, or that holds partitions and has lost its identity, leaves the others serving,
/// unless it is the one of the metadata.
pub struct OpenedDisks {
    pub directories: Vec<DataDirectory>,
    pub failed: Vec<FailedDirectory>,
    metadata_path: String,
    metadata_disk: Arc<dyn Disk>,
    metadata_lock: Option<DiskLock>,
    store: Option<QuorumStore>,
    founding: Vec<Founding>,
}

/// A directory that is new.
struct Founding {
    path: String,
    disk: FoundingDisk,
    /// An identity is prepared in it.
    is_identified: bool,
}

/// A configured directory and its disk, if that can be used at all.
pub type NamedDisk = (String, Result<Arc<dyn Disk>, StartError>);

/// A log directory that is open and not identified yet.
struct Opened {
    path: String,
    disk: Arc<dyn Disk>,
    log_dir: Arc<LogDir>,
    identity: Option<DirectoryIdentity>,
}

impl Opened {
    fn partitions_count(&self) -> usize {
        self.log_dir.stats().partitions_count
    }

    /// Whether there is a folder of a metadata log, of whatever cluster.
    fn has_metadata(&self) -> bool {
        let entries = self.disk.list(Path::new("")).unwrap_or_default();
        entries.iter().any(|entry| entry.name == METADATA_DIR)
    }
}

impl OpenedDisks {
    /// Opens all of `log.dirs` and `metadata.log.dir`, which is where recovery happens.
    pub fn open(
        config: &BrokerConfig,
        place: &DataPlace,
        clock: Clock,
    ) -> Result<OpenedDisks, StartError> {
        let disks = config.log_dirs.iter().map(|path| {
            let disk = data_directory::open_disk(path, place);
            (path.clone(), disk)
        });
        let disks = disks.collect();
        let path = &config.metadata_log_dir;
        let metadata = match config.log_dirs.contains(path) {
            true => None,
            false => Some((path.clone(), data_directory::open_disk(path, place))),
        };
        OpenedDisks::open_on(config, disks, metadata, clock)
    }

    /// Opens these disks of `log.dirs`; `metadata` is that of `metadata.log.dir`, if it is another.
    pub fn open_on(
        config: &BrokerConfig,
        disks: Vec<NamedDisk>,
        metadata: Option<NamedDisk>,
        clock: Clock,
    ) -> Result<OpenedDisks, StartError> {
        let mut founding = Vec::new();
        let (mut opened, mut failed) = (Vec::new(), Vec::new());
        for (path, disk) in disks {
            let known = founding.len();
            match disk.and_then(|disk| open_one(config, &path, disk, &mut founding, clock)) {
                Ok(directory) => opened.push(directory),
                Err(error) if path != config.metadata_log_dir && is_of_one_disk(&error) => {
                    founding.truncate(known);
                    tracing::error!("{error}: the directory is offline until a restart");
                    let reason = error.to_string();
                    failed.push((FailedDirectory { path, reason }, error));
                }
                Err(error) => return Err(error),
            }
        }
        let (mut failed, mut errors): (Vec<_>, Vec<_>) = failed.into_iter().unzip();
        if opened.is_empty() {
            return Err(errors.swap_remove(0));
        }
        let (metadata_path, metadata_disk, metadata_lock) = match metadata {
            Some((path, disk)) => {
                let disk = found_if_new(&path, disk?, &mut founding)?;
                let lock = lock_metadata(&path, &*disk)?;
                (path, disk, Some(lock))
            }
            None => {
                let mut opened = opened.iter();
                let same = opened.find(|opened| opened.path == config.metadata_log_dir);
                let same = same.expect("it is one of log.dirs, and those that failed are not");
                (same.path.clone(), Arc::clone(&same.disk), None)
            }
        };
        let options = QuorumStoreOptions::default();
        let store = QuorumStore::open(
            Arc::clone(&metadata_disk),
            Path::new(METADATA_DIR),
            &options,
        )
        .map_err(|error| quorum_error(&metadata_path, &error))?;
        match &store {
            None => check_nothing_is_kept(&metadata_path, &opened)?,
            Some(store) => give_up_nameless(config, store, &mut opened, &mut failed)?,
        }

        let directories = identify(
            config,
            opened,
            failed.is_empty(),
            store.as_ref(),
            &mut founding,
        )?;
        Ok(OpenedDisks {
            directories,
            failed,
            metadata_path,
            metadata_disk,
            metadata_lock,
            store,
            founding,
        })
    }

    /// Makes a new metadata log with `first_batch` if there is none, and everything that is new durable.
    /// Returns the log, and the lock of its directory if that is not a log directory's.
    pub fn make_durable(
        &mut self,
        first_batch: impl FnOnce() -> Vec<Record>,
    ) -> Result<(QuorumStore, Option<DiskLock>), StartError> {
        let store = match self.store.take() {
            Some(store) => Ok(store),
            None => QuorumStore::create(
                Arc::clone(&self.metadata_disk),
                Path::new(METADATA_DIR),
                &QuorumStoreOptions::default(),
                self.voter(),
                &first_batch(),
            ),
        };
        let store = store.map_err(|error| quorum_error(&self.metadata_path, &error))?;
        let founding = std::mem::take(&mut self.founding);
        if let Some(first) = founding.first() {
            let disks: Vec<_> = founding.iter().map(|new| new.disk.clone()).collect();
            let publish = || {
                let mut new = founding.iter().filter(|new| new.is_identified);
                new.try_for_each(|new| DirectoryIdentity::publish(&new.disk))
            };
            settle(&disks, publish)
                .map_err(|source| data_directory::disk_error(&first.path, source))?;
        }
        Ok((store, self.metadata_lock.take()))
    }

    /// This node in a new quorum, named by the directory of its metadata log, or by the first one if that is
    /// apart.
    fn voter(&self) -> Voter {
        let mut directories = self.directories.iter();
        let home = directories.find(|directory| directory.path == self.metadata_path);
        let identity = &home.unwrap_or(&self.directories[0]).identity;
        Voter {
            node: identity.node_id,
            directory: identity.directory_id,
        }
    }
}

/// Opens a log directory, which is where recovery happens.
fn open_one(
    config: &BrokerConfig,
    path: &str,
    disk: Arc<dyn Disk>,
    founding: &mut Vec<Founding>,
    clock: Clock,
) -> Result<Opened, StartError> {
    let disk = found_if_new(path, disk, founding)?;
    let log_dir = data_directory::open_logs(config, path, &disk, clock)?;
    let identity = DirectoryIdentity::read(&*disk);
    let identity = identity.map_err(|source| StartError::Identity {
        path: path.to_owned(),
        source,
    })?;
    Ok(Opened {
        path: path.to_owned(),
        disk,
        log_dir,
        identity,
    })
}

/// Whether it may be a broken disk, which the others need not wait for; the rest are mistakes of whoever
/// starts the broker.
fn is_of_one_disk(error: &StartError) -> bool {
    matches!(
        error,
        StartError::CreateDirectory { .. }
            | StartError::OpenDirectory { .. }
            | StartError::Disk { .. }
            | StartError::Identity { .. }
    )
}

/// The disk to use: one that waits with its syncs if nothing is on it.
fn found_if_new(
    path: &str,
    disk: Arc<dyn Disk>,
    founding: &mut Vec<Founding>,
) -> Result<Arc<dyn Disk>, StartError> {
    let entries = disk.list(Path::new(""));
    let entries = entries.map_err(|source| data_directory::disk_error(path, source))?;
    let is_nothing = |name: &str| NAMES_OF_NOTHING.contains(&name);
    if !entries.iter().all(|entry| is_nothing(&entry.name)) {
        return Ok(disk);
    }
    let disk = FoundingDisk::over(disk);
    founding.push(Founding {
        path: path.to_owned(),
        disk: disk.clone(),
        is_identified: false,
    });
    Ok(Arc::new(disk))
}

fn lock_metadata(path: &str, disk: &dyn Disk) -> Result<DiskLock, StartError> {
    match disk.lock(Path::new(METADATA_LOCK)) {
        Ok(lock) => Ok(lock),
        Err(DiskError::AlreadyLocked { .. }) => Err(StartError::Locked {
            path: path.to_owned(),
        }),
        Err(source) => Err(data_directory::disk_error(path, source)),
    }
}

fn quorum_error(path: &str, error: &QuorumStoreError) -> StartError {
    StartError::Quorum {
        path: path.to_owned(),
        message: error.to_string(),
    }
}

/// A metadata log may be founded only where no partition is.
fn check_nothing_is_kept(metadata_path: &str, opened: &[Opened]) -> Result<(), StartError> {
    let Some(kept) = opened.iter().find(|dir| 0 < dir.partitions_count()) else {
        return Ok(());
    };
    let mut places = opened.iter().filter(|dir| dir.path != metadata_path);
    let place = places.find(|dir| dir.has_metadata());
    let hint = match place {
        Some(place) => format!(
            "{} has a {METADATA_DIR} folder: set metadata.log.dir={} if it was there",
            place.path, place.path
        ),
        None => "none of log.dirs has one: is its disk mounted, and does metadata.log.dir name the directory it is \
                 in? By default it is the first of log.dirs"
            .to_owned(),
    };
    Err(StartError::MetadataMissing {
        metadata_path: metadata_path.to_owned(),
        path: kept.path.clone(),
        partitions: kept.partitions_count(),
        hint,
    })
}

/// Takes out what holds partitions and has lost its identity: with another one they would be offline for ever.
fn give_up_nameless(
    config: &BrokerConfig,
    store: &QuorumStore,
    opened: &mut Vec<Opened>,
    failed: &mut Vec<FailedDirectory>,
) -> Result<(), StartError> {
    let is_nameless = |dir: &mut Opened| {
        // That of the metadata log may find its name there.
        dir.identity.is_none() && 0 < dir.partitions_count() && dir.path != config.metadata_log_dir
    };
    for dir in opened.extract_if(.., is_nameless).collect::<Vec<_>>() {
        let error = StartError::Nameless {
            partitions: dir.partitions_count(),
            path: dir.path.clone(),
            cluster_id: store.owner().1.to_owned(),
        };
        if opened.is_empty() {
            return Err(error);
        }
        tracing::error!("{error}: the directory is offline until a restart");
        let (path, reason) = (dir.path, error.to_string());
        failed.push(FailedDirectory { path, reason });
    }
    Ok(())
}

/// Finds out whose directories these are, and writes it into those that do not say. `is_complete`: none failed.
fn identify(
    config: &BrokerConfig,
    mut opened: Vec<Opened>,
    is_complete: bool,
    store: Option<&QuorumStore>,
    founding: &mut [Founding],
) -> Result<Vec<DataDirectory>, StartError> {
    let is_missing: Vec<bool> = opened.iter().map(|dir| dir.identity.is_none()).collect();
    if let Some(store) = store {
        check_owner(config, &mut opened, is_complete, store)?;
    }
    // The metadata log is asked first: a directory of another cluster is the one that is wrong.
    let mut identities = opened.iter().filter_map(|dir| dir.identity.as_ref());
    let known = match store {
        Some(store) => Some(store.owner().1.to_owned()),
        None => identities
            .next()
            .map(|identity| identity.cluster_id.clone()),
    };
    let cluster_id = match config.cluster_id.clone().or(known) {
        Some(cluster_id) => cluster_id,
        None => random_id()?.to_string(),
    };
    let mut directories: Vec<DataDirectory> = Vec::new();
    for (dir, is_missing) in opened.into_iter().zip(is_missing) {
        let path = dir.path;
        let identity = match dir.identity {
            Some(identity) => check(config, &path, &cluster_id, identity)?,
            None => DirectoryIdentity {
                cluster_id: cluster_id.clone(),
                node_id: config.node_id,
                directory_id: DirectoryId::new(random_id()?),
            },
        };
        if is_missing {
            let mut new = founding.iter_mut();
            let written = match new.find(|new| new.path == path) {
                Some(new) => {
                    new.is_identified = true;
                    identity.prepare(&*dir.disk)
                }
                None => identity.write(&*dir.disk),
            };
            written.map_err(|source| data_directory::disk_error(&path, source))?;
        }
        let same = |other: &&DataDirectory| other.identity.directory_id == identity.directory_id;
        if let Some(other) = directories.iter().find(same) {
            let other = other.path.clone();
            return Err(StartError::SameDirectory { path, other });
        }
        directories.push(DataDirectory {
            path,
            log_dir: dir.log_dir,
            identity,
        });
    }
    Ok(directories)
}

/// Finds out whether the metadata log belongs to these directories. It is named by that of them which it is in,
/// or by the first one if it is apart: that one may have been given up, or it may not have been written any more
/// by the first start.
fn check_owner(
    config: &BrokerConfig,
    opened: &mut [Opened],
    is_complete: bool,
    store: &QuorumStore,
) -> Result<(), StartError> {
    let (voter, cluster_id) = store.owner();
    let path = &config.metadata_log_dir;
    let mut identities = opened.iter().filter_map(|dir| dir.identity.as_ref());
    let is_named = identities.any(|identity| identity.directory_id == voter.directory);
    let inside = opened.iter().position(|dir| dir.path == *path);
    let home = inside.or_else(|| is_complete.then_some(0));
    let Some(home) = home.filter(|_| !is_named) else {
        return check_node(config, store);
    };
    let is_vouched_for = opened.iter().any(|dir| {
        let identity = dir.identity.as_ref();
        identity.is_some_and(|identity| identity.cluster_id == cluster_id)
    });
    match &opened[home].identity {
        None if store.is_young() || inside.is_some() || !is_vouched_for => {
            opened[home].identity = Some(unfinished(config, &opened[home].path, store)?);
        }
        Some(identity) if inside.is_some() => {
            let me = Voter {
                node: identity.node_id,
                directory: identity.directory_id,
            };
            let checked = store.check_voter(me);
            checked.map_err(|error| quorum_error(path, &error))?;
        }
        None | Some(_) => {}
    }
    check_node(config, store)
}

/// The metadata log of another node is not followed.
fn check_node(config: &BrokerConfig, store: &QuorumStore) -> Result<(), StartError> {
    let (stored, _) = store.owner();
    let me = Voter {
        node: config.node_id,
        directory: stored.directory,
    };
    let checked = store.check_voter(me);
    checked.map_err(|error| quorum_error(&config.metadata_log_dir, &error))
}

/// The identity that a first start wrote into the metadata log and then did not live to write into
/// the directory. Once it did, the metadata log goes on: then the identity was taken away.
fn unfinished(
    config: &BrokerConfig,
    path: &str,
    store: &QuorumStore,
) -> Result<DirectoryIdentity, StartError> {
    let (voter, cluster_id) = store.owner();
    if !store.is_young() {
        return Err(StartError::IdentityMissing {
            path: path.to_owned(),
            metadata_path: config.metadata_log_dir.clone(),
            directory_id: voter.directory,
            cluster_id: cluster_id.to_owned(),
        });
    }
    Ok(DirectoryIdentity {
        cluster_id: cluster_id.to_owned(),
        node_id: voter.node,
        directory_id: voter.directory,
    })
}

fn check(
    config: &BrokerConfig,
    path: &str,
    cluster_id: &str,
    identity: DirectoryIdentity,
) -> Result<DirectoryIdentity, StartError> {
    if identity.node_id != config.node_id {
        return Err(StartError::ForeignNode {
            path: path.to_owned(),
            found: identity.node_id,
            configured: config.node_id,
        });
    }
    if identity.cluster_id != cluster_id {
        return Err(StartError::ForeignCluster {
            path: path.to_owned(),
            found: identity.cluster_id,
            expected: cluster_id.to_owned(),
        });
    }
    Ok(identity)
}

#[cfg(test)]
mod tests;
