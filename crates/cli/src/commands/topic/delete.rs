use clap::Args;
use ottla_client::Admin;
use serde_json::json;

use super::report_failures;
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::print_json;

#[derive(Debug, Args)]
pub struct Delete {
    /// Names of the topics.
    #[arg(required = true)]
    topics: Vec<String>,
}

impl Delete {
    pub fn deed(&self) -> String {
        format!("delete {}", self.topics.join(", "))
    }
}

pub async fn run(delete: Delete, admin: &Admin, format: Format) -> Result<(), Failure> {
    let names: Vec<&str> = delete.topics.iter().map(String::as_str).collect();
    let (done, outcome) = report_failures(admin.delete_topics(&names).await?, admin).await;
    match format {
        Format::Json => {
            let names: Vec<&String> = done.keys().collect();
            print_json("topic.delete", json!({ "topics": names }));
        }
        Format::Text | Format::Wide => done.keys().for_each(|name| outln!("{name}  is deleted")),
    }
    outcome
}
