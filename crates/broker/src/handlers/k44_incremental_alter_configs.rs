use super::altered_configs::{
    Altered, Asked, Refusal, alter, alter_loggers, invalid, mode, resource,
};
use crate::broker::Broker;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use ottla_metadata::{Command, ConfigAlteration, ConfigChange, ConfigOperation, ResourceKind};
use ottla_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use ottla_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: IncrementalAlterConfigsRequest<'_> = request.decode()?;
    let asked = message.resources.iter().map(|row| Asked {
        kind: row.resource_type,
        name: row.resource_name.to_string(),
        change: alteration(request.broker, row),
    });
    let asked = asked.collect();
    // Log levels are this process's alone.
    let settle = |alteration: &ConfigAlteration| {
        let is_of_loggers = alteration.resource.kind == ResourceKind::BrokerLogger;
        let changes = &alteration.changes;
        is_of_loggers.then(|| alter_loggers(request.broker, changes, message.validate_only))
    };
    let mode = mode(message.validate_only);
    let command = |resources| Command::AlterConfigs { resources, mode };
    alter(&request, asked, settle, command, encode)
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

fn encode(reply_to: ReplyTo, altered: Vec<Altered>) -> Handled {
    let responses = altered
        .into_iter()
        .map(|altered| AlterConfigsResourceResponse {
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
