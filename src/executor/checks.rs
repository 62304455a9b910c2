//! Check runs: what the gates found on a commit, at length and at the lines that it is about.

use super::context::{Context, RepoContext};
use super::surfaces::{Trouble, forget, unchanged};
use crate::domain::effect::{CommitCheck, GatesNews, StatusNews, StatusState};
use crate::domain::event::SubjectId;
use crate::domain::head::HeadState;
use crate::domain::id::{RepoName, Sha};
use crate::domain::text;
use crate::domain::transition::Subject;
use crate::domain::work::{Finding, GateReport, Severity};
use crate::forge::{Annotation, CheckId, CheckRun, CheckState, Conclusion, ForgeError, Level};
use crate::gate::findings;
use crate::report;
use crate::store::{PendingSurface, Written};

/// So many annotations are shown of one run: two requests.
const ANNOTATIONS: usize = 2 * CheckRun::MOST_ANNOTATIONS;
/// So many paths that tools name are looked for.
const PATHS: usize = 200;

/// Brings a commit's check run up to date. A forge without any has nothing to show.
pub(super) async fn check_run(
    context: &Context,
    name: &RepoName,
    (check, pending): (&CommitCheck, &PendingSurface),
) -> Result<Written, Trouble> {
    let repo = context.repo(name)?;
    if !repo.forge.takes_check_runs() {
        return Ok(Written::default());
    }
    let wanted = wanted(context, repo, (check, pending)).await?;
    let digest = text::digest(&format!("{wanted:?}"));
    if let Some(written) = unchanged(pending, &digest) {
        return Ok(written);
    }
    forget(context, pending).await?;
    context.adapters.crash.reach("surface.check.before");
    let known = pending.written.as_ref();
    let known = known.filter(|written| !written.handle.is_empty());
    let known = known.map(|written| CheckId(written.handle.clone()));
    let put = repo
        .forge
        .put_check_run(name, &check.commit, (known.as_ref(), &wanted));
    match put.await {
        Ok(CheckId(id)) => Ok(Written { handle: id, digest }),
        // The status says the same, and the reports behind this one do not wait for a person.
        Err(error @ ForgeError::Forbidden { .. }) => {
            tracing::warn!(%name, %error, "check runs cannot be written: the App needs `checks: write`");
            Ok(Written::default())
        }
        Err(error) => Err(error.into()),
    }
}

async fn wanted(
    context: &Context,
    repo: &RepoContext,
    (check, pending): (&CommitCheck, &PendingSurface),
) -> Result<CheckRun, Trouble> {
    let masker = &context.adapters.masker;
    let report = match check.news {
        GatesNews::Judged { .. } => report_of(context, pending, &check.commit).await?,
        GatesNews::AwaitsApproval { .. }
        | GatesNews::Queued
        | GatesNews::Running
        | GatesNews::Unavailable { .. }
        | GatesNews::Superseded
        | GatesNews::SupersededBy { .. } => None,
    };
    let annotations = match &report {
        Some(report) => annotations(context, repo, report).await,
        None => Vec::new(),
    };
    let news = StatusNews::Gates(check.news.clone());
    let text = report.as_ref().map(report::check_text);
    Ok(CheckRun {
        name: news.context().to_owned(),
        external_id: format!("{}/{}", pending.subject, check.run),
        state: state(&news),
        title: masker.status(&news),
        summary: masker.comment(&report::check_summary(&news)),
        text: text.map_or_else(String::new, |text| masker.comment(&text)),
        annotations,
    })
}

fn state(news: &StatusNews) -> CheckState {
    let StatusNews::Gates(gates) = news else {
        return CheckState::Queued;
    };
    let conclusion = match (gates, news.state()) {
        (GatesNews::AwaitsApproval { .. } | GatesNews::Queued, _) => return CheckState::Queued,
        (GatesNews::Running, _) => return CheckState::InProgress,
        (GatesNews::Superseded | GatesNews::SupersededBy { .. }, _) => Conclusion::Cancelled,
        (GatesNews::Unavailable { .. }, _) => Conclusion::Failure,
        (GatesNews::Judged { .. }, StatusState::Success) => Conclusion::Success,
        (GatesNews::Judged { .. }, StatusState::Error) => Conclusion::ActionRequired,
        (GatesNews::Judged { .. }, StatusState::Failure | StatusState::Pending) => {
            Conclusion::Failure
        }
    };
    CheckState::Completed(conclusion)
}

/// What the gates found on the commit, as long as nothing newer took its place.
async fn report_of(
    context: &Context,
    pending: &PendingSurface,
    commit: &Sha,
) -> anyhow::Result<Option<GateReport>> {
    let known = context.store.subject(&pending.subject).await?;
    let report = match known {
        Some((Subject::Story(story), _)) => story.report,
        Some((Subject::Head(head), _)) => match head.state {
            HeadState::Judged { report } => Some(report),
            HeadState::Unknown
            | HeadState::Withheld
            | HeadState::Queued
            | HeadState::Fetching
            | HeadState::Gating
            | HeadState::Unjudged { .. }
            | HeadState::Superseded => None,
        },
        Some((Subject::Repo(_) | Subject::Account(_), _)) | None => None,
    };
    Ok(report.filter(|report| report.commit == *commit))
}

