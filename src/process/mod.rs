//! Supervised processes: how a piece of work outlives the server that asked for it.
//!
//! ```text
//! server                         supervisor (`huskies run-attempt <folder>`)
//! client::Launcher ── spawns ──▶ supervisor::supervise(folder, job)
//! client::Attached ◀─ socket ──▶   Hello, Session, Ended / Heartbeat, Stop
//!        └──────── folder: spec.json, started.json, result.json, log.jsonl ────────┘
//! ```
//!
//! Not for: what a job does. Agents and gates bring their own [`supervisor::Job`]; this room starts
//! them once, watches over them and ends their whole process tree. Linux only (`/proc`, pidfd,
//! child subreaper).

pub mod client;
pub mod identity;
pub mod protocol;
pub mod run_folder;
pub mod supervisor;
pub mod tree;
