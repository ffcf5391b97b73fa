use clap::{Args, Parser};
use ottla_client::{Admin, AlterConfigOp, ConfigChange, ConfigResource, ConfigSource};
use ottla_types::BrokerId;

use super::Connection;
use crate::failure::Failure;
use crate::properties::read_file;
use crate::session::with_client;

/// Show and change configurations of topics, brokers, log levels, client metrics and groups.
#[derive(Debug, Parser)]
#[command(name = "kafka-configs")]
pub struct Configs {
    #[command(flatten)]
    connection: Connection,
    /// Show configurations.
    #[arg(long)]
    describe: bool,
    /// Change configurations.
    #[arg(long)]
    alter: bool,
    /// With --describe: those that nobody has set, too.
    #[arg(long)]
    all: bool,
    /// topics, brokers, broker-loggers, client-metrics or groups.
    #[arg(long = "entity-type", value_name = "TYPE")]
    entity_types: Vec<String>,
    /// Whose configurations.
    #[arg(long = "entity-name", value_name = "NAME")]
    entity_names: Vec<String>,
    /// What all brokers have in common.
    #[arg(long = "entity-default")]
    entity_default: bool,
    /// A topic.
    #[arg(long)]
    topic: Option<String>,
    /// A broker.
    #[arg(long)]
    broker: Option<String>,
    /// What all brokers have in common.
    #[arg(long = "broker-defaults")]
    broker_defaults: bool,
    /// The log levels of a broker.
    #[arg(long = "broker-logger")]
    broker_logger: Option<String>,
    /// A group.
    #[arg(long)]
    group: Option<String>,
    /// A client metrics subscription.
    #[arg(long = "client-metrics")]
    client_metrics: Option<String>,
    #[command(flatten)]
    not_yet: NotYet,
    /// Set: key=value,key=[a,b].
    #[arg(long = "add-config", value_name = "KEY=VALUE,…")]
    add: Option<String>,
    /// Set what a file of properties says.
    #[arg(long = "add-config-file", value_name = "FILE", conflicts_with = "add")]
    add_file: Option<String>,
    /// Let fall back to the default: key,key.
    #[arg(long = "delete-config", value_name = "KEY,…", value_delimiter = ',')]
    delete: Vec<String>,
    /// Accepted: nothing is asked.
    #[arg(long)]
    force: bool,
}

/// Whom quotas and credentials are for: Kafka's tool has flags for them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Not built yet: quotas and SCRAM credentials")]
struct NotYet {
    /// A user.
    #[arg(long)]
    user: Option<String>,
    /// All users.
    #[arg(long = "user-defaults")]
    user_defaults: bool,
    /// A client id.
    #[arg(long)]
    client: Option<String>,
    /// All client ids.
    #[arg(long = "client-defaults")]
    client_defaults: bool,
    /// An address.
    #[arg(long)]
    ip: Option<String>,
    /// All addresses.
    #[arg(long = "ip-defaults")]
    ip_defaults: bool,
}

impl NotYet {
    /// What cannot be configured, though it was asked for.
    fn asked(&self, types: &[String]) -> Option<&'static str> {
        let flags = [
            ("users", self.user.is_some() || self.user_defaults),
            ("clients", self.client.is_some() || self.client_defaults),
            ("ips", self.ip.is_some() || self.ip_defaults),
        ];
        let mut asked = flags
            .into_iter()
            .filter(|(kind, is_asked)| *is_asked || types.iter().any(|asked| asked == kind));
        asked.next().map(|(kind, _)| kind)
    }
}

/// What kind of thing is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntityType {
    Topics,
    Brokers,
    BrokerLoggers,
    ClientMetrics,
    Groups,
}

impl EntityType {
    const ALL: [EntityType; 5] = [
        EntityType::Topics,
        EntityType::Brokers,
        EntityType::BrokerLoggers,
        EntityType::ClientMetrics,
        EntityType::Groups,
    ];

