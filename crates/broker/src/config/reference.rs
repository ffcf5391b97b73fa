use super::definition::{Definition, Dynamic, Support, Visibility};
use super::live_settings::is_live;
use super::registry::{
    broker_definitions, client_metrics_definitions, group_definitions, topic_definitions,
};
use std::fmt::Write;

/// Every config as a page of Markdown: docs/config.md.
pub fn reference() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## Topics\n\n");
    table(&mut page, topic_definitions());
    page.push_str("\n## Brokers\n\n");
    table(&mut page, broker_definitions());
    page.push_str("\n## Groups\n\n");
    table(&mut page, group_definitions());
    page.push_str("\n## Client metrics\n\n");
    table(&mut page, client_metrics_definitions());
    page
}

const HEAD: &str = "\
# Configuration

Made from the tables in `crates/broker/src/config`; do not edit. Names, defaults and ranges are Kafka 4.4's; names that
start with `ottla.` are ours.

Sources, the later ones win: `-c FILE` (a `server.properties`, or TOML with the same names if it ends in `.toml`; several in
their order; without one `/etc/ottla/*.toml`, then `/mnt/shared/config/server.properties`), `KAFKA_…` and `OTTLA_…` variables of
the environment as in Kafka's container images (`…_FILE` names a file that holds the value), `--set key=value`; then what is set
while the broker runs.

*applied*: works. *no effect*: accepted, there is nothing here that it could change. *later*: accepted, belongs to a
feature of a later release. *refused*: other values than the default are refused until the feature exists.
";

fn table<'a>(page: &mut String, rows: impl Iterator<Item = &'a Definition>) {
    page.push_str("| name | default | here | changes | meaning |\n|---|---|---|---|---|\n");
    for row in rows.filter(|row| row.visibility == Visibility::Public) {
        let default = match row.default {
            None => "–".to_owned(),
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let here = match row.support {
            Support::Applied => "applied",
            Support::NoEffect => "no effect",
            Support::Later => "later",
            Support::Refused => "refused",
        };
        let changes = match row.dynamic {
            Dynamic::ReadOnly => "restart",
            Dynamic::PerBroker if row.support == Support::Applied && !is_live(row.name) => {
                "restart"
            }
            Dynamic::PerBroker => "per broker",
            Dynamic::ClusterWide => "running",
        };
        let meaning = row.doc.replace('|', "\\|");
        writeln!(
            page,
            "| `{}` | {default} | {here} | {changes} | {meaning} |",
            row.name
        )
        .expect("a string takes everything");
    }
}
