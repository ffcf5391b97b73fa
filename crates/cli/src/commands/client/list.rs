use std::collections::HashMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ottla_client::Admin;
use serde_json::{Value, json};

use super::node::{Connected, Node};
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, format_bytes, print_json};
use crate::time_text::{format_span, parse_span};

#[derive(Debug, Args)]
pub struct List {
    /// Only who has written to this topic or read from it; may be given several times.
    #[arg(short = 't', long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// What comes first: those who came first, most traffic, most requests, longest silence.
    #[arg(long, value_enum, default_value_t = Order::Since, value_name = "ORDER")]
    sort: Order,
    /// Look twice, this far apart, and show requests and bytes a second instead of all so far.
    #[arg(long, value_parser = parse_span, value_name = "TIME")]
    sample: Option<Duration>,
    /// Where the node answers HTTP, as host:port; by default where it is configured to.
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    Since,
    Bytes,
    Requests,
    Idle,
}

/// One line of the list.
struct Line {
    node: i64,
    said: Value,
    /// Since it connected, or a second if looked at twice.
    requests: f64,
    received_bytes: f64,
    sent_bytes: f64,
}

pub async fn run(list: List, admin: &Admin, format: Format) -> Result<(), Failure> {
    let nodes = match &list.http {
        Some(http) => vec![Node::at(admin, http).await?],
        None => Node::all(admin).await?,
    };
    let mut lines = match list.sample {
        None => so_far(look(&nodes).await?),
        Some(span) => {
            let before = look(&nodes).await?;
            let begun = tokio::time::Instant::now();
            tokio::time::sleep(span).await;
            let after = look(&nodes).await?;
            rates(&before, after, begun.elapsed())
        }
    };
    if !list.topics.is_empty() {
        lines.retain(|line| uses_any(&line.said, &list.topics));
    }
    sort(&mut lines, list.sort);
    match format {
        Format::Json => print(&lines, list.sample.is_some()),
        Format::Text | Format::Wide => {
            table(&lines, list.sample.is_some(), 1 < nodes.len()).print()
        }
    }
    Ok(())
}

async fn look(nodes: &[Node]) -> Result<Vec<Connected>, Failure> {
    let mut clients = Vec::new();
    for node in nodes {
        clients.extend(node.clients().await?);
    }
    Ok(clients)
}

fn uses_any(said: &Value, topics: &[String]) -> bool {
    let used = said["topics"].as_array().into_iter().flatten();
    let mut used = used.filter_map(Value::as_str);
    used.any(|used| topics.iter().any(|topic| topic == used))
}

fn number(said: &Value, name: &str) -> f64 {
    said[name].as_f64().unwrap_or(0.0)
}

fn so_far(clients: Vec<Connected>) -> Vec<Line> {
    let lines = clients.into_iter().map(|Connected { node, said }| Line {
        node,
        requests: number(&said, "requests"),
        received_bytes: number(&said, "received_bytes"),
        sent_bytes: number(&said, "sent_bytes"),
        said,
    });
    lines.collect()
}

/// What each did between two looks, a second. Who came in between has done all of it since.
fn rates(before: &[Connected], after: Vec<Connected>, span: Duration) -> Vec<Line> {
    // An address and a time name a connection: ports are used again.
    let key = |it: &Connected| {
        let address = it.said["address"].to_string();
        (it.node, address, it.said["connected_at_ms"].as_i64())
    };
    let before: HashMap<_, _> = before.iter().map(|it| (key(it), &it.said)).collect();
    let lines = after.into_iter().map(|it| {
        let then = before.get(&key(&it));
        let rate = |name: &str| {
            let then = then.map_or(0.0, |said| number(said, name));
            (number(&it.said, name) - then).max(0.0) / span.as_secs_f64()
        };
        Line {
            node: it.node,
            requests: rate("requests"),
            received_bytes: rate("received_bytes"),
            sent_bytes: rate("sent_bytes"),
            said: it.said,
        }
    });
    lines.collect()
}

fn sort(lines: &mut [Line], order: Order) {
    let rank = |line: &Line| match order {
        Order::Since => number(&line.said, "connected_at_ms"),
        Order::Bytes => -(line.received_bytes + line.sent_bytes),
        Order::Requests => -line.requests,
        Order::Idle => -number(&line.said, "idle_ms"),
    };
    lines.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
}

fn print(lines: &[Line], are_rates: bool) {
    let row = |line: &Line| {
        let mut row = line.said.clone();
        row["node"] = json!(line.node);
        if are_rates {
            row["requests_per_second"] = json!(line.requests);
            row["received_bytes_per_second"] = json!(line.received_bytes);
            row["sent_bytes_per_second"] = json!(line.sent_bytes);
        }
        row
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    print_json("client.list", json!({ "clients": rows }));
}

fn table(lines: &[Line], are_rates: bool, has_nodes: bool) -> Table {
    let mut headings = vec!["CLIENT", "SOFTWARE", "ADDRESS", "LISTENER", "SINCE", "IDLE"];
    headings.extend(match are_rates {
        true => ["REQ/S", "IN/S", "OUT/S"],
        false => ["REQUESTS", "IN", "OUT"],
    });
    headings.extend(["LAST", "GROUPS", "TOPICS"]);
    if has_nodes {
        headings.insert(0, "NODE");
    }
    let mut table = Table::new(&headings);
    for line in lines {
        let text = |name: &str| line.said[name].as_str().filter(|text| !text.is_empty());
        let known = |name: &str| text(name).unwrap_or("-").to_owned();
        let span = |name: &str| format_span(number(&line.said, name) as i64);
        let software = match (text("software_name"), text("software_version")) {
            (Some(name), Some(version)) => format!("{name} {version}"),
            (name, _) => name.unwrap_or("-").to_owned(),
        };
        let names = |name: &str| {
            let names = line.said[name].as_array().into_iter().flatten();
            let names: Vec<_> = names.filter_map(Value::as_str).collect();
            match names.is_empty() {
                true => "-".to_owned(),
                false => names.join(","),
            }
        };
        let mut cells = vec![
            known("client_id"),
            software,
            known("address"),
            known("listener"),
            span("connected_ms"),
            span("idle_ms"),
            match are_rates {
                true => format!("{:.1}", line.requests),
                false => format!("{:.0}", line.requests),
            },
            format_bytes(line.received_bytes as u64),
            format_bytes(line.sent_bytes as u64),
            known("last_api"),
            names("groups"),
            names("topics"),
        ];
        if has_nodes {
            cells.insert(0, line.node.to_string());
        }
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(address: &str, requests: u64, received: u64) -> Connected {
        Connected {
            node: 1,
            said: json!({ "address": address, "connected_at_ms": 7, "requests": requests, "received_bytes": received }),
        }
    }

    #[test]
    fn rates_are_what_was_done_between_two_looks() {
        let before = [connected("a", 10, 100)];
        let after = vec![connected("a", 14, 300), connected("b", 6, 60)];
        let mut lines = rates(&before, after, Duration::from_secs(2));
        let of = |line: &Line| (line.requests, line.received_bytes);
        assert_eq!(
            lines.iter().map(of).collect::<Vec<_>>(),
            [(2.0, 100.0), (3.0, 30.0)]
        );
        sort(&mut lines, Order::Requests);
        assert_eq!(lines[0].said["address"], "b");
        sort(&mut lines, Order::Bytes);
        assert_eq!(lines[0].said["address"], "a");
    }
}
