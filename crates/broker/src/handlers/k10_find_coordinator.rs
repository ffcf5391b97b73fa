use crate::broker::Broker;
use crate::connection::Reached;
use crate::controller_desk::{ControllerResult, Patience};
use crate::groups::OFFSETS_TOPIC;
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::view::View;
use crate::waiting::PromisedAnswer;
use ottla_coordinator::partition_for;
use ottla_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use ottla_types::{ErrorCode, PartitionId};
use std::borrow::Cow;

/// From here on several coordinators are asked for at once (KIP-699).
const VERSION_OF_MANY: i16 = 4;

/// What Kafka says where an error has no words of its own.
const INVALID_REQUEST_TEXT: &str = "This most likely occurs because of a request being malformed by \
                                    the client library or the message was sent to an incompatible \
                                    broker. See the broker logs for more details.";

/// What a coordinator coordinates, by Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyType {
    Group,
    Transaction,
    Share,
}

impl KeyType {
    fn from_wire(number: i8) -> Option<KeyType> {
        match number {
            0 => Some(KeyType::Group),
            1 => Some(KeyType::Transaction),
            2 => Some(KeyType::Share),
            _ => None,
        }
    }
}

/// Where a coordinator is.
struct Found {
    node_id: i32,
    host: String,
    port: i32,
}

/// Why there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct NotFound {
    code: ErrorCode,
    message: Option<&'static str>,
}

impl NotFound {
    const NOT_AVAILABLE: NotFound = NotFound {
        code: ErrorCode::CoordinatorNotAvailable,
        message: Some("The coordinator is not available."),
    };
    /// Clients do not try again after this error.
    const NO_TRANSACTIONS: NotFound = NotFound {
        code: ErrorCode::TransactionalIdAuthorizationFailed,
        message: Some("Transactions come with a later release."),
    };
    /// As Kafka where share groups are off.
    const NO_SHARES: NotFound = NotFound {
        code: ErrorCode::InvalidRequest,
        message: None,
    };
    /// The words are Kafka's.
    const NO_SUCH_KIND: NotFound = NotFound {
        code: ErrorCode::InvalidRequest,
        message: Some(INVALID_REQUEST_TEXT),
    };
}

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: FindCoordinatorRequest<'_> = request.decode()?;
    let version = request.version();
    let keys: Vec<String> = match version < VERSION_OF_MANY {
        true => vec![message.key.into_owned()],
        false => message
            .coordinator_keys
            .into_iter()
            .map(Cow::into_owned)
            .collect(),
    };
    let reply_to = request.reply_to();
    let refusal = match KeyType::from_wire(message.key_type) {
        Some(KeyType::Group) => None,
        Some(KeyType::Transaction) => Some(NotFound::NO_TRANSACTIONS),
        Some(KeyType::Share) => Some(NotFound::NO_SHARES),
        None => Some(NotFound::NO_SUCH_KIND),
    };
    if let Some(refusal) = refusal {
        let found = keys.into_iter().map(|key| (key, Err(refusal)));
        return answer(request.broker, reply_to, found.collect());
    }
    if keys.is_empty() || request.view.image.topic_by_name(OFFSETS_TOPIC).is_some() {
        let found = find_all(
            request.broker,
            &request.view,
            &request.connection.reached,
            keys,
        );
        return answer(request.broker, reply_to, found);
    }
    // The first group of the cluster: the client hears of its coordinator once there is one.
    let reached = request.connection.reached.clone();
    let created = move |broker: &Broker, _result: ControllerResult| {
        // Who was too late, or had no luck, sees that in the metadata.
        let view = broker.view.load_full();
        let found = find_all(broker, &view, &reached, keys);
        PromisedAnswer::Done(outcome(answer(broker, reply_to, found)))
    };
    let command = request.broker.create_offsets_topic();
    let core = request.connection.core;
    Ok(request
        .broker
        .submit(core, &command, Patience::Forever, Box::new(created)))
}

fn find_all(
    broker: &Broker,
    view: &View,
    reached: &Reached,
    keys: Vec<String>,
) -> Vec<(String, Result<Found, NotFound>)> {
    let found = keys.into_iter().map(|key| {
        let found = find(broker, view, reached, &key);
        (key, found.ok_or(NotFound::NOT_AVAILABLE))
    });
    found.collect()
}

fn find(broker: &Broker, view: &View, reached: &Reached, group: &str) -> Option<Found> {
    let topic = view.image.topic_by_name(OFFSETS_TOPIC)?;
    let partition = partition_for(group, topic.partitions.len() as i32);
    let leader = topic.partition(PartitionId::new(partition))?.leader?;
    let leader = view
        .image
        .broker(leader)
        .filter(|leader| leader.is_active())?;
    let endpoint = leader.endpoint(&reached.listener)?;
    let is_me = leader.id == broker.config.node_id;
    let (host, port) = reached.address(&broker.config, endpoint, is_me);
    Some(Found {
        node_id: leader.id.get(),
        host: host.into_owned(),
        port,
    })
}

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    found: Vec<(String, Result<Found, NotFound>)>,
) -> Handled {
    let coordinators = found.into_iter().map(|(key, found)| {
        let missing = found.as_ref().err().copied();
        let code = missing.map_or(ErrorCode::None, |missing| missing.code);
        broker.metrics.error(code);
        let found = found.unwrap_or(Found {
            node_id: -1,
            host: String::new(),
            port: -1,
        });
        Coordinator {
            key: key.into(),
            node_id: found.node_id,
            host: found.host.into(),
            port: found.port,
            error_code: code.code(),
            error_message: Some(Cow::Borrowed(match missing {
                Some(NotFound::NO_SHARES) if reply_to.version < VERSION_OF_MANY => {
                    INVALID_REQUEST_TEXT
                }
                Some(missing) => missing.message.unwrap_or(""),
                // Kafka's words for the absence of an error.
                None if reply_to.version < VERSION_OF_MANY => "NONE",
                None => "",
            })),
        }
    });
    let mut coordinators: Vec<Coordinator<'_>> = coordinators.collect();
    let response = match reply_to.version < VERSION_OF_MANY {
        false => FindCoordinatorResponse {
            coordinators,
            ..FindCoordinatorResponse::default()
        },
        true => {
            let only = coordinators.remove(0);
            FindCoordinatorResponse {
                error_code: only.error_code,
                error_message: only.error_message,
                node_id: only.node_id,
                host: only.host,
                port: only.port,
                ..FindCoordinatorResponse::default()
            }
        }
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
