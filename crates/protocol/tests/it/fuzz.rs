//! Hostile bytes: whatever arrives, decoding gives a message or an error, and takes no more memory than
//! the bytes that arrived justify.
//!
//! `OTTLA_FUZZ_FRAMES` says how many frames (`cargo xtask soak protocol` sets it), `OTTLA_FUZZ_FIRST`
//! where to begin: every frame depends on its number alone, so a failure comes back by its number.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::env;

use ottla_protocol::messages::MetadataRequest;
use ottla_protocol::messages::metadata_request::MetadataRequestTopic;
use ottla_protocol::{
    ApiKey, DecodeErrorKind, Message as _, Reader, RequestHeader, ResponseHeader, Writer,
};
use ottla_types::Prng;

use crate::all_messages::ALL_MESSAGES;
use crate::recode::Entry;
use crate::sample::{Fill, sample};
use crate::schema::Message;
use crate::schemas::schemas;

const FRAMES: u64 = 200_000;

/// Bytes that decoding may take for each byte it is given: the reader's own limit, twice, because a list
/// that grows is there twice for a moment.
const MEMORY_PER_BYTE: u64 = 2 * 8;

/// Bytes that decoding may take however few it is given.
const MEMORY_AT_LEAST: u64 = 2 * 1024 * 1024;

/// Lengths and counts that have broken decoders: null and its neighbours, ends of the number ranges,
/// beyond every limit, varints that do not end.
const HOSTILE: &[&[u8]] = &[
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0x80, 0, 0, 0],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0, 0x0f, 0x42, 0x40],
    &[0, 0x0f, 0x42, 0x41],
    &[0, 0, 0, 0],
    &[0xff, 0xff],
    &[0x80, 0],
    &[0x7f, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0x1f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x80],
    &[0x80, 0x80, 0x80, 0x80, 0x00],
    &[0xc1, 0x84, 0x3d],
    &[0x91, 0x4e],
    &[0x00],
    &[0x01],
    &[0xff],
];

fn number(name: &str, otherwise: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => otherwise,
    }
}

/// Says which frame it was when a test panics.
struct Blame(u64);

impl Drop for Blame {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "frame {0}: run again with OTTLA_FUZZ_FIRST={0} OTTLA_FUZZ_FRAMES=1",
                self.0
            );
        }
    }
}

#[test]
fn hostile_frames_do_no_harm() {
    let schemas = schemas();
    let first = number("OTTLA_FUZZ_FIRST", 0);
    let frames = number("OTTLA_FUZZ_FRAMES", FRAMES);
    let (mut decoded, mut refused) = (0u64, 0u64);
    for index in first..first + frames {
        let _blame = Blame(index);
        let mut prng = Prng::new(index);
        let entry = prng.pick(ALL_MESSAGES);
        let version = version(&schemas[entry.name], &mut prng);
        let bytes = frame(entry, version, &schemas, &mut prng);
        match decode(entry, version, &bytes) {
            true => decoded += 1,
            false => refused += 1,
        }
    }
    println!("{decoded} frames decoded, {refused} refused");
    // Both ways must be walked for the test to mean anything.
    assert!(frames < FRAMES || frames / 10 < decoded.min(refused));
}

/// Mostly a version of the message.
fn version(message: &Message, prng: &mut Prng) -> i16 {
    if prng.chance(1, 50) {
        return prng.next_u64() as i16;
    }
    let versions = message.versions.first as u64..message.versions.last as u64 + 1;
    prng.range(versions.start, versions.end) as i16
}

/// The header and body of a message that is more or less broken.
fn frame(
    entry: &Entry,
    version: i16,
    schemas: &BTreeMap<String, Message>,
    prng: &mut Prng,
) -> Vec<u8> {
    let message = &schemas[entry.name];
    if prng.chance(1, 10) || !message.versions.contains(version) {
        let mut bytes = vec![0; prng.below(400) as usize];
        prng.fill(&mut bytes);
        return bytes;
    }
    let fill = *prng.pick(&[Fill::Full, Fill::Random, Fill::Null, Fill::Default]);
    let mut bytes = header(entry, version, prng);
    bytes.extend(sample(message, version, fill, prng));
    for _ in 0..prng.below(4) {
        mutate(&mut bytes, prng);
    }
    bytes
}

