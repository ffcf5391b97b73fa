use ottla_types::Prng;

use crate::all_messages::ALL_MESSAGES;
use crate::sample::{Fill, sample};
use crate::schemas::schemas;

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
                let what = || format!("{} v{version} {fill:?}: {bytes:02x?}", entry.name);
                let recoded = (entry.recode)(&bytes, version)
                    .unwrap_or_else(|e| panic!("{}: cannot be read: {e}", what()));
                assert_eq!(recoded.left_over, 0, "{}", what());
                let text = || (entry.show)(&bytes, version);
                assert_eq!(
                    recoded.encoded.as_ref(),
                    Ok(&bytes),
                    "{}: {}",
                    what(),
                    text()
                );
                samples += 1;
            }
        }
    }
    assert!(samples > 5 * 577, "only {samples} samples");
}
