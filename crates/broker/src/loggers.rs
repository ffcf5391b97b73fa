/// What is logged, by the names of loggers, as BROKER_LOGGER resources show and change it.
///
/// It belongs to the process and not to the cluster: a restart begins with what was configured.
pub trait Loggers: Send + Sync {
    /// Every logger with the level in force, by name; `root` is for everything without one of its own.
    fn levels(&self) -> Vec<(String, LogLevel)>;

    /// Gives a logger that is among `levels` a level, or with `None` that of `root`.
    fn set(&self, logger: &str, level: Option<LogLevel>);
}

/// The logger for everything that has none of its own.
pub const ROOT_LOGGER: &str = "root";

/// How much is logged, with Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What ends the process.
    Fatal,
    /// What failed.
    Error,
    /// What somebody should look at.
    Warn,
    /// What somebody cares about.
    Info,
    /// What helps to find faults.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// All, from the fewest lines to the most.
    pub const ALL: [LogLevel; 6] = [
        LogLevel::Fatal,
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ];

    /// Kafka's name, such as `DEBUG`.
    pub const fn name(self) -> &'static str {
        match self {
            LogLevel::Fatal => "FATAL",
            LogLevel::Error => "ERROR",
            LogLevel::Warn => "WARN",
            LogLevel::Info => "INFO",
            LogLevel::Debug => "DEBUG",
            LogLevel::Trace => "TRACE",
        }
    }

    /// The level with this name; small letters are none, as in Kafka.
    pub fn from_name(name: &str) -> Option<LogLevel> {
        LogLevel::ALL.into_iter().find(|level| level.name() == name)
    }
}
