//! Configurations of topics, brokers, groups and the cluster: show and change them, and say where
//! their values come from.

use clap::{Args, Subcommand};
use ottla_client::{
    Admin, AlterConfigOp, ConfigChange, ConfigDescription, ConfigResource, ConfigSource,
};
use ottla_types::BrokerId;
use serde_json::json;

use crate::client_arguments::{ClientArguments, Format};
use crate::failure::Failure;
use crate::output::{Table, print_json};
use crate::session::with_client;

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// What all brokers have in common.
    Cluster(#[command(flatten)] Changes),
    /// One broker.
    Broker {
        /// Its number.
        id: i32,
        #[command(flatten)]
        changes: Changes,
    },
    /// The log levels of one broker.
    Logger {
        /// The broker's number.
        id: i32,
        #[command(flatten)]
        changes: Changes,
    },
    /// A topic; the same as `ottla topic config`.
    Topic {
        /// Its name.
        name: String,
        #[command(flatten)]
        changes: Changes,
    },
    /// A group.
    Group {
        /// Its name.
        name: String,
        #[command(flatten)]
        changes: Changes,
    },
    /// A client metrics subscription.
    ClientMetrics {
        /// Its name.
        name: String,
        #[command(flatten)]
        changes: Changes,
    },
}

/// What to show or to change.
#[derive(Debug, Args)]
#[command(after_help = "\
Without changes, shows what is set just there; --all shows everything, get NAME… what decides about
NAME.
  ottla config cluster set log.retention.ms=3600000
  ottla topic config orders set retention.ms=3600000 unset cleanup.policy
  ottla topic config orders get retention.ms")]
pub struct Changes {
    /// `get NAME…`, or `set KEY=VALUE…`, `unset KEY…`, `append KEY=VALUE…`, `subtract KEY=VALUE…` in
    /// any order.
    #[arg(value_name = "CHANGE")]
    words: Vec<String>,
    /// Show configurations that nobody has set as well.
    #[arg(short, long)]
    all: bool,
    /// Only say whether the changes would be accepted.
    #[arg(long)]
    dry_run: bool,
}

impl Changes {
    /// Whether the words make sense, whatever the cluster says of them.
    pub fn check(&self) -> Result<(), Failure> {
        match self.words.first().is_some_and(|word| word == "get") {
            true => Ok(()),
            false => parse_changes(&self.words).map(drop),
        }
    }

    /// What changing these of `resource` does that cannot be undone: a shorter retention deletes records.
    pub fn deed(&self, resource: &ConfigResource) -> Option<String> {
        let reads = self.words.first().is_none_or(|word| word == "get");
        let (kind, name) = named(resource);
        let deed = || format!("change the configuration of {kind} {name}");
        (!reads && !self.dry_run).then(|| deed().trim_end().to_owned())
    }
}

pub fn run(command: ConfigCommand, client: &ClientArguments) -> Result<(), Failure> {
    let broker = |id: i32| {
        let id = BrokerId::from_wire(id);
        id.ok_or_else(|| Failure::usage("brokers have numbers from 0"))
    };
    let (resource, changes) = match command {
        ConfigCommand::Cluster(changes) => (ConfigResource::ClusterDefault, changes),
        ConfigCommand::Broker { id, changes } => (ConfigResource::Broker(broker(id)?), changes),
        ConfigCommand::Logger { id, changes } => {
            (ConfigResource::BrokerLogger(broker(id)?), changes)
        }
        ConfigCommand::Topic { name, changes } => (ConfigResource::Topic(name), changes),
        ConfigCommand::Group { name, changes } => (ConfigResource::Group(name), changes),
        ConfigCommand::ClientMetrics { name, changes } => {
            (ConfigResource::ClientMetrics(name), changes)
        }
    };
    changes.check()?;
    with_client(client, async |session| {
        session.properties.report_rest();
        if let Some(deed) = changes.deed(&resource) {
            session.protection.allow(&deed)?;
        }
        run_on(&resource, &changes, &session.client.admin(), client.format).await
    })
}

