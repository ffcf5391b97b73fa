use std::collections::BTreeMap;

use clap::Args;
use ottla_client::{Admin, CommittedOffset, OffsetQuery, PartitionKey};
use ottla_types::{Offset, Timestamp};
use serde_json::json;

use super::{look_up, partitions_of};
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::offset_range::{OffsetRange, Start};
use crate::output::{Table, print_json};

#[derive(Debug, Args)]
pub struct Seek {
    /// Name of the group. It must have no members.
    group: String,
    /// Where to: start, end, an offset, @TIME (@-2h is two hours ago), or +N and -N from where it is.
    #[arg(
        long,
        value_name = "WHERE",
        allow_hyphen_values = true,
        required_unless_present_any = ["to_group", "to_file", "undo"]
    )]
    to: Option<String>,
    /// Where this other group is.
    #[arg(long, value_name = "GROUP", conflicts_with = "to")]
    to_group: Option<String>,
    /// Where a file says: a line "topic partition offset" (or with commas) for each partition.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "to_group"])]
    to_file: Option<String>,
    /// Back to where the group was before the last seek, for partitions it has not committed since.
    #[arg(long, conflicts_with_all = ["to", "to_group", "to_file"])]
    undo: bool,
    /// Only these topics, also those that the group has committed nothing for.
    #[arg(long, value_name = "TOPIC", value_delimiter = ',')]
    topics: Vec<String>,
    /// Show the plan only.
    #[arg(long)]
    dry_run: bool,
}

impl Seek {
    pub fn deed(&self) -> Option<String> {
        (!self.dry_run).then(|| format!("move group {}", self.group))
    }
}

/// From where to where one partition moves.
struct Move {
    from: Option<i64>,
    to: i64,
}

/// Begins the note that a seek leaves with what it commits; behind it stands where the group was. A
/// member's own commit replaces it, and then there is nothing to undo any more.
const NOTE: &str = "ottla seek from ";
/// Instead of an offset, for a partition that the group had committed nothing for.
const NOWHERE: &str = "nowhere";

impl Move {
    fn committed(&self) -> CommittedOffset {
        let from = self
            .from
            .map_or(NOWHERE.to_owned(), |from| from.to_string());
        CommittedOffset {
            metadata: format!("{NOTE}{from}"),
            ..CommittedOffset::at(Offset::new(self.to))
        }
    }
}

/// Where the group was before a seek committed this; `None` inside: nowhere.
fn before(committed: &CommittedOffset) -> Option<Option<i64>> {
    match committed.metadata.strip_prefix(NOTE)? {
        NOWHERE => Some(None),
        offset => offset.parse().ok().map(Some),
    }
}

pub async fn run(seek: Seek, admin: &Admin, format: Format) -> Result<(), Failure> {
    let committed = admin.group_offsets(&seek.group).await?;
    let mut current: BTreeMap<PartitionKey, Option<i64>> = committed
        .iter()
        .map(|(key, committed)| (key.clone(), Some(committed.offset.get())))
        .collect();
    if !seek.topics.is_empty() {
        current.retain(|key, _| seek.topics.iter().any(|topic| **topic == *key.topic));
        for key in partitions_of(admin, &seek.topics).await? {
            current.entry(key).or_insert(None);
        }
    }
    if seek.undo {
        return undo(&seek, &committed, admin, format).await;
    }
    let targets = targets(&seek, admin, &current).await?;
    let plan: BTreeMap<PartitionKey, Move> = targets
        .into_iter()
        .map(|(key, to)| {
            let from = current.get(&key).copied().flatten();
            (key, Move { from, to })
        })
        .collect();
    if plan.is_empty() {
        return Err(Failure::failed(format!(
            "group {} has committed nothing that could be moved",
            seek.group
        ))
        .with_hint(Some("name topics with --topics to give it offsets")));
    }
    let outcome = if seek.dry_run {
        Ok(())
    } else {
        apply(&seek.group, admin, &plan).await
    };
    show(&seek, &plan, format);
    outcome
}

