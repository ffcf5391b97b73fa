use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_storage::disk::{
    DirEntry, Disk, DiskError, DiskFile, DiskLock, DiskOperation, OpenMode, Space,
};
use ottla_storage::read_only_file::ReadOnlyFile;
use parking_lot::Mutex;

use super::pending_file::PendingFile;

/// Where files live that have no durable name yet. Emptied at every start.
const STAGING: &str = ".not-yet-durable";

/// For tests: a disk on which killing the process *is* a power cut.
///
/// Writes are kept in memory and reach the disk below at `sync_data`; names (created, renamed,
/// removed) reach it at `sync_dir`. Reads and lists see everything. What the process did not sync
/// is gone when it is killed, except for pages that are written back early at random, as an
/// operating system does.
///
/// Invariant: an entry of a directory's `durable` map is what the disk below has under that name.
pub struct PowerCutDisk {
    inner: Arc<dyn Disk>,
    tree: Mutex<Tree>,
}

struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    next_id: u64,
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct NodeId(u64);

const ROOT: NodeId = NodeId(0);

struct Node {
    home: Home,
    kind: Kind,
}

/// Where the disk below has a node.
#[derive(Clone)]
enum Home {
    Root,
    /// In the staging directory, under its number.
    Staged,
    In {
        parent: NodeId,
        name: String,
    },
}

enum Kind {
    Dir {
        /// What this process sees.
        view: BTreeMap<String, NodeId>,
        /// What the disk below has.
        durable: BTreeMap<String, NodeId>,
    },
    File(FileNode),
}

#[derive(Default)]
struct FileNode {
    /// Opened at the first use, then shared by all handles.
    file: Option<Arc<PendingFile>>,
}

impl PowerCutDisk {
    /// Over `inner`, as the last power cut left it. `seed` decides what is written back early.
    pub fn open(inner: Arc<dyn Disk>, seed: u64) -> Result<PowerCutDisk, DiskError> {
        match remove_all(&*inner, Path::new(STAGING)) {
            Err(error) if !error.is_not_found() => return Err(error),
            Ok(()) | Err(_) => {}
        }
        inner.create_dir(Path::new(STAGING))?;
        let mut tree = Tree {
            nodes: BTreeMap::new(),
            next_id: 0,
            seed,
        };
        tree.load(&*inner, Path::new(""), Home::Root)?;
        Ok(PowerCutDisk {
            inner,
            tree: Mutex::new(tree),
        })
    }
}

fn remove_all(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            remove_all(disk, &path)?;
        } else {
            disk.remove_file(&path)?;
        }
    }
    disk.remove_dir(dir)
}

impl Tree {
    fn load(&mut self, disk: &dyn Disk, path: &Path, home: Home) -> Result<NodeId, DiskError> {
        let id = self.add(
            home,
            Kind::Dir {
                view: BTreeMap::new(),
                durable: BTreeMap::new(),
            },
        );
        let mut children = BTreeMap::new();
        for entry in disk.list(path)? {
            if entry.name == STAGING {
                continue;
            }
            let home = Home::In {
                parent: id,
                name: entry.name.clone(),
            };
            let child = if entry.is_dir {
                self.load(disk, &path.join(&entry.name), home)?
            } else {
                self.add(home, Kind::File(FileNode::default()))
            };
            children.insert(entry.name, child);
        }
        let node = self.nodes.get_mut(&id).expect("just added");
        node.kind = Kind::Dir {
            view: children.clone(),
            durable: children,
        };
        Ok(id)
    }

    fn add(&mut self, home: Home, kind: Kind) -> NodeId {
        let id = NodeId(self.next_id);
        self.next_id += 1;
        self.nodes.insert(id, Node { home, kind });
        id
    }

    /// The path of a node on the disk below.
    fn inner_path(&self, id: NodeId) -> PathBuf {
        match &self.nodes[&id].home {
            Home::Root => PathBuf::new(),
            Home::Staged => Path::new(STAGING).join(id.0.to_string()),
            Home::In { parent, name } => self.inner_path(*parent).join(name),
        }
    }

    fn view(&self, id: NodeId) -> Option<&BTreeMap<String, NodeId>> {
        match &self.nodes[&id].kind {
            Kind::Dir { view, .. } => Some(view),
            Kind::File(_) => None,
        }
    }

