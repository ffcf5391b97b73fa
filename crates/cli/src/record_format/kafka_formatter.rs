use std::io::{self, Write};

use ottla_client::ConsumedRecord;
use ottla_records::TimestampType;

/// Records as Kafka's console consumer prints them (`DefaultMessageFormatter`).
#[derive(Clone, Debug)]
pub struct KafkaFormatter {
    columns: Vec<Column>,
    /// `key.separator`: between two columns.
    between: String,
    /// `line.separator`.
    end: String,
    /// `headers.separator`.
    between_headers: String,
    /// `null.literal`.
    null: String,
    key: Deserializer,
    value: Deserializer,
    headers: Deserializer,
}

/// What can be printed, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Timestamp,
    Partition,
    Offset,
    Delivery,
    Epoch,
    Headers,
    Key,
    Value,
}

const COLUMNS: [(Column, &str); 8] = [
    (Column::Timestamp, "print.timestamp"),
    (Column::Partition, "print.partition"),
    (Column::Offset, "print.offset"),
    (Column::Delivery, "print.delivery"),
    (Column::Epoch, "print.epoch"),
    (Column::Headers, "print.headers"),
    (Column::Key, "print.key"),
    (Column::Value, "print.value"),
];

/// How bytes become text: by the classes of Kafka that people name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deserializer {
    Bytes,
    Short,
    Integer,
    Long,
    Boolean,
}

impl KafkaFormatter {
    /// As `formatter-property`s say, of which the last one of a name counts; the error says what is wrong.
    pub fn new(properties: &[(String, String)]) -> Result<KafkaFormatter, String> {
        let property = |name: &str| {
            let values = properties.iter().filter(|(key, _)| key == name);
            values.map(|(_, value)| value.as_str()).next_back()
        };
        let or = |name: &str, default: &str| property(name).unwrap_or(default).to_owned();
        let is_printed = |column: Column, name: &str| match property(name) {
            Some(value) => value.trim().eq_ignore_ascii_case("true"),
            None => column == Column::Value,
        };
        let columns = COLUMNS
            .iter()
            .filter(|(column, name)| is_printed(*column, name));
        let deserializer =
            |name: &str| property(name).map_or(Ok(Deserializer::Bytes), Deserializer::of_class);
        Ok(KafkaFormatter {
            columns: columns.map(|(column, _)| *column).collect(),
            between: or("key.separator", "\t"),
            end: or("line.separator", "\n"),
            between_headers: or("headers.separator", ","),
            null: or("null.literal", "null"),
            key: deserializer("key.deserializer")?,
            value: deserializer("value.deserializer")?,
            headers: deserializer("headers.deserializer")?,
        })
    }

    /// One that prints nothing (`NoOpMessageFormatter`).
    pub fn silent() -> KafkaFormatter {
        let silent = KafkaFormatter::new(&[("print.value".to_owned(), "false".to_owned())]);
        silent.expect("no class is named")
    }

    /// Prints one record.
    pub fn write(&self, record: &ConsumedRecord, out: &mut impl Write) -> io::Result<()> {
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.write_all(self.between.as_bytes())?;
            }
            self.write_column(*column, record, out)?;
        }
        match self.columns.is_empty() {
            true => Ok(()),
            false => out.write_all(self.end.as_bytes()),
        }
    }

    fn write_column(
        &self,
        column: Column,
        record: &ConsumedRecord,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match column {
            Column::Timestamp => {
                let kind = match record.timestamp_type {
                    TimestampType::CreateTime => "CreateTime",
                    TimestampType::LogAppendTime => "LogAppendTime",
                };
                write!(out, "{kind}:{}", record.timestamp.as_millis())
            }
            Column::Partition => write!(out, "Partition:{}", record.partition.partition),
            Column::Offset => write!(out, "Offset:{}", record.offset.get()),
            Column::Delivery => out.write_all(b"Delivery:NOT_PRESENT"), // Only share groups count them.
            Column::Epoch => match record.leader_epoch {
                Some(epoch) => write!(out, "Epoch:{}", epoch.get()),
                None => out.write_all(b"Epoch:NOT_PRESENT"),
            },
            Column::Headers if record.headers.is_empty() => out.write_all(b"NO_HEADERS"),
            Column::Headers => {
                for (index, (name, value)) in record.headers.iter().enumerate() {
                    if index > 0 {
                        out.write_all(self.between_headers.as_bytes())?;
                    }
                    out.write_all(name)?;
                    out.write_all(b":")?;
                    self.write_bytes(value.as_deref(), self.headers, out)?;
                }
                Ok(())
            }
            Column::Key => self.write_bytes(record.key.as_deref(), self.key, out),
            Column::Value => self.write_bytes(record.value.as_deref(), self.value, out),
        }
    }

    fn write_bytes(
        &self,
        bytes: Option<&[u8]>,
        deserializer: Deserializer,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match bytes {
            None => out.write_all(self.null.as_bytes()),
            Some(bytes) => deserializer.write(bytes, out),
        }
    }
}

