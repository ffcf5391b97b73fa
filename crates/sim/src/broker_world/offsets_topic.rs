//! The topic of committed offsets, with segments so small that the cleaner has something to do.

use super::link::Frame;
use super::site::Site;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_types::Prng;

const NAME: &str = "__consumer_offsets";
const SETTING: &str = "internal.segment.bytes";
/// What a group writes at once fits.
const SEGMENT_BYTES: &str = "6000";
/// What AlterConfigs calls a topic.
const TOPIC: i8 = 2;
const ALTER_VERSION: i16 = 1;

/// Whether the topic is compacted in the run of this seed.
pub(super) fn is_compacted(seed: u64) -> bool {
    Prng::new(seed ^ 0x636f_6d70_6163_7473).chance(1, 2)
}

/// Asks for small segments, until the topic has them.
pub(super) fn shrink(site: &mut Site) -> Option<Frame> {
    let node = site.ready_node().filter(|_| site.compacts_offsets())?;
    let image = node.broker.image();
    image.topic_by_name(NAME)?;
    let configs = image.topic_configs(NAME);
    if configs.is_some_and(|configs| configs.contains_key(SETTING)) {
        return None;
    }
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: NAME.into(),
            configs: vec![AlterableConfig {
                name: SETTING.into(),
                value: Some(SEGMENT_BYTES.into()),
                ..AlterableConfig::default()
            }],
        }],
        validate_only: false,
    };
    let correlation = site.correlation();
    let key = ApiKey::IncrementalAlterConfigs;
    Some(Frame::new(key, ALTER_VERSION, correlation, &request))
}
