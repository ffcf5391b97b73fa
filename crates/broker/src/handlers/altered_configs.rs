use crate::broker::Broker;
use crate::controller_desk::{ControllerResult, Patience};
use crate::loggers::{LogLevel, ROOT_LOGGER};
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::waiting::PromisedAnswer;
use ottla_metadata::{
    Command, ConfigChange, ConfigOperation, ConfigResource, ControllerError, Mode, Reply,
    ResourceKind,
};
use ottla_types::{ErrorCode, validate_topic_name};
use std::collections::BTreeMap;

/// Why a resource is not altered.
pub(super) type Refusal = (ErrorCode, Option<String>);

/// A resource of a request for altered configs, and what is to become of it.
pub(super) struct Asked<T> {
    pub(super) kind: i8,
    pub(super) name: String,
    pub(super) change: Result<T, Refusal>,
}

/// A resource whose answer is known, or comes from the controller.
struct Named {
    kind: i8,
    name: String,
    /// `None`: the controller says it.
    done: Option<Result<(), Refusal>>,
}

/// A resource as it is answered.
pub(super) struct Altered {
    pub(super) kind: i8,
    pub(super) name: String,
    pub(super) code: ErrorCode,
    pub(super) message: Option<String>,
}

pub(super) fn invalid(message: String) -> Refusal {
    (ErrorCode::InvalidRequest, Some(message))
}

/// The resource that is meant, if this broker is the one to ask about it.
pub(super) fn resource(broker: &Broker, kind: i8, name: &str) -> Result<ConfigResource, Refusal> {
    let known = ResourceKind::from_wire(kind);
    let kind = known.ok_or_else(|| invalid(format!("Unknown resource type {kind}")))?;
    match kind {
        ResourceKind::Topic if name.is_empty() => {
            return Err(invalid(
                "Default topic resources are not allowed.".to_owned(),
            ));
        }
        ResourceKind::Topic => validate_topic_name(name).map_err(|error| {
            let message = error.to_string();
            (ErrorCode::InvalidTopicException, Some(message))
        })?,
        ResourceKind::Broker if name.is_empty() => {}
        ResourceKind::Broker => check_node(broker, name, "broker id, expected")?,
        ResourceKind::BrokerLogger => check_node(broker, name, "node id. Expected")?,
        ResourceKind::ClientMetrics | ResourceKind::Group => {}
    }
    Ok(ConfigResource {
        kind,
        name: name.to_owned(),
    })
}

fn check_node(broker: &Broker, name: &str, expected: &str) -> Result<(), Refusal> {
    let node_id = broker.config.node_id.get();
    match name.parse::<i32>() {
        Ok(id) if id == node_id => Ok(()),
        Ok(id) => Err(invalid(format!(
            "Unexpected {expected} {node_id}, but received {id}"
        ))),
        Err(_) => Err(invalid(format!(
            "Node id must be an integer, but it is: {name}"
        ))),
    }
}

/// How far the controller goes.
pub(super) fn mode(is_only_validated: bool) -> Mode {
    match is_only_validated {
        true => Mode::ValidateOnly,
        false => Mode::Commit,
    }
}

