use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// How commands reach a cluster, and how they answer.
#[derive(Clone, Debug, Default, Args)]
pub struct ClientArguments {
    /// Brokers to ask first, as host:port[,host:port]; otherwise OTTLA_BOOTSTRAP_SERVERS or
    /// KAFKA_BOOTSTRAP_SERVERS, the profile, localhost:9092.
    #[arg(
        short = 'b',
        long = "bootstrap-server",
        alias = "brokers",
        value_name = "HOST:PORT",
        global = true
    )]
    pub bootstrap_servers: Option<String>,
    /// A client property, by its Java or librdkafka name; may be given several times.
    #[arg(short = 'X', value_name = "KEY=VALUE", global = true)]
    pub properties: Vec<String>,
    /// A file of client properties.
    #[arg(short = 'F', long, value_name = "FILE", global = true)]
    pub config_file: Option<PathBuf>,
    /// The profile to use; OTTLA_PROFILE, or the one of `ottla profile use`, by default.
    #[arg(short = 'P', long, value_name = "NAME", global = true)]
    pub profile: Option<String>,
    /// How long to try: 500ms, 10s, 2m.
    #[arg(long, value_name = "TIME", value_parser = crate::time_text::parse_span, global = true)]
    pub timeout: Option<Duration>,
    /// Do what cannot be undone without asking, though the profile is protected.
    #[arg(short = 'y', long, global = true)]
    pub yes: bool,
    /// How answers are printed.
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub format: Format,
    /// No colours in logs; NO_COLOR in the environment takes those of --help too.
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Log to stderr what the client does, or a broker in more detail; OTTLA_LOG chooses what.
    #[arg(short = 'v', long, global = true)]
    pub verbose: bool,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For people with wide terminals: more columns, where a command has more to say.
    Wide,
    /// For programs.
    Json,
}
