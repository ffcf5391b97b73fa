use ottla_broker::PartitionStates;
use ottla_metadata::quorum::Quorum;

use super::ServerReport;
use crate::metrics::{Exposition, HistogramSum};

impl ServerReport {
    /// How the metadata and the partitions it knows stand.
    pub(super) fn metadata(&self, text: &mut Exposition) {
        let status = self.quorum.status();
        let node = self.broker.config().node_id;
        let is_leader = status.leader == Some(node) && self.broker.metadata_failure().is_none();
        let gauges = [
            (
                "metadata_is_leader",
                "1 when this node leads the metadata quorum.",
                u64::from(is_leader),
            ),
            ("metadata_epoch", "The quorum's term.", status.term),
            (
                "metadata_applied_offset",
                "The last entry of the metadata log that is in force here.",
                status.applied_index,
            ),
        ];
        for (name, help, value) in gauges {
            text.gauge(name, help);
            text.count(name, &[], value);
        }
        let help = "Which node leads the metadata quorum; -1 while that is not known.";
        text.gauge("metadata_leader", help);
        let leader = status.leader.map_or(-1, |leader| leader.get());
        text.value("metadata_leader", &[], leader);
        let mut commits = HistogramSum::default();
        self.quorum.commits().add_to(&mut commits);
        let help = "From a proposal to the metadata log until it is in force here.";
        text.histogram("metadata_commit_seconds", help);
        text.buckets("metadata_commit_seconds", &[], &commits);
        let PartitionStates {
            led,
            replica,
            offline,
            under_replicated,
            under_min_isr,
            at_min_isr,
            missing: _, // Among those that are offline.
        } = self.broker.partition_states();
        text.gauge(
            "partitions",
            "Partitions of this node, by state; one may be in several.",
        );
        for (state, count) in [
            ("led", led),
            ("replica", replica),
            ("offline", offline),
            ("under_replicated", under_replicated),
            ("under_min_isr", under_min_isr),
            ("at_min_isr", at_min_isr),
        ] {
            text.count("partitions", &[("state", state)], count);
        }
    }
}