/// What the tools of failed gates say about lines of files that are there.
async fn annotations(
    context: &Context,
    repo: &RepoContext,
    report: &GateReport,
) -> Vec<Annotation> {
    let mut files = Files {
        repo,
        commit: &report.commit,
        known: Vec::new(),
    };
    let mut annotations: Vec<Annotation> = Vec::new();
    for outcome in report.failures() {
        for finding in findings::of(&outcome.tail) {
            if annotations.len() == ANNOTATIONS {
                return annotations;
            }
            if files.has(&finding.path).await {
                let title = outcome.gate.to_string();
                annotations.push(annotation(context, finding, title));
            }
        }
    }
    annotations
}

fn annotation(context: &Context, finding: Finding, title: String) -> Annotation {
    let Finding {
        path,
        line,
        column,
        severity,
        message,
    } = finding;
    Annotation {
        path,
        line,
        column,
        level: match severity {
            Severity::Error => Level::Failure,
            Severity::Warning => Level::Warning,
            Severity::Note => Level::Notice,
        },
        title,
        message: context.adapters.masker.mask(&message),
    }
}

/// Which files a commit has, each asked about once.
struct Files<'a> {
    repo: &'a RepoContext,
    commit: &'a Sha,
    known: Vec<(String, bool)>,
}

impl Files<'_> {
    async fn has(&mut self, path: &str) -> bool {
        if let Some((_, is_there)) = self.known.iter().find(|(known, _)| known == path) {
            return *is_there;
        }
        if self.known.len() == PATHS {
            return false;
        }
        let found = self.repo.git.read_file(self.commit, path).await;
        // A name that git takes for none is no file's.
        let is_there = matches!(found, Ok(Some(_)));
        self.known.push((path.to_owned(), is_there));
        is_there
    }
}

/// The repository of a subject that has check runs.
pub(super) fn repo_of(subject: &SubjectId) -> Option<&RepoName> {
    match subject {
        SubjectId::Story(story) => Some(&story.repo),
        SubjectId::Head(head) => Some(&head.repo),
        SubjectId::Repo(_) | SubjectId::Account => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::effect::Surface;
    use crate::domain::work::{GateOutcome, GateVerdict};
    use crate::executor::tests::{World, story};

    /// A gate that failed on the base branch's tip and complained like this.
    async fn report(world: &World, tail: &str) -> GateReport {
        let commit = world.tip().await;
        let tree = world.repo().git.tree_of(&commit).await.unwrap();
        let outcome = GateOutcome {
            gate: "greets".parse().unwrap(),
            verdict: GateVerdict::Failed { status: 1 },
            duration: Duration::ZERO,
            tail: tail.to_owned(),
        };
        GateReport {
            commit,
            tree,
            outcomes: vec![outcome],
        }
    }

    async fn shown(world: &World, tail: &str) -> Vec<String> {
        let report = report(world, tail).await;
        let found = annotations(&world.context, world.repo(), &report).await;
        let place = |found: Annotation| format!("{}:{} {}", found.path, found.line, found.message);
        found.into_iter().map(place).collect()
    }

    /// One complaint about each name, each about the next line.
    fn complaints(names: impl Iterator<Item = String>) -> String {
        let complaint = |(line, name): (u32, String)| format!("{name}:{line}:1: error: wrong\n");
        (1..).zip(names).map(complaint).collect()
    }

    #[tokio::test]
    async fn only_what_is_about_files_that_are_there_is_shown_at_its_line() {
        let world = World::new().await;
        let names = ["nowhere.txt", "a.txt", "nowhere.txt", "a.txt"];
        let names = names.iter().map(|name| (*name).to_owned());
        let shown = shown(&world, &complaints(names)).await;
        assert_eq!(shown, ["a.txt:2 error: wrong", "a.txt:4 error: wrong"]);
    }

    #[tokio::test]
    async fn no_more_is_shown_than_two_requests_take() {
        let world = World::new().await;
        let many = complaints((0..101).map(|_| "a.txt".to_owned()));
        assert_eq!(shown(&world, &many).await.len(), 100);
    }

    #[tokio::test]
    async fn no_more_paths_are_looked_for_than_a_tool_may_reasonably_name() {
        let world = World::new().await;
        for (others, expected) in [(PATHS - 1, 1), (PATHS, 0)] {
            let names = (0..others).map(|number| format!("nowhere-{number}.txt"));
            let names = names.chain(["a.txt".to_owned()]);
            let shown = shown(&world, &complaints(names)).await;
            assert_eq!(shown.len(), expected);
        }
    }

    #[tokio::test]
    async fn what_was_found_on_a_commit_is_shown_on_no_other() {
        let world = World::new().await;
        let base = world.tip().await;
        let found = report(&world, "a.txt:1:1: error: wrong").await;
        world
            .know_story(1, |story| story.report = Some(found.clone()))
            .await;
        let other = world.push(&[("a.txt", "two\n")]);
        let news = GatesNews::Running;
        let pending = PendingSurface {
            subject: SubjectId::Story(story(1).0),
            surface: Surface::CheckRun(CommitCheck {
                commit: base.clone(),
                run: 1,
                news,
            }),
            version: 1,
            written: None,
        };
        let of = |commit| report_of(&world.context, &pending, commit);
        assert_eq!(of(&base).await.unwrap(), Some(found));
        assert_eq!(of(&other).await.unwrap(), None);
    }
}
