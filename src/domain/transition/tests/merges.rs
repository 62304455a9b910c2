//! What the world may answer to a repository: about its base branch, and about a merge.

use super::answers::Dice;
use super::world::World;
use crate::domain::effect::Act;
use crate::domain::event::RepoEvent;
use crate::domain::id::{Sha, StoryId};
use crate::domain::project::Trigger;
use crate::domain::work::{Candidate, MergeCheck};

impl World {
    pub(super) fn repo_act(&mut self, act: Act, dice: &mut Dice) -> Option<RepoEvent> {
        match act {
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
            Act::Admit { request, login, .. } => Some(RepoEvent::Admitted {
                request,
                answer: super::pulls::admission(&login),
            }),
            Act::FetchHead { .. }
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
}
