use crate::clock::random_seed;
use crate::options::ClientOptions;
use ottla_types::Prng;
use std::sync::Arc;
use tokio::time::{Instant, sleep};

/// When an operation is tried again, and when it is given up.
pub(super) struct Retry {
    options: Arc<ClientOptions>,
    give_up_at: Instant,
    prng: Prng,
    attempt: u32,
}

impl Retry {
    /// The first attempt is made now; the operation timeout begins.
    pub(super) fn new(options: &Arc<ClientOptions>) -> Retry {
        Retry {
            options: options.clone(),
            give_up_at: Instant::now() + options.operation_timeout,
            prng: Prng::new(random_seed()),
            attempt: 0,
        }
    }

    /// Waits before the next attempt; false, at once, if there is no time for one.
    pub(super) async fn again(&mut self) -> bool {
        self.attempt += 1;
        let wait = self.options.backoff.delay(self.attempt, &mut self.prng);
        if self.give_up_at <= Instant::now() + wait {
            return false;
        }
        sleep(wait).await;
        true
    }
}
