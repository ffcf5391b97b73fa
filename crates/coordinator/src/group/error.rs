/// Why a request about a group is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The group has no id.
    #[error("a group needs an id")]
    InvalidGroupId,
    /// There is no such group.
    #[error("no such group")]
    UnknownGroup,
    /// The session timeout is outside of what the broker allows.
    #[error("the session timeout is outside of what the broker allows")]
    InvalidSessionTimeout,
    /// The group has as many members as it may.
    #[error("the group is full")]
    GroupFull,
    /// The member has to come back with the id it was given (KIP-394).
    #[error("a member id is needed")]
    MemberIdRequired,
    /// The group has no such member.
    #[error("no such member")]
    UnknownMember,
    /// Another member has taken over the static member's place (KIP-345).
    #[error("another member has taken the place of this static member")]
    FencedInstance,
    /// The generation is not the group's.
    #[error("not the group's generation")]
    IllegalGeneration,
    /// The member must join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// The protocols have nothing in common with the group's.
    #[error("the member's protocols are not the group's")]
    InconsistentProtocol,
    /// The group's state would not fit into one record.
    #[error("the group's state is too large")]
    StateTooLarge,
    /// The offsets of one commit would not fit into one batch.
    #[error("too many offsets for one commit")]
    CommitTooLarge,
    /// The metadata of an offset is too large.
    #[error("the metadata of the offset is too large")]
    OffsetMetadataTooLarge,
    /// Only groups without members can be deleted.
    #[error("the group is not empty")]
    NonEmptyGroup,
    /// The offsets of a topic that members read are not deleted.
    #[error("the group is subscribed to the topic")]
    SubscribedToTopic,
}
