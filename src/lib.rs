//! huskies: label a GitHub issue; get a merged change, or a clear account of why not.

pub mod agent;
pub mod config;
pub mod domain;
pub mod engine;
pub mod gate;
pub mod process;
pub mod report;
pub mod store;
pub mod supervised;
pub mod timer;
pub mod webhook;
pub mod git;
