use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ottla_records::{BatchView, batches};
use serde_json::json;

use crate::arguments::Format;
use crate::failure::Failure;
use crate::time_text::format_millis;

#[derive(Debug, Subcommand)]
pub enum DebugCommand {
    /// Show and check the segments of a data directory, a partition's directory or one segment.
    /// What is only in the journal (wal/) is not shown: a broker that was stopped in order has
    /// nothing there.
    Log(Log),
}

#[derive(Debug, Args)]
pub struct Log {
    /// The directory or file.
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// A line for each batch, and not only for each segment.
    #[arg(long)]
    batches: bool,
}

pub fn run(command: DebugCommand, format: Format) -> Result<(), Failure> {
    let DebugCommand::Log(log) = command;
    let mut segments = Vec::new();
    find_segments(&log.path, &mut segments)?;
    segments.sort();
    if segments.is_empty() {
        return Err(Failure::failed(format!(
            "{}: there are no segments",
            log.path.display()
        )));
    }
    let mut faults = 0;
    for segment in segments {
        let bytes = std::fs::read(&segment)
            .map_err(|error| Failure::failed(format!("{}: {error}", segment.display())))?;
        let name = segment.strip_prefix(&log.path).unwrap_or(&segment);
        let name = if name.as_os_str().is_empty() {
            segment.as_path()
        } else {
            name
        };
        let summary = Summary::of(&bytes, &mut |batch, position| {
            if log.batches {
                print_batch(name, batch, position, format);
            }
        });
        faults += summary.faults.len();
        summary.print(name, bytes.len(), format);
    }
    if faults > 0 {
        return Err(Failure::failed(format!("{faults} faults were found")));
    }
    Ok(())
}

/// A file is taken as it is; in directories segments are looked for two levels deep.
fn find_segments(path: &Path, segments: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("{}: {error}", path.display()));
    if path.is_file() {
        segments.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            find_segments(&path, segments)?;
        } else if is_segment(&path) {
            segments.push(path);
        }
    }
    Ok(())
}

/// `00000000000000000042.log`.
fn is_segment(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let is_offset = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    is_offset && path.extension().is_some_and(|extension| extension == "log")
}

#[derive(Default)]
struct Summary {
    batches: u64,
    records: u64,
    first_offset: Option<i64>,
    last_offset: Option<i64>,
    max_timestamp: Option<i64>,
    faults: Vec<String>,
}

impl Summary {
    fn of(bytes: &[u8], each: &mut dyn FnMut(&BatchView<'_>, usize)) -> Summary {
        let mut summary = Summary::default();
        let mut position = 0;
        for batch in batches(bytes) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => {
                    summary.faults.push(format!("position {position}: {error}"));
                    break;
                }
            };
            summary.add(&batch, position);
            each(&batch, position);
            position += batch.size_in_bytes();
        }
        summary
    }

    fn add(&mut self, batch: &BatchView<'_>, position: usize) {
        let (base, last) = (batch.base_offset().get(), batch.last_offset().get());
        if !batch.is_crc_valid() {
            self.faults.push(format!(
                "position {position}, offset {base}: wrong checksum"
            ));
        }
        if self.last_offset.is_some_and(|before| base <= before) {
            self.faults.push(format!(
                "position {position}: offset {base} is out of order"
            ));
        }
        self.batches += 1;
        self.records += batch.records_count() as u64;
        self.first_offset.get_or_insert(base);
        self.last_offset = Some(last);
        let timestamp = batch.max_timestamp().as_millis();
        self.max_timestamp = self.max_timestamp.max(Some(timestamp));
    }

    fn print(&self, name: &Path, size: usize, format: Format) {
        let name = name.display().to_string();
        match format {
            Format::Json => println!(
                "{}",
                json!({
                    "segment": name,
                    "bytes": size,
                    "batches": self.batches,
                    "records": self.records,
                    "first_offset": self.first_offset,
                    "last_offset": self.last_offset,
                    "max_timestamp": self.max_timestamp,
                    "faults": self.faults,
                })
            ),
            Format::Text => {
                let offsets = match (self.first_offset, self.last_offset) {
                    (Some(first), Some(last)) => format!("offsets {first} to {last}"),
                    _ => "empty".to_owned(),
                };
                let (batches, records) = (self.batches, self.records);
                println!("{name}: {size} bytes, {batches} batches, {records} records, {offsets}");
                self.faults
                    .iter()
                    .for_each(|fault| println!("  FAULT at {fault}"));
            }
        }
    }
}

fn print_batch(segment: &Path, batch: &BatchView<'_>, position: usize, format: Format) {
    let (base, last) = (batch.base_offset().get(), batch.last_offset().get());
    let codec = batch
        .codec()
        .map_or("unknown".to_owned(), |codec| codec.name().to_owned());
    let epoch = batch.leader_epoch().map_or(-1, |epoch| epoch.get());
    let (size, records) = (batch.size_in_bytes(), batch.records_count());
    let time = format_millis(batch.max_timestamp().as_millis());
    match format {
        Format::Json => println!(
            "{}",
            json!({
                "segment": segment.display().to_string(),
                "position": position,
                "base_offset": base,
                "last_offset": last,
                "records": records,
                "bytes": size,
                "codec": codec,
                "leader_epoch": epoch,
                "max_timestamp": batch.max_timestamp().as_millis(),
                "is_transactional": batch.is_transactional(),
                "is_control": batch.is_control(),
                "producer_id": batch.producer().map(|producer| producer.id.get()),
                "is_crc_valid": batch.is_crc_valid(),
            })
        ),
        Format::Text => println!(
            "  {base}..={last} at {position}: {records} records, {size} bytes, {codec}, epoch \
             {epoch}, {time}"
        ),
    }
}
