use std::io::Write;

use ottla_client::ConsumedRecord;
use serde_json::value::RawValue;

use crate::time_text::format_millis;

/// One record as a line of JSON. A value that is JSON stands there as it is; one that is text, as a
/// string; anything else as hexadecimal digits under `value_hex`.
pub fn write_json(
    record: &ConsumedRecord,
    meta_only: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    out.write_all(b"{\"topic\":")?;
    write_text(&record.partition.topic, out)?;
    let (partition, offset) = (record.partition.partition, record.offset.get());
    let time = format_millis(record.timestamp.as_millis());
    write!(
        out,
        ",\"partition\":{partition},\"offset\":{offset},\"ts\":\"{time}\""
    )?;
    if meta_only {
        let size = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(-1, |b| b.len() as i64);
        let (key, value) = (size(&record.key), size(&record.value));
        write!(out, ",\"key_bytes\":{key},\"value_bytes\":{value}")?;
    } else {
        write_bytes("key", record.key.as_deref(), Json::AsText, out)?;
        write_bytes("value", record.value.as_deref(), Json::AsItIs, out)?;
        write_headers(record, out)?;
    }
    out.write_all(b"}\n")
}

/// Whether bytes that are JSON stand there as JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Json {
    AsItIs,
    AsText,
}

fn write_bytes(
    name: &str,
    bytes: Option<&[u8]>,
    json: Json,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let Some(bytes) = bytes else {
        return write!(out, ",\"{name}\":null");
    };
    // One line per record: JSON that spans lines is shown as text.
    if json == Json::AsItIs
        && !bytes.contains(&b'\n')
        && let Ok(raw) = serde_json::from_slice::<&RawValue>(bytes)
    {
        return write!(out, ",\"{name}\":{}", raw.get());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            write!(out, ",\"{name}\":")?;
            write_text(text, out)
        }
        Err(_) => {
            write!(out, ",\"{name}_hex\":\"")?;
            for byte in bytes {
                write!(out, "{byte:02x}")?;
            }
            out.write_all(b"\"")
        }
    }
}

fn write_headers(record: &ConsumedRecord, out: &mut impl Write) -> std::io::Result<()> {
    if record.headers.is_empty() {
        return Ok(());
    }
    out.write_all(b",\"headers\":[")?;
    for (index, (name, value)) in record.headers.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(b"{\"name\":")?;
        write_text(&String::from_utf8_lossy(name), out)?;
        write_bytes("value", value.as_deref(), Json::AsText, out)?;
        out.write_all(b"}")?;
    }
    out.write_all(b"]")
}

fn write_text(text: &str, out: &mut impl Write) -> std::io::Result<()> {
    serde_json::to_writer(out, text).map_err(std::io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ottla_client::PartitionKey;
    use ottla_types::{Offset, Timestamp};

    fn record(key: Option<&[u8]>, value: Option<&[u8]>) -> ConsumedRecord {
        let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        ConsumedRecord {
            partition: PartitionKey::new("orders", 3),
            offset: Offset::new(7),
            timestamp: Timestamp::from_millis(0),
            timestamp_type: ottla_records::TimestampType::CreateTime,
            leader_epoch: None,
            codec: ottla_client::Codec::None,
            producer: None,
            is_transactional: false,
            key: key.map(copy),
            value: value.map(copy),
            headers: vec![(copy(b"h"), Some(copy(b"1")))],
        }
    }

    fn line(record: &ConsumedRecord, meta_only: bool) -> String {
        let mut out = Vec::new();
        write_json(record, meta_only, &mut out).unwrap();
        serde_json::from_slice::<serde_json::Value>(&out).expect("it is JSON");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_stays_json_text_becomes_a_string_and_bytes_become_digits() {
        let place = r#"{"topic":"orders","partition":3,"offset":7,"ts":"1970-01-01T00:00:00.000Z""#;
        let headers = r#""headers":[{"name":"h","value":"1"}]}"#;
        for (key, value, expected) in [
            (None, None, r#""key":null,"value":null"#),
            (
                Some(&b"1"[..]),
                Some(&br#"{"id":1.50}"#[..]),
                r#""key":"1","value":{"id":1.50}"#,
            ),
            (
                Some(b"a\"b"),
                Some(b"plain"),
                r#""key":"a\"b","value":"plain""#,
            ),
            (
                Some(b"\xff"),
                Some(b"\x00\xfe"),
                r#""key_hex":"ff","value_hex":"00fe""#,
            ),
            (None, Some(b"[1,\n2]"), r#""key":null,"value":"[1,\n2]""#),
        ] {
            let expected = format!("{place},{expected},{headers}\n");
            assert_eq!(line(&record(key, value), false), expected);
        }
        let meta = line(&record(None, Some(b"abc")), true);
        assert_eq!(
            meta,
            format!("{place},\"key_bytes\":-1,\"value_bytes\":3}}\n")
        );
    }
}
