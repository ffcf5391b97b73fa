use bytes::Bytes;
use ottla_records::{
    BatchBuilder, Codec, Compressor, ProduceRules, ProducerBatch, Scratch, ValidBatch,
    validate_produce,
};
use ottla_types::{LeaderEpoch, Offset, Prng, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Makes batches as clients do: no two of a run hold the same records.
pub struct BatchMaker {
    next_value: u64,
    /// How many keys there are, and some records delete theirs; `None`: no two records have the same key.
    keys_count: Option<u64>,
    compressor: Compressor,
    scratch: Scratch,
}

/// A batch as a client sends it, with the facts that the broker would find.
#[derive(Clone, Debug)]
pub struct SentBatch {
    /// Its bytes, base offset 0.
    pub bytes: Bytes,
    /// What validation says about it.
    pub facts: ValidBatch,
}

/// Who sends an idempotent batch, and with which first sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Producer id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of the batch's first record.
    pub base_sequence: Sequence,
}

impl BatchMaker {
    /// The first batch of a run holds value 0.
    pub fn new() -> BatchMaker {
        BatchMaker {
            next_value: 0,
            keys_count: None,
            compressor: Compressor::default(),
            scratch: Scratch::default(),
        }
    }

    /// From now on records have one of so many keys, and some delete theirs.
    pub fn use_keys(&mut self, count: u64) {
        self.keys_count = Some(count);
    }

    /// The number that the next record will hold in the first eight bytes of its value.
    pub fn next_value(&self) -> u64 {
        self.next_value
    }

    /// A batch of `records` records of about `value_size` bytes each, from `now` on.
    pub fn make(
        &mut self,
        prng: &mut Prng,
        sender: Option<Sender>,
        records: u64,
        value_size: usize,
        now: Timestamp,
    ) -> SentBatch {
        // Mostly uncompressed: decompression would take most of the simulator's time.
        let codec = match prng.below(40) {
            0 => Codec::Gzip,
            1 => Codec::Snappy,
            2 => Codec::Lz4,
            3 => Codec::Zstd,
            _ => Codec::None,
        };
        let mut builder = BatchBuilder::new(codec);
        if let Some(sender) = sender {
            builder.set_producer(sender.id, sender.epoch, sender.base_sequence);
        }
        let mut value = vec![0; value_size];
        prng.fill(&mut value);
        for _ in 0..records {
            let number = self.next_value.to_be_bytes();
            self.next_value += 1;
            let count = value.len().min(8);
            value[..count].copy_from_slice(&number[8 - count..]);
            let timestamp = Timestamp::from_millis(now.as_millis() + prng.below(10) as i64);
            if let Some(keys) = self.keys_count {
                let key = prng.below(keys).to_be_bytes();
                let deletes = prng.chance(1, 6);
                builder.push(timestamp, Some(&key), (!deletes).then_some(&value[..]), &[]);
                continue;
            }
            let key = prng.chance(1, 2).then_some(&number[..]);
            builder.push(timestamp, key, Some(&value), &[]);
        }
        let bytes = Bytes::from(builder.finish(&mut self.compressor));
        let rules = ProduceRules {
            max_message_bytes: usize::MAX,
            ..ProduceRules::default()
        };
        let facts = validate_produce(&bytes, &rules, now, &mut self.scratch);
        let facts = facts.expect("the builder makes valid batches");
        SentBatch { bytes, facts }
    }
}

impl Default for BatchMaker {
    fn default() -> BatchMaker {
        BatchMaker::new()
    }
}

impl SentBatch {
    /// What an idempotent producer said, if one sent it.
    pub fn producer(&self) -> Option<&ProducerBatch> {
        self.facts.producer.as_ref()
    }

    /// The bytes that must be in the log: base offset and leader epoch written where Kafka's format has
    /// them. On purpose not done by the code under test.
    pub fn stamped(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Bytes {
        let mut bytes = self.bytes.to_vec();
        bytes[..8].copy_from_slice(&base_offset.get().to_be_bytes());
        bytes[12..16].copy_from_slice(&leader_epoch.get().to_be_bytes());
        bytes.into()
    }
}
