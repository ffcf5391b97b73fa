use clap::Args;
use ottla_client::{Admin, IsolationLevel, OffsetQuery, PartitionKey};
use ottla_types::{Offset, Timestamp};
use serde_json::json;

use super::report_failures;
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, print_json};
use crate::time_text::{now_millis, parse_millis};

#[derive(Debug, Args)]
pub struct Trim {
    /// Name of the topic.
    topic: String,
    /// Records before it are deleted: an offset, `end`, or @ and a time (@2026-11-22T10:00, @-1h).
    #[arg(short, long, value_name = "OFFSET", allow_hyphen_values = true)]
    offset: String,
    /// Only these partitions; may be given several times.
    #[arg(short, long, value_name = "N")]
    partition: Vec<i32>,
    /// Only show what would be deleted.
    #[arg(long)]
    dry_run: bool,
}

impl Trim {
    pub fn deed(&self) -> Option<String> {
        (!self.dry_run).then(|| format!("delete records of {}", self.topic))
    }
}

/// Before what records are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Offset(i64),
    End,
    Time(i64),
}

pub async fn run(trim: Trim, admin: &Admin, format: Format) -> Result<(), Failure> {
    let before = parse_before(&trim.offset, now_millis())?;
    let described = admin.describe_topics(&[trim.topic.as_str()]).await?;
    let (topics, outcome) = report_failures(described, admin).await;
    outcome?;
    let partitions = topics.values().flat_map(|topic| &topic.partitions);
    let is_meant = |number: i32| trim.partition.is_empty() || trim.partition.contains(&number);
    let mut keys: Vec<PartitionKey> = Vec::new();
    for partition in partitions.filter(|it| is_meant(it.partition)) {
        keys.push(PartitionKey::new(trim.topic.as_str(), partition.partition));
    }
    if keys.is_empty() {
        return Err(Failure::failed(format!(
            "{}: there is no such partition",
            trim.topic
        )));
    }
    let mut outcome = Ok(());
    let mut failed = |key: &PartitionKey, error: &ottla_client::ApiError| {
        Failure::item(&format!("{}[{}]", key.topic, key.partition), error).report();
        outcome = Err(Failure::reported());
    };
    let mut firsts = Vec::new();
    for (key, result) in ends(admin, &keys, OffsetQuery::Earliest).await? {
        match result {
            Ok(first) => firsts.push((key, first.offset.map_or(0, Offset::get))),
            Err(error) => failed(&key, &error),
        }
    }
    let targets = targets(admin, &keys, before).await?;
    let mut plan = Vec::new();
    for (key, first) in firsts {
        match targets.iter().find(|(of, _)| *of == key) {
            Some((_, Ok(target))) => plan.push((key, first, *target)),
            Some((_, Err(error))) => failed(&key, error),
            None => {}
        }
    }
    if !trim.dry_run {
        let asked = plan.iter().filter(|(_, first, target)| first < target);
        let asked: Vec<_> = asked
            .map(|(key, _, target)| (key.clone(), Some(Offset::new(*target))))
            .collect();
        for (key, result) in admin.delete_records(&asked).await? {
            if let Err(error) = result {
                failed(&key, &error);
                plan.retain(|(of, _, _)| *of != key);
            }
        }
    }
    print(&plan, trim.dry_run, format);
    outcome
}

type Ends = std::collections::BTreeMap<
    PartitionKey,
    Result<ottla_client::ListedOffset, ottla_client::ApiError>,
>;

async fn ends(admin: &Admin, keys: &[PartitionKey], query: OffsetQuery) -> Result<Ends, Failure> {
    let queries: Vec<_> = keys.iter().map(|key| (key.clone(), query)).collect();
    Ok(admin
        .list_offsets(&queries, IsolationLevel::ReadUncommitted)
        .await?)
}

type Target = (PartitionKey, Result<i64, ottla_client::ApiError>);

/// The new first offset of each partition.
async fn targets(
    admin: &Admin,
    keys: &[PartitionKey],
    before: Before,
) -> Result<Vec<Target>, Failure> {
    let query = match before {
        Before::Offset(offset) => {
            return Ok(keys.iter().map(|key| (key.clone(), Ok(offset))).collect());
        }
        Before::End => OffsetQuery::Latest,
        Before::Time(millis) => OffsetQuery::Time(Timestamp::from_millis(millis)),
    };
    let latest = ends(admin, keys, OffsetQuery::Latest).await?;
    let found = ends(admin, keys, query).await?;
    let end = |key: &PartitionKey| match latest.get(key) {
        Some(Ok(end)) => end.offset,
        _ => None,
    };
    let target = |(key, result): (PartitionKey, Result<ottla_client::ListedOffset, _>)| {
        // Without a record that young every record is older.
        let target = result.map(|it| it.offset.or_else(|| end(&key)).map_or(0, Offset::get));
        (key, target)
    };
    Ok(found.into_iter().map(target).collect())
}

fn parse_before(text: &str, now: i64) -> Result<Before, Failure> {
    let time = text.strip_prefix('@');
    let before = match (text, time) {
        ("end", _) => Some(Before::End),
        (_, Some(time)) => parse_millis(time, now).map(Before::Time),
        (number, None) => number
            .parse()
            .ok()
            .filter(|offset| 0 <= *offset)
            .map(Before::Offset),
    };
    before.ok_or_else(|| {
        Failure::usage(format!(
            "-o {text}: expected an offset, end, or @ and a time"
        ))
    })
}

fn print(plan: &[(PartitionKey, i64, i64)], is_dry_run: bool, format: Format) {
    let deleted = |first: i64, target: i64| (target - first).max(0);
    match format {
        Format::Json => {
            let rows: Vec<_> = plan
                .iter()
                .map(|(key, first, target)| {
                    json!({ "topic": &*key.topic, "partition": key.partition, "first": first.max(target),
                            "deleted": deleted(*first, *target) })
                })
                .collect();
            print_json(
                "topic.trim",
                json!({ "partitions": rows, "dry_run": is_dry_run }),
            );
        }
        Format::Text | Format::Wide => {
            let heading = if is_dry_run {
                "WOULD DELETE"
            } else {
                "DELETED"
            };
            let mut table = Table::new(&["TOPIC", "PARTITION", "FIRST", heading]);
            for (key, first, target) in plan {
                table.row(vec![
                    key.topic.to_string(),
                    key.partition.to_string(),
                    first.max(target).to_string(),
                    deleted(*first, *target).to_string(),
                ]);
            }
            table.print();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_cut_is_read() {
        for (text, expected) in [
            ("7", Some(Before::Offset(7))),
            ("end", Some(Before::End)),
            ("@1700000000000", Some(Before::Time(1_700_000_000_000))),
            ("@-1h", Some(Before::Time(0))),
            ("-7", None),
            ("start", None),
            ("@", None),
        ] {
            assert_eq!(parse_before(text, 3_600_000).ok(), expected, "{text}");
        }
    }
}
