use super::altered_configs::{
    Named, Refusal, alter_loggers, altered, duplicates, invalid, resource,
};
use super::k33_alter_configs::repeated_resource;
use crate::broker::Broker;
use crate::controller_desk::{ControllerResult, Patience};
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::waiting::ControllerAnswer;
use ottla_metadata::{
    Command, ConfigAlteration, ConfigChange, ConfigOperation, Mode, ResourceKind,
};
use ottla_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use ottla_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: IncrementalAlterConfigsRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let rows = message.resources.iter();
    let repeated = duplicates(rows.map(|row| (row.resource_type, &*row.resource_name)));
    let mut named = Vec::with_capacity(message.resources.len());
    let mut resources = Vec::new();
    for row in &message.resources {
        let (kind, name) = (row.resource_type, row.resource_name.to_string());
        let done = match alteration(request.broker, row) {
            _ if repeated.contains(&(kind, name.clone())) => Some(Err(repeated_resource())),
            Ok(alteration) if alteration.resource.kind == ResourceKind::BrokerLogger => {
                let changes = &alteration.changes;
                Some(alter_loggers(
                    request.broker,
                    changes,
                    message.validate_only,
                ))
            }
            Ok(alteration) => {
                resources.push(alteration);
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
    let command = Command::AlterConfigs { resources, mode };
    let answer = move |broker: &Broker, result: ControllerResult| {
        ControllerAnswer::Done(outcome(answer(broker, reply_to, named, result)))
    };
    let core = request.connection.core;
    Ok(request
        .broker
        .submit(core, &command, Patience::Forever, Box::new(answer)))
}

fn alteration(
    broker: &Broker,
    row: &AlterConfigsResource<'_>,
) -> Result<ConfigAlteration, Refusal> {
    let resource = resource(broker, row.resource_type, &row.resource_name)?;
    let mut changes = Vec::with_capacity(row.configs.len());
    for config in &row.configs {
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
    Ok(ConfigAlteration { resource, changes })
}

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    named: Vec<Named>,
    result: ControllerResult,
) -> Handled {
    let responses = altered(broker, named, result).map(|altered| AlterConfigsResourceResponse {
        error_code: altered.code.code(),
        error_message: altered.message.map(Into::into),
        resource_type: altered.kind,
        resource_name: altered.name.into(),
    });
    let response = IncrementalAlterConfigsResponse {
        responses: responses.collect(),
        ..IncrementalAlterConfigsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
