use std::fs::File;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Answers that wait for the next fdatasync: one for all that have come meanwhile.
pub struct GroupSync {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Vec<(Arc<TcpStream>, Vec<u8>)>>,
    came: Condvar,
}

impl GroupSync {
    /// Starts the thread that syncs `ring`.
    pub fn start(ring: Arc<File>) -> io::Result<GroupSync> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("sync".to_owned())
            .spawn(move || of_thread.run(&ring))?;
        Ok(GroupSync { shared })
    }

    /// Sends `answers` after an fdatasync that begins after this call.
    pub fn answer_when_synced(&self, sender: &Arc<TcpStream>, answers: Vec<u8>) {
        let waiting = self.shared.waiting.lock();
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.push((Arc::clone(sender), answers));
        if waiting.len() == 1 {
            self.shared.came.notify_one();
        }
    }
}

impl Shared {
    fn run(&self, ring: &File) {
        loop {
            let waiting = self.waiting.lock();
            let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
            while waiting.is_empty() {
                let woken = self.came.wait(waiting);
                waiting = woken.unwrap_or_else(PoisonError::into_inner);
            }
            let mut group = std::mem::take(&mut *waiting);
            drop(waiting);
            ring.sync_data()
                .expect("the floor has no answer to a failed fsync");
            // One write for all answers of a connection.
            group.sort_by_key(|(sender, _)| Arc::as_ptr(sender));
            for answers in group.chunk_by(|(a, _), (b, _)| Arc::ptr_eq(a, b)) {
                let bytes = answers.iter().flat_map(|(_, bytes)| bytes).copied();
                // A client that has gone does not read its answers.
                let _ = (&*answers[0].0).write_all(&bytes.collect::<Vec<u8>>());
            }
        }
    }
}
