use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::broker::{Broker, OTTLA};

/// ApiVersions 3 of a client that says what it is, and its answer.
fn introduce(broker: &Broker) -> TcpStream {
    introduce_as(broker, b"probe")
}

fn introduce_as(broker: &Broker, client_id: &[u8]) -> TcpStream {
    let mut request = vec![0, 18, 0, 3, 0, 0, 0, 1];
    request.extend(u16::try_from(client_id.len()).unwrap().to_be_bytes());
    request.extend([client_id, b"\0"].concat());
    request.extend([&[6], &b"proby"[..], &[4], b"7.1", &[0]].concat());
    let mut stream = TcpStream::connect(&broker.bootstrap).unwrap();
    let size = u32::try_from(request.len()).unwrap().to_be_bytes();
    stream.write_all(&[&size[..], &request].concat()).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).unwrap();
    stream
}

fn list(broker: &Broker, more: &[&str]) -> Vec<Value> {
    let arguments = [&["client", "list", "--format", "json"], more].concat();
    let answer: Value = serde_json::from_str(&broker.command(&arguments)).unwrap();
    assert_eq!(answer["_command"], "client.list");
    answer["clients"].as_array().unwrap().clone()
}

/// Looks who is connected until `looked_for` finds what it looks for; fails after a minute.
fn list_until<T>(broker: &Broker, looked_for: impl Fn(&[Value]) -> Option<T>) -> T {
    const PATIENCE: Duration = Duration::from_secs(60);
    let begun = Instant::now();
    loop {
        let clients = list(broker, &[]);
        if let Some(found) = looked_for(&clients) {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{clients:?}");
    }
}

/// Kills what it holds, also when the test fails.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_is_connected_is_told_until_they_go() {
    let broker = Broker::dev();
    let probe = introduce(&broker);
    let address = probe.local_addr().unwrap().to_string();
    broker.command_with(&["produce", "orders", "x"], "");
    let consume = [
        "consume",
        "orders",
        "-g",
        "billing",
        "-X",
        "client.id=reader",
    ];
    let consumer = std::process::Command::new(OTTLA)
        .args(consume)
        .args(["-b", &broker.bootstrap])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _consumer = Killed(consumer);
    let readers = list_until(&broker, |clients| {
        let reads = |it: &&Value| it["client_id"] == "reader" && it["groups"][0] == "billing";
        let readers: Vec<_> = clients.iter().filter(reads).cloned().collect();
        (!readers.is_empty()).then_some(readers)
    });
    for reader in &readers {
        assert_eq!(reader["software_name"], "ottla-client", "{reader}");
        assert_eq!(reader["listener"], "PLAINTEXT", "{reader}");
        assert!(0 < reader["sent_bytes"].as_u64().unwrap(), "{reader}");
        assert!(reader["last_api"].is_string(), "{reader}");
    }
    list_until(&broker, |clients| {
        let reads = |it: &Value| {
            let orders = serde_json::json!(["orders"]);
            it["client_id"] == "reader" && it["topics"] == orders
        };
        clients.iter().any(reads).then_some(())
    });
    let of_topic = list(&broker, &["--topic", "orders"]);
    assert!(!of_topic.is_empty(), "the reader");
    assert!(
        of_topic.iter().all(|it| it["client_id"] == "reader"),
        "{of_topic:?}"
    );
    assert_eq!(list(&broker, &["--topic", "refunds"]), Vec::<Value>::new());
    let clients = list(&broker, &["--sort", "requests", "--sample", "10ms"]);
    let probed = clients.iter().find(|it| it["address"] == *address);
    let probed = probed.expect("it is connected");
    assert_eq!(probed["client_id"], "probe");
    assert_eq!(probed["software_name"], "proby");
    assert_eq!(probed["software_version"], "7.1");
    assert_eq!(probed["last_api"], "ApiVersions");
    assert_eq!(probed["last_api_version"], 3);
    assert_eq!(probed["requests"], 1);
    assert_eq!(probed["received_bytes"], 31);
    assert_eq!(probed["groups"], serde_json::json!([]));
    assert_eq!(probed["topics"], serde_json::json!([]));
    assert_eq!(probed["requests_per_second"], 0.0);

    let table = broker.command(&["client", "list"]);
    assert!(table.starts_with("CLIENT "), "{table}");
    let line = table.lines().find(|line| line.starts_with("probe "));
    let line = line.expect("the probe has a line");
    assert!(
        line.contains("proby 7.1") && line.contains(&address),
        "{line}"
    );

    drop(probe);
    list_until(&broker, |clients| {
        let is_gone = clients.iter().all(|it| it["address"] != *address);
        is_gone.then_some(())
    });
}

/// Anybody may connect and say that his name is an order to the terminal.
#[test]
fn the_name_of_a_client_is_not_an_order_to_the_terminal() {
    let broker = Broker::dev();
    let _probe = introduce_as(&broker, b"\x1b[2Jx\ny");
    let table = broker.command(&["client", "list"]);
    assert!(!table.contains('\x1b'), "{table:?}");
    let is_its = |line: &str| line.starts_with(r"\x1b[2Jx\ny ");
    assert!(table.lines().any(is_its), "{table:?}");
    let clients = list(&broker, &[]);
    let named = clients.iter().any(|it| it["client_id"] == "\x1b[2Jx\ny");
    assert!(named, "{clients:?}");
}

#[test]
fn a_wrong_address_for_http_is_named() {
    let broker = Broker::dev();
    let kafka = broker.bootstrap.clone();
    let refused = broker.command_with(&["client", "list", "--http", &kafka], "");
    assert_eq!(refused.status.code(), Some(1));
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert!(
        errors.contains("does not say who is connected at http://"),
        "{errors}"
    );
    let told = broker.command(&["client", "list", "--http", &broker.http]);
    assert!(told.contains("ottla"), "{told}");
}
