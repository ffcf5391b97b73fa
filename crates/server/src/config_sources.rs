use std::path::{Path, PathBuf};

use ottla_broker::config::{ConfigSources, Strictness};

/// Variables of ours that are not configs.
const NOT_CONFIGS: &[&str] = &[
    "OTTLA_BIN",
    "OTTLA_BOOTSTRAP_SERVERS",
    "OTTLA_COMPAT_LOG",
    "OTTLA_LOG",
    "OTTLA_TEST_FAULTY_DISK",
    "OTTLA_TEST_POWER_CUT_DISK",
];

/// Reads what the configuration is made of: files in their order, the environment, settings of the
/// command line. Later ones win.
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
        let is_config = !NOT_CONFIGS.contains(&name.as_str());
        is_config.then(|| (name, value.to_string_lossy().into_owned()))
    });
    Ok(ConfigSources {
        files,
        environment: environment.collect(),
        settings,
        strictness,
    })
}

fn read_file(file: &Path) -> Result<(String, String), ConfigFileError> {
    let name = file.display().to_string();
    match std::fs::read_to_string(file) {
        Ok(text) => Ok((name, text)),
        Err(source) => Err(ConfigFileError { name, source }),
    }
}

/// A configuration file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the configuration {name}: {source}")]
pub struct ConfigFileError {
    name: String,
    source: std::io::Error,
}
