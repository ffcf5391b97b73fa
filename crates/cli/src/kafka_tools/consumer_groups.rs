use std::collections::BTreeMap;

use clap::Parser;
use ottla_client::{
    Admin, CommittedOffset, GroupDescription, MemberDescription, OffsetQuery, PartitionKey,
};
use ottla_types::{Offset, Timestamp};
use regex_lite::Regex;

use super::Connection;
use super::groups::capitalised;
use crate::commands::group::{look_up, partitions_of};
use crate::failure::Failure;
use crate::output::printable;
use crate::session::with_client;
use crate::time_text::{now_millis, parse_millis};

/// List, describe, move and delete consumer groups.
#[derive(Debug, Parser)]
#[command(name = "kafka-consumer-groups")]
pub struct ConsumerGroups {
    #[command(flatten)]
    connection: Connection,
    /// Name the groups.
    #[arg(long)]
    list: bool,
    /// Show offsets and lag, or members, or the state.
    #[arg(long)]
    describe: bool,
    /// Delete groups.
    #[arg(long)]
    delete: bool,
    /// Move what a group has committed.
    #[arg(long = "reset-offsets")]
    reset_offsets: bool,
    /// Forget what a group has committed for topics.
    #[arg(long = "delete-offsets")]
    delete_offsets: bool,
    /// The groups.
    #[arg(long)]
    group: Vec<String>,
    /// All groups.
    #[arg(long = "all-groups")]
    all_groups: bool,
    /// Topics, or partitions of them behind a colon.
    #[arg(long)]
    topic: Vec<String>,
    /// All topics that the group has committed something for.
    #[arg(long = "all-topics")]
    all_topics: bool,
    /// With --describe: the members.
    #[arg(long)]
    members: bool,
    /// With --describe: the state. With --list: only in these states; alone, the states are shown.
    #[arg(long, num_args = 0..=1, default_missing_value = "")]
    state: Option<String>,
    /// With --describe: offsets and lag, as by default.
    #[arg(long)]
    offsets: bool,
    /// With --describe: all columns there are.
    #[arg(long)]
    verbose: bool,
    /// Say whether a regular expression is one; nothing else is done.
    #[arg(long = "validate-regex", value_name = "REGEX")]
    validate_regex: Option<String>,
    /// To the first record there is.
    #[arg(long = "to-earliest")]
    to_earliest: bool,
    /// To the end.
    #[arg(long = "to-latest")]
    to_latest: bool,
    /// To where the group is.
    #[arg(long = "to-current")]
    to_current: bool,
    /// To this offset.
    #[arg(long = "to-offset")]
    to_offset: Option<i64>,
    /// So many records on, or back.
    #[arg(long = "shift-by", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// To this time: 2026-11-22T10:00:00.000.
    #[arg(long = "to-datetime")]
    to_datetime: Option<String>,
    /// So far back from now: P7D, PT1H30M.
    #[arg(long = "by-duration", value_name = "DURATION")]
    by_duration: Option<String>,
    /// Where a file says: topic,partition,offset lines (with the group first for several groups).
    #[arg(long = "from-file", value_name = "FILE")]
    from_file: Option<String>,
    /// Print the plan as lines for --from-file.
    #[arg(long)]
    export: bool,
    /// With --list: only of these types; alone, the types are shown.
    #[arg(long = "type", num_args = 0..=1, default_missing_value = "")]
    types: Option<String>,
    /// Show what would be done; the default.
    #[arg(long = "dry-run")]
    dry_run: bool,
    /// Do it.
    #[arg(long, conflicts_with = "dry_run")]
    execute: bool,
    /// Accepted: commands here have a patience of their own.
    #[arg(long)]
    timeout: Option<i64>,
}

