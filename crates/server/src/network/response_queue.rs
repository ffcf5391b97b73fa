use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use ottla_types::Mono;

use super::buffer_pool::BufferPool;
use super::service::{LoadError, Part, RangeSource};

/// A connection may have this many requests unanswered; then it is not read any further.
pub const UNANSWERED_REQUESTS_MAX: usize = 64;
/// Or requests and responses in memory of this many bytes together.
pub const UNANSWERED_BYTES_MAX: usize = 32 << 20;
/// File ranges are loaded in pieces of this size: small enough to be sent while they are in the
/// processor's cache, and to cost little while a slow client takes them.
pub const PIECE_SIZE: usize = 128 << 10;
/// With less than this ready, one more piece is loaded even if it goes beyond [`PIECE_SIZE`].
const READY_BYTES_MIN: usize = 16 << 10;

/// The responses of one connection in the order of its requests. What is at the front and known is
/// sent; what is parked holds back everything behind it.
///
/// Invariants, checked by `check` in tests:
///  * only the first file range of the sendable prefix is being loaded
///  * no answered slot is kept once its last byte was sent
#[derive(Debug)]
pub struct ResponseQueue<Token> {
    slots: VecDeque<Slot<Token>>,
    /// The number of the front slot; slots are numbered from 0 over the connection's life.
    first_slot: u64,
    unanswered_bytes: usize,
    /// The reader pool is at work on the first range of the prefix.
    loading: bool,
    /// Where loaded pieces have their buffers from.
    pool: Rc<BufferPool>,
}

/// The number of a request on its connection, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotNumber(u64);

/// What is remembered of a request until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// As on the wire; may be unknown.
    pub api_key: i16,
    /// When the request was there in full.
    pub received: Mono,
    /// Size of the frame in bytes.
    pub size: usize,
}

#[derive(Debug)]
struct Slot<Token> {
    request: Request,
    /// What this slot counts for in `unanswered_bytes`.
    bytes: usize,
    state: SlotState<Token>,
}

#[derive(Debug)]
enum SlotState<Token> {
    Parked(Token),
    Ready(VecDeque<Piece>),
}

enum Piece {
    Bytes(Bytes),
    Loaded(Loaded),
    /// What is left of a file range: `at..source.size()`.
    Range {
        source: Arc<dyn RangeSource>,
        at: u64,
    },
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Piece::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Piece::Loaded(loaded) => write!(f, "Loaded({})", loaded.unsent().len()),
            Piece::Range { source, at } => write!(f, "Range({at}..{})", source.size()),
        }
    }
}

/// A piece of a file range in a pooled buffer, which goes back when it was sent.
struct Loaded {
    buffer: LoadBuffer,
    sent: usize,
    pool: Rc<BufferPool>,
}

impl Loaded {
    fn unsent(&self) -> &[u8] {
        &self.buffer.bytes[self.sent..self.buffer.size]
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.buffer.bytes));
    }
}

/// A pooled buffer and how much of it is a piece of a range.
#[derive(Debug)]
pub struct LoadBuffer {
    pub bytes: Vec<u8>,
    size: usize,
}

impl LoadBuffer {
    fn take(pool: &BufferPool, size: usize) -> LoadBuffer {
        LoadBuffer {
            bytes: pool.take(size),
            size,
        }
    }

    fn piece_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.size]
    }
}

/// A load for the reader pool.
pub struct Load {
    source: Arc<dyn RangeSource>,
    at: u64,
    buffer: LoadBuffer,
}

impl Load {
    /// Reads; may block.
    pub fn run(mut self) -> Result<LoadBuffer, LoadError> {
        self.source.load(self.at, self.buffer.piece_mut())?;
        Ok(self.buffer)
    }
}

impl<Token: Copy> ResponseQueue<Token> {
    pub fn new(pool: Rc<BufferPool>) -> Self {
        ResponseQueue {
            pool,
            slots: VecDeque::new(),
            first_slot: 0,
            unanswered_bytes: 0,
            loading: false,
        }
    }

