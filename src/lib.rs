//! huskies: label a GitHub issue; get a merged change, or a clear account of why not.

pub mod agent;
pub mod app;
pub mod cli;
pub mod config;
pub mod crash;
pub mod domain;
pub mod engine;
pub mod executor;
pub mod forge;
pub mod gate;
pub mod git;
pub mod hook;
pub mod init;
pub mod process;
pub mod report;
pub mod store;
pub mod supervised;
pub mod timer;
pub mod web;
pub mod webhook;
