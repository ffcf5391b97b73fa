use super::altered_configs::{Altered, Asked, Refusal, alter, invalid, mode, resource};
use crate::broker::Broker;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use ottla_metadata::{Command, ConfigReplacement, ResourceKind};
use ottla_protocol::messages::alter_configs_request::{AlterConfigsRequest, AlterConfigsResource};
use ottla_protocol::messages::alter_configs_response::{
    AlterConfigsResourceResponse, AlterConfigsResponse,
};

/// The old way: what is not named goes back to its default.
pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: AlterConfigsRequest<'_> = request.decode()?;
    let asked = message.resources.iter().map(|row| Asked {
        kind: row.resource_type,
        name: row.resource_name.to_string(),
        change: replacement(request.broker, row),
    });
    let asked = asked.collect();
    let mode = mode(message.validate_only);
    let command = |resources| Command::ReplaceConfigs { resources, mode };
    alter(&request, asked, |_| None, command, encode)
}

fn replacement(
    broker: &Broker,
    row: &AlterConfigsResource<'_>,
) -> Result<ConfigReplacement, Refusal> {
    // Whoever's loggers they are: they came with the newer API.
    if ResourceKind::from_wire(row.resource_type) == Some(ResourceKind::BrokerLogger) {
        let message = format!("Unknown resource type {}", row.resource_type);
        return Err(invalid(message));
    }
    let resource = resource(broker, row.resource_type, &row.resource_name)?;
    let configs = row.configs.iter().map(|config| {
        let value = config.value.as_ref().map(ToString::to_string);
        (config.name.to_string(), value)
    });
    Ok(ConfigReplacement {
        resource,
        configs: configs.collect(),
    })
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
    let response = AlterConfigsResponse {
        responses: responses.collect(),
        ..AlterConfigsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
