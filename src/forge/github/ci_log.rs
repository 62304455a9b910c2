//! What a failed check has to say: of a job of GitHub Actions its log ("REST API endpoints for
//! workflow jobs"), of others what they wrote into their check run.

use serde::Deserialize;

use super::client::{Method, Request};
use super::verdicts::allowed;
use super::{Github, repo_path};
use crate::domain::delivery::{CheckKind, CheckSource};
use crate::domain::id::RepoName;
use crate::domain::text::tail_at_char_boundary;
use crate::forge::{ForgeError, LONGEST_LOG};

/// The App that reports the jobs of workflows. The check run of a job has the job's own number.
const ACTIONS: &str = "github-actions";
/// So much of the end of a log is looked through, in bytes.
const LOOKED_THROUGH: usize = 4 * 1024 * 1024;
/// How the runner marks what a job failed with, and where a step begins ("Workflow commands").
const ERROR: &str = "##[error]";
const STEP: &str = "##[group]Run ";
const GROUP: &str = "##[group]";
const GROUP_END: &str = "##[endgroup]";

#[derive(Deserialize)]
struct App {
    slug: Option<String>,
}

#[derive(Default, Deserialize)]
struct Output {
    summary: Option<String>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct CheckRun {
    app: Option<App>,
    output: Option<Output>,
}

#[derive(Deserialize)]
struct Job {
    id: u64,
    conclusion: Option<String>,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<Job>,
}

impl Github {
    pub(super) async fn read_failing_part(
        &self,
        repo: &RepoName,
        CheckSource { kind, id }: CheckSource,
    ) -> Result<Option<String>, ForgeError> {
        let path = repo_path(repo);
        let what = format!("check {id} of {repo}");
        match kind {
            CheckKind::Status => Ok(None),
            CheckKind::CheckRun => {
                let run = format!("{path}/check-runs/{id}");
                let Some(run) = self.if_allowed::<CheckRun>(&what, run).await? else {
                    return Ok(None);
                };
                let slug = run.app.and_then(|app| app.slug);
                if slug.as_deref() == Some(ACTIONS) {
                    return self.failing_part_of_job(repo, id).await;
                }
                Ok(own_words(run.output.unwrap_or_default()))
            }
            CheckKind::WorkflowRun => {
                let jobs = format!("{path}/actions/runs/{id}/jobs?filter=latest");
                let found: Option<Jobs> = self.if_allowed(&what, jobs).await?;
                let mut jobs = found.into_iter().flat_map(|found| found.jobs);
                let has_failed = |job: &Job| job.conclusion.as_deref() == Some("failure");
                match jobs.find(has_failed) {
                    Some(job) => self.failing_part_of_job(repo, job.id).await,
                    None => Ok(None),
                }
            }
        }
    }

    /// GitHub answers with the address of a text; logs are deleted after a while.
    async fn failing_part_of_job(
        &self,
        repo: &RepoName,
        job: u64,
    ) -> Result<Option<String>, ForgeError> {
        let what = format!("the log of job {job} of {repo}");
        let request = Request {
            method: Method::Get,
            path: format!("{}/actions/jobs/{job}/logs", repo_path(repo)),
            what: &what,
        };
        let answer = self.client.send(request).await?;
        if answer.status == 410 || allowed(answer.check(&what))?.is_none() {
            return Ok(None);
        }
        Ok(failing_part(tail_at_char_boundary(
            &answer.body,
            LOOKED_THROUGH,
        )))
    }
}

fn own_words(output: Output) -> Option<String> {
    let parts = [output.summary, output.text].into_iter().flatten();
    let parts: Vec<String> = parts.filter(|part| !part.trim().is_empty()).collect();
    let words = parts.join("\n\n");
    let end = tail_at_char_boundary(&words, LONGEST_LOG);
    (!end.is_empty()).then(|| end.to_owned())
}

/// The step that failed first, up to its last error; without a mark the end of the log. Lines lose
/// the time that each begins with.
fn failing_part(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().map(without_time).collect();
    let is_error = |line: &str| line.starts_with(ERROR);
    let part = match lines.iter().position(|line| is_error(line)) {
        None => &lines[..],
        Some(first) => {
            let before = lines[..first].iter();
            let step = before.rev().position(|line| line.starts_with(STEP));
            let begin = step.map_or(0, |back| first - 1 - back);
            let errors = lines[first..]
                .iter()
                .take_while(|line| is_error(line))
                .count();
            &lines[begin..first + errors]
        }
    };
    let shown = part.iter().filter(|line| **line != GROUP_END);
    let shown: Vec<&str> = shown
        .map(|line| line.strip_prefix(GROUP).unwrap_or(line))
        .map(|line| line.strip_prefix(ERROR).unwrap_or(line))
        .collect();
    let text = shown.join("\n");
    let text = tail_at_char_boundary(text.trim(), LONGEST_LOG);
    (!text.is_empty()).then(|| text.to_owned())
}

/// `2026-01-01T00:00:00.0000000Z error: …`
fn without_time(line: &str) -> &str {
    let line = line.trim_start_matches('\u{feff}');
    match line.split_once(' ') {
        Some((time, rest)) if time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok() => {
            rest
        }
        Some(_) | None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\u{feff}2026-01-01T00:00:00.0000001Z ##[group]Run actions/checkout@v4
2026-01-01T00:00:01.0000001Z ##[endgroup]
2026-01-01T00:00:01.0000002Z HEAD is now at 0123456
2026-01-01T00:00:02.0000001Z ##[group]Run cargo test
2026-01-01T00:00:02.0000002Z \u{1b}[36;1mcargo test\u{1b}[0m
2026-01-01T00:00:02.0000003Z ##[endgroup]
2026-01-01T00:00:03.0000001Z test door::squeaks ... FAILED
2026-01-01T00:00:03.0000002Z ##[error]door.rs:3: it squeaks
2026-01-01T00:00:03.0000003Z ##[error]Process completed with exit code 101.
2026-01-01T00:00:04.0000001Z Post job cleanup.
";

    #[test]
    fn the_step_that_failed_is_found_up_to_its_errors() {
        insta::assert_snapshot!(failing_part(LOG).unwrap().replace('\u{1b}', "ESC"), @"
        Run cargo test
        ESC[36;1mcargo testESC[0m
        test door::squeaks ... FAILED
        door.rs:3: it squeaks
        Process completed with exit code 101.
        ");
    }

    #[test]
    fn a_log_without_marks_is_its_end_and_an_empty_one_is_none() {
        let long = format!("{}the end", "x\n".repeat(LONGEST_LOG));
        let part = failing_part(&long).unwrap();
        assert!(
            part.ends_with("the end") && part.len() <= LONGEST_LOG,
            "{}",
            part.len()
        );
        assert_eq!(failing_part("\n \n"), None);
        assert_eq!(
            failing_part("2026-01-01T00:00:00Z only"),
            Some("only".to_owned())
        );
    }
}
