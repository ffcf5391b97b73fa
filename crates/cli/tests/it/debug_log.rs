//! `ottla debug log` on directories of killed brokers, whole and with a flipped bit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::broker::{Broker, OTTLA, TestDir};

fn debug_log(dir: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(OTTLA)
        .args(["debug", "log"])
        .arg(dir)
        .args(more)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// A directory with records in the journal, and with more in segments if it was stopped in order.
fn used_directory(records: usize, kill: bool) -> TestDir {
    let dir = TestDir::new();
    let broker = Broker::start(dir.path());
    for round in 0..4 {
        let input: String = (0..records).map(|n| format!("{round}.{n}\n")).collect();
        let written = broker.command_with(&["produce", "looked-at"], &input);
        assert!(written.status.success());
    }
    if kill {
        broker.kill();
    } else {
        assert_eq!(broker.stop().0.code(), Some(0));
    }
    dir
}

fn flip(path: &Path, position: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[position] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// The size in bytes of the journal's frame `number`: how much one frame holds is the committer's and the machine's
/// to say.
fn frame_size(text: &str, number: u64) -> usize {
    let start = format!(": frame {number}, ");
    let found = text.lines().find_map(|line| line.split_once(&start));
    let (_, rest) = found.unwrap_or_else(|| panic!("no frame {number} in\n{text}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

fn find(dir: &Path, ending: &str) -> PathBuf {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.to_str().unwrap().ends_with(ending)
                && 0 < fs::metadata(&path).unwrap().len()
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no {ending}"))
}

#[test]
fn a_killed_brokers_journal_is_shown_frame_by_frame() {
    let dir = used_directory(100, true);
    let before = fs::read(find(dir.path(), "ring-000001.wal")).unwrap();
    let (code, text, errors) = debug_log(dir.path(), &["--batches"]);
    assert_eq!(code, Some(0), "{text}{errors}");
    for expected in [
        "wal: ",
        "  wal/ring-000001.wal at 4096: frame 1, ",
        " bytes, proven",
        ": Append of ",
        "metadata: of node 1@",
        "  entry 0, term 1: voters 1@",
        "looked-at",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let (code, lines, _) = debug_log(dir.path(), &["--batches", "--format", "json"]);
    assert_eq!(code, Some(0));
    let values: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let entries = values.iter().filter(|value| value["kind"] == "Append");
    let records: i64 = entries
        .map(|entry| entry["end_offset"].as_i64().unwrap() - entry["base_offset"].as_i64().unwrap())
        .sum();
    assert_eq!(records, 400);
    let after = fs::read(find(dir.path(), "ring-000001.wal")).unwrap();
    assert!(before == after, "looking changes nothing");
}

#[test]
fn damage_is_named_by_file_and_position() {
    // A frame that later ones prove.
    let dir = used_directory(100, true);
    let ring = find(dir.path(), "ring-000001.wal");
    let (_, text, _) = debug_log(dir.path(), &["--batches"]);
    flip(&ring, 4096 + frame_size(&text, 1) / 2);
    let (code, text, errors) = debug_log(dir.path(), &[]);
    assert_eq!(code, Some(1), "{text}");
    let expected = "FAULT in wal/ring-000001.wal at position 4096: frame 1 was fsynced";
    assert!(text.contains(expected), "{text}");
    assert!(errors.contains("found"), "{errors}");

    // The metadata log: its second frame, and then its first one, without which there is none.
    let dir = used_directory(10, true);
    for (position, expected) in [
        (8192 + 20, "FAULT in metadata/raft-log-1 at position 8192: "),
        (4096 + 20, "FAULT in metadata: "),
    ] {
        flip(&find(dir.path(), "raft-log-1"), position);
        let (code, text, _) = debug_log(dir.path(), &[]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(expected), "{text}");
    }

    // A segment, which its sidecar and its batch both give away. (Checkpoints need more data than this: the
    // tests with foreign clients flip a bit in one.)
    let dir = used_directory(1000, false);
    let (code, text, _) = debug_log(dir.path(), &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("4000 records") && text.contains("sums of "),
        "{text}"
    );
    let segment = find(dir.path(), ".log");
    flip(&segment, 100);
    let (code, text, _) = debug_log(dir.path(), &[]);
    assert_eq!(code, Some(1), "{text}");
    let name = segment.strip_prefix(dir.path()).unwrap().display();
    let expected = format!("FAULT in {name} at position 0: offset 0: wrong checksum");
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains("do not match their checksum"), "{text}");
}
