use crate::client_identity::{ClientIdentity, SaidByClient, TOPICS_PER_CLIENT_MAX};
use crate::config::{AdvertisedHost, BrokerConfig};
use crate::metrics::ClientSoftware;
use crate::response::CoreId;
use core::net::SocketAddr;
use ottla_metadata::{Endpoint, Image};
use ottla_types::TopicId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the server knows about a connection when it accepts it.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The core that serves it.
    pub core: CoreId,
    /// Name of the listener it came in by.
    pub listener: String,
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address, as the client reached it.
    pub local: SocketAddr,
}

/// State of one client connection, owned by whoever serves it.
#[derive(Debug)]
pub struct Connection {
    pub(crate) core: CoreId,
    pub(crate) reached: Reached,
    pub(crate) peer: SocketAddr,
    /// What the client said about itself;
    said: SaidByClient,
    /// and where others look it up.
    identity: Arc<ClientIdentity>,
    /// The topics it uses that others are told of already.
    topics: Vec<UsedTopic>,
    /// Shared with its copies: whether the client has gone.
    is_gone: Arc<AtomicBool>,
}

/// A topic that a client uses. Not the topic itself: its partitions change, and would be kept as they were.
#[derive(Debug)]
struct UsedTopic {
    id: TopicId,
    name: Arc<str>,
}

/// A topic as a request names it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NamedTopic<'a> {
    ByName(&'a str),
    ById(TopicId),
}

/// Where a client reached us: it is told addresses of the same listener.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) listener: Arc<str>,
    pub(crate) local: SocketAddr,
}

impl Connection {
    pub(crate) fn new(info: ConnectionInfo) -> Connection {
        Connection {
            core: info.core,
            reached: Reached {
                listener: info.listener.into(),
                local: info.local,
            },
            peer: info.peer,
            said: SaidByClient::default(),
            identity: Arc::default(),
            topics: Vec::new(),
            is_gone: Arc::default(),
        }
    }

    /// The same connection, for a request of it that is carried out later.
    pub(crate) fn copy_for_later(&self) -> Connection {
        Connection {
            core: self.core,
            reached: self.reached.clone(),
            peer: self.peer,
            said: self.said.clone(),
            identity: Arc::clone(&self.identity),
            topics: Vec::new(),
            is_gone: Arc::clone(&self.is_gone),
        }
    }

    /// The client has gone.
    pub(crate) fn leave(self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }

    /// Whether the client has gone, also of a copy.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Name and version of the client, once it said them.
    pub fn software(&self) -> Option<&ClientSoftware> {
        self.said.software.as_deref()
    }

    /// What the client calls itself, for whoever wants to know who is connected.
    pub fn identity(&self) -> Arc<ClientIdentity> {
        Arc::clone(&self.identity)
    }

    /// A request came under this client id.
    pub(crate) fn came_from(&mut self, client_id: Option<&str>) {
        if self.said.client_id.as_deref() != client_id {
            self.said.client_id = client_id.map(Arc::from);
            self.identity.says(&self.said);
        }
    }

    /// The client said what it is.
    pub(crate) fn introduced(&mut self, software: ClientSoftware) {
        self.said.software = Some(Arc::new(software));
        self.identity.says(&self.said);
    }

    /// The client writes to a topic or reads from it; what does not exist nobody uses.
    pub(crate) fn uses(&mut self, topic: NamedTopic<'_>, image: &Image) {
        let is_it = |known: &UsedTopic| match topic {
            NamedTopic::ByName(name) => *known.name == *name,
            NamedTopic::ById(id) => known.id == id,
        };
        if self.topics.len() == TOPICS_PER_CLIENT_MAX || self.topics.iter().any(is_it) {
            return;
        }
        let found = match topic {
            NamedTopic::ByName(name) => image.topic_by_name(name),
            NamedTopic::ById(id) => image.topic(id),
        };
        if let Some(topic) = found {
            self.identity.uses(&topic.name);
            self.topics.push(UsedTopic {
                id: topic.id,
                name: Arc::clone(&topic.name),
            });
        }
    }
}

impl Reached {
    /// Host and port this client is told for `endpoint` of the broker `is_me` or another.
    ///
    /// With `advertised.listeners=auto` our own host is the address the client already uses.
    pub(crate) fn address<'a>(
        &self,
        config: &BrokerConfig,
        endpoint: &'a Endpoint,
        is_me: bool,
    ) -> (std::borrow::Cow<'a, str>, i32) {
        let port = i32::from(endpoint.port);
        let advertised = &config.listeners.advertised;
        let own = advertised.iter().find(|own| own.name == endpoint.listener);
        let own = own.filter(|own| is_me && own.host == AdvertisedHost::Auto);
        let Some(own) = own else {
            return ((&endpoint.host).into(), port);
        };
        let host = match self.local.ip().to_canonical() {
            ip if ip.is_unspecified() => "localhost".to_owned(),
            ip => ip.to_string(),
        };
        // The port that was reached is the bound one; a forwarded port must be named.
        let port = own.port.unwrap_or(self.local.port());
        (host.into(), i32::from(port))
    }
}