/// Answers for every resource: what `settle` decides here, the rest by the controller. A resource that
/// is named more than once is refused wherever it is named.
pub(super) fn alter<T>(
    request: &Request<'_>,
    asked: Vec<Asked<T>>,
    settle: impl Fn(&T) -> Option<Result<(), Refusal>>,
    command: impl FnOnce(Vec<T>) -> Command,
    encode: fn(ReplyTo, Vec<Altered>) -> Handled,
) -> Handled {
    let mut times_named = BTreeMap::<(i8, String), usize>::new();
    for row in &asked {
        *times_named.entry((row.kind, row.name.clone())).or_default() += 1;
    }
    let mut named = Vec::with_capacity(asked.len());
    let mut changes = Vec::new();
    for Asked { kind, name, change } in asked {
        let key = (kind, name);
        let done = match change {
            _ if 1 < times_named[&key] => {
                let message = "Each resource must appear at most once.";
                Some(Err(invalid(message.to_owned())))
            }
            Ok(change) => settle(&change).or_else(|| {
                changes.push(change);
                None
            }),
            Err(refusal) => Some(Err(refusal)),
        };
        let (kind, name) = key;
        named.push(Named { kind, name, done });
    }
    let reply_to = request.reply_to();
    let answer = move |broker: &Broker, result: ControllerResult| {
        let altered = altered(broker, named, result).collect();
        PromisedAnswer::Done(outcome(encode(reply_to, altered)))
    };
    let core = request.connection.core;
    Ok(request
        .broker
        .submit(core, &command(changes), Patience::Forever, Box::new(answer)))
}

/// Changes what this broker logs, all of it or nothing.
pub(super) fn alter_loggers(
    broker: &Broker,
    changes: &[ConfigChange],
    is_only_validated: bool,
) -> Result<(), Refusal> {
    let refuse = |message: String| Err((ErrorCode::InvalidConfig, Some(message)));
    let loggers = broker.loggers();
    let known = loggers.map(|loggers| loggers.levels()).unwrap_or_default();
    let mut decided = Vec::with_capacity(changes.len());
    for change in changes {
        let logger = change.name.as_str();
        if change.operation == ConfigOperation::Delete && logger == ROOT_LOGGER {
            let message = "Removing the log level of the root logger is not allowed";
            return Err(invalid(message.to_owned()));
        }
        let level = match change.operation {
            ConfigOperation::Set => change.value.as_deref(),
            ConfigOperation::Delete => None,
            ConfigOperation::Append | ConfigOperation::Subtract => {
                return Err(invalid(format!(
                    "{} operation is not allowed for the BROKER_LOGGER resource",
                    change.operation.name()
                )));
            }
        };
        if level.is_none() && change.operation == ConfigOperation::Set {
            return Err(invalid(format!("Null value not supported for : {logger}")));
        }
        if !known.iter().any(|(name, _)| name == logger) {
            return refuse(format!("Logger {logger} does not exist!"));
        }
        let parsed = level.map(|level| LogLevel::from_name(level).ok_or(level));
        match parsed.transpose() {
            Ok(level) => decided.push((logger, level)),
            Err(level) => return refuse(unknown_level(logger, level)),
        }
    }
    if let Some(loggers) = loggers.filter(|_| !is_only_validated) {
        for (logger, level) in decided {
            loggers.set(logger, level);
        }
    }
    Ok(())
}

fn unknown_level(logger: &str, level: &str) -> String {
    let mut names = LogLevel::ALL.map(LogLevel::name);
    names.sort_unstable();
    let names = names.join(", ");
    format!(
        "Cannot set the log level of {logger} to {level} as it is not a supported log level. Valid \
         log levels are {names}"
    )
}

/// Every resource with its answer, in the order of the request.
fn altered(
    broker: &Broker,
    named: Vec<Named>,
    result: ControllerResult,
) -> impl Iterator<Item = Altered> {
    let mut decided = match result {
        Ok(Reply::ConfigsAltered(results)) => Ok(results.into_iter()),
        Ok(_) => Err(ControllerError::NotController),
        Err(error) => Err(error),
    };
    named.into_iter().map(move |resource| {
        let done = resource.done.unwrap_or_else(|| {
            let decided = match &mut decided {
                Ok(results) => results
                    .next()
                    .unwrap_or(Err(ControllerError::NotController)),
                Err(error) => Err(error.clone()),
            };
            decided.map_err(|error| (error.code(), error.message()))
        });
        let (code, message) = done.err().unwrap_or((ErrorCode::None, None));
        broker.metrics.error(code);
        Altered {
            kind: resource.kind,
            name: resource.name,
            code,
            message,
        }
    })
}
