//! Repository chores, one subcommand each.

mod arrows;
mod bench;
mod codegen;
mod soak;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <chore>
  bench [ARGUMENTS]  the figures of docs/performance.md; arguments go to `ottla-bench suite`
  codegen [--check]  message types of crates/protocol from schemas/
  soak protocol [--frames N] [--first N]
                     the protocol's fuzzer on 10 million frames, or N
  tidy               walls between crates, file sizes, loose ends";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["bench", ..] => bench::run(&root(), &arguments[1..]),
        ["codegen"] => codegen::write(&root()),
        ["codegen", "--check"] => report(&codegen::faults(&root())),
        ["soak", "protocol", ..] => soak::protocol(&root(), &arguments[2..]),
        ["tidy"] => report(&tidy::faults(&root())),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask has a parent")
        .to_owned()
}

fn report(faults: &[String]) -> ExitCode {
    for fault in faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
