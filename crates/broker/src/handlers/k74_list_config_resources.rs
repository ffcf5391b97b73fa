use crate::request::{Handled, Request};
use ottla_metadata::ResourceKind;
use ottla_protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use ottla_protocol::messages::list_config_resources_response::{
    ConfigResource, ListConfigResourcesResponse,
};
use ottla_types::ErrorCode;

/// What is meant by an empty list.
const EVERY_KIND: [ResourceKind; 5] = [
    ResourceKind::Topic,
    ResourceKind::Broker,
    ResourceKind::BrokerLogger,
    ResourceKind::ClientMetrics,
    ResourceKind::Group,
];

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: ListConfigResourcesRequest = request.decode()?;
    // Version 0 knew subscriptions to client metrics only.
    let kinds = match (request.version(), &message.resource_types[..]) {
        (0, _) => Some(vec![ResourceKind::ClientMetrics]),
        (_, []) => Some(EVERY_KIND.to_vec()),
        (_, kinds) => kinds
            .iter()
            .map(|kind| ResourceKind::from_wire(*kind))
            .collect(),
    };
    let Some(kinds) = kinds else {
        request.broker.metrics.error(ErrorCode::UnsupportedVersion);
        return request.reply(&ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..ListConfigResourcesResponse::default()
        });
    };
    let image = &request.view.image;
    let mut config_resources = Vec::new();
    let mut list = |kind: ResourceKind, name: String| {
        config_resources.push(ConfigResource {
            resource_name: name.into(),
            resource_type: kind.to_wire(),
        });
    };
    for kind in EVERY_KIND.into_iter().filter(|kind| kinds.contains(kind)) {
        match kind {
            ResourceKind::Topic => {
                let topics = image.topics_by_name_from("");
                topics.for_each(|topic| list(kind, topic.name.to_string()));
            }
            ResourceKind::Broker | ResourceKind::BrokerLogger => {
                let brokers = image.brokers();
                brokers.for_each(|broker| list(kind, broker.id.to_string()));
            }
            ResourceKind::ClientMetrics | ResourceKind::Group => {
                let configured = image.configured_resources();
                let of_kind = configured.filter(|(resource, _)| resource.kind == kind);
                of_kind.for_each(|(resource, _)| list(kind, resource.name.clone()));
            }
        }
    }
    request.reply(&ListConfigResourcesResponse {
        config_resources,
        ..ListConfigResourcesResponse::default()
    })
}
