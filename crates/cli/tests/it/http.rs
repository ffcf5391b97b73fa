use std::io::{Read, Write};
use std::net::TcpStream;

use crate::broker::Broker;

/// Status and body of a GET.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[test]
fn health_and_metrics_are_there() {
    let broker = Broker::dev();
    for path in ["/livez", "/readyz", "/startupz", "/v1/status/ready"] {
        assert_eq!(get(&broker.http, path).0, 200, "{path}");
    }
    broker.command_with(&["produce", "counted"], "1\n2\n3\n");
    let (status, metrics) = get(&broker.http, "/metrics");
    assert_eq!(status, 200);
    for line in [
        r#"ottla_topic_records_in_total{topic="counted"} 3"#,
        r#"ottla_disk_state{dir="memory",state="online"} 1"#,
        r#"ottla_partitions{state="led"} 1"#,
        r#"ottla_metadata_is_leader 1"#,
        r#"ottla_held_requests_total 0"#,
    ] {
        assert!(
            metrics.lines().any(|l| l == line),
            "{line} is missing in\n{metrics}"
        );
    }
    let buckets = r#"ottla_request_duration_seconds_bucket{api="Produce",listener="PLAINTEXT",le="#;
    assert!(metrics.contains(buckets), "{metrics}");
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("ottla_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}
