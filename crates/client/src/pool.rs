use crate::core::{Answer, BrokerEndpoint, Call, CallFailure, CallId, Target};
use crate::link::{Link, OutCall, Reply};
use crate::options::ClientOptions;
use bytes::Bytes;
use ottla_protocol::{ApiKey, EncodeError, Writer};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The connections of one client: one per address and lane.
pub(crate) struct Pool {
    options: Arc<ClientOptions>,
    bootstrap: Vec<Address>,
    state: Mutex<PoolState>,
}

type Address = (Arc<str>, u16);

/// Requests that may wait long at the broker must not hold up others: responses come in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Metadata, administration.
    Control,
    /// One producer or consumer, by number.
    Data(u64),
}

#[derive(Default)]
struct PoolState {
    links: BTreeMap<(Address, Lane), Link>,
    known: Vec<Address>,
    /// Where to begin among those that could be asked "any broker".
    cursor: usize,
    next_lane: u64,
}

impl Pool {
    pub(crate) fn new(bootstrap: Vec<Address>, options: Arc<ClientOptions>) -> Pool {
        assert!(!bootstrap.is_empty(), "there is a bootstrap server");
        Pool {
            options,
            bootstrap,
            state: Mutex::default(),
        }
    }

    pub(crate) fn options(&self) -> &Arc<ClientOptions> {
        &self.options
    }

    /// Connections of their own for a new producer or consumer.
    pub(crate) fn new_lane(&self) -> Lane {
        let mut state = self.state.lock();
        state.next_lane += 1;
        Lane::Data(state.next_lane)
    }

    /// Ends the connections of a producer or consumer.
    pub(crate) fn close_lane(&self, lane: Lane) {
        self.state
            .lock()
            .links
            .retain(|(_, other), _| *other != lane);
    }

    /// Remembers where brokers are, for calls that any of them can answer.
    pub(crate) fn learn<'a>(&self, brokers: impl Iterator<Item = &'a BrokerEndpoint>) {
        let known: Vec<Address> = brokers
            .map(|broker| (broker.host.clone(), broker.port))
            .collect();
        let mut state = self.state.lock();
        if state.known != known {
            state.known = known;
        }
    }

    fn link(&self, target: &Target, lane: Lane) -> Link {
        let mut state = self.state.lock();
        let address = match target {
            Target::Broker(broker) => (broker.host.clone(), broker.port),
            Target::Any => self.any(&mut state, lane),
        };
        let options = &self.options;
        state
            .links
            .entry((address.clone(), lane))
            .or_insert_with(|| Link::start(address.0, address.1, options.clone()))
            .clone()
    }

    /// A broker that is connected; otherwise the next of all we have heard of.
    fn any(&self, state: &mut PoolState, lane: Lane) -> Address {
        let connected = state
            .links
            .iter()
            .find(|((_, other), link)| *other == lane && link.is_connected())
            .map(|((address, _), _)| address.clone());
        if let Some(address) = connected {
            return address;
        }
        let candidates: Vec<&Address> = self.bootstrap.iter().chain(&state.known).collect();
        let address = candidates[state.cursor % candidates.len()].clone();
        state.cursor += 1;
        address
    }

    /// Makes a machine's call. Requests for any broker take the control lane, so that they do not
    /// wait behind a fetch.
    pub(crate) fn send(
        &self,
        call: Call,
        lane: Lane,
        answers: &mpsc::UnboundedSender<(CallId, Answer)>,
    ) {
        let lane = if call.target == Target::Any {
            Lane::Control
        } else {
            lane
        };
        let request = call.request;
        self.link(&call.target, lane).call(OutCall {
            key: request.api_key(),
            versions: request.versions(),
            has_response: request.has_response(),
            timeout: call.timeout,
            reply: Reply::machine(answers.clone(), call.id),
            encode: Box::new(move |writer, version| request.encode(writer, version)),
        });
    }

    /// Makes one request and waits for its response: version and body.
    pub(crate) async fn ask(
        &self,
        target: &Target,
        key: ApiKey,
        versions: RangeInclusive<i16>,
        encode: impl FnOnce(&mut Writer, i16) -> Result<(), EncodeError> + Send + 'static,
    ) -> Result<(i16, Bytes), CallFailure> {
        let (reply, answer) = Reply::one();
        self.link(target, Lane::Control).call(OutCall {
            key,
            versions,
            encode: Box::new(encode),
            has_response: true,
            timeout: self.options.request_timeout,
            reply,
        });
        match answer.await {
            Ok(Answer::Response { version, body }) => Ok((version, body)),
            Ok(Answer::Failed(failure)) => Err(failure),
            Ok(Answer::Sent) | Err(_) => Err(CallFailure::Lost {
                reason: "the request has no response".to_owned(),
            }),
        }
    }
}
