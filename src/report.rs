//! Every string that a person reads on the forge is made here: story in, Markdown out.
//!
//! Pure. What comes from people, agents or gates is quoted so that it cannot ping anybody, close
//! an issue or break out of its fence, and is cut to size. What leaves is a [`Markdown`] or a
//! [`StatusNews`], and a [`Masker`] alone makes text of those. Not for: the command line's output.

mod checks;
mod log;
mod pull;
mod quote;
mod replies;
mod waiting;
mod words;

use std::fmt::Write;

use crate::domain::effect::{Announcement, EffectId, GatesNews, MergeNews, StatusNews};
use crate::domain::id::{ItemName, StoryId};
use crate::domain::sandbox::Sandbox;
use crate::domain::story::{
    Activity, BacklogNote, BaseConflict, BlockReason, MARKER_PREFIX, MergeFailure, Stage, Story,
};
use crate::domain::text::{tail_at_char_boundary, visible, visible_line};
use crate::domain::work::{GateOutcome, GateReport, GateVerdict, Receipt};

pub use checks::{check_summary, check_text, head_answer};
pub use log::event_line;
pub use pull::{obstacles, pull_body, pull_title};
pub use quote::{Markdown, Masker};
use quote::{code, fence};
pub use replies::reply;
use waiting::asides;
pub use words::block_reason;
use words::{activity, failure_sentence, list};

/// How much of a failing gate's output a comment quotes, and of how many gates.
const QUOTED_BYTES: usize = 2_000;
const QUOTED_GATES: usize = 5;
/// How many gates the table lists.
const LISTED_GATES: usize = 30;
/// How many paths or gates a sentence names before it counts the rest.
const NAMED: usize = 10;

/// The first line of the sticky comment, by which it is found again.
pub fn story_marker(story: &StoryId) -> String {
    format!("{MARKER_PREFIX}story {story} -->")
}

/// The first line of an announcement, by which it is found again.
pub fn announcement_marker(id: &EffectId) -> String {
    format!("{MARKER_PREFIX}act {} -->", id.0)
}

/// The one comment that is edited in place: state, what happened, what you can do, cost.
pub fn sticky_comment(story: &Story, sandbox: Sandbox) -> Markdown {
    let mut text = format!(
        "{}\n### huskies: {}\n\n",
        story_marker(&story.id),
        heading(story)
    );
    let happened = what_happened(story);
    if !happened.is_empty() {
        let _ = write!(text, "**What happened.** {happened}\n\n");
    }
    if let Some(conflict) = in_the_way(story) {
        let _ = write!(text, "**In the way.** {conflict}\n\n");
    }
    for (title, aside) in asides(story) {
        let _ = write!(text, "**{title}.** {aside}\n\n");
    }
    if let Some(report) = &story.report {
        text.push_str(&gate_table(report));
    }
    let _ = write!(text, "**What you can do.** {}\n\n", what_you_can_do(story));
    if !story.refused.is_empty() {
        let _ = writeln!(
            text,
            "{}: thank you, but starting or moving a story needs write permission on this repository.\n",
            list(story.refused.iter().map(String::as_str), NAMED)
        );
    }
    let _ = writeln!(text, "<sub>{}</sub>", footer(story, sandbox));
    Markdown::new(text)
}

fn heading(story: &Story) -> String {
    let attempt = story.attempt;
    match &story.stage {
        Stage::Backlog { note } => waiting::heading(story, note.as_ref()),
        Stage::Coding(_) => format!("coding, attempt {attempt}{}", activity(&story.activity())),
        Stage::Qa(_) => format!("in review by an agent{}", activity(&story.activity())),
        Stage::Merge(_) => format!("merging{}", activity(&story.activity())),
        Stage::MergeFailure { .. } => {
            format!("repairing a failed merge{}", activity(&story.activity()))
        }
        Stage::Blocked { .. } => "blocked".to_owned(),
        Stage::Done { .. } => "done".to_owned(),
        Stage::Cancelled => "cancelled".to_owned(),
    }
}

