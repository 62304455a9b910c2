//! What a project's `.huskies/project.toml` says, validated: the rules one story runs under.
//!
//! Not for: reading or parsing the file (`config::project`), nor the server's own settings.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::{ItemName, Provider};
use super::money::Usd;

/// The whole project file, as of one commit of the base branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    pub land: Land,
    pub trigger: Trigger,
    /// How many failed attempts are followed by another one.
    pub max_retries: u32,
    /// Kept work goes to the remote as well, under `refs/huskies/wip/` (spec 4.6).
    #[serde(default)]
    pub push_wip: bool,
    pub components: Vec<Component>,
    pub gates: Vec<Gate>,
    pub agents: Vec<Agent>,
}

impl Project {
    /// The agents that may code, in the order of the file.
    pub fn coders(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter().filter(|agent| agent.role == Role::Coder)
    }

    /// The gates that run at `moment`. A project that names gates for only one of accept and merge
    /// has them run at both: nothing lands untested.
    pub fn gates_on(&self, moment: Moment) -> Vec<Gate> {
        let marked = |moment| {
            self.gates
                .iter()
                .filter(move |gate| gate.on.contains(&moment))
        };
        let gates: Vec<Gate> = marked(moment).cloned().collect();
        match moment {
            Moment::Accept if gates.is_empty() => marked(Moment::Merge).cloned().collect(),
            Moment::Merge if gates.is_empty() => marked(Moment::Accept).cloned().collect(),
            Moment::Commit | Moment::Accept | Moment::Merge => gates,
        }
    }
}

/// How a story's change reaches the base branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Land {
    Push,
    PullRequest,
}

/// The labels that move stories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    pub start_label: String,
    pub hold_label: String,
    pub retry_label: String,
    #[serde(default = "Trigger::default_approve_label")]
    pub approve_label: String,
}

impl Trigger {
    fn default_approve_label() -> String {
        "huskies:approve".to_owned()
    }
}

impl Default for Trigger {
    fn default() -> Self {
        Self {
            start_label: "huskies".to_owned(),
            hold_label: "huskies:hold".to_owned(),
            retry_label: "huskies:retry".to_owned(),
            approve_label: Self::default_approve_label(),
        }
    }
}

/// A part of the project with its own set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    pub name: ItemName,
    /// The folder its commands run in, relative to the root.
    pub path: String,
    pub setup: Vec<String>,
    pub teardown: Vec<String>,
    /// For all set-up commands of this component together.
    pub timeout: Duration,
}

/// When a gate runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// In the pre-commit hook: help for whoever commits, never an authority.
    Commit,
    /// By the server, on what an agent committed.
    Accept,
    /// By the server, on the very tree that is about to land.
    Merge,
}

/// One quality gate: a shell command whose exit status alone decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    pub name: ItemName,
    pub command: String,
    pub timeout: Duration,
    pub on: Vec<Moment>,
    /// Globs over changed paths; the gate is skipped when none matches. Empty: always runs.
    pub paths: Vec<String>,
}

/// What an agent is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Coder,
    Qa,
    Mergemaster,
    Other,
}

/// What a session that only repairs a failed merge may use at most (spec 5.9).
pub const FIX_UP_TURNS: u32 = 20;
pub const FIX_UP_BUDGET: Usd = Usd::from_cents(100);

/// Which adapter drives an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    ClaudeCode,
    Command,
}

impl Runtime {
    pub const ALL: [Self; 2] = [Self::ClaudeCode, Self::Command];

    pub fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Command => "command",
        }
    }

    /// Whose account pays; pauses of one provider do not hold up another.
    pub fn provider(self) -> Provider {
        Provider(match self {
            Self::ClaudeCode => "anthropic".to_owned(),
            Self::Command => "command".to_owned(),
        })
    }

    /// Whether starting it can cost money that the ledger must hold in reserve. A `command` agent
    /// spends what its author lets it spend: it reserves only a budget that is configured.
    pub fn is_metered(self) -> bool {
        match self {
            Self::ClaudeCode => true,
            Self::Command => false,
        }
    }
}

/// One configured agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    pub name: ItemName,
    pub role: Role,
    pub runtime: Runtime,
    pub model: Option<String>,
    /// The prompt template; `None` takes the built-in one of its role.
    pub prompt: Option<String>,
    pub args: Vec<String>,
    /// For the `command` runtime: what `sh -c` runs.
    pub command: Option<String>,
    pub max_turns: Option<u32>,
    pub max_budget: Option<Usd>,
    /// Silence after which an attempt counts as stalled.
    pub inactivity: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(gates: &[(&str, &[Moment])]) -> Project {
        let gate = |&(name, on): &(&str, &[Moment])| Gate {
            name: name.parse().unwrap(),
            command: "true".to_owned(),
            timeout: Duration::from_mins(1),
            on: on.to_vec(),
            paths: Vec::new(),
        };
        Project {
            land: Land::Push,
            trigger: Trigger::default(),
            max_retries: 3,
            push_wip: false,
            components: Vec::new(),
            gates: gates.iter().map(gate).collect(),
            agents: Vec::new(),
        }
    }

    fn names(project: &Project, moment: Moment) -> Vec<String> {
        let gates = project.gates_on(moment);
        gates.iter().map(|gate| gate.name.to_string()).collect()
    }

    #[test]
    fn gates_run_when_they_say_so_and_nothing_lands_untested() {
        use Moment::{Accept, Commit, Merge};
        let both = project(&[("lint", &[Commit]), ("unit", &[Accept]), ("slow", &[Merge])]);
        assert_eq!(names(&both, Commit), ["lint"]);
        assert_eq!(names(&both, Accept), ["unit"]);
        assert_eq!(names(&both, Merge), ["slow"]);
        let accept = project(&[("lint", &[Commit]), ("unit", &[Accept])]);
        assert_eq!(names(&accept, Merge), ["unit"]);
        let merge = project(&[("slow", &[Merge])]);
        assert_eq!(names(&merge, Accept), ["slow"]);
        assert!(names(&merge, Commit).is_empty());
    }

    #[test]
    fn a_runtime_is_called_what_the_file_calls_it() {
        for runtime in Runtime::ALL {
            let written = serde_json::to_value(runtime).unwrap();
            assert_eq!(written, runtime.name());
        }
        assert!(Runtime::ClaudeCode.is_metered());
        assert!(!Runtime::Command.is_metered());
    }

    #[test]
    fn a_trigger_that_was_stored_before_approvals_were_has_the_usual_label() {
        let stored = r#"{"start_label": "a", "hold_label": "b", "retry_label": "c"}"#;
        let trigger: Trigger = serde_json::from_str(stored).unwrap();
        assert_eq!(trigger.approve_label, "huskies:approve");
    }
}
