use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::sync::Arc;

use ottla_broker::{LogLevel, Loggers, ROOT_LOGGER};
use parking_lot::Mutex;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::client_arguments::ClientArguments;
use crate::failure::Failure;

/// What is logged: a level, or levels by target (`info,ottla_server=debug`).
pub const LOG_VARIABLE: &str = "OTTLA_LOG";
/// The parts of a broker that write lines, as loggers people can give a level of their own.
const LOGGERS: [&str; 6] = [
    "openraft",
    "ottla",
    "ottla_server",
    "ottla_server::network",
    "ottla_server::quorum",
    "ottla_server::threads",
];

/// The levels in force, which an operator may change while the broker runs.
pub struct LogLevels {
    levels: Mutex<Levels>,
    filter: reload::Handle<Targets, Registry>,
}

struct Levels {
    root: LevelFilter,
    own: BTreeMap<String, LevelFilter>,
}

/// Logs go to stderr, one line per event: those of `default`, or more if the command line asks for more.
pub fn start(default: LevelFilter, arguments: &ClientArguments) -> Result<Arc<LogLevels>, Failure> {
    let default = match arguments.verbose {
        true => default.max(LevelFilter::DEBUG),
        false => default,
    };
    let levels = match std::env::var(LOG_VARIABLE) {
        Ok(text) => {
            let targets = text
                .parse::<Targets>()
                .map_err(|error| Failure::usage(format!("{LOG_VARIABLE}={text}: {error}")))?;
            Levels {
                root: targets.default_level().unwrap_or(LevelFilter::OFF),
                own: targets
                    .iter()
                    .map(|(target, level)| (target.to_owned(), level))
                    .collect(),
            }
        }
        // openraft tells every step of every start, and every failure three times before we do.
        Err(_) => Levels {
            root: default,
            own: [("openraft".to_owned(), LevelFilter::OFF)].into(),
        },
    };
    let (filter, handle) = reload::Layer::new(levels.targets());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(has_colors(
            std::io::stderr().is_terminal(),
            arguments.no_color,
            std::env::var_os("NO_COLOR").as_deref(),
        ))
        .with_target(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    Ok(Arc::new(LogLevels {
        levels: Mutex::new(levels),
        filter: handle,
    }))
}

/// Whether lines have colours. An empty variable is as good as none.
fn has_colors(is_terminal: bool, is_refused: bool, variable: Option<&OsStr>) -> bool {
    is_terminal && !is_refused && variable.is_none_or(OsStr::is_empty)
}

impl Levels {
    fn targets(&self) -> Targets {
        Targets::new()
            .with_default(self.root)
            .with_targets(self.own.iter().map(|(target, level)| (target, *level)))
    }

    /// What counts for a logger: its own level, or that of the longest name it begins with.
    fn of(&self, logger: &str) -> LevelFilter {
        let owner = self.own.iter().filter(|(name, _)| {
            logger == *name
                || logger
                    .strip_prefix(*name)
                    .is_some_and(|rest| rest.starts_with("::"))
        });
        let nearest = owner.max_by_key(|(name, _)| name.len());
        nearest.map_or(self.root, |(_, level)| *level)
    }
}

impl Loggers for LogLevels {
    fn levels(&self) -> Vec<(String, LogLevel)> {
        let levels = self.levels.lock();
        let mut names: Vec<&str> = levels.own.keys().map(String::as_str).collect();
        names.extend(LOGGERS);
        names.sort_unstable();
        names.dedup();
        let known = names.into_iter();
        let mut shown: Vec<(String, LogLevel)> = known
            .map(|name| (name.to_owned(), level_of(levels.of(name))))
            .collect();
        shown.push((ROOT_LOGGER.to_owned(), level_of(levels.root)));
        shown
    }

    fn set(&self, logger: &str, level: Option<LogLevel>) {
        let mut levels = self.levels.lock();
        match level.map(filter_of) {
            Some(level) if logger == ROOT_LOGGER => levels.root = level,
            Some(level) => drop(levels.own.insert(logger.to_owned(), level)),
            None => drop(levels.own.remove(logger)),
        }
        // The filter is there as long as the process.
        let _ = self.filter.reload(levels.targets());
        tracing::info!("an operator changed the level of logger {logger}");
    }
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Fatal | LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

fn level_of(filter: LevelFilter) -> LogLevel {
    match filter.into_level() {
        None => LogLevel::Fatal,
        Some(tracing::Level::ERROR) => LogLevel::Error,
        Some(tracing::Level::WARN) => LogLevel::Warn,
        Some(tracing::Level::INFO) => LogLevel::Info,
        Some(tracing::Level::DEBUG) => LogLevel::Debug,
        Some(tracing::Level::TRACE) => LogLevel::Trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_may_have_them() {
        for (is_terminal, is_refused, variable, expected) in [
            (true, false, None, true),
            (true, false, Some(""), true),
            (true, false, Some("1"), false),
            (true, true, None, false),
            (false, false, None, false),
        ] {
            let found = has_colors(is_terminal, is_refused, variable.map(OsStr::new));
            assert_eq!(found, expected, "{is_terminal} {is_refused} {variable:?}");
        }
    }

    #[test]
    fn a_logger_without_a_level_of_its_own_has_its_parents() {
        let levels = Levels {
            root: LevelFilter::INFO,
            own: [
                ("ottla_server".to_owned(), LevelFilter::WARN),
                ("ottla_server::network".to_owned(), LevelFilter::TRACE),
            ]
            .into(),
        };
        for (logger, expected) in [
            ("ottla", LevelFilter::INFO),
            ("ottla_servers", LevelFilter::INFO),
            ("ottla_server", LevelFilter::WARN),
            ("ottla_server::quorum", LevelFilter::WARN),
            ("ottla_server::network", LevelFilter::TRACE),
        ] {
            assert_eq!(levels.of(logger), expected, "{logger}");
        }
        for level in LogLevel::ALL {
            let shown = level_of(filter_of(level));
            let expected = level.max(LogLevel::Error);
            assert_eq!(shown, expected, "there is no line that only FATAL shows");
        }
    }
}
