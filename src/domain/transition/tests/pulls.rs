//! What people do with pull requests, by the fall of the dice: opening, pushing, closing, approving,
//! and wanting checks again.

use super::answers::Dice;
use super::world::World;
use super::{comment_on, pull_change, repo_name, sha};
use crate::domain::delivery::{
    CheckRequest, Command, Comment, PullRequestAction, PullRequestChange, PullRequestHead, Review,
    ReviewKind, Said, Verdict, WantedCheck,
};
use crate::domain::event::{Event, RepoEvent};
use crate::domain::id::Sha;
use crate::domain::story::Admission;

/// The numbers of pull requests: the odd ones are of forks.
const PULLS: usize = 4;
/// May write to the repository.
const WRITER: &str = "ann";

/// What the forge says about somebody.
pub(super) fn admission(login: &str) -> Admission {
    if login == WRITER {
        Admission::allowed()
    } else {
        Admission::Denied
    }
}

pub(super) fn outside(world: &mut World, dice: &mut Dice) -> Event {
    let number = 101 + dice.roll(PULLS) as u64;
    let head = head(world, number, dice);
    let event = match dice.roll(8) {
        0..=3 => RepoEvent::PullRequest {
            change: Box::new(change(number, head, dice)),
        },
        4 => comment(world, number, &head.commit, dice),
        5 => RepoEvent::Reviewed {
            review: Box::new(review(world, number, head, dice)),
            said: None,
        },
        _ => RepoEvent::CheckRequested {
            request: CheckRequest {
                wanted: WantedCheck::SuiteAgain { id: 7 },
                commit: head.commit,
                branch: None,
                app: Some(1),
                sender: sender(dice).to_owned(),
                by_bot: false,
            },
        },
    };
    Event::repo(&repo_name(), event)
}

fn sender(dice: &mut Dice) -> &'static str {
    [WRITER, "bob"][dice.roll(2)]
}

/// One of a few commits, so that they come back and are shared.
fn head(world: &mut World, number: u64, dice: &mut Dice) -> PullRequestHead {
    let is_fork = number % 2 == 1;
    let commit = sha(900 + dice.roll(6) as u64 + if is_fork { 50 } else { 0 });
    if !is_fork {
        world.trusted.insert(commit.clone());
    }
    let repo = if is_fork { "bob/app" } else { "octo/app" };
    PullRequestHead {
        repo: repo.parse().ok().filter(|_| !is_fork || dice.luck(2)),
        branch: "door".parse().ok(),
        commit,
    }
}

fn change(number: u64, head: PullRequestHead, dice: &mut Dice) -> PullRequestChange {
    let action = match dice.roll(7) {
        0 | 1 => PullRequestAction::Opened,
        2 => PullRequestAction::Reopened,
        3 => PullRequestAction::Synchronized { before: None },
        4 => PullRequestAction::Closed { merged: None },
        5 => PullRequestAction::Edited,
        _ => PullRequestAction::ReadyForReview,
    };
    let branch = if dice.luck(8) { "other" } else { "main" };
    let mut change = pull_change(number, action, head);
    change.base.branch = branch.parse().ok();
    change.draft = dice.luck(3);
    change
}

/// A writer's word for a commit counts from when it is said.
fn note(world: &mut World, by: &str, commit: &Sha) {
    if by == WRITER {
        world.trusted.insert(commit.clone());
    }
}

fn comment(world: &mut World, number: u64, commit: &Sha, dice: &mut Dice) -> RepoEvent {
    let by = sender(dice);
    note(world, by, commit);
    RepoEvent::Commented {
        comment: Comment {
            on_pull_request: true,
            sender: by.to_owned(),
            ..comment_on(number)
        },
        said: Said::Command {
            command: Command::Approve,
            // The commits of these tests differ in their last digits.
            text: Some(commit.to_string()),
        },
    }
}

fn review(world: &mut World, number: u64, head: PullRequestHead, dice: &mut Dice) -> Review {
    let by = sender(dice);
    note(world, by, &head.commit);
    let commit = Some(head.commit.clone());
    Review {
        number,
        head,
        kind: ReviewKind::Submitted {
            verdict: Verdict::Approved,
            commit,
        },
        sender: by.to_owned(),
        by_bot: false,
        text: String::new(),
    }
}
