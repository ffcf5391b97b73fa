//! The crate graph in ARCHITECTURE.md is the crate graph in the manifests.

use std::collections::BTreeMap;
use std::path::Path;

/// Every arrow that a manifest has and ARCHITECTURE.md does not allow, one line each.
pub fn forbidden(root: &Path) -> Vec<String> {
    let page = read(&root.join("ARCHITECTURE.md"));
    let allowed = allowed_arrows(&page);
    let mut faults = Vec::new();
    for (name, manifest) in manifests(root) {
        let Some(allowed) = allowed.get(name.as_str()) else {
            faults.push(format!(
                "{name}: missing from the arrows of ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in dependencies(&manifest) {
            if !allowed.contains(&dependency) {
                faults.push(format!(
                    "{name} -> {dependency}: not allowed by ARCHITECTURE.md"
                ));
            }
        }
    }
    faults
}

fn allowed_arrows(page: &str) -> BTreeMap<&str, Vec<&str>> {
    let block = page
        .split("```arrows")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let block = block.expect("ARCHITECTURE.md has a block fenced as arrows");
    block
        .lines()
        .filter_map(|line| line.split_once("->"))
        .map(|(from, to)| {
            (
                from.trim(),
                to.split_whitespace().filter(|to| *to != "-").collect(),
            )
        })
        .collect()
}

/// The names of our own crates below `[dependencies]` and `[build-dependencies]`, without `ottla-`.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut counts = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            counts = matches!(line, "[dependencies]" | "[build-dependencies]");
        } else if counts && let Some(rest) = line.strip_prefix("ottla-") {
            found.extend(rest.split(['.', '=', ' ']).next());
        }
    }
    found
}

fn manifests(root: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root.join("crates")).expect("the workspace has crates");
    let mut found: Vec<(String, String)> = entries
        .map(|entry| entry.expect("a readable directory").path())
        .map(|dir| {
            let name = dir
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, read(&dir.join("Cargo.toml")))
        })
        .collect();
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_crates_in_real_dependencies_count() {
        let manifest = "[dependencies]\nottla-types.workspace = true\nbytes = \"1\"\n\
                        [dev-dependencies]\nottla-sim.workspace = true\n";
        assert_eq!(dependencies(manifest), ["types"]);
    }

    #[test]
    fn the_manifests_keep_to_the_page() {
        let faults = forbidden(&crate::root());
        assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    }
}
