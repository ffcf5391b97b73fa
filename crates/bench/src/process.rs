//! What a process has used, by /proc.

use std::io;

/// Ticks a second of /proc's CPU counters: fixed on Linux for user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system CPU seconds of a process, its ended threads included.
pub fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command name may hold spaces and brackets: fields count from behind the last one.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split(' ')
        .collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    Ok((ticks(12) + ticks(13)) / TICKS_PER_SECOND)
}

/// Resident memory in bytes.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    Ok(kib.unwrap_or(0) * 1024)
}

/// Bytes the process has read from files and sockets since it began, cached or not.
pub fn read_bytes(pid: u32) -> io::Result<u64> {
    io_counter(pid, "rchar: ")
}

/// Bytes of pages the process has made dirty or written past the page cache since it began: what the device gets.
pub fn written_bytes(pid: u32) -> io::Result<u64> {
    io_counter(pid, "write_bytes: ")
}

fn io_counter(pid: u32, name: &str) -> io::Result<u64> {
    let counters = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = counters.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.and_then(|line| line.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_uses_cpu_and_memory() {
        let pid = std::process::id();
        let before = cpu_seconds(pid).unwrap();
        let mut sum = 0u64;
        while cpu_seconds(pid).unwrap() == before {
            sum = (0..100_000u64).fold(sum, |a, b| a.wrapping_mul(31).wrapping_add(b));
        }
        assert!(before < cpu_seconds(pid).unwrap(), "{sum}");
        assert!(1 << 16 < resident_bytes(pid).unwrap());
    }
}
