/// Variables of Kafka's container images that are not configs: those a JVM needs, and those the
/// image's own scripts read.
const NOT_CONFIGS: &[&str] = &[
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_HOME",
    "KAFKA_CONF_DIR",
    "KAFKA_DEBUG",
    "KAFKA_MODE",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_ROOT_LOGLEVEL",
];
const NOT_CONFIG_PREFIXES: &[&str] = &["KAFKA_LOG4J_", "KAFKA_JMX_"];

/// What an environment variable means to the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// A config by its dotted name.
    Config(String),
    /// Something for a JVM or a container script; accepted without effect.
    NoEffect,
    /// None of our business.
    Foreign,
}

/// Reads a variable's name by the rule of Apache's image: after `KAFKA_`, `_` means `.`, `__` means
/// `_` and `___` means `-`. `CLUSTER_ID` is the cluster's id; `OTTLA_X_Y` is `ottla.x.y`.
pub fn variable(name: &str) -> Variable {
    if name == "CLUSTER_ID" {
        return Variable::Config("cluster.id".to_owned());
    }
    if let Some(rest) = name.strip_prefix("OTTLA_") {
        return Variable::Config(format!("ottla.{}", dotted(rest)));
    }
    let Some(rest) = name.strip_prefix("KAFKA_") else {
        return Variable::Foreign;
    };
    if name == "KAFKA_BOOTSTRAP_SERVERS" {
        return Variable::Foreign; // For clients on the same machine.
    }
    let for_jvm = NOT_CONFIGS.contains(&name)
        || NOT_CONFIG_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix));
    if for_jvm || rest.is_empty() {
        Variable::NoEffect
    } else {
        Variable::Config(dotted(rest))
    }
}

fn dotted(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let underscores = rest.bytes().take_while(|byte| *byte == b'_').count().min(3);
        match underscores {
            0 => out.extend(c.to_lowercase()),
            1 => out.push('.'),
            2 => out.push('_'),
            _ => out.push('-'),
        }
        rest = &rest[underscores.max(c.len_utf8())..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_of_apaches_image() {
        let config = |name: &str| Variable::Config(name.to_owned());
        for (name, meaning) in [
            ("KAFKA_LOG_RETENTION_MS", config("log.retention.ms")),
            (
                "KAFKA_LISTENER_NAME_A__B_C___D",
                config("listener.name.a_b.c-d"),
            ),
            ("CLUSTER_ID", config("cluster.id")),
            ("OTTLA_HTTP_PORT", config("ottla.http.port")),
            ("KAFKA_HEAP_OPTS", Variable::NoEffect),
            ("KAFKA_LOG4J_LOGGERS", Variable::NoEffect),
            ("KAFKA_JMX_PORT", Variable::NoEffect),
            ("PATH", Variable::Foreign),
            ("KAFKA_BOOTSTRAP_SERVERS", Variable::Foreign),
        ] {
            assert_eq!(variable(name), meaning, "{name}");
        }
    }
}
