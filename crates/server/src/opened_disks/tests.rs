//! A first start that crashes inside any operation, and how many fsyncs it waits for.

use super::*;
use ottla_broker::config::{ConfigSources, Strictness};
use ottla_records::{BatchBuilder, BatchView, Codec, Compressor, ValidBatch};
use ottla_sim::Trace;
use ottla_sim::disk::{CrashKind, SimDisk};
use ottla_storage::disk::{DirEntry, DiskFile, OpenMode, Space};
use ottla_storage::log_dir::{AppendBatch, AppendOrigin};
use ottla_storage::memory_disk::MemoryDisk;
use ottla_storage::partition::LogConfig;
use ottla_storage::wal::CommitStep;
use ottla_types::{LeaderEpoch, PartitionId, Prng, Timestamp, TopicId, TopicPartition};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::time::Duration;

fn config(settings: &[&str]) -> BrokerConfig {
    let sources = ConfigSources {
        files: Vec::new(),
        environment: Vec::new(),
        settings: settings.iter().map(ToString::to_string).collect(),
        strictness: Strictness::Strict,
    };
    BrokerConfig::load(&sources).expect("it is right").config
}

fn first_batch(cluster_id: &str) -> Vec<Record> {
    vec![Record::Cluster {
        id: cluster_id.to_owned(),
    }]
}

/// What a start came to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ids {
    cluster: String,
    /// Of those that were opened, by path.
    directories: BTreeMap<String, DirectoryId>,
}

impl Ids {
    /// What one start promised the others keep, also for directories that were not there.
    fn keep(&mut self, later: &Ids, context: &str) {
        assert_eq!(self.cluster, later.cluster, "{context}");
        for (path, id) in &later.directories {
            let promised = self.directories.entry(path.clone()).or_insert(*id);
            assert_eq!(promised, id, "{path}: {context}");
        }
    }
}

/// Disks of one machine: those of `log.dirs`, and that of `metadata.log.dir` if it is another.
struct Machine {
    config: BrokerConfig,
    log_dirs: Vec<SimDisk>,
    metadata: Option<SimDisk>,
}

impl Machine {
    fn new(seed: u64, settings: &[&str]) -> Machine {
        let config = config(settings);
        let disk = |number| SimDisk::new(seed * 8 + number, 1 << 30, Trace::quiet());
        let count = config.log_dirs.len() as u64;
        let is_apart = !config.log_dirs.contains(&config.metadata_log_dir);
        Machine {
            log_dirs: (0..count).map(disk).collect(),
            metadata: is_apart.then(|| disk(count)),
            config,
        }
    }

    fn disks(&self) -> impl Iterator<Item = &SimDisk> {
        self.log_dirs.iter().chain(&self.metadata)
    }

    fn reboot(&mut self, kind: CrashKind) {
        for disk in self.log_dirs.iter_mut().chain(&mut self.metadata) {
            *disk = disk.reboot(kind);
        }
    }

    /// Opens all directories but one, whose disk is gone.
    fn open_without(&self, broken: &str) -> Result<OpenedDisks, StartError> {
        let paths = self.config.log_dirs.iter();
        let disks = paths.zip(&self.log_dirs).map(|(path, disk)| {
            let gone = StartError::CreateDirectory {
                path: path.clone(),
                source: std::io::Error::other("it is gone"),
            };
            let disk: Arc<dyn Disk> = Arc::new(disk.clone());
            (
                path.clone(),
                if path == broken { Err(gone) } else { Ok(disk) },
            )
        });
        let path = &self.config.metadata_log_dir;
        let metadata = self.metadata.as_ref();
        let metadata = metadata.map(|disk| (path.clone(), Ok(Arc::new(disk.clone()) as _)));
        OpenedDisks::open_on(&self.config, disks.collect(), metadata, Clock::start())
    }

