//! What integration tests stand on.

pub(crate) mod agent;
pub(crate) mod clone;
pub(crate) mod database;
pub(crate) mod following;
pub(crate) mod git;
pub(crate) mod github_model;
pub(crate) mod local_forge;
pub(crate) mod patience;
pub(crate) mod pause;
pub(crate) mod project;
pub(crate) mod raw;
pub(crate) mod repository;
pub(crate) mod scene;
pub(crate) mod server;
pub(crate) mod sweep;
