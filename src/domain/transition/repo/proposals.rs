//! Pull requests of people: their heads are gated, a fork's once somebody approved that very commit.
//! A head that nobody wants any more is let go, and what is known of a closed one is forgotten.

use super::{Refusal, Turn, ignored};
use crate::domain::delivery::{
    CheckRequest, Comment, CommentRef, PullRequestAction, PullRequestChange, Review, ReviewKind,
    Thread, Verdict, WantedCheck,
};
use crate::domain::effect::{Act, Effect, Reaction, StatusNews};
use crate::domain::event::{Event, HeadEvent, StoryEvent};
use crate::domain::head::HeadId;
use crate::domain::id::{BranchName, Sha};
use crate::domain::proposal::{HeadAnswer, HeadRequest, HeadWish, Proposal, WaitingHead};
use crate::domain::story::{Actor, Admission, Wish};

/// So many heads of a repository are gated side by side: anybody can open pull requests.
const AT_ONCE: usize = 2;
/// An approval names at least so many digits of a commit.
const FEWEST_DIGITS: usize = 7;

impl Turn {
    /// A pull request that no story lands by.
    pub(super) fn pull_request(&mut self, change: &PullRequestChange) -> Result<(), Refusal> {
        match &change.action {
            PullRequestAction::Opened
            | PullRequestAction::Reopened
            | PullRequestAction::ReadyForReview
            | PullRequestAction::Edited => self.proposed(change, None),
            PullRequestAction::Synchronized { before } => self.proposed(change, before.as_ref()),
            PullRequestAction::Closed { .. } => self.forget_proposal(change.number),
            PullRequestAction::Labeled { .. }
            | PullRequestAction::Unlabeled { .. }
            | PullRequestAction::ConvertedToDraft => {
                ignored("nothing follows from that for its head")
            }
        }
    }

    fn proposed(
        &mut self,
        change: &PullRequestChange,
        before: Option<&Sha>,
    ) -> Result<(), Refusal> {
        let number = change.number;
        let base = change.base.branch.as_ref();
        if !self.may_be_the_base(base) {
            return self.forget_proposal(number);
        }
        let known = self.repo.proposals.open.get(&number);
        let mut proposal = Proposal::new(&change.head, base);
        let mut left = None;
        if let Some(known) = known {
            let (old, new) = (&known.head.commit, &change.head.commit);
            if old == new && known.base == proposal.base {
                return ignored("this head is known already");
            }
            // Deliveries may overtake each other.
            if old != new && known.earlier.contains(new) && before != Some(old) {
                return ignored("a newer head is known");
            }
            proposal.approved.clone_from(&known.approved);
            proposal.earlier.clone_from(&known.earlier);
            if old != new {
                proposal.earlier.push(old.clone());
                left = Some(known.clone());
            }
            let most = proposal.earlier.len().saturating_sub(Proposal::REMEMBERED);
            proposal.earlier.drain(..most);
        }
        self.repo.proposals.open.insert(number, proposal);
        if let Some(left) = left {
            self.leave_head(&left, Some(&change.head.commit));
        }
        self.consider(number);
        Ok(())
    }

    /// As long as nobody knows where the base is, any branch may be it.
    fn may_be_the_base(&self, branch: Option<&BranchName>) -> bool {
        let base = self.repo.base.as_ref();
        base.is_none_or(|base| branch == Some(&base.branch))
    }

    /// The base branch is another one than before, or is known at last.
    pub(super) fn reconsider_proposals(&mut self) {
        let numbers: Vec<u64> = self.repo.proposals.open.keys().copied().collect();
        for number in numbers {
            let base = self.repo.proposals.open[&number].base.clone();
            if self.may_be_the_base(base.as_ref()) {
                self.consider(number);
            } else {
                // It is there.
                drop(self.forget_proposal(number));
            }
        }
    }

    fn forget_proposal(&mut self, number: u64) -> Result<(), Refusal> {
        let proposals = &mut self.repo.proposals;
        let Some(left) = proposals.open.remove(&number) else {
            return ignored("no head of it is gated");
        };
        proposals.requests.retain(|asked| asked.number != number);
        self.leave_head(&left, None);
        Ok(())
    }

    /// Has a head gated, or says what that waits for.
    fn consider(&mut self, number: u64) {
        let Some(proposal) = self.repo.proposals.open.get(&number) else {
            return;
        };
        let commit = proposal.head.commit.clone();
        if self.repo.base.is_none() || self.story_at(&commit).is_some() {
            return;
        }
        if self.needs_approval(proposal) {
            self.tell_head(&commit, HeadEvent::Withheld);
        } else {
            self.gate_head(&commit, false);
        }
    }