/// Goes back where a seek has come from. Partitions that were nowhere are forgotten.
async fn undo(
    seek: &Seek,
    committed: &BTreeMap<PartitionKey, CommittedOffset>,
    admin: &Admin,
    format: Format,
) -> Result<(), Failure> {
    let is_wanted = |key: &PartitionKey| {
        seek.topics.is_empty() || seek.topics.iter().any(|topic| **topic == *key.topic)
    };
    let mut plan = BTreeMap::new();
    let mut forgotten = Vec::new();
    for (key, at) in committed.iter().filter(|(key, _)| is_wanted(key)) {
        let from = Some(at.offset.get());
        match before(at) {
            Some(Some(to)) => drop(plan.insert(key.clone(), Move { from, to })),
            Some(None) => forgotten.push(key.clone()),
            None => {}
        }
    }
    if plan.is_empty() && forgotten.is_empty() {
        return Err(Failure::failed(format!(
            "group {} has no seek to undo: none was made, or the group has committed since",
            seek.group
        )));
    }
    let mut outcome = Ok(());
    if !seek.dry_run {
        if !plan.is_empty() {
            outcome = apply(&seek.group, admin, &plan).await;
        }
        for (key, result) in admin.delete_group_offsets(&seek.group, &forgotten).await? {
            if let Err(error) = result {
                Failure::item(&key.to_string(), &error).report();
                outcome = Err(Failure::reported());
            }
        }
    }
    show(seek, &plan, format);
    for key in forgotten {
        errln!("{key}  is forgotten: the group was nowhere there");
    }
    outcome
}

async fn targets(
    seek: &Seek,
    admin: &Admin,
    current: &BTreeMap<PartitionKey, Option<i64>>,
) -> Result<BTreeMap<PartitionKey, i64>, Failure> {
    let is_wanted = |key: &PartitionKey| {
        seek.topics.is_empty() || seek.topics.iter().any(|topic| **topic == *key.topic)
    };
    if let Some(other) = &seek.to_group {
        let offsets = admin.group_offsets(other).await?;
        let offsets = offsets.into_iter().map(|(key, at)| (key, at.offset.get()));
        return Ok(offsets.filter(|(key, _)| is_wanted(key)).collect());
    }
    if let Some(path) = &seek.to_file {
        let offsets = read_file(path)?;
        return Ok(offsets
            .into_iter()
            .filter(|(key, _)| is_wanted(key))
            .collect());
    }
    let text = seek.to.as_deref().unwrap_or_default();
    let range: OffsetRange = text.parse().map_err(|_| wrong_place(text))?;
    if range.end.is_some() {
        return Err(wrong_place(text));
    }
    let starts = look_up(admin, current.keys(), OffsetQuery::Earliest).await?;
    let ends = look_up(admin, current.keys(), OffsetQuery::Latest).await?;
    let at_time = match range.start {
        Start::Time(millis) => {
            let query = OffsetQuery::Time(Timestamp::from_millis(millis));
            look_up(admin, current.keys(), query).await?
        }
        _ => BTreeMap::new(),
    };
    let mut targets = BTreeMap::new();
    for (key, from) in current {
        let (Some(start), Some(end)) = (starts.get(key), ends.get(key)) else {
            return Err(Failure::failed(format!(
                "{key}: its offsets cannot be looked up"
            )));
        };
        let wanted = match range.start {
            Start::Earliest => *start,
            Start::Latest => *end,
            Start::At(offset) => offset,
            // A group that was nowhere stays nowhere.
            Start::After(count) => match from {
                Some(from) => from + count,
                None => continue,
            },
            Start::Before(count) => match from {
                Some(from) => from - count,
                None => continue,
            },
            Start::Time(_) => at_time.get(key).copied().unwrap_or(*end),
        };
        targets.insert(key.clone(), wanted.clamp(*start, *end));
    }
    Ok(targets)
}

