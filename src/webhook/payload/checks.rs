//! `check_run`, `check_suite`, `workflow_run` and `status`: what other systems found on a commit,
//! and who wants checks.
//!
//! A suite's or a run's beginning tells nothing, and a suite's end is told run by run.

use serde::Deserialize;

use super::{Document, action, branch, commit, not_acted_on, or_default, read, sender};
use crate::domain::delivery::{CheckKind, CheckOutcome, CheckRequest, CheckResult, WantedCheck};
use crate::webhook::{Content, DecodeError};

#[derive(Deserialize)]
struct App {
    id: Option<u64>,
}

#[derive(Deserialize)]
struct Suite {
    #[serde(default, deserialize_with = "or_default")]
    id: u64,
    head_branch: Option<String>,
    head_sha: Option<String>,
    app: Option<App>,
}

#[derive(Deserialize)]
struct OfSuite {
    check_suite: Suite,
}

pub(super) fn suite(payload: &Document<'_>) -> Result<Content, DecodeError> {
    let name = action(payload)?;
    if !matches!(name, "requested" | "rerequested") {
        return Ok(not_acted_on("check suites", name));
    }
    let OfSuite { check_suite: suite } = read(payload)?;
    let wanted = if name == "requested" {
        WantedCheck::Suite { id: suite.id }
    } else {
        WantedCheck::SuiteAgain { id: suite.id }
    };
    let sha = suite.head_sha.clone().unwrap_or_default();
    asked(payload, (wanted, &sha), suite.app.as_ref(), Some(&suite))
}

#[derive(Default, Deserialize)]
struct Output {
    #[serde(default, deserialize_with = "or_default")]
    title: String,
    #[serde(default, deserialize_with = "or_default")]
    summary: String,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    head_sha: String,
    conclusion: Option<String>,
    details_url: Option<String>,
    html_url: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    output: Output,
    check_suite: Option<Suite>,
    app: Option<App>,
}

#[derive(Deserialize)]
struct PressedAction {
    #[serde(default, deserialize_with = "or_default")]
    identifier: String,
}

#[derive(Deserialize)]
struct OfRun {
    check_run: Run,
    requested_action: Option<PressedAction>,
}

pub(super) fn run(payload: &Document<'_>) -> Result<Content, DecodeError> {
    let name = action(payload)?;
    if !matches!(name, "completed" | "rerequested" | "requested_action") {
        return Ok(not_acted_on("check runs", name));
    }
    let OfRun {
        check_run: run,
        requested_action,
    } = read(payload)?;
    let suite = run.check_suite.as_ref();
    let (id, check) = (run.id, run.name.clone());
    let wanted = match name {
        "completed" => return completed(run),
        "rerequested" => WantedCheck::RunAgain { id, name: check },
        _ => WantedCheck::Action {
            id,
            action: requested_action.map_or_else(String::new, |action| action.identifier),
        },
    };
    asked(payload, (wanted, &run.head_sha), run.app.as_ref(), suite)
}

fn completed(run: Run) -> Result<Content, DecodeError> {
    let suite = run.check_suite.as_ref();
    let summary = if run.output.title.is_empty() {
        run.output.summary
    } else {
        run.output.title
    };
    Ok(Content::Check(CheckResult {
        kind: CheckKind::CheckRun,
        id: Some(run.id),
        name: run.name,
        commit: commit(&run.head_sha)?,
        branch: branch(suite.and_then(|suite| suite.head_branch.as_deref())),
        outcome: outcome(run.conclusion.as_deref()),
        summary,
        url: run.details_url.or(run.html_url),
    }))
}

fn asked(
    payload: &Document<'_>,
    (wanted, sha): (WantedCheck, &str),
    app: Option<&App>,
    suite: Option<&Suite>,
) -> Result<Content, DecodeError> {
    let sender = match sender(payload)? {
        Ok(sender) => sender,
        Err(ignored) => return Ok(ignored),
    };
    Ok(Content::CheckRequest(CheckRequest {
        wanted,
        commit: commit(sha)?,
        branch: branch(suite.and_then(|suite| suite.head_branch.as_deref())),
        app: app.and_then(|app| app.id),
        sender: sender.login,
        by_bot: sender.is_bot,
    }))
}

#[derive(Deserialize)]
struct Workflow {
    #[serde(default, deserialize_with = "or_default")]
    id: u64,
    name: Option<String>,
    head_sha: String,
    head_branch: Option<String>,
    conclusion: Option<String>,
    html_url: Option<String>,
}

#[derive(Deserialize)]
struct OfWorkflow {
    workflow_run: Workflow,
}

pub(super) fn workflow(payload: &Document<'_>) -> Result<Content, DecodeError> {
    match action(payload)? {
        "completed" => {}
        other => return Ok(not_acted_on("workflow runs", other)),
    }
    let OfWorkflow { workflow_run: run } = read(payload)?;
    Ok(Content::Check(CheckResult {
        kind: CheckKind::WorkflowRun,
        id: Some(run.id),
        name: run.name.unwrap_or_default(),
        commit: commit(&run.head_sha)?,
        branch: branch(run.head_branch.as_deref()),
        outcome: outcome(run.conclusion.as_deref()),
        summary: String::new(),
        url: run.html_url,
    }))
}

/// The conclusions of check runs and workflow runs. New ones say nothing that can be acted on.
fn outcome(conclusion: Option<&str>) -> CheckOutcome {
    match conclusion {
        Some("success") => CheckOutcome::Success,
        Some("failure" | "timed_out" | "startup_failure") => CheckOutcome::Failure,
        Some(_) | None => CheckOutcome::Neutral,
    }
}

#[derive(Deserialize)]
struct Branch {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    sha: String,
    state: String,
    #[serde(default, deserialize_with = "or_default")]
    context: String,
    #[serde(default, deserialize_with = "or_default")]
    description: String,
    target_url: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    branches: Vec<Branch>,
}

pub(super) fn status(payload: &Document<'_>) -> Result<Content, DecodeError> {
    let status: Status = read(payload)?;
    let outcome = match status.state.as_str() {
        "success" => CheckOutcome::Success,
        "failure" | "error" => CheckOutcome::Failure,
        other => return Ok(not_acted_on("statuses", other)),
    };
    // Every branch that has the commit at its tip; of several, none is the one that it is about.
    let branch = match &status.branches[..] {
        [only] => branch(only.name.as_deref()),
        _ => None,
    };
    Ok(Content::Check(CheckResult {
        kind: CheckKind::Status,
        id: None,
        name: status.context,
        commit: commit(&status.sha)?,
        branch,
        outcome,
        summary: status.description,
        url: status.target_url,
    }))
}
