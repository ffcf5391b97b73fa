use crate::broker::Broker;
use crate::controller_desk::ControllerResult;
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::waiting::PromisedAnswer;
use ottla_metadata::{Command, ControllerError, FeatureUpdate, Mode, UpgradeType};
use ottla_protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use ottla_protocol::messages::update_features_response::{
    UpdatableFeatureResult, UpdateFeaturesResponse,
};
use ottla_types::ErrorCode;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: UpdateFeaturesRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let version = request.version();
    let updates: Vec<FeatureUpdate> = message
        .feature_updates
        .iter()
        .map(|update| feature_update(update, version))
        .collect();
    let names: Vec<String> = updates.iter().map(|update| update.name.clone()).collect();
    let mode = match message.validate_only {
        true => Mode::ValidateOnly,
        false => Mode::Commit,
    };
    let command = Command::UpdateFeatures { updates, mode };
    let patience = request.patience(message.timeout_ms);
    let answer = move |broker: &Broker, result: ControllerResult| {
        let error = result.err();
        PromisedAnswer::Done(outcome(answer(broker, reply_to, names, error)))
    };
    let core = request.connection.core;
    Ok(request
        .broker
        .submit(core, &command, patience, Box::new(answer)))
}

fn feature_update(update: &FeatureUpdateKey<'_>, version: i16) -> FeatureUpdate {
    let upgrade = match version {
        0 if update.allow_downgrade => Some(UpgradeType::SafeDowngrade),
        0 => Some(UpgradeType::Upgrade),
        _ => UpgradeType::from_wire(update.upgrade_type),
    };
    FeatureUpdate {
        name: update.feature.to_string(),
        level: update.max_version_level,
        upgrade,
    }
}

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    names: Vec<String>,
    error: Option<ControllerError>,
) -> Handled {
    let code = error
        .as_ref()
        .map_or(ErrorCode::None, ControllerError::code);
    broker.metrics.error(code);
    // Since version 2 there is one answer for all; before, success was said of each.
    let results = match (&error, reply_to.version) {
        (None, 0..=1) => names,
        _ => Vec::new(),
    };
    let results = results.into_iter().map(|name| UpdatableFeatureResult {
        feature: name.into(),
        error_code: ErrorCode::None.code(),
        error_message: Some("NONE".into()),
    });
    let response = UpdateFeaturesResponse {
        error_code: code.code(),
        error_message: error.and_then(|error| Some(error.message()?.into())),
        results: results.collect(),
        ..UpdateFeaturesResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
