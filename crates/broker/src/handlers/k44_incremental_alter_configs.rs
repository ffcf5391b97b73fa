use crate::broker::Broker;
use crate::controller_desk::ControllerResult;
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::waiting::ControllerAnswer;
use ottla_metadata::{
    Command, ConfigAlteration, ConfigChange, ConfigOperation, ConfigResource, ControllerError,
    Mode, Reply, ResourceKind,
};
use ottla_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use ottla_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};
use ottla_types::ErrorCode;

/// A resource of the request, with a refusal if the controller must not see it.
struct Named {
    kind: i8,
    name: String,
    refusal: Option<(ErrorCode, String)>,
}

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: IncrementalAlterConfigsRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let mut named = Vec::with_capacity(message.resources.len());
    let mut resources = Vec::new();
    for resource in &message.resources {
        let read = alteration(resource);
        let refusal = match read {
            Ok(alteration) => {
                resources.push(alteration);
                None
            }
            Err(refusal) => Some(refusal),
        };
        named.push(Named {
            kind: resource.resource_type,
            name: resource.resource_name.to_string(),
            refusal,
        });
    }
    let mode = match message.validate_only {
        true => Mode::ValidateOnly,
        false => Mode::Commit,
    };
    let command = Command::AlterConfigs { resources, mode };
    let answer = move |broker: &Broker, result: ControllerResult| {
        ControllerAnswer::Done(outcome(answer(broker, reply_to, named, result)))
    };
    Ok(request
        .broker
        .submit(request.connection.core, &command, Box::new(answer)))
}

fn alteration(
    resource: &AlterConfigsResource<'_>,
) -> Result<ConfigAlteration, (ErrorCode, String)> {
    let invalid = |message: String| (ErrorCode::InvalidRequest, message);
    let kind = ResourceKind::from_wire(resource.resource_type)
        .ok_or_else(|| invalid(format!("Unknown resource type {}", resource.resource_type)))?;
    let mut changes = Vec::with_capacity(resource.configs.len());
    for config in &resource.configs {
        let operation = ConfigOperation::from_wire(config.config_operation).ok_or_else(|| {
            invalid(format!(
                "Unknown AlterConfigOp type {}.",
                config.config_operation
            ))
        })?;
        changes.push(ConfigChange {
            name: config.name.to_string(),
            operation,
            value: config.value.as_ref().map(ToString::to_string),
        });
    }
    Ok(ConfigAlteration {
        resource: ConfigResource {
            kind,
            name: resource.resource_name.to_string(),
        },
        changes,
    })
}

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    named: Vec<Named>,
    result: ControllerResult,
) -> Handled {
    let mut decided = match result {
        Ok(Reply::ConfigsAltered(results)) => Ok(results.into_iter()),
        Ok(_) => Err(ControllerError::NotController),
        Err(error) => Err(error),
    };
    let responses = named.into_iter().map(|resource| {
        let refusal = resource.refusal.or_else(|| match &mut decided {
            Ok(results) => match results.next() {
                Some(Ok(())) => None,
                Some(Err(error)) => Some((error.code(), error.to_string())),
                None => Some((ErrorCode::UnknownServerError, String::new())),
            },
            Err(error) => Some((error.code(), error.to_string())),
        });
        let code = refusal.as_ref().map_or(ErrorCode::None, |(code, _)| *code);
        broker.metrics.error(code);
        AlterConfigsResourceResponse {
            error_code: code.code(),
            error_message: refusal.map(|(_, message)| message.into()),
            resource_type: resource.kind,
            resource_name: resource.name.into(),
        }
    });
    let responses = responses.collect();
    let response = IncrementalAlterConfigsResponse {
        responses,
        ..IncrementalAlterConfigsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
