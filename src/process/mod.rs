//! Processes that huskies started, and everything that they started.

pub mod tree;
