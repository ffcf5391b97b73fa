#!/usr/bin/env bash
# Sets up what the tests need and runs all of them. Works on a fresh Debian machine with Rust 1.95.
# `./test.sh quick` leaves out the foreign clients and the real processes.
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n== %s (%s)\n' "$1" "$(date +%T)"; }

step "format, lints, walls, licences"
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
cargo xtask tidy
command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --quiet
cargo deny --log-level error check bans licenses sources

step "unit, property, protocol and simulator tests"
cargo test --workspace --locked --no-fail-fast
# The journal's threads under a permutation scheduler: its locks are compiled for it.
cargo test --package ottla-storage --features shuttle --test schedules --locked

[ "${1:-}" = quick ] && exit 0

step "foreign clients against real processes that are killed"
interop/setup.sh
cargo build --release --locked --package ottla-cli
home=${INTEROP_HOME:-$HOME/.cache/ottla-interop}
target=${CARGO_TARGET_DIR:-target}
OTTLA_BIN=$(cd "$target/release" && pwd)/ottla "$home/python/bin/python" -m pytest -q --tb=short -p no:cacheprovider interop
