use crate::dispatch::APIS;
use crate::following::METADATA_VERSION;
use crate::metrics::ClientSoftware;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use ottla_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use ottla_protocol::{ApiKey, RequestHeader};
use ottla_types::ErrorCode;
use std::borrow::Cow;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: ApiVersionsRequest<'_> = request.decode()?;
    let version = request.version();
    if 3 <= version {
        let software = ClientSoftware {
            name: message.client_software_name.to_string(),
            version: message.client_software_version.to_string(),
        };
        if !is_software_name(&software.name) || !is_software_name(&software.version) {
            return refuse(&request, ErrorCode::InvalidRequest);
        }
        if request.connection.software().is_none() {
            request.broker.metrics.client(&software);
        }
        request.connection.introduced(software);
    }
    if 5 <= version
        && let Some(code) = check_identity(&request, &message)
    {
        return refuse(&request, code);
    }
    let image = &request.view.image;
    let features = image.features().iter();
    let finalized = features.map(|(name, level)| FinalizedFeatureKey {
        name: Cow::Borrowed(name),
        max_version_level: *level,
        min_version_level: *level,
    });
    request.reply(&ApiVersionsResponse {
        api_keys: APIS.iter().map(|api| advertised(api.key)).collect(),
        supported_features: vec![SupportedFeatureKey {
            name: Cow::Borrowed("metadata.version"),
            min_version: METADATA_VERSION.min,
            max_version: METADATA_VERSION.max,
        }],
        finalized_features_epoch: i64::try_from(image.features_epoch()).unwrap_or(-1),
        finalized_features: finalized.collect(),
        ..ApiVersionsResponse::default()
    })
}

fn refuse(request: &Request<'_>, code: ErrorCode) -> Handled {
    request.broker.metrics.error(code);
    request.reply(&ApiVersionsResponse {
        error_code: code.code(),
        ..ApiVersionsResponse::default()
    })
}

/// A client that knows which broker it wants must not talk to another one (KIP-1242).
fn check_identity(request: &Request<'_>, message: &ApiVersionsRequest<'_>) -> Option<ErrorCode> {
    match (&message.cluster_id, message.node_id) {
        (None, -1) => None,
        (Some(cluster), node) if node != -1 => {
            let is_ours = request.view.image.cluster_id() == Some(cluster)
                && node == request.broker.config.node_id.get();
            (!is_ours).then_some(ErrorCode::RebootstrapRequired)
        }
        _ => Some(ErrorCode::InvalidRequest),
    }
}

/// The answer to a version from the future: in version 0, naming only ApiVersions itself (KIP-511).
pub(crate) fn refuse_version(header: &RequestHeader<'_>) -> Handled {
    let reply_to = ReplyTo {
        key: ApiKey::ApiVersions,
        version: 0,
        correlation_id: header.correlation_id,
    };
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![advertised(ApiKey::ApiVersions)],
        ..ApiVersionsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}

fn advertised(key: ApiKey) -> ApiVersion {
    let versions = key.advertised_versions();
    ApiVersion {
        api_key: key as i16,
        min_version: *versions.start(),
        max_version: *versions.end(),
    }
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let ends = [name.chars().next(), name.chars().next_back()];
    name.chars().all(is_inner)
        && ends
            .iter()
            .all(|end| end.is_some_and(|c| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_judged_as_by_kafka() {
        for good in ["a", "librdkafka", "apache-kafka-java", "4.4.0", "a..b"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".", "a b", "ä", "a_b"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
