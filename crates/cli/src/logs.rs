use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::failure::Failure;

/// What is logged: a level, or levels by target (`info,ottla_server=debug`).
pub const LOG_VARIABLE: &str = "OTTLA_LOG";

/// Logs of the broker go to stderr, one line per event.
pub fn start(default: LevelFilter) -> Result<(), Failure> {
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(text) => text
            .parse::<Targets>()
            .map_err(|error| Failure::usage(format!("{LOG_VARIABLE}={text}: {error}")))?,
        // openraft tells every step of every start, and every failure three times before we do.
        Err(_) => Targets::new()
            .with_default(default)
            .with_target("openraft", LevelFilter::OFF),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    Ok(())
}
