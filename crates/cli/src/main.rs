//! The one shipped binary: the broker and the commands to use it.
//!
//! Data goes to stdout, hints and logs to stderr. Exit code 0: done; 1: something failed; 2: the
//! command line was wrong.

// They panic when the other end is closed.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod output;

mod client_arguments;
mod failure;

mod properties;

mod foreign_profiles;
mod profiles;
mod time_text;

mod offset_range;
mod record_format;
mod record_json;
mod where_expression;

mod http_get;
mod logs;
mod protection;
mod session;

mod load;

mod arguments;
mod commands;

mod kafka_tools;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

/// Without huge pages, which would double the memory of an idle broker.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let Some(code) = kafka_tools::run(&words) {
        return code;
    }
    // A wrong command line ends here, with code 2.
    let Arguments { command, client } = Arguments::parse();
    let done = match command {
        Command::Start(start) => commands::start::run(start, &client),
        Command::Dev(dev) => commands::dev::run(dev, &client),
        Command::Topic(topic) => commands::topic::run(topic, &client),
        Command::Produce(produce) => commands::produce::run(produce, &client),
        Command::Consume(consume) => commands::consume::run(consume, &client),
        Command::Group(group) => commands::group::run(group, &client),
        Command::Client(who) => commands::client::run(who, &client),
        Command::Run(run) => return commands::run::run(run, &client),
        Command::Config(config) => commands::config::run(config, &client),
        Command::Cluster(cluster) => commands::cluster::run(cluster, &client),
        Command::Status(status) => commands::status::run(status, &client),
        Command::Doctor(doctor) => commands::doctor::run(doctor, &client),
        Command::Profile(profile) => commands::profile::run(profile, &client),
        Command::Completion(completion) => commands::completion::run(&completion),
        Command::Bench(bench) => commands::bench::run(bench, &client),
        Command::Explain(explain) => commands::explain::run(explain, client.format),
        Command::Debug(debug) => commands::debug::run(debug, client.format),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}
