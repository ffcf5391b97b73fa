//! What keeps clients from working, seen from where they are.

use std::time::{Duration, Instant};

use clap::Args;
use ottla_client::{Admin, ApiRange, ConfigResource, TopicDescription};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::status::complaint_of;
use crate::client_arguments::{ClientArguments, Format};
use crate::failure::Failure;
use crate::output::{counted, print_json};
use crate::session::{Session, with_lazy_client};
use crate::time_text::{format_span, now_millis};

/// How long one connection may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Find out why clients here cannot work with a cluster, or soon will not: addresses, versions,
/// clocks, partitions, disks. Fails if there is a problem.
#[derive(Debug, Args)]
pub struct Doctor {}

/// Clocks that are closer are right enough.
const CLOCK_SKEW_MAX_MS: i64 = 1_000;

/// What was looked at, and what was found.
struct Finding {
    kind: Kind,
    what: String,
    says: String,
    fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Warning,
    Problem,
}

impl Finding {
    fn new(kind: Kind, what: impl Into<String>, says: impl Into<String>) -> Finding {
        Finding {
            kind,
            what: what.into(),
            says: says.into(),
            fix: None,
        }
    }

    fn fix(mut self, text: impl Into<String>) -> Finding {
        self.fix = Some(text.into());
        self
    }
}

pub fn run(_: Doctor, client: &ClientArguments) -> Result<(), Failure> {
    let format = client.format;
    with_lazy_client(client, async |session| {
        session.properties.report_rest();
        let mut findings = Vec::new();
        let is_reachable = bootstrap(&session, &mut findings).await;
        if is_reachable {
            examine(&session, &mut findings).await;
        }
        report(&findings, format);
        let has_problem = findings.iter().any(|it| it.kind == Kind::Problem);
        match has_problem {
            true => Err(Failure::reported()),
            false => Ok(()),
        }
    })
}

/// Whether any bootstrap server can be connected to.
async fn bootstrap(session: &Session, findings: &mut Vec<Finding>) -> bool {
    let mut is_reachable = false;
    for address in session.bootstrap.split(',').map(str::trim) {
        let what = format!("tcp {address}");
        let finding = match dial(address).await {
            Ok(took) => {
                is_reachable = true;
                Finding::new(
                    Kind::Good,
                    what,
                    format!("{:.1} ms", took.as_secs_f64() * 1000.0),
                )
            }
            Err(reason) => Finding::new(Kind::Problem, what, reason)
                .fix("is a broker running there? -b names another address; ottla dev starts one"),
        };
        findings.push(finding);
    }
    is_reachable
}

/// Resolves and connects; the error says which of the two failed.
async fn dial(address: &str) -> Result<Duration, String> {
    let with_port = match address.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => address.to_owned(),
        _ => format!("{address}:9092"),
    };
    let start = Instant::now();
    let resolved = timeout(PATIENCE, tokio::net::lookup_host(with_port)).await;
    let addresses: Vec<_> = match resolved {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(format!("does not resolve from this host: {error}")),
        Err(_) => return Err("resolving its name takes too long".to_owned()),
    };
    let mut reason = "does not resolve from this host".to_owned();
    for address in addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(start.elapsed()),
            Ok(Err(error)) => reason = format!("{address}: {error}"),
            Err(_) => reason = format!("{address}: no answer in {} s", PATIENCE.as_secs()),
        }
    }
    Err(reason)
}

