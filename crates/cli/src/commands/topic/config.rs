use clap::Args;
use ottla_client::{
    Admin, AlterConfigOp, ConfigChange, ConfigDescription, ConfigResource, ConfigSource,
};
use serde_json::json;

use crate::arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, print_json};

#[derive(Debug, Args)]
#[command(after_help = "\
Without changes, shows what is set for the topic; --all shows the defaults, too.
  ottla topic config orders set retention.ms=3600000 cleanup.policy=delete
  ottla topic config orders unset retention.ms")]
pub struct TopicConfig {
    /// Name of the topic.
    topic: String,
    /// `set KEY=VALUE…`, `unset KEY…`, `append KEY=VALUE…`, `subtract KEY=VALUE…`, in any order.
    #[arg(value_name = "CHANGE")]
    changes: Vec<String>,
    /// Show configurations that nobody has set as well.
    #[arg(short, long)]
    all: bool,
    /// Only say whether the changes would be accepted.
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(config: TopicConfig, admin: &Admin, format: Format) -> Result<(), Failure> {
    let resource = ConfigResource::Topic(config.topic.clone());
    let changes = parse_changes(&config.changes)?;
    if changes.is_empty() {
        let mut configs = admin.describe_configs(&resource).await?;
        configs.retain(|it| config.all || it.source == ConfigSource::Topic);
        print(&config.topic, &configs, format);
        return Ok(());
    }
    match config.dry_run {
        true => admin.validate_configs(&resource, &changes).await?,
        false => admin.alter_configs(&resource, &changes).await?,
    }
    let done = match config.dry_run {
        true => "would be changed",
        false => "is changed",
    };
    match format {
        Format::Json => {
            let names: Vec<&str> = changes.iter().map(|change| change.name.as_str()).collect();
            let content = json!({
                "topic": config.topic, "changed": names, "dry_run": config.dry_run,
            });
            print_json("topic.config", content);
        }
        Format::Text => {
            for change in &changes {
                println!("{}  {done}", change.name);
            }
        }
    }
    Ok(())
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
                "'{word}': expected set, unset, append or subtract before it"
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

fn print(topic: &str, configs: &[ConfigDescription], format: Format) {
    let source = |config: &ConfigDescription| match config.source {
        ConfigSource::Topic => "topic",
        ConfigSource::Broker => "broker",
        ConfigSource::ClusterDefault => "all brokers",
        ConfigSource::Static => "started with",
        ConfigSource::Default => "default",
        ConfigSource::BrokerLogger
        | ConfigSource::ClientMetrics
        | ConfigSource::Group
        | ConfigSource::Unknown => "other",
    };
    match format {
        Format::Json => {
            let rows: Vec<_> = configs
                .iter()
                .map(|it| json!({ "name": it.name, "value": it.value, "source": source(it) }))
                .collect();
            print_json("topic.config", json!({ "topic": topic, "configs": rows }));
        }
        Format::Text => {
            let mut table = Table::new(&["NAME", "VALUE", "FROM"]);
            for config in configs {
                let value = config.value.clone().unwrap_or_else(|| "-".to_owned());
                table.row(vec![config.name.clone(), value, source(config).to_owned()]);
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
}
