use super::file_node::FileNode;
use ottla_types::Prng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

pub(super) type Ino = u64;
pub(super) const ROOT: Ino = 0;

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TreeError {
    NotFound,
    AlreadyExists,
    NotADirectory,
    IsADirectory,
    NotEmpty,
}

pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// The two sides of a directory: what processes see, and what a power cut leaves.
#[derive(Default)]
pub(super) struct DirNode {
    live: BTreeMap<String, Ino>,
    durable: BTreeMap<String, Ino>,
}

/// A change of names that no directory sync has made durable yet. A rename is one change: a power
/// cut leaves both of its halves or neither.
#[derive(Clone, Debug)]
enum Change {
    Link {
        dir: Ino,
        name: String,
        ino: Ino,
    },
    Unlink {
        dir: Ino,
        name: String,
        ino: Ino,
    },
    Rename {
        from: (Ino, String),
        to: (Ino, String),
        ino: Ino,
    },
}

/// Names and nodes of the whole disk.
pub(super) struct Tree {
    nodes: BTreeMap<Ino, Node>,
    next_ino: Ino,
    changes: Vec<Change>,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let mut nodes = BTreeMap::new();
        nodes.insert(ROOT, Node::Dir(DirNode::default()));
        Tree {
            nodes,
            next_ino: ROOT + 1,
            changes: Vec::new(),
        }
    }

    pub(super) fn lookup(&self, path: &Path) -> Result<Ino, TreeError> {
        let mut at = ROOT;
        for name in names(path) {
            let dir = self.dir(at)?;
            at = *dir.live.get(&name).ok_or(TreeError::NotFound)?;
        }
        Ok(at)
    }

    pub(super) fn file(&self, ino: Ino) -> Result<&FileNode, TreeError> {
        match self.nodes.get(&ino) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(TreeError::IsADirectory),
            None => Err(TreeError::NotFound),
        }
    }

    pub(super) fn file_mut(&mut self, ino: Ino) -> Result<&mut FileNode, TreeError> {
        match self.nodes.get_mut(&ino) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(TreeError::IsADirectory),
            None => Err(TreeError::NotFound),
        }
    }

    /// Names in `path`, sorted, each with its size or `None` for a directory.
    pub(super) fn list(&self, path: &Path) -> Result<Vec<(String, Option<u64>)>, TreeError> {
        let dir = self.dir(self.lookup(path)?)?;
        Ok(dir
            .live
            .iter()
            .map(|(name, ino)| {
                let size = match &self.nodes[ino] {
                    Node::File(file) => Some(file.size() as u64),
                    Node::Dir(_) => None,
                };
                (name.clone(), size)
            })
            .collect())
    }

    pub(super) fn create_file(&mut self, path: &Path) -> Result<Ino, TreeError> {
        self.link(path, Node::File(FileNode::new()))
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> Result<Ino, TreeError> {
        self.link(path, Node::Dir(DirNode::default()))
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> Result<(), TreeError> {
        self.file(self.lookup(path)?)?;
        self.unlink(path)
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> Result<(), TreeError> {
        if !self.dir(self.lookup(path)?)?.live.is_empty() {
            return Err(TreeError::NotEmpty);
        }
        self.unlink(path)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), TreeError> {
        let ino = self.lookup(from)?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        if let Some(replaced) = self.dir(to_dir)?.live.get(&to_name)
            && let Some(Node::Dir(dir)) = self.nodes.get(replaced)
            && !dir.live.is_empty()
        {
            return Err(TreeError::NotEmpty);
        }
        self.dir_mut(from_dir).live.remove(&from_name);
        self.dir_mut(to_dir).live.insert(to_name.clone(), ino);
        self.changes.push(Change::Rename {
            from: (from_dir, from_name),
            to: (to_dir, to_name),
            ino,
        });
        Ok(())
    }

    /// Makes the names in `path` durable. Whether `path` itself is reachable is its parent's.
    pub(super) fn sync_dir(&mut self, path: &Path) -> Result<(), TreeError> {
        let ino = self.lookup(path)?;
        self.dir(ino)?;
        let (now, later) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|change| change.touches(ino));
        self.changes = later;
        for change in now {
            self.make_durable(change);
        }
        Ok(())
    }

    /// The power went: unsynced changes of names survive as a journal would keep them (a prefix) or
    /// as any subset, and every file keeps what its media holds.
    pub(super) fn lose_power(&mut self, prng: &mut Prng) {
        let changes = std::mem::take(&mut self.changes);
        let prefix = prng.chance(1, 2);
        let kept = prng.below(changes.len() as u64 + 1) as usize;
        for (index, change) in changes.into_iter().enumerate() {
            if if prefix {
                index < kept
            } else {
                prng.chance(1, 2)
            } {
                self.make_durable(change);
            }
        }
        for node in self.nodes.values_mut() {
            match node {
                Node::Dir(dir) => dir.live.clone_from(&dir.durable),
                Node::File(file) => file.lose_power(prng),
            }
        }
        self.sweep();
    }

    /// Forgets nodes that no name, kept or pending, leads to.
    pub(super) fn sweep(&mut self) {
        let mut reached = BTreeSet::new();
        let mut todo = vec![ROOT];
        todo.extend(self.changes.iter().map(Change::ino));
        while let Some(ino) = todo.pop() {
            if reached.insert(ino)
                && let Some(Node::Dir(dir)) = self.nodes.get(&ino)
            {
                todo.extend(dir.live.values().chain(dir.durable.values()));
            }
        }
        self.nodes.retain(|ino, node| {
            reached.contains(ino) || matches!(node, Node::File(file) if file.is_open())
        });
    }

    /// Every visible file with its path, in the order of paths.
    pub(super) fn files(&self) -> Vec<(String, Ino)> {
        let mut found = Vec::new();
        let mut todo = vec![(String::new(), ROOT)];
        while let Some((path, ino)) = todo.pop() {
            match &self.nodes[&ino] {
                Node::File(_) => found.push((path, ino)),
                Node::Dir(dir) => {
                    for (name, &child) in &dir.live {
                        let slash = if path.is_empty() { "" } else { "/" };
                        todo.push((format!("{path}{slash}{name}"), child));
                    }
                }
            }
        }
        found.sort();
        found
    }

    pub(super) fn all_files_mut(&mut self) -> impl Iterator<Item = &mut FileNode> {
        self.nodes.values_mut().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        })
    }

    /// Space taken by files that have a name or are open, in bytes.
    pub(super) fn used_bytes(&self) -> u64 {
        let named: BTreeSet<Ino> = self
            .nodes
            .values()
            .filter_map(|node| match node {
                Node::Dir(dir) => Some(dir.live.values().copied()),
                Node::File(_) => None,
            })
            .flatten()
            .collect();
        self.nodes
            .iter()
            .filter_map(|(ino, node)| match node {
                Node::File(file) if named.contains(ino) || file.is_open() => Some(file.allocated),
                Node::File(_) | Node::Dir(_) => None,
            })
            .sum()
    }

    fn link(&mut self, path: &Path, node: Node) -> Result<Ino, TreeError> {
        let (dir, name) = self.parent(path)?;
        if self.dir(dir)?.live.contains_key(&name) {
            return Err(TreeError::AlreadyExists);
        }
        let ino = self.next_ino;
        self.next_ino += 1;
        self.nodes.insert(ino, node);
        self.dir_mut(dir).live.insert(name.clone(), ino);
        self.changes.push(Change::Link { dir, name, ino });
        Ok(ino)
    }

    fn unlink(&mut self, path: &Path) -> Result<(), TreeError> {
        let (dir, name) = self.parent(path)?;
        let ino = self.dir_mut(dir).live.remove(&name);
        let ino = ino.ok_or(TreeError::NotFound)?;
        self.changes.push(Change::Unlink { dir, name, ino });
        Ok(())
    }

    fn parent(&self, path: &Path) -> Result<(Ino, String), TreeError> {
        let mut names = names(path);
        let name = names.pop().ok_or(TreeError::IsADirectory)?;
        let mut at = ROOT;
        for name in names {
            at = *self.dir(at)?.live.get(&name).ok_or(TreeError::NotFound)?;
        }
        self.dir(at)?;
        Ok((at, name))
    }

    fn dir(&self, ino: Ino) -> Result<&DirNode, TreeError> {
        match self.nodes.get(&ino) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(TreeError::NotADirectory),
            None => Err(TreeError::NotFound),
        }
    }

    fn dir_mut(&mut self, ino: Ino) -> &mut DirNode {
        match self.nodes.get_mut(&ino) {
            Some(Node::Dir(dir)) => dir,
            _ => unreachable!("callers hold the number of a directory"),
        }
    }

    fn make_durable(&mut self, change: Change) {
        match change {
            Change::Link { dir, name, ino } => {
                if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir) {
                    dir.durable.insert(name, ino);
                }
            }
            Change::Unlink { dir, name, ino } => {
                if let Some(Node::Dir(dir)) = self.nodes.get_mut(&dir)
                    && dir.durable.get(&name) == Some(&ino)
                {
                    dir.durable.remove(&name);
                }
            }
            Change::Rename { to, ino, .. } => {
                // A node has one name: a rename that survives takes every older name with it.
                for node in self.nodes.values_mut() {
                    if let Node::Dir(dir) = node {
                        dir.durable.retain(|_, named| *named != ino);
                    }
                }
                if let Some(Node::Dir(dir)) = self.nodes.get_mut(&to.0) {
                    dir.durable.insert(to.1, ino);
                }
            }
        }
    }
}

impl Change {
    fn ino(&self) -> Ino {
        match self {
            Change::Link { ino, .. } | Change::Unlink { ino, .. } | Change::Rename { ino, .. } => {
                *ino
            }
        }
    }

    fn touches(&self, directory: Ino) -> bool {
        match self {
            Change::Link { dir, .. } | Change::Unlink { dir, .. } => *dir == directory,
            Change::Rename { from, to, .. } => from.0 == directory || to.0 == directory,
        }
    }
}

fn names(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect()
}
