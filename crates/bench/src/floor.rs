//! The least a broker can do, as a contender: receive, check the batch's CRC, one `pwrite` into cached
//! pages, answer; durable: an `fdatasync` that all waiting requests share; fetch: one `pread` and one
//! `write`. One blocking thread per connection. What it costs on a machine is the floor of the others'
//! figures there. It keeps no promise: nothing is read back after a restart.

mod answers;
mod group_sync;
mod store;

use crate::error::BenchError;
use group_sync::GroupSync;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use store::Store;

/// A connection's buffer holds one large request, or many small ones.
const BUFFER_SIZE: usize = 2 << 20;

/// What all connections share.
struct Floor {
    store: Store,
    /// Of the durable floor.
    sync: Option<GroupSync>,
}

/// Serves `port` on loopback until the process is killed.
pub fn run(data: &Path, port: u16, is_durable: bool) -> Result<(), BenchError> {
    let store = Store::open(data, is_durable)?;
    let sync = match store.ring() {
        Some(ring) => Some(GroupSync::start(ring)?),
        None => None,
    };
    let floor = Arc::new(Floor { store, sync });
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let floor = Arc::clone(&floor);
        std::thread::spawn(move || {
            if let Err(error) = floor.serve(stream) {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}

impl Floor {
    fn serve(&self, mut stream: TcpStream) -> Result<(), BenchError> {
        let sender = Arc::new(stream.try_clone()?);
        let mut buffer = vec![0; BUFFER_SIZE];
        let (mut answers, mut file_buffer) = (Vec::new(), Vec::new());
        let mut filled = 0;
        loop {
            let count = stream.read(&mut buffer[filled..])?;
            if count == 0 {
                return Ok(());
            }
            filled += count;
            let mut start = 0;
            while let Some(frame) = first_frame(&buffer[start..filled]) {
                start += 4 + frame.len();
                let read = answers::execute(&self.store, frame, &mut answers, &mut file_buffer)?;
                if let Some(read) = read {
                    (&*sender).write_all(&file_buffer[read])?;
                }
            }
            buffer.copy_within(start..filled, 0);
            filled -= start;
            if let Some(size) = frame_size(&buffer[..filled])
                && buffer.len() < size
            {
                buffer.resize(size, 0);
            }
            if answers.is_empty() {
                continue;
            }
            match &self.sync {
                Some(sync) => sync.answer_when_synced(&sender, std::mem::take(&mut answers)),
                None => {
                    (&*sender).write_all(&answers)?;
                    answers.clear();
                }
            }
        }
    }
}

/// The first whole frame of `bytes`, without its size.
fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(4..frame_size(bytes)?)
}

/// How many bytes the first frame of `bytes` has, its size field included.
fn frame_size(bytes: &[u8]) -> Option<usize> {
    let size = bytes.first_chunk::<4>()?;
    Some(4 + u32::from_be_bytes(*size) as usize)
}
