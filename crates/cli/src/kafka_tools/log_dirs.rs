use clap::Parser;
use serde_json::{Value, json};

use super::Connection;
use crate::failure::Failure;
use crate::session::with_client;

/// Show what lies in the brokers' log directories.
#[derive(Debug, Parser)]
#[command(name = "kafka-log-dirs")]
pub struct LogDirs {
    #[command(flatten)]
    connection: Connection,
    /// Show them; there is nothing else to do.
    #[arg(long, required = true)]
    describe: bool,
    /// Only these topics.
    #[arg(long = "topic-list", value_delimiter = ',', value_name = "TOPIC,…")]
    topics: Vec<String>,
    /// Only these brokers.
    #[arg(long = "broker-list", value_delimiter = ',', value_name = "ID,…")]
    brokers: Vec<i32>,
}

pub fn run(tool: LogDirs) -> Result<(), Failure> {
    with_client(&tool.connection.arguments()?, async |session| {
        outln!("Querying brokers for log directories information");
        let mut found = session.client.admin().describe_log_dirs().await?;
        let is_asked = |id: i32| tool.brokers.is_empty() || tool.brokers.contains(&id);
        let unknown = tool
            .brokers
            .iter()
            .find(|id| !found.keys().any(|it| it.get() == **id));
        if let Some(id) = unknown {
            return Err(Failure::failed(format!(
                "ERROR: The given brokers do not exist from --broker-list: {id}"
            )));
        }
        found.retain(|id, _| is_asked(id.get()));
        let mut brokers = Vec::new();
        for (id, dirs) in found {
            let mut rows = Vec::new();
            for dir in dirs? {
                let mut parts = dir.partitions;
                parts.retain(|part| {
                    let topic = &*part.partition.topic;
                    tool.topics.is_empty() || tool.topics.iter().any(|wanted| wanted == topic)
                });
                let parts = parts.iter().map(|part| {
                    let name = format!("{}-{}", part.partition.topic, part.partition.partition);
                    format!(
                        r#"{{"partition":{},"size":{},"offsetLag":{},"isFuture":{}}}"#,
                        json!(name),
                        part.size_bytes,
                        part.offset_lag,
                        part.is_future
                    )
                });
                let error = dir
                    .error
                    .map_or(Value::Null, |error| json!(error.to_string()));
                rows.push(format!(
                    r#"{{"partitions":[{}],"error":{error},"logDir":{}}}"#,
                    parts.collect::<Vec<_>>().join(","),
                    json!(dir.path)
                ));
            }
            let rows = rows.join(",");
            brokers.push((id, format!(r#"{{"broker":{id},"logDirs":[{rows}]}}"#)));
        }
        let ids: Vec<String> = brokers.iter().map(|(id, _)| id.to_string()).collect();
        outln!(
            "Received log directory information from brokers {}",
            ids.join(",")
        );
        // The order of the fields is Kafka's: some scripts look for texts and not for fields.
        let rows: Vec<&str> = brokers.iter().map(|(_, row)| row.as_str()).collect();
        outln!(r#"{{"brokers":[{}],"version":1}}"#, rows.join(","));
        Ok(())
    })
}