fn what_happened(story: &Story) -> String {
    match &story.stage {
        Stage::Backlog { note: None } => String::new(),
        Stage::Backlog {
            note: Some(BacklogNote::Stopped),
        } if story.branch_deleted_by.is_some() => format!(
            "{} deleted the story's branch on the forge, which stopped the story. Its commits are kept; started again, it makes the branch anew.",
            code(story.branch_deleted_by.as_deref().unwrap_or_default())
        ),
        Stage::Backlog {
            note: Some(BacklogNote::Stopped),
        } => "Somebody stopped the story. Its agent is gone; everything it had done is kept."
            .to_owned(),
        Stage::Backlog {
            note: Some(BacklogNote::UnknownAgent { wanted, known }),
        } => format!(
            "The label asks for the agent {}, and there is none of that name. The project file names {}.",
            code(wanted),
            list(known.iter().map(ItemName::as_str), NAMED)
        ),
        Stage::Backlog {
            note: Some(BacklogNote::Waits { circle }),
        } => waiting::waits(story, circle),
        Stage::Backlog {
            note: Some(BacklogNote::Unconfirmed),
        } => waiting::unconfirmed(story),
        Stage::Coding(_) | Stage::Qa(_) => match (&story.report, story.counters.retries) {
            (Some(report), 1..) if !report.passed() => format!(
                "{} failed; an agent tries again (retry {} of {}).",
                gates(report.failures()),
                story.counters.retries,
                story
                    .rules
                    .as_ref()
                    .map_or(0, |rules| rules.project.max_retries)
            ),
            (_, 1..) => format!("An agent tries again (retry {}).", story.counters.retries),
            (_, 0) => "An agent works on it in a worktree of its own.".to_owned(),
        },
        Stage::Merge(_) => {
            "The gates passed. The change is on its way to the base branch.".to_owned()
        }
        Stage::MergeFailure { failure, .. } => {
            format!("{} An agent repairs it.", failure_sentence(failure))
        }
        Stage::Blocked { reason, .. } => block_reason(reason),
        Stage::Done {
            commit,
            receipt: Some(receipt),
        } => landed(commit.short(), receipt),
        Stage::Done {
            commit,
            receipt: None,
        } => {
            format!(
                "The base branch contains its commits already, as of {}.",
                code(commit.short())
            )
        }
        Stage::Cancelled => "The issue was closed. Everything that was done is kept.".to_owned(),
    }
}

/// A conflict with the base branch that nothing is being done about yet.
fn in_the_way(story: &Story) -> Option<String> {
    match &story.stage {
        Stage::Backlog { .. } | Stage::Coding(_) | Stage::Qa(_) | Stage::Blocked { .. } => {}
        Stage::Merge(_) | Stage::MergeFailure { .. } | Stage::Done { .. } | Stage::Cancelled => {
            return None;
        }
    }
    let BaseConflict { base, paths } = story.base_conflict.as_ref()?;
    Some(format!(
        "The base branch moved to {} and conflicts with it in {}. An agent is told at its next turn.",
        code(base.short()),
        list(paths.iter().map(String::as_str), NAMED)
    ))
}

fn landed(commit: &str, receipt: &Receipt) -> String {
    format!(
        "Landed as {} on {}. What landed is the tree {} that {} tested.",
        code(commit),
        code(receipt.base.short()),
        code(receipt.tree.short()),
        gates(
            receipt
                .gates
                .iter()
                .filter(|gate| gate.verdict == GateVerdict::Passed)
        )
    )
}

fn gates<'a>(outcomes: impl Iterator<Item = &'a GateOutcome>) -> String {
    list(outcomes.map(|outcome| outcome.gate.as_str()), NAMED)
}

fn gate_table(report: &GateReport) -> String {
    let mut text = format!(
        "| gate on {} | verdict | time |\n|---|---|---|\n",
        code(report.commit.short())
    );
    for outcome in report.outcomes.iter().take(LISTED_GATES) {
        let verdict = match outcome.verdict {
            GateVerdict::Passed => "passed".to_owned(),
            GateVerdict::Skipped => "skipped: none of its paths changed".to_owned(),
            GateVerdict::Failed { .. }
            | GateVerdict::TimedOut { .. }
            | GateVerdict::Broken { .. } => {
                format!("**{}**", code(&outcome.verdict.to_string()))
            }
        };
        let _ = writeln!(
            text,
            "| {} | {verdict} | {:.1} s |",
            code(outcome.gate.as_str()),
            outcome.duration.as_secs_f64()
        );
    }
    if let Some(more) = report.outcomes.len().checked_sub(LISTED_GATES + 1) {
        let _ = writeln!(text, "| and {} more | | |", more + 1);
    }
    text.push('\n');
    for outcome in report.failures().take(QUOTED_GATES) {
        let tail = visible(&outcome.tail);
        let tail = tail_at_char_boundary(tail.trim_end(), QUOTED_BYTES);
        let _ = write!(
            text,
            "<details><summary>End of the output of <code>{}</code></summary>\n\n{}\n</details>\n\n",
            outcome.gate,
            fence(tail)
        );
    }
    text
}

