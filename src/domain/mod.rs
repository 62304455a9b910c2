//! The product in a few files: what can happen ([`event`]), what can be asked for ([`effect`]),
//! and what follows ([`transition`], one file per subject).
//!
//! Pure: no tokio, git, file system, environment or clock. Time comes in as an argument.

pub mod delivery;
pub mod id;
pub mod money;
pub mod project;
pub mod text;
pub mod work;
