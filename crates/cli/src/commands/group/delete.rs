use clap::Args;
use ottla_client::Admin;
use serde_json::json;

use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::print_json;

#[derive(Debug, Args)]
pub struct Delete {
    /// Names of the groups.
    #[arg(required = true)]
    groups: Vec<String>,
}

impl Delete {
    pub fn deed(&self) -> String {
        format!("delete {}", self.groups.join(", "))
    }
}

pub async fn run(delete: Delete, admin: &Admin, format: Format) -> Result<(), Failure> {
    let names: Vec<&str> = delete.groups.iter().map(String::as_str).collect();
    let mut outcome = Ok(());
    let mut done = Vec::new();
    for (name, result) in admin.delete_groups(&names).await? {
        match result {
            Ok(()) => done.push(name),
            Err(error) => {
                Failure::item(&name, &error).report();
                outcome = Err(Failure::reported());
            }
        }
    }
    match format {
        Format::Json => print_json("group.delete", json!({ "groups": done })),
        Format::Text | Format::Wide => done.iter().for_each(|name| outln!("{name}  is deleted")),
    }
    outcome
}