    /// Whether another request may be executed.
    pub fn has_room(&self) -> bool {
        self.slots.len() < UNANSWERED_REQUESTS_MAX && self.unanswered_bytes < UNANSWERED_BYTES_MAX
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether the next byte has to come from us, and not the client to take one.
    pub fn waits_for_service(&self) -> bool {
        let parked = |slot: &Slot<Token>| matches!(slot.state, SlotState::Parked(_));
        self.loading || self.slots.front().is_some_and(parked)
    }

    /// Adds the response of the request that was just executed.
    pub fn push_ready(&mut self, request: Request, parts: Vec<Part>) {
        let pieces = pieces(parts);
        let bytes = memory_bytes(&pieces);
        self.push(Slot {
            request,
            bytes,
            state: SlotState::Ready(pieces),
        });
    }

    /// Keeps a place for the response of the request that was just executed.
    pub fn push_parked(&mut self, request: Request, token: Token) -> SlotNumber {
        self.push(Slot {
            request,
            bytes: request.size,
            state: SlotState::Parked(token),
        });
        SlotNumber(self.first_slot + self.slots.len() as u64 - 1)
    }

    /// Fills a parked slot.
    pub fn complete(&mut self, number: SlotNumber, parts: Vec<Part>) {
        let slot = self.parked_slot(number);
        let pieces = pieces(parts);
        let (before, after) = (slot.bytes, memory_bytes(&pieces));
        slot.bytes = after;
        slot.state = SlotState::Ready(pieces);
        self.unanswered_bytes = self.unanswered_bytes - before + after;
        self.drop_answered(&mut |_| {});
    }

    /// Renames a parked slot whose request was parked again.
    pub fn park_again(&mut self, number: SlotNumber, token: Token) {
        self.parked_slot(number).state = SlotState::Parked(token);
    }

    /// The tokens of everything still parked.
    pub fn parked(&self) -> impl Iterator<Item = Token> {
        self.slots.iter().filter_map(|slot| match slot.state {
            SlotState::Parked(token) => Some(token),
            SlotState::Ready(_) => None,
        })
    }

    /// Loads pieces of file ranges until about [`PIECE_SIZE`] bytes can be sent. A load that would
    /// block is returned for the reader pool, and its result handed to [`Self::loaded`]; the others are added
    /// to `loads`.
    pub fn load_ahead(&mut self, loads: &mut u64) -> Result<Option<Load>, LoadError> {
        if self.loading {
            return Ok(None);
        }
        let mut ready_bytes = 0;
        for slot in &mut self.slots {
            let SlotState::Ready(pieces) = &mut slot.state else {
                break;
            };
            let mut index = 0;
            while index < pieces.len() {
                let (source, at) = match &pieces[index] {
                    Piece::Range { source, at } => (source, *at),
                    piece => {
                        ready_bytes += piece.memory_bytes();
                        index += 1;
                        continue;
                    }
                };
                if PIECE_SIZE <= ready_bytes {
                    return Ok(None);
                }
                let size = piece_size(&**source, at, PIECE_SIZE - ready_bytes)?;
                if READY_BYTES_MIN <= ready_bytes && PIECE_SIZE < ready_bytes + size {
                    return Ok(None);
                }
                let mut buffer = LoadBuffer::take(&self.pool, size);
                if !source.try_load(at, buffer.piece_mut())? {
                    self.loading = true;
                    let source = Arc::clone(source);
                    return Ok(Some(Load { source, at, buffer }));
                }
                *loads += 1;
                slot.bytes += size;
                self.unanswered_bytes += size;
                insert_loaded(pieces, index, buffer, &self.pool);
            }
        }
        Ok(None)
    }

    /// The reader pool is done with the load that `load_ahead` gave.
    pub fn loaded(&mut self, buffer: LoadBuffer) {
        assert!(self.loading, "a load nobody asked for");
        self.loading = false;
        for slot in &mut self.slots {
            let SlotState::Ready(pieces) = &mut slot.state else {
                break;
            };
            let range = pieces
                .iter()
                .position(|piece| matches!(piece, Piece::Range { .. }));
            if let Some(index) = range {
                slot.bytes += buffer.size;
                self.unanswered_bytes += buffer.size;
                return insert_loaded(pieces, index, buffer, &self.pool);
            }
        }
        unreachable!("the range being loaded stays in the queue");
    }

    /// The bytes that can be sent now, as far as `slices` reaches; gives how many slices were set.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for slot in &self.slots {
            let SlotState::Ready(pieces) = &slot.state else {
                break;
            };
            for piece in pieces {
                let bytes = match piece {
                    Piece::Bytes(bytes) => bytes,
                    Piece::Loaded(loaded) => loaded.unsent(),
                    Piece::Range { .. } => return count,
                };
                if count == slices.len() {
                    return count;
                }
                slices[count] = IoSlice::new(bytes);
                count += 1;
            }
        }
        count
    }

    /// `sent` bytes of what `gather` gave are gone; `answered` is called for each request whose
    /// response went with them.
    pub fn advance(&mut self, mut sent: usize, answered: &mut dyn FnMut(Request)) {
        while sent > 0 {
            let slot = self.slots.front_mut().expect("sent what was gathered");
            let SlotState::Ready(pieces) = &mut slot.state else {
                unreachable!("a parked response was sent");
            };
            let piece = pieces.front_mut().expect("an answered slot is gone");
            let step = sent.min(piece.memory_bytes());
            match piece {
                Piece::Bytes(bytes) => bytes.advance(step),
                Piece::Loaded(loaded) => loaded.sent += step,
                Piece::Range { .. } => unreachable!("a range was sent before it was loaded"),
            }
            sent -= step;
            slot.bytes -= step;
            self.unanswered_bytes -= step;
            if piece.memory_bytes() == 0 {
                pieces.pop_front();
            }
            self.drop_answered(answered);
        }
    }

    fn push(&mut self, slot: Slot<Token>) {
        self.unanswered_bytes += slot.bytes;
        self.slots.push_back(slot);
        self.drop_answered(&mut |_| {});
    }

    fn drop_answered(&mut self, answered: &mut dyn FnMut(Request)) {
        while let Some(slot) = self.slots.front() {
            match &slot.state {
                SlotState::Ready(pieces) if pieces.is_empty() => {
                    self.unanswered_bytes -= slot.bytes;
                    answered(slot.request);
                    self.slots.pop_front();
                    self.first_slot += 1;
                }
                SlotState::Ready(_) | SlotState::Parked(_) => break,
            }
        }
    }

    fn parked_slot(&mut self, number: SlotNumber) -> &mut Slot<Token> {
        let index = usize::try_from(number.0 - self.first_slot).expect("at most 64 slots");
        let slot = &mut self.slots[index];
        assert!(matches!(slot.state, SlotState::Parked(_)), "answered twice");
        slot
    }
}

