use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;

use super::mailbox::{ConnectionNumber, Mail, Mailbox};
use super::response_queue::Load;

/// Threads that read what is not in the page cache, so that no worker waits for a device.
const READERS: usize = 4;

/// Reads cold file ranges for all workers. Its threads start with the first read.
pub struct ReaderPool {
    jobs: Mutex<Option<Sender<Job>>>,
}

struct Job {
    load: Load,
    connection: ConnectionNumber,
    mailbox: Arc<Mailbox>,
}

impl ReaderPool {
    pub fn new() -> ReaderPool {
        ReaderPool {
            jobs: Mutex::new(None),
        }
    }

    /// Queues a load; its result goes to `mailbox`. A connection has at most one at a time.
    pub fn submit(&self, load: Load, connection: ConnectionNumber, mailbox: &Arc<Mailbox>) {
        let job = Job {
            load,
            connection,
            mailbox: Arc::clone(mailbox),
        };
        let mut jobs = self.jobs.lock();
        let jobs = jobs.get_or_insert_with(start);
        jobs.send(job).expect("readers live as long as the sender");
    }
}

fn start() -> Sender<Job> {
    let (sender, receiver) = channel();
    let receiver = Arc::new(Mutex::new(receiver));
    for number in 0..READERS {
        let receiver = Arc::clone(&receiver);
        std::thread::Builder::new()
            .name(format!("reader-{number}"))
            .spawn(move || read(&receiver))
            .expect("a thread can be started");
    }
    sender
}

fn read(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().recv();
        let Ok(job) = job else {
            return;
        };
        let result = job.load.run();
        job.mailbox.send(Mail::Loaded {
            connection: job.connection,
            result,
        });
    }
}