    fn start(&self) -> Result<Ids, StartError> {
        let mut opened = self.open_without("none")?;
        let cluster = opened.directories[0].identity.cluster_id.clone();
        let (store, _lock) = opened.make_durable(|| first_batch(&cluster))?;
        let directories: Vec<_> = opened.directories.iter().collect();
        let ids = Ids {
            cluster,
            directories: directories
                .iter()
                .map(|directory| (directory.path.clone(), directory.identity.directory_id))
                .collect(),
        };
        assert_eq!(store.owner().1, ids.cluster);
        for directory in directories {
            assert_eq!(directory.identity.cluster_id, ids.cluster);
        }
        Ok(ids)
    }
}

/// Crashes a first start after every number of operations, also the start after it, and then asks of two
/// more starts that they come up and agree: a start that came to its end fixed the ids for ever.
fn crash_everywhere(settings: &[&str]) {
    let (mut cut_short, mut ended) = (0, 0);
    for seed in 0..6 {
        let mut prng = Prng::new(seed);
        for operations in 0.. {
            let mut machine = Machine::new(seed, settings);
            let mut promised = None;
            let mut is_over = true;
            // The second crash strikes elsewhere: the start that finds what the first one left.
            let second = prng.below(operations + 20);
            for (life, after) in [operations, second].into_iter().enumerate() {
                machine
                    .disks()
                    .for_each(|disk| disk.crash_after(Some(after)));
                let started = machine.start();
                let has_crashed = machine.disks().any(SimDisk::is_crashed);
                match started {
                    Ok(ids) => {
                        ended += 1;
                        let count = ids.directories.len();
                        assert!(has_crashed || count == machine.log_dirs.len());
                        let context = format!("seed {seed}, crash after {operations}");
                        promised
                            .get_or_insert_with(|| ids.clone())
                            .keep(&ids, &context);
                    }
                    Err(error) => {
                        assert!(has_crashed, "seed {seed}, after {operations}: {error}");
                        cut_short += 1;
                    }
                }
                is_over &= life > 0 || !has_crashed;
                let kinds = [CrashKind::PowerLoss, CrashKind::ProcessKill];
                machine.reboot(kinds[(seed as usize + life) % 2]);
            }
            for _ in 0..2 {
                let started = machine.start();
                let ids = started.unwrap_or_else(|error| {
                    panic!("seed {seed}, crash after {operations}: refused: {error}")
                });
                assert_eq!(ids.directories.len(), machine.log_dirs.len());
                let context = format!("seed {seed}, crash after {operations}");
                promised
                    .get_or_insert_with(|| ids.clone())
                    .keep(&ids, &context);
                machine.reboot(CrashKind::PowerLoss);
            }
            if is_over {
                break;
            }
        }
    }
    assert!(
        100 < cut_short && 12 < ended,
        "{cut_short} cut short, {ended} ended"
    );
}

#[test]
fn a_first_start_that_crashes_anywhere_leaves_one_identity_or_none() {
    crash_everywhere(&["log.dirs=/a"]);
}

#[test]
fn neither_does_one_with_several_directories_and_its_metadata_apart() {
    crash_everywhere(&["log.dirs=/a,/b", "metadata.log.dir=/m"]);
}

#[test]
fn a_directory_that_lost_its_identity_is_named() {
    let mut machine = Machine::new(7, &["log.dirs=/a", "metadata.log.dir=/m"]);
    let ids = machine.start().unwrap();
    // The metadata log goes on, and then another disk is mounted as /a.
    machine.reboot(CrashKind::PowerLoss);
    let metadata: Arc<dyn Disk> = Arc::new(machine.metadata.clone().unwrap());
    let options = QuorumStoreOptions::default();
    let opened = QuorumStore::open(metadata, Path::new(METADATA_DIR), &options).unwrap();
    let mut store = opened.unwrap();
    let next = ottla_metadata::StoredEntry {
        position: ottla_metadata::LogPosition { term: 1, index: 2 },
        payload: ottla_metadata::Payload::Blank,
    };
    store.write(None, &[next]).unwrap();
    machine.log_dirs[0] = SimDisk::new(99, 1 << 30, Trace::quiet());
    let error = machine.start().unwrap_err().to_string();
    assert!(
        error.starts_with("log.dirs=/a has no meta.properties"),
        "{error}"
    );
    assert!(
        error.contains(&ids.directories["/a"].to_string()),
        "{error}"
    );
}

