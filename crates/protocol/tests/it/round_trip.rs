use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ottla_types::Prng;

use crate::all_messages::ALL_MESSAGES;
use crate::sample::{Fill, sample};
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

#[test]
fn every_message_and_version_comes_back_as_the_same_bytes() {
    let schemas = schemas();
    let mut prng = Prng::new(1);
    let mut samples = 0;
    for entry in ALL_MESSAGES {
        let message = &schemas[entry.name];
        for version in message.versions.first..=message.versions.last {
            for fill in [
                Fill::Full,
                Fill::Null,
                Fill::Default,
                Fill::Random,
                Fill::Random,
            ] {
                let bytes = sample(message, version, fill, &mut prng);
                let what = format!("{} v{version} {fill:?}: {bytes:02x?}", entry.name);
                let recoded = (entry.recode)(&bytes, version)
                    .unwrap_or_else(|e| panic!("{what}: cannot be read: {e}"));
                assert_eq!(recoded.left_over, 0, "{what}");
                assert_eq!(recoded.encoded.as_ref(), Ok(&bytes), "{what}");
                samples += 1;
            }
        }
    }
    assert!(samples > 5 * 577, "only {samples} samples");
}
