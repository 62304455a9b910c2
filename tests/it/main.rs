//! The one integration test binary.

mod github_model;
mod greeting;
mod main_flow;
mod permission;
mod support;
mod webhook_edge;
