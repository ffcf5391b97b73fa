use ottla_records::{
    BatchBuilder, BatchView, Codec, Compressor, ControlRecord, Decompressor, Header,
    ProduceBatchError, ProduceRules, batches, crc32c, validate_produce,
};
use ottla_types::{Prng, ProducerEpoch, ProducerId, Sequence, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn seeds() -> Vec<Vec<u8>> {
    let mut prng = Prng::new(11);
    let mut seeds = Vec::new();
    for codec in Codec::ALL {
        for records in [1, 3, 40] {
            let mut builder = BatchBuilder::new(codec);
            if records == 3 {
                let (id, epoch) = (ProducerId::new(5), ProducerEpoch::new(1));
                builder = builder.producer(id, epoch, Sequence::new(8));
            }
            for _ in 0..records {
                let mut value = vec![0; prng.below(50) as usize];
                prng.fill(&mut value);
                let header = Header {
                    key: b"trace",
                    value: Some(b"1"),
                };
                builder.push(NOW, Some(b"key"), Some(&value), &[header]);
            }
            seeds.push(builder.finish(&mut Compressor::default()));
        }
    }
    seeds
}

fn mutate(prng: &mut Prng, bytes: &mut Vec<u8>) {
    let interesting = [0, 1, 0x7f, 0x80, 0xff, 0x1f, 0x20];
    for _ in 0..prng.range(1, 6) {
        let at = prng.below(bytes.len() as u64) as usize;
        match prng.below(6) {
            0 => bytes[at] = prng.next_u64() as u8,
            1 => bytes[at] ^= 1 << prng.below(8),
            2 => bytes[at] = *prng.pick(&interesting),
            3 => bytes.truncate(at.max(1)),
            4 => bytes.insert(at, prng.next_u64() as u8),
            _ => {
                let end = (at + prng.below(9) as usize).min(bytes.len());
                let fill = *prng.pick(&interesting);
                bytes[at..end].fill(fill);
            }
        }
    }
}

/// Makes length and CRC right, so that the checks behind them are reached.
fn repair(bytes: &mut [u8]) {
    if bytes.len() < 61 {
        return;
    }
    let length = (bytes.len() - 12) as i32;
    bytes[..8].fill(0);
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Looks at everything a batch offers.
fn read_all(bytes: &[u8], decompressor: &mut Decompressor) -> u64 {
    let mut read = 0;
    for batch in batches(bytes) {
        let Ok(batch) = batch else { break };
        assert!(batch.last_offset() >= batch.base_offset());
        let _ = (
            batch.producer(),
            batch.delete_horizon(),
            batch.leader_epoch(),
            batch.is_crc_valid(),
        );
        let Ok(records) = batch.records(decompressor) else {
            continue;
        };
        for record in records.take(100_000) {
            let Ok(record) = record else { break };
            for header in record.headers {
                read += header.key.len() as u64;
            }
            let _ = ControlRecord::parse(&record);
            read += 1;
        }
    }
    read
}

#[test]
fn hostile_bytes_never_panic() {
    let seeds = seeds();
    let mut prng = Prng::new(12);
    let mut decompressor = Decompressor::with_limit(1 << 20);
    let rules = ProduceRules::default();
    let (mut valid, mut refused_by_record, mut read) = (0u32, 0u32, 0u64);
    for round in 0..100_000 {
        let mut bytes = if round % 10 == 0 {
            let mut noise = vec![0; prng.below(200) as usize];
            prng.fill(&mut noise);
            noise
        } else {
            prng.pick(&seeds).clone()
        };
        if !bytes.is_empty() {
            mutate(&mut prng, &mut bytes);
        }
        if prng.chance(2, 3) {
            repair(&mut bytes);
        }
        match validate_produce(&bytes, &rules, NOW, &mut decompressor) {
            Ok(facts) => {
                valid += 1;
                // Whatever is accepted can be read to its last record.
                let batch = BatchView::parse(&bytes).expect("it is valid");
                let records = batch.records(&mut decompressor).expect("it is valid");
                let count = records.inspect(|record| assert!(record.is_ok())).count();
                assert_eq!(count, facts.records_count as usize);
            }
            Err(ProduceBatchError::Record { .. }) => refused_by_record += 1,
            Err(_) => {}
        }
        read += read_all(&bytes, &mut decompressor);
    }
    // The loop must reach the depths, or it proves nothing.
    assert!(
        valid > 1_000 && refused_by_record > 1_000 && read > 10_000,
        "{valid} {refused_by_record} {read}"
    );
}
