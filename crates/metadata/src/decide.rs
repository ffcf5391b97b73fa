//! Commands become records and replies here: pure functions of the state they are decided on.

mod alter_configs;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod directories;
mod directory_loads;
mod elect_leaders;
mod leadership;
mod placement;
mod producer_ids;
mod reassign_partitions;
mod register_broker;
mod update_features;

use crate::command::{Command, Reply};
use crate::config_rules::ConfigRules;
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::record::Record;
use ottla_types::Prng;

pub(crate) use register_broker::first_registration;

/// Partitions that one request may create (`ReplicationControlManager.MAX_PARTITIONS_PER_BATCH`).
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What changes; they fit the image decided on. Empty when nothing does.
    pub records: Vec<Record>,
    /// The answer, once the records and everything before them is applied.
    pub reply: Reply,
}

/// Decides `command` on `image`. Same arguments, same decision; `prng` gives ids and places.
///
/// # Errors
/// When the command as a whole is refused; commands about several things answer for each of them.
pub fn decide(
    command: &Command,
    image: &Image,
    rules: &dyn ConfigRules,
    prng: &mut Prng,
) -> Result<Decision, ControllerError> {
    match command {
        Command::RegisterBroker(registration) => register_broker::register(registration, image),
        Command::UnregisterBroker { broker } => register_broker::unregister(*broker, image),
        Command::CreateTopics { topics, mode } => {
            create_topics::create_topics(topics, *mode, image, rules, prng)
        }
        Command::DeleteTopics { topics } => Ok(delete_topics::delete_topics(topics, image)),
        Command::CreatePartitions { topics, mode } => {
            create_partitions::create_partitions(topics, *mode, image, prng)
        }
        Command::AlterConfigs { resources, mode } => {
            Ok(alter_configs::alter_configs(resources, *mode, image, rules))
        }
        Command::ReplaceConfigs { resources, mode } => Ok(alter_configs::replace_configs(
            resources, *mode, image, rules,
        )),
        Command::ElectLeaders { election, scope } => {
            Ok(elect_leaders::elect_leaders(*election, scope, image))
        }
        Command::ReassignPartitions { reassignments } => Ok(
            reassign_partitions::reassign_partitions(reassignments, image),
        ),
        Command::UpdateFeatures { updates, mode } => {
            update_features::update_features(updates, *mode, image)
        }
        Command::AllocateProducerIds {
            broker,
            broker_epoch,
        } => producer_ids::allocate(*broker, *broker_epoch, image),
        Command::UpdateDirectories {
            broker,
            broker_epoch,
            directories,
            cordoned,
        } => directories::update(*broker, *broker_epoch, directories, cordoned, image),
        Command::AssignDirectories {
            broker,
            broker_epoch,
            assignments,
        } => directories::assign(*broker, *broker_epoch, assignments, image),
    }
}
