//! Shows what the transitions promise: a table to read as the specification ([`table`]), and
//! properties over whole random histories ([`properties`]) in a [`world`] in memory.

mod answers;
mod dependencies;
mod invariants;
mod merges;
mod properties;
mod pulls;
mod table;
mod world;

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::delivery::{
    Comment, PullRequestAction, PullRequestBase, PullRequestChange, PullRequestHead,
};
use crate::domain::dependency::Family;
use crate::domain::id::{ItemName, RepoName, Sha, StoryId};
use crate::domain::project::{Agent, Gate, Land, Moment, Project, Role, Runtime, Trigger};
use crate::domain::work::{GateOutcome, GateReport, GateVerdict};

/// The first instant of every test: noon, so that a day turns only where a test means it to.
fn noon() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn repo_name() -> RepoName {
    "octo/app".parse().unwrap()
}

fn story_id(number: u64) -> StoryId {
    StoryId::new(repo_name(), number)
}

fn item(name: &str) -> ItemName {
    name.parse().unwrap()
}

/// An object id that a number makes recognisable.
fn sha(number: u64) -> Sha {
    format!("{number:040x}").parse().unwrap()
}

/// What happened to somebody's pull request to the base branch.
fn pull_change(number: u64, action: PullRequestAction, head: PullRequestHead) -> PullRequestChange {
    PullRequestChange {
        number,
        action,
        head,
        base: PullRequestBase {
            branch: "main".parse().ok(),
            commit: None,
        },
        author: "bob".to_owned(),
        sender: "bob".to_owned(),
        by_bot: false,
        title: "A door".to_owned(),
        body: String::new(),
        labels: Vec::new(),
        draft: false,
    }
}

/// What ann wrote in the conversation of the issue "Door".
fn comment_on(number: u64) -> Comment {
    Comment {
        id: 5,
        number,
        on_pull_request: false,
        sender: "ann".to_owned(),
        by_bot: false,
        title: "Door".to_owned(),
        body: String::new(),
        labels: Vec::new(),
        family: Family::default(),
        at: None,
    }
}

fn agent(name: &str, role: Role, runtime: Runtime) -> Agent {
    Agent {
        name: item(name),
        role,
        runtime,
        model: None,
        prompt: None,
        args: Vec::new(),
        command: None,
        max_turns: None,
        max_budget: None,
        inactivity: Duration::from_mins(10),
    }
}

/// One metered coder and two gates at every moment.
fn project() -> Project {
    let gate = |name| Gate {
        name: item(name),
        command: "true".to_owned(),
        timeout: Duration::from_mins(1),
        on: vec![Moment::Accept, Moment::Merge],
        paths: Vec::new(),
    };
    Project {
        land: Land::Push,
        trigger: Trigger::default(),
        max_retries: 3,
        push_wip: false,
        components: Vec::new(),
        gates: vec![gate("unit"), gate("lint")],
        agents: vec![agent("claude", Role::Coder, Runtime::ClaudeCode)],
    }
}

/// What the gates say about a commit: all pass, or `unit` fails and prints `tail`.
/// As if none of the gates had applied.
fn skip_all(report: &mut GateReport) {
    for outcome in &mut report.outcomes {
        outcome.verdict = GateVerdict::Skipped;
    }
}

fn report(commit: &Sha, tree: &Sha, failure: Option<&str>) -> GateReport {
    let unit = match failure {
        None => (GateVerdict::Passed, ""),
        Some(tail) => (GateVerdict::Failed { status: 1 }, tail),
    };
    let outcome = |name, (verdict, tail): (GateVerdict, &str)| GateOutcome {
        gate: item(name),
        verdict,
        duration: Duration::from_secs(1),
        tail: tail.to_owned(),
    };
    GateReport {
        commit: commit.clone(),
        tree: tree.clone(),
        outcomes: vec![
            outcome("unit", unit),
            outcome("lint", (GateVerdict::Passed, "")),
        ],
    }
}
