//! What agents and gates do, by the fall of the dice.

use std::time::Duration;

use huskies::domain::id::Sha;
use huskies::domain::work::{End, Limit};
use jiff::{SignedDuration, Timestamp};

use super::commits::Merged;
use super::dice::Dice;
use super::sites::Made;
use super::world::World;

#[derive(Debug, Clone)]
pub(super) enum Deed {
    Session(String),
    Work(Work),
    /// The end, and how many hundredths of its budget it used, if it says so.
    End(End, Option<u32>),
    /// The gates come to a verdict; `lint` is one that no tree explains.
    Judge {
        lint: bool,
    },
    Cancelled,
    /// The supervisor is killed.
    Die,
}

/// What an agent does in its worktree.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Writes a file that nobody else writes.
    File(String),
    /// Writes where others write too.
    Shared(String),
    Bug,
    NoBug,
    Half(u64),
    NoHalf,
    /// Touches what decides what runs.
    Protected(String),
    /// Merges the base branch, and leaves markers in it or not.
    Merge {
        markers: bool,
    },
    Commit,
}

/// The situation in which an agent finds itself.
pub(super) struct Playing {
    pub(super) conflicted: bool,
    pub(super) resumed: bool,
    /// Tells this attempt from all others.
    pub(super) unit: String,
    pub(super) story: u64,
}

pub(super) fn agent_script(
    dice: &mut Dice,
    playing: &Playing,
    now: Timestamp,
) -> Vec<(Timestamp, Deed)> {
    let mut at = now;
    let mut plan = Vec::new();
    let mut then = |dice: &mut Dice, deed| {
        at += SignedDuration::from_millis(i64::try_from(dice.between(500, 240_000)).unwrap());
        plan.push((at, deed));
    };
    let end = if playing.resumed && dice.luck(8) {
        let message = "no such session".to_owned();
        End::ResumeRefused { message }
    } else {
        end(dice, now)
    };
    if let End::CannotLaunch { .. } | End::Aborted | End::ResumeRefused { .. } = end {
        then(dice, Deed::End(end, None));
        return plan;
    }
    if !dice.luck(6) {
        let session = format!("session-{}", dice.roll(4));
        then(dice, Deed::Session(session));
    }
    for work in works(dice, playing) {
        then(dice, Deed::Work(work));
    }
    if dice.luck(20) {
        then(dice, Deed::Die);
    } else {
        let cost = *dice.pick(&[None, Some(0), Some(10), Some(50), Some(100)]);
        then(dice, Deed::End(end, cost));
    }
    plan
}

fn works(dice: &mut Dice, playing: &Playing) -> Vec<Work> {
    let mut works = Vec::new();
    if playing.conflicted && !dice.luck(4) {
        let markers = dice.luck(5);
        works.push(Work::Merge { markers });
    }
    for number in 0..dice.roll(3) {
        works.push(Work::File(format!("{}-{number}", playing.unit)));
        match dice.roll(12) {
            6 => works.push(Work::Protected(playing.unit.clone())),
            0 => works.push(Work::Shared(playing.unit.clone())),
            1 => works.push(Work::Bug),
            2 => works.push(Work::Half(playing.story % 2)),
            3 => works.push(Work::NoHalf),
            4 | 5 => works.push(Work::NoBug),
            _ => {}
        }
        if !dice.luck(4) {
            works.push(Work::Commit);
        }
    }
    works
}

/// Every end of spec 5.7; finishing more often than the others.
fn end(dice: &mut Dice, now: Timestamp) -> End {
    let message = "something happened".to_owned();
    match dice.roll(26) {
        0 => End::Asked {
            question: "Which one?".to_owned(),
        },
        1 => End::LimitReached {
            limit: Limit::Turns,
        },
        2 => End::LimitReached {
            limit: Limit::Budget,
        },
        3 => End::RateLimited {
            until: Some(now + SignedDuration::from_mins(45)),
            message,
        },
        4 => End::RateLimited {
            until: None,
            message,
        },
        5 => End::AccountTrouble { message },
        6 => End::Aborted,
        7 => End::CannotLaunch { message },
        8 => End::Crashed { message },
        9 => End::Stalled {
            after: Duration::from_mins(10),
        },
        10 => End::Lost { message },
        _ => End::Finished,
    }
}

pub(super) fn gates_script(dice: &mut Dice, now: Timestamp) -> Vec<(Timestamp, Deed)> {
    let pause = i64::try_from(dice.between(500, 60_000)).unwrap();
    let at = now + SignedDuration::from_millis(pause);
    let deed = match dice.roll(20) {
        0 => Deed::Die,
        1 => Deed::Cancelled,
        2 => Deed::Judge { lint: false },
        _ => Deed::Judge { lint: true },
    };
    vec![(at, deed)]
}

impl World {
    /// An agent does something in its worktree.
    pub(super) fn work(&mut self, path: &str, work: Work) {
        let Some(mut site) = self.sites.worktrees.get(path).cloned() else {
            return;
        };
        let story = site.story;
        let file = |path: &str, content: &str| (path.to_owned(), content.to_owned());
        match work {
            Work::File(unit) => {
                let path = format!("work/{unit}.txt");
                let made = Made::File {
                    path: path.clone(),
                    content: unit.clone(),
                };
                site.files.insert(path, unit);
                self.sites.made.push((story, made));
            }
            Work::Shared(unit) => site.files.extend([file("shared.txt", &unit)]),
            Work::Protected(unit) => site.files.extend([file(".github/ci.yml", &unit)]),
            Work::Bug => site.files.extend([file("bug.txt", &site.head.to_string())]),
            Work::NoBug => drop(site.files.remove("bug.txt")),
            Work::Half(half) => site
                .files
                .extend([file(&format!("half-{half}.txt"), "half")]),
            Work::NoHalf => site.files.retain(|path, _| !path.starts_with("half")),
            Work::Merge { markers } => {
                let base = self.sites.base.clone();
                let mut tree = match self.commits.merge(&base, &site.head) {
                    Merged::Clean(tree) | Merged::Conflict { tree, .. } => tree,
                };
                if !markers {
                    for content in tree.values_mut().filter(|text| text.contains("<<<")) {
                        *content = format!("resolved by #{story} on {base}");
                    }
                }
                // What was not committed is part of the merge commit.
                let uncommitted = self.commits.tree(&site.head).clone();
                for (path, content) in &site.files {
                    if uncommitted.get(path) != Some(content) {
                        tree.insert(path.clone(), content.clone());
                    }
                }
                let parents = [site.head.clone(), base];
                site.head = self.commits.add(&parents, &tree, "merge the base");
                site.files = tree;
                self.made_commit(story, &site.head);
            }
            Work::Commit => {
                if *self.commits.tree(&site.head) != site.files {
                    let parents = [site.head.clone()];
                    site.head = self.commits.add(&parents, &site.files, "work");
                    self.made_commit(story, &site.head);
                }
            }
        }
        self.sites.worktrees.insert(path.to_owned(), site);
    }

    fn made_commit(&mut self, story: u64, commit: &Sha) {
        self.sites.made.push((story, Made::Commit(commit.clone())));
    }
}