fn found_in(opened: &OpenedDisks) -> BTreeMap<String, DirectoryId> {
    let directories = opened.directories.iter();
    directories
        .map(|directory| (directory.path.clone(), directory.identity.directory_id))
        .collect()
}

#[test]
fn a_directory_that_cannot_be_opened_leaves_the_others() {
    let mut machine = Machine::new(11, &["log.dirs=/a,/b,/c", "metadata.log.dir=/b"]);
    let ids = machine.start().unwrap();
    machine.reboot(CrashKind::PowerLoss);
    for broken in ["/a", "/c"] {
        let mut opened = machine.open_without(broken).unwrap();
        let [failed] = &opened.failed[..] else {
            panic!("{:?}", opened.failed)
        };
        assert_eq!(failed.path, broken);
        assert!(failed.reason.contains("gone"), "{}", failed.reason);
        let mut expected = ids.directories.clone();
        expected.remove(broken);
        assert_eq!(found_in(&opened), expected);
        opened.make_durable(Vec::new).unwrap();
        drop(opened);
        machine.reboot(CrashKind::PowerLoss);
    }
    let error = machine.open_without("/b").map(drop).unwrap_err();
    assert!(error.to_string().contains("gone"), "the metadata is there");
    machine.reboot(CrashKind::PowerLoss);
    assert_eq!(machine.start().unwrap(), ids, "it is well again");
}

#[test]
fn without_its_first_directory_the_metadata_that_is_apart_goes_on() {
    let mut machine = Machine::new(12, &["log.dirs=/a,/b", "metadata.log.dir=/m"]);
    let ids = machine.start().unwrap();
    machine.reboot(CrashKind::PowerLoss);
    let mut opened = machine.open_without("/a").unwrap();
    opened.make_durable(Vec::new).unwrap();
    assert_eq!(found_in(&opened)["/b"], ids.directories["/b"]);
    drop(opened);
    machine.reboot(CrashKind::PowerLoss);
    // It is given up, and the order does not matter.
    let paths = ["log.dirs=/b,/a", "metadata.log.dir=/m"];
    machine.config = config(&paths);
    machine.log_dirs.swap(0, 1);
    let swapped = machine.open_without("/nowhere").unwrap();
    assert_eq!(found_in(&swapped), ids.directories);
}

#[test]
fn a_directory_that_was_copied_is_named() {
    let mut machine = Machine::new(14, &["log.dirs=/a,/b", "metadata.log.dir=/a"]);
    machine.start().unwrap();
    machine.reboot(CrashKind::PowerLoss);
    let identity = DirectoryIdentity::read(&machine.log_dirs[0])
        .unwrap()
        .unwrap();
    identity.write(&machine.log_dirs[1]).unwrap();
    let error = machine.start().unwrap_err().to_string();
    assert!(
        error.starts_with("log.dirs=/b has the same directory.id"),
        "{error}"
    );
}

#[test]
fn no_directory_at_all_is_no_start() {
    let machine = Machine::new(13, &["log.dirs=/a", "metadata.log.dir=/m"]);
    let error = machine.open_without("/a").map(drop).unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
}

