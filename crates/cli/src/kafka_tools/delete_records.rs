use clap::Parser;
use ottla_client::PartitionKey;
use ottla_types::Offset;
use serde_json::Value;

use super::Connection;
use crate::failure::Failure;
use crate::session::with_client;

/// Delete the records before given offsets.
#[derive(Debug, Parser)]
#[command(name = "kafka-delete-records")]
pub struct DeleteRecords {
    #[command(flatten)]
    connection: Connection,
    /// A file {"partitions": [{"topic": "t", "partition": 0, "offset": 7}], "version": 1}; the
    /// offset -1 is the end.
    #[arg(long = "offset-json-file", value_name = "FILE")]
    file: String,
}

pub fn run(delete: DeleteRecords) -> Result<(), Failure> {
    let text = std::fs::read_to_string(&delete.file)
        .map_err(|error| Failure::failed(format!("{}: {error}", delete.file)))?;
    let offsets =
        parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", delete.file)))?;
    with_client(&delete.connection.arguments()?, async |session| {
        outln!("Executing records delete operation");
        let results = session.client.admin().delete_records(&offsets).await?;
        outln!("Records delete operation completed:");
        let mut outcome = Ok(());
        for (key, result) in results {
            let name = format!("{}-{}", key.topic, key.partition);
            match result {
                Ok(low) => outln!("partition: {name}\tlow_watermark: {low}"),
                Err(error) => {
                    outln!("partition: {name}\terror: {error}");
                    outcome = Err(Failure::reported());
                }
            }
        }
        outcome
    })
}

type Offsets = Vec<(PartitionKey, Option<Offset>)>;

fn parse(text: &str) -> Result<Offsets, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if json.get("version").is_some_and(|version| *version != 1) {
        return Err("only version 1 is known".to_owned());
    }
    let partitions = json.get("partitions").and_then(Value::as_array);
    let mut offsets = Offsets::new();
    for part in partitions.ok_or("there are no \"partitions\"")? {
        let wrong = || format!("{part}: expected topic, partition and offset");
        let topic = part["topic"].as_str().ok_or_else(wrong)?;
        let number = part["partition"]
            .as_i64()
            .and_then(|it| i32::try_from(it).ok());
        let key = PartitionKey::new(topic, number.ok_or_else(wrong)?);
        let offset = match part["offset"].as_i64().ok_or_else(wrong)? {
            -1 => None,
            offset => Some(Offset::from_wire(offset).ok_or_else(wrong)?),
        };
        if offsets.iter().any(|(other, _)| *other == key) {
            return Err(format!(
                "there are two offsets for {}-{}",
                key.topic, key.partition
            ));
        }
        offsets.push((key, offset));
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_s_file_is_read() {
        let part = r#"{"topic":"t","partition":1,"offset":-1}"#;
        let text = format!(r#"{{"partitions":[{part}],"version":1}}"#);
        assert_eq!(parse(&text), Ok(vec![(PartitionKey::new("t", 1), None)]));
        for wrong in [
            "{".to_owned(),
            "{}".to_owned(),
            format!(r#"{{"partitions":[{part},{part}]}}"#),
            r#"{"partitions":[{"topic":"t"}]}"#.to_owned(),
            r#"{"partitions":[],"version":2}"#.to_owned(),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }
}
