use super::registry::broker_definition;
use super::topic_config::BrokerLayers;
use ottla_storage::CleanerOptions;
use std::time::Duration;

impl BrokerLayers<'_> {
    /// How logs are compacted (`log.cleaner.*`). The secret of the key hashes is storage's own affair.
    pub fn cleaner_options(&self) -> CleanerOptions {
        let text = |name: &str| {
            let definition = broker_definition(name).expect("the code asks for known configs only");
            self.value(definition)
                .or(definition.default)
                .unwrap_or_default()
        };
        // Values were checked when they were set.
        let ratio = |name: &str| text(name).parse::<f64>().unwrap_or(0.0);
        let number = |name: &str| text(name).parse::<u64>().unwrap_or(0);
        let rate = ratio("log.cleaner.io.max.bytes.per.second");
        let load = (ratio("log.cleaner.io.buffer.load.factor") * 100.0).round();
        CleanerOptions {
            is_enabled: text("log.cleaner.enable") != "false",
            dedupe_bytes: usize::try_from(number("log.cleaner.dedupe.buffer.size"))
                .unwrap_or(usize::MAX),
            load_percent: load.clamp(1.0, 99.0) as u8,
            io_bytes_per_second: (rate < 1e15).then_some(rate.max(1.0) as u64),
            backoff: Duration::from_millis(number("log.cleaner.backoff.ms")),
            ..CleanerOptions::default()
        }
    }
}