async fn examine(session: &Session, findings: &mut Vec<Finding>) {
    let admin = session.client.admin();
    let cluster = match admin.describe_cluster().await {
        Ok(cluster) => cluster,
        Err(error) => {
            let finding = Finding::new(Kind::Problem, "kafka protocol", error.to_string());
            let hint = "is this a Kafka port, and one without TLS?";
            findings.push(finding.fix(error.hint().unwrap_or(hint)));
            return;
        }
    };
    findings.push(Finding::new(
        Kind::Good,
        "cluster",
        cluster.cluster_id.clone(),
    ));
    let mut all_reachable = true;
    for broker in &cluster.brokers {
        let address = format!("{}:{}", broker.host, broker.port);
        let what = format!("advertised address {address} of broker {}", broker.id);
        findings.push(match dial(&address).await {
            Ok(took) => {
                Finding::new(Kind::Good, what, format!("{:.1} ms", took.as_secs_f64() * 1000.0))
            }
            Err(reason) => {
                all_reachable = false;
                Finding::new(Kind::Problem, what, reason).fix(format!(
                    "you reached the cluster at {} but it tells clients to use {address}; set the \
                     broker's advertised.listeners to an address that clients here can reach, or to \
                     auto",
                    session.bootstrap
                ))
            }
        });
    }
    if all_reachable {
        versions(&admin, findings).await;
        clock(&admin, findings).await;
        topics(&admin, cluster.brokers.len(), findings).await;
        disks(&admin, findings).await;
        groups(&admin, findings).await;
    }
}

async fn versions(admin: &Admin, findings: &mut Vec<Finding>) {
    let brokers = match admin.broker_versions().await {
        Ok(brokers) => brokers,
        Err(error) => {
            findings.push(Finding::new(
                Kind::Problem,
                "api versions",
                error.to_string(),
            ));
            return;
        }
    };
    for (id, versions) in brokers {
        let what = format!("api versions of broker {id}");
        findings.push(match versions {
            Ok(versions) => {
                let missing = ottla_client::broker_apis()
                    .filter(|(key, _)| ApiRange::of_kafka(*key).is_some())
                    .filter(|(key, _)| !versions.apis.iter().any(|api| api.key == *key))
                    .count();
                let count = versions.apis.len();
                let says = match missing {
                    0 => format!("{count} APIs, all of Kafka 4.4"),
                    _ => format!(
                        "{count} APIs; {missing} of Kafka 4.4 are not there (ottla cluster \
                         api-versions --diff kafka-4.4)"
                    ),
                };
                Finding::new(Kind::Good, what, says)
            }
            Err(error) => Finding::new(Kind::Problem, what, error.to_string()),
        });
    }
}

/// The metadata's leader says when it last heard of itself: that is its clock.
async fn clock(admin: &Admin, findings: &mut Vec<Finding>) {
    let asked = now_millis();
    let quorum = admin.describe_quorum().await;
    let answered = now_millis();
    let quorum = match quorum {
        Ok(quorum) => quorum,
        Err(error) => {
            let says = format!("cannot be compared: {error}");
            findings.push(Finding::new(Kind::Warning, "clock", says));
            return;
        }
    };
    let leader = quorum.voters.iter().find(|it| Some(it.id) == quorum.leader);
    let said = leader.and_then(|leader| Some((leader.id, leader.last_fetch?)));
    let Some((id, theirs)) = said else {
        let says = "cannot be compared: the metadata's leader does not tell its time";
        findings.push(Finding::new(Kind::Warning, "clock", says));
        return;
    };
    let ahead = theirs.as_millis() - i64::midpoint(asked, answered);
    let what = format!("clock of broker {id}");
    findings.push(judge_clock(what, ahead, (answered - asked) / 2));
}

/// By how many milliseconds a broker's clock is ahead, give or take `unsure_ms`.
fn judge_clock(what: String, ahead_ms: i64, unsure_ms: i64) -> Finding {
    let apart = ahead_ms.abs();
    let which = if ahead_ms < 0 { "behind" } else { "ahead of" };
    if apart <= CLOCK_SKEW_MAX_MS + unsure_ms {
        let says = format!("{apart} ms {which} this one, give or take {unsure_ms} ms");
        return Finding::new(Kind::Good, what, says);
    }
    let says = format!("{} {which} this one", format_span(apart));
    Finding::new(Kind::Warning, what, says).fix(
        "let both machines keep time (NTP): retention, offsets by time and how far groups are behind go by \
         times that clients give their records",
    )
}

