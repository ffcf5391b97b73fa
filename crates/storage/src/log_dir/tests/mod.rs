mod harness;

mod appends;
mod damage;
mod files;
mod model;
mod restarts;
mod retention;
mod scrub;
