//! The operating system as [`ottla_storage::disk::Disk`].

mod faulty_disk;
mod founding_disk;
mod intercepted_disk;
mod os_disk;
mod pending_file;
mod power_cut_disk;
mod uncached;

pub use faulty_disk::{FaultyDisk, PlannedFault};
pub use founding_disk::{FoundingDisk, settle};
#[cfg(test)]
pub use intercepted_disk::{Intercept, InterceptedDisk};
pub use os_disk::OsDisk;
pub use power_cut_disk::PowerCutDisk;
