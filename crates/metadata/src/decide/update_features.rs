use super::Decision;
use crate::broker_registration::FeatureRange;
use crate::command::{FeatureUpdate, Mode, Reply, UpgradeType};
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::record::Record;

/// The feature that says what the metadata log may hold; it never goes back.
const METADATA_VERSION: &str = "metadata.version";

/// Finalizes features at other levels: all of them or none (`FeatureControlManager.updateFeatures`).
pub(super) fn update_features(
    updates: &[FeatureUpdate],
    mode: Mode,
    image: &Image,
) -> Result<Decision, ControllerError> {
    let mut records = Vec::new();
    for update in updates {
        records.extend(update_feature(update, image)?);
    }
    if mode == Mode::ValidateOnly {
        records.clear();
    }
    Ok(Decision {
        records,
        reply: Reply::FeaturesUpdated,
    })
}

fn update_feature(
    update: &FeatureUpdate,
    image: &Image,
) -> Result<Option<Record>, ControllerError> {
    let FeatureUpdate { name, level, .. } = update;
    let invalid = |reason: &str| ControllerError::FeatureUpdateFailed {
        message: format!("Invalid update version {level} for feature {name}. {reason}"),
    };
    let Some(upgrade) = update.upgrade else {
        return Err(invalid(
            "The controller does not support the given upgrade type.",
        ));
    };
    if *level < 0 {
        return Err(invalid("A feature version cannot be less than 0."));
    }
    // Of one node, that of its controller is that of its broker.
    for broker in image.brokers() {
        let id = broker.id;
        match broker.features.get(name) {
            None => {
                let reason = format!("Local controller {id} does not support this feature.");
                return Err(invalid(&reason));
            }
            Some(FeatureRange { min, max }) if !(*min..=*max).contains(level) => {
                let reason = format!("Local controller {id} only supports versions {min}-{max}");
                return Err(invalid(&reason));
            }
            Some(_) => {}
        }
    }
    let current = image.feature_level(name);
    if *level < current {
        check_downgrade(name, current, *level, upgrade, invalid)?;
    }
    let record = Record::FeatureLevel {
        name: name.clone(),
        level: *level,
    };
    Ok((current != *level).then_some(record))
}

fn check_downgrade(
    name: &str,
    current: i16,
    level: i16,
    upgrade: UpgradeType,
    invalid: impl Fn(&str) -> ControllerError,
) -> Result<(), ControllerError> {
    let refusal = match upgrade {
        UpgradeType::Upgrade => {
            return Err(invalid(
                "Can't downgrade the version of this feature without setting the upgrade type to \
                 either safe or unsafe downgrade.",
            ));
        }
        UpgradeType::SafeDowngrade => {
            "Refusing to perform the requested downgrade because it might delete metadata \
             information."
        }
        UpgradeType::UnsafeDowngrade => {
            "Unsafe metadata downgrade is not supported in this version."
        }
    };
    if name != METADATA_VERSION {
        return Ok(());
    }
    Err(ControllerError::FeatureUpdateFailed {
        message: format!("Unsupported {name} downgrade from {current} to {level}. {refusal}"),
    })
}
