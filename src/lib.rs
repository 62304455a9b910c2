//! huskies: label a GitHub issue; get a merged change, or a clear account of why not.

pub mod cli;
pub mod config;
pub mod domain;
pub mod gate;
pub mod hook;
pub mod init;
pub mod process;
