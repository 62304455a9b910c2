//! Validated configuration, and the only room that reads the environment.
//!
//! [`server`] is the operator's file, which sets the ceilings; [`project`] is the project's own,
//! which lies in its repository and can only be stricter. Not for: deciding anything from either.

pub mod environment;
mod error;
mod overrides;
pub mod project;
pub mod server;