pub fn run(tool: ConsumerGroups) -> Result<(), Failure> {
    if let Some(text) = &tool.validate_regex {
        return match Regex::new(text) {
            Ok(_) => {
                outln!("The regular expression `{text}` is valid.");
                Ok(())
            }
            Err(error) => {
                outln!("The regular expression `{text}` is invalid: {error}.");
                Ok(())
            }
        };
    }
    let actions = [
        tool.list,
        tool.describe,
        tool.delete,
        tool.reset_offsets,
        tool.delete_offsets,
    ];
    if actions.iter().filter(|wanted| **wanted).count() != 1 {
        return Err(Failure::usage(
            "exactly one of --list, --describe, --delete, --reset-offsets, --delete-offsets is needed",
        ));
    }
    with_client(&tool.connection.arguments()?, async |session| {
        let admin = session.client.admin();
        if tool.list {
            return list(&tool, &admin).await;
        }
        let groups = if tool.all_groups {
            let listed = admin.list_groups(&[], &[]).await?;
            listed.into_iter().map(|group| group.group_id).collect()
        } else {
            tool.group.clone()
        };
        if groups.is_empty() {
            return Err(Failure::usage("--group or --all-groups is needed"));
        }
        if tool.delete {
            return delete(&admin, &groups).await;
        }
        for group in &groups {
            if tool.describe {
                describe(&tool, &admin, group).await?;
            } else if tool.reset_offsets {
                reset(&tool, &admin, group).await?;
            } else {
                delete_offsets(&tool, &admin, group).await?;
            }
        }
        if tool.reset_offsets && tool.export {
            outln!(); // Kafka ends the lines of all groups with one more.
        }
        Ok(())
    })
}

async fn list(tool: &ConsumerGroups, admin: &Admin) -> Result<(), Failure> {
    let words = |text: &Option<String>| -> Vec<String> {
        let words = text.iter().flat_map(|text| text.split(','));
        let words = words.map(str::trim).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let (states, types) = (words(&tool.state), words(&tool.types));
    let states: Vec<&str> = states.iter().map(String::as_str).collect();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let groups = admin.list_groups(&states, &types).await?;
    if tool.state.is_none() && tool.types.is_none() {
        groups
            .iter()
            .for_each(|group| outln!("{}", printable(&group.group_id)));
        return Ok(());
    }
    let shown: Vec<_> = groups
        .iter()
        .map(|group| printable(&group.group_id))
        .collect();
    let width = width(shown.iter().map(String::as_str)) + 10;
    let line = |group: &str, kind: &str, state: &str| {
        let mut line = format!("{group:<width$} ");
        if tool.types.is_some() {
            line += &format!("{kind:<20}");
        }
        if tool.types.is_some() && tool.state.is_some() {
            line += " ";
        }
        if tool.state.is_some() {
            line += &format!("{state:<20}");
        }
        outln!("{line}");
    };
    line("GROUP", "TYPE", "STATE");
    for (group, id) in groups.iter().zip(&shown) {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        line(
            id,
            &capitalised(&text(&group.group_type)),
            &text(&group.state),
        );
    }
    Ok(())
}

async fn delete(admin: &Admin, groups: &[String]) -> Result<(), Failure> {
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let mut done = Vec::new();
    let mut outcome = Ok(());
    for (name, result) in admin.delete_groups(&names).await? {
        match result {
            Ok(()) => done.push(format!("'{name}'")),
            Err(error) => {
                let text = format!("Error: Deletion of some consumer groups failed: {name}");
                Failure::item(&text, &error).report();
                outcome = Err(Failure::reported());
            }
        }
    }
    if !done.is_empty() {
        let names = done.join(", ");
        outln!("Deletion of requested consumer groups ({names}) was successful.");
    }
    outcome
}

async fn describe(tool: &ConsumerGroups, admin: &Admin, name: &str) -> Result<(), Failure> {
    let described = admin.describe_groups(&[name]).await?.remove(name);
    let mut group = match described {
        Some(Ok(group)) if group.state != "Dead" => group,
        Some(Err(error)) if error.code != ottla_types::ErrorCode::GroupIdNotFound => {
            return Err(Failure::item(name, &error));
        }
        _ => return Err(Failure::failed(format!("Group {name} not found."))),
    };
    for member in &mut group.members {
        // They are only shown from here on, and their clients chose them.
        member.member_id = printable(&member.member_id);
        member.client_id = printable(&member.client_id);
    }
    if group.members.is_empty() {
        errln!("\nConsumer group '{name}' has no active members.");
    }
    if tool.state.is_some() {
        print_state(&group, tool.verbose);
    } else if tool.members {
        print_members(&group, tool.verbose);
    } else {
        print_offsets(&group, tool.verbose, admin).await?;
    }
    Ok(())
}

fn print_state(group: &GroupDescription, verbose: bool) {
    let at = &group.coordinator;
    let coordinator = format!("{}:{}  ({})", at.host, at.port, at.id);
    let strategy = if group.protocol.is_empty() {
        "-"
    } else {
        &group.protocol
    };
    // Only groups of KIP-848 have epochs.
    let epochs = |group: &str, target: &str| match verbose {
        true => format!("{group:<15} {target:<25} "),
        false => String::new(),
    };
    outln!(
        "\n{:<15} {:<25} {:<20} {:<20} {}#MEMBERS",
        "GROUP",
        "COORDINATOR (ID)",
        "ASSIGNMENT-STRATEGY",
        "STATE",
        epochs("GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH")
    );
    outln!(
        "{:<15} {coordinator:<25} {strategy:<20} {:<20} {}{}",
        group.group_id,
        group.state,
        epochs("-", "-"),
        group.members.len(),
    );
}

/// At least as wide as Kafka's columns.
fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(str::len).max().unwrap_or(0).max(15)
}

