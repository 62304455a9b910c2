//! A story's log, one sentence an event, for people who ask what happened.

use super::words::failure_sentence;
use crate::domain::dependency::Need;
use crate::domain::event::{Event, StoryEvent};
use crate::domain::id::Sha;
use crate::domain::story::{Actor, Admission, MergeFailure, Reply, Wish};
use crate::domain::work::{Collected, End, GateReport, Limit};

/// One line about an event, without its time.
pub fn event_line(event: &Event) -> String {
    match event {
        Event::Story { event, .. } => story_line(event),
        Event::Repo { .. } | Event::Head { .. } | Event::Account { .. } => {
            event.name().replace('_', " ")
        }
    }
}

fn story_line(event: &StoryEvent) -> String {
    match event {
        StoryEvent::Said { wish, by, .. } => {
            format!("{} said: {}", actor(by), wish_words(wish))
        }
        StoryEvent::CheckFailed { commit, name, .. } => {
            format!("the check {name} failed on {}", commit.short())
        }
        StoryEvent::Asked { wish, by } => format!("{} asked to {}", actor(by), wish_words(wish)),
        StoryEvent::Admitted { answer, .. } => admission_words(answer).to_owned(),
        StoryEvent::ProjectRead { attempt, base, .. } => {
            format!(
                "attempt {attempt} begins under the rules of {}",
                base.short()
            )
        }
        StoryEvent::ProjectUnusable { message, .. } => {
            format!("the project file cannot be used: {message}")
        }
        StoryEvent::SlotGranted { agent, .. } => format!("agent {agent} is free and takes it"),
        StoryEvent::Reserved { reservation, .. } => format!("{} reserved", reservation.amount()),
        StoryEvent::MoneyDelayed { because, .. } => format!("waits: {because}"),
        StoryEvent::MoneyRefused { reason, .. } => format!("no money: {reason}"),
        StoryEvent::WorktreeReady {
            hook_trouble,
            noticed,
            ..
        } => worktree_words(hook_trouble.as_deref()) + &tampering_words(noticed),
        StoryEvent::WorktreeFailed { message, .. } => format!("the worktree failed: {message}"),
        StoryEvent::AgentStarted { process, .. } => {
            format!("the agent runs under process {}", process.pid)
        }
        StoryEvent::SessionSeen { session, .. } => {
            format!("the agent works in session {}", session.0)
        }
        StoryEvent::AgentEnded { end, .. } => format!("the agent {}", end_words(end)),
        StoryEvent::WorkCollected { collected, .. } => kept_words(collected),
        StoryEvent::WorkNotCollected { message, .. } => {
            format!("its work could not be kept: {message}")
        }
        StoryEvent::GatesEnded { report, .. } | StoryEvent::MergeGatesFailed { report, .. } => {
            verdict_words(report)
        }
        StoryEvent::GatesLost { message, .. } => format!("the gates gave no verdict: {message}"),
        StoryEvent::MergeBegan { base, .. } => {
            format!("its merge with {} is being tested", base.short())
        }
        StoryEvent::MergeWaits { reason, .. } => format!("it passed and waits to land: {reason}"),
        StoryEvent::MergeConflicted { base, paths, .. } => {
            let failure = MergeFailure::ConflictDetected {
                base: base.clone(),
                paths: paths.clone(),
            };
            super::plain(&failure_sentence(&failure))
        }
        StoryEvent::MergeRejected { reason, .. } => format!("it could not be landed: {reason}"),
        StoryEvent::Landed { receipt } => format!("landed as {}", receipt.commit.short()),
        StoryEvent::Contained { .. }
        | StoryEvent::LandedDiffers { .. }
        | StoryEvent::BranchPushed { .. }
        | StoryEvent::BranchDeleted { .. }
        | StoryEvent::CheckRead { .. }
        | StoryEvent::Awaited
        | StoryEvent::NeedsStand { .. }
        | StoryEvent::PullOpened { .. }
        | StoryEvent::PullRefused { .. }
        | StoryEvent::PullClosed { .. }
        | StoryEvent::MergeNeedsApproval { .. }
        | StoryEvent::LongAtRest => other_words(event),
        StoryEvent::BaseConflicts { base, paths, .. } => base_conflict_words(base, paths),
    }
}

fn other_words(event: &StoryEvent) -> String {
    match event {
        StoryEvent::MergeNeedsApproval { head, paths } => format!(
            "commit {} touches {} and waits for an approval",
            head.short(),
            paths.join(", ")
        ),
        StoryEvent::Contained { tip } => {
            format!("the base branch contains it as of {}", tip.short())
        }
        StoryEvent::BranchPushed { commit, by } => format!(
            "{} pushed {} to the story's branch",
            by.as_deref().unwrap_or("somebody"),
            commit.short()
        ),
        StoryEvent::BranchDeleted { by } => format!(
            "{} deleted the story's branch on the forge",
            by.as_deref().unwrap_or("somebody")
        ),
        StoryEvent::CheckRead { name, log, .. } => match log {
            Some(_) => format!("the failing part of {name}'s log was read"),
            None => format!("{name} has no log that could be read"),
        },
        StoryEvent::Awaited => "another story waits for it".to_owned(),
        StoryEvent::NeedsStand { needs, circle } => needs_words(needs, circle),
        StoryEvent::LongAtRest => "nothing happened for long; its worktree can go".to_owned(),
        StoryEvent::PullOpened { number, .. } => format!("pull request {number} is open"),
        StoryEvent::PullRefused { message } => {
            format!("its pull request could not be opened: {message}")
        }
        StoryEvent::PullClosed { number } => format!("somebody closed pull request {number}"),
        StoryEvent::LandedDiffers { commit, .. } => format!(
            "what landed as {} is not what was tested; the merge queue stops",
            commit.short()
        ),
        other => Into::<&str>::into(other).replace('_', " "),
    }
}

