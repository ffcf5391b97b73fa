mod harness;

mod appends;
mod files;
mod restarts;