    fn view_mut(&mut self, id: NodeId) -> &mut BTreeMap<String, NodeId> {
        match &mut self.nodes.get_mut(&id).expect("a known node").kind {
            Kind::Dir { view, .. } => view,
            Kind::File(_) => unreachable!("only directories are looked into"),
        }
    }

    fn find(&self, operation: DiskOperation, path: &Path) -> Result<NodeId, DiskError> {
        let mut id = ROOT;
        for part in path {
            let name = part.to_string_lossy();
            let child = self.view(id).and_then(|view| view.get(&*name));
            id = *child.ok_or_else(|| DiskError::NotFound {
                operation,
                path: path.to_owned(),
            })?;
        }
        Ok(id)
    }

    fn find_dir(&self, operation: DiskOperation, path: &Path) -> Result<NodeId, DiskError> {
        let id = self.find(operation, path)?;
        match self.view(id) {
            Some(_) => Ok(id),
            None => Err(refused(operation, path, "not a directory")),
        }
    }

    /// The directory that holds `path`, and the last part of it.
    fn split(&self, operation: DiskOperation, path: &Path) -> Result<(NodeId, String), DiskError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let found = self.find_dir(operation, parent);
        let dir = found.map_err(|error| match error {
            DiskError::NotFound { .. } => DiskError::NotFound {
                operation,
                path: path.to_owned(),
            },
            error => error,
        })?;
        let name = path.file_name().unwrap_or_default();
        Ok((dir, name.to_string_lossy().into_owned()))
    }

    /// Whether some directory shows or durably holds the node.
    fn is_linked(&self, wanted: NodeId) -> bool {
        self.nodes.values().any(|node| match &node.kind {
            Kind::Dir { view, durable } => view
                .values()
                .chain(durable.values())
                .any(|&child| child == wanted),
            Kind::File(_) => false,
        })
    }

    /// Moves a node to the staging directory of the disk below.
    fn stage(&mut self, disk: &dyn Disk, id: NodeId) -> Result<(), DiskError> {
        let from = self.inner_path(id);
        self.nodes.get_mut(&id).expect("a known node").home = Home::Staged;
        disk.rename(&from, &self.inner_path(id))
    }

    /// Forgets a node that nothing links to; open handles keep the file itself.
    fn forget(&mut self, disk: &dyn Disk, id: NodeId) -> Result<(), DiskError> {
        let path = self.inner_path(id);
        match self.nodes[&id].kind {
            Kind::Dir { .. } => remove_all(disk, &path)?,
            Kind::File(_) => disk.remove_file(&path)?,
        }
        self.nodes.remove(&id);
        Ok(())
    }
}

