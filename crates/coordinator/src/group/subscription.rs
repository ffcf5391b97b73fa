use ottla_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ottla_protocol::{Message, Reader};

/// The protocol type of groups of consumers.
pub(crate) const CONSUMER: &str = "consumer";

/// The topics in a consumer's metadata; `None` when it cannot be read.
///
/// Version 0 is a prefix of every later version, so nothing of those is needed here.
pub(crate) fn subscribed_topics(metadata: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::new(metadata);
    let version = reader.i16().ok()?;
    if version < 0 {
        return None;
    }
    let subscription = ConsumerProtocolSubscription::decode(&mut reader, 0).ok()?;
    let topics = subscription.topics.into_iter();
    Some(topics.map(std::borrow::Cow::into_owned).collect())
}
