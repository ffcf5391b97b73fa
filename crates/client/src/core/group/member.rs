use super::subscription::Subscription;
use crate::core::partition_key::PartitionKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A member as the leader sees it.
#[derive(Clone, Debug)]
pub struct GroupMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// The name it keeps across restarts, if it is a static member (KIP-345).
    pub instance_id: Option<Arc<str>>,
    /// What it wants.
    pub subscription: Subscription,
}

/// Who gets what, by member id.
pub type Assignment = BTreeMap<Arc<str>, BTreeSet<PartitionKey>>;
