mod harness;

mod appends;
mod compaction;
mod damage;
mod files;
mod interrupted_disk;
mod large;
mod limits;
mod model;
mod races;
mod rebuild;
mod restarts;
mod retention;
mod scrub;
mod spared;
mod truncations;
