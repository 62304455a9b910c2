//! Validated configuration, and the only room that reads the environment.
//!
//! [`server`] is the operator's file, which sets the ceilings; the project's own file lies in its
//! repository and can only be stricter.

pub mod environment;
mod overrides;
pub mod server;
