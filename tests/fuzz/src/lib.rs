//! What can be fed with anything at all: each target panics when its input does something that
//! text of others must not do. libFuzzer calls them (`bin/`), and so does `cargo test`
//! (`tests/it/fuzz.rs`) with seeds and generated inputs.

pub mod check;
pub mod stories;
pub mod targets;