    /// A head that is not known to be in this repository is a fork's.
    fn needs_approval(&self, proposal: &Proposal) -> bool {
        proposal.head.repo.as_ref() != Some(&self.repo.name)
            && proposal.approved.as_ref() != Some(&proposal.head.commit)
    }

    pub(super) fn gate_head(&mut self, commit: &Sha, again: bool) {
        let proposals = &mut self.repo.proposals;
        let mut waiting = proposals.waiting.iter();
        if proposals.gating.contains(commit) || waiting.any(|other| other.commit == *commit) {
            return;
        }
        let commit = commit.clone();
        proposals.waiting.push(WaitingHead {
            commit: commit.clone(),
            again,
        });
        self.gate_next_heads();
        if !self.repo.proposals.gating.contains(&commit) {
            self.tell_head(&commit, HeadEvent::Queued);
        }
    }

    fn gate_next_heads(&mut self) {
        let Some(rules) = self.repo.base.as_ref().map(|base| base.tip.clone()) else {
            return;
        };
        while self.repo.proposals.gating.len() < AT_ONCE && !self.repo.proposals.waiting.is_empty()
        {
            let WaitingHead { commit, again } = self.repo.proposals.waiting.remove(0);
            self.repo.proposals.gating.push(commit.clone());
            let rules = rules.clone();
            self.tell_head(&commit, HeadEvent::GatesAsked { rules, again });
        }
    }

    pub(super) fn head_settled(&mut self, commit: &Sha) -> Result<(), Refusal> {
        if !self.is_let_go(commit) {
            return ignored("its turn is over already");
        }
        self.gate_next_heads();
        Ok(())
    }

    /// False when it had no turn.
    fn is_let_go(&mut self, commit: &Sha) -> bool {
        let gating = &mut self.repo.proposals.gating;
        let before = gating.len();
        gating.retain(|other| other != commit);
        gating.len() < before
    }

    /// A pull request has done with this head. Another one may have the same.
    fn leave_head(&mut self, left: &Proposal, by: Option<&Sha>) {
        let commit = &left.head.commit;
        let mut others = self.repo.proposals.open.values();
        if others.any(|other| other.head.commit == *commit) {
            return;
        }
        let waiting = &mut self.repo.proposals.waiting;
        let before = waiting.len();
        waiting.retain(|other| other.commit != *commit);
        let waited = waiting.len() < before;
        if self.is_let_go(commit) || waited || self.needs_approval(left) {
            let by = by.cloned();
            self.tell_head(commit, HeadEvent::Superseded { by });
        }
        self.gate_next_heads();
    }

    fn tell_head(&mut self, commit: &Sha, event: HeadEvent) {
        let id = HeadId {
            repo: self.repo.name.clone(),
            sha: commit.clone(),
        };
        self.effects.push(Effect::Tell(Event::Head { id, event }));
    }

    pub(super) fn is_proposal(&self, number: u64) -> bool {
        self.repo.proposals.open.contains_key(&number)
    }

    /// `/huskies approve COMMIT` in the conversation of a pull request.
    pub(super) fn approve_in_comment(&mut self, comment: &Comment, text: Option<&str>) {
        let by = Actor::account(&comment.sender, comment.by_bot);
        let place = CommentRef {
            thread: Thread::Conversation,
            id: comment.id,
        };
        self.approve_by_name(comment.number, text, (&by, Some(place)));
    }

    pub(super) fn approve_by_name(
        &mut self,
        number: u64,
        text: Option<&str>,
        asked: (&Actor, Option<CommentRef>),
    ) {
        let Some(proposal) = self.repo.proposals.open.get(&number) else {
            return;
        };
        let wish = if self.needs_approval(proposal) {
            named(proposal, text)
        } else {
            let answer = HeadAnswer::NothingWaits;
            HeadWish::Mistaken { answer }
        };
        self.ask_about_head(number, wish, asked);
    }

    /// A review that approves is of the commit that was looked at. Of a pull request whose head
    /// needs no approval it is nothing new.
    pub(super) fn approve_in_review(&mut self, review: &Review) -> Result<(), Refusal> {
        let proposal = self.repo.proposals.open.get(&review.number);
        let waits = proposal.filter(|proposal| self.needs_approval(proposal));
        let (
            Some(proposal),
            ReviewKind::Submitted {
                verdict: Verdict::Approved,
                commit: Some(commit),
            },
        ) = (waits, &review.kind)
        else {
            return ignored("nothing about its head follows from that");
        };
        let head = proposal.head.commit.clone();
        let wish = if *commit == head {
            HeadWish::Approve { commit: head }
        } else {
            let answer = HeadAnswer::AnotherCommit { head };
            HeadWish::Mistaken { answer }
        };
        let by = Actor::account(&review.sender, review.by_bot);
        self.ask_about_head(review.number, wish, (&by, None));
        Ok(())
    }

