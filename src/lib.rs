//! huskies: label a GitHub issue; get a merged change, or a clear account of why not.

pub mod agent;
pub mod domain;
pub mod process;
pub mod supervised;
