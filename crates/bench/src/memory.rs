//! The page cache is filled once before a server is measured, as it is on a machine that has been up for a
//! while. Memory that is free may have been given back to a hypervisor, and whoever touches it first pays
//! for that; without this the first contender would.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Left free: reading on would only push out what was just read.
const LEFT_FREE: u64 = 512 << 20;
const PIECE_SIZE: u64 = 4 << 20;

/// Fills free memory with the pages of a sparse file in the folder `dir`. They are the first to go when
/// somebody needs memory. A machine that is not done within `time_max` is measured as it is.
pub fn fill_page_cache(dir: &Path, time_max: Duration) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(dir.join("page-cache.sparse"))?;
    let size = meminfo("MemTotal:")?;
    file.set_len(size)?;
    let mut piece = vec![0; PIECE_SIZE as usize];
    let (mut at, started) = (0, Instant::now());
    let is_late = || time_max < started.elapsed();
    while at + PIECE_SIZE <= size && !is_late() && LEFT_FREE < meminfo("MemFree:")? {
        file.read_exact_at(&mut piece, at)?;
        at += PIECE_SIZE;
    }
    Ok(())
}

/// Bytes of a line of /proc/meminfo.
fn meminfo(name: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    Ok(kib.unwrap_or(0) * 1024)
}
