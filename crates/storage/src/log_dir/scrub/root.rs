use super::Progress;
use crate::disk::{DirEntry, DiskError};
use crate::findings::Finding;
use crate::log_dir::{LogDir, dir_names, rebuild};
use crate::marker::Marker;
use crate::segment::names;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Looks at the names in the root of the directory, one per step.
#[derive(Default)]
pub(super) struct Root {
    entries: Option<Vec<DirEntry>>,
    known: BTreeSet<Arc<str>>,
    leftover: Option<Leftover>,
}

/// The directory of a dropped partition whose removal was interrupted.
struct Leftover {
    path: PathBuf,
    files: Option<Vec<DirEntry>>,
}

impl Root {
    pub(super) fn step(&mut self, dir: &LogDir) -> Result<Progress, DiskError> {
        if let Some(leftover) = &mut self.leftover {
            if leftover.step(dir)? {
                self.leftover = None;
            }
            return Ok(Progress::Looked);
        }
        let Some(entries) = &mut self.entries else {
            self.entries = Some(dir.disk.list(Path::new(""))?);
            self.known = known_dirs(dir);
            return Ok(Progress::Looked);
        };
        // Those with a known name cost nothing.
        while let Some(entry) = entries.pop() {
            if dir.is_own_name(&entry.name) || self.known.contains(&*entry.name) {
                continue;
            }
            if entry.is_dir && names::deleted_topic(&entry.name).is_some() {
                if !dir.removing.lock().contains(&entry.name) {
                    self.leftover = Some(Leftover {
                        path: PathBuf::from(&entry.name),
                        files: None,
                    });
                }
                continue;
            }
            look(dir, &entry)?;
            return Ok(Progress::Looked);
        }
        Ok(match &self.leftover {
            Some(_) => Progress::Looked,
            None => Progress::Over,
        })
    }

    pub(super) fn give_up(&mut self) {
        self.leftover = None;
        self.entries.get_or_insert_default();
    }
}

/// The directories of all partitions, those on their way out included.
fn known_dirs(dir: &LogDir) -> BTreeSet<Arc<str>> {
    let table = dir.table.read();
    let mut known: BTreeSet<Arc<str>> = table
        .iter()
        .filter_map(|partition| partition.lock().dir.clone())
        .collect();
    drop(table);
    known.extend(dir.pump.lock().busy_names());
    known
}

/// Names what nobody knows.
fn look(dir: &LogDir, entry: &DirEntry) -> Result<(), DiskError> {
    let path = PathBuf::from(&entry.name);
    let owner = if entry.is_dir {
        match rebuild::owner(&*dir.disk, &entry.name) {
            Ok(owner) => owner,
            // Nobody lets us look into it.
            Err(error) if error.is_about_the_name() => None,
            Err(error) => return Err(error),
        }
    } else {
        None
    };
    match owner {
        Some(partition) => {
            let is_known = dir.table.read().find(partition).is_some()
                || known_dirs(dir).contains(&*entry.name);
            if !is_known {
                dir.findings.note(Finding::Stray { partition, path });
            }
        }
        None => {
            dir.findings.note(Finding::Foreign { path });
        }
    }
    Ok(())
}

impl Leftover {
    /// Removes one file, then the directory. Returns true when it is gone or left alone.
    fn step(&mut self, dir: &LogDir) -> Result<bool, DiskError> {
        let Some(files) = &mut self.files else {
            let files = match dir.disk.list(&self.path) {
                Ok(files) => files,
                Err(error) if error.is_about_the_name() => {
                    let path = self.path.clone();
                    dir.findings.note(Finding::Foreign { path });
                    return Ok(true);
                }
                Err(error) => return Err(error),
            };
            let foreign = files
                .iter()
                .find(|entry| entry.is_dir || !names::is_ours(&entry.name));
            if let Some(foreign) = foreign {
                let path = self.path.join(&foreign.name);
                dir.findings.note(Finding::Foreign { path });
                return Ok(true);
            }
            self.files = Some(files);
            return Ok(false);
        };
        if let Some(file) = files.pop() {
            dir.remove_unneeded(&self.path.join(file.name))?;
            return Ok(false);
        }
        match dir.disk.remove_dir(&self.path) {
            Ok(()) => {}
            // What keeps it was told, or came just now.
            Err(error) if error.is_about_the_name() => return Ok(true),
            Err(error) => return Err(error),
        }
        dir.markers.reach(Marker::LeftoverRemoved);
        let path = std::mem::take(&mut self.path);
        dir.findings.note(Finding::Leftover { path });
        Ok(true)
    }
}

impl LogDir {
    fn is_own_name(&self, name: &str) -> bool {
        let own = [
            dir_names::LOCK,
            dir_names::WAL,
            dir_names::LARGE,
            dir_names::CHECKPOINTS,
        ];
        own.contains(&name) || self.options.known_names.iter().any(|known| known == name)
    }
}
