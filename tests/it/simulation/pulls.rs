//! Pull requests of people: one of a branch of the repository, one of a fork.

use std::collections::{BTreeMap, BTreeSet};

use huskies::domain::delivery::{
    Command, Comment, PullRequestAction, PullRequestBase, PullRequestChange, PullRequestHead, Said,
};
use huskies::domain::dependency::Family;
use huskies::domain::event::{Event, RepoEvent};
use huskies::domain::id::Sha;
use huskies::forge::ForgeError;
use jiff::Timestamp;

use super::REPO;
use super::dice::Dice;
use super::forge::{READER, WRITER};
use super::world::World;

/// A branch of the repository itself.
const OWN: u64 = 101;
const FORK: u64 = 102;
pub(super) const PULLS: [u64; 2] = [OWN, FORK];

#[derive(Debug, Default)]
pub(super) struct Pulls {
    /// Of those that are open.
    heads: BTreeMap<u64, Sha>,
    /// Every head that there ever was.
    pub(super) all: BTreeSet<Sha>,
    /// Those that somebody who may write made or approved.
    trusted: BTreeSet<Sha>,
}

/// What somebody does with a pull request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed {
    /// A new head; it is opened where it is not.
    Push {
        bug: bool,
    },
    Close,
    /// Approves the head as it is.
    Approve {
        by: &'static str,
    },
}

impl Deed {
    pub(super) fn of(dice: &mut Dice) -> Self {
        match dice.roll(8) {
            0..=3 => Self::Push { bug: dice.luck(2) },
            4 => Self::Close,
            5 => Self::Approve { by: READER },
            _ => Self::Approve { by: WRITER },
        }
    }
}

impl World {
    pub(super) fn pull(&mut self, number: u64, (deed, now): (Deed, Timestamp)) {
        let is_open = self.pulls.heads.contains_key(&number);
        match deed {
            Deed::Close | Deed::Approve { .. } if !is_open => self.push_head(number, (false, now)),
            Deed::Push { bug } => self.push_head(number, (bug, now)),
            Deed::Close => {
                if let Some(head) = self.pulls.heads.remove(&number) {
                    let action = PullRequestAction::Closed { merged: None };
                    self.tell_pull(number, (action, head), now);
                }
            }
            Deed::Approve { by } => self.approve_head(number, (by, now)),
        }
    }

    fn push_head(&mut self, number: u64, (bug, now): (bool, Timestamp)) {
        let base = self.sites.base.clone();
        let mut tree = self.commits.tree(&base).clone();
        let letter = self.letters;
        tree.insert(format!("pull/{number}-{letter}.txt"), "new".to_owned());
        if bug {
            tree.insert("bug.txt".to_owned(), format!("of pull request {number}"));
        }
        let head = self.commits.add(&[base], &tree, &format!("for {number}"));
        let place = format!("pull/{number}/{letter}").parse().unwrap();
        self.sites.pushed.insert(place, head.clone());
        self.pulls.all.insert(head.clone());
        if number == OWN {
            self.pulls.trusted.insert(head.clone());
        }
        let action = match self.pulls.heads.insert(number, head.clone()) {
            Some(before) => PullRequestAction::Synchronized {
                before: Some(before),
            },
            None => PullRequestAction::Opened,
        };
        self.tell_pull(number, (action, head), now);
    }

    fn tell_pull(
        &mut self,
        number: u64,
        (action, commit): (PullRequestAction, Sha),
        now: Timestamp,
    ) {
        let change = self.change_of(number, (action, commit));
        let change = Box::new(change);
        let event = Event::repo(&REPO.parse().unwrap(), RepoEvent::PullRequest { change });
        self.send("pull_request", Some(&event), now);
    }

    fn change_of(
        &self,
        number: u64,
        (action, commit): (PullRequestAction, Sha),
    ) -> PullRequestChange {
        let repo = if number == OWN { REPO } else { "mallory/app" };
        PullRequestChange {
            number,
            action,
            head: PullRequestHead {
                repo: repo.parse().ok(),
                branch: "door".parse().ok(),
                commit,
            },
            base: PullRequestBase {
                branch: "main".parse().ok(),
                commit: None,
            },
            author: READER.to_owned(),
            sender: READER.to_owned(),
            by_bot: false,
            // Tells one delivery from every other.
            title: format!("{}", self.letters),
            body: String::new(),
            labels: Vec::new(),
            draft: false,
        }
    }

    /// Those of people and those of stories.
    pub(super) fn open_pulls(&self) -> Vec<PullRequestChange> {
        let people = self.pulls.heads.iter();
        let people = people.map(|(number, head)| (*number, head.clone()));
        let open = people.chain(self.open_own_pulls());
        let change = |(number, head)| self.change_of(number, (PullRequestAction::Opened, head));
        open.map(change).collect()
    }

    pub(super) fn pull_change(&mut self, number: u64) -> Result<PullRequestChange, ForgeError> {
        if let Some(head) = self.pulls.heads.get(&number).cloned() {
            return Ok(self.change_of(number, (PullRequestAction::Opened, head)));
        }
        if PULLS.contains(&number) {
            let head = self.sites.base.clone();
            let action = PullRequestAction::Closed { merged: None };
            return Ok(self.change_of(number, (action, head)));
        }
        let (merged, head) = self.own_pull_state(number)?;
        let action = PullRequestAction::Closed { merged };
        Ok(self.change_of(number, (action, head)))
    }

    fn approve_head(&mut self, number: u64, (by, now): (&'static str, Timestamp)) {
        let Some(head) = self.pulls.heads.get(&number).cloned() else {
            return;
        };
        if by == WRITER {
            self.pulls.trusted.insert(head.clone());
        }
        let comment = Comment {
            id: 10_000 + self.letters,
            number,
            on_pull_request: true,
            sender: by.to_owned(),
            by_bot: false,
            title: String::new(),
            body: String::new(),
            labels: Vec::new(),
            family: Family::default(),
            at: None,
        };
        let said = Said::Command {
            command: Command::Approve,
            text: Some(head.to_string()),
        };
        let event = RepoEvent::Commented { comment, said };
        let event = Event::repo(&REPO.parse().unwrap(), event);
        self.send("issue_comment", Some(&event), now);
    }

    /// What is brought in runs here.
    pub(super) fn check_trust(&mut self, commit: &Sha) {
        if !self.pulls.trusted.contains(commit) {
            self.violation(format!("{commit} is brought in, and nobody approved it"));
        }
    }
}
