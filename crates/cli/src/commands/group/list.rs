use clap::Args;
use ottla_client::Admin;
use serde_json::json;

use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, print_json};

#[derive(Debug, Args)]
pub struct List {
    /// Only groups in these states: Stable, Empty, PreparingRebalance, CompletingRebalance, Dead.
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',')]
    states: Vec<String>,
    /// Only groups of these types: classic, consumer, share, streams.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
}

pub async fn run(list: List, admin: &Admin, format: Format) -> Result<(), Failure> {
    let states: Vec<&str> = list.states.iter().map(String::as_str).collect();
    let types: Vec<&str> = list.types.iter().map(String::as_str).collect();
    let groups = admin.list_groups(&states, &types).await?;
    match format {
        Format::Json => {
            let rows: Vec<_> = groups
                .iter()
                .map(|group| {
                    json!({
                        "group": group.group_id,
                        "type": group.group_type,
                        "protocol_type": group.protocol_type,
                        "state": group.state,
                    })
                })
                .collect();
            print_json("group.list", json!({ "groups": rows }));
        }
        Format::Text | Format::Wide => {
            let mut table = Table::new(&["GROUP", "TYPE", "PROTOCOL", "STATE"]);
            for group in groups {
                let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                let protocol = Some(group.protocol_type).filter(|text| !text.is_empty());
                table.row(vec![
                    group.group_id,
                    known(group.group_type),
                    known(protocol),
                    known(group.state),
                ]);
            }
            table.print();
        }
    }
    Ok(())
}
