use super::handle::ConsumerHandle;
use crate::core::{GroupEvent, PartitionKey};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

/// Hears when partitions of a subscribed topic come and go. What it does in
/// [`RebalanceListener::revoked`] is done before anybody else gets them; the whole group waits for
/// it, at most `max.poll.interval.ms`.
///
/// It is called only while the application is in [`Consumer::poll`](crate::Consumer::poll) or has
/// come back to it, so never while it works on records.
///
/// ```
/// use ottla_client::{ConsumerHandle, PartitionKey, RebalanceListener};
/// use std::collections::BTreeSet;
///
/// struct Commit;
///
/// impl RebalanceListener for Commit {
///     async fn revoked(&mut self, _: &BTreeSet<PartitionKey>, consumer: &ConsumerHandle) {
///         if let Err(error) = consumer.commit().await {
///             eprintln!("some records will be read twice: {error}");
///         }
///     }
/// }
/// ```
pub trait RebalanceListener: Send + 'static {
    /// These came in addition to what was there, perhaps none: a rebalance is over. A seek here decides
    /// where reading begins; otherwise it begins at the committed offsets.
    fn assigned(
        &mut self,
        partitions: &BTreeSet<PartitionKey>,
        consumer: &ConsumerHandle,
    ) -> impl Future<Output = ()> + Send {
        let _ = (partitions, consumer);
        async {}
    }

    /// These will be somebody else's. Their offsets can still be committed.
    fn revoked(
        &mut self,
        partitions: &BTreeSet<PartitionKey>,
        consumer: &ConsumerHandle,
    ) -> impl Future<Output = ()> + Send {
        let _ = (partitions, consumer);
        async {}
    }

    /// These may be somebody else's already: we were out of touch for too long. Their offsets cannot be
    /// committed any more.
    fn lost(
        &mut self,
        partitions: &BTreeSet<PartitionKey>,
        consumer: &ConsumerHandle,
    ) -> impl Future<Output = ()> + Send {
        let _ = (partitions, consumer);
        async {}
    }
}

/// A [`RebalanceListener`] of any type.
pub(super) trait AnyListener: Send {
    fn tell<'a>(
        &'a mut self,
        event: &'a GroupEvent,
        consumer: &'a ConsumerHandle,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

impl<L: RebalanceListener> AnyListener for L {
    fn tell<'a>(
        &'a mut self,
        event: &'a GroupEvent,
        consumer: &'a ConsumerHandle,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        match event {
            GroupEvent::Assigned(keys) => Box::pin(self.assigned(keys, consumer)),
            GroupEvent::Revoked(keys) => Box::pin(self.revoked(keys, consumer)),
            GroupEvent::Lost(keys) => Box::pin(self.lost(keys, consumer)),
        }
    }
}
