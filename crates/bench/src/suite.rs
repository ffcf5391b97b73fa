//! The rows of docs/performance.md: every contender, one after the other, on the same machine in the
//! same run, printed as Markdown.

use crate::contender::Contender;
use crate::error::BenchError;
use crate::load::{Figures, Run, fetch, latency, produce};
use std::path::PathBuf;

/// What to measure.
pub struct Options {
    /// Our binary.
    pub ottla: PathBuf,
    /// Apache Kafka's jars.
    pub kafka_jars: Option<PathBuf>,
    /// Folder for data.
    pub data: PathBuf,
    /// Seconds a row.
    pub seconds: f64,
    /// Runs a row.
    pub repeats: usize,
    /// Only rows whose name contains this.
    pub only: Option<String>,
}

enum Load {
    Produce(produce::Load),
    Fetch(fetch::Load),
    Latency(latency::Load),
}

/// What a row's cell shows.
enum Cell {
    CpuPerGb,
    CpuPerRequest,
    Latency,
}

struct Row {
    name: &'static str,
    load: Load,
    cell: Cell,
}

/// Runs all rows and prints the table.
pub fn run(options: &Options) -> Result<(), BenchError> {
    let contenders = contenders(options);
    print!("| row |");
    for contender in &contenders {
        print!(" {} |", contender.name());
    }
    println!("\n|---|{}", "---|".repeat(contenders.len()));
    let wanted = |row: &Row| {
        options
            .only
            .as_ref()
            .is_none_or(|only| row.name.contains(only))
    };
    for row in rows().iter().filter(|row| wanted(row)) {
        print!("| {} |", row.name);
        for contender in &contenders {
            let cell = measure(options, row, contender)?;
            print!(" {cell} |");
        }
        println!();
    }
    start_row(options, &contenders)
}

fn contenders(options: &Options) -> Vec<Contender> {
    let ottla = |durability| Contender::Ottla {
        binary: options.ottla.clone(),
        durability,
    };
    let mut contenders = vec![ottla("fsync"), ottla("os")];
    if let Some(jars) = &options.kafka_jars {
        contenders.push(Contender::Kafka {
            jars: jars.clone(),
            durable: false,
        });
        contenders.push(Contender::Kafka {
            jars: jars.clone(),
            durable: true,
        });
    }
    contenders
}

fn rows() -> Vec<Row> {
    let produce = |name, batch_size, partitions, connections, cell| Row {
        name,
        load: Load::Produce(produce::Load {
            batch_size,
            partitions,
            connections,
            in_flight: 5,
            acks: -1,
        }),
        cell,
    };
    let fetch = |name, fetch_size| Row {
        name,
        load: Load::Fetch(fetch::Load {
            fetch_size,
            partitions: 16,
            data_bytes: 1 << 30,
        }),
        cell: Cell::CpuPerGb,
    };
    let latency = |name, rate| Row {
        name,
        load: Load::Latency(latency::Load {
            rate,
            partitions: 8,
        }),
        cell: Cell::Latency,
    };
    vec![
        produce(
            "produce 1 MiB, 16 partitions, CPU-s/GB",
            1 << 20,
            16,
            4,
            Cell::CpuPerGb,
        ),
        produce(
            "produce 16 KiB, 16 partitions, CPU-s/GB",
            16 << 10,
            16,
            4,
            Cell::CpuPerGb,
        ),
        produce(
            "produce 1 KiB, 16 partitions, CPU us/request",
            1 << 10,
            16,
            4,
            Cell::CpuPerRequest,
        ),
        produce(
            "produce 1 MiB, 1,000 partitions, CPU-s/GB",
            1 << 20,
            1000,
            4,
            Cell::CpuPerGb,
        ),
        produce(
            "produce 16 KiB, 1,000 partitions, CPU-s/GB",
            16 << 10,
            1000,
            32,
            Cell::CpuPerGb,
        ),
        produce(
            "produce 1 KiB, 1,000 partitions, 32 connections, CPU us/request",
            1 << 10,
            1000,
            32,
            Cell::CpuPerRequest,
        ),
        fetch("fetch 1 MiB, CPU-s/GB", 1 << 20),
        fetch("fetch 64 KiB, CPU-s/GB", 64 << 10),
        latency("acks=all, 100 requests/s, p50 / p99 ms", 100),
        latency("acks=all, 1,000 requests/s, p50 / p99 ms", 1000),
        latency("acks=all, 10,000 requests/s, p50 / p99 ms", 10_000),
    ]
}

/// The median run and, in brackets, the spread.
fn measure(options: &Options, row: &Row, contender: &Contender) -> Result<String, BenchError> {
    let mut runs = Vec::new();
    for _ in 0..options.repeats {
        let server = contender.start(&options.data)?;
        let run = Run::new(&server.bootstrap, Some(server.pid()), options.seconds);
        let figures = match &row.load {
            Load::Produce(load) => load.run(&run)?,
            Load::Fetch(load) => load.run(&run)?,
            Load::Latency(load) => load.run(&run)?,
        };
        eprintln!("{}, {}: {figures}", row.name, contender.name());
        runs.push(figures);
    }
    Ok(row.cell.show(runs))
}

impl Cell {
    fn figure(&self, figures: &Figures) -> f64 {
        match self {
            Cell::CpuPerGb => figures.cpu_seconds_per_gb(),
            Cell::CpuPerRequest => figures.cpu_us_per_request(),
            Cell::Latency => figures.latency_ms(0.99),
        }
    }

    fn show(&self, mut runs: Vec<Figures>) -> String {
        runs.sort_by(|a, b| self.figure(a).total_cmp(&self.figure(b)));
        let (low, high) = (self.figure(&runs[0]), self.figure(&runs[runs.len() - 1]));
        let median = &runs[runs.len() / 2];
        match self {
            Cell::CpuPerGb => format!(
                "{:.3} ({low:.3}–{high:.3}); {:.0} MB/s",
                self.figure(median),
                median.megabytes_per_second()
            ),
            Cell::CpuPerRequest => format!(
                "{:.1} ({low:.1}–{high:.1}); {:.0}/s, p99 {:.1} ms",
                self.figure(median),
                median.rate(),
                median.latency_ms(0.99)
            ),
            Cell::Latency => {
                format!(
                    "{:.2} / {:.2}",
                    median.latency_ms(0.5),
                    median.latency_ms(0.99)
                )
            }
        }
    }
}

/// Start-up and idle memory: from the start of the process until it takes connections.
fn start_row(options: &Options, contenders: &[Contender]) -> Result<(), BenchError> {
    print!("| start on an empty directory, ms; idle memory, MB |");
    for contender in contenders {
        let mut times = Vec::new();
        let mut resident = 0;
        for _ in 0..options.repeats {
            let server = contender.start(&options.data)?;
            times.push(server.started_in.as_secs_f64() * 1000.0);
            resident = server.resident_bytes()?;
        }
        times.sort_by(f64::total_cmp);
        print!(
            " {:.0}; {:.1} |",
            times[times.len() / 2],
            resident as f64 / 1e6
        );
    }
    println!();
    Ok(())
}
