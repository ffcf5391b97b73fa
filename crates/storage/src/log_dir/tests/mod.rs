mod harness;

mod appends;
mod files;
mod model;
mod restarts;