fn print_members(group: &GroupDescription, verbose: bool) {
    let of = |text: fn(&MemberDescription) -> &str| width(group.members.iter().map(text));
    let (ids, hosts) = (of(|m| &m.member_id), of(|m| &m.host));
    let clients = of(|m| &m.client_id);
    let groups = width(group.members.iter().map(|_| group.group_id.as_str()));
    let more = |epoch: &str, assigned: &str, target_epoch: &str, target: &str| match verbose {
        true => format!("{epoch:<15} {assigned:<20} {target_epoch:<15} {target:<20}"),
        false => String::new(),
    };
    outln!(
        "\n{:<groups$} {:<ids$} {:<hosts$} {:<clients$} {:<15} {}",
        "GROUP",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
        "#PARTITIONS",
        more(
            "CURRENT-EPOCH",
            "CURRENT-ASSIGNMENT",
            "TARGET-EPOCH",
            "TARGET-ASSIGNMENT"
        )
    );
    for member in &group.members {
        let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for key in &member.assignment {
            let numbers = topics.entry(&key.topic).or_default();
            numbers.push(key.partition.to_string());
        }
        let parts = topics
            .iter()
            .map(|(topic, numbers)| format!("{topic}:{}", numbers.join(",")));
        let assignment = parts.collect::<Vec<_>>().join(";");
        // Only groups of KIP-848 have epochs, and targets.
        outln!(
            "{:<groups$} {:<ids$} {:<hosts$} {:<clients$} {:<15} {}",
            group.group_id,
            member.member_id,
            member.host,
            member.client_id,
            member.assignment.len(),
            more("-", &assignment, "-", ""),
        );
    }
}

async fn print_offsets(
    group: &GroupDescription,
    verbose: bool,
    admin: &Admin,
) -> Result<(), Failure> {
    let committed = admin.group_offsets(&group.group_id).await?;
    let mut owners: BTreeMap<PartitionKey, Option<&MemberDescription>> =
        committed.keys().map(|key| (key.clone(), None)).collect();
    for member in &group.members {
        owners.extend(
            member
                .assignment
                .iter()
                .map(|key| (key.clone(), Some(member))),
        );
    }
    let ends = look_up(admin, owners.keys(), OffsetQuery::Latest).await?;
    let groups = width(std::iter::once(group.group_id.as_str()));
    let topics = width(owners.keys().map(|key| &*key.topic));
    let ids = width(group.members.iter().map(|member| member.member_id.as_str()));
    let hosts = width(group.members.iter().map(|member| member.host.as_str()));
    let more = |epoch: &str| match verbose {
        true => format!("{epoch:<15} "),
        false => String::new(),
    };
    outln!(
        "\n{:<groups$} {:<topics$} {:<10} {}{:<15} {:<15} {:<15} {:<ids$} {:<hosts$} CLIENT-ID",
        "GROUP",
        "TOPIC",
        "PARTITION",
        more("LEADER-EPOCH"),
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST"
    );
    for (key, owner) in &owners {
        let committed = committed.get(key);
        let epoch = committed.and_then(|committed| committed.leader_epoch);
        let epoch = epoch.map_or("-".to_owned(), |epoch| epoch.get().to_string());
        let at = committed.map(|committed| committed.offset.get());
        let end = ends.get(key).copied();
        let lag = at.zip(end).map(|(at, end)| end - at);
        let number = |value: Option<i64>| value.map_or("-".to_owned(), |v| v.to_string());
        let (id, host, client) = owner.map_or(("-", "-", "-"), |member| {
            (&member.member_id, &member.host, &member.client_id)
        });
        outln!(
            "{:<groups$} {:<topics$} {:<10} {}{:<15} {:<15} {:<15} {id:<ids$} {host:<hosts$} {client}",
            group.group_id,
            key.topic,
            key.partition,
            more(&epoch),
            number(at),
            number(end),
            number(lag),
        );
    }
    Ok(())
}

