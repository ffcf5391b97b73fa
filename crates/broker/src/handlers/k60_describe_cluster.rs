use super::k03_metadata::controller_id;
use super::topic_metadata::{CLUSTER_OPERATIONS, OPERATIONS_UNKNOWN};
use crate::request::{Handled, Request};
use ottla_metadata::Fencing;
use ottla_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use ottla_protocol::messages::describe_cluster_response::{
    DescribeClusterBroker, DescribeClusterResponse,
};
use ottla_types::ErrorCode;
use std::borrow::Cow;

/// Kafka's number for the endpoints of brokers.
const ENDPOINTS_OF_BROKERS: i8 = 1;
/// Kafka's number for the endpoints of controllers.
const ENDPOINTS_OF_CONTROLLERS: i8 = 2;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DescribeClusterRequest = request.decode()?;
    if message.endpoint_type != ENDPOINTS_OF_BROKERS {
        return refuse(&request, message.endpoint_type);
    }
    let image = &request.view.image;
    let reached = &request.connection.reached;
    let brokers = image.brokers().filter_map(|broker| {
        let is_fenced = broker.fencing == Fencing::Fenced;
        let endpoint = broker.endpoint(&reached.listener)?;
        let is_me = broker.id == request.broker.config.node_id;
        let (host, port) = reached.address(&request.broker.config, endpoint, is_me);
        let described = DescribeClusterBroker {
            broker_id: broker.id.get(),
            host,
            port,
            rack: broker.rack.as_deref().map(Cow::Borrowed),
            is_fenced,
        };
        (!is_fenced || message.include_fenced_brokers).then_some(described)
    });
    request.reply(&DescribeClusterResponse {
        cluster_id: Cow::Borrowed(image.cluster_id().unwrap_or("")),
        controller_id: controller_id(&request),
        brokers: brokers.collect(),
        cluster_authorized_operations: match message.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => OPERATIONS_UNKNOWN,
        },
        ..DescribeClusterResponse::default()
    })
}

fn refuse(request: &Request<'_>, endpoint_type: i8) -> Handled {
    let (code, message) = match endpoint_type {
        ENDPOINTS_OF_CONTROLLERS => (
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type \
             CONTROLLER"
                .to_owned(),
        ),
        other => (
            ErrorCode::UnsupportedEndpointType,
            format!("Unsupported endpoint type {other}"),
        ),
    };
    request.broker.metrics.error(code);
    request.reply(&DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(message.into()),
        ..DescribeClusterResponse::default()
    })
}
