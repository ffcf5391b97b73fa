use crate::core::Backoff;
use std::time::Duration;

/// What every producer, consumer and admin of one [`crate::Client`] has in common.
///
/// ```
/// use ottla_client::ClientOptions;
/// use std::time::Duration;
///
/// let options = ClientOptions { client_id: "loader".to_owned(), ..ClientOptions::default() };
/// assert_eq!(options.request_timeout, Duration::from_secs(30));
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `client.id`: what the broker's logs and quotas call us.
    pub client_id: String,
    /// `request.timeout.ms`: an unanswered request closes its connection after this.
    pub request_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`: from the look-up of a name to the end of the handshake.
    pub connect_timeout: Duration,
    /// `retry.backoff.ms` and `retry.backoff.max.ms`.
    pub backoff: Backoff,
    /// How long an operation that waits for the cluster (to know a topic, to answer an admin call)
    /// may take in all: `max.block.ms`, `default.api.timeout.ms`.
    pub operation_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            client_id: "ottla-client".to_owned(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            backoff: Backoff::default(),
            operation_timeout: Duration::from_secs(60),
        }
    }
}
