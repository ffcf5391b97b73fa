use super::{did_you_mean, invalid, refuse};
use crate::config::{
    BrokerLayers, CordonedLogDirs, Definition, Dynamic, Support, address_overrides,
    broker_definition, broker_definitions, is_live, listener_override, split_list,
};
use ottla_metadata::{ConfigResource, Configs, ControllerError};

/// Numbers of threads that Kafka lets grow to the double and shrink to the half at once.
const THREADS: &[&str] = &[
    "background.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
];

/// Configs of TLS that Kafka changes for single listeners only (`SslConfigs.RECONFIGURABLE_CONFIGS`).
const OF_LISTENERS: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// Configs that count for single listeners and may be set for those of all brokers.
const OF_LISTENERS_EVERYWHERE: &[&str] = &[
    "max.connection.creation.rate",
    "max.connections",
    "num.network.threads",
];

/// Bytes that each thread of Kafka's log cleaner needs to remember keys.
const DEDUPE_BYTES_PER_THREAD_MIN: i64 = 1 << 20;

/// A config that is set, and what is behind its name.
struct SetConfig<'a> {
    name: &'a str,
    value: &'a str,
    definition: &'static Definition,
    is_of_one_listener: bool,
}

/// Judges what is set on brokers while they run (Kafka's `DynamicBrokerConfig.validate`).
pub(super) fn validate_broker(
    resource: &ConfigResource,
    configs: &Configs,
    changed: &[&str],
    layers: BrokerLayers<'_>,
) -> Result<(), ControllerError> {
    let set = set_configs(configs, changed)?;
    refuse_all(&set, "Cannot update these configs dynamically", |config| {
        config.definition.dynamic == Dynamic::ReadOnly
    })?;
    refuse_all(
        &set,
        "These security configs can be dynamically updated only per-listener using the listener prefix",
        |config| !config.is_of_one_listener && OF_LISTENERS.contains(&config.definition.name),
    )?;
    for config in &set {
        config
            .definition
            .parse(config.value)
            .map_err(|error| invalid(error.to_string()))?;
    }
    if resource.name.is_empty() {
        refuse_all(
            &set,
            "Cannot update these configs at default cluster level, broker id must be specified",
            |config| config.is_of_one_broker(),
        )?;
    }
    for config in set.iter().filter(|config| !config.is_of_one_listener) {
        check_value(config, configs, layers)?;
    }
    match set.iter().find(|config| config.is_out_of_reach()) {
        Some(config) => Err(invalid(format!(
            "{} can only be changed in the configuration file, with a restart",
            config.name
        ))),
        None => Ok(()),
    }
}

impl SetConfig<'_> {
    fn is_of_one_broker(&self) -> bool {
        match self.is_of_one_listener {
            true => !OF_LISTENERS_EVERYWHERE.contains(&self.definition.name),
            false => self.definition.dynamic == Dynamic::PerBroker,
        }
    }

    /// Whether it works here, but is read at the start only.
    fn is_out_of_reach(&self) -> bool {
        self.definition.support == Support::Applied && !is_live(self.definition.name)
    }
}

fn set_configs<'a>(
    configs: &'a Configs,
    changed: &[&'a str],
) -> Result<Vec<SetConfig<'a>>, ControllerError> {
    let mut set = Vec::with_capacity(changed.len());
    for name in changed {
        let Some(value) = configs.get(*name) else {
            continue; // Removed: back to the default.
        };
        let (definition, is_of_one_listener) = match broker_definition(name) {
            Some(definition) => (definition, false),
            None => match listener_override(name) {
                Some((_, definition)) => (definition, true),
                None => return Err(unknown(name)),
            },
        };
        set.push(SetConfig {
            name,
            value,
            definition,
            is_of_one_listener,
        });
    }
    Ok(set)
}

/// Kafka keeps configs nobody knows; here a misspelt one is not taken for set.
fn unknown(name: &str) -> ControllerError {
    let hint = did_you_mean(name, broker_definitions());
    refuse(format!("Unknown broker config name: {name}{hint}"))
}

