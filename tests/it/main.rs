//! The one integration test binary.

mod github_model;
mod support;
