//! huskies: label a GitHub issue; get a merged change, or a clear account of why not.
//!
//! ```text
//! delivery ─▶ Event ─▶ engine: step(subject, event, now) ─▶ subject' + effects ─▶ store (one transaction)
//!    ▲                                                                                │
//!    └──────── Event ◀─ executor: worktree | agent | gate | merge | report ◀──────────┘
//! ```
//!
//! | room | is |
//! |---|---|
//! | [`domain`] | the product, pure: what can happen, what can be asked for, what follows |
//! | [`engine`] | the only writer of subjects; decides and stores in one transaction |
//! | [`store`] | where everything is kept: SQLite behind a trait |
//! | [`executor`] | carries out what was decided; each result comes back as an event |
//! | [`git`] | two repositories of the server's own, worktrees, merging and landing, all hermetic |
//! | [`process`], [`supervised`] | processes that outlive the server and are met again |
//! | [`sandbox`] | the walls around everything that runs on a story's tree |
//! | [`agent`] | how a configured agent and a prompt become a process, one file per runtime |
//! | [`gate`], [`hook`], [`init`] | quality gates, the pre-commit hook that runs them, finding likely ones |
//! | [`forge`], [`webhook`], [`command`], [`report`] | GitHub and the built-in forge, deliveries, what comments say to huskies, every word said there |
//! | [`notify`] | one other way to reach a person, when the forge itself does not work |
//! | [`clock`], [`timer`] | time, and what is armed to happen at one |
//! | [`web`] | what talks HTTP |
//! | [`upkeep`], [`backup`] | what is old goes, a full disk stops starts; everything in one file, and back |
//! | [`config`] | validated configuration; the only room that reads the environment |
//! | [`secret`] | secrets that may change while the server runs |
//! | [`crash`] | named places where a test may kill the server |
//! | [`app`], [`cli`] | the composition root, and the command line |
//!
//! Adapters never know each other, nothing knows `app` or `cli`, and `domain` knows nothing; a
//! test holds these arrows.

pub mod agent;
pub mod app;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod crash;
pub mod domain;
pub mod engine;
pub mod executor;
pub mod forge;
pub mod gate;
pub mod git;
pub mod hook;
pub mod init;
pub mod notify;
pub mod process;
pub mod report;
pub mod sandbox;
pub mod secret;
pub mod store;
pub mod supervised;
pub mod timer;
pub mod upkeep;
pub mod web;
pub mod webhook;
