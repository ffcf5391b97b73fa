use crate::handlers;
use crate::request::{Handled, Request};
use ottla_protocol::ApiKey;
use std::ops::RangeInclusive;

/// An API that is served, and by whom. What is in this table is served and advertised; nothing else is.
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    pub(crate) handle: fn(Request<'_>) -> Handled,
}

/// Every API that is served, by number.
pub(crate) static APIS: &[Api] = &[
    api(ApiKey::Produce, handlers::k00_produce::handle),
    api(ApiKey::Fetch, handlers::k01_fetch::handle),
    api(ApiKey::ListOffsets, handlers::k02_list_offsets::handle),
    api(ApiKey::Metadata, handlers::k03_metadata::handle),
    api(ApiKey::OffsetCommit, handlers::k08_offset_commit::handle),
    api(ApiKey::OffsetFetch, handlers::k09_offset_fetch::handle),
    api(
        ApiKey::FindCoordinator,
        handlers::k10_find_coordinator::handle,
    ),
    api(ApiKey::JoinGroup, handlers::k11_join_group::handle),
    api(ApiKey::Heartbeat, handlers::k12_heartbeat::handle),
    api(ApiKey::LeaveGroup, handlers::k13_leave_group::handle),
    api(ApiKey::SyncGroup, handlers::k14_sync_group::handle),
    api(
        ApiKey::DescribeGroups,
        handlers::k15_describe_groups::handle,
    ),
    api(ApiKey::ListGroups, handlers::k16_list_groups::handle),
    api(ApiKey::ApiVersions, handlers::k18_api_versions::handle),
    api(ApiKey::CreateTopics, handlers::k19_create_topics::handle),
    api(ApiKey::DeleteTopics, handlers::k20_delete_topics::handle),
    api(ApiKey::DeleteRecords, handlers::k21_delete_records::handle),
    api(
        ApiKey::InitProducerId,
        handlers::k22_init_producer_id::handle,
    ),
    api(
        ApiKey::OffsetForLeaderEpoch,
        handlers::k23_offset_for_leader_epoch::handle,
    ),
    api(
        ApiKey::DescribeConfigs,
        handlers::k32_describe_configs::handle,
    ),
    api(ApiKey::AlterConfigs, handlers::k33_alter_configs::handle),
    api(
        ApiKey::AlterReplicaLogDirs,
        handlers::k34_alter_replica_log_dirs::handle,
    ),
    api(
        ApiKey::DescribeLogDirs,
        handlers::k35_describe_log_dirs::handle,
    ),
    api(
        ApiKey::CreatePartitions,
        handlers::k37_create_partitions::handle,
    ),
    api(ApiKey::DeleteGroups, handlers::k42_delete_groups::handle),
    api(ApiKey::ElectLeaders, handlers::k43_elect_leaders::handle),
    api(
        ApiKey::IncrementalAlterConfigs,
        handlers::k44_incremental_alter_configs::handle,
    ),
    api(
        ApiKey::AlterPartitionReassignments,
        handlers::k45_alter_partition_reassignments::handle,
    ),
    api(
        ApiKey::ListPartitionReassignments,
        handlers::k46_list_partition_reassignments::handle,
    ),
    api(ApiKey::OffsetDelete, handlers::k47_offset_delete::handle),
    api(
        ApiKey::DescribeQuorum,
        handlers::k55_describe_quorum::handle,
    ),
    api(
        ApiKey::UpdateFeatures,
        handlers::k57_update_features::handle,
    ),
    api(
        ApiKey::DescribeCluster,
        handlers::k60_describe_cluster::handle,
    ),
    api(
        ApiKey::DescribeProducers,
        handlers::k61_describe_producers::handle,
    ),
    api(
        ApiKey::UnregisterBroker,
        handlers::k64_unregister_broker::handle,
    ),
    api(
        ApiKey::ListConfigResources,
        handlers::k74_list_config_resources::handle,
    ),
    api(
        ApiKey::DescribeTopicPartitions,
        handlers::k75_describe_topic_partitions::handle,
    ),
];

const fn api(key: ApiKey, handle: fn(Request<'_>) -> Handled) -> Api {
    Api { key, handle }
}

impl Api {
    /// The API with this number, if it is served.
    pub(crate) fn find(number: i16) -> Option<&'static Api> {
        let found = APIS.binary_search_by_key(&number, |api| api.key as i16);
        found.ok().map(|index| &APIS[index])
    }

    /// The versions that are served.
    pub(crate) fn versions(&self) -> RangeInclusive<i16> {
        self.key.versions()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(APIS.windows(2).all(|pair| pair[0].key < pair[1].key));
        for api in APIS {
            let found = Api::find(api.key as i16).expect("in the table");
            assert_eq!(found.key, api.key);
        }
        assert!(Api::find(ApiKey::EndTxn as i16).is_none());
        assert!(Api::find(-1).is_none());
    }
}
