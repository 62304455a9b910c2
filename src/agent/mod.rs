//! Agents: how a configured agent and a prompt become a process in a terminal, and how what it
//! prints becomes the end of an attempt.
//!
//! ```text
//! Agent + Prompt + Start + money ─▶ spec() ─▶ AgentSpec ─▶ session (in the supervisor) ─▶ AgentOutcome
//!             runtime/*: argv, output lines ──────┘              └── log.jsonl, session id
//! ```
//!
//! Everything here up to [`spec()`] is pure. Not for: what follows from an end (the core), nor what
//! an agent really did (git, gates).

pub mod prompt;
pub mod runtime;
pub mod session;
pub mod template;

use std::path::PathBuf;

use crate::domain::id::{Attempt, StoryId};
use crate::domain::money::Usd;
use crate::domain::project::{Agent, FIX_UP_BUDGET, FIX_UP_TURNS};
use crate::domain::work::Start;
use crate::sandbox::Confinement;
use prompt::Prompt;
use runtime::Unlaunchable;
use session::AgentSpec;

/// The most that a session may use, whatever its agent's configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    pub turns: u32,
    pub budget: Usd,
}

/// For a session that only repairs a failed merge (spec 5.9).
pub const FIX_UP_CAP: Cap = Cap {
    turns: FIX_UP_TURNS,
    budget: FIX_UP_BUDGET,
};

/// The newest output of an attempt that is kept.
const LOG_BYTES: u64 = 32 * 1024 * 1024;

/// Everything that one start of an agent is made of.
#[derive(Debug, Clone)]
pub struct LaunchRequest {
    pub story: StoryId,
    pub attempt: Attempt,
    pub agent: Agent,
    pub prompt: Prompt,
    pub start: Start,
    /// What the ledger reserved for this attempt.
    pub budget: Option<Usd>,
    pub cap: Option<Cap>,
    pub worktree: PathBuf,
    /// Where the prompt will be written; inside the run's folder.
    pub prompt_file: PathBuf,
    /// The base environment: `PATH`, `HOME`, `LANG`, the provider's key.
    pub environment: Vec<(String, String)>,
    /// Whether the agent will run as root.
    pub as_root: bool,
    /// What it may see and use; `None` for everything that the server may.
    pub confinement: Option<Confinement>,
}

/// Makes the specification that a supervisor runs.
///
/// # Errors
/// The agent's configuration cannot be started; the attempt ends as `CannotLaunch` with the text.
pub fn spec(request: &LaunchRequest) -> Result<AgentSpec, Unlaunchable> {
    let launch = runtime::of(request.agent.runtime).launch(request)?;
    let mut environment = request.environment.clone();
    environment.extend(launch.environment);
    environment.extend([
        ("HUSKIES_STORY".to_owned(), request.story.to_string()),
        ("HUSKIES_ATTEMPT".to_owned(), request.attempt.to_string()),
        (
            "HUSKIES_WORKTREE".to_owned(),
            request.worktree.display().to_string(),
        ),
        (
            "HUSKIES_PROMPT_FILE".to_owned(),
            request.prompt_file.display().to_string(),
        ),
    ]);
    Ok(AgentSpec {
        runtime: request.agent.runtime,
        start: request.start.clone(),
        argv: launch.argv,
        environment,
        worktree: request.worktree.clone(),
        prompt_file: request.prompt_file.clone(),
        prompt: launch.prompt_file,
        install_hint: launch.install_hint,
        inactivity: request.agent.inactivity,
        log_bytes: LOG_BYTES,
        confinement: request.confinement.clone(),
    })
}
