use std::path::Path;

use ottla_broker::config::parse_properties;
use ottla_storage::disk::{Disk, DiskError, OpenMode};
use ottla_types::{BrokerId, DirectoryId, Uuid};

/// Kafka's name for it, and Kafka's format.
const FILE: &str = "meta.properties";
const NEW_FILE: &str = "meta.properties.new";
/// The files' names.
pub const FILES: [&str; 2] = [FILE, NEW_FILE];
/// Kafka's version of the format since KRaft.
const VERSION: &str = "1";
/// The file is this large at most: anything larger is not ours.
const SIZE_MAX: u64 = 64 << 10;

/// Who a log directory belongs to, as its `meta.properties` says:
///
/// ```text
/// version=1
/// cluster.id=5L6g3nShT-eMCtK--X86sw
/// node.id=1
/// directory.id=kGZQ0OGvQmKGNJ2vsVnB5Q
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryIdentity {
    /// The cluster its records belong to.
    pub cluster_id: String,
    /// The node that wrote it.
    pub node_id: BrokerId,
    /// Names the directory for ever.
    pub directory_id: DirectoryId,
}

/// Why a directory's identity cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is not what it should be.
    #[error("{FILE} is damaged: {0}")]
    Malformed(String),
}

impl DirectoryIdentity {
    /// What is written in the directory; `None`: it is new.
    pub fn read(disk: &dyn Disk) -> Result<Option<DirectoryIdentity>, IdentityError> {
        let file = match disk.open(Path::new(FILE), OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let size = file.size()?;
        if size > SIZE_MAX {
            return Err(malformed("it is too large"));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_at(0, &mut bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
        DirectoryIdentity::parse(&text).map(Some)
    }

    fn parse(text: &str) -> Result<DirectoryIdentity, IdentityError> {
        let properties = parse_properties(text).map_err(malformed)?;
        let value = |key: &str| {
            let property = properties.iter().find(|property| property.key == key);
            property
                .map(|property| property.value.as_str())
                .ok_or_else(|| malformed(format!("{key} is missing")))
        };
        let version = value("version")?;
        if version != VERSION {
            return Err(malformed(format!(
                "version {version} is not known to this release"
            )));
        }
        let node_id = value("node.id")?
            .parse()
            .map_err(|_| malformed("node.id is no number"))?;
        let directory_id: Uuid = value("directory.id")?
            .parse()
            .map_err(|_| malformed("directory.id is no id"))?;
        Ok(DirectoryIdentity {
            cluster_id: value("cluster.id")?.to_owned(),
            node_id: BrokerId::new(node_id),
            directory_id: DirectoryId::new(directory_id),
        })
    }

    /// Writes it durably, whole or not at all.
    pub fn write(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        self.prepare(disk)?;
        DirectoryIdentity::publish(disk)?;
        disk.sync_dir(Path::new(""))
    }

    /// Writes and syncs it under a name that is not read.
    pub fn prepare(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        let text = format!(
            "version={VERSION}\ncluster.id={}\nnode.id={}\ndirectory.id={}\n",
            self.cluster_id, self.node_id, self.directory_id
        );
        let file = disk.open(Path::new(NEW_FILE), OpenMode::Create)?;
        file.set_len(0)?;
        file.write_at(0, &[text.as_bytes()])?;
        file.sync_data()
    }

    /// Gives what was prepared its name, which is durable with the next sync of the root.
    pub fn publish(disk: &dyn Disk) -> Result<(), DiskError> {
        disk.rename(Path::new(NEW_FILE), Path::new(FILE))
    }
}

fn malformed(reason: impl ToString) -> IdentityError {
    IdentityError::Malformed(reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_storage::memory_disk::MemoryDisk;

    fn identity() -> DirectoryIdentity {
        DirectoryIdentity {
            cluster_id: "5L6g3nShT-eMCtK--X86sw".to_owned(),
            node_id: BrokerId::new(7),
            directory_id: DirectoryId::new("kGZQ0OGvQmKGNJ2vsVnB5Q".parse().unwrap()),
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let disk = MemoryDisk::new();
        assert_eq!(DirectoryIdentity::read(&disk).unwrap(), None);
        identity().write(&disk).unwrap();
        assert_eq!(DirectoryIdentity::read(&disk).unwrap(), Some(identity()));
    }

    #[test]
    fn kafkas_own_file_is_understood() {
        let text = "#\n#Sun Nov 22 12:00:00 UTC 2026\ncluster.id=5L6g3nShT-eMCtK--X86sw\n\
                    directory.id=kGZQ0OGvQmKGNJ2vsVnB5Q\nnode.id=7\nversion=1\n";
        assert_eq!(DirectoryIdentity::parse(text).unwrap(), identity());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("", "version is missing"),
            ("version=2\n", "version 2"),
            ("version=1\nnode.id=x\n", "node.id is no number"),
            (
                "version=1\nnode.id=1\ndirectory.id=1\n",
                "directory.id is no id",
            ),
        ] {
            let error = DirectoryIdentity::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