fn refuse_all(
    set: &[SetConfig<'_>],
    reason: &str,
    is_refused: impl Fn(&SetConfig<'_>) -> bool,
) -> Result<(), ControllerError> {
    let names = set.iter().filter(|config| is_refused(config));
    let names: Vec<&str> = names.map(|config| config.name).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(invalid(format!("{reason}: [{}]", names.join(", ")))),
    }
}

/// What Kafka's parts of a broker have to say to a new value.
fn check_value(
    config: &SetConfig<'_>,
    configs: &Configs,
    layers: BrokerLayers<'_>,
) -> Result<(), ControllerError> {
    let number = config.value.trim().parse::<i64>().ok();
    let name = config.name;
    let in_force = |name: &str| {
        let definition = broker_definition(name)?;
        let text = layers.value(definition).or(definition.default)?;
        text.trim().parse::<i64>().ok()
    };
    let refused = match name {
        _ if THREADS.contains(&name) => resized(number, in_force(name)).map(|wrong| {
            format!(
                "Dynamic thread count update validation failed for {name}={}, value should {wrong}",
                config.value.trim()
            )
        }),
        "log.cleaner.threads" => match (number, in_force(name)) {
            (Some(0), _) => Some("log.cleaner.threads must be at least 1".to_owned()),
            (Some(new), Some(old)) if old.saturating_mul(2) < new => Some(format!(
                "Log cleaner threads cannot be increased to more than double the current value {old}"
            )),
            (Some(new), Some(old)) if new < old / 2 => Some(format!(
                "Log cleaner threads cannot be reduced to less than half the current value {old}"
            )),
            _ => None,
        },
        "log.cleaner.dedupe.buffer.size" => {
            let threads = configs.get("log.cleaner.threads");
            let threads = threads.and_then(|text| text.trim().parse::<i64>().ok());
            let threads = threads.or_else(|| in_force("log.cleaner.threads"));
            let least = DEDUPE_BYTES_PER_THREAD_MIN.saturating_mul(threads.unwrap_or(1));
            number.filter(|bytes| *bytes < least).map(|_| {
                format!("requirement failed: {name} must be at least 1MB per cleaner thread.")
            })
        }
        "log.retention.ms" => number.filter(|millis| *millis == 0).map(|_| {
            format!(
                "requirement failed: {name} must be unlimited (-1) or, greater than or equal to 1"
            )
        }),
        "max.connection.creation.rate" => number
            .filter(|rate| *rate < 1)
            .map(|rate| format!("Invalid {name} {rate}")),
        "max.connections.per.ip" => {
            let overrides = configs.get("max.connections.per.ip.overrides");
            let overrides = overrides.map_or_else(
                || {
                    let definition = broker_definition("max.connections.per.ip.overrides")?;
                    layers.value(definition)
                },
                |text| Some(text.as_str()),
            );
            let has_overrides = overrides.is_some_and(|text| !text.trim().is_empty());
            number.filter(|count| *count == 0 && !has_overrides).map(|_| {
                format!(
                    "requirement failed: {name} can be set to zero only if {name}.overrides property is \
                     set."
                )
            })
        }
        "cordoned.log.dirs" => {
            let at_start = |name| layers.value(broker_definition(name)?);
            let log_dirs = at_start("log.dirs").or_else(|| at_start("log.dir"));
            let log_dirs = split_list(log_dirs.unwrap_or(""));
            let log_dirs: Vec<String> = log_dirs.into_iter().map(str::to_owned).collect();
            let unknown = CordonedLogDirs::read(config.value).unknown(&log_dirs);
            unknown.map(|unknown| format!("requirement failed: {unknown}"))
        }
        "max.connections.per.ip.overrides" => address_overrides(config.value)
            .err()
            .map(|item| format!("{name}: expected host:count, not '{item}'")),
        _ => None,
    };
    refused.map_or(Ok(()), |message| Err(invalid(message)))
}

/// What a number of threads should rather do than change from `old` to `new`.
fn resized(new: Option<i64>, old: Option<i64>) -> Option<String> {
    let (new, old) = (new?, old?);
    if old.saturating_mul(2) < new {
        return Some(format!(
            "not be greater than double the current value {old}"
        ));
    }
    (new < old / 2).then(|| format!("be at least half the current value {old}"))
}
