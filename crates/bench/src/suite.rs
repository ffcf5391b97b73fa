//! The rows of docs/performance.md: every contender on the same machine in the same run, printed as
//! Markdown.

use crate::contender::{Contender, Running};
use crate::error::BenchError;
use crate::load::{Figures, Run, fetch, latency, produce};
use crate::memory;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to measure.
pub struct Options {
    /// Our binary.
    pub ottla: PathBuf,
    /// Apache Kafka's jars.
    pub kafka_jars: Option<PathBuf>,
    /// Folder for data.
    pub data: PathBuf,
    /// Only rows whose name contains this.
    pub only: Option<String>,
    /// How long and how often.
    pub plan: Plan,
}

/// How long and how often everything is measured.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Seconds a row.
    pub seconds: f64,
    /// Runs a row.
    pub repeats: usize,
    /// No further turn is begun that would end later, and no row after it.
    pub time_max: Duration,
    /// Kafka's virtual machine runs every row so long before anything is measured: it compiles what
    /// runs often.
    pub jvm_warm_up_seconds: f64,
    /// A server that is not quiet after so long is charged as it is.
    pub settled_within: Duration,
    /// Longest time for filling the page cache before each contender.
    pub page_cache_time_max: Duration,
}

impl Plan {
    /// For figures that are published.
    pub const WHOLE: Plan = Plan {
        seconds: 2.0,
        repeats: 2,
        time_max: Duration::from_secs(40 * 60),
        jvm_warm_up_seconds: 2.0,
        settled_within: Duration::from_secs(15),
        page_cache_time_max: Duration::from_secs(20),
    };
    /// All cells, once.
    pub const SHORT: Plan = Plan {
        seconds: 1.0,
        repeats: 1,
        time_max: Duration::from_secs(12 * 60),
        jvm_warm_up_seconds: 1.0,
        settled_within: Duration::from_secs(3),
        page_cache_time_max: Duration::from_secs(8),
    };
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

/// Measures all contenders, one after the other and that again and again, and prints the tables.
pub fn run(options: &Options) -> Result<(), BenchError> {
    let contenders = contenders(options);
    let rows = rows();
    let wanted = |row: &&Row| {
        let only = options.only.as_ref();
        only.is_none_or(|only| row.name.contains(only))
    };
    let rows: Vec<&Row> = rows.iter().filter(wanted).collect();
    let mut starts = vec![Vec::new(); contenders.len()];
    let mut cells: Vec<Vec<Vec<Figures>>> = vec![vec![Vec::new(); contenders.len()]; rows.len()];
    let started = Instant::now();
    for turn in 0..options.plan.repeats as u32 {
        let took = started.elapsed();
        if turn > 0 && options.plan.time_max < took + took / turn {
            eprintln!("no time for another turn");
            break;
        }
        for (column, contender) in contenders.iter().enumerate() {
            let mut cells: Vec<&mut Vec<Figures>> =
                cells.iter_mut().map(|row| &mut row[column]).collect();
            let measured = measure_contender(options, contender, &rows, &mut cells, started);
            match measured {
                Ok(start) => starts[column].push(start),
                // The others' figures are worth showing all the same.
                Err(error) => eprintln!("{}: {error}", contender.name()),
            }
        }
    }
    let _ = std::fs::remove_dir_all(&options.data);
    print_rows(&contenders, &rows, cells);
    print_starts(&contenders, starts);
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Starts a contender and adds a run of every row to its cells; gives how long it took to start, and its
/// memory then.
fn measure_contender(
    options: &Options,
    contender: &Contender,
    rows: &[&Row],
    cells: &mut [&mut Vec<Figures>],
    started: Instant,
) -> Result<(Duration, u64), BenchError> {
    let plan = &options.plan;
    memory::fill_page_cache(&options.data, plan.page_cache_time_max)?;
    let data = options.data.join("server");
    let server = contender.start(&data)?;
    let start = (server.started_in, server.resident_bytes()?);
    let is_over = || plan.time_max < started.elapsed();
    if let Contender::Kafka { .. } = contender {
        for row in rows.iter().take_while(|_| !is_over()) {
            measure(row, contender, &server, plan.jvm_warm_up_seconds, plan)?;
        }
    }
    for (row, cell) in rows.iter().zip(cells) {
        if is_over() {
            eprintln!("no time for {}, {}", row.name, contender.name());
            continue;
        }
        sync_all_disks()?;
        if let Some(figures) = measure(row, contender, &server, plan.seconds, plan)? {
            eprintln!("{}, {}: {figures}", row.name, contender.name());
            cell.push(figures);
        }
    }
    drop(server);
    std::fs::remove_dir_all(&data)?;
    Ok(start)
}

fn print_rows(contenders: &[Contender], rows: &[&Row], cells: Vec<Vec<Vec<Figures>>>) {
    print!("| row |");
    contenders.iter().for_each(|it| print!(" {} |", it.name()));
    println!("\n|---|{}", "---|".repeat(contenders.len()));
    for (row, cells) in rows.iter().zip(cells) {
        print!("| {} |", row.name);
        for runs in cells {
            print!(" {} |", row.cell.show(runs));
        }
        println!();
    }
    println!();
}

/// From the start of the process until it takes connections, and its memory then.
fn print_starts(contenders: &[Contender], starts: Vec<Vec<(Duration, u64)>>) {
    println!(
        "| start on an empty directory | until it listens, ms | memory then, MB |\n|---|---|---|"
    );
    for (contender, mut starts) in contenders.iter().zip(starts) {
        starts.sort_unstable();
        let Some((took, resident)) = starts.get(starts.len() / 2) else {
            continue;
        };
        let ms = took.as_secs_f64() * 1000.0;
        let name = contender.name();
        println!("| {name} | {ms:.0} | {:.1} |", *resident as f64 / 1e6);
    }
}

/// What one contender left to be written back would be charged to the next.
fn sync_all_disks() -> Result<(), BenchError> {
    std::process::Command::new("sync").status()?;
    Ok(())
}

fn contenders(options: &Options) -> Vec<Contender> {
    let mut contenders = Vec::new();
    for durable in [true, false] {
        contenders.push(Contender::Floor { durable });
        contenders.push(Contender::Ottla {
            binary: options.ottla.clone(),
            durability: if durable { "fsync" } else { "os" },
        });
        if let Some(jars) = options.kafka_jars.clone() {
            contenders.push(Contender::Kafka { jars, durable });
        }
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
            // Ten batches of 16 MiB would be a measurement of memory.
            in_flight: if batch_size <= 1 << 20 { 5 } else { 2 },
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
            "produce 1 KiB, 16 partitions, CPU µs/request",
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
            "produce 1 KiB, 1,000 partitions, 32 connections, CPU µs/request",
            1 << 10,
            1000,
            32,
            Cell::CpuPerRequest,
        ),
        produce(
            "produce 16 MiB, 4 partitions, CPU-s/GB",
            16 << 20,
            4,
            2,
            Cell::CpuPerGb,
        ),
        fetch("fetch 1 MiB, CPU-s/GB", 1 << 20),
        fetch("fetch 64 KiB, CPU-s/GB", 64 << 10),
        latency("acks=all, 100 requests/s, p50 / p99 ms", 100),
        latency("acks=all, 1,000 requests/s, p50 / p99 ms", 1000),
        latency("acks=all, 10,000 requests/s, p50 / p99 ms", 10_000),
    ]
}

/// One run of a row; none: the contender is not asked for it.
fn measure(
    row: &Row,
    contender: &Contender,
    server: &Running,
    seconds: f64,
    plan: &Plan,
) -> Result<Option<Figures>, BenchError> {
    let run = Run::new(&server.bootstrap, Some(server.pid()), seconds);
    let run = run.settled_within(plan.settled_within);
    match &row.load {
        Load::Produce(load) => load.run(&run).map(Some),
        // Reading is the same whatever writing promised.
        Load::Fetch(_) if contender.is_durable() => Ok(None),
        Load::Fetch(load) => load.run(&run).map(Some),
        Load::Latency(load) => load.run(&run).map(Some),
    }
}

impl Cell {
    fn figure(&self, figures: &Figures) -> f64 {
        match self {
            Cell::CpuPerGb => figures.cpu_seconds_per_gb(),
            Cell::CpuPerRequest => figures.cpu_us_per_request(),
            Cell::Latency => figures.latency_ms(0.99),
        }
    }

    /// The median run with, in brackets, the spread.
    fn show(&self, mut runs: Vec<Figures>) -> String {
        runs.sort_by(|a, b| self.figure(a).total_cmp(&self.figure(b)));
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
            return "–".to_owned();
        };
        let (low, high) = (self.figure(first), self.figure(last));
        let median = &runs[(runs.len() - 1) / 2];
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
            Cell::Latency => format!(
                "{:.2} / {:.2} ({low:.2}–{high:.2}); {:.0} µs CPU",
                median.latency_ms(0.5),
                median.latency_ms(0.99),
                median.cpu_us_per_request()
            ),
        }
    }
}
