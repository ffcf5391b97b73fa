//! Turns `schemas/` into the message types of `crates/protocol`.

/// Appends formatted text to a `String`.
macro_rules! emit {
    ($out:expr, $($text:tt)*) => { $out.push_str(&format!($($text)*)) };
}

/// Appends a formatted line to a `String`.
macro_rules! emit_line {
    ($out:expr, $($text:tt)*) => {{
        $out.push_str(&format!($($text)*));
        $out.push('\n');
    }};
}

mod schema;

mod condition;
mod names;

mod facts;

mod decode;
mod encode;

mod api_key;
mod message;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use schema::{Kind, Message};

const MESSAGES: &str = "crates/protocol/src/messages";
const API_KEYS: &str = "crates/protocol/src/api_key.rs";
const TEST_TABLE: &str = "crates/protocol/tests/it/all_messages.rs";

/// Whether to write the files or only to say which ones are not as they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Write,
    Check,
}

/// Brings every generated file up to date.
pub fn write(root: &Path) -> ExitCode {
    match run(root, Mode::Write) {
        Ok(stale) => {
            println!("{} files written", stale.len());
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// What is not as the schemas say, one line each.
pub fn faults(root: &Path) -> Vec<String> {
    match run(root, Mode::Check) {
        Ok(stale) => stale
            .iter()
            .map(|path| format!("{}: out of date, run `cargo xtask codegen`", path.display()))
            .collect(),
        Err(fault) => vec![fault],
    }
}

/// Generates everything; returns the files that are (or, with [`Mode::Write`], were) out of date.
fn run(root: &Path, mode: Mode) -> Result<Vec<PathBuf>, String> {
    let wanted = format(&generate(root)?)?;
    let mut stale: Vec<PathBuf> = Vec::new();
    for (path, text) in &wanted {
        if fs::read_to_string(root.join(path)).ok().as_deref() != Some(text) {
            if mode == Mode::Write {
                fs::write(root.join(path), text).map_err(|e| describe(path, &e))?;
            }
            stale.push(path.clone());
        }
    }
    // What no schema asks for any more.
    for entry in fs::read_dir(root.join(MESSAGES)).map_err(|e| describe(Path::new(MESSAGES), &e))? {
        let name = entry
            .map_err(|e| describe(Path::new(MESSAGES), &e))?
            .file_name();
        let path = Path::new(MESSAGES).join(name);
        if !wanted.contains_key(&path) {
            if mode == Mode::Write {
                fs::remove_file(root.join(&path)).map_err(|e| describe(&path, &e))?;
            }
            stale.push(path);
        }
    }
    Ok(stale)
}

fn describe(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Every file, by its path below the repository's root, not yet formatted.
fn generate(root: &Path) -> Result<BTreeMap<PathBuf, String>, String> {
    let mut files = BTreeMap::new();
    let mut messages: Vec<Message> = Vec::new();
    let mut sources: Vec<String> = Vec::new();
    for (source, text) in read_schemas(&root.join("schemas"))? {
        for m in schema::parse(&text).map_err(|e| format!("schemas/{source}: {e}"))? {
            let path = Path::new(MESSAGES).join(message::module_name(&m) + ".rs");
            if files.insert(path, message::generate(&m, &source)).is_some() {
                return Err(format!("schemas/{source}: a second {}", m.name));
            }
            messages.push(m);
            sources.push(source.clone());
        }
    }
    files.insert(PathBuf::from(API_KEYS), api_key::generate(&messages));
    files.insert(Path::new(MESSAGES).join("mod.rs"), module_list(&messages));
    files.insert(PathBuf::from(TEST_TABLE), test_table(&messages, &sources));
    Ok(files)
}

/// Path below `schemas/` and text of each schema file, in order of the paths.
fn read_schemas(dir: &Path) -> Result<Vec<(String, String)>, String> {
    let mut schemas = Vec::new();
    for area in list(dir)?.iter().filter(|path| path.is_dir()) {
        for path in list(area)? {
            if path.extension().is_some_and(|e| e == "schema") {
                let text = fs::read_to_string(&path).map_err(|e| describe(&path, &e))?;
                let relative = path.strip_prefix(dir).expect("it was listed below it");
                schemas.push((relative.to_string_lossy().replace('\\', "/"), text));
            }
        }
    }
    Ok(schemas)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(dir).map_err(|e| describe(dir, &e))?;
    let mut paths = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<io::Result<Vec<PathBuf>>>()
        .map_err(|e| describe(dir, &e))?;
    paths.sort();
    Ok(paths)
}

/// `messages/mod.rs`: the modules, and the messages themselves without their modules' names.
fn module_list(messages: &[Message]) -> String {
    let names: BTreeSet<(String, &str)> = messages
        .iter()
        .map(|m| (message::module_name(m), m.name.as_str()))
        .collect();
    let mut out = format!(
        "{} schemas; do not edit.\n\n//! Every message and persisted record of Kafka 4.4, one module each.\n\n",
        message::MARKER
    );
    for (module, name) in &names {
        emit_line!(out, "/// [`{name}`] and its parts.\npub mod {module};");
    }
    out.push('\n');
    for (module, name) in &names {
        emit_line!(out, "pub use {module}::{name};");
    }
    out
}

/// The table by which tests reach every message.
fn test_table(messages: &[Message], sources: &[String]) -> String {
    let mut out = format!(
        "{} schemas; do not edit.\n\nuse ottla_protocol::messages::*;\n\nuse crate::recode::{{Entry, probe, recode, show}};\n\n\
         /// Every message, in the order of the schema files.\npub const ALL_MESSAGES: &[Entry] = &[\n",
        message::MARKER
    );
    for (m, source) in messages.iter().zip(sources) {
        let key = match m.kind {
            Kind::Request | Kind::Response => format!("Some({})", m.key),
            _ => "None".to_owned(),
        };
        emit_line!(
            out,
            "Entry {{ schema: {source:?}, name: {:?}, api_key: {key}, is_request: {}, \
             recode: |bytes, version| recode::<{name}>(bytes, version), \
             probe: |bytes, version| probe::<{name}>(bytes, version), \
             show: |bytes, version| show::<{name}>(bytes, version) }},",
            m.name,
            m.kind == Kind::Request,
            name = m.name,
        );
    }
    out + "];\n"
}

/// Formats all files with one call of rustfmt.
fn format(files: &BTreeMap<PathBuf, String>) -> Result<BTreeMap<PathBuf, String>, String> {
    let dir = env::temp_dir().join(format!("ottla-codegen-{}", std::process::id()));
    let result = format_in(&dir, files);
    // Only a copy of what was generated; a leftover does no harm.
    let _ = fs::remove_dir_all(&dir);
    result
}

fn format_in(
    dir: &Path,
    files: &BTreeMap<PathBuf, String>,
) -> Result<BTreeMap<PathBuf, String>, String> {
    fs::create_dir_all(dir).map_err(|e| describe(dir, &e))?;
    // The list of modules is made as rustfmt wants it: it would look for the modules.
    let (lists, files): (Vec<_>, Vec<_>) =
        files.iter().partition(|(path, _)| path.ends_with("mod.rs"));
    let copies: Vec<PathBuf> = (0..files.len())
        .map(|i| dir.join(format!("f{i}.rs")))
        .collect();
    for (copy, (_, text)) in copies.iter().zip(&files) {
        fs::write(copy, text).map_err(|e| describe(copy, &e))?;
    }
    let rustfmt = env::var_os("RUSTFMT").unwrap_or_else(|| "rustfmt".into());
    let output = Command::new(rustfmt)
        .args([
            "--edition",
            "2024",
            "--config",
            "max_width=100,use_field_init_shorthand=true",
        ])
        .args(&copies)
        .output()
        .map_err(|e| format!("rustfmt: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "rustfmt: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let mut formatted: BTreeMap<PathBuf, String> = lists
        .into_iter()
        .map(|(path, text)| (path.clone(), text.clone()))
        .collect();
    for (copy, (path, _)) in copies.iter().zip(&files) {
        let text = fs::read_to_string(copy).map_err(|e| describe(copy, &e))?;
        formatted.insert((*path).clone(), text);
    }
    Ok(formatted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_code_is_current() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(faults(&root), Vec::<String>::new());
    }
}
