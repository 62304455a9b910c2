//! The one integration test binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod gate;
mod github_model;
mod hook;
mod support;
