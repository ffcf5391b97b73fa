use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use ottla_broker::config::{BrokerConfig, ConfigNote, ConfigSources, Strictness};
use ottla_server::{DataPlace, Greeting, Server, TestDisk};
use tracing_subscriber::filter::LevelFilter;

use crate::client_arguments::ClientArguments;
use crate::failure::Failure;
use crate::logs::{self, LogLevels};

/// Read when nobody names a file, if it is there: containers mount it.
const MOUNTED_CONFIG: &str = "/mnt/shared/config/server.properties";
/// So is every `.toml` file in here, in the order of their names.
const CONFIG_DIR: &str = "/etc/ottla";
/// Prints the lines that test containers for Kafka wait for.
const COMPAT_LOG: &str = "OTTLA_COMPAT_LOG";
/// Data in the named directories, but what was not synced is lost with the process. For tests.
const POWER_CUT_DISK: &str = "OTTLA_TEST_POWER_CUT_DISK";
/// Makes operations of the disk fail, as `sync:wal:5` or `write:metadata:3+:full` say. For tests.
const FAULTY_DISK: &str = "OTTLA_TEST_FAULTY_DISK";

/// Run a broker; its first start needs no preparation.
#[derive(Debug, Args)]
#[command(after_help = "\
Settings come from files, then the environment (KAFKA_LOG_RETENTION_MS=… is log.retention.ms), then
--set; the last one wins. A server.properties of Kafka works as it is. KAFKA_X_FILE names a file with
the value of KAFKA_X. Without a file, /etc/ottla/*.toml and /mnt/shared/config/server.properties are
read. OTTLA_LOG sets what is logged: a level, or levels by target.")]
pub struct Start {
    /// A configuration file in Kafka's format, or in TOML if its name ends in .toml; may be given
    /// several times.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Kafka's way to name the configuration file.
    #[arg(value_name = "SERVER_PROPERTIES")]
    file: Option<PathBuf>,
    /// A setting; may be given several times.
    #[arg(long = "set", alias = "override", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// A key nobody knows is an error and not a warning.
    #[arg(long)]
    strict: bool,
    /// Where the data is kept; the same as --set log.dirs=DIR.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

pub fn run(arguments: Start, client: &ClientArguments) -> Result<(), Failure> {
    let logs = logs::start(LevelFilter::INFO, client)?;
    let config = load(sources(arguments)?)?;
    serve(config, data_place()?, logs, print_greeting)
}

fn sources(arguments: Start) -> Result<ConfigSources, Failure> {
    let mut files = arguments.files;
    files.extend(arguments.file);
    if files.is_empty() {
        files = files_of_the_machine(Path::new(CONFIG_DIR), Path::new(MOUNTED_CONFIG));
    }
    let mut settings = arguments.settings;
    settings.extend(arguments.data_dir.map(|dir| format!("log.dirs={dir}")));
    let strictness = if arguments.strict {
        Strictness::Strict
    } else {
        Strictness::Lenient
    };
    ottla_server::read_config_sources(&files, settings, strictness).map_err(Failure::usage)
}

/// What is read when nobody names a file; what a container was given wins.
fn files_of_the_machine(dir: &Path, mounted: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files.extend(mounted.exists().then(|| mounted.to_owned()));
    files
}

/// Reads a configuration, warns of what is odd in it, and names all its faults.
pub fn load(sources: ConfigSources) -> Result<BrokerConfig, Failure> {
    let loaded = BrokerConfig::load(&sources).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::usage(format!(
            "the configuration cannot be used:\n  {}",
            faults.join("\n  ")
        ))
    })?;
    for note in &loaded.notes {
        match note {
            ConfigNote::Unknown { .. } | ConfigNote::Later { .. } => tracing::warn!("{note}"),
            ConfigNote::NoEffect { .. } => tracing::info!("{note}"),
        }
    }
    Ok(loaded.config)
}

/// Runs a broker until it is told to end.
pub fn serve(
    config: BrokerConfig,
    place: DataPlace,
    logs: Arc<LogLevels>,
    on_ready: impl FnOnce(&Greeting),
) -> Result<(), Failure> {
    let server = Server::start(config, place).map_err(Failure::failed)?;
    server.log_with(logs);
    server.serve(on_ready).map_err(Failure::failed)
}

fn data_place() -> Result<DataPlace, Failure> {
    let test = TestDisk {
        power_cut_seed: test_setting(POWER_CUT_DISK)?,
        fault: test_setting(FAULTY_DISK)?,
    };
    Ok(match test == TestDisk::default() {
        true => DataPlace::Directories,
        false => DataPlace::HarmfulDirectories(test),
    })
}

/// What an environment variable says that only tests set.
fn test_setting<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>, Failure> {
    let Ok(text) = std::env::var(name) else {
        return Ok(None);
    };
    let value = text.parse();
    let value = value.map_err(|error| Failure::usage(format!("{name}={text}: {error}")))?;
    tracing::warn!("{name} is set: the disk loses or refuses what it is given");
    Ok(Some(value))
}

fn print_greeting(greeting: &Greeting) {
    let version = env!("CARGO_PKG_VERSION");
    say!(
        "ottla {version}  node {}, cluster {}\n",
        greeting.node_id,
        greeting.cluster_id
    );
    print_addresses(greeting);
    say!("  data    {}", greeting.directories.join(", "));
    say!("\nready in {:.0?}.", greeting.took);
    print_compat_log(greeting);
    print_next_steps(greeting);
}

/// Where it listens, one line for each address.
pub fn print_addresses(greeting: &Greeting) {
    for (name, bound, advertised) in &greeting.listeners {
        say!("  kafka   {bound}  {name}, clients are told {advertised}");
    }
    if let Some(http) = greeting.http {
        say!("  http    http://{http}  /readyz /metrics");
    }
}

/// What to type next.
pub fn print_next_steps(greeting: &Greeting) {
    let Some((_, bound, _)) = greeting.listeners.first() else {
        return;
    };
    let to = match bound.port() {
        9092 => String::new(),
        port => format!(" -b localhost:{port}"),
    };
    say!("try:  ottla produce{to} orders 'hello'     then:  ottla consume{to} orders -o start");
}

/// The lines that test containers for Kafka images wait for.
pub fn print_compat_log(greeting: &Greeting) {
    if std::env::var_os(COMPAT_LOG).is_some_and(|value| value == "1") {
        let node = greeting.node_id;
        say!(
            "[KafkaServer id={node}] started · Kafka Server started · Transitioning from \
             RECOVERY to RUNNING"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_machine_are_read_in_order_and_a_mounted_one_wins() {
        let name = format!("ottla-start-test-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        for name in ["b.toml", "a.toml", "ignored.txt", "server.properties"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let mounted = dir.join("server.properties");
        let files = files_of_the_machine(&dir, &mounted);
        assert_eq!(files, [dir.join("a.toml"), dir.join("b.toml"), mounted]);
        let nowhere = dir.join("nowhere");
        assert!(files_of_the_machine(&nowhere, &nowhere).is_empty());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
