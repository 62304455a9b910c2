//! The one integration test binary.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy only knows that of the test functions themselves"
)]

mod forge_contract;
mod github_forge;
mod github_model;
mod local_forge;
mod support;
//! The tests that go through the real binary, in one test program.

mod supervisor;
mod webhook;
