use clap::Args;
use ottla_client::Admin;
use serde_json::json;

use super::report_failures;
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::print_json;

#[derive(Debug, Args)]
pub struct AddPartitions {
    /// Name of the topic.
    topic: String,
    /// How many it shall have then.
    #[arg(long, value_name = "COUNT", visible_alias = "num")]
    to: i32,
}

impl AddPartitions {
    pub fn deed(&self) -> String {
        format!("give {} more partitions", self.topic)
    }
}

pub async fn run(add: AddPartitions, admin: &Admin, format: Format) -> Result<(), Failure> {
    let described = admin.describe_topics(&[add.topic.as_str()]).await?;
    let (topics, outcome) = report_failures(described, admin).await;
    outcome?;
    let before = topics
        .values()
        .map(|topic| topic.partitions.len())
        .sum::<usize>();
    admin.create_partitions(&add.topic, add.to).await?;
    // Said afterwards too: whoever reads a script's log should find it there.
    errln!(
        "note: keys of '{}' are spread over {} partitions from now on; records of a key from before stay \
         where they are, so their order across the change is lost",
        add.topic,
        add.to
    );
    let after = add.to;
    match format {
        Format::Json => print_json(
            "topic.add-partitions",
            json!({ "topic": add.topic, "before": before, "after": after }),
        ),
        Format::Text | Format::Wide => {
            outln!("{}  has {after} partitions, before {before}", add.topic)
        }
    }
    Ok(())
}