/// Gives this directory a partition that is there after a crash.
fn fill(opened: &OpenedDisks, path: &str) {
    let mut directories = opened.directories.iter();
    let directory = directories.find(|dir| dir.path == path).unwrap();
    let id = TopicPartition {
        topic_id: TopicId::new(ottla_types::Uuid::from_bytes([7; 16])),
        partition: PartitionId::new(0),
    };
    let log_dir = &directory.log_dir;
    let slot = log_dir
        .create_partition(id, "t", LogConfig::default())
        .unwrap();
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(Timestamp::from_millis(1), None, Some(b"kept"), &[]);
    let bytes = builder.finish(&mut Compressor::default());
    let facts = ValidBatch::from_header(&BatchView::parse(&bytes).unwrap()).unwrap();
    let batch = AppendBatch {
        bytes: &bytes,
        facts: &facts,
        origin: AppendOrigin::Coordinator,
    };
    let now = Clock::start().now();
    let appended = log_dir
        .append(slot, LeaderEpoch::new(0), batch, now)
        .unwrap();
    while log_dir.durable_lsn() < appended.durability {
        let step = log_dir.commit_step(now);
        assert!(!matches!(step, CommitStep::Failed(_)), "{step:?}");
    }
}

/// A machine whose `/b` holds a partition.
fn filled(seed: u64, settings: &[&str]) -> (Machine, Ids) {
    let mut machine = Machine::new(seed, settings);
    let ids = machine.start().unwrap();
    machine.reboot(CrashKind::PowerLoss);
    let mut opened = machine.open_without("none").unwrap();
    opened.make_durable(Vec::new).unwrap();
    fill(&opened, "/b");
    drop(opened);
    machine.reboot(CrashKind::PowerLoss);
    (machine, ids)
}

#[test]
fn where_partitions_are_no_metadata_log_is_founded() {
    let (mut machine, ids) = filled(15, &["log.dirs=/a,/b"]);
    let empty = SimDisk::new(98, 1 << 30, Trace::quiet());
    let mounted = std::mem::replace(&mut machine.log_dirs[0], empty);
    // Also not the second time, when the empty directory has a journal.
    for _ in 0..2 {
        let error = machine.start().unwrap_err().to_string();
        assert!(
            error.starts_with(
                "metadata.log.dir=/a has no metadata log, but log.dirs=/b holds 1 partitions"
            ),
            "{error}"
        );
        assert!(error.contains("none of log.dirs has one"), "{error}");
        machine.reboot(CrashKind::ProcessKill);
    }
    // A new disk that is put before the others names where the metadata is.
    let mut disks = machine.log_dirs.clone();
    disks.insert(1, mounted.clone());
    let (config_before, log_dirs_before) = (machine.config, machine.log_dirs);
    machine.config = config(&["log.dirs=/new,/a,/b"]);
    machine.log_dirs = disks;
    let error = machine.start().unwrap_err().to_string();
    assert!(error.contains("set metadata.log.dir=/a"), "{error}");
    (machine.config, machine.log_dirs) = (config_before, log_dirs_before);

    machine.log_dirs[0] = mounted;
    machine.reboot(CrashKind::ProcessKill);
    let mut opened = machine.open_without("none").unwrap();
    opened.make_durable(Vec::new).unwrap();
    assert_eq!(found_in(&opened), ids.directories, "it is mounted again");
    let count = |dir: &DataDirectory| dir.log_dir.stats().partitions_count;
    assert_eq!(count(&opened.directories[1]), 1);
}

#[test]
fn a_directory_with_partitions_gets_no_new_name() {
    let (mut machine, ids) = filled(16, &["log.dirs=/a,/b"]);
    let name = DirectoryIdentity::read(&machine.log_dirs[1]).unwrap();
    let file = Path::new(crate::directory_identity::FILES[0]);
    machine.log_dirs[1].remove_file(file).unwrap();
    for _ in 0..2 {
        let mut opened = machine.open_without("none").unwrap();
        opened.make_durable(Vec::new).unwrap();
        let [failed] = &opened.failed[..] else {
            panic!("{:?}", opened.failed)
        };
        assert_eq!(failed.path, "/b");
        let reason = &failed.reason;
        assert!(
            reason.contains("holds 1 partitions and has no meta.properties"),
            "{reason}"
        );
        drop(opened);
        machine.reboot(CrashKind::ProcessKill);
        assert_eq!(DirectoryIdentity::read(&machine.log_dirs[1]).unwrap(), None);
    }
    name.unwrap().write(&machine.log_dirs[1]).unwrap();
    assert_eq!(machine.start().unwrap(), ids);
}

