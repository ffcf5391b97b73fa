//! Every message in every version, from outside.

mod all_messages;
mod fuzz;
mod golden;
mod headers;
mod recode;
mod refusals;
mod round_trip;
mod sample;
// The grammar of the schema files, as the generator reads it.
#[path = "../../../../xtask/src/codegen/schema.rs"]
#[expect(dead_code, reason = "some facts are of interest to the generator only")]
mod schema;
mod schemas;
