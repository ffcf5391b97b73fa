//! Batches that other clients and Kafka itself have written: testdata/batches/README.md.

use ottla_records::{
    BatchBuilder, BatchView, Codec, Compressor, ControlRecord, Decompressor, Header, ProduceRules,
    batches, stamp, validate_produce,
};
use ottla_types::{LeaderEpoch, Offset};
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/batches")
}

/// Client, codec and bytes of each file with the five records.
fn files() -> Vec<(String, Codec, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory()).expect("testdata is there") {
        let path = entry.expect("testdata is readable").path();
        let name = path
            .file_stem()
            .expect("a file has a name")
            .to_string_lossy()
            .into_owned();
        if let Some((client, codec)) = name.rsplit_once('_')
            && let Some(codec) = Codec::from_name(codec)
        {
            files.push((
                client.to_owned(),
                codec,
                std::fs::read(path).expect("testdata is readable"),
            ));
        }
    }
    files.sort();
    files
}

fn value(number: usize) -> String {
    format!("value-{number}-{}", "abc".repeat(40))
}

#[test]
fn every_client_and_codec_is_read() {
    let files = files();
    let clients: std::collections::BTreeSet<&str> =
        files.iter().map(|(client, ..)| client.as_str()).collect();
    assert_eq!(files.len(), 22);
    assert_eq!(clients.len(), 5);
    let mut scratch = Decompressor::default();
    for (client, codec, bytes) in &files {
        let name = format!("{client} {codec}");
        let views: Vec<_> = batches(bytes).map(|batch| batch.unwrap()).collect();
        assert_eq!(views.len(), 1, "{name}");
        let batch = views[0];
        assert!(batch.is_crc_valid(), "{name}");
        assert_eq!(batch.codec(), Ok(*codec), "{name}");
        let facts = validate_produce(
            bytes,
            &ProduceRules::default(),
            batch.max_timestamp(),
            &mut scratch,
        );
        let facts = facts.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(facts.records_count, 5, "{name}");
        assert!(facts.max_timestamp_is_stated, "{name}");
        for (number, record) in batch.records(&mut scratch).unwrap().enumerate() {
            let record = record.unwrap();
            assert_eq!(record.offset, Offset::new(number as i64), "{name}");
            assert_eq!(
                record.key,
                Some(format!("key-{number}").as_bytes()),
                "{name}"
            );
            assert_eq!(record.value, Some(value(number).as_bytes()), "{name}");
            let headers: Vec<Header<'_>> = record.headers.collect();
            assert_eq!(
                headers,
                [Header {
                    key: b"source",
                    value: Some(b"client")
                }],
                "{name}"
            );
        }
    }
}

/// Uncompressed, there is one way to write a batch: ours must be theirs, byte for byte. (Without a
/// producer id some clients leave 0 in the fields for epoch and sequence, we write -1.)
#[test]
fn our_builder_writes_the_same_bytes() {
    let mut scratch = Decompressor::default();
    for (client, codec, bytes) in files() {
        if codec != Codec::None {
            continue;
        }
        let theirs = BatchView::parse(&bytes).unwrap();
        let mut builder = BatchBuilder::new(Codec::None);
        if let Some(producer) = theirs.producer() {
            builder.set_producer(producer.id, producer.epoch, producer.base_sequence);
        }
        for record in theirs.records(&mut scratch).unwrap() {
            let record = record.unwrap();
            let headers: Vec<Header<'_>> = record.headers.collect();
            builder.push(record.timestamp, record.key, record.value, &headers);
        }
        let mut ours = builder.finish(&mut Compressor::default());
        stamp(&mut ours, Offset::ZERO, LeaderEpoch::new(0));
        let mut theirs = bytes.clone();
        if BatchView::parse(&bytes).unwrap().producer().is_none() {
            for meaningless in [17..21, 51..57] {
                ours[meaningless.clone()].fill(0);
                theirs[meaningless].fill(0);
            }
        }
        assert!(ours == theirs, "{client}");
    }
}

#[test]
fn kafkas_transaction_markers_are_understood() {
    let bytes = std::fs::read(directory().join("librdkafka_transactions.log")).unwrap();
    let mut scratch = Decompressor::default();
    let mut story = Vec::new();
    for batch in batches(&bytes) {
        let batch = batch.unwrap();
        assert!(batch.is_crc_valid() && batch.is_transactional());
        let record = batch
            .records(&mut scratch)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        story.push(match ControlRecord::parse(&record) {
            _ if !batch.is_control() => "data",
            Ok(ControlRecord::Commit { .. }) => "commit",
            Ok(ControlRecord::Abort { .. }) => "abort",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(story, ["data", "commit", "data", "abort"]);
}