/// Shows or changes the configurations of one thing.
pub async fn run_on(
    resource: &ConfigResource,
    changes: &Changes,
    admin: &Admin,
    format: Format,
) -> Result<(), Failure> {
    if let Some(("get", names)) = changes
        .words
        .split_first()
        .map(|(w, rest)| (w.as_str(), rest))
    {
        return get(resource, names, admin, format).await;
    }
    let asked = parse_changes(&changes.words)?;
    if asked.is_empty() {
        let mut configs = admin.describe_configs(resource).await?;
        configs.retain(|it| changes.all || is_set(resource, it.source));
        print(resource, &configs, format);
        return Ok(());
    }
    match changes.dry_run {
        true => admin.validate_configs(resource, &asked).await?,
        false => admin.alter_configs(resource, &asked).await?,
    }
    match format {
        Format::Json => {
            let names: Vec<&str> = asked.iter().map(|change| change.name.as_str()).collect();
            let (kind, name) = named(resource);
            let content = json!({
                "resource": kind, "name": name, "changed": names, "dry_run": changes.dry_run,
            });
            print_json("config", content);
        }
        Format::Text | Format::Wide => {
            let done = match changes.dry_run {
                true => "would be changed",
                false => "is changed",
            };
            asked
                .iter()
                .for_each(|change| outln!("{}  {done}", change.name));
        }
    }
    Ok(())
}

/// What decides about each of these, and what it would fall back to.
async fn get(
    resource: &ConfigResource,
    names: &[String],
    admin: &Admin,
    format: Format,
) -> Result<(), Failure> {
    if names.is_empty() {
        return Err(Failure::usage("get: name configurations behind it"));
    }
    let configs = admin.describe_configs(resource).await?;
    let mut found = Vec::new();
    let mut outcome = Ok(());
    for name in names {
        match configs.iter().find(|config| config.name == *name) {
            Some(config) => found.push(config.clone()),
            None => {
                let known = configs.iter().map(|config| config.name.as_str());
                let hint = nearest(name, known).map(|near| format!("did you mean {near}?"));
                Failure::failed(format!("{name}: there is no such configuration"))
                    .with_hint(hint.as_deref())
                    .report();
                outcome = Err(Failure::reported());
            }
        }
    }
    if format == Format::Json {
        print(resource, &found, format);
        return outcome;
    }
    for config in &found {
        let value = config.value.as_deref().unwrap_or("(hidden)");
        outln!("{} = {value}   {}", config.name, source_name(config.source));
        for synonym in config.synonyms.iter().skip(1) {
            let value = synonym.value.as_deref().unwrap_or("(hidden)");
            let source = source_name(synonym.source);
            outln!("    before that: {} = {value}   {source}", synonym.name);
        }
    }
    outcome
}

/// The name that differs in the fewest letters, if they are few.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| {
        let other: Vec<char> = other.chars().collect();
        // One row of the table of edit distances at a time.
        let mut row: Vec<usize> = (0..=other.len()).collect();
        for (line, letter) in name.chars().enumerate() {
            let mut diagonal = row[0];
            row[0] = line + 1;
            for (column, wanted) in other.iter().enumerate() {
                let replaced = diagonal + usize::from(letter != *wanted);
                diagonal = row[column + 1];
                row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
            }
        }
        row[other.len()]
    };
    let (best, differs) = known
        .map(|other| (other, distance(other)))
        .min_by_key(|(_, differs)| *differs)?;
    (differs <= (name.chars().count() / 3).max(1)).then_some(best)
}

/// Words up to the next verb belong to the verb before them.
fn parse_changes(words: &[String]) -> Result<Vec<ConfigChange>, Failure> {
    let mut changes = Vec::new();
    let mut verb = None;
    for word in words {
        if let "set" | "unset" | "append" | "subtract" = word.as_str() {
            verb = Some(word.as_str());
            continue;
        }
        let Some(verb) = verb else {
            return Err(Failure::usage(format!(
                "'{word}': expected get, set, unset, append or subtract before it"
            )));
        };
        if verb == "unset" {
            changes.push(ConfigChange::delete(word));
            continue;
        }
        let Some((name, value)) = word.split_once('=') else {
            return Err(Failure::usage(format!("{verb} {word}: expected KEY=VALUE")));
        };
        let value = value.to_owned();
        changes.push(ConfigChange {
            name: name.to_owned(),
            op: match verb {
                "append" => AlterConfigOp::Append(value),
                "subtract" => AlterConfigOp::Subtract(value),
                _ => AlterConfigOp::Set(value),
            },
        });
    }
    if changes.is_empty() && verb.is_some() {
        return Err(Failure::usage("nothing is named behind the last word"));
    }
    Ok(changes)
}

