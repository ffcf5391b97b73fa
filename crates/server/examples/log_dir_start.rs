//! What opening a log directory costs: `cargo run --release -p ottla-server --example log_dir_start DIR`.
//!
//! The directory is one of `log.dirs` that no broker uses. Opening one changes next to nothing in it, so it can be done
//! again and again with the same one.

use ottla_server::OsDisk;
use ottla_storage::log_dir::{LogDir, LogDirOptions};
use ottla_types::{Mono, Now, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

fn main() {
    let Some(dir) = std::env::args().nth(1) else {
        eprintln!("usage: log_dir_start DIR");
        return;
    };
    let disk = Arc::new(OsDisk::open(Path::new(&dir)).expect("the directory can be opened"));
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    let now = Now {
        mono: Mono::ZERO,
        wall: Timestamp::from_millis(wall),
    };
    let started = Instant::now();
    let opened = LogDir::open(disk, LogDirOptions::default(), now);
    let (log_dir, report) = opened.expect("a log directory");
    println!(
        "{:.0} ms, {:.1} MB read, {} entries, {} partitions, {:?}, {:.1} MB in tails",
        started.elapsed().as_secs_f64() * 1000.0,
        report.bytes_read as f64 / 1e6,
        report.entries_count,
        report.partitions_count,
        report.verdict,
        log_dir.stats().tail_bytes as f64 / 1e6,
    );
}
