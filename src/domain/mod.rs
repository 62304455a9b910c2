//! The product in a few files: what can happen ([`event`]), what can be asked for ([`effect`]),
//! and what follows ([`transition`], one file per subject).
//!
//! Pure: no tokio, git, file system, environment or clock. Time comes in as an argument.

pub mod account;
pub mod delivery;
pub mod dependency;
pub mod effect;
pub mod event;
pub mod head;
pub mod id;
pub mod money;
pub mod policy;
pub mod project;
pub mod proposal;
pub mod pull;
pub mod reconciliation;
pub mod repo;
pub mod sandbox;
pub mod story;
pub mod text;
pub mod transition;
pub mod work;
