//! Classic groups: members join, one of them leads and says who does what, everybody syncs.

mod member;
mod state;

mod classic_group;

pub(crate) use classic_group::InitialDelay;
pub use classic_group::{ClassicGroup, GroupParts, Rebalances};
pub use member::{ClassicMember, MemberParts};
pub use state::GroupState;
