//! What rustfmt and clippy cannot see: walls, file sizes, loose ends.

use std::path::{Path, PathBuf};

/// The crates that never touch the outside world.
pub const PURE_CRATES: &[&str] = &[
    "types",
    "protocol",
    "records",
    "storage",
    "metadata",
    "replication",
    "coordinator",
    "broker",
];

/// What must not be named in a pure crate outside its tests, examples and benches.
const OUTSIDE_WORLD: &[&str] = &[
    "std::fs::",
    "std::net::",
    "std::thread::spawn",
    "std::thread::sleep",
    "thread::sleep",
    "SystemTime::now",
    "Instant::now",
    "tokio::",
    "use rand",
    "getrandom",
];

const LOOSE_ENDS: &[&str] = &[
    "todo!(",
    "unimplemented!(",
    "#[ignore",
    concat!("FIX", "ME"),
];

const FILE_LINES_MAX: usize = 1000;
const ARCHITECTURE_LINES_MAX: usize = 200;

/// Everything that is not as it should be, one line each.
pub fn faults(root: &Path) -> Vec<String> {
    let mut faults = crate::arrows::forbidden(root);
    fences(root, &mut faults);
    for file in rust_files(&root.join("crates"))
        .into_iter()
        .chain(rust_files(&root.join("xtask")))
    {
        let text = std::fs::read_to_string(&file).expect("a source file is text");
        let name = file
            .strip_prefix(root)
            .expect("below the root")
            .display()
            .to_string();
        if text.starts_with("// @generated") {
            continue;
        }
        leaks(&name, &text, &mut faults);
        loose_ends(&name, &text, &mut faults);
        let lines = text.lines().count();
        if FILE_LINES_MAX < lines {
            faults.push(format!(
                "{name}: {lines} lines; past {FILE_LINES_MAX} it holds two nouns"
            ));
        }
    }
    let page = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the page exists");
    if ARCHITECTURE_LINES_MAX < page.lines().count() {
        faults.push(format!(
            "ARCHITECTURE.md: more than {ARCHITECTURE_LINES_MAX} lines"
        ));
    }
    faults
}

/// Every pure crate carries the same clippy fence and forbids what the workspace forbids.
fn fences(root: &Path, faults: &mut Vec<String>) {
    let fence =
        |name: &str| std::fs::read_to_string(root.join("crates").join(name).join("clippy.toml"));
    let model = fence("types").expect("crates/types/clippy.toml is the model");
    for name in PURE_CRATES {
        if !root.join("crates").join(name).exists() {
            faults.push(format!("{name}: a pure crate that does not exist"));
        } else if fence(name).ok().as_ref() != Some(&model) {
            faults.push(format!(
                "crates/{name}/clippy.toml: not equal to the one of types"
            ));
        }
    }
    for name in crate_names(root) {
        let manifest = std::fs::read_to_string(root.join("crates").join(&name).join("Cargo.toml"));
        if !manifest.is_ok_and(|text| text.contains("[lints]\nworkspace = true")) {
            faults.push(format!("{name}: does not take the workspace's lints"));
        }
    }
}

fn leaks(name: &str, text: &str, faults: &mut Vec<String>) {
    let pure = PURE_CRATES
        .iter()
        .any(|pure| name.starts_with(&format!("crates/{pure}/src/")));
    if !pure || name.ends_with("tests.rs") || name.contains("/tests/") {
        return;
    }
    let before_tests = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    for (number, line) in before_tests.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for outside in OUTSIDE_WORLD {
            if code.contains(outside) {
                faults.push(format!(
                    "{name}:{}: `{outside}` in a pure crate",
                    number + 1
                ));
            }
        }
    }
}

fn loose_ends(name: &str, text: &str, faults: &mut Vec<String>) {
    if name == "xtask/src/tidy.rs" {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        for loose in LOOSE_ENDS {
            if line.contains(loose) {
                faults.push(format!("{name}:{}: `{loose}` left behind", number + 1));
            }
        }
    }
}

fn crate_names(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("crates")).expect("the workspace has crates");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                found.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let faults = faults(&crate::root());
        assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    }

    #[test]
    fn a_leak_into_a_pure_crate_is_seen() {
        let mut faults = Vec::new();
        let text = "use std::fs::File; // why\n// std::fs::File in a comment\n";
        leaks("crates/storage/src/wal.rs", text, &mut faults);
        assert_eq!(
            faults,
            ["crates/storage/src/wal.rs:1: `std::fs::` in a pure crate"]
        );
        leaks("crates/server/src/disk.rs", text, &mut faults);
        assert_eq!(faults.len(), 1);
    }
}