    fn name(self) -> &'static str {
        match self {
            EntityType::Topics => "topics",
            EntityType::Brokers => "brokers",
            EntityType::BrokerLoggers => "broker-loggers",
            EntityType::ClientMetrics => "client-metrics",
            EntityType::Groups => "groups",
        }
    }

    /// Kafka cuts the last letter off.
    fn singular(self) -> &'static str {
        &self.name()[..self.name().len() - 1]
    }

    fn resource(self, name: &str) -> Result<ConfigResource, Failure> {
        let broker = || {
            let id = name.parse().ok().and_then(BrokerId::from_wire);
            id.ok_or_else(|| {
                Failure::usage(format!(
                    "The entity name for {} must be a valid integer broker id, but it is: {name}",
                    self.name()
                ))
            })
        };
        Ok(match self {
            EntityType::Topics => ConfigResource::Topic(name.to_owned()),
            EntityType::Brokers if name.is_empty() => ConfigResource::ClusterDefault,
            EntityType::Brokers => ConfigResource::Broker(broker()?),
            EntityType::BrokerLoggers => ConfigResource::BrokerLogger(broker()?),
            EntityType::ClientMetrics => ConfigResource::ClientMetrics(name.to_owned()),
            EntityType::Groups => ConfigResource::Group(name.to_owned()),
        })
    }

    /// The source that a value has that was set for just this entity.
    fn source(self, name: &str) -> ConfigSource {
        match self {
            EntityType::Topics => ConfigSource::Topic,
            EntityType::Brokers if name.is_empty() => ConfigSource::ClusterDefault,
            EntityType::Brokers => ConfigSource::Broker,
            EntityType::BrokerLoggers => ConfigSource::BrokerLogger,
            EntityType::ClientMetrics => ConfigSource::ClientMetrics,
            EntityType::Groups => ConfigSource::Group,
        }
    }
}

pub fn run(configs: Configs) -> Result<(), Failure> {
    if configs.describe == configs.alter {
        return Err(Failure::usage(
            "Command must include exactly one action: --describe, --alter",
        ));
    }
    let (entity, name) = entity(&configs)?;
    let changes = changes(&configs)?;
    with_client(&configs.connection.arguments()?, async |session| {
        let admin = session.client.admin();
        if configs.describe {
            return describe(entity, name, configs.all, &admin).await;
        }
        let Some(name) = name else {
            return Err(Failure::usage(
                "an entity name must be specified with --alter",
            ));
        };
        if changes.is_empty() {
            return Err(Failure::usage(
                "At least one of --add-config, --add-config-file, or --delete-config must be \
                 specified with --alter",
            ));
        }
        admin
            .alter_configs(&entity.resource(&name)?, &changes)
            .await?;
        match name.is_empty() {
            true => outln!(
                "Completed updating default config for {} in the cluster.",
                entity.name()
            ),
            false => outln!(
                "Completed updating config for {} {name}.",
                entity.singular()
            ),
        }
        Ok(())
    })
}

/// The kind and the name; an empty name is the default of all, `None` each there is.
fn entity(configs: &Configs) -> Result<(EntityType, Option<String>), Failure> {
    if let Some(kind) = configs.not_yet.asked(&configs.entity_types) {
        let what = match kind {
            "users" => "quotas and SCRAM credentials",
            _ => "quotas",
        };
        return Err(Failure::failed(format!(
            "{kind} cannot be configured: {what} are not built yet"
        )));
    }
    let short = [
        (EntityType::Topics, &configs.topic),
        (EntityType::Brokers, &configs.broker),
        (EntityType::BrokerLoggers, &configs.broker_logger),
        (EntityType::ClientMetrics, &configs.client_metrics),
        (EntityType::Groups, &configs.group),
    ];
    let mut named: Vec<(EntityType, Option<String>)> = short
        .into_iter()
        .filter_map(|(entity, name)| Some((entity, Some(name.clone()?))))
        .collect();
    if configs.broker_defaults {
        named.push((EntityType::Brokers, Some(String::new())));
    }
    for (index, text) in configs.entity_types.iter().enumerate() {
        let known = EntityType::ALL.into_iter().find(|it| it.name() == text);
        let entity = known.ok_or_else(|| Failure::usage(format!("Invalid entity type {text}")))?;
        let default = configs.entity_default.then(String::new);
        named.push((entity, configs.entity_names.get(index).cloned().or(default)));
    }
    match <[_; 1]>::try_from(named) {
        Ok([one]) => Ok(one),
        Err(_) => Err(Failure::usage(
            "exactly one entity must be named: --topic, --broker, --broker-defaults, \
             --broker-logger, --client-metrics, --group or --entity-type",
        )),
    }
}

