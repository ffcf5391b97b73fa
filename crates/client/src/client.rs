use crate::admin::Admin;
use crate::consumer::{Consumer, ConsumerOptions};
use crate::error::ClientError;
use crate::options::ClientOptions;
use crate::pool::Pool;
use crate::producer::{Producer, ProducerOptions};
use std::sync::Arc;

/// The way to a cluster. Cheap to clone; producers, consumers and admins made from it share what it
/// knows. Connections end when the last of them is dropped.
///
/// ```no_run
/// # use ottla_client::{Client, ClientOptions};
/// # async fn example() -> Result<(), ottla_client::ClientError> {
/// let client = Client::connect("broker1:9092,broker2:9092", ClientOptions::default()).await?;
/// for topic in client.admin().list_topics().await? {
///     println!("{topic}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Reaches the cluster through one of `bootstrap` (host:port, several separated by commas) and
    /// learns its brokers. Fails when none answers within the operation timeout.
    pub async fn connect(bootstrap: &str, options: ClientOptions) -> Result<Client, ClientError> {
        let client = Client::lazy(bootstrap, options)?;
        client.reach().await?;
        Ok(client)
    }

    /// Connects, unless it is connected, and learns the cluster's brokers. Fails when none answers
    /// within the operation timeout.
    pub async fn reach(&self) -> Result<(), ClientError> {
        self.admin().learn_brokers().await
    }

    /// As [`Client::connect`], but connects when it is first needed.
    pub fn lazy(bootstrap: &str, options: ClientOptions) -> Result<Client, ClientError> {
        let addresses = bootstrap
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
            .map(parse_address)
            .collect::<Option<Vec<_>>>()
            .filter(|addresses| !addresses.is_empty())
            .ok_or_else(|| ClientError::Address {
                text: bootstrap.to_owned(),
            })?;
        Ok(Client {
            pool: Arc::new(Pool::new(addresses, Arc::new(options))),
        })
    }

    /// A producer. Must be called within a tokio runtime.
    pub fn producer(&self, options: ProducerOptions) -> Producer {
        Producer::start(self.pool.clone(), options)
    }

    /// A consumer without partitions yet. Must be called within a tokio runtime.
    pub fn consumer(&self, options: ConsumerOptions) -> Consumer {
        Consumer::start(self.pool.clone(), options)
    }

    /// Administration.
    pub fn admin(&self) -> Admin {
        Admin::new(self.pool.clone())
    }
}

/// `host:port`, also `[::1]:port`; the port is 9092 when it is left out.
fn parse_address(text: &str) -> Option<(Arc<str>, u16)> {
    const PORT_DEFAULT: u16 = 9092;
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port))
            if !host.ends_with(':') && (!host.contains(':') || host.ends_with(']')) =>
        {
            (host, port.parse().ok()?)
        }
        _ => (text, PORT_DEFAULT),
    };
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    (!host.is_empty() && port != 0).then(|| (Arc::from(host), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let parse = |text| parse_address(text).map(|(host, port)| (host.to_string(), port));
        assert_eq!(parse("a:1"), Some(("a".to_owned(), 1)));
        assert_eq!(parse("a"), Some(("a".to_owned(), 9092)));
        assert_eq!(
            parse("127.0.0.1:65535"),
            Some(("127.0.0.1".to_owned(), 65535))
        );
        assert_eq!(parse("[::1]:7"), Some(("::1".to_owned(), 7)));
        assert_eq!(parse("::1"), Some(("::1".to_owned(), 9092)));
        for bad in ["a:65536", "a:x", ":1", "a:0"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert!(Client::lazy(" , ", ClientOptions::default()).is_err());
        assert!(Client::lazy("a:1, b:2", ClientOptions::default()).is_ok());
    }
}