async fn topics(admin: &Admin, brokers: usize, findings: &mut Vec<Finding>) {
    let topics = match admin.describe_all_topics().await {
        Ok(topics) => topics,
        Err(error) => {
            findings.push(Finding::new(Kind::Problem, "topics", error.to_string()));
            return;
        }
    };
    let (topic_count, before) = (topics.len(), findings.len());
    for (name, topic) in topics {
        let what = format!("topic {name}");
        match topic {
            Ok(topic) => {
                let min_in_sync = min_in_sync(admin, &name).await;
                findings.extend(judge(&topic, min_in_sync, brokers));
            }
            Err(error) => {
                findings.push(Finding::new(Kind::Problem, what, error.to_string()));
            }
        }
    }
    if findings.len() == before {
        let says = format!("{topic_count}, every partition has a leader and all replicas in sync");
        findings.push(Finding::new(Kind::Good, "topics", says));
    }
}

async fn min_in_sync(admin: &Admin, topic: &str) -> Option<usize> {
    let resource = ConfigResource::Topic(topic.to_owned());
    let configs = admin.describe_configs(&resource).await.ok()?;
    let config = configs.iter().find(|it| it.name == "min.insync.replicas")?;
    config.value.as_deref()?.parse().ok()
}

/// What is wrong with a topic, or soon will be.
fn judge(topic: &TopicDescription, min_in_sync: Option<usize>, brokers: usize) -> Vec<Finding> {
    let what = format!("topic {}", topic.name);
    let mut findings = Vec::new();
    let parts = &topic.partitions;
    let count = |is_so: &dyn Fn(&ottla_client::PartitionDescription) -> bool| {
        parts.iter().filter(|part| is_so(part)).count()
    };
    let leaderless = count(&|part| part.leader.is_none());
    if 0 < leaderless {
        let says =
            format!("{leaderless} partitions have no leader: they can be neither written nor read");
        let finding = Finding::new(Kind::Problem, what.clone(), says);
        findings.push(finding.fix(format!(
            "start the brokers that have them: ottla topic describe {}",
            topic.name
        )));
    }
    let lagging = count(&|part| part.in_sync_replicas.len() < part.replicas.len());
    if 0 < lagging {
        let says = format!("{lagging} partitions have replicas that are not in sync");
        findings.push(Finding::new(Kind::Warning, what.clone(), says));
    }
    let copies = parts.first().map_or(0, |part| part.replicas.len());
    match min_in_sync {
        Some(min) if copies < min => {
            let says = format!("{copies} replicas, min.insync.replicas {min}: acks=all is refused");
            let fix = format!(
                "ottla topic config {} set min.insync.replicas={copies}",
                topic.name
            );
            findings.push(Finding::new(Kind::Problem, what, says).fix(fix));
        }
        Some(min) if 1 < copies && copies == min => {
            let says =
                format!("{copies} replicas, min.insync.replicas {min}: one restart stops writes");
            findings.push(Finding::new(Kind::Warning, what, says));
        }
        _ if copies == 1 && 1 < brokers => {
            let says = "1 replica: what its broker loses is lost";
            findings.push(Finding::new(Kind::Warning, what, says));
        }
        _ => {}
    }
    findings
}

async fn disks(admin: &Admin, findings: &mut Vec<Finding>) {
    let brokers = match admin.describe_log_dirs().await {
        Ok(brokers) => brokers,
        Err(error) => {
            findings.push(Finding::new(
                Kind::Warning,
                "log directories",
                error.to_string(),
            ));
            return;
        }
    };
    for (id, dirs) in brokers {
        match dirs {
            Ok(dirs) => {
                for dir in &dirs {
                    if let Some(complaint) = complaint_of(id, dir) {
                        let finding = Finding::new(Kind::Problem, "log directory", complaint);
                        findings.push(finding.fix("make room, or shorten retention.ms"));
                    }
                }
            }
            Err(error) => {
                let what = format!("log directories of broker {id}");
                findings.push(Finding::new(Kind::Problem, what, error.to_string()));
            }
        }
    }
}

