//! The fixed budget of seeds, the markers, equal traces, and every seed that ever failed.

mod budget;
mod found;
mod moves;
