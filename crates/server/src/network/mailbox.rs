use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::acceptor::Accepted;
use super::response_queue::LoadBuffer;
use super::service::LoadError;

/// What other threads tell a worker. It wakes up once for everything that has come meanwhile.
///
/// It holds at most one load per connection, and connections are limited, so it is bounded.
#[derive(Debug, Default)]
pub struct Mailbox {
    notify: Notify,
    mail: Mutex<Vec<Mail>>,
    has_mail: AtomicBool,
}

#[derive(Debug)]
pub enum Mail {
    /// A connection to take over.
    Accepted(Box<Accepted>),
    /// The reader pool is done with a load of a connection.
    Loaded {
        connection: ConnectionNumber,
        result: Result<LoadBuffer, LoadError>,
    },
    /// Answer what was executed, execute nothing more, then end.
    Drain,
    /// End now.
    Stop,
}

/// Numbers a worker's connections in the order they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionNumber(pub u64);

impl Mailbox {
    /// Leaves mail and wakes the worker.
    pub fn send(&self, mail: Mail) {
        self.mail.lock().push(mail);
        self.has_mail.store(true, Ordering::Release);
        self.wake();
    }

    /// Wakes the worker to look at its completions and deadlines.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits for the next wake-up.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// Everything that has come.
    pub fn take(&self) -> Vec<Mail> {
        if !self.has_mail.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *self.mail.lock())
    }
}
