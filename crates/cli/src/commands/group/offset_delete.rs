use clap::Args;
use ottla_client::{Admin, PartitionKey};
use serde_json::json;

use super::partitions_of;
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::print_json;

#[derive(Debug, Args)]
pub struct OffsetDelete {
    /// Name of the group.
    group: String,
    /// A topic, or partitions of it behind a colon; may be given several times.
    #[arg(
        short = 't',
        long = "topic",
        required = true,
        value_name = "TOPIC[:P,P]"
    )]
    topics: Vec<String>,
}

impl OffsetDelete {
    pub fn deed(&self) -> String {
        format!("delete offsets of {}", self.group)
    }
}

pub async fn run(delete: OffsetDelete, admin: &Admin, format: Format) -> Result<(), Failure> {
    let mut keys = Vec::new();
    for text in &delete.topics {
        match text.split_once(':') {
            None => keys.extend(partitions_of(admin, std::slice::from_ref(text)).await?),
            Some((topic, partitions)) => {
                for partition in partitions.split(',') {
                    let partition = partition.parse().map_err(|_| {
                        Failure::usage(format!("-t {text}: expected TOPIC or TOPIC:0,1"))
                    })?;
                    keys.push(PartitionKey::new(topic, partition));
                }
            }
        }
    }
    let mut outcome = Ok(());
    let mut done = Vec::new();
    for (key, result) in admin.delete_group_offsets(&delete.group, &keys).await? {
        match result {
            Ok(()) => done.push(key),
            Err(error) => {
                Failure::item(&key.to_string(), &error).report();
                outcome = Err(Failure::reported());
            }
        }
    }
    match format {
        Format::Json => {
            let rows: Vec<_> = done
                .iter()
                .map(|key| json!({ "topic": &*key.topic, "partition": key.partition }))
                .collect();
            print_json(
                "group.offset-delete",
                json!({ "group": delete.group, "partitions": rows }),
            );
        }
        Format::Text | Format::Wide => done.iter().for_each(|key| outln!("{key}  is forgotten")),
    }
    outcome
}