async fn groups(admin: &Admin, findings: &mut Vec<Finding>) {
    match admin.list_groups(&[], &[]).await {
        Ok(groups) => {
            for group in groups {
                let is_moving = matches!(
                    group.state.as_deref(),
                    Some("PreparingRebalance" | "CompletingRebalance")
                );
                if is_moving {
                    let what = format!("group {}", group.group_id);
                    let finding = Finding::new(Kind::Warning, what, "is rebalancing just now");
                    findings.push(
                        finding.fix(
                            "if it always is: a member takes longer than max.poll.interval.ms",
                        ),
                    );
                }
            }
        }
        Err(error) => findings.push(Finding::new(Kind::Warning, "groups", error.to_string())),
    }
}

fn report(findings: &[Finding], format: Format) {
    let count = |kind| findings.iter().filter(|it| it.kind == kind).count();
    let (problems, warnings) = (count(Kind::Problem), count(Kind::Warning));
    if format == Format::Json {
        let row = |it: &Finding| {
            let kind = match it.kind {
                Kind::Good => "ok",
                Kind::Warning => "warning",
                Kind::Problem => "problem",
            };
            json!({ "check": it.what, "status": kind, "says": it.says, "fix": it.fix })
        };
        let rows: Vec<_> = findings.iter().map(row).collect();
        let content = json!({ "findings": rows, "problems": problems, "warnings": warnings });
        print_json("doctor", content);
        return;
    }
    for finding in findings {
        let sign = match finding.kind {
            Kind::Good => "✔",
            Kind::Warning => "!",
            Kind::Problem => "✘",
        };
        outln!("{sign} {}   {}", finding.what, finding.says);
        if let Some(fix) = &finding.fix {
            outln!("    fix:  {fix}");
        }
    }
    outln!(
        "{}, {}",
        counted(problems as i64, "problem"),
        counted(warnings as i64, "warning")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_client::PartitionDescription;
    use ottla_types::BrokerId;

    fn topic(leader: Option<i32>, replicas: &[i32], in_sync: &[i32]) -> TopicDescription {
        let ids = |ids: &[i32]| ids.iter().map(|id| BrokerId::new(*id)).collect();
        TopicDescription {
            name: "t".to_owned(),
            id: None,
            is_internal: false,
            partitions: vec![PartitionDescription {
                partition: 0,
                leader: leader.map(BrokerId::new),
                leader_epoch: None,
                replicas: ids(replicas),
                in_sync_replicas: ids(in_sync),
                offline_replicas: Vec::new(),
            }],
        }
    }

    #[test]
    fn clocks_are_judged_by_what_is_certain() {
        for (ahead, unsure, kind, says) in [
            (
                3,
                1,
                Kind::Good,
                "3 ms ahead of this one, give or take 1 ms",
            ),
            (-3, 1, Kind::Good, "3 ms behind this one, give or take 1 ms"),
            (
                1_900,
                1_000,
                Kind::Good,
                "1900 ms ahead of this one, give or take 1000 ms",
            ),
            (1_900, 1, Kind::Warning, "1s ahead of this one"),
            (-7_200_000, 1, Kind::Warning, "2h behind this one"),
        ] {
            let finding = judge_clock("clock".to_owned(), ahead, unsure);
            assert_eq!((finding.kind, finding.says.as_str()), (kind, says));
            assert_eq!(finding.fix.is_some(), kind == Kind::Warning);
        }
    }

    #[test]
    fn topics_are_judged() {
        let kinds = |topic: &TopicDescription, min, brokers| {
            let findings = judge(topic, Some(min), brokers);
            findings.iter().map(|it| it.kind).collect::<Vec<_>>()
        };
        let healthy = topic(Some(1), &[1, 2, 3], &[1, 2, 3]);
        assert_eq!(kinds(&healthy, 2, 3), []);
        assert_eq!(kinds(&healthy, 3, 3), [Kind::Warning]);
        assert_eq!(kinds(&healthy, 4, 3), [Kind::Problem]);
        assert_eq!(
            kinds(&topic(None, &[1, 2], &[1]), 1, 2),
            [Kind::Problem, Kind::Warning]
        );
        let single = topic(Some(1), &[1], &[1]);
        assert_eq!(kinds(&single, 1, 1), []);
        assert_eq!(kinds(&single, 1, 3), [Kind::Warning]);
    }
}
