use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;

/// How many wait for devices at once.
const THREADS: usize = 4;

/// Threads for what has to wait for a device (reads that are not in the page cache, mostly), so
/// that no worker does. They start with the first job.
///
/// Its queue is bounded by those who fill it: a connection has one load or request in it.
#[derive(Clone, Default)]
pub struct BlockingPool {
    jobs: Arc<Mutex<Option<Sender<Job>>>>,
}

type Job = Box<dyn FnOnce() + Send>;

impl BlockingPool {
    /// Queues a job.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut jobs = self.jobs.lock();
        let jobs = jobs.get_or_insert_with(start);
        let sent = jobs.send(Box::new(job));
        sent.expect("the threads live as long as the sender");
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockingPool")
    }
}

fn start() -> Sender<Job> {
    let (sender, receiver) = channel();
    let receiver = Arc::new(Mutex::new(receiver));
    for number in 0..THREADS {
        let receiver = Arc::clone(&receiver);
        std::thread::Builder::new()
            .name(format!("reader-{number}"))
            .spawn(move || run_jobs(&receiver))
            .expect("a thread can be started");
    }
    sender
}

fn run_jobs(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}
