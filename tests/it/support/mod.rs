//! What integration tests stand on.

pub(crate) mod github_model;
pub(crate) mod local_forge;
pub(crate) mod repository;
