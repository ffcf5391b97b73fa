#!/usr/bin/env bash
# Sets up what the tests need and runs all of them. Works on a fresh Debian machine with Rust 1.95.
set -euo pipefail
cd "$(dirname "$0")"
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
cargo test --workspace --locked
# The journal's threads under a permutation scheduler: its locks are compiled for it.
cargo test -p ottla-storage --features shuttle --test schedules --locked
