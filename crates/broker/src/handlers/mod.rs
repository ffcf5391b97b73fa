//! One file per API: what it does with a request and what it answers. Only here API versions matter.

mod config_entries;
mod group_texts;
mod leader_hints;
mod topic_metadata;

pub(crate) mod k00_produce;
pub(crate) mod k01_fetch;
pub(crate) mod k02_list_offsets;
pub(crate) mod k03_metadata;
pub(crate) mod k08_offset_commit;
pub(crate) mod k09_offset_fetch;
pub(crate) mod k10_find_coordinator;
pub(crate) mod k11_join_group;
pub(crate) mod k12_heartbeat;
pub(crate) mod k13_leave_group;
pub(crate) mod k14_sync_group;
pub(crate) mod k15_describe_groups;
pub(crate) mod k16_list_groups;
pub(crate) mod k18_api_versions;
pub(crate) mod k19_create_topics;
pub(crate) mod k20_delete_topics;
pub(crate) mod k21_delete_records;
pub(crate) mod k22_init_producer_id;
pub(crate) mod k23_offset_for_leader_epoch;
pub(crate) mod k32_describe_configs;
pub(crate) mod k35_describe_log_dirs;
pub(crate) mod k37_create_partitions;
pub(crate) mod k42_delete_groups;
pub(crate) mod k44_incremental_alter_configs;
pub(crate) mod k47_offset_delete;
pub(crate) mod k60_describe_cluster;
pub(crate) mod k75_describe_topic_partitions;