impl Deserializer {
    fn of_class(class: &str) -> Result<Deserializer, String> {
        let name = class.strip_prefix("org.apache.kafka.common.serialization.");
        Ok(match name {
            // Ids travel as text.
            Some("StringDeserializer" | "ByteArrayDeserializer" | "UUIDDeserializer") => {
                Deserializer::Bytes
            }
            Some("ShortDeserializer") => Deserializer::Short,
            Some("IntegerDeserializer") => Deserializer::Integer,
            Some("LongDeserializer") => Deserializer::Long,
            Some("BooleanDeserializer") => Deserializer::Boolean,
            _ => {
                return Err(format!(
                    "this binary has no class {class}: of org.apache.kafka.common.serialization it \
                     knows StringDeserializer, ByteArrayDeserializer, ShortDeserializer, \
                     IntegerDeserializer, LongDeserializer, BooleanDeserializer, UUIDDeserializer"
                ));
            }
        })
    }

    fn write(self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        let wrong = || {
            let (name, size) = (format!("{self:?}").to_lowercase(), bytes.len());
            let what = format!("{size} bytes are no {name}: name another deserializer");
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        match self {
            Deserializer::Bytes => out.write_all(bytes),
            Deserializer::Short => {
                let number = bytes.try_into().map_err(|_| wrong())?;
                write!(out, "{}", i16::from_be_bytes(number))
            }
            Deserializer::Integer => {
                let number = bytes.try_into().map_err(|_| wrong())?;
                write!(out, "{}", i32::from_be_bytes(number))
            }
            Deserializer::Long => {
                let number = bytes.try_into().map_err(|_| wrong())?;
                write!(out, "{}", i64::from_be_bytes(number))
            }
            Deserializer::Boolean => match bytes {
                [0] => out.write_all(b"false"),
                [1] => out.write_all(b"true"),
                _ => Err(wrong()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ottla_client::{Codec, PartitionKey};
    use ottla_types::{LeaderEpoch, Offset, Timestamp};

    fn record() -> ConsumedRecord {
        ConsumedRecord {
            partition: PartitionKey::new("orders", 3),
            offset: Offset::new(7),
            timestamp: Timestamp::from_millis(99),
            timestamp_type: TimestampType::CreateTime,
            leader_epoch: Some(LeaderEpoch::new(2)),
            codec: Codec::None,
            producer: None,
            is_transactional: false,
            key: Some(Bytes::from_static(b"\0\0\0\x05")),
            value: None,
            headers: Vec::new(),
        }
    }

    fn printed(properties: &[&str], record: &ConsumedRecord) -> io::Result<String> {
        let pairs = properties.iter().map(|text| {
            let (name, value) = text.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        let formatter = KafkaFormatter::new(&pairs.collect::<Vec<_>>()).unwrap();
        let mut out = Vec::new();
        formatter.write(record, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn columns_stand_in_kafka_s_order() {
        let mut record = record();
        let all = [
            "print.value=true",
            "print.key=true",
            "print.headers=true",
            "print.epoch=true",
            "print.delivery=true",
            "print.offset=true",
            "print.partition=true",
            "print.timestamp=true",
            "key.separator=|",
            "key.deserializer=org.apache.kafka.common.serialization.IntegerDeserializer",
        ];
        let expected =
            "CreateTime:99|Partition:3|Offset:7|Delivery:NOT_PRESENT|Epoch:2|NO_HEADERS|5|null\n";
        assert_eq!(printed(&all, &record).unwrap(), expected);
        record.headers = vec![
            (Bytes::from_static(b"a"), Some(Bytes::from_static(b"1"))),
            (Bytes::from_static(b"b"), None),
        ];
        record.timestamp_type = TimestampType::LogAppendTime;
        let some = [
            "print.headers=true",
            "print.timestamp=true",
            "null.literal=-",
            "line.separator=;",
        ];
        assert_eq!(
            printed(&some, &record).unwrap(),
            "LogAppendTime:99\ta:1,b:-\t-;"
        );
    }

    #[test]
    fn nothing_is_printed_if_nothing_is_asked_for() {
        let mut out = Vec::new();
        KafkaFormatter::silent().write(&record(), &mut out).unwrap();
        assert_eq!(out, b"");
    }

    #[test]
    fn bytes_that_are_not_of_the_class_are_refused() {
        let long = [
            "print.key=true",
            "key.deserializer=org.apache.kafka.common.serialization.LongDeserializer",
        ];
        let error = printed(&long, &record()).unwrap_err().to_string();
        assert_eq!(error, "4 bytes are no long: name another deserializer");
        let unknown = [(
            "value.deserializer".to_owned(),
            "com.example.Avro".to_owned(),
        )];
        assert!(KafkaFormatter::new(&unknown).is_err());
    }
}