fn wrong_place(text: &str) -> Failure {
    Failure::usage(format!(
        "--to {text}: expected start, end, an offset, @TIME, +N or -N"
    ))
}

fn read_file(path: &str) -> Result<BTreeMap<PartitionKey, i64>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("{path}: {error}")))?;
    let mut offsets = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parsed = parse_line(line).ok_or_else(|| {
            Failure::usage(format!("{path}:{number}: expected topic partition offset"))
        })?;
        offsets.insert(parsed.0, parsed.1);
    }
    Ok(offsets)
}

fn parse_line(line: &str) -> Option<(PartitionKey, i64)> {
    let separators = |c: char| c == ',' || c.is_whitespace();
    let mut words = line.split(separators).filter(|word| !word.is_empty());
    let (topic, partition, offset) = (words.next()?, words.next()?, words.next()?);
    let key = PartitionKey::new(topic, partition.parse().ok()?);
    let offset: i64 = offset.parse().ok().filter(|offset| *offset >= 0)?;
    words.next().is_none().then_some((key, offset))
}

async fn apply(
    group: &str,
    admin: &Admin,
    plan: &BTreeMap<PartitionKey, Move>,
) -> Result<(), Failure> {
    let offsets = plan
        .iter()
        .map(|(key, moved)| (key.clone(), moved.committed()))
        .collect();
    let mut outcome = Ok(());
    for (key, result) in admin.alter_group_offsets(group, &offsets).await? {
        if let Err(error) = result {
            let failure = Failure::item(&key.to_string(), &error);
            // What the coordinator says to a stranger while there are members.
            let failure = match error.code {
                ottla_types::ErrorCode::UnknownMemberId => {
                    failure.with_hint(Some("the group has active members: stop them first"))
                }
                _ => failure,
            };
            failure.report();
            outcome = Err(Failure::reported());
        }
    }
    outcome
}

fn show(seek: &Seek, plan: &BTreeMap<PartitionKey, Move>, format: Format) {
    match format {
        Format::Json => {
            let rows: Vec<_> = plan
                .iter()
                .map(|(key, moved)| {
                    json!({
                        "topic": &*key.topic,
                        "partition": key.partition,
                        "from": moved.from,
                        "to": moved.to,
                    })
                })
                .collect();
            print_json(
                "group.seek",
                json!({ "group": seek.group, "dry_run": seek.dry_run, "partitions": rows }),
            );
        }
        Format::Text | Format::Wide => {
            let mut table = Table::new(&["TOPIC", "PARTITION", "FROM", "TO", "CHANGE"]);
            for (key, moved) in plan {
                let change = moved
                    .from
                    .map_or("-".to_owned(), |from| format!("{:+}", moved.to - from));
                table.row(vec![
                    key.topic.to_string(),
                    key.partition.to_string(),
                    moved.from.map_or("-".to_owned(), |from| from.to_string()),
                    moved.to.to_string(),
                    change,
                ]);
            }
            table.print();
            match (seek.dry_run, seek.undo) {
                (true, _) => errln!("hint: nothing was changed; leave --dry-run out to do it"),
                (false, false) => errln!("undo: ottla group seek {} --undo", seek.group),
                (false, true) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seek_notes_where_it_came_from() {
        for from in [Some(17), None] {
            let moved = Move { from, to: 3 };
            assert_eq!(before(&moved.committed()), Some(from));
        }
        assert_eq!(before(&CommittedOffset::at(Offset::new(3))), None);
    }

    #[test]
    fn lines_of_both_makes_are_read() {
        let key = PartitionKey::new("t", 3);
        for line in ["t 3 17", "t,3,17", "t\t3\t17", " t , 3 , 17 "] {
            assert_eq!(parse_line(line.trim()), Some((key.clone(), 17)), "{line}");
        }
        for line in ["t 3", "t 3 x", "t 3 -1", "t 3 1 4", ""] {
            assert_eq!(parse_line(line), None, "{line}");
        }
    }
}
