mod findings;
mod journal;
mod metadata_log;
mod read_only_disk;
mod segments;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::client_arguments::Format;
use crate::failure::Failure;
use findings::Findings;
use read_only_disk::ReadOnlyDisk;

#[derive(Debug, Subcommand)]
pub enum DebugCommand {
    /// Show and check everything in a data directory: segments with their checksums, checkpoints, the
    /// journal with the state of proof of its frames, the metadata log. A partition's directory or
    /// one segment will do, too. Nothing is changed. A broker that is running goes on writing
    /// meanwhile: then the ends of files may look unfinished.
    Log(Log),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Ends with 1 when something is damaged; each fault is told with its file and position. What a crash left
unfinished is no damage: it was never acknowledged.")]
pub struct Log {
    /// The directory or file.
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// A line for each batch, journal frame, journal entry and metadata entry, and not only sums.
    #[arg(long, alias = "entries")]
    batches: bool,
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Summary,
    All,
}

pub fn run(command: DebugCommand, format: Format) -> Result<(), Failure> {
    let DebugCommand::Log(log) = command;
    let detail = match log.batches {
        true => Detail::All,
        false => Detail::Summary,
    };
    let mut findings = Findings::new(&log.path, format);
    let segments_count = segments::show(&log.path, detail, &mut findings)?;
    let has = |name: &str| log.path.join(name).is_dir();
    let (has_journal, has_metadata) = (has("wal") && has("checkpoints"), has("metadata"));
    if has_journal || has_metadata {
        let disk = Arc::new(open(&log.path)?);
        if has_journal {
            journal::show(&disk, detail, &mut findings)?;
        }
        if has_metadata {
            metadata_log::show(&disk, detail, &mut findings)?;
        }
    } else if segments_count == 0 {
        return Err(Failure::failed(format!(
            "{}: there are no segments, no journal and no metadata",
            log.path.display()
        )));
    }
    match findings.faults_count() {
        0 => Ok(()),
        1 => Err(Failure::failed("1 fault was found")),
        count => Err(Failure::failed(format!("{count} faults were found"))),
    }
}

fn open(path: &Path) -> Result<ReadOnlyDisk, Failure> {
    ReadOnlyDisk::open(path).map_err(Failure::failed)
}