impl Disk for PowerCutDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut tree = self.tree.lock();
        let (parent, name) = tree.split(DiskOperation::CreateDir, path)?;
        if let Some(&existing) = tree.view(parent).and_then(|view| view.get(&name)) {
            return match tree.view(existing) {
                Some(_) => Ok(()),
                None => Err(DiskError::AlreadyExists {
                    operation: DiskOperation::CreateDir,
                    path: path.to_owned(),
                }),
            };
        }
        let id = tree.add(
            Home::Staged,
            Kind::Dir {
                view: BTreeMap::new(),
                durable: BTreeMap::new(),
            },
        );
        self.inner.create_dir(&tree.inner_path(id))?;
        tree.view_mut(parent).insert(name, id);
        Ok(())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut tree = self.tree.lock();
        let (parent, name) = tree.split(DiskOperation::Open, path)?;
        let existing = tree.view(parent).and_then(|view| view.get(&name)).copied();
        let id = match (existing, mode) {
            (Some(_), OpenMode::CreateNew) => {
                return Err(DiskError::AlreadyExists {
                    operation: DiskOperation::Open,
                    path: path.to_owned(),
                });
            }
            (Some(id), _) => id,
            (None, OpenMode::Read | OpenMode::ReadWrite) => {
                return Err(DiskError::NotFound {
                    operation: DiskOperation::Open,
                    path: path.to_owned(),
                });
            }
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                let id = tree.add(Home::Staged, Kind::File(FileNode::default()));
                tree.view_mut(parent).insert(name, id);
                id
            }
        };
        let (inner_path, seed) = (tree.inner_path(id), tree.seed ^ id.0);
        let node = tree.nodes.get_mut(&id).expect("a known node");
        let Kind::File(node) = &mut node.kind else {
            return Err(refused(DiskOperation::Open, path, "it is a directory"));
        };
        let file = match &node.file {
            Some(file) => Arc::clone(file),
            None => {
                let inner = self.inner.open(&inner_path, OpenMode::Create)?;
                let file = Arc::new(PendingFile::open(inner, seed)?);
                node.file = Some(Arc::clone(&file));
                file
            }
        };
        match mode {
            OpenMode::Read => Ok(Arc::new(ReadOnlyFile::new(file, path))),
            OpenMode::ReadWrite | OpenMode::Create | OpenMode::CreateNew => Ok(file),
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let tree = self.tree.lock();
        let id = tree.find_dir(DiskOperation::List, dir)?;
        let view = tree.view(id).into_iter().flatten();
        view.map(|(name, &child)| {
            let (is_dir, size) = match &tree.nodes[&child].kind {
                Kind::Dir { .. } => (true, 0),
                Kind::File(FileNode { file: Some(file) }) => (false, file.size()?),
                Kind::File(FileNode { file: None }) => {
                    let file = self.inner.open(&tree.inner_path(child), OpenMode::Read)?;
                    (false, file.size()?)
                }
            };
            Ok(DirEntry {
                name: name.clone(),
                is_dir,
                size,
            })
        })
        .collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut tree = self.tree.lock();
        let id = tree.find(DiskOperation::Rename, from)?;
        let (from_dir, from_name) = tree.split(DiskOperation::Rename, from)?;
        let (to_dir, to_name) = tree.split(DiskOperation::Rename, to)?;
        let replaced = tree
            .view(to_dir)
            .and_then(|view| view.get(&to_name))
            .copied();
        let both_are_files = |replaced| tree.view(id).is_none() && tree.view(replaced).is_none();
        if replaced.is_some_and(|replaced| !both_are_files(replaced)) {
            return Err(refused(DiskOperation::Rename, to, "it is in the way"));
        }
        tree.view_mut(from_dir).remove(&from_name);
        tree.view_mut(to_dir).insert(to_name, id);
        match replaced {
            Some(replaced) if replaced != id && !tree.is_linked(replaced) => {
                tree.forget(&*self.inner, replaced)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        let mut tree = self.tree.lock();
        let id = tree.find(DiskOperation::Remove, path)?;
        if tree.view(id).is_some() {
            return Err(refused(DiskOperation::Remove, path, "it is a directory"));
        }
        let (parent, name) = tree.split(DiskOperation::Remove, path)?;
        tree.view_mut(parent).remove(&name);
        if tree.is_linked(id) {
            return Ok(());
        }
        tree.forget(&*self.inner, id)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut tree = self.tree.lock();
        let id = tree.find_dir(DiskOperation::Remove, path)?;
        if tree.view(id).is_some_and(|view| !view.is_empty()) {
            return Err(refused(DiskOperation::Remove, path, "it is not empty"));
        }
        let (parent, name) = tree.split(DiskOperation::Remove, path)?;
        tree.view_mut(parent).remove(&name);
        if tree.is_linked(id) {
            return Ok(());
        }
        tree.forget(&*self.inner, id)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut tree = self.tree.lock();
        let id = tree.find_dir(DiskOperation::SyncDir, path)?;
        let Kind::Dir { view, durable } = &tree.nodes[&id].kind else {
            unreachable!("find_dir gives directories");
        };
        let (view, durable) = (view.clone(), durable.clone());
        // 1. What is durable here under a name that is no longer its name leaves its place.
        let gone = durable
            .iter()
            .filter(|&(name, child)| view.get(name) != Some(child));
        let gone: Vec<NodeId> = gone.map(|(_, &child)| child).collect();
        for &child in &gone {
            tree.stage(&*self.inner, child)?;
        }
        // 2. What has a new name here comes from wherever it is durable now.
        for (name, &child) in view
            .iter()
            .filter(|&(name, id)| durable.get(name) != Some(id))
        {
            let from = tree.inner_path(child);
            tree.leave_durable_home(child);
            tree.nodes.get_mut(&child).expect("a known node").home = Home::In {
                parent: id,
                name: name.clone(),
            };
            self.inner.rename(&from, &tree.inner_path(child))?;
        }
        let node = tree.nodes.get_mut(&id).expect("a known node");
        let Kind::Dir { durable, .. } = &mut node.kind else {
            unreachable!("find_dir gives directories");
        };
        *durable = view;
        // 3. What left and has no other name is gone for good.
        for child in gone {
            if !tree.is_linked(child) {
                tree.forget(&*self.inner, child)?;
            }
        }
        Ok(())
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.inner.space()
    }

    /// The lock belongs to the process and not to what a power cut leaves, so it is the real one.
    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        let lock = self.inner.lock(path)?;
        let mut tree = self.tree.lock();
        let (parent, name) = tree.split(DiskOperation::Lock, path)?;
        if tree
            .view(parent)
            .is_some_and(|view| !view.contains_key(&name))
        {
            let home = Home::In {
                parent,
                name: name.clone(),
            };
            let id = tree.add(home, Kind::File(FileNode::default()));
            let node = tree.nodes.get_mut(&parent).expect("a known node");
            if let Kind::Dir { view, durable } = &mut node.kind {
                view.insert(name.clone(), id);
                durable.insert(name, id);
            }
        }
        Ok(lock)
    }
}

