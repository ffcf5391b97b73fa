use clap::Args;
use ottla_client::{Admin, ConfigResource};

use crate::client_arguments::Format;
use crate::commands::config::{Changes, run_on};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct TopicConfig {
    /// Name of the topic.
    topic: String,
    #[command(flatten)]
    changes: Changes,
}

impl TopicConfig {
    pub fn check(&self) -> Result<(), Failure> {
        self.changes.check()
    }

    pub fn deed(&self) -> Option<String> {
        let resource = ConfigResource::Topic(self.topic.clone());
        self.changes.deed(&resource)
    }
}

pub async fn run(config: TopicConfig, admin: &Admin, format: Format) -> Result<(), Failure> {
    let resource = ConfigResource::Topic(config.topic);
    run_on(&resource, &config.changes, admin, format).await
}
