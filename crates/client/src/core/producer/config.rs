use crate::core::backoff::Backoff;
use ottla_records::{Codec, CompressionLevel};
use std::time::Duration;

/// Who must have a record before the broker acknowledges it (`acks`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// Every in-sync replica.
    #[default]
    All,
    /// The leader.
    Leader,
    /// Nobody: there is no acknowledgement, offsets stay unknown.
    None,
}

impl Acks {
    pub(super) fn wire(self) -> i16 {
        match self {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::None => 0,
        }
    }
}

/// How a producer works. The defaults are the Java client's, except larger batches.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// `acks`.
    pub acks: Acks,
    /// `enable.idempotence`; without effect unless acks is [`Acks::All`].
    pub idempotent: bool,
    /// `compression.type`.
    pub codec: Codec,
    /// `compression.*.level`.
    pub level: CompressionLevel,
    /// `linger.ms`: how long a batch waits for more records.
    pub linger: Duration,
    /// `batch.size`: a batch takes no further record beyond this many bytes (before compression).
    pub batch_bytes: usize,
    /// `max.request.size`: largest record and largest request, in bytes (before compression).
    pub request_bytes_max: usize,
    /// `max.in.flight.requests.per.connection`; at most 5 with idempotence.
    pub in_flight_max: usize,
    /// `delivery.timeout.ms`: from the first record of a batch to its end, whatever it is.
    pub delivery_timeout: Duration,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// Waits before repetitions.
    pub backoff: Backoff,
    /// `metadata.max.age.ms`.
    pub metadata_age_max: Duration,
    /// Whether the broker may create topics that do not exist.
    pub allow_auto_topic_creation: bool,
    /// Seed of the choices that do not matter (partition of records without key, random waits).
    pub seed: u64,
}

impl Default for ProducerConfig {
    fn default() -> ProducerConfig {
        ProducerConfig {
            acks: Acks::All,
            idempotent: true,
            codec: Codec::None,
            level: None,
            linger: Duration::from_millis(5),
            batch_bytes: 64 << 10,
            request_bytes_max: 1 << 20,
            in_flight_max: 5,
            delivery_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            backoff: Backoff::default(),
            metadata_age_max: Duration::from_secs(300),
            allow_auto_topic_creation: true,
            seed: 0,
        }
    }
}
