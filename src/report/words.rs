//! Sentences about why something waits, failed or stopped.

use super::NAMED;
use super::quote::code;
use crate::domain::id::ItemName;
use crate::domain::story::{Activity, BlockReason, LastTry, MergeFailure};
use crate::domain::work::{End, Limit};

/// `a`, `b` and 3 more.
pub(super) fn list<'a>(mut names: impl Iterator<Item = &'a str>, most: usize) -> String {
    let shown: Vec<String> = names.by_ref().take(most).map(code).collect();
    let shown = shown.join(", ");
    match (shown.is_empty(), names.count()) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => shown,
        (false, more) => format!("{shown} and {more} more"),
    }
}

fn item_names(names: &[ItemName]) -> String {
    list(names.iter().map(ItemName::as_str), NAMED)
}

/// Behind a heading: `, waiting for a free agent`.
pub(super) fn activity(activity: &Activity) -> String {
    match activity {
        Activity::None => String::new(),
        Activity::Waiting { what } => format!(", waiting for {}", phrase(what)),
        Activity::Starting => ", starting".to_owned(),
        Activity::Running => ", an agent is running".to_owned(),
        Activity::Judging => ", the gates are running".to_owned(),
        Activity::Held => ", held".to_owned(),
        Activity::Paused { why, until: None } => format!(", paused: {}", code(why)),
        Activity::Paused {
            why,
            until: Some(until),
        } => format!(", paused until {until}: {}", code(why)),
    }
}

/// The core's own phrases stand as they are; whatever holds more than letters and blanks, such as
/// what git said, is quoted.
fn phrase(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_alphabetic() || c == ' ') {
        text.to_owned()
    } else {
        code(text)
    }
}

pub(super) fn failure_sentence(failure: &MergeFailure) -> String {
    match failure {
        MergeFailure::ConflictDetected { base, paths } => format!(
            "The change conflicts with the base branch at {} in {}.",
            code(base.short()),
            list(paths.iter().map(String::as_str), NAMED)
        ),
        MergeFailure::GatesFailed { base, failed } => format!(
            "Merged with the base branch at {}, {} failed.",
            code(base.short()),
            item_names(failed)
        ),
        MergeFailure::PushRejected { reason } => {
            format!(
                "The change passed its gates, and could not be landed: {}.",
                code(reason)
            )
        }
        MergeFailure::LandedTreeDiffers {
            commit,
            tested,
            found,
            failed,
        } => format!(
            "What landed as {} is not what was tested: its tree is {}, and {} passed. {} Nothing else lands here \
             before somebody has looked at it.",
            code(commit.short()),
            code(found.short()),
            code(tested.short()),
            if failed.is_empty() {
                "The base branch moved in between, or somebody else changed what was merged."
                    .to_owned()
            } else {
                format!(
                    "The base branch moved in between, and {} failed on what came of it.",
                    item_names(failed)
                )
            }
        ),
    }
}

/// Why a story is blocked, and what would mend it.
pub fn block_reason(reason: &BlockReason) -> String {
    match reason {
        BlockReason::RetriesUsedUp { attempts, last } => {
            format!("All {attempts} tries are used up. {}", last_try(last))
        }
        BlockReason::SameFailure {
            times,
            alternating,
            failed,
        } => same_failure(*times, *alternating, failed),
        BlockReason::Asked { question } => format!("The agent asks: {}", code(question)),
        BlockReason::Ceiling { message } => {
            format!(
                "The money ceiling is reached: {}. Raise it in the server's `[limits]` to go on.",
                code(message)
            )
        }
        BlockReason::CannotLaunch { agent, message } => format!(
            "The agent {} cannot be launched: {}. Mend its entry in `.huskies/project.toml` or install what it needs.",
            code(agent.as_str()),
            code(message)
        ),
        BlockReason::WorktreeFailed { message } => {
            format!("The worktree could not be used: {}.", code(message))
        }
        BlockReason::ProjectUnusable { message } => {
            format!("The project file cannot be used: {}.", code(message))
        }
        BlockReason::Aborted { times } => {
            format!(
                "The agent was aborted {times} times in a row before it had begun. Look into the server's logs."
            )
        }
        BlockReason::Lost { times } => format!(
            "The agent's process was lost {times} times in a row. Look whether the machine runs out of memory."
        ),
        BlockReason::Paused { times, message } => {
            format!(
                "The model's provider refused {times} times in a row: {}.",
                code(message)
            )
        }
        BlockReason::NothingTested => {
            "None of the gates applies to the files that changed, and nothing lands untested. Give a gate in \
             `.huskies/project.toml` no `paths`, or some that match."
                .to_owned()
        }
        BlockReason::Protected { commit, paths } => format!(
            "Its commit {} touches files that decide what runs here, in CI or in an agent: {}. They do not land \
             before somebody with write permission has looked at that commit and approved it.",
            code(commit.as_str()),
            list(paths.iter().map(String::as_str), NAMED)
        ),
        BlockReason::GatesUnavailable { message } => {
            format!("The gates could not be run: {}.", code(message))
        }
        BlockReason::MergeFailed { failure } => failure_sentence(failure),
        BlockReason::PullRequestClosed { number } => format!(
            "Somebody closed its pull request #{number} without merging it. Everything that was done is kept."
        ),
    }
}

fn same_failure(times: u32, alternating: bool, failed: &[ItemName]) -> String {
    let failed = item_names(failed);
    if alternating {
        format!("Two failures take turns without anything new, the last in {failed}.")
    } else {
        format!(
            "{failed} failed in the same way {times} times in a row; another try would not help."
        )
    }
}

fn last_try(last: &LastTry) -> String {
    match last {
        LastTry::GatesFailed { failed } => {
            format!("In the last one {} failed.", item_names(failed))
        }
        LastTry::NothingCommitted => "The last one ended without a new commit.".to_owned(),
        LastTry::MarkersLeft { paths } => format!(
            "The last one committed conflict markers in {}.",
            list(paths.iter().map(String::as_str), NAMED)
        ),
        LastTry::ReviewFailed { findings } => format!(
            "A reviewer did not accept the last one: {}.",
            code(findings)
        ),
        LastTry::ChecksFailed { names } => format!(
            "Checks failed on what the last one committed: {}.",
            list(names.iter().map(String::as_str), NAMED)
        ),
        LastTry::Ended { end } => end_sentence(end),
    }
}

fn end_sentence(end: &End) -> String {
    match end {
        End::Finished => "The last one ended by itself.".to_owned(),
        End::Asked { question } => format!("The agent asked: {}", code(question)),
        End::LimitReached {
            limit: Limit::Turns,
        } => "The last one reached its limit of turns.".to_owned(),
        End::LimitReached {
            limit: Limit::Budget,
        } => "The last one reached its budget.".to_owned(),
        End::RateLimited { message, .. } | End::AccountTrouble { message } => {
            format!("The provider refused the last one: {}.", code(message))
        }
        End::Aborted => "The last one was aborted.".to_owned(),
        End::ResumeRefused { message } | End::CannotLaunch { message } => {
            format!("The last one could not start: {}.", code(message))
        }
        End::Crashed { message } => format!("The last one broke off: {}.", code(message)),
        End::Stalled { after } => format!(
            "The last one showed no sign of life for {} s.",
            after.as_secs()
        ),
        End::Lost { message } => format!("The last one was lost: {}.", code(message)),
        End::Stopped => "The last one was stopped.".to_owned(),
    }
}