/// The partitions that --topic and --all-topics name.
async fn chosen(
    tool: &ConsumerGroups,
    admin: &Admin,
    committed: &BTreeMap<PartitionKey, CommittedOffset>,
) -> Result<Vec<PartitionKey>, Failure> {
    if tool.all_topics {
        return Ok(committed.keys().cloned().collect());
    }
    if tool.topic.is_empty() {
        return Err(Failure::usage("--topic or --all-topics is needed"));
    }
    let mut keys = Vec::new();
    for text in &tool.topic {
        match text.split_once(':') {
            None => keys.extend(partitions_of(admin, std::slice::from_ref(text)).await?),
            Some((topic, numbers)) => {
                for number in numbers.split(',') {
                    let number = number.parse().map_err(|_| {
                        Failure::usage(format!("--topic {text}: expected TOPIC or TOPIC:0,1"))
                    })?;
                    keys.push(PartitionKey::new(topic, number));
                }
            }
        }
    }
    Ok(keys)
}

async fn reset(tool: &ConsumerGroups, admin: &Admin, group: &str) -> Result<(), Failure> {
    let committed = admin.group_offsets(group).await?;
    let of_file = match &tool.from_file {
        Some(path) => read_offsets(path, group)?,
        None => BTreeMap::new(),
    };
    let keys = match tool.from_file {
        Some(_) => of_file.keys().cloned().collect(),
        None => chosen(tool, admin, &committed).await?,
    };
    let starts = look_up(admin, &keys, OffsetQuery::Earliest).await?;
    let ends = look_up(admin, &keys, OffsetQuery::Latest).await?;
    let at_time = match time_of(tool)? {
        Some(millis) => {
            let query = OffsetQuery::Time(Timestamp::from_millis(millis));
            look_up(admin, &keys, query).await?
        }
        None => BTreeMap::new(),
    };
    let mut plan = BTreeMap::new();
    for key in keys {
        let (Some(start), Some(end)) = (starts.get(&key), ends.get(&key)) else {
            return Err(Failure::failed(format!(
                "{key}: its offsets cannot be looked up"
            )));
        };
        let at = committed.get(&key).map(|committed| committed.offset.get());
        let to = if let Some(offset) = of_file.get(&key) {
            *offset
        } else if tool.to_earliest {
            *start
        } else if tool.to_latest {
            *end
        } else if tool.to_current {
            at.unwrap_or(*end)
        } else if let Some(offset) = tool.to_offset {
            offset
        } else if let Some(count) = tool.shift_by {
            at.ok_or_else(|| Failure::failed(format!("{key}: the group is nowhere yet")))? + count
        } else if tool.to_datetime.is_some() || tool.by_duration.is_some() {
            at_time.get(&key).copied().unwrap_or(*end)
        } else {
            return Err(Failure::usage(
                "--to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime, \
                 --by-duration or --from-file is needed",
            ));
        };
        let to = Offset::new(to.clamp(*start, *end));
        plan.insert(key, CommittedOffset::at(to));
    }
    if tool.execute {
        for (key, result) in admin.alter_group_offsets(group, &plan).await? {
            result.map_err(|error| Failure::item(&key.to_string(), &error))?;
        }
    }
    if tool.export {
        let has_many = 1 < tool.group.len() || tool.all_groups;
        for (key, to) in &plan {
            let group = if has_many {
                format!("{group},")
            } else {
                String::new()
            };
            outln!("{group}{},{},{}", key.topic, key.partition, to.offset);
        }
        return Ok(());
    }
    let groups = width(std::iter::once(group));
    let topics = width(plan.keys().map(|key| &*key.topic));
    outln!(
        "\n{:<groups$} {:<topics$} {:<10} NEW-OFFSET",
        "GROUP",
        "TOPIC",
        "PARTITION"
    );
    for (key, to) in &plan {
        outln!(
            "{group:<groups$} {:<topics$} {:<10} {}",
            key.topic,
            key.partition,
            to.offset
        );
    }
    Ok(())
}

