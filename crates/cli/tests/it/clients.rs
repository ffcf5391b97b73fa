use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::broker::{Broker, OTTLA};

/// ApiVersions 3 of a client that says what it is, and its answer.
fn introduce(broker: &Broker) -> TcpStream {
    let mut request = vec![0, 18, 0, 3, 0, 0, 0, 1, 0, 5];
    request.extend(b"probe\0");
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
    let readers = loop {
        let clients = list(&broker, &[]);
        let reads = |it: &&Value| it["client_id"] == "reader" && it["groups"][0] == "billing";
        let readers: Vec<_> = clients.iter().filter(reads).cloned().collect();
        if !readers.is_empty() {
            break readers;
        }
    };
    for reader in &readers {
        assert_eq!(reader["software_name"], "ottla-client", "{reader}");
        assert_eq!(reader["listener"], "PLAINTEXT", "{reader}");
        assert!(0 < reader["sent_bytes"].as_u64().unwrap(), "{reader}");
        assert!(reader["last_api"].is_string(), "{reader}");
    }
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
    while list(&broker, &[])
        .iter()
        .any(|it| it["address"] == *address)
    {}
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
