//! Our encoding beside that of an independent library: every message and version that both know.
//!
//! A test binary of its own, so that the others do not link the library.

// The table and the samples of the main test binary.
#[path = "../it/all_messages.rs"]
mod all_messages;
#[path = "../it/recode.rs"]
#[expect(dead_code, reason = "the main test binary uses the rest")]
mod recode;
#[path = "../it/sample.rs"]
mod sample;
#[path = "../../../../xtask/src/codegen/schema.rs"]
#[expect(dead_code, reason = "some facts are of interest to the generator only")]
mod schema;
#[path = "../it/schemas.rs"]
mod schemas;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use ottla_types::Prng;

use all_messages::ALL_MESSAGES;
use recode::Entry;
use sample::{Fill, sample};

#[test]
fn messages_are_those_of_an_independent_library() {
    let schemas = schemas::schemas();
    let mut prng = Prng::new(2);
    let (mut compared, mut fields) = (0, 0);
    for entry in ALL_MESSAGES {
        let Some(key) = entry.api_key.and_then(|key| ApiKey::try_from(key).ok()) else {
            continue;
        };
        let message = &schemas[entry.name];
        let theirs = key.valid_versions();
        for version in message.versions.first..=message.versions.last {
            if version < theirs.min || theirs.max < version || is_refused_by_them(key, version) {
                continue;
            }
            for fill in [
                Fill::Full,
                Fill::Null,
                Fill::Default,
                Fill::Random,
                Fill::Random,
            ] {
                let bytes = sample(message, version, fill, &mut prng);
                fields += compare(entry, key, version, &bytes);
            }
            compared += 1;
        }
    }
    assert!(compared > 550, "only {compared} messages and versions");
    assert!(
        fields > 20_000,
        "only {fields} numbers and flags were compared by name"
    );
}

/// Versions that the library lists but cannot read: unstable in the Kafka it was made from.
fn is_refused_by_them(key: ApiKey, version: i16) -> bool {
    match key {
        ApiKey::InitProducerId => version == 6,
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => version == 10,
        ApiKey::ListOffsets => version == 11,
        _ => false,
    }
}

/// Has the library read `bytes` and write them again; returns how many fields were compared by name.
fn compare(entry: &Entry, key: ApiKey, version: i16, bytes: &[u8]) -> usize {
    let what = format!("{} v{version}", entry.name);
    let (text, written, left_over) = theirs(entry, key, version, bytes)
        .unwrap_or_else(|e| panic!("{what}: the library says {e}: {bytes:02x?}"));
    assert_eq!(
        left_over, 0,
        "{what}: the library leaves bytes over: {bytes:02x?}"
    );
    assert_eq!(written, bytes, "{what}: {text}");
    let ours = named_numbers(&(entry.show)(bytes, version));
    let theirs = named_numbers(&text);
    for (pair, count) in &theirs {
        // The library's schemas are older: it may lack fields, but it has none that we lack.
        let of_ours = ours.get(pair).copied().unwrap_or_default();
        assert!(
            *count <= of_ours,
            "{what}: {pair:?} {count} times, not {of_ours}: {text}"
        );
    }
    theirs.values().sum()
}

/// What the library makes of `bytes`: as text, as bytes again, and how many bytes it left over.
fn theirs(
    entry: &Entry,
    key: ApiKey,
    version: i16,
    bytes: &[u8],
) -> Result<(String, Vec<u8>, usize), Box<dyn std::error::Error>> {
    let mut input = Bytes::copy_from_slice(bytes);
    let mut output = BytesMut::new();
    let text = if entry.is_request {
        let request = RequestKind::decode(key, &mut input, version)?;
        request.encode(&mut output, version)?;
        format!("{request:?}")
    } else {
        let response = ResponseKind::decode(key, &mut input, version)?;
        response.encode(&mut output, version)?;
        format!("{response:?}")
    };
    Ok((text, output.to_vec(), input.len()))
}

/// Every `name: number` and `name: flag` of a debug text, with how often it occurs.
fn named_numbers(text: &str) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    for (at, _) in text.match_indices(": ") {
        let name = text[..at]
            .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
            .next();
        // `type_` and `r#type`, `enable2_pc` and `enable_2_pc` are the same.
        let mut name = name.unwrap_or_default().replace('_', "");
        // Renamed in TxnOffsetCommit since the library was made.
        if name == "generationidormemberepoch" {
            name = "generationid".to_owned();
        }
        // A newtype such as `BrokerId(7)` stands for what is in it.
        let mut value = &text[at + 2..];
        if let Some((newtype, inner)) = value.split_once('(')
            && newtype.chars().all(char::is_alphanumeric)
            && newtype != "Some"
        {
            value = inner;
        }
        let end = value.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '.');
        let value = &value[..end.unwrap_or(value.len())];
        let is_number = value.parse::<f64>().is_ok();
        if !name.is_empty() && (is_number || value == "true" || value == "false") {
            *found.entry((name, value.to_owned())).or_insert(0) += 1;
        }
    }
    found
}
