use super::altered_configs::{Named, Refusal, altered, duplicates, invalid, resource};
use crate::broker::Broker;
use crate::controller_desk::{ControllerResult, Patience};
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::waiting::ControllerAnswer;
use ottla_metadata::{Command, ConfigReplacement, ControllerError, Mode, ResourceKind};
use ottla_protocol::messages::alter_configs_request::{AlterConfigsRequest, AlterConfigsResource};
use ottla_protocol::messages::alter_configs_response::{
    AlterConfigsResourceResponse, AlterConfigsResponse,
};
use ottla_types::ErrorCode;

/// The old way: what is not named goes back to its default.
pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: AlterConfigsRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let rows = message.resources.iter();
    let repeated = duplicates(rows.map(|row| (row.resource_type, &*row.resource_name)));
    let mut named = Vec::with_capacity(message.resources.len());
    let mut resources = Vec::new();
    for row in &message.resources {
        let (kind, name) = (row.resource_type, row.resource_name.to_string());
        let done = match replacement(request.broker, row) {
            _ if repeated.contains(&(kind, name.clone())) => Some(Err(repeated_resource())),
            Ok(replacement) => {
                resources.push(replacement);
                None
            }
            Err(refusal) => Some(Err(refusal)),
        };
        named.push(Named { kind, name, done });
    }
    let mode = match message.validate_only {
        true => Mode::ValidateOnly,
        false => Mode::Commit,
    };
    let command = Command::ReplaceConfigs { resources, mode };
    let answer = move |broker: &Broker, result: ControllerResult| {
        ControllerAnswer::Done(outcome(answer(broker, reply_to, named, result)))
    };
    let core = request.connection.core;
    Ok(request
        .broker
        .submit(core, &command, Patience::Forever, Box::new(answer)))
}

/// What Kafka says of a resource that is named more than once.
pub(super) fn repeated_resource() -> Refusal {
    invalid("Each resource must appear at most once.".to_owned())
}

fn replacement(
    broker: &Broker,
    row: &AlterConfigsResource<'_>,
) -> Result<ConfigReplacement, Refusal> {
    let resource = resource(broker, row.resource_type, &row.resource_name)?;
    if resource.kind == ResourceKind::BrokerLogger {
        return Err(invalid(format!(
            "Unknown resource type {}",
            row.resource_type
        )));
    }
    let configs = row.configs.iter().map(|config| {
        let value = config.value.as_ref().map(ToString::to_string);
        (config.name.to_string(), value)
    });
    Ok(ConfigReplacement {
        resource,
        configs: configs.collect(),
    })
}

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    named: Vec<Named>,
    result: Result<ottla_metadata::Reply, ControllerError>,
) -> Handled {
    let responses = altered(broker, named, result).map(|altered| AlterConfigsResourceResponse {
        error_code: altered.code.code(),
        // Success has an empty text here and none in the newer API, as from Kafka.
        error_message: match altered.code {
            ErrorCode::None => None,
            _ => altered.message.map(Into::into),
        },
        resource_type: altered.kind,
        resource_name: altered.name.into(),
    });
    let response = AlterConfigsResponse {
        responses: responses.collect(),
        ..AlterConfigsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
