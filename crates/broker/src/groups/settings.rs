use crate::config::BrokerConfig;
use ottla_coordinator::ShardOptions;
use ottla_coordinator::group::GroupConfig;
use std::time::Duration;

/// What groups may do here.
///
/// `batch_bytes_max` is what every log directory takes in one append.
pub(super) fn group_config(config: &BrokerConfig, batch_bytes_max: usize) -> GroupConfig {
    let groups = &config.groups;
    let defaults = GroupConfig::default();
    // What a group has beside its members' own bytes goes into the rest.
    let record_bytes_max = batch_bytes_max / 8 * 7;
    GroupConfig {
        record_bytes_max: record_bytes_max.min(defaults.record_bytes_max),
        initial_rebalance_delay: groups.initial_rebalance_delay,
        session_timeout_min: groups.session_timeout_min,
        session_timeout_max: groups.session_timeout_max,
        members_count_max: groups.members_count_max,
        offset_metadata_units_max: groups.offset_metadata_max,
        offsets_retention: groups.offsets_retention,
        offsets_retention_check: groups.offsets_retention_check,
        ..defaults
    }
}

/// How their shards write.
pub(super) fn shard_options(config: &BrokerConfig) -> ShardOptions {
    ShardOptions {
        codec: config.groups.offsets_codec,
        commit_timeout: config
            .groups
            .offsets_commit_timeout
            .max(Duration::from_millis(1)),
        ..ShardOptions::default()
    }
}
