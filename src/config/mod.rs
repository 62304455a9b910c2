//! Everything that is configured, read once at the edge and validated: the only room that reads the
//! environment.
//!
//! Not for: deciding anything from it.

pub mod environment;
pub mod project;
