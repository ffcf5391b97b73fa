use std::io::{self, Write};

use ottla_client::{Codec, ConsumedRecord, PartitionProgress};
use ottla_records::TimestampType;
use ottla_types::Offset;

use super::kafka_formatter::KafkaFormatter;
use super::kcat;
use super::syntax::{self, BytesField, NumberField, Piece};

/// How records are printed.
#[derive(Clone, Debug)]
pub enum OutputFormat {
    /// As a format says.
    Pieces(Vec<Piece>),
    /// As Kafka's console consumer prints them.
    Kafka(KafkaFormatter),
}

/// A record and what is known around it.
#[derive(Clone, Copy, Debug)]
pub struct Printed<'a> {
    /// The record.
    pub record: &'a ConsumedRecord,
    /// Which one of those that are printed, from 1.
    pub number: u64,
    /// Where its partition's log begins and ends.
    pub progress: Option<&'a PartitionProgress>,
}

impl OutputFormat {
    /// Reads a format; the error says what is wrong.
    pub fn parse(text: &str) -> Result<OutputFormat, String> {
        syntax::parse(text).map(OutputFormat::Pieces)
    }

    /// Reads a format in kcat's language.
    pub fn parse_kcat(text: &str) -> Result<OutputFormat, String> {
        kcat::parse(text).map(OutputFormat::Pieces)
    }

    /// Whether where the log begins and ends is printed.
    pub fn shows_progress(&self) -> bool {
        let OutputFormat::Pieces(pieces) = self else {
            return false;
        };
        pieces.iter().any(|piece| {
            matches!(
                piece,
                Piece::Number(
                    NumberField::LogStartOffset
                        | NumberField::LastStableOffset
                        | NumberField::HighWatermark,
                    _
                )
            )
        })
    }

    /// Prints one record.
    pub fn write(&self, printed: &Printed<'_>, out: &mut impl Write) -> io::Result<()> {
        let record = printed.record;
        match self {
            OutputFormat::Kafka(formatter) => formatter.write(record, out),
            OutputFormat::Pieces(pieces) => {
                let subject = Subject {
                    printed,
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                };
                subject.write(pieces, out)
            }
        }
    }
}

/// A record or a header of it.
struct Subject<'a> {
    printed: &'a Printed<'a>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl Subject<'_> {
    fn write(&self, pieces: &[Piece], out: &mut impl Write) -> io::Result<()> {
        let record = self.printed.record;
        for piece in pieces {
            match piece {
                Piece::Literal(text) => out.write_all(text)?,
                Piece::Number(field, form) => form.write(self.number(*field), out)?,
                Piece::Bytes(field, form) => {
                    let bytes = match field {
                        BytesField::Topic => Some(record.partition.topic.as_bytes()),
                        BytesField::Key => self.key,
                        BytesField::Value => self.value,
                    };
                    form.write(bytes, out)?;
                }
                Piece::Time(form) => form.write(record.timestamp.as_millis(), out)?,
                Piece::CodecName => out.write_all(record.codec.name().as_bytes())?,
                Piece::Headers(pieces) => {
                    for (name, value) in &record.headers {
                        let header = Subject {
                            printed: self.printed,
                            key: Some(name),
                            value: value.as_deref(),
                        };
                        header.write(pieces, out)?;
                    }
                }
                Piece::HeaderList => write_header_list(record, out)?,
            }
        }
        Ok(())
    }

    fn number(&self, field: NumberField) -> i64 {
        let record = self.printed.record;
        let size = |bytes: Option<&[u8]>| bytes.map(|bytes| bytes.len() as i64);
        let place = |offset: Option<Offset>| offset.map_or(-1, Offset::get);
        let progress = self.printed.progress;
        match field {
            NumberField::Partition => record.partition.partition.into(),
            NumberField::Offset => record.offset.get(),
            NumberField::LeaderEpoch => record.leader_epoch.map_or(-1, |epoch| epoch.get().into()),
            NumberField::TopicSize => record.partition.topic.len() as i64,
            NumberField::KeySize => size(self.key).unwrap_or(0),
            NumberField::ValueSize => size(self.value).unwrap_or(0),
            NumberField::KeySizeOrNull => size(self.key).unwrap_or(-1),
            NumberField::ValueSizeOrNull => size(self.value).unwrap_or(-1),
            NumberField::HeaderCount => record.headers.len() as i64,
            NumberField::ProducerId => record.producer.map_or(-1, |(id, _)| id.get()),
            NumberField::ProducerEpoch => {
                record.producer.map_or(-1, |(_, epoch)| epoch.get().into())
            }
            NumberField::Count => self.printed.number as i64,
            NumberField::LogStartOffset => place(progress.and_then(|known| known.log_start_offset)),
            NumberField::LastStableOffset => {
                place(progress.and_then(|known| known.last_stable_offset))
            }
            NumberField::HighWatermark => place(progress.and_then(|known| known.high_watermark)),
            NumberField::Codec => codec_number(record.codec),
            NumberField::TimestampType => match record.timestamp_type {
                TimestampType::CreateTime => 0,
                TimestampType::LogAppendTime => 1,
            },
            NumberField::IsTransactional => record.is_transactional.into(),
            NumberField::IsControl => 0, // Applications do not get control records.
        }
    }
}