fn header(entry: &Entry, version: i16, prng: &mut Prng) -> Vec<u8> {
    let Some(key) = entry.api_key.and_then(ApiKey::from_i16) else {
        return Vec::new();
    };
    let mut w = Writer::new();
    let correlation_id = prng.next_u64() as i32;
    if entry.is_request {
        let header = RequestHeader {
            api_key: key.number(),
            api_version: version,
            correlation_id,
            client_id: *prng.pick(&[None, Some(""), Some("fuzz")]),
        };
        header.encode(&mut w).expect("the client id is short");
    } else {
        ResponseHeader { correlation_id }.encode(&mut w, key, version);
    }
    w.into_buf()
}

fn mutate(bytes: &mut Vec<u8>, prng: &mut Prng) {
    let at = prng.below(bytes.len() as u64 + 1) as usize;
    let end = (at + prng.below(16) as usize).min(bytes.len());
    match prng.below(7) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        3 if at < bytes.len() => bytes[at] ^= 1 << prng.below(8),
        4 if at < bytes.len() => bytes[at] = prng.next_u64() as u8,
        5 => {
            let hostile = prng.pick(HOSTILE);
            bytes.splice(at..at, hostile.iter().copied());
        }
        _ => {
            // Written over what is there: the fields behind it stay where they were.
            for (place, byte) in bytes[at..].iter_mut().zip(*prng.pick(HOSTILE)) {
                *place = *byte;
            }
        }
    }
}

/// Decodes header and body as a server or client would; false if that gives an error.
fn decode(entry: &Entry, version: i16, frame: &[u8]) -> bool {
    let mut r = Reader::new(frame);
    let key = entry.api_key.and_then(ApiKey::from_i16);
    let is_header_sound = match key {
        Some(_) if entry.is_request => RequestHeader::decode(&mut r).is_ok(),
        Some(key) => ResponseHeader::decode(&mut r, key, version).is_ok(),
        None => true,
    };
    is_header_sound && decode_body(entry, version, r.rest())
}

fn decode_body(entry: &Entry, version: i16, body: &[u8]) -> bool {
    let mut recoded = None;
    let memory = allocation_counter::measure(|| (entry.probe)(body, version));
    assert_memory(entry, version, body, memory.bytes_max);
    allocation_counter::opt_out(|| recoded = (entry.recode)(body, version).ok());
    let Some(recoded) = recoded else { return false };
    assert!(recoded.left_over <= body.len());
    // Whatever could be read can be written, and that is the canonical form of it.
    let canonical = recoded
        .encoded
        .expect("a message that was decoded can be encoded");
    let again = (entry.recode)(&canonical, version).expect("what was encoded can be decoded");
    assert_eq!(again.left_over, 0);
    assert_eq!(
        again.encoded.as_ref(),
        Ok(&canonical),
        "{} v{version}",
        entry.name
    );
    true
}

fn assert_memory(entry: &Entry, version: i16, body: &[u8], taken: u64) {
    let justified = MEMORY_AT_LEAST + MEMORY_PER_BYTE * body.len() as u64;
    assert!(
        taken <= justified,
        "{} v{version}: {} bytes make the decoder take {taken}: {:02x?}",
        entry.name,
        body.len(),
        &body[..body.len().min(200)]
    );
}

#[test]
fn many_small_elements_take_little_memory() {
    let schemas = schemas();
    for entry in ALL_MESSAGES {
        let message = &schemas[entry.name];
        for version in message.versions.first..=message.versions.last {
            let bytes = sample(message, version, Fill::Crowd, &mut Prng::new(3));
            let memory = allocation_counter::measure(|| (entry.probe)(&bytes, version));
            assert_memory(entry, version, &bytes, memory.bytes_max);
        }
    }
}

#[test]
fn many_ordinary_elements_are_welcome_and_many_empty_ones_are_not() {
    let request = |name: &str| {
        let topic = |_| MetadataRequestTopic {
            name: Some(Cow::Owned(name.to_owned())),
            ..Default::default()
        };
        let request = MetadataRequest {
            topics: Some((0..200_000).map(topic).collect()),
            ..Default::default()
        };
        let mut w = Writer::new();
        request
            .encode(&mut w, 9)
            .expect("a version with names only");
        let bytes = w.into_buf();
        MetadataRequest::decode(&mut Reader::new(&bytes), 9).map(|r| r.topics.map(|t| t.len()))
    };
    assert_eq!(request("a-topic"), Ok(Some(200_000)));
    assert_eq!(
        request("").map_err(|e| e.kind),
        Err(DecodeErrorKind::TooMuchMemory)
    );
}
