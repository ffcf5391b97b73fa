use std::fmt;
use std::path::{Path, PathBuf};

use ottla_records::{BatchView, batches};
use ottla_storage::segment::sidecar::{self, Sidecar, Unit};
use ottla_types::Offset;
use serde_json::json;

use super::Detail;
use super::findings::Findings;
use crate::failure::Failure;
use crate::time_text::format_millis;

/// Shows and checks every segment below `path` with its sidecar; gives how many there are.
pub fn show(path: &Path, detail: Detail, findings: &mut Findings) -> Result<usize, Failure> {
    let mut segments = Vec::new();
    find_segments(path, &mut segments)?;
    segments.sort();
    for segment in &segments {
        let bytes = std::fs::read(segment)
            .map_err(|error| Failure::failed(format!("{}: {error}", segment.display())))?;
        let name = findings.name(segment);
        let summary = Summary::of(&bytes, &mut |batch, position| {
            if detail == Detail::All {
                tell_batch(&name, batch, position, findings);
            }
        });
        let sums = Sums::of(segment, &bytes)?;
        summary.tell(&name, bytes.len(), &sums, findings);
        for (position, what) in summary.faults.iter().chain(&sums.faults) {
            findings.fault(&name, Some(*position), what);
        }
    }
    Ok(segments.len())
}

/// A file is taken as it is; in directories segments are looked for.
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
    /// Position and what is wrong there.
    faults: Vec<(u64, String)>,
}

impl Summary {
    fn of(bytes: &[u8], each: &mut dyn FnMut(&BatchView<'_>, usize)) -> Summary {
        let mut summary = Summary::default();
        let mut position = 0;
        for batch in batches(bytes) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => {
                    summary.faults.push((position as u64, error.to_string()));
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
            let what = format!("offset {base}: wrong checksum");
            self.faults.push((position as u64, what));
        }
        if self.last_offset.is_some_and(|before| base <= before) {
            let what = format!("offset {base} is out of order");
            self.faults.push((position as u64, what));
        }
        self.batches += 1;
        self.records += batch.records_count() as u64;
        self.first_offset.get_or_insert(base);
        self.last_offset = Some(last);
        let timestamp = batch.max_timestamp().as_millis();
        self.max_timestamp = self.max_timestamp.max(Some(timestamp));
    }

    fn tell(&self, name: &str, size: usize, sums: &Sums, findings: &Findings) {
        findings.tell(
            || {
                let offsets = match (self.first_offset, self.last_offset) {
                    (Some(first), Some(last)) => format!("offsets {first} to {last}"),
                    _ => "empty".to_owned(),
                };
                let (batches, records) = (self.batches, self.records);
                format!(
                    "{name}: {size} bytes, {batches} batches, {records} records, {offsets}, {sums}"
                )
            },
            || {
                json!({
                    "segment": name,
                    "bytes": size,
                    "batches": self.batches,
                    "records": self.records,
                    "first_offset": self.first_offset,
                    "last_offset": self.last_offset,
                    "max_timestamp": self.max_timestamp,
                    "bytes_with_sums": sums.covered,
                    "faults": self.faults.iter().map(|(_, what)| what).collect::<Vec<_>>(),
                })
            },
        );
    }
}

/// What the sidecar of a segment says of it.
#[derive(Default)]
struct Sums {
    /// Bytes from the beginning that it covers; `None` without a sidecar.
    covered: Option<u64>,
    faults: Vec<(u64, String)>,
}

impl Sums {
    /// Its end may be missing, because it is not synced: what it covers has to be right.
    fn of(segment: &Path, bytes: &[u8]) -> Result<Sums, Failure> {
        let path = segment.with_extension("sums");
        let sums = match std::fs::read(&path) {
            Ok(sums) => sums,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Sums::default());
            }
            Err(error) => return Err(Failure::failed(format!("{}: {error}", path.display()))),
        };
        let base = segment
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let units = match sidecar::decode(&sums, Offset::new(base.unwrap_or(0)), size) {
            Sidecar::Units(units) => units,
            Sidecar::NewerVersion(version) => {
                let fault = format!("its sums are of version {version}, which is not known here");
                return Ok(Sums {
                    covered: Some(0),
                    faults: vec![(0, fault)],
                });
            }
        };
        let covered = units
            .last()
            .map_or(0, |unit| u64::from(unit.end_position()));
        let is_bad = |unit: &&Unit| {
            let range = unit.position as usize..unit.end_position() as usize;
            !bytes.get(range).is_some_and(|bytes| unit.is_valid(bytes))
        };
        let faults = units.iter().filter(is_bad).map(|unit| {
            let what = format!("the next {} bytes do not match their checksum", unit.size);
            (u64::from(unit.position), what)
        });
        Ok(Sums {
            covered: Some(covered),
            faults: faults.collect(),
        })
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.covered {
            Some(covered) => write!(f, "sums of {covered} bytes"),
            None => f.write_str("no sums"),
        }
    }
}

fn tell_batch(segment: &str, batch: &BatchView<'_>, position: usize, findings: &Findings) {
    let (base, last) = (batch.base_offset().get(), batch.last_offset().get());
    let codec = batch
        .codec()
        .map_or("unknown".to_owned(), |codec| codec.name().to_owned());
    let epoch = batch.leader_epoch().map_or(-1, |epoch| epoch.get());
    let (size, records) = (batch.size_in_bytes(), batch.records_count());
    let time = format_millis(batch.max_timestamp().as_millis());
    findings.tell(
        || {
            format!(
                "  {base}..={last} at {position}: {records} records, {size} bytes, {codec}, epoch \
                 {epoch}, {time}"
            )
        },
        || {
            json!({
                "segment": segment,
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
        },
    );
}