#[test]
fn the_only_directory_that_lost_its_name_is_no_start() {
    let (machine, _) = filled(17, &["log.dirs=/b", "metadata.log.dir=/m"]);
    let file = Path::new(crate::directory_identity::FILES[0]);
    machine.log_dirs[0].remove_file(file).unwrap();
    let error = machine.start().unwrap_err().to_string();
    assert!(
        error.starts_with("log.dirs=/b holds 1 partitions"),
        "{error}"
    );
}

/// Syncs that wait for each other: each group of them comes to its end only when as many are under
/// way at the same time as `groups` says.
struct Rendezvous {
    state: Mutex<(usize, usize)>,
    changed: Condvar,
    groups: &'static [usize],
}

impl Rendezvous {
    fn sync(&self) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        let group = state.0;
        let expected = self.groups.get(group).copied();
        let expected = expected.expect("no more syncs one after the other than expected");
        state.1 += 1;
        if state.1 == expected {
            *state = (group + 1, 0);
            self.changed.notify_all();
            return Ok(());
        }
        while state.0 == group {
            let patience = Duration::from_secs(20);
            let waited = self.changed.wait_for(&mut state, patience);
            assert!(
                !waited.timed_out(),
                "only {} syncs at the same time",
                state.1
            );
        }
        Ok(())
    }
}

struct RendezvousDisk(MemoryDisk, Arc<Rendezvous>);
struct RendezvousFile(Arc<dyn DiskFile>, Arc<Rendezvous>);

impl Disk for RendezvousDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.0.create_dir(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let file = self.0.open(path, mode)?;
        Ok(Arc::new(RendezvousFile(file, Arc::clone(&self.1))))
    }
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.0.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.0.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.0.remove_dir(path)
    }
    fn sync_dir(&self, _path: &Path) -> Result<(), DiskError> {
        self.1.sync()
    }
    fn space(&self) -> Result<Space, DiskError> {
        self.0.space()
    }
    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        self.0.lock(path)
    }
}

impl DiskFile for RendezvousFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.0.read_at(position, buf)
    }
    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        self.0.try_read_at(position, buf)
    }
    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.0.write_at(position, parts)
    }
    fn sync_data(&self) -> Result<(), DiskError> {
        self.1.sync()
    }
    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        self.0.set_len(size)
    }
    fn allocate(&self, position: u64, size: u64) -> Result<(), DiskError> {
        self.0.allocate(position, size)
    }
    fn size(&self) -> Result<u64, DiskError> {
        self.0.size()
    }
}

#[test]
fn a_first_start_waits_for_two_fsyncs_one_after_the_other() {
    // The metadata log, the identity, and the names in their two directories; then the root.
    let rendezvous = Arc::new(Rendezvous {
        state: Mutex::default(),
        changed: Condvar::new(),
        groups: &[4, 1],
    });
    let disk = RendezvousDisk(MemoryDisk::new(), Arc::clone(&rendezvous));
    let config = config(&["log.dirs=/a"]);
    let disks = vec![("/a".to_owned(), Ok(Arc::new(disk) as Arc<dyn Disk>))];
    let mut opened = OpenedDisks::open_on(&config, disks, None, Clock::start()).unwrap();
    let made = opened.make_durable(|| first_batch("c"));
    made.expect("nothing fails");
    assert_eq!(
        *rendezvous.state.lock(),
        (2, 0),
        "every sync was carried out"
    );
}
