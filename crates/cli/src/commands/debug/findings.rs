use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client_arguments::Format;

/// Prints what is in a directory, and counts what is wrong with it.
pub struct Findings {
    /// Names are told from here on.
    root: PathBuf,
    format: Format,
    faults_count: usize,
}

impl Findings {
    /// Of nothing yet.
    pub fn new(root: &Path, format: Format) -> Findings {
        Findings {
            root: root.to_owned(),
            format,
            faults_count: 0,
        }
    }

    /// A path as it is told.
    pub fn name(&self, path: &Path) -> String {
        let name = path.strip_prefix(&self.root).unwrap_or(path);
        let name = if name.as_os_str().is_empty() {
            path
        } else {
            name
        };
        name.display().to_string()
    }

    /// One line, for people or for programs.
    pub fn tell(&self, text: impl FnOnce() -> String, value: impl FnOnce() -> Value) {
        match self.format {
            Format::Text | Format::Wide => outln!("{}", text()),
            Format::Json => outln!("{}", value()),
        }
    }

    /// Something that was written is not there.
    pub fn fault(&mut self, file: &str, position: Option<u64>, what: &str) {
        self.faults_count += 1;
        let at = position.map_or(String::new(), |position| format!(" at position {position}"));
        self.tell(
            || format!("FAULT in {file}{at}: {what}"),
            || json!({"fault": what, "file": file, "position": position}),
        );
    }

    /// How many faults there are.
    pub fn faults_count(&self) -> usize {
        self.faults_count
    }
}
