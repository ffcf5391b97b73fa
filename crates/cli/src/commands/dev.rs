use clap::Args;
use ottla_broker::config::{ConfigSources, Strictness};
use ottla_client::NewTopic;
use ottla_server::{DataPlace, Greeting};
use tracing_subscriber::filter::LevelFilter;

use super::start;
use crate::client_arguments::ClientArguments;
use crate::failure::Failure;
use crate::logs;
use crate::session::with_client;

/// Run a throwaway broker: in memory, on this machine only.
#[derive(Debug, Args)]
pub struct Dev {
    /// The port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// A directory to keep the data in; without it the data goes with the process.
    #[arg(short = 'd', long = "data-dir", value_name = "DIR")]
    data_dir: Option<String>,
    /// A topic to make at the start, with its partitions behind a colon; may be given several
    /// times.
    #[arg(short = 't', long = "topic", value_name = "NAME[:PARTITIONS]")]
    topics: Vec<String>,
    /// A setting; may be given several times.
    #[arg(long = "set", alias = "override", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// How many nodes: one, until several are built.
    #[arg(short = 'n', long, hide = true, default_value_t = 1)]
    nodes: u16,
}

pub fn run(arguments: Dev, client: &ClientArguments) -> Result<(), Failure> {
    if arguments.nodes != 1 {
        let what = format!("-n {}: clusters are not built yet", arguments.nodes);
        return Err(Failure::usage(what).with_hint(Some("without -n there is one node")));
    }
    let logs = logs::start(LevelFilter::WARN, client)?;
    let topics = arguments.topics.iter().map(String::as_str).map(parse_topic);
    let topics = topics.collect::<Result<Vec<_>, _>>()?;
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
    let greeted_place = place.clone();
    start::serve(start::load(sources)?, place, logs, |greeting| {
        print_greeting(greeting, &greeted_place);
        let port = port_of(greeting);
        // Clients are served by the thread that greets, so the topics are made on another.
        if !topics.is_empty() {
            std::thread::spawn(move || make_topics(port, &topics));
        }
    })
}

fn parse_topic(text: &str) -> Result<NewTopic, Failure> {
    let Some((name, count)) = text.rsplit_once(':') else {
        return Ok(NewTopic::new(text));
    };
    let count = count
        .parse()
        .map_err(|_| Failure::usage(format!("-t {text}: expected NAME or NAME:PARTITIONS")))?;
    Ok(NewTopic::new(name).partitions(count))
}

fn make_topics(port: u16, topics: &[NewTopic]) {
    let client = ClientArguments {
        bootstrap_servers: Some(format!("localhost:{port}")),
        ..ClientArguments::default()
    };
    let made = with_client(&client, async |session| {
        for (name, result) in session.client.admin().create_topics(topics).await? {
            result.map_err(|error| Failure::item(&name, &error))?;
            say!("topic {name} is there");
        }
        Ok(())
    });
    if let Err(failure) = made {
        failure.report();
    }
}

fn port_of(greeting: &Greeting) -> u16 {
    greeting
        .listeners
        .first()
        .map_or(0, |(_, bound, _)| bound.port())
}

fn print_greeting(greeting: &Greeting, place: &DataPlace) {
    let version = env!("CARGO_PKG_VERSION");
    match place {
        DataPlace::Memory => {
            say!("ottla {version}  dev mode, in memory (keep data: -d ./data)\n");
        }
        DataPlace::Directories | DataPlace::HarmfulDirectories(_) => {
            say!(
                "ottla {version}  dev mode, data in {}\n",
                greeting.directories.join(", ")
            );
        }
    }
    start::print_addresses(greeting);
    say!(
        "\nready in {:.0?}.   export KAFKA_BOOTSTRAP_SERVERS=localhost:{}",
        greeting.took,
        port_of(greeting)
    );
    start::print_compat_log(greeting);
    start::print_next_steps(greeting);
}
