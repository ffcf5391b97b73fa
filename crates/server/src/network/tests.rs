use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use ottla_broker::config::ListenerSettings;
use ottla_types::{Mono, Now};
use parking_lot::Mutex;

use super::*;

/// A service whose requests say what becomes of them: api key, then an argument.
#[derive(Default)]
struct Script {
    workers: Mutex<Option<Workers>>,
    state: Mutex<ScriptState>,
    connected: AtomicUsize,
    /// Times that workers looked for completions.
    looks: AtomicUsize,
}

#[derive(Default)]
struct ScriptState {
    next_token: u64,
    /// What parked requests answer, and on which core they wait.
    parked: HashMap<u64, (usize, Vec<u8>)>,
    released: Vec<(usize, u64)>,
    /// Of one core.
    deadline: Option<(usize, Mono)>,
    executed: Vec<u8>,
}

const ECHO: i16 = 1;
const PARK: i16 = 2;
const PARK_BLOCKING: i16 = 3;
/// Answers as many bytes as its argument says, from a "file".
const RANGE: i16 = 4;
const COLD_RANGE: i16 = 5;
const CLOSE: i16 = 6;
const SILENT: i16 = 7;
/// Parked until a deadline 20 ms later.
const DEADLINE: i16 = 8;
const DAMAGED_RANGE: i16 = 9;

impl Script {
    /// Lets everything parked be answered, last first.
    fn release_all(&self) {
        let mut state = self.state.lock();
        let mut tokens: Vec<u64> = state.parked.keys().copied().collect();
        tokens.sort_unstable_by(|a, b| b.cmp(a));
        for token in tokens {
            let core = state.parked[&token].0;
            state.released.push((core, token));
        }
        drop(state);
        let workers = self.workers.lock().clone().unwrap();
        (0..workers.count()).for_each(|core| workers.wake(core));
    }

    fn wait_until(&self, what: &str, condition: impl Fn(&ScriptState) -> bool) {
        let start = std::time::Instant::now();
        while !condition(&self.state.lock()) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "waited for {what}"
            );
            std::thread::yield_now();
        }
    }
}

impl Service for Script {
    type Connection = Peer;
    type Token = u64;

    fn connect(&self, peer: Peer) -> Peer {
        self.connected.fetch_add(1, Ordering::Relaxed);
        peer
    }

    fn disconnect(&self, _: Peer) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    fn handle(&self, peer: &mut Peer, frame: &[u8], now: Now) -> Outcome<u64> {
        let key = i16::from_be_bytes(frame[..2].try_into().unwrap());
        let argument = &frame[2..];
        let mut state = self.state.lock();
        state.executed.push(argument.first().copied().unwrap_or(0));
        let mut park = |blocks_connection| {
            let token = state.next_token;
            state.next_token += 1;
            state.parked.insert(token, (peer.core, response(argument)));
            Outcome::Parked {
                token,
                blocks_connection,
            }
        };
        let range = |cold, damaged| {
            let size = u32::from_be_bytes(argument[..4].try_into().unwrap());
            let head = Bytes::copy_from_slice(&size.to_be_bytes());
            let range = Pattern {
                size: u64::from(size),
                cold: AtomicBool::new(cold),
                damaged,
            };
            Outcome::Reply(vec![Part::Bytes(head), Part::Range(Arc::new(range))])
        };
        match key {
            ECHO => Outcome::Reply(vec![Part::Bytes(response(argument).into())]),
            PARK => park(false),
            PARK_BLOCKING => park(true),
            RANGE => range(false, false),
            COLD_RANGE => range(true, false),
            DAMAGED_RANGE => range(true, true),
            CLOSE => Outcome::Close("as the script says".to_owned()),
            DEADLINE => {
                let outcome = park(false);
                state.deadline = Some((peer.core, now.mono.plus(Duration::from_millis(20))));
                outcome
            }
            SILENT => Outcome::NoReply,
            other => panic!("a request the script does not know: {other}"),
        }
    }

    fn completions(&self, core: usize, _: Now, out: &mut Vec<(u64, Outcome<u64>)>) {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        let state = &mut *state;
        state.released.retain(|&(of_core, token)| {
            if of_core == core
                && let Some((_, bytes)) = state.parked.remove(&token)
            {
                out.push((token, Outcome::Reply(vec![Part::Bytes(bytes.into())])));
            }
            of_core != core
        });
    }

    fn next_deadline(&self, core: usize) -> Option<Mono> {
        let deadline = self.state.lock().deadline;
        deadline
            .filter(|(of_core, _)| *of_core == core)
            .map(|(_, deadline)| deadline)
    }

    fn tick(&self, core: usize, now: Now) {
        let mut state = self.state.lock();
        if state
            .deadline
            .is_some_and(|(of_core, at)| of_core == core && at <= now.mono)
        {
            state.deadline = None;
            let tokens: Vec<u64> = state.parked.keys().copied().collect();
            state
                .released
                .extend(tokens.into_iter().map(|token| (core, token)));
        }
    }
}