fn changes(configs: &Configs) -> Result<Vec<ConfigChange>, Failure> {
    let mut changes = Vec::new();
    for text in configs.add.as_deref().map(split).unwrap_or_default() {
        let pair = text.split_once('=');
        let (name, value) =
            pair.ok_or_else(|| Failure::usage(format!("--add-config {text}: expected key=value")))?;
        // Brackets keep the commas of a list together.
        let inner = value.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        changes.push(ConfigChange::set(
            name.trim(),
            inner.unwrap_or(value).trim(),
        ));
    }
    if let Some(path) = &configs.add_file {
        for text in read_file(path.as_ref())? {
            let (name, value) = text.split_once('=').unwrap_or((&text, ""));
            changes.push(ConfigChange::set(name.trim(), value.trim()));
        }
    }
    let deletions = configs.delete.iter().map(|name| ConfigChange {
        name: name.trim().to_owned(),
        op: AlterConfigOp::Delete,
    });
    changes.extend(deletions);
    Ok(changes)
}

/// At the commas that are not within brackets.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0);
    for (index, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

async fn describe(
    entity: EntityType,
    name: Option<String>,
    all: bool,
    admin: &Admin,
) -> Result<(), Failure> {
    let known = known(entity, admin).await?;
    let names = match name {
        Some(name) if !all && !known.contains(&name) => {
            outln!(
                "The {} '{name}' doesn't exist and doesn't have dynamic config.",
                entity.singular()
            );
            return Ok(());
        }
        Some(name) => vec![name],
        None => known,
    };
    for name in names {
        match (name.is_empty(), all) {
            (true, _) => outln!("Default configs for {} in the cluster are:", entity.name()),
            (false, true) => outln!("All configs for {} {name} are:", entity.singular()),
            (false, false) => outln!("Dynamic configs for {} {name} are:", entity.singular()),
        }
        let mut configs = admin.describe_configs(&entity.resource(&name)?).await?;
        configs.retain(|config| all || config.source == entity.source(&name));
        for config in configs {
            let text = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
            let synonyms = config
                .synonyms
                .into_iter()
                .map(|it| format!("{}:{}={}", source_name(it.source), it.name, text(it.value)));
            outln!(
                "  {}={} sensitive={} synonyms={{{}}}",
                config.name,
                text(config.value),
                config.is_sensitive,
                synonyms.collect::<Vec<_>>().join(", "),
            );
        }
    }
    Ok(())
}

/// Those there are; the empty name is the default of all.
async fn known(entity: EntityType, admin: &Admin) -> Result<Vec<String>, Failure> {
    Ok(match entity {
        EntityType::Topics => admin.list_topics().await?,
        EntityType::Brokers | EntityType::BrokerLoggers => {
            let brokers = admin.describe_cluster().await?.brokers;
            let mut names: Vec<String> = brokers.iter().map(|it| it.id.to_string()).collect();
            names.extend((entity == EntityType::Brokers).then(String::new));
            names
        }
        EntityType::ClientMetrics => admin.client_metrics_subscriptions().await?,
        EntityType::Groups => {
            let mut names = admin.configured_groups().await?;
            let groups = admin.list_groups(&[], &[]).await?;
            names.extend(groups.into_iter().map(|group| group.group_id));
            names.sort();
            names.dedup();
            names
        }
    })
}

fn source_name(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::Broker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::ClusterDefault => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::Static => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        ConfigSource::BrokerLogger => "DYNAMIC_BROKER_LOGGER_CONFIG",
        ConfigSource::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
        ConfigSource::Group => "DYNAMIC_GROUP_CONFIG",
        ConfigSource::Unknown => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_within_brackets_part_nothing() {
        assert_eq!(split("a=1,b=[x,y],c="), ["a=1", "b=[x,y]", "c="]);
        assert!(split(" ").is_empty());
    }
}