fn pieces(parts: Vec<Part>) -> VecDeque<Piece> {
    parts
        .into_iter()
        .filter_map(|part| match part {
            Part::Bytes(bytes) => (!bytes.is_empty()).then_some(Piece::Bytes(bytes)),
            Part::Range(source) => (source.size() > 0).then_some(Piece::Range { source, at: 0 }),
        })
        .collect()
}

fn memory_bytes(pieces: &VecDeque<Piece>) -> usize {
    pieces.iter().map(Piece::memory_bytes).sum()
}

impl Piece {
    /// What can be sent of it at once.
    fn memory_bytes(&self) -> usize {
        match self {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::Loaded(loaded) => loaded.unsent().len(),
            Piece::Range { .. } => 0,
        }
    }
}

/// The size of the next piece of `source`, checked: it decides how far a response reaches.
fn piece_size(source: &dyn RangeSource, at: u64, bytes_max: usize) -> Result<usize, LoadError> {
    let piece = source.piece_size(at, bytes_max);
    let (end, size) = (at + piece as u64, source.size());
    if piece == 0 || size < end {
        return Err(LoadError(format!(
            "a piece of {piece} bytes at {at} of a range of {size}"
        )));
    }
    Ok(piece)
}

/// Puts a loaded piece before the range at `index` and moves the range's start past it.
fn insert_loaded(
    pieces: &mut VecDeque<Piece>,
    index: usize,
    buffer: LoadBuffer,
    pool: &Rc<BufferPool>,
) {
    let Piece::Range { source, at } = &mut pieces[index] else {
        unreachable!("bytes are loaded for ranges only");
    };
    let end = *at + buffer.size as u64;
    let is_last = end == source.size();
    *at = end;
    let loaded = Piece::Loaded(Loaded {
        buffer,
        sent: 0,
        pool: Rc::clone(pool),
    });
    if is_last {
        pieces[index] = loaded;
    } else {
        pieces.insert(index, loaded);
    }
}

#[cfg(test)]
mod tests;
