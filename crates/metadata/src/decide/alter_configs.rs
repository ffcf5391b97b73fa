use super::Decision;
use crate::command::{
    ConfigAlteration, ConfigChange, ConfigOperation, ConfigReplacement, Mode, Reply,
};
use crate::config_resource::{ConfigResource, Configs, ResourceKind};
use crate::config_rules::ConfigRules;
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::record::Record;
use ottla_types::BrokerId;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes a config's value may have: Kafka's record length fields of old.
const CONFIG_VALUE_SIZE_MAX: usize = i16::MAX as usize;

/// Changes configs key by key; each resource is refused or changed on its own
/// (`ConfigurationControlManager.incrementalAlterConfigs`).
pub(super) fn alter_configs(
    resources: &[ConfigAlteration],
    mode: Mode,
    image: &Image,
    rules: &dyn ConfigRules,
) -> Decision {
    let named = resources.iter().map(|alteration| &alteration.resource);
    let duplicates = duplicates(named);
    answer_each(mode, resources, |alteration| {
        let resource = &alteration.resource;
        refuse_duplicate(resource, &duplicates)?;
        let changes = altered(alteration, image, rules)?;
        judge(resource, changes, image, rules)
    })
}

/// Gives each resource exactly the configs named (`ConfigurationControlManager.legacyAlterConfigs`).
pub(super) fn replace_configs(
    resources: &[ConfigReplacement],
    mode: Mode,
    image: &Image,
    rules: &dyn ConfigRules,
) -> Decision {
    let duplicates = duplicates(resources.iter().map(|replacement| &replacement.resource));
    answer_each(mode, resources, |replacement| {
        let ConfigReplacement { resource, configs } = replacement;
        refuse_duplicate(resource, &duplicates)?;
        let mut changes = Changes::new();
        for (name, value) in configs {
            if changes.insert(name.clone(), value.clone()).is_some() {
                return Err(duplicate_keys());
            }
        }
        refuse_nulls(
            configs
                .iter()
                .filter(|(_, value)| value.is_none())
                .map(|(name, _)| name),
        )?;
        if let Some(current) = image.configs(resource) {
            for name in current.keys() {
                changes.entry(name.clone()).or_insert(None);
            }
        }
        judge(resource, changes, image, rules)
    })
}

/// The new value of each config that is named; `None` removes it.
type Changes = BTreeMap<String, Option<String>>;

fn answer_each<T>(
    mode: Mode,
    resources: &[T],
    mut alter: impl FnMut(&T) -> Result<Vec<Record>, ControllerError>,
) -> Decision {
    let mut records = Vec::new();
    let results = resources
        .iter()
        .map(|resource| {
            let altered = alter(resource)?;
            if mode == Mode::Commit {
                records.extend(altered);
            }
            Ok(())
        })
        .collect();
    Decision {
        records,
        reply: Reply::ConfigsAltered(results),
    }
}

fn altered(
    alteration: &ConfigAlteration,
    image: &Image,
    rules: &dyn ConfigRules,
) -> Result<Changes, ControllerError> {
    let names: BTreeSet<&str> = alteration
        .changes
        .iter()
        .map(|change| change.name.as_str())
        .collect();
    if names.len() < alteration.changes.len() {
        return Err(duplicate_keys());
    }
    let nulls = alteration
        .changes
        .iter()
        .filter(|change| change.value.is_none() && change.operation != ConfigOperation::Delete);
    refuse_nulls(nulls.map(|change| &change.name))?;

    let resource = &alteration.resource;
    let mut changes = Changes::new();
    for change in &alteration.changes {
        let value = match change.operation {
            ConfigOperation::Set => change.value.clone(),
            ConfigOperation::Delete => None,
            ConfigOperation::Append | ConfigOperation::Subtract => {
                Some(altered_list(resource, change, image, rules)?)
            }
        };
        changes.insert(change.name.clone(), value);
    }
    Ok(changes)
}

fn altered_list(
    resource: &ConfigResource,
    change: &ConfigChange,
    image: &Image,
    rules: &dyn ConfigRules,
) -> Result<String, ControllerError> {
    if !rules.is_list(resource, &change.name) {
        return Err(ControllerError::InvalidConfig {
            message: format!(
                "Can't {} to key {} because its type is not LIST.",
                change.operation.name(),
                change.name
            ),
        });
    }
    let current = image
        .configs(resource)
        .and_then(|configs| configs.get(&change.name).cloned())
        .or_else(|| rules.effective_default(image, resource, &change.name))
        .unwrap_or_default();
    let mut items = list_items(&current);
    let operand = list_items(change.value.as_deref().unwrap_or_default());
    if change.operation == ConfigOperation::Append {
        for item in operand {
            if !items.contains(&item) {
                items.push(item);
            }
        }
    } else {
        items.retain(|item| !operand.contains(item));
    }
    Ok(items.join(","))
}