/// Whether somebody has set it just there; what is set for a broker can come from its command line and
/// from what all brokers have in common, too.
fn is_set(resource: &ConfigResource, source: ConfigSource) -> bool {
    match resource {
        ConfigResource::Topic(_) => source == ConfigSource::Topic,
        ConfigResource::Broker(_) => source != ConfigSource::Default,
        ConfigResource::ClusterDefault => source == ConfigSource::ClusterDefault,
        ConfigResource::BrokerLogger(_) => source == ConfigSource::BrokerLogger,
        ConfigResource::ClientMetrics(_) => source == ConfigSource::ClientMetrics,
        ConfigResource::Group(_) => source == ConfigSource::Group,
    }
}

fn source_name(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "topic",
        ConfigSource::Broker => "broker",
        ConfigSource::ClusterDefault => "all brokers",
        ConfigSource::Static => "started with",
        ConfigSource::Default => "default",
        ConfigSource::BrokerLogger => "logger",
        ConfigSource::ClientMetrics => "client metrics",
        ConfigSource::Group => "group",
        ConfigSource::Unknown => "unknown",
    }
}

/// Kind and name.
fn named(resource: &ConfigResource) -> (&'static str, String) {
    match resource {
        ConfigResource::Topic(name) => ("topic", name.clone()),
        ConfigResource::Broker(id) => ("broker", id.to_string()),
        ConfigResource::ClusterDefault => ("cluster", String::new()),
        ConfigResource::BrokerLogger(id) => ("logger", id.to_string()),
        ConfigResource::ClientMetrics(name) => ("client-metrics", name.clone()),
        ConfigResource::Group(name) => ("group", name.clone()),
    }
}

fn print(resource: &ConfigResource, configs: &[ConfigDescription], format: Format) {
    match format {
        Format::Json => {
            let row = |it: &ConfigDescription| {
                let synonyms = it.synonyms.iter().map(|synonym| {
                    let source = source_name(synonym.source);
                    json!({ "name": synonym.name, "value": synonym.value, "source": source })
                });
                json!({
                    "name": it.name,
                    "value": it.value,
                    "source": source_name(it.source),
                    "read_only": it.is_read_only,
                    "sensitive": it.is_sensitive,
                    "synonyms": synonyms.collect::<Vec<_>>(),
                })
            };
            let rows: Vec<_> = configs.iter().map(row).collect();
            let (kind, name) = named(resource);
            print_json(
                "config",
                json!({ "resource": kind, "name": name, "configs": rows }),
            );
        }
        Format::Text | Format::Wide => {
            let mut table = Table::new(&["NAME", "VALUE", "FROM"]);
            for config in configs {
                let value = config.value.clone().unwrap_or_else(|| "-".to_owned());
                let source = source_name(config.source).to_owned();
                table.row(vec![config.name.clone(), value, source]);
            }
            table.print();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn changes_are_read_verb_by_verb() {
        let changes = parse_changes(&words(
            "set a=1 b= unset c append d=x=y subtract e=z set f=2",
        ));
        let named = |name: &str, op| ConfigChange {
            name: name.to_owned(),
            op,
        };
        let set = |value: &str| AlterConfigOp::Set(value.to_owned());
        assert_eq!(
            changes.unwrap(),
            [
                named("a", set("1")),
                named("b", set("")),
                named("c", AlterConfigOp::Delete),
                named("d", AlterConfigOp::Append("x=y".to_owned())),
                named("e", AlterConfigOp::Subtract("z".to_owned())),
                named("f", set("2")),
            ]
        );
        assert!(parse_changes(&[]).unwrap().is_empty());
        for wrong in ["a=1", "set", "set a", "unset"] {
            assert!(parse_changes(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_nearest_name_is_found_if_it_is_near() {
        let known = || ["retention.ms", "retention.bytes", "segment.ms"].into_iter();
        assert_eq!(nearest("retentoin.ms", known()), Some("retention.ms"));
        assert_eq!(nearest("segment", known()), None);
        assert_eq!(nearest("orders", ["order"].into_iter()), Some("order"));
        assert_eq!(nearest("x", [].into_iter()), None);
    }
}