/// The moment that --to-datetime and --by-duration name.
fn time_of(tool: &ConsumerGroups) -> Result<Option<i64>, Failure> {
    if let Some(text) = &tool.to_datetime {
        let millis = parse_millis(text, now_millis());
        let wrong = || Failure::usage(format!("--to-datetime {text}: not a time"));
        return millis.ok_or_else(wrong).map(Some);
    }
    if let Some(text) = &tool.by_duration {
        let millis = parse_iso_duration(text);
        let wrong = || Failure::usage(format!("--by-duration {text}: expected P7DT1H30M"));
        return millis
            .ok_or_else(wrong)
            .map(|millis| Some(now_millis() - millis));
    }
    Ok(None)
}

/// `P7D`, `PT1H30M`, `PT1.5S` in milliseconds.
fn parse_iso_duration(text: &str) -> Option<i64> {
    let text = text.strip_prefix('P')?;
    let (days, times) = text.split_once('T').unwrap_or((text, ""));
    let mut millis = 0.0;
    for (part, units) in [
        (days, &[('D', 86_400_000.0)][..]),
        (
            times,
            &[('H', 3_600_000.0), ('M', 60_000.0), ('S', 1_000.0)],
        ),
    ] {
        let mut rest = part;
        for (unit, size) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                millis += number.parse::<f64>().ok()? * size;
                rest = after;
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    (text.len() > 1).then_some(millis as i64)
}

/// The offsets of a group in a file of `topic,partition,offset` or `group,topic,partition,offset`.
fn read_offsets(path: &str, group: &str) -> Result<BTreeMap<PartitionKey, i64>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("{path}: {error}")))?;
    let mut offsets = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line
            .split(',')
            .map(|it| it.trim().trim_matches('"'))
            .collect();
        let words = match words.as_slice() {
            [""] => continue,
            [of, rest @ ..] if rest.len() == 3 && *of == group => rest,
            [_, _, _, _] => continue,
            words => words,
        };
        let parsed = match words {
            [topic, partition, offset] => partition
                .parse()
                .ok()
                .zip(offset.parse().ok())
                .map(|(partition, offset)| (PartitionKey::new(*topic, partition), offset)),
            _ => None,
        };
        let (key, offset) = parsed.ok_or_else(|| {
            Failure::usage(format!("{path}:{number}: expected topic,partition,offset"))
        })?;
        offsets.insert(key, offset);
    }
    Ok(offsets)
}

async fn delete_offsets(tool: &ConsumerGroups, admin: &Admin, group: &str) -> Result<(), Failure> {
    let keys = chosen(tool, admin, &admin.group_offsets(group).await?).await?;
    let results = admin.delete_group_offsets(group, &keys).await?;
    let has_failed = results.values().any(Result::is_err);
    match has_failed {
        false => outln!("Request succeeded for deleting offsets from group {group}."),
        true => {
            outln!("\nError: Encountered some partition-level error, see the follow-up details:")
        }
    }
    let topics = width(results.keys().map(|key| &*key.topic));
    outln!(
        "\n{:<topics$} {:<10} {:<15}",
        "TOPIC",
        "PARTITION",
        "STATUS"
    );
    for (key, result) in results {
        let status = match result {
            Ok(()) => "Successful".to_owned(),
            Err(error) => format!("Error: {error}"),
        };
        outln!("{:<topics$} {:<10} {status:<15}", key.topic, key.partition);
    }
    match has_failed {
        false => Ok(()),
        true => Err(Failure::reported()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_iso_duration;

    #[test]
    fn durations_are_iso_s() {
        for (text, millis) in [
            ("P7D", Some(604_800_000)),
            ("PT1H30M", Some(5_400_000)),
            ("P1DT1.5S", Some(86_401_500)),
            ("PT0S", Some(0)),
            ("P", None),
            ("7D", None),
            ("PT7D", None),
            ("PT1M1H", None),
        ] {
            assert_eq!(parse_iso_duration(text), millis, "{text}");
        }
    }
}
