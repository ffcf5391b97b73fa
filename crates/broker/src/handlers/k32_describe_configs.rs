use super::config_entries::{
    ConfigEntry, broker_entries, client_metrics_entries, every_broker_entries, group_entries,
    logger_entry, topic_entries,
};
use crate::config::ConfigMap;
use crate::following::with_layers;
use crate::request::{Handled, Request};
use ottla_metadata::{ConfigResource, ResourceKind};
use ottla_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use ottla_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use ottla_types::{ErrorCode, validate_topic_name};
use std::borrow::Cow;
use std::sync::Arc;

/// What Kafka says of a type of resource that is none.
const MALFORMED: &str = "This most likely occurs because of a request being malformed by the client \
    library or the message was sent to an incompatible broker. See the broker logs for more details.";

/// What an answer shows beside names and values.
#[derive(Clone, Copy)]
struct Shown {
    synonyms: bool,
    documentation: bool,
}

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DescribeConfigsRequest<'_> = request.decode()?;
    let shown = Shown {
        synonyms: message.include_synonyms,
        documentation: message.include_documentation && 3 <= request.version(),
    };
    let results = message.resources.iter().map(|resource| {
        let entries = entries_of(&request, resource);
        result_of(&request, resource, entries, shown)
    });
    let results = results.collect();
    request.reply(&DescribeConfigsResponse {
        results,
        ..DescribeConfigsResponse::default()
    })
}

type Refusal = (ErrorCode, String);

fn entries_of(
    request: &Request<'_>,
    resource: &DescribeConfigsResource<'_>,
) -> Result<Vec<ConfigEntry>, Refusal> {
    let name = &*resource.resource_name;
    match ResourceKind::from_wire(resource.resource_type) {
        Some(ResourceKind::Topic) => topic(request, name),
        Some(ResourceKind::Broker) => broker(request, name),
        Some(ResourceKind::BrokerLogger) => loggers(request, name),
        Some(ResourceKind::ClientMetrics) => client_metrics(request, name),
        Some(ResourceKind::Group) => group(request, name),
        None => Err((ErrorCode::InvalidRequest, MALFORMED.to_owned())),
    }
}

fn topic(request: &Request<'_>, name: &str) -> Result<Vec<ConfigEntry>, Refusal> {
    validate_topic_name(name).map_err(|error| {
        let message = error.to_string();
        (ErrorCode::InvalidTopicException, message)
    })?;
    let image = &request.view.image;
    if image.topic_by_name(name).is_none() {
        return Err((ErrorCode::UnknownTopicOrPartition, String::new()));
    }
    let nothing = ConfigMap::new();
    let own = image
        .topic_configs(name)
        .map_or(&nothing, |configs| &**configs);
    Ok(with_layers(request.broker, image, |layers| {
        topic_entries(own, layers)
    }))
}

fn broker(request: &Request<'_>, name: &str) -> Result<Vec<ConfigEntry>, Refusal> {
    let image = &request.view.image;
    if name.is_empty() {
        let nothing = ConfigMap::new();
        let all_brokers = image.configs(&ConfigResource::every_broker());
        let all_brokers = all_brokers.map_or(&nothing, |configs| &**configs);
        return Ok(every_broker_entries(all_brokers));
    }
    let node_id = request.broker.config.node_id;
    match name.parse::<i32>() {
        Ok(id) if id == node_id.get() => Ok(with_layers(request.broker, image, broker_entries)),
        Ok(id) => Err((
            ErrorCode::InvalidRequest,
            format!("Unexpected broker id, expected {node_id} or empty string, but received {id}"),
        )),
        Err(_) => Err((
            ErrorCode::InvalidRequest,
            format!("Broker id must be an integer, but it is: {name}"),
        )),
    }
}

/// Of a subscription that nobody made there are the defaults.
fn client_metrics(request: &Request<'_>, name: &str) -> Result<Vec<ConfigEntry>, Refusal> {
    if name.is_empty() {
        let message = "Client metrics subscription name must not be empty";
        return Err((ErrorCode::InvalidRequest, message.to_owned()));
    }
    let own = own_configs(request, ResourceKind::ClientMetrics, name);
    Ok(client_metrics_entries(&own))
}

/// Of a group that nobody configured, or that is none, there are the defaults.
fn group(request: &Request<'_>, name: &str) -> Result<Vec<ConfigEntry>, Refusal> {
    if name.is_empty() {
        let message = "Group name must not be empty";
        return Err((ErrorCode::InvalidRequest, message.to_owned()));
    }
    let own = own_configs(request, ResourceKind::Group, name);
    Ok(with_layers(request.broker, &request.view.image, |layers| {
        group_entries(&own, layers)
    }))
}

fn own_configs(request: &Request<'_>, kind: ResourceKind, name: &str) -> Arc<ConfigMap> {
    let name = name.to_owned();
    let own = request.view.image.configs(&ConfigResource { kind, name });
    own.cloned().unwrap_or_default()
}

fn loggers(request: &Request<'_>, name: &str) -> Result<Vec<ConfigEntry>, Refusal> {
    let refuse = |message: String| Err((ErrorCode::InvalidRequest, message));
    let node_id = request.broker.config.node_id;
    match name.parse::<i32>() {
        Ok(id) if id == node_id.get() => {}
        Ok(id) => {
            return refuse(format!(
                "Unexpected broker id, expected {node_id} but received {id}"
            ));
        }
        Err(_) if name.is_empty() => return refuse("Broker id must not be empty".to_owned()),
        Err(_) => {
            return refuse(format!("Broker id must be an integer, but it is: {name}"));
        }
    }
    let loggers = request.broker.loggers();
    let levels = loggers.map(|loggers| loggers.levels()).unwrap_or_default();
    let entries = levels
        .into_iter()
        .map(|(name, level)| logger_entry(name, level));
    Ok(entries.collect())
}

fn result_of<'a>(
    request: &Request<'_>,
    resource: &'a DescribeConfigsResource<'_>,
    entries: Result<Vec<ConfigEntry>, Refusal>,
    shown: Shown,
) -> DescribeConfigsResult<'a> {
    let (code, message, entries) = match entries {
        Ok(entries) => (ErrorCode::None, String::new(), entries),
        Err((code, message)) => (code, message, Vec::new()),
    };
    request.broker.metrics.error(code);
    let is_wanted = |entry: &ConfigEntry| match &resource.configuration_keys {
        // Clients before version 2 send an empty list for all.
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| *key == entry.name),
        _ => true,
    };
    let entries = entries.into_iter().filter(is_wanted);
    DescribeConfigsResult {
        error_code: code.code(),
        // Never null, as from Kafka.
        error_message: Some(message.into()),
        resource_type: resource.resource_type,
        resource_name: Cow::Borrowed(&resource.resource_name),
        configs: entries.map(|entry| wire_entry(entry, shown)).collect(),
    }
}

fn wire_entry(entry: ConfigEntry, shown: Shown) -> DescribeConfigsResourceResult<'static> {
    let synonyms = entry.synonyms.into_iter().filter(|_| shown.synonyms);
    let synonyms = synonyms.map(|synonym| DescribeConfigsSynonym {
        name: synonym.name.into(),
        value: synonym.value.map(Cow::Owned),
        source: synonym.source as i8,
    });
    DescribeConfigsResourceResult {
        name: entry.name.into(),
        value: entry.value.map(Cow::Owned),
        read_only: entry.is_read_only,
        config_source: entry.source as i8,
        is_sensitive: entry.is_sensitive,
        synonyms: synonyms.collect(),
        config_type: entry.kind,
        documentation: shown.documentation.then(|| entry.documentation.into()),
    }
}
