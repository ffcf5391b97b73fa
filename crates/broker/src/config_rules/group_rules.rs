use super::java_expression::is_java_expression;
use super::refuse;
use crate::config::{
    BrokerLayers, Definition, broker_definition, client_metrics_definition, group_definition,
    split_list,
};
use ottla_metadata::{Configs, ControllerError};

/// Shortest and longest interval between two pushes of a client's metrics, both inclusive.
const PUSH_INTERVAL_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;

/// What a subscription to client metrics can match by (`ClientMetricsConfigs`).
const MATCHED: &[&str] = &[
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Judges what is set on a group (Kafka's `GroupConfig.validate`): the broker's configs say within
/// which limits.
pub(super) fn validate_group(
    configs: &Configs,
    changed: &[&str],
    layers: BrokerLayers<'_>,
) -> Result<(), ControllerError> {
    for name in changed {
        let Some(value) = configs.get(*name) else {
            continue;
        };
        let definition = group_definition(name)
            .ok_or_else(|| refuse(format!("Unknown group config name: {name}")))?;
        let printed = definition
            .parse(value)
            .map_err(|error| refuse(error.to_string()))?;
        check_limits(definition, &printed, layers)?;
    }
    Ok(())
}

fn check_limits(
    definition: &Definition,
    printed: &str,
    layers: BrokerLayers<'_>,
) -> Result<(), ControllerError> {
    let name = definition.name;
    if name == "streams.assignor.name" {
        let known = text_of("group.streams.assignors", layers).unwrap_or_default();
        if !split_list(&known).contains(&printed) {
            return Err(refuse(format!(
                "{name} '{printed}' is not a registered task assignor. Registered assignors are: \
                 [{known}]."
            )));
        }
        return Ok(());
    }
    if name == "streams.rack.aware.assignment.tags" {
        let mut tags = split_list(printed);
        tags.sort_unstable();
        if tags.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(refuse(format!(
                "{name} must not contain duplicate tag keys."
            )));
        }
        return Ok(());
    }
    let Ok(number) = printed.parse::<i64>() else {
        return Ok(());
    };
    // share.session.timeout.ms lies between group.share.min.session.timeout.ms and ...max...
    let Some((kind, rest)) = name.split_once('.') else {
        return Ok(());
    };
    let limit = |which: &str, rest: &str| {
        let text = text_of(&format!("group.{kind}.{which}.{rest}"), layers);
        text.and_then(|text| text.parse::<i64>().ok())
    };
    // Counts of replicas have a limit of their own name: num.standby.replicas, max.standby.replicas.
    let most = limit("max", rest.strip_prefix("num.").unwrap_or(rest));
    let least = limit("min", rest);
    let wrong = match (least, most) {
        (Some(least), Some(most)) if number < least || most < number => {
            format!("must be in the range {least} to {most} inclusive.")
        }
        (None, Some(most)) if most < number => format!("must be less than or equal to {most}"),
        (Some(least), None) if number < least => {
            format!("must be greater than or equal to {least}")
        }
        _ => return Ok(()),
    };
    Err(refuse(format!("{name} {wrong}")))
}

fn text_of(name: &str, layers: BrokerLayers<'_>) -> Option<String> {
    let definition = broker_definition(name)?;
    let value = layers.value(definition).or(definition.default);
    value.map(str::to_owned)
}

/// Judges what is set on a subscription to client metrics (Kafka's `ClientMetricsConfigs.validate`).
pub(super) fn validate_client_metrics(
    configs: &Configs,
    changed: &[&str],
) -> Result<(), ControllerError> {
    for name in changed {
        let Some(value) = configs.get(*name) else {
            continue;
        };
        let definition =
            client_metrics_definition(name).ok_or_else(|| ControllerError::InvalidRequest {
                message: format!("Unknown client metrics configuration: {name}"),
            })?;
        let printed = definition
            .parse(value)
            .map_err(|error| refuse(error.to_string()))?;
        match definition.name {
            "interval.ms" => check_interval(&printed)?,
            "match" => check_patterns(&printed)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_interval(printed: &str) -> Result<(), ControllerError> {
    match printed.parse() {
        Ok(millis) if PUSH_INTERVAL_MS.contains(&millis) => Ok(()),
        _ => Err(ControllerError::InvalidRequest {
            message: format!(
                "Invalid value {printed} for interval.ms, interval must be between {} and {} (1 hour)",
                PUSH_INTERVAL_MS.start(),
                PUSH_INTERVAL_MS.end()
            ),
        }),
    }
}

/// Each is `attribute=regular expression`, one that Java can read.
fn check_patterns(printed: &str) -> Result<(), ControllerError> {
    for pattern in split_list(printed) {
        let mut parts = pattern.split('=').map(str::trim);
        let is_known = parts.next().is_some_and(|name| MATCHED.contains(&name));
        let expression = parts.next().filter(|text| !text.is_empty());
        let has_expression = expression.is_some_and(is_java_expression);
        if !is_known || !has_expression || parts.next().is_some() {
            return Err(refuse(format!(
                "Illegal client matching pattern: {pattern}"
            )));
        }
    }
    Ok(())
}
