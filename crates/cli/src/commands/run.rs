use std::process::{Command, ExitCode, ExitStatus};

use clap::Args;
use ottla_broker::config::{ConfigSources, Strictness};
use ottla_server::DataPlace;
use tracing_subscriber::filter::LevelFilter;

use super::start;
use crate::client_arguments::ClientArguments;
use crate::failure::Failure;
use crate::logs;

/// Run a command with a throwaway broker of its own, in memory, and end with its exit code. The
/// command finds the broker in KAFKA_BOOTSTRAP_SERVERS and OTTLA_BOOTSTRAP_SERVERS.
#[derive(Debug, Args)]
pub struct Run {
    /// A setting of the broker; may be given several times.
    #[arg(long = "set", alias = "override", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Ends the process as soon as the command ends: what the broker has in memory nobody wants any more.
pub fn run(arguments: Run, client: &ClientArguments) -> ExitCode {
    match serve(arguments, client) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}

fn serve(arguments: Run, client: &ClientArguments) -> Result<(), Failure> {
    let logs = logs::start(LevelFilter::WARN, client)?;
    let mut settings: Vec<String> = [
        "listeners=PLAINTEXT://127.0.0.1:0",
        "advertised.listeners=auto",
        "ottla.http.port=0",
        // The journal is in memory too: it need not be large.
        "ottla.wal.bytes=33554432",
        "ottla.memory.tails.bytes=4194304",
        // Nobody waits for members that might still come.
        "group.initial.rebalance.delay.ms=0",
    ]
    .map(str::to_owned)
    .to_vec();
    settings.extend(arguments.settings);
    let sources = ConfigSources {
        settings,
        strictness: Strictness::Lenient,
        ..ConfigSources::default()
    };
    let command = arguments.command;
    start::serve(start::load(sources)?, DataPlace::Memory, logs, |greeting| {
        let port = greeting
            .listeners
            .first()
            .map_or(0, |(_, bound, _)| bound.port());
        errln!("ottla: broker 127.0.0.1:{port} up in {:.0?}", greeting.took);
        // This thread serves the command's requests, so the command is waited for on another.
        std::thread::spawn(move || {
            std::process::exit(wait_for(&command, &format!("127.0.0.1:{port}")));
        });
    })
}

/// Runs the command to its end and gives the code to end with.
fn wait_for(command: &[String], bootstrap: &str) -> i32 {
    let Some((program, arguments)) = command.split_first() else {
        return 2;
    };
    let status = Command::new(program)
        .args(arguments)
        .env("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
        .env("OTTLA_BOOTSTRAP_SERVERS", bootstrap)
        .status();
    match status {
        Ok(status) => code_of(status),
        Err(error) => {
            errln!("error: {program}: {error}");
            // What shells say.
            if error.kind() == std::io::ErrorKind::NotFound {
                127
            } else {
                126
            }
        }
    }
}

/// As shells have it: 128 and the signal for a command that was killed.
fn code_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