fn what_you_can_do(story: &Story) -> &'static str {
    match &story.stage {
        Stage::Backlog { note } => waiting::what_you_can_do(story, note.as_ref()),
        Stage::Coding(_) | Stage::Qa(_) | Stage::Merge(_) | Stage::MergeFailure { .. }
            if story.activity() == Activity::Held =>
        {
            "It is held: remove the hold label to go on."
        }
        Stage::Coding(_) | Stage::Qa(_) | Stage::Merge(_) | Stage::MergeFailure { .. } => {
            "Nothing is needed. Tell the agent something in a comment that begins with `/huskies`, remove the start \
             label to stop it (the work is kept), or close the issue to cancel it."
        }
        Stage::Blocked {
            reason: BlockReason::Protected { .. },
            ..
        } => {
            "Look at the commit, then set the approve label to let it land, or remove the start label to put it back."
        }
        Stage::Blocked {
            reason: BlockReason::Asked { .. },
            ..
        } => {
            "Answer in a comment that begins with `/huskies`: it goes on with your answer. Remove the start label to \
             put it back."
        }
        Stage::Blocked {
            reason:
                BlockReason::MergeFailed {
                    failure: MergeFailure::LandedTreeDiffers { .. },
                },
            ..
        } => {
            "Look at what is on the base branch, and mend or revert it there. Then set the retry label: the story is \
             done, and the merge queue goes on."
        }
        Stage::Blocked {
            reason: BlockReason::PullRequestClosed { .. },
            ..
        } => {
            "Set the retry label to go on with a new pull request, tell the agent what you want instead in a comment \
             that begins with `/huskies`, or close the issue."
        }
        Stage::Blocked { .. } => {
            "Mend what is named above, then set the retry label: it goes on from where it was. Remove the start label \
             to put it back."
        }
        Stage::Done { .. } => "Nothing is left to do.",
        Stage::Cancelled => {
            "Reopen the issue and set the start label again to go on from the kept work."
        }
    }
}

fn footer(story: &Story, sandbox: Sandbox) -> String {
    let sandbox = match sandbox {
        Sandbox::On => "",
        Sandbox::Off => " · **sandbox off**: agents and gates run with the server's rights",
    };
    let branch = story.branch.as_ref().map_or_else(String::new, |branch| {
        format!(" · branch {}", code(branch.as_str()))
    });
    let times =
        |count: u32, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    format!(
        "{} · {} · {}{branch}{sandbox}",
        times(story.attempt.0, "attempt"),
        times(story.gate_runs, "gate run"),
        story.spent
    )
}

/// A comment of its own for what a person should see now.
pub fn announcement(id: &EffectId, story: &StoryId, announcement: &Announcement) -> Markdown {
    let marker = announcement_marker(id);
    let text = match announcement {
        Announcement::Blocked {
            reason: reason @ BlockReason::Protected { .. },
        } => format!(
            "**huskies needs an approval for this.** {}\n\nSet the approve label to let it land, or remove the start label.",
            block_reason(reason)
        ),
        Announcement::Blocked {
            reason: reason @ BlockReason::Asked { .. },
        } => format!(
            "**huskies has a question.** {}\n\nAnswer in a comment that begins with `/huskies`, or remove the start label.",
            block_reason(reason)
        ),
        Announcement::Blocked {
            reason:
                reason @ BlockReason::MergeFailed {
                    failure: MergeFailure::LandedTreeDiffers { .. },
                },
        } => format!(
            "**huskies has stopped the merge queue.** {}\n\nMend or revert it on the base branch if it needs that, \
             then set the retry label: the queue goes on.",
            block_reason(reason)
        ),
        Announcement::Blocked { reason } => format!(
            "**huskies is blocked on this.** {}\n\nMend it and set the retry label, or remove the start label.",
            block_reason(reason)
        ),
        Announcement::Conflict { failure } => {
            format!(
                "**huskies could not merge this.** {} An agent tries to repair it once.",
                failure_sentence(failure)
            )
        }
        Announcement::Done {
            commit,
            receipt: Some(receipt),
        } => {
            format!("**Done.** {}", landed(commit.short(), receipt))
        }
        Announcement::Done {
            commit,
            receipt: None,
        } => {
            format!(
                "**Done.** The base branch contains the commits of {} as of {}.",
                code(&story.to_string()),
                code(commit.short())
            )
        }
    };
    Markdown::new(format!("{marker}\n{text}\n"))
}

