use crate::config_resource::{ConfigResource, Configs};
use crate::controller_error::ControllerError;
use crate::image::Image;

/// What the controller must know about configs. The table of configs belongs to the broker.
///
/// Answers depend on the arguments only: a command has the same effect whenever it is decided.
pub trait ConfigRules: Send + Sync {
    /// Whether the config is a list, so that it can be appended to.
    fn is_list(&self, resource: &ConfigResource, name: &str) -> bool;

    /// The value a config has on `resource` while nothing is set on it; lists are appended to it.
    fn effective_default(
        &self,
        image: &Image,
        resource: &ConfigResource,
        name: &str,
    ) -> Option<String>;

    /// Judges the whole set of configs that `resource` would have. `changed` names those that the
    /// request sets or removes; others were judged when they were set.
    ///
    /// # Errors
    /// Usually [`ControllerError::InvalidConfig`] with Kafka's text.
    fn validate(
        &self,
        image: &Image,
        resource: &ConfigResource,
        configs: &Configs,
        changed: &[&str],
    ) -> Result<(), ControllerError>;

    /// `num.partitions`.
    fn default_partitions(&self, image: &Image) -> i32;

    /// `default.replication.factor`.
    fn default_replication_factor(&self, image: &Image) -> i16;
}
