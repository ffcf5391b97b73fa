use clap::Args;
use ottla_broker::config::{ConfigSources, Strictness};
use ottla_server::{DataPlace, Greeting};
use tracing_subscriber::filter::LevelFilter;

use super::start;
use crate::failure::Failure;
use crate::logs;

/// Run a throwaway broker: in memory, on this machine only.
#[derive(Debug, Args)]
pub struct Dev {
    /// The port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// A directory to keep the data in; without it the data goes with the process.
    #[arg(short = 'd', long = "data-dir", value_name = "DIR")]
    data_dir: Option<String>,
    /// A setting; may be given several times.
    #[arg(long = "set", alias = "override", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

pub fn run(arguments: Dev) -> Result<(), Failure> {
    logs::start(LevelFilter::WARN)?;
    let port = arguments.port;
    let mut settings = vec![
        format!("listeners=PLAINTEXT://127.0.0.1:{port}"),
        "advertised.listeners=auto".to_owned(),
    ];
    let place = match &arguments.data_dir {
        Some(dir) => {
            settings.push(format!("log.dirs={dir}"));
            DataPlace::Directories
        }
        None => {
            // The journal is in memory too: it need not be large.
            settings.push("ottla.wal.bytes=33554432".to_owned());
            settings.push("ottla.memory.tails.bytes=4194304".to_owned());
            DataPlace::Memory
        }
    };
    settings.extend(arguments.settings);
    let sources = ConfigSources {
        settings,
        strictness: Strictness::Lenient,
        ..ConfigSources::default()
    };
    start::serve(start::load(sources)?, place, |greeting| {
        print_greeting(greeting, place)
    })
}

fn print_greeting(greeting: &Greeting, place: DataPlace) {
    let version = env!("CARGO_PKG_VERSION");
    match place {
        DataPlace::Memory => {
            println!("ottla {version}  dev mode, in memory (keep data: -d ./data)\n");
        }
        DataPlace::Directories | DataPlace::PowerCutDirectories { .. } => {
            println!(
                "ottla {version}  dev mode, data in {}\n",
                greeting.directories.join(", ")
            );
        }
    }
    start::print_addresses(greeting);
    let port = greeting
        .listeners
        .first()
        .map_or(0, |(_, bound, _)| bound.port());
    println!(
        "\nready in {:.0?}.   export KAFKA_BOOTSTRAP_SERVERS=localhost:{port}",
        greeting.took
    );
    start::print_compat_log(greeting);
    start::print_next_steps(greeting);
}
