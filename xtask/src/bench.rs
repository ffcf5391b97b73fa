//! Builds the broker and the load generator and runs every row of docs/performance.md.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Runs `ottla-bench suite` with `arguments`. Apache Kafka is measured beside us when
/// `interop/setup.sh kafka-broker` has brought its jars.
pub fn run(root: &Path, arguments: &[String]) -> ExitCode {
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "build",
        "--release",
        "--package",
        "ottla-cli",
        "--package",
        "ottla-bench",
    ]);
    if !succeeds(build.current_dir(root)) {
        return ExitCode::FAILURE;
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let binary = |name: &str| target.join("release").join(name);
    let mut suite = Command::new(binary("ottla-bench"));
    suite.arg("suite").arg("--ottla").arg(binary("ottla"));
    suite.arg("--data").arg(target.join("bench-data"));
    if let Some(jars) = kafka_jars() {
        suite.arg("--kafka-jars").arg(jars);
    }
    if succeeds(suite.args(arguments)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn kafka_jars() -> Option<PathBuf> {
    let home = std::env::var_os("INTEROP_HOME")
        .map(PathBuf::from)
        .or_else(|| {
            let home = std::env::var_os("HOME")?;
            Some(PathBuf::from(home).join(".cache/ottla-interop"))
        })?;
    Some(home.join("kafka-broker")).filter(|jars| jars.is_dir())
}

fn succeeds(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("{}: {error}", command.get_program().display());
            false
        }
    }
}
