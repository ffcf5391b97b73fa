//! Frames of real clients and of Apache Kafka: see `testdata/golden/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ottla_protocol::{ALL_API_KEYS, ApiKey, Reader, RequestHeader, ResponseHeader, Writer};
use ottla_types::Prng;

use crate::all_messages::ALL_MESSAGES;
use crate::recode::Entry;
use crate::sample::{Fill, sample};
use crate::schemas::schemas;

/// One line of a golden file.
struct Golden<'t> {
    is_request: bool,
    version: i16,
    client: &'t str,
    frame: Vec<u8>,
}

impl<'t> Golden<'t> {
    fn parse(line: &'t str) -> Option<Golden<'t>> {
        let mut words = line.split(' ');
        Some(Golden {
            is_request: words.next()? == "request",
            version: words.next()?.parse().ok()?,
            client: words.next()?,
            frame: bytes_of_hex(words.next()?)?,
        })
    }
}

/// The bytes that `text` spells.
pub fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    let spell = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(spell).collect()
}

/// What a client is known to send behind the end of the message.
fn trailing_bytes(entry: &Entry, golden: &Golden<'_>) -> &'static [u8] {
    match (entry.name, golden.client) {
        // librdkafka 2.x ends this request with the empty tagged fields twice; Kafka does not mind.
        ("AlterUserScramCredentialsRequest", "librdkafka") => &[0],
        _ => &[],
    }
}

/// Decodes the whole frame and encodes it again; panics where something is left over.
fn recode_frame(key: ApiKey, entry: &Entry, golden: &Golden<'_>) -> Vec<u8> {
    let what = format!("{} v{} of {}", entry.name, golden.version, golden.client);
    let mut r = Reader::new(&golden.frame);
    let mut w = Writer::new();
    if golden.is_request {
        let header = RequestHeader::decode(&mut r).expect("a real client's header");
        assert_eq!(
            (header.api_key, header.api_version),
            (key.number(), golden.version),
            "{what}"
        );
        header.encode(&mut w).expect("it came from the wire");
    } else {
        let header = ResponseHeader::decode(&mut r, key, golden.version).expect("Kafka's header");
        header.encode(&mut w, key, golden.version);
    }
    let recoded = (entry.recode)(r.rest(), golden.version)
        .unwrap_or_else(|e| panic!("{what}: {e}: {:02x?}", golden.frame));
    w.raw(&recoded.encoded.expect("it came from the wire"));
    let trailing = &r.rest()[r.remaining() - recoded.left_over..];
    assert_eq!(trailing, trailing_bytes(entry, golden), "{what}: left over");
    w.raw(trailing);
    w.into_buf()
}

#[test]
fn frames_of_real_clients_and_kafka_come_back_as_the_same_bytes() {
    let (apis, kinds) = recode_all("testdata/golden");
    println!("{apis} APIs, {kinds} kinds of client, version and direction");
    assert!(
        apis >= 79 && kinds >= 400,
        "{apis} APIs, {kinds} kinds are fewer than were captured"
    );
}

#[test]
fn frames_of_real_clients_and_ottla_come_back_as_the_same_bytes() {
    let (apis, kinds) = recode_all("testdata/golden/ottla");
    assert!(
        apis >= 15 && kinds >= 100,
        "{apis} APIs, {kinds} kinds are fewer than were captured"
    );
}

/// Recodes every frame in the golden files of `dir`; returns how many APIs, and how many kinds of client,
/// version and direction they are of.
fn recode_all(dir: &str) -> (usize, usize) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut seen: BTreeMap<&str, BTreeSet<(String, bool, i16)>> = BTreeMap::new();
    for key in ALL_API_KEYS {
        let entry = |is_request| {
            let of_api = |e: &&Entry| e.api_key == Some(key.number()) && e.is_request == is_request;
            ALL_MESSAGES
                .iter()
                .find(of_api)
                .expect("every API has a request and a response")
        };
        let stem = Path::new(entry(true).schema).with_extension("txt");
        let path = dir.join(stem.file_name().expect("a schema is a file"));
        // Not every API is spoken by a client that can be had.
        if !path.exists() {
            continue;
        }
        let text = fs::read_to_string(path).expect("golden files are text");
        for line in text.lines() {
            let golden = Golden::parse(line).unwrap_or_else(|| panic!("{key}: {line}"));
            let entry = entry(golden.is_request);
            let again = recode_frame(key, entry, &golden);
            assert_eq!(
                again, golden.frame,
                "{} v{}: {line}",
                entry.name, golden.version
            );
            let of_api = seen.entry(key.name()).or_default();
            of_api.insert((golden.client.to_owned(), golden.is_request, golden.version));
        }
    }
    (seen.len(), seen.values().map(BTreeSet::len).sum())
}

#[test]
fn kafkas_own_classes_write_these_bytes() {
    if let Ok(path) = std::env::var("OTTLA_SAMPLES_OUT") {
        fs::write(path, samples()).expect("the file that the variable names can be written");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/kafka/classes.txt");
    let text = fs::read_to_string(path).expect("the file is checked in");
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, version, hex] = words[..] else {
            panic!("three words: {line}")
        };
        let entry = ALL_MESSAGES
            .iter()
            .find(|e| e.name == name)
            .expect("Kafka's name");
        let version = version.parse().expect("a version is a number");
        let bytes = bytes_of_hex(hex).expect("hexadecimal digits");
        let recoded = (entry.recode)(&bytes, version).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(
            (recoded.left_over, recoded.encoded),
            (0, Ok(bytes)),
            "{line}"
        );
        seen.insert((name.to_owned(), version));
    }
    let all: BTreeSet<(String, i16)> = schemas()
        .values()
        .flat_map(|m| (m.versions.first..=m.versions.last).map(|v| (m.name.clone(), v)))
        .filter(|(name, _)| !NO_CLASS.contains(&name.as_str()))
        .collect();
    let missing: Vec<&(String, i16)> = all.difference(&seen).collect();
    assert!(
        missing.is_empty(),
        "Kafka's classes have not seen {missing:?}"
    );
}

/// Messages whose classes are in none of the broker's jars.
const NO_CLASS: &[&str] = &["SubscriptionInfoData"];

/// Two samples of every message and version: input for `capture/Recode.java`.
fn samples() -> String {
    let schemas = schemas();
    let mut prng = Prng::new(4);
    let mut text = String::new();
    for entry in ALL_MESSAGES {
        let message = &schemas[entry.name];
        for version in message.versions.first..=message.versions.last {
            for fill in [Fill::Full, Fill::Random] {
                let bytes = sample(message, version, fill, &mut prng);
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                text.push_str(&format!("{} {version} {hex}\n", entry.name));
            }
        }
    }
    text
}
