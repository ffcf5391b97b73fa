//! The public face of the crate: what is built is read again, what is broken is refused.

mod golden;
mod hostile;
mod round_trip;
