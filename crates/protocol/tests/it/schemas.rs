use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::all_messages::ALL_MESSAGES;
use crate::schema::{Message, parse};

/// The schemas of all messages, by name.
pub fn schemas() -> BTreeMap<String, Message> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let mut schemas = BTreeMap::new();
    let mut files: Vec<&str> = ALL_MESSAGES.iter().map(|entry| entry.schema).collect();
    files.dedup();
    for file in files {
        let text = fs::read_to_string(root.join(file)).expect("a schema of the table exists");
        for message in parse(&text).expect("the generator has read it too") {
            schemas.insert(message.name.clone(), message);
        }
    }
    schemas
}
