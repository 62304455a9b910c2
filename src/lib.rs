//! huskies: label a GitHub issue; get a merged change, or a clear account of why not.

pub mod domain;
pub mod git;
