//! The one integration test binary: real git, processes, sockets and files throughout.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy only knows that of the test functions themselves"
)]

mod forge_contract;
mod gate;
mod github_forge;
mod github_model;
mod hook;
mod local_forge;
mod supervisor;
mod support;
mod webhook;
