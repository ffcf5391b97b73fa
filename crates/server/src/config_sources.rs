use std::path::{Path, PathBuf};

use ottla_broker::config::{ConfigSources, Strictness, Variable, broker_definition, variable};

use crate::toml_config;

/// Variables of ours that are not configs.
const NOT_CONFIGS: &[&str] = &[
    "OTTLA_BIN",
    "OTTLA_BOOTSTRAP_SERVERS",
    "OTTLA_COMPAT_LOG",
    "OTTLA_LOG",
    "OTTLA_TEST_FAULTY_DISK",
    "OTTLA_TEST_POWER_CUT_DISK",
];

/// A variable with this at the end names the file that its value is in.
const FILE_SUFFIX: &str = "_FILE";

/// Reads what the configuration is made of: files in their order, the environment, settings of the
/// command line. Later ones win. A file that ends in `.toml` is TOML; all others are in Kafka's format.
pub fn read(
    files: &[PathBuf],
    settings: Vec<String>,
    strictness: Strictness,
) -> Result<ConfigSources, ConfigFileError> {
    let files = files
        .iter()
        .map(|file| read_file(file))
        .collect::<Result<_, _>>()?;
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    });
    Ok(ConfigSources {
        files,
        environment: read_environment(environment.collect())?,
        settings,
        strictness,
    })
}

fn read_file(file: &Path) -> Result<(String, String), ConfigFileError> {
    let name = file.display().to_string();
    let text = read_text(&name, file)?;
    if file.extension().is_none_or(|extension| extension != "toml") {
        return Ok((name, text));
    }
    match toml_config::to_properties(&text) {
        Ok(properties) => Ok((name, properties)),
        Err(message) => Err(ConfigFileError::Toml { name, message }),
    }
}

fn read_text(name: &str, file: &Path) -> Result<String, ConfigFileError> {
    std::fs::read_to_string(file).map_err(|source| ConfigFileError::Unreadable {
        name: name.to_owned(),
        source,
    })
}

/// The variables that are configs, those in files included: `KAFKA_X_FILE=/run/secrets/x` is
/// `KAFKA_X` with the text of the file, without the line end that editors put there.
fn read_environment(
    variables: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, ConfigFileError> {
    let mut environment = Vec::new();
    for (name, value) in &variables {
        if NOT_CONFIGS.contains(&name.as_str()) {
            continue;
        }
        let Some(of) = names_a_file(name) else {
            environment.push((name.clone(), value.clone()));
            continue;
        };
        if variables.iter().any(|(other, _)| other == of) {
            return Err(ConfigFileError::SetTwice {
                name: of.to_owned(),
            });
        }
        let text = read_text(&format!("{value} ({name})"), Path::new(value))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        environment.push((of.to_owned(), text.to_owned()));
    }
    Ok(environment)
}

/// The variable whose value is in a file that `name` names. Some configs of Kafka end in `.file`
/// themselves.
fn names_a_file(name: &str) -> Option<&str> {
    let of = name.strip_suffix(FILE_SUFFIX)?;
    let is_config = |name: &str| match variable(name) {
        Variable::Config(key) => Some(broker_definition(&key).is_some()),
        Variable::NoEffect | Variable::Foreign => None,
    };
    match is_config(name) {
        Some(false) if is_config(of).is_some() => Some(of),
        Some(_) | None => None,
    }
}

/// A configuration that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// A file is not there, or not for us.
    #[error("cannot read the configuration {name}: {source}")]
    Unreadable {
        /// Its path, and who named it.
        name: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file is no TOML, or not that of a configuration.
    #[error("{name}: {message}")]
    Toml {
        /// Its path.
        name: String,
        /// What is wrong, and in which line.
        message: String,
    },
    /// A value is given directly and in a file.
    #[error("{name} and {name}_FILE are both set: one of them has to go")]
    SetTwice {
        /// The variable.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;
    use ottla_broker::config::BrokerConfig;

    fn pairs(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let variables = variables.iter();
        variables
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_variable_may_name_the_file_its_value_is_in() {
        let dir = TestDir::new();
        let file = dir.path().join("partitions");
        std::fs::write(&file, "7\n").unwrap();
        let file = file.to_str().unwrap();
        let read = read_environment(pairs(&[
            ("KAFKA_NUM_PARTITIONS_FILE", file),
            ("OTTLA_LOG", "debug"),
            (
                "KAFKA_SASL_OAUTHBEARER_ASSERTION_FILE",
                "/a/config/of/kafka",
            ),
            ("SOME_FILE", "/nowhere"),
        ]));
        let expected = pairs(&[
            ("KAFKA_NUM_PARTITIONS", "7"),
            (
                "KAFKA_SASL_OAUTHBEARER_ASSERTION_FILE",
                "/a/config/of/kafka",
            ),
            ("SOME_FILE", "/nowhere"),
        ]);
        assert_eq!(read.unwrap(), expected);
        let twice = [
            ("KAFKA_NUM_PARTITIONS", "3"),
            ("KAFKA_NUM_PARTITIONS_FILE", file),
        ];
        let error = read_environment(pairs(&twice)).unwrap_err().to_string();
        assert!(error.contains("both set"), "{error}");
        let missing = [("OTTLA_HTTP_PORT_FILE", "/nowhere/at/all")];
        let error = read_environment(pairs(&missing)).unwrap_err().to_string();
        assert!(
            error.contains("/nowhere/at/all (OTTLA_HTTP_PORT_FILE)"),
            "{error}"
        );
    }

    /// `--set`, then the environment, then later files, then earlier ones, whatever their format.
    #[test]
    fn later_sources_win_over_earlier_ones() {
        let dir = TestDir::new();
        let (first, second) = (dir.path().join("a.properties"), dir.path().join("b.toml"));
        std::fs::write(
            &first,
            "num.partitions=2\nlog.retention.hours=1\nfetch.max.bytes=2048\nnode.id=4\n",
        )
        .unwrap();
        std::fs::write(
            &second,
            "num.partitions = 3\nlog.retention.hours = 2\n[fetch]\nmax.bytes = 4096\n",
        )
        .unwrap();
        let mut sources = read(
            &[first, second],
            vec!["num.partitions=5".to_owned()],
            Strictness::Strict,
        )
        .unwrap();
        sources.environment = pairs(&[
            ("KAFKA_NUM_PARTITIONS", "4"),
            ("KAFKA_LOG_RETENTION_HOURS", "3"),
        ]);
        let config = BrokerConfig::load(&sources).expect("it is right").config;
        let values = config.started_with.values();
        let value = |key: &str| values[key].as_str();
        assert_eq!(value("num.partitions"), "5");
        assert_eq!(value("log.retention.hours"), "3");
        assert_eq!(value("fetch.max.bytes"), "4096");
        assert_eq!(value("node.id"), "4");
    }
}