fn response(argument: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(argument.len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    bytes.extend_from_slice(argument);
    bytes
}

fn pattern(at: u64) -> u8 {
    (at % 251) as u8
}

struct Pattern {
    size: u64,
    cold: AtomicBool,
    damaged: bool,
}

impl RangeSource for Pattern {
    fn size(&self) -> u64 {
        self.size
    }

    fn piece_size(&self, at: u64, bytes_max: usize) -> usize {
        bytes_max.min((self.size - at) as usize)
    }

    fn try_load(&self, at: u64, buf: &mut [u8]) -> Result<bool, LoadError> {
        // Every second piece is cold.
        if self.cold.fetch_xor(true, Ordering::Relaxed) {
            return Ok(false);
        }
        self.load(at, buf).map(|()| true)
    }

    fn load(&self, at: u64, buf: &mut [u8]) -> Result<(), LoadError> {
        if self.damaged {
            return Err(LoadError("its checksum is wrong".to_owned()));
        }
        for (byte, at) in buf.iter_mut().zip(at..) {
            *byte = pattern(at);
        }
        Ok(())
    }
}

/// A network with its acceptor on a thread of its own; ends with the test.
struct TestNetwork {
    service: Arc<Script>,
    address: SocketAddr,
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Drain,
    Stop,
}

fn limits() -> NetworkLimits {
    NetworkLimits {
        request_bytes_max: 100 << 20,
        request_memory_bytes_max: 64 << 20,
        idle_max: Duration::from_secs(600),
    }
}

fn quotas() -> ConnectionQuotas {
    ConnectionQuotas {
        connections_max: 100,
        per_address_max: 100,
        per_address_overrides: Vec::new(),
        creation_rate_max: u32::MAX,
        listeners: HashMap::new(),
    }
}

impl TestNetwork {
    fn start(limits: NetworkLimits) -> TestNetwork {
        let quotas = Arc::new(ArcSwap::from_pointee(quotas()));
        TestNetwork::with_quotas(limits, &quotas)
    }

    fn with_quotas(limits: NetworkLimits, quotas: &Arc<ArcSwap<ConnectionQuotas>>) -> TestNetwork {
        let workers = Workers::new(2);
        let service = Arc::new(Script::default());
        *service.workers.lock() = Some(workers.clone());
        let network = Network::start(
            Arc::clone(&service),
            workers,
            limits,
            Arc::clone(quotas),
            BlockingPool::default(),
            Clock::start(),
        )
        .unwrap();
        let listener = bind("127.0.0.1", 0).unwrap();
        let address = listener.local_addr().unwrap();
        let (commands, received) = channel();
        let thread = std::thread::spawn(move || accept_until_told(network, listener, &received));
        TestNetwork {
            service,
            address,
            commands,
            thread: Some(thread),
        }
    }

    fn connect(&self) -> TestClient {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        TestClient(stream)
    }
}

fn accept_until_told(
    network: Network<Script>,
    listener: TcpListener,
    commands: &Receiver<Command>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bound = BoundListener {
        name: "TEST".into(),
        address: listener.local_addr().unwrap(),
        advertises_loopback: None,
    };
    runtime.block_on(async {
        let task = tokio::spawn(network.accept(listener, bound).unwrap());
        loop {
            match commands.try_recv() {
                Ok(Command::Drain) => network.drain(),
                Ok(Command::Stop) | Err(std::sync::mpsc::TryRecvError::Disconnected) => break,
                Err(std::sync::mpsc::TryRecvError::Empty) => {}
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        task.abort();
    });
    network.stop();
}

impl Drop for TestNetwork {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        assert_eq!(
            self.service.connected.load(Ordering::Relaxed),
            0,
            "all were disconnected"
        );
    }
}

struct TestClient(TcpStream);

fn frame(key: i16, argument: &[u8]) -> Vec<u8> {
    let size = u32::try_from(2 + argument.len()).unwrap();
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.extend_from_slice(&key.to_be_bytes());
    bytes.extend_from_slice(argument);
    bytes
}

impl TestClient {
    fn send(&mut self, key: i16, argument: &[u8]) {
        self.0.write_all(&frame(key, argument)).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut size = [0; 4];
        self.0.read_exact(&mut size).unwrap();
        let mut bytes = vec![0; u32::from_be_bytes(size) as usize];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads what is left until the server closes.
    fn receive_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

#[test]
fn frames_of_any_size_in_any_pieces_are_echoed() {
    let network = TestNetwork::start(limits());
    let mut client = network.connect();
    let mut sent = Vec::new();
    let sizes = [0, 1, 100, 65_530, 65_536, 300_000, 5_000_000, 3];
    for (fill, size) in (0..).zip(sizes) {
        sent.extend(frame(ECHO, &vec![fill; size]));
    }
    let mut writer = client.0.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        for piece in sent.chunks(70_001) {
            writer.write_all(piece).unwrap();
        }
    });
    for (fill, size) in (0..).zip(sizes) {
        assert!(client.receive() == vec![fill; size], "{size} bytes");
    }
    thread.join().unwrap();
}

#[test]
fn answers_come_in_request_order_though_completed_in_another() {
    let network = TestNetwork::start(limits());
    let mut client = network.connect();
    for number in 0..40_u8 {
        let key = if number % 3 == 0 { ECHO } else { PARK };
        client.send(key, &[number]);
    }
    network
        .service
        .wait_until("execution", |state| state.executed.len() == 40);
    network.service.release_all();
    for number in 0..40_u8 {
        assert_eq!(client.receive(), [number]);
    }
}

#[test]
fn a_request_parked_before_its_effect_stops_execution() {
    let network = TestNetwork::start(limits());
    let mut client = network.connect();
    client.send(PARK_BLOCKING, &[1]);
    client.send(ECHO, &[2]);
    network
        .service
        .wait_until("the first", |state| state.executed.len() == 1);
    // Another connection's round trips give the second request every chance to run too early.
    for _ in 0..100 {
        let mut other = network.connect();
        other.send(ECHO, &[9]);
        other.receive();
    }
    assert!(!network.service.state.lock().executed.contains(&2));
    network.service.release_all();
    assert_eq!((client.receive(), client.receive()), (vec![1], vec![2]));
}

#[test]
fn at_most_64_requests_are_unanswered() {
    let network = TestNetwork::start(limits());
    let mut client = network.connect();
    for number in 0..200_u8 {
        client.send(PARK, &[number]);
    }
    for batch in 0..4 {
        let expected = (64 * (batch + 1)).min(200);
        network
            .service
            .wait_until("a full window", |state| state.executed.len() == expected);
        network.service.release_all();
        for number in batch * 64..expected {
            assert_eq!(client.receive(), [number as u8]);
        }
    }
}

#[test]
fn file_ranges_arrive_whole_warm_or_cold() {
    let network = TestNetwork::start(limits());
    let mut client = network.connect();
    let sizes = [10_u32, 5_000_000, 0, 2_500_000];
    for size in sizes {
        client.send(RANGE, &size.to_be_bytes());
        client.send(COLD_RANGE, &size.to_be_bytes());
    }
    for size in sizes.into_iter().flat_map(|size| [size, size]) {
        let bytes = client.receive();
        assert_eq!(bytes.len(), size as usize);
        assert!(bytes.iter().zip(0..).all(|(&byte, at)| byte == pattern(at)));
    }
}

#[test]
fn a_damaged_range_closes_the_connection_and_no_other() {
    let network = TestNetwork::start(limits());
    let (mut client, mut other) = (network.connect(), network.connect());
    client.send(ECHO, &[1]);
    client.send(DAMAGED_RANGE, &100_u32.to_be_bytes());
    assert_eq!(client.receive(), [1]);
    assert!(
        client.receive_to_end().len() <= 4,
        "at most the size was sent"
    );
    other.send(ECHO, &[2]);
    assert_eq!(other.receive(), [2]);
}

#[test]
fn a_slow_consumer_is_served_without_loading_all_of_it() {
    let network = TestNetwork::start(limits());
    let mut slow = network.connect();
    for _ in 0..20 {
        slow.send(RANGE, &(50_u32 << 20).to_be_bytes());
    }
    // The slow one reads nothing; others are not held up by it.
    for number in 0..100 {
        let mut other = network.connect();
        other.send(ECHO, &[number]);
        assert_eq!(other.receive(), [number]);
    }
}

#[test]
fn earlier_answers_are_sent_before_the_connection_is_closed() {
    let network = TestNetwork::start(limits());
    let mut client = network.connect();
    client.send(PARK, &[1]);
    client.send(CLOSE, &[2]);
    client.send(ECHO, &[3]);
    network
        .service
        .wait_until("both", |state| state.executed.len() == 2);
    network.service.release_all();
    assert_eq!(client.receive_to_end(), response(&[1]));
    assert_eq!(network.service.state.lock().executed, [1, 2]);
}

#[test]
fn requests_without_answers_leave_no_gap() {
    let network = TestNetwork::start(limits());
    let mut client = network.connect();
    client.send(SILENT, &[1]);
    client.send(ECHO, &[2]);
    assert_eq!(client.receive(), [2]);
}

#[test]
fn deadlines_ring_although_nothing_else_happens() {
    let network = TestNetwork::start(limits());
    let mut client = network.connect();
    client.send(DEADLINE, &[1]);
    assert_eq!(client.receive(), [1]);
}

#[test]
fn frames_that_are_too_large_or_negative_end_the_connection() {
    let network = TestNetwork::start(NetworkLimits {
        request_bytes_max: 1000,
        ..limits()
    });
    for size in [1001_i32, -1, i32::MIN, i32::MAX] {
        let mut client = network.connect();
        client.send(ECHO, &[7]);
        client.0.write_all(&size.to_be_bytes()).unwrap();
        assert_eq!(client.receive_to_end(), response(&[7]), "{size}");
    }
    let mut client = network.connect();
    client.send(ECHO, &[1; 998]);
    assert_eq!(client.receive(), [1; 998]);
}

#[test]
fn http_on_the_kafka_port_is_told_so() {
    let network = TestNetwork::start(limits());
    let mut client = network.connect();
    client
        .0
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let answer = String::from_utf8(client.receive_to_end()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("Kafka port"), "{answer}");
}

#[test]
fn idle_connections_are_closed_and_waiting_ones_are_not() {
    let network = TestNetwork::start(NetworkLimits {
        idle_max: Duration::from_millis(50),
        ..limits()
    });
    let (mut idle, mut waiting) = (network.connect(), network.connect());
    waiting.send(PARK, &[1]);
    assert_eq!(idle.receive_to_end(), b"");
    network.service.release_all();
    assert_eq!(waiting.receive(), [1]);
}

#[test]
fn a_worker_rests_also_when_no_connection_may_be_idle() {
    let network = TestNetwork::start(NetworkLimits {
        idle_max: Duration::ZERO,
        ..limits()
    });
    let mut idle = network.connect();
    assert_eq!(idle.receive_to_end(), b"");
    let looks = || network.service.looks.load(Ordering::Relaxed);
    let (before, began) = (looks(), std::time::Instant::now());
    network
        .service
        .wait_until("many looks of the workers", |_| before + 100 <= looks());
    assert!(Duration::from_millis(50) <= began.elapsed());
}

#[test]
fn limits_of_connections_refuse_what_is_too_much() {
    let limited = ConnectionQuotas {
        connections_max: 5,
        per_address_max: 2,
        per_address_overrides: vec![("127.0.0.1".parse().unwrap(), 3)],
        ..quotas()
    };
    let in_force = Arc::new(ArcSwap::from_pointee(limited));
    let network = TestNetwork::with_quotas(limits(), &in_force);
    let mut served: Vec<TestClient> = (0..3).map(|_| network.connect()).collect();
    for client in &mut served {
        client.send(ECHO, &[1]);
        assert_eq!(client.receive(), [1]);
    }
    let mut refused = network.connect();
    let mut bytes = Vec::new();
    let result = refused.0.read_to_end(&mut bytes);
    assert!(result.is_err() || bytes.is_empty());
    drop(served.pop());
    network.service.wait_until("a free place", |_| {
        network.service.connected.load(Ordering::Relaxed) == 2
    });
    let mut client = network.connect();
    client.send(ECHO, &[1]);
    assert_eq!(client.receive(), [1]);
    served.push(client);

    // A change counts for the next connection, and a listener can have a limit of its own.
    let listeners = HashMap::from([(
        "test".to_owned(),
        ListenerSettings {
            connections_max: 4,
            ..ListenerSettings::default()
        },
    )]);
    in_force.store(Arc::new(ConnectionQuotas {
        listeners,
        ..quotas()
    }));
    let mut fourth = network.connect();
    fourth.send(ECHO, &[4]);
    assert_eq!(fourth.receive(), [4]);
    let mut fifth = network.connect();
    let mut bytes = Vec::new();
    let result = fifth.0.read_to_end(&mut bytes);
    assert!(result.is_err() || bytes.is_empty());
    drop((served, fourth));
}

/// Many connections send halves of large requests: together far more than the cap. All get through.
#[test]
fn requests_beyond_the_memory_cap_are_slowed_down_and_not_failed() {
    let network = TestNetwork::start(NetworkLimits {
        request_memory_bytes_max: 2 << 20,
        ..limits()
    });
    let clients: Vec<_> = (0..16_u8)
        .map(|number| {
            let mut client = network.connect();
            std::thread::spawn(move || {
                client.send(ECHO, &vec![number; 3 << 20]);
                assert!(client.receive() == vec![number; 3 << 20]);
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn draining_answers_what_was_executed_and_then_closes() {
    let network = TestNetwork::start(limits());
    let (mut idle, mut client) = (network.connect(), network.connect());
    client.send(PARK, &[1]);
    network
        .service
        .wait_until("execution", |state| state.executed.len() == 1);
    network.commands.send(Command::Drain).unwrap();
    assert_eq!(idle.receive_to_end(), b"");
    network.service.release_all();
    assert_eq!(client.receive_to_end(), response(&[1]));
}
