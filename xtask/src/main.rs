//! Repository chores, one subcommand each.

fn main() -> std::process::ExitCode {
    eprintln!("usage: cargo xtask <chore>");
    std::process::ExitCode::from(2)
}
