//! The operating system as [`ottla_storage::disk::Disk`].

mod os_disk;
mod pending_file;
mod power_cut_disk;

pub use os_disk::OsDisk;
pub use power_cut_disk::PowerCutDisk;
