use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// What happened in a run, line by line: counted and hashed, and printed when asked for. Two runs of one
/// seed have the same hash. Cloning gives a second handle to the same trace.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Lines>>);

struct Lines {
    hash: u64,
    count: u64,
    print: bool,
    /// The last lines, for the report of a failure.
    recent: std::collections::VecDeque<String>,
}

/// How many of the last lines a failure shows.
const RECENT_LINES: usize = 40;

impl Trace {
    /// A trace that only counts and hashes.
    pub fn quiet() -> Trace {
        Trace::new(false)
    }

    /// A trace that also prints every line to standard error.
    pub fn printing() -> Trace {
        Trace::new(true)
    }

    fn new(print: bool) -> Trace {
        Trace(Arc::new(Mutex::new(Lines {
            hash: 0xcbf2_9ce4_8422_2325,
            count: 0,
            print,
            recent: std::collections::VecDeque::with_capacity(RECENT_LINES),
        })))
    }

    /// Adds one line.
    pub fn line(&self, line: fmt::Arguments<'_>) {
        let text = line.to_string();
        let mut lines = self.0.lock();
        for byte in text.bytes().chain([b'\n']) {
            lines.hash = (lines.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        lines.count += 1;
        if lines.print {
            eprintln!("{:6} {text}", lines.count);
        }
        if lines.recent.len() == RECENT_LINES {
            lines.recent.pop_front();
        }
        lines.recent.push_back(text);
    }

    /// Hash of all lines so far (FNV-1a, 64 bits).
    pub fn hash(&self) -> u64 {
        self.0.lock().hash
    }

    /// How many lines there are.
    pub fn count(&self) -> u64 {
        self.0.lock().count
    }

    /// The last lines, oldest first.
    pub fn recent(&self) -> Vec<String> {
        self.0.lock().recent.iter().cloned().collect()
    }
}

/// Adds a line to a [`Trace`], with the arguments of `format!`.
#[macro_export]
macro_rules! trace {
    ($trace:expr, $($args:tt)*) => {
        $trace.line(format_args!($($args)*))
    };
}