/// As the attributes of a batch have it.
fn codec_number(codec: Codec) -> i64 {
    match codec {
        Codec::None => 0,
        Codec::Gzip => 1,
        Codec::Snappy => 2,
        Codec::Lz4 => 3,
        Codec::Zstd => 4,
    }
}

fn write_header_list(record: &ConsumedRecord, out: &mut impl Write) -> io::Result<()> {
    for (index, (name, value)) in record.headers.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(name)?;
        out.write_all(b"=")?;
        out.write_all(value.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ottla_client::PartitionKey;
    use ottla_types::{ProducerEpoch, ProducerId, Timestamp};

    fn written(format: Result<OutputFormat, String>) -> String {
        let record = ConsumedRecord {
            partition: PartitionKey::new("orders", 3),
            offset: Offset::new(7),
            timestamp: Timestamp::from_millis(0),
            timestamp_type: TimestampType::LogAppendTime,
            leader_epoch: None,
            codec: Codec::Lz4,
            producer: Some((ProducerId::new(4000), ProducerEpoch::new(2))),
            is_transactional: true,
            key: Some(Bytes::from_static(b"k1")),
            value: None,
            headers: vec![
                (Bytes::from_static(b"a"), Some(Bytes::from_static(b"\x01"))),
                (Bytes::from_static(b"b"), None),
            ],
        };
        let progress = PartitionProgress {
            position: None,
            log_start_offset: Some(Offset::new(5)),
            high_watermark: Some(Offset::new(9)),
            last_stable_offset: Some(Offset::new(8)),
        };
        let printed = Printed {
            record: &record,
            number: 12,
            progress: Some(&progress),
        };
        let mut out = Vec::new();
        format.unwrap().write(&printed, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_field_is_printed() {
        for (format, expected) in [
            ("%t[%p]@%o %i %e", "orders[3]@7 12 -1"),
            ("%[-%|-%]", "5-8-9"),
            ("%T %K %V %H", "6 2 0 2"),
            ("%k{hex}:%v{json}:%v", "6b31:null:"),
            ("%h{<%k=%v{hex},%V>}", "<a=01,1><b=,0>"),
            ("%h", "a=\u{1},b="),
            (
                "%x/%y %a{compression} %a{compression;hex8}",
                "4000/2 lz4 03",
            ),
            (
                "%a{timestamp-type} %a{transactional-bit;bool} %a{control-bit}",
                "1 true 0",
            ),
            (
                "%d %d{strftime[%F]} %D",
                "0 1970-01-01 1970-01-01T00:00:00.000Z",
            ),
        ] {
            assert_eq!(written(OutputFormat::parse(format)), expected, "{format}");
        }
    }

    #[test]
    fn kcat_s_language_has_other_letters() {
        let format = "%t/%p/%o %k(%K)=%s(%S) %T %h%%\\n";
        let expected = "orders/3/7 k1(2)=(-1) 0 a=\u{1},b=%\n";
        assert_eq!(written(OutputFormat::parse_kcat(format)), expected);
        for wrong in ["%v", "%", "\\q"] {
            assert!(OutputFormat::parse_kcat(wrong).is_err(), "{wrong}");
        }
    }
}