    /// Somebody pressed "Re-run".
    pub(super) fn check_requested(&mut self, request: &CheckRequest) -> Result<(), Refusal> {
        match &request.wanted {
            WantedCheck::SuiteAgain { .. } => {}
            WantedCheck::RunAgain { name, .. } if name == StatusNews::GATES => {}
            WantedCheck::RunAgain { .. }
            | WantedCheck::Suite { .. }
            | WantedCheck::Action { .. } => {
                return ignored("nothing follows from that request for checks");
            }
        }
        let commit = &request.commit;
        if let Some(story) = self.story_at(commit) {
            // A story's gates run again when it is retried.
            let by = Actor::account(&request.sender, request.by_bot);
            let wish = Wish::Retry { label: None };
            self.tell(&story, StoryEvent::Asked { wish, by });
            return Ok(());
        }
        let open = self.repo.proposals.open.iter();
        let mut open = open
            .filter(|(_, open)| open.head.commit == *commit)
            .peekable();
        if open.peek().is_none() {
            return ignored("no pull request that is open has that head");
        }
        let Some((number, _)) = open.find(|(_, open)| !self.needs_approval(open)) else {
            return ignored("it waits for an approval");
        };
        let (number, commit) = (*number, commit.clone());
        let by = Actor::account(&request.sender, request.by_bot);
        self.ask_about_head(number, HeadWish::Again { commit }, (&by, None));
        Ok(())
    }

    fn ask_about_head(
        &mut self,
        number: u64,
        wish: HeadWish,
        (by, comment): (&Actor, Option<CommentRef>),
    ) {
        let proposals = &mut self.repo.proposals;
        proposals.requests_seen += 1;
        let id = proposals.requests_seen;
        proposals.requests.push(HeadRequest {
            id,
            number,
            wish,
            comment,
        });
        self.effects.push(Effect::Act(Act::Admit {
            request: id,
            login: by.login().unwrap_or_default().to_owned(),
            bot: matches!(by, Actor::Bot { .. }),
            pin: None,
            links: None,
            edits: Vec::new(),
        }));
    }

    pub(super) fn admitted(&mut self, id: u64, answer: &Admission) -> Result<(), Refusal> {
        let requests = &mut self.repo.proposals.requests;
        let Some(place) = requests.iter().position(|asked| asked.id == id) else {
            return ignored("this request was answered already, or its pull request is closed");
        };
        let HeadRequest {
            number,
            wish,
            comment,
            ..
        } = requests.remove(place);
        let done = match answer {
            Admission::Denied => false,
            Admission::Allowed { .. } => self.grant(number, wish),
        };
        if let Some(comment) = comment {
            let reaction = if done {
                Reaction::Eyes
            } else {
                Reaction::Confused
            };
            let react = Act::React { comment, reaction };
            self.effects.push(Effect::Act(react));
        }
        Ok(())
    }

    /// Whether what was asked for is done. The pull request may have moved on meanwhile.
    fn grant(&mut self, number: u64, wish: HeadWish) -> bool {
        let Some(proposal) = self.repo.proposals.open.get_mut(&number) else {
            return false;
        };
        let head = proposal.head.commit.clone();
        let answer = match wish {
            HeadWish::Approve { commit } if commit == head => {
                proposal.approved = Some(commit);
                self.consider(number);
                return true;
            }
            HeadWish::Again { commit } if commit == head => {
                self.gate_head(&commit, true);
                return true;
            }
            HeadWish::Again { .. } => return false,
            HeadWish::Approve { .. } => HeadAnswer::AnotherCommit { head },
            HeadWish::Mistaken { answer } => answer,
        };
        let act = Act::Answer { number, answer };
        self.effects.push(Effect::Act(act));
        false
    }
}

/// The commit that an approval names. A short name that an earlier head has too approves nothing:
/// somebody may have made a commit to have the same.
fn named(proposal: &Proposal, text: Option<&str>) -> HeadWish {
    let head = proposal.head.commit.clone();
    let mut earlier = proposal.earlier.iter();
    let answer = match text.and_then(digits) {
        None => HeadAnswer::WhichCommit { head },
        Some(word) if !head.as_str().starts_with(&word) => HeadAnswer::AnotherCommit { head },
        Some(word) if earlier.any(|other| *other != head && other.as_str().starts_with(&word)) => {
            HeadAnswer::Ambiguous { head }
        }
        Some(_) => return HeadWish::Approve { commit: head },
    };
    HeadWish::Mistaken { answer }
}

/// Whether a text begins to spell a commit's id.
pub(super) fn spells(text: &str, commit: &Sha) -> bool {
    digits(text).is_some_and(|word| commit.as_str().starts_with(&word))
}

/// The first word, if it is enough of an object id.
fn digits(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let word = word.trim_matches('`').to_lowercase();
    let is_id = (FEWEST_DIGITS..=40).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(word)
}
