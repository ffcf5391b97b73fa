//! Clients: who is connected.

mod list;
mod node;

use clap::Subcommand;

use crate::client_arguments::ClientArguments;
use crate::failure::Failure;
use crate::session::with_client;

#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Show who is connected: software, address, traffic, groups.
    List(list::List),
}

pub fn run(command: ClientCommand, client: &ClientArguments) -> Result<(), Failure> {
    let format = client.format;
    with_client(client, async |session| {
        session.properties.report_rest();
        match command {
            ClientCommand::List(list) => list::run(list, &session.client.admin(), format).await,
        }
    })
}
