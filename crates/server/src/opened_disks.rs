use std::path::Path;
use std::sync::Arc;

use ottla_broker::config::BrokerConfig;
use ottla_metadata::quorum::Voter;
use ottla_metadata::{QuorumStore, QuorumStoreError, QuorumStoreOptions, Record};
use ottla_storage::disk::{Disk, DiskError, DiskLock};
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
/// | `meta.properties` only              | begins the metadata log again, of the same cluster      |
/// | both                                | goes on                                                 |
pub struct OpenedDisks {
    pub directories: Vec<DataDirectory>,
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

/// A configured directory and its disk.
pub type NamedDisk = (String, Arc<dyn Disk>);

impl OpenedDisks {
    /// Opens all of `log.dirs` and `metadata.log.dir`, which is where recovery happens.
    pub fn open(
        config: &BrokerConfig,
        place: &DataPlace,
        clock: Clock,
    ) -> Result<OpenedDisks, StartError> {
        let disks = config.log_dirs.iter().map(|path| {
            let disk = data_directory::open_disk(path, place)?;
            Ok((path.clone(), disk))
        });
        let disks = disks.collect::<Result<Vec<_>, StartError>>()?;
        let path = &config.metadata_log_dir;
        let metadata = match config.log_dirs.contains(path) {
            true => None,
            false => Some((path.clone(), data_directory::open_disk(path, place)?)),
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
        let mut opened = Vec::new();
        for (path, disk) in disks {
            let disk = found_if_new(&path, disk, &mut founding)?;
            let log_dir = data_directory::open_logs(config, &path, &disk, clock)?;
            opened.push((path, disk, log_dir));
        }
        let (metadata_path, metadata_disk, metadata_lock) = match metadata {
            Some((path, disk)) => {
                let disk = found_if_new(&path, disk, &mut founding)?;
                let lock = lock_metadata(&path, &*disk)?;
                (path, disk, Some(lock))
            }
            None => {
                let same = |(path, _, _): &&(String, _, _)| *path == config.metadata_log_dir;
                let (path, disk, _) = opened.iter().find(same).expect("it is one of log.dirs");
                (path.clone(), Arc::clone(disk), None)
            }
        };
        let options = QuorumStoreOptions::default();
        let store = QuorumStore::open(
            Arc::clone(&metadata_disk),
            Path::new(METADATA_DIR),
            &options,
        )
        .map_err(|error| quorum_error(&metadata_path, &error))?;

        let paths_and_disks = opened.iter().map(|(path, disk, _)| (&**path, &**disk));
        let paths_and_disks: Vec<_> = paths_and_disks.collect();
        let identities = identify(config, &paths_and_disks, store.as_ref(), &mut founding)?;
        let directories = opened.into_iter().zip(identities);
        Ok(OpenedDisks {
            directories: directories
                .map(|((path, _, log_dir), identity)| DataDirectory {
                    path,
                    log_dir,
                    identity,
                })
                .collect(),
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
        let identity = &self.directories[0].identity;
        let me = Voter {
            node: identity.node_id,
            directory: identity.directory_id,
        };
        let store = match self.store.take() {
            Some(store) => store.check_voter(me).map(|()| store),
            None => QuorumStore::create(
                Arc::clone(&self.metadata_disk),
                Path::new(METADATA_DIR),
                &QuorumStoreOptions::default(),
                me,
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

/// Reads whose directories these are, and writes it into those that do not say.
fn identify(
    config: &BrokerConfig,
    disks: &[(&str, &dyn Disk)],
    store: Option<&QuorumStore>,
    founding: &mut [Founding],
) -> Result<Vec<DirectoryIdentity>, StartError> {
    let mut found = Vec::new();
    for (path, disk) in disks {
        let identity = DirectoryIdentity::read(*disk);
        found.push(identity.map_err(|source| StartError::Identity {
            path: (*path).to_owned(),
            source,
        })?);
    }
    let is_missing: Vec<bool> = found.iter().map(Option::is_none).collect();
    if let Some(store) = store
        && is_missing[0]
    {
        found[0] = Some(unfinished(config, disks[0].0, store)?);
    }
    let mut known = found.iter().flatten();
    let known = known.next().map(|identity| identity.cluster_id.clone());
    let cluster_id = match config.cluster_id.clone().or(known) {
        Some(cluster_id) => cluster_id,
        None => random_id()?.to_string(),
    };
    let mut identities = Vec::new();
    for (((path, disk), found), is_missing) in disks.iter().zip(found).zip(is_missing) {
        let identity = match found {
            Some(identity) => check(config, path, &cluster_id, identity)?,
            None => DirectoryIdentity {
                cluster_id: cluster_id.clone(),
                node_id: config.node_id,
                directory_id: DirectoryId::new(random_id()?),
            },
        };
        if is_missing {
            let mut new = founding.iter_mut();
            let written = match new.find(|new| new.path == *path) {
                Some(new) => {
                    new.is_identified = true;
                    identity.prepare(*disk)
                }
                None => identity.write(*disk),
            };
            written.map_err(|source| data_directory::disk_error(path, source))?;
        }
        identities.push(identity);
    }
    Ok(identities)
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