fn needs_words(needs: &[Need], circle: &[u64]) -> String {
    let open = needs.iter().filter(|need| !need.is_done());
    let open: Vec<String> = open.map(|need| format!("#{}", need.issue)).collect();
    match (open.as_slice(), circle) {
        ([], _) => "everything that it depends on is done".to_owned(),
        (open, []) => format!("it waits for {}", open.join(", ")),
        (open, circle) => {
            let circle: Vec<String> = circle.iter().map(|issue| format!("#{issue}")).collect();
            format!(
                "it waits for {}, in a circle of {}",
                open.join(", "),
                circle.join(", ")
            )
        }
    }
}

fn base_conflict_words(base: &Sha, paths: &[String]) -> String {
    if paths.is_empty() {
        format!(
            "the base branch moved to {}; no conflict with it is left",
            base.short()
        )
    } else {
        let paths = paths.join(", ");
        format!(
            "the base branch moved to {}, which conflicts in {paths}",
            base.short()
        )
    }
}

fn admission_words(answer: &Admission) -> &'static str {
    match answer {
        Admission::Allowed {
            edited_by: Some(_), ..
        } => "the sender may do that; the text was just changed by somebody who may not write",
        Admission::Allowed { .. } => "the sender may do that",
        Admission::Denied => "the sender has no write permission; nothing is done",
    }
}

fn worktree_words(hook_trouble: Option<&str>) -> String {
    hook_trouble.map_or_else(
        || "the worktree and its hook are ready".to_owned(),
        |trouble| format!("the worktree is ready, without its hook: {trouble}"),
    )
}

fn tampering_words(noticed: &[String]) -> String {
    let parts = noticed
        .iter()
        .map(|what| format!("; tampering was noticed: {what}"));
    parts.collect()
}

fn kept_words(collected: &Collected) -> String {
    let new = if collected.advanced {
        "new commits"
    } else {
        "no new commit"
    };
    let rest = if collected.wip.is_some() {
        ", and uncommitted work"
    } else {
        ""
    };
    format!(
        "its work is kept at {}: {new}{rest}{}",
        collected.head.short(),
        tampering_words(&collected.noticed)
    )
}

fn verdict_words(report: &GateReport) -> String {
    let failed: Vec<&str> = report
        .failures()
        .map(|outcome| outcome.gate.as_str())
        .collect();
    if failed.is_empty() {
        "the gates passed".to_owned()
    } else {
        format!("gates failed: {}", failed.join(", "))
    }
}

fn actor(by: &Actor) -> String {
    match by {
        Actor::Operator => "the operator".to_owned(),
        Actor::Account { login } | Actor::Bot { login } => login.clone(),
    }
}

fn wish_words(wish: &Wish) -> String {
    match wish {
        Wish::Start { .. } => "start it".to_owned(),
        Wish::Edit { .. } => "go by another text".to_owned(),
        Wish::Confirm { digest } => format!("take over the text {digest}"),
        Wish::Stop => "stop it".to_owned(),
        Wish::Cancel => "cancel it".to_owned(),
        Wish::Retry { .. } => "try it again".to_owned(),
        Wish::Approve {
            commit: Some(commit),
            ..
        } => format!("approve commit {}", commit.short()),
        Wish::Approve { commit: None, .. } => "approve it".to_owned(),
        Wish::Hold => "hold it".to_owned(),
        Wish::Release => "let it go on".to_owned(),
        Wish::PickAgent { agent: Some(agent) } => format!("give it to {agent}"),
        Wish::PickAgent { agent: None } => "give it to any agent".to_owned(),
        Wish::Prioritise { priority } => format!("give it priority {priority}"),
        Wish::Merge => "merge it without a review".to_owned(),
        Wish::Tell { message } => format!("tell the agent: {}", message.text),
        Wish::Say { reply, .. } => match reply {
            Reply::Status => "say how it is".to_owned(),
            Reply::Help => "say what can be said".to_owned(),
            Reply::Unknown { word } => format!("do `{word}`, which is no command"),
            Reply::Moot { because } => format!("do nothing: {because}"),
        },
    }
}

fn end_words(end: &End) -> String {
    match end {
        End::Finished => "says that it is done".to_owned(),
        End::Asked { question } => format!("asks: {question}"),
        End::LimitReached {
            limit: Limit::Turns,
        } => "reached its limit of turns".to_owned(),
        End::LimitReached {
            limit: Limit::Budget,
        } => "reached its budget".to_owned(),
        End::RateLimited { message, .. } => format!("is rate-limited: {message}"),
        End::AccountTrouble { message } => format!("cannot use its account: {message}"),
        End::Aborted => "was aborted before it had begun".to_owned(),
        End::ResumeRefused { message } => format!("could not resume its session: {message}"),
        End::CannotLaunch { message } => format!("cannot be launched: {message}"),
        End::Crashed { message } => format!("broke off: {message}"),
        End::Stalled { after } => format!(
            "showed no sign of life for {} s and was stopped",
            after.as_secs()
        ),
        End::Lost { message } => format!("was lost: {message}"),
        End::Stopped => "was stopped".to_owned(),
    }
}
