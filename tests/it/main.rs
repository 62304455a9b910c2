//! The one integration test binary.

mod conflict;
mod crash;
mod failing_agents;
mod github_model;
mod greeting;
mod hostile;
mod main_flow;
mod moving_base;
mod permission;
mod stopping;
mod support;
mod webhook_edge;
