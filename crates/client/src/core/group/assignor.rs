/// How a group's leader spreads partitions over the members. Names and results of a round are
/// understood by the clients of other languages; which member leads does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assignor {
    /// Topic by topic, neighbouring partitions to one member: equal partitions of several topics meet.
    Range,
    /// Partition by partition, member by member.
    RoundRobin,
    /// Evenly, moving as little as possible; everybody still stops during a rebalance.
    Sticky,
    /// As [`Assignor::Sticky`], and only partitions that move stop (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// Every assignor.
    pub const ALL: [Assignor; 4] = [
        Assignor::Range,
        Assignor::RoundRobin,
        Assignor::Sticky,
        Assignor::CooperativeSticky,
    ];

    /// What it is called in JoinGroup.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The assignor of this name.
    pub fn from_name(name: &str) -> Option<Assignor> {
        Assignor::ALL
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    /// Whether members keep what does not move during a rebalance.
    pub fn is_cooperative(self) -> bool {
        self == Assignor::CooperativeSticky
    }
}
