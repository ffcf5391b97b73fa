use std::sync::atomic::{AtomicBool, Ordering};

use ottla_types::Prng;

use super::*;

/// A range over bytes in memory that refuses to load while `cold`.
struct TestRange {
    bytes: Bytes,
    cold: AtomicBool,
    load_max: usize,
}

impl TestRange {
    fn new(bytes: Vec<u8>, cold: bool, load_max: usize) -> Arc<TestRange> {
        Arc::new(TestRange {
            bytes: bytes.into(),
            cold: AtomicBool::new(cold),
            load_max,
        })
    }
}

impl RangeSource for TestRange {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn piece_size(&self, at: u64, bytes_max: usize) -> usize {
        let rest = self.bytes.len() - at as usize;
        rest.min(bytes_max.max(1)).min(self.load_max)
    }

    fn try_load(&self, at: u64, buf: &mut [u8]) -> Result<bool, LoadError> {
        if self.cold.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.load(at, buf).map(|()| true)
    }

    fn load(&self, at: u64, buf: &mut [u8]) -> Result<(), LoadError> {
        buf.copy_from_slice(&self.bytes[at as usize..][..buf.len()]);
        Ok(())
    }
}

fn request(api_key: i16) -> Request {
    Request {
        api_key,
        received: Mono::ZERO,
        size: 100,
    }
}

/// Sends up to `bytes_max` of what can be sent; gives the bytes.
fn send(queue: &mut ResponseQueue<u32>, bytes_max: usize, answered: &mut Vec<i16>) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let count = queue.gather(&mut slices);
    let mut sent: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
    sent.truncate(bytes_max);
    queue.advance(sent.len(), &mut |request| answered.push(request.api_key));
    sent
}

#[test]
fn a_parked_response_holds_back_those_behind_it() {
    let mut queue = ResponseQueue::new(Rc::default());
    let mut answered = Vec::new();
    queue.push_ready(request(1), vec![Part::Bytes("a".into())]);
    let parked = queue.push_parked(request(2), 77);
    queue.push_ready(request(3), vec![Part::Bytes("c".into())]);
    assert_eq!(queue.parked().collect::<Vec<_>>(), [77]);
    assert_eq!(send(&mut queue, 100, &mut answered), b"a");
    assert_eq!(send(&mut queue, 100, &mut answered), b"");
    queue.complete(
        parked,
        vec![Part::Bytes("b1".into()), Part::Bytes("b2".into())],
    );
    assert_eq!(send(&mut queue, 100, &mut answered), b"b1b2c");
    assert_eq!(answered, [1, 2, 3]);
    assert!(queue.is_empty());
    assert_eq!(queue.unanswered_bytes, 0);
}

#[test]
fn room_ends_at_64_requests_or_32_mib() {
    let mut queue = ResponseQueue::<u32>::new(Rc::default());
    for number in 0..UNANSWERED_REQUESTS_MAX {
        assert!(queue.has_room());
        queue.push_parked(request(0), number as u32);
    }
    assert!(!queue.has_room());

    let mut queue = ResponseQueue::<u32>::new(Rc::default());
    queue.push_ready(
        request(0),
        vec![Part::Bytes(vec![0; UNANSWERED_BYTES_MAX].into())],
    );
    assert!(!queue.has_room());
    send(&mut queue, 1, &mut Vec::new());
    assert!(queue.has_room());
}

#[test]
fn a_range_is_loaded_piece_by_piece_as_it_is_sent() {
    let content: Vec<u8> = (0..3 * PIECE_SIZE + 5).map(|i| (i / 7) as u8).collect();
    let range = TestRange::new(content.clone(), false, usize::MAX);
    let mut queue = ResponseQueue::<u32>::new(Rc::default());
    queue.push_ready(
        request(1),
        vec![Part::Bytes("head".into()), Part::Range(range)],
    );
    let mut got = Vec::new();
    let mut answered = Vec::new();
    while !queue.is_empty() {
        assert!(queue.load_ahead(&mut 0).unwrap().is_none());
        assert!(queue.unanswered_bytes <= PIECE_SIZE + READY_BYTES_MIN);
        got.extend(send(&mut queue, 100_000, &mut answered));
    }
    assert_eq!(&got[..4], b"head");
    assert!(got[4..] == content[..]);
    assert_eq!(answered, [1]);
}

#[test]
fn a_cold_range_is_loaded_by_the_pool_while_what_precedes_it_is_sent() {
    let range = TestRange::new(b"range".to_vec(), true, usize::MAX);
    let mut queue = ResponseQueue::<u32>::new(Rc::default());
    queue.push_ready(
        request(1),
        vec![Part::Bytes("head".into()), Part::Range(range)],
    );
    let load = queue.load_ahead(&mut 0).unwrap().unwrap();
    assert!(
        queue.load_ahead(&mut 0).unwrap().is_none(),
        "one load at a time"
    );
    assert_eq!(send(&mut queue, 100, &mut Vec::new()), b"head");
    queue.loaded(load.run().unwrap());
    assert_eq!(send(&mut queue, 100, &mut Vec::new()), b"range");
    assert!(queue.is_empty());
}

#[test]
fn a_source_that_gives_nothing_is_an_error_and_not_a_loop() {
    let range = TestRange::new(b"range".to_vec(), false, 0);
    let mut queue = ResponseQueue::<u32>::new(Rc::default());
    queue.push_ready(request(1), vec![Part::Range(range)]);
    assert!(queue.load_ahead(&mut 0).is_err());
}

/// Random pushes, completions, loads and partial sends give the bytes of all responses in order.
#[test]
fn bytes_come_out_in_request_order_whatever_happens() {
    for seed in 0..300 {
        let mut prng = Prng::new(seed);
        let mut queue = ResponseQueue::<u32>::new(Rc::default());
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        let mut parked: Vec<(SlotNumber, Vec<Part>)> = Vec::new();
        let mut load: Option<Load> = None;
        let mut pushed = 0_u8;
        while pushed < 100 || !queue.is_empty() {
            match prng.below(5) {
                0 if pushed < 100 && queue.has_room() => {
                    pushed += 1;
                    let parts = random_response(&mut prng, pushed, &mut expected);
                    if prng.below(2) == 0 {
                        queue.push_ready(request(0), parts);
                    } else {
                        let number = queue.push_parked(request(0), u32::from(pushed));
                        parked.push((number, parts));
                    }
                }
                1 if !parked.is_empty() => {
                    let index = prng.below(parked.len() as u64) as usize;
                    let (number, parts) = parked.swap_remove(index);
                    queue.complete(number, parts);
                }
                2 if load.is_none() => load = queue.load_ahead(&mut 0).unwrap(),
                3 => {
                    if let Some(load) = load.take() {
                        queue.loaded(load.run().unwrap());
                    }
                }
                _ => got.extend(send(&mut queue, prng.below(50) as usize, &mut Vec::new())),
            }
        }
        assert_eq!(queue.unanswered_bytes, 0, "seed {seed}");
        assert!(got == expected, "seed {seed}");
    }
}

fn random_response(prng: &mut Prng, fill: u8, expected: &mut Vec<u8>) -> Vec<Part> {
    (0..prng.below(4))
        .map(|_| {
            let bytes = vec![fill; prng.below(40) as usize];
            expected.extend(&bytes);
            if prng.below(2) == 0 {
                Part::Bytes(bytes.into())
            } else {
                let cold = prng.below(2) == 0;
                Part::Range(TestRange::new(bytes, cold, 1 + prng.below(40) as usize))
            }
        })
        .collect()
}
