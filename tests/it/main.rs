//! The one integration test binary: real git, processes, sockets and files throughout, and flows
//! through the real program.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy only knows that of the test functions themselves"
)]

mod backup;
mod command_line;
mod conflict;
mod conversation;
mod crash;
mod demo;
mod dependencies;
mod failing_agents;
mod faults;
mod first_steps;
mod forge_contract;
mod forge_faults;
mod fuzz;
mod gate;
mod github_app;
mod github_forge;
mod github_model;
mod github_pulls;
mod github_setup;
mod greeting;
mod hook;
mod hostile;
mod hostile_text;
mod http_safety;
mod layers;
mod load;
mod local_forge;
mod main_flow;
mod moving_base;
mod permission;
mod protected;
mod pull_heads;
mod pull_requests;
mod readme;
mod reconciliation;
mod rotation;
mod sandbox;
mod secrets;
mod simulation;
mod slow_clients;
mod stopping;
mod supervisor;
mod support;
mod upgrade;
mod upkeep;
mod webhook;
mod webhook_edge;
