//! What integration tests stand on.

pub(crate) mod github_model;
