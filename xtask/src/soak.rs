//! Tests with a budget of one's own, far beyond what every run can afford.

use std::path::Path;
use std::process::{Command, ExitCode};

/// Runs the protocol's fuzzer. `--frames N` says how many frames, `--first N` the number of the first.
pub fn protocol(root: &Path, arguments: &[String]) -> ExitCode {
    let (mut frames, mut first) = ("10000000", "0");
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--frames" => frames = value,
            [name, value] if name == "--first" => first = value,
            _ => {
                eprintln!("usage: cargo xtask soak protocol [--frames N] [--first N]");
                return ExitCode::from(2);
            }
        }
    }
    // Not a release build: there a number that overflows would pass in silence.
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["test", "-p", "ottla-protocol", "--test", "it"])
        .args([
            "--",
            "--exact",
            "fuzz::hostile_frames_do_no_harm",
            "--nocapture",
        ])
        .env("OTTLA_FUZZ_FRAMES", frames)
        .env("OTTLA_FUZZ_FIRST", first)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo: {error}");
            ExitCode::FAILURE
        }
    }
}