/// The comment with how many requests the forge got for its story.
pub fn with_calls(comment: Markdown, calls: u64) -> Markdown {
    match calls {
        0 => comment,
        1 => comment.and("\n<sub>1 request to the forge so far</sub>\n"),
        calls => comment.and(&format!(
            "\n<sub>{calls} requests to the forge so far</sub>\n"
        )),
    }
}

/// The words of a commit status, which a [`Masker`] makes fit to be written.
fn status_words(news: &StatusNews) -> String {
    match news {
        StatusNews::Gates(gates) => gates_description(gates),
        StatusNews::Merge(merge) => merge_description(merge),
    }
}

fn gates_description(news: &GatesNews) -> String {
    match news {
        GatesNews::AwaitsApproval { commit } => format!(
            "From a fork: somebody who may write has to comment /huskies approve {} first.",
            commit.short()
        ),
        GatesNews::Queued => "Others are gated first.".to_owned(),
        GatesNews::Running => "The gates are running.".to_owned(),
        GatesNews::Judged {
            passed: 0, failed, ..
        } if failed.is_empty() => "None of the gates applies: nothing was tested.".to_owned(),
        GatesNews::Judged {
            passed,
            skipped,
            failed,
        } if failed.is_empty() => {
            let skipped = if *skipped == 0 {
                String::new()
            } else {
                format!(", {skipped} skipped")
            };
            format!("{passed} passed{skipped}.")
        }
        GatesNews::Judged { failed, .. } => {
            format!(
                "Failed: {}.",
                failed
                    .iter()
                    .map(ItemName::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        GatesNews::Unavailable { message } => format!("The gates could not run: {message}"),
        GatesNews::Superseded => "Stopped before a verdict.".to_owned(),
        GatesNews::SupersededBy { commit } => format!("superseded by {commit}"),
    }
}

fn merge_description(news: &MergeNews) -> String {
    match news {
        MergeNews::Queued => "In the merge queue.".to_owned(),
        MergeNews::Held => "Held by a label; remove it to go on.".to_owned(),
        MergeNews::Testing { base } => format!("Testing what would land on {}.", base.short()),
        MergeNews::Waiting { reason } => format!("Passed; waiting: {reason}"),
        MergeNews::Landed { commit } => format!("Landed as {}.", commit.short()),
        MergeNews::Failed { failure } => match failure {
            MergeFailure::ConflictDetected { paths, .. } => {
                format!("Conflict in {}.", paths.join(", "))
            }
            MergeFailure::GatesFailed { failed, .. } => format!(
                "Failed when merged: {}.",
                failed
                    .iter()
                    .map(ItemName::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            MergeFailure::PushRejected { reason } => format!("It was rejected: {reason}"),
            MergeFailure::LandedTreeDiffers { commit, .. } => {
                format!(
                    "Landed as {}, which is not what was tested.",
                    commit.short()
                )
            }
        },
        MergeNews::Blocked => "Blocked: a person is needed, see the issue.".to_owned(),
        MergeNews::Withdrawn => "Taken out of the merge queue.".to_owned(),
    }
}

/// A reason fit for one line of the command line or the API: why a story waits or stopped.
pub fn reason(story: &Story) -> Option<String> {
    let reason = match &story.stage {
        Stage::Blocked { reason, .. } => Some(plain(&block_reason(reason))),
        Stage::MergeFailure { failure, .. } => Some(plain(&failure_sentence(failure))),
        Stage::Backlog { note: Some(_) } => Some(plain(&what_happened(story))),
        Stage::Backlog { note: None } | Stage::Done { .. } | Stage::Cancelled => None,
        Stage::Coding(_) | Stage::Qa(_) | Stage::Merge(_) => match story.activity() {
            Activity::Waiting { what } => Some(format!("waiting for {what}")),
            Activity::Paused { why, .. } => Some(why),
            Activity::Held => Some("held by a label".to_owned()),
            Activity::None | Activity::Starting | Activity::Running | Activity::Judging => None,
        },
    };
    reason.map(|reason| visible_line(&reason))
}

/// Markdown's code marks mean nothing on a terminal.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

#[cfg(test)]
mod tests;
