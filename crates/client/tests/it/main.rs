//! The async half over real sockets, against brokers that a test scripts.

mod core_is_pure;
mod mini_broker;
mod round_trip;
mod wrong_peers;