impl Tree {
    /// A rename across directories is durable in both once it is in one.
    fn leave_durable_home(&mut self, id: NodeId) {
        let Home::In { parent, name } = self.nodes[&id].home.clone() else {
            return;
        };
        let node = self.nodes.get_mut(&parent).expect("a known node");
        if let Kind::Dir { durable, .. } = &mut node.kind
            && durable.get(&name) == Some(&id)
        {
            durable.remove(&name);
        }
    }
}

fn refused(operation: DiskOperation, path: &Path, message: &str) -> DiskError {
    DiskError::Io {
        operation,
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;
    use crate::test_dir::TestDir;

    fn open(dir: &TestDir) -> PowerCutDisk {
        let inner = Arc::new(OsDisk::open(dir.path()).unwrap());
        PowerCutDisk::open(inner, 1).unwrap()
    }

    #[test]
    fn it_is_a_disk() {
        let dir = TestDir::new();
        ottla_storage::disk_conformance::check(&open(&dir));
    }

    #[test]
    fn dropping_it_is_a_power_cut() {
        let dir = TestDir::new();
        let disk: Arc<dyn Disk> = Arc::new(open(&dir));
        ottla_storage::disk_conformance::check_power_cut(disk, &mut |disk| {
            drop(disk);
            Arc::new(open(&dir))
        });
    }

    /// The disk exists to lose things: if it kept them, the crash tests would prove nothing.
    #[test]
    fn what_was_not_synced_is_lost() {
        let dir = TestDir::new();
        let disk = open(&dir);
        let write = |name: &str| {
            let file = disk.open(Path::new(name), OpenMode::Create).unwrap();
            file.write_at(0, &[&[1; 1000]]).unwrap();
            file
        };
        write("name-not-synced").sync_data().unwrap();
        let file = write("bytes-not-synced");
        disk.sync_dir(Path::new("")).unwrap();
        write("nothing-synced").sync_data().unwrap();
        write("renamed").sync_data().unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        disk.rename(Path::new("renamed"), Path::new("to")).unwrap();
        disk.remove_file(Path::new("name-not-synced")).unwrap();
        write("late").sync_data().unwrap();
        drop((file, disk));

        let disk = open(&dir);
        let names: Vec<String> = disk
            .list(Path::new(""))
            .unwrap()
            .into_iter()
            .map(|e| e.name)
            .collect();
        assert_eq!(
            names,
            [
                "bytes-not-synced",
                "name-not-synced",
                "nothing-synced",
                "renamed"
            ],
            "the removal, the rename and the last file were not synced"
        );
        let file = disk
            .open(Path::new("bytes-not-synced"), OpenMode::Read)
            .unwrap();
        assert!(
            [0, 1000].contains(&file.size().unwrap()),
            "one page: all or nothing"
        );
    }
}
