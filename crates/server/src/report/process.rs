use ottla_types::Mono;
use tokio::runtime::RuntimeMetrics;

use super::ServerReport;
use crate::metrics::Exposition;

/// Of the times in /proc; the same on every Linux that runs today.
const TICKS_PER_SECOND: f64 = 100.0;

impl ServerReport {
    pub(super) fn process(&self, text: &mut Exposition) {
        text.gauge("build_info", "Always 1; its labels say what runs.");
        text.count("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.gauge("node_info", "Always 1; its labels say which node this is.");
        let image = self.broker.image();
        let node = self.broker.config().node_id.to_string();
        let cluster = image.cluster_id().unwrap_or_default().to_owned();
        text.count("node_info", &[("node", &node), ("cluster", &cluster)], 1);
        text.gauge("uptime_seconds", "Time since the process started.");
        let uptime = self.clock.mono().since(Mono::ZERO);
        text.value("uptime_seconds", &[], uptime.as_secs_f64());
        let used = ProcessUse::read();
        if let Some(seconds) = used.cpu_seconds {
            text.counter("cpu_seconds_total", "CPU time of the process.");
            text.value("cpu_seconds_total", &[], seconds);
        }
        for (name, help, bytes) in [
            (
                "disk_read_bytes_total",
                "Bytes the process had read from devices.",
                used.read_bytes,
            ),
            (
                "disk_write_bytes_total",
                "Bytes the process had written to devices.",
                used.written_bytes,
            ),
        ] {
            if let Some(bytes) = bytes {
                text.counter(name, help);
                text.count(name, &[], bytes);
            }
        }
        self.runtimes(text);
        text.gauge("memory_bytes", "Memory in use, by what for.");
        let requests = self.gauges.request_memory_bytes() as u64;
        text.count("memory_bytes", &[("pool", "requests")], requests);
        let tails = self
            .directories
            .iter()
            .map(|dir| dir.log_dir.stats().tail_bytes as u64);
        text.count("memory_bytes", &[("pool", "tails")], tails.sum());
        let readers = self
            .directories
            .iter()
            .map(|dir| dir.log_dir.stats().reader_bytes as u64);
        text.count("memory_bytes", &[("pool", "readers")], readers.sum());
        if let Some(resident) = used.resident_bytes {
            text.count("memory_bytes", &[("pool", "resident")], resident);
        }
    }
}

impl ServerReport {
    /// How busy the workers are. A worker that is busy all the time lets its connections wait.
    fn runtimes(&self, text: &mut Exposition) {
        let help = "Time the worker's runtime did not wait for anything.";
        text.counter("tokio_busy_seconds_total", help);
        for (worker, runtime) in self.numbered_runtimes() {
            let busy = runtime.worker_total_busy_duration(0).as_secs_f64();
            text.value("tokio_busy_seconds_total", &[("worker", &worker)], busy);
        }
        let help = "Times the worker's runtime had nothing to do, and waited.";
        text.counter("tokio_parks_total", help);
        for (worker, runtime) in self.numbered_runtimes() {
            let parks = runtime.worker_park_count(0);
            text.count("tokio_parks_total", &[("worker", &worker)], parks);
        }
    }

    fn numbered_runtimes(&self) -> impl Iterator<Item = (String, &RuntimeMetrics)> {
        let numbered = self.workers.runtimes().enumerate();
        numbered.filter_map(|(number, runtime)| Some((number.to_string(), runtime?)))
    }
}

/// What the operating system says that the process uses; `None` where it does not say.
#[derive(Default)]
struct ProcessUse {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    read_bytes: Option<u64>,
    written_bytes: Option<u64>,
}

impl ProcessUse {
    fn read() -> ProcessUse {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        ProcessUse {
            read_bytes: number_after(&io, "read_bytes:"),
            written_bytes: number_after(&io, "write_bytes:"),
            cpu_seconds: cpu_ticks(&stat).map(|ticks| ticks as f64 / TICKS_PER_SECOND),
            resident_bytes: resident_kib(&status).map(|kib| kib << 10),
        }
    }
}

/// User and system time, the 14th and 15th field; the second, the name, may have spaces and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_kib(status: &str) -> Option<u64> {
    number_after(status, "VmRSS:")
}

/// The number in the line that begins with `name`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_understood() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 900 0 0 0 1234 66 0 0 20 0 9 0 5 1 2";
        assert_eq!(cpu_ticks(stat), Some(1300));
        assert_eq!(cpu_ticks(""), None);
        let status = "Name:\tottla\nVmPeak:\t 9 kB\nVmRSS:\t  10400 kB\n";
        assert_eq!(resident_kib(status), Some(10400));
        assert_eq!(resident_kib("Name: x"), None);
        let io = "rchar: 9\nread_bytes: 4096\nwrite_bytes: 8192\n";
        assert_eq!(number_after(io, "write_bytes:"), Some(8192));
    }
}