fn list_items(list: &str) -> Vec<&str> {
    list.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect()
}

/// The records for `changes`, if the resource exists and the result is allowed.
fn judge(
    resource: &ConfigResource,
    changes: Changes,
    image: &Image,
    rules: &dyn ConfigRules,
) -> Result<Vec<Record>, ControllerError> {
    check_may_have_configs(resource)?;
    let current = image.configs(resource);
    let mut configs: Configs = current
        .map(|current| (**current).clone())
        .unwrap_or_default();
    for (name, value) in &changes {
        match value {
            Some(value) => {
                check_value_size(value)?;
                configs.insert(name.clone(), value.clone());
            }
            None => {
                configs.remove(name);
            }
        }
    }
    let changed: Vec<&str> = changes.keys().map(String::as_str).collect();
    rules.validate(image, resource, &configs, &changed)?;
    // As in Kafka, what is wrong with the configs is said first.
    check_exists(resource, image)?;

    let current_value = |name: &str| current.and_then(|current| current.get(name));
    let records = changes
        .into_iter()
        // A broker reloads files when a config is set to the value it has (KAFKA-14136).
        .filter(|(name, value)| {
            let is_removal_of_nothing = value.is_none() && current_value(name).is_none();
            let is_reload = resource.kind == ResourceKind::Broker && !is_removal_of_nothing;
            is_reload || current_value(name) != value.as_ref()
        })
        .map(|(name, value)| Record::Config {
            resource: resource.clone(),
            name,
            value,
        });
    Ok(records.collect())
}

fn check_may_have_configs(resource: &ConfigResource) -> Result<(), ControllerError> {
    let refuse = |message: &str| {
        Err(ControllerError::InvalidRequest {
            message: message.to_owned(),
        })
    };
    match resource.kind {
        ResourceKind::BrokerLogger => {
            refuse("Unsupported: log levels are not part of the cluster's state.")
        }
        ResourceKind::ClientMetrics if resource.name.is_empty() => {
            refuse("Subscription name can't be empty")
        }
        ResourceKind::Group if resource.name.is_empty() => {
            refuse("Default group resources are not allowed.")
        }
        ResourceKind::Topic
        | ResourceKind::Broker
        | ResourceKind::ClientMetrics
        | ResourceKind::Group => Ok(()),
    }
}

/// Topics and brokers must be there; the others are made by their configs.
fn check_exists(resource: &ConfigResource, image: &Image) -> Result<(), ControllerError> {
    match resource.kind {
        ResourceKind::Topic => match image.topic_id(&resource.name) {
            Some(_) => Ok(()),
            None => Err(ControllerError::ConfigOfUnknownTopic {
                name: resource.name.clone(),
            }),
        },
        ResourceKind::Broker if resource.name.is_empty() => Ok(()),
        ResourceKind::Broker => {
            let id = resource.name.parse::<i32>().ok();
            match id
                .and_then(BrokerId::from_wire)
                .and_then(|id| image.broker(id))
            {
                Some(_) => Ok(()),
                None => Err(ControllerError::ConfigOfUnknownBroker {
                    broker: resource.name.clone(),
                }),
            }
        }
        ResourceKind::BrokerLogger | ResourceKind::ClientMetrics | ResourceKind::Group => Ok(()),
    }
}

/// Kafka's limit for a config's value.
pub(super) fn check_value_size(value: &str) -> Result<(), ControllerError> {
    if CONFIG_VALUE_SIZE_MAX < value.len() {
        return Err(ControllerError::InvalidConfig {
            message: format!(
                "The configuration value cannot be added because it exceeds the maximum value \
                 size of {CONFIG_VALUE_SIZE_MAX} bytes."
            ),
        });
    }
    Ok(())
}

fn duplicates<'a>(
    resources: impl Iterator<Item = &'a ConfigResource>,
) -> BTreeSet<&'a ConfigResource> {
    let mut seen = BTreeSet::new();
    resources
        .filter(|resource| !seen.insert(*resource))
        .collect()
}

fn refuse_duplicate(
    resource: &ConfigResource,
    duplicates: &BTreeSet<&ConfigResource>,
) -> Result<(), ControllerError> {
    if duplicates.contains(resource) {
        return Err(ControllerError::DuplicateResource {
            resource: resource.clone(),
        });
    }
    Ok(())
}

fn refuse_nulls<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), ControllerError> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(ControllerError::InvalidRequest {
        message: format!("Null value not supported for : {}", names.join(",")),
    })
}

fn duplicate_keys() -> ControllerError {
    ControllerError::InvalidRequest {
        message: "Error due to duplicate config keys".to_owned(),
    }
}
