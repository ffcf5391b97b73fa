//! Logs that move from one directory of this broker to another (AlterReplicaLogDirs).

mod one_move;
mod pace;

mod moves;

mod change_over;
mod copying;
mod request;
mod steps;

pub(crate) use moves::Moves;
pub(crate) use request::Asked;
pub use steps::MoveStep;
