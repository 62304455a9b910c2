//! The one integration test binary.

mod forge_contract;
mod github_forge;
mod github_model;
mod support;
mod webhook;
