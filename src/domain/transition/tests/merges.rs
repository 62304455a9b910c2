//! What the world may answer to a repository: about its base branch, and about a merge.

use super::answers::Dice;
use super::world::World;
use crate::domain::effect::Act;
use crate::domain::event::{RepoEvent, SubjectId};
use crate::domain::id::{Sha, StoryId};
use crate::domain::project::Trigger;
use crate::domain::pull::LandedTree;
use crate::domain::transition::Subject;
use crate::domain::work::{Candidate, MergeCheck};

impl World {
    pub(super) fn repo_act(&mut self, act: Act, dice: &mut Dice) -> Option<RepoEvent> {
        match act {
            Act::SeeNeeds {
                story,
                named,
                sub_issues,
            } => Some(self.needs_seen(&story, &named, sub_issues)),
            Act::SyncBase { .. } if dice.trouble(4) => Some(RepoEvent::BaseUnavailable {
                message: "no route to host".to_owned(),
            }),
            Act::SyncBase { heads } => Some(self.synced(heads, dice)),
            Act::BuildCandidate {
                number, base, head, ..
            } => Some(self.built(number, base, head, dice)),
            Act::Land {
                number, candidate, ..
            } => Some(self.tried_to_land(number, candidate, dice)),
            Act::MergePull {
                number,
                story,
                candidate,
                ..
            } => Some(self.tried_to_merge(number, &story, candidate, dice)),
            Act::Admit { request, login, .. } => Some(RepoEvent::Admitted {
                request,
                answer: super::pulls::admission(&login),
            }),
            Act::FetchHead { .. }
            | Act::Look { .. }
            | Act::SeeBranches { .. }
            | Act::ReadCheck { .. }
            | Act::Answer { .. }
            | Act::ReadProject { .. }
            | Act::PrepareWorktree { .. }
            | Act::Collect { .. }
            | Act::RetireWorktree { .. }
            | Act::PublishBranch { .. }
            | Act::PublishWip { .. }
            | Act::Announce { .. }
            | Act::Reply { .. }
            | Act::React { .. }
            | Act::OpenPull { .. }
            | Act::RemoveLabel { .. } => None,
        }
    }

    fn synced(&self, heads: Vec<(StoryId, Sha)>, dice: &mut Dice) -> RepoEvent {
        let (contained, others): (Vec<_>, Vec<_>) = heads.into_iter().partition(|_| dice.luck(20));
        let mut check = |(story, head)| {
            let paths = ["a.rs", "b.rs"].into_iter().filter(|_| dice.luck(4));
            let paths = paths.map(str::to_owned).collect();
            MergeCheck { story, head, paths }
        };
        RepoEvent::BaseSynced {
            branch: "main".parse().unwrap(),
            tip: self.tip.clone(),
            trigger: Trigger::default(),
            checks: others.into_iter().map(&mut check).collect(),
            contained,
        }
    }

    fn built(&mut self, number: u64, base: Sha, head: Sha, dice: &mut Dice) -> RepoEvent {
        match dice.roll(12) {
            3 => RepoEvent::CandidateConflicted {
                number,
                base,
                paths: vec!["src/lib.rs".to_owned()],
            },
            4 => RepoEvent::CandidateEmpty { number, base },
            5 => RepoEvent::CandidateFailed {
                number,
                message: "git broke off".to_owned(),
            },
            _ => {
                let candidate = Candidate {
                    base,
                    head,
                    commit: self.new_sha(),
                    tree: self.new_sha(),
                };
                let mut protected = Vec::new();
                if dice.luck(6) {
                    protected.push(".github/ci.yml".to_owned());
                    self.protected.insert(candidate.tree.clone());
                }
                RepoEvent::CandidateBuilt {
                    number,
                    candidate,
                    protected,
                }
            }
        }
    }

    fn tried_to_land(&mut self, number: u64, candidate: Candidate, dice: &mut Dice) -> RepoEvent {
        if dice.trouble(5) {
            self.tip = self.new_sha();
        }
        if self.tip != candidate.base {
            let tip = self.tip.clone();
            return RepoEvent::LandMissed { number, tip };
        }
        let reason = "the work tree is not clean".to_owned();
        if dice.trouble(5) {
            return RepoEvent::LandWaits { number, reason };
        }
        match dice.roll(12) {
            5 => RepoEvent::LandRejected { number, reason },
            6 => RepoEvent::LandMissed {
                number,
                tip: self.tip.clone(),
            },
            7 => RepoEvent::CandidateFailed {
                number,
                message: reason,
            },
            _ => {
                self.tip = candidate.commit;
                RepoEvent::Landed { number }
            }
        }
    }

    /// What the forge may say about a pull request: it tests nothing itself.
    fn tried_to_merge(
        &mut self,
        number: u64,
        story: &StoryId,
        candidate: Candidate,
        dice: &mut Dice,
    ) -> RepoEvent {
        let subject = self.subject(&SubjectId::Story(story.clone()));
        let pull = match subject {
            Subject::Story(story) => story.pull.number(),
            Subject::Repo(_) | Subject::Head(_) | Subject::Account(_) => None,
        };
        let reason = "1 of 2 approvals".to_owned();
        let Some(pull) = pull else {
            return RepoEvent::PullWaits { number, reason };
        };
        if dice.trouble(3) {
            return [
                RepoEvent::PullWaits {
                    number,
                    reason: reason.clone(),
                },
                RepoEvent::LandWaits { number, reason },
                RepoEvent::PullGone { number, pull },
            ][dice.roll(3)]
            .clone();
        }
        let is_between = dice.trouble(5);
        if self.tip != candidate.base && !is_between {
            let tip = self.tip.clone();
            return RepoEvent::LandMissed { number, tip };
        }
        if dice.luck(10) {
            self.tip = self.new_sha();
            let commit = self.tip.clone();
            return RepoEvent::PullMergedByHand { number, commit };
        }
        let commit = self.new_sha();
        let parent = if is_between {
            self.new_sha()
        } else {
            candidate.base
        };
        let other = is_between || dice.luck(15);
        let tree = if other {
            self.new_sha()
        } else {
            candidate.tree
        };
        self.tip = commit.clone();
        let explained = is_between && dice.luck(2);
        let landed = LandedTree {
            commit,
            parent,
            tree,
            explained,
        };
        RepoEvent::PullMerged { number, landed }
    }
}
