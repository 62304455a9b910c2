//! What people ask of a story: who may is asked of the forge, and what they asked for takes effect
//! in the order in which they asked.

use super::conversation::acknowledgement;
use super::{Refusal, Turn, ignored};
use crate::domain::delivery::CommentRef;
use crate::domain::dependency::Links;
use crate::domain::effect::{Act, MergeNews, Reaction};
use crate::domain::event::{AccountEvent, RepoEvent};
use crate::domain::id::{BranchName, Sha, Slug};
use crate::domain::story::{
    Actor, Admission, BacklogNote, BlockReason, BlockedFrom, Counters, Merge, MergeFailure,
    MergePhase, Phase, Purpose, Request, Stage, TextEdit, Then, Wish,
};
use crate::domain::work::{Task, TaskComment};

/// What the forge said about a wish that is granted.
#[derive(Default)]
struct Granted {
    /// Who asked, where that is an account of the forge.
    by: Option<String>,
    comments: Vec<TaskComment>,
    links: Option<Box<Links>>,
    edited_by: Option<String>,
}

impl Turn {
    pub(super) fn asked(&mut self, wish: &Wish, by: &Actor) -> Result<(), Refusal> {
        let wish = &self.with_commit(wish);
        match by {
            Actor::Operator => self.ordered(wish),
            Actor::Account { .. } | Actor::Bot { .. } => {
                // While others wait for an answer, nobody knows yet what will be moot.
                if self.story.requests.is_empty()
                    && let Some(because) = self.moot(wish)
                {
                    return ignored(because);
                }
                self.ask_the_forge(wish, by, None);
                Ok(())
            }
        }
    }

    /// Who writes a comment wants an answer, so that even what would change nothing is asked for.
    pub(super) fn said(
        &mut self,
        wish: &Wish,
        by: &Actor,
        comment: Option<CommentRef>,
    ) -> Result<(), Refusal> {
        if wish.is_quiet(by)
            && let Some(because) = self.moot(wish)
        {
            return ignored(because);
        }
        self.ask_the_forge(wish, by, comment);
        Ok(())
    }

    /// An approval is of the commit that waited for it when it was asked, whatever waits when the
    /// forge has answered.
    fn with_commit(&self, wish: &Wish) -> Wish {
        match wish {
            Wish::Approve {
                commit: None,
                label,
            } => Wish::Approve {
                commit: self.story.awaits_approval().cloned(),
                label: label.clone(),
            },
            other => other.clone(),
        }
    }

    /// An operator's word counts at once, also against starts that wait for an answer.
    fn ordered(&mut self, wish: &Wish) -> Result<(), Refusal> {
        let waiting = self.story.requests.len();
        if matches!(wish, Wish::Stop | Wish::Cancel) {
            let starts = |wish: &Wish| matches!(wish, Wish::Start { .. } | Wish::Retry { .. });
            self.story.requests.retain(|other| !starts(&other.wish));
        }
        match self.moot(wish) {
            Some(because) if waiting == self.story.requests.len() => ignored(because),
            Some(_) => Ok(()),
            None => {
                self.grant(wish.clone(), Granted::default());
                Ok(())
            }
        }
    }

    fn ask_the_forge(&mut self, wish: &Wish, by: &Actor, comment: Option<CommentRef>) {
        self.story.requests_seen += 1;
        let id = self.story.requests_seen;
        self.act(Act::Admit {
            request: id,
            login: by.login().unwrap_or_default().to_owned(),
            bot: matches!(by, Actor::Bot { .. }),
            pin: matches!(wish, Wish::Start { .. }).then_some(self.now),
            links: self.links_wanted(wish).map(Box::new),
            edits: edits(wish),
        });
        self.story.requests.push(Request {
            id,
            wish: wish.clone(),
            by: by.clone(),
            at: self.now,
            comment,
            answer: None,
        });
    }

    pub(super) fn admitted(&mut self, id: u64, answer: &Admission) -> Result<(), Refusal> {
        let requests = &mut self.story.requests;
        let Some(request) = requests
            .iter_mut()
            .find(|request| request.id == id && request.answer.is_none())
        else {
            return ignored("this request was answered already");
        };
        request.answer = Some(answer.clone());
        while let Some(answer) = self.first_answer() {
            let request = self.story.requests.remove(0);
            self.conclude(request, answer);
        }
        Ok(())
    }

    fn first_answer(&self) -> Option<Admission> {
        self.story.requests.first()?.answer.clone()
    }

    fn conclude(&mut self, request: Request, answer: Admission) {
        let Request {
            wish, by, comment, ..
        } = request;
        let wish = self.as_an_answer(wish);
        match answer {
            Admission::Denied if wish.is_quiet(&by) => self.not_let_in(wish, &by),
            Admission::Denied => {
                self.story.refused.extend(by.login().map(str::to_owned));
                self.react(comment, Reaction::Confused);
            }
            // The story may have moved on while the forge was asked.
            Admission::Allowed {
                comments,
                links,
                edited_by,
            } => match self.moot(&wish) {
                None => {
                    self.react(comment, acknowledgement(&wish));
                    let by = by.login().map(str::to_owned);
                    let granted = Granted {
                        by,
                        comments,
                        links,
                        edited_by,
                    };
                    self.grant(wish, granted);
                }
                Some(because) => self.say_why_not(comment, because),
            },
        }
    }

    /// Nobody is told; but a text that somebody else wrote is there, whatever he may.
    fn not_let_in(&mut self, wish: Wish, by: &Actor) {
        if self.moot(&wish).is_some() {
            return;
        }
        if let Wish::Edit { title, body, at } = wish {
            let by = by.login().unwrap_or_default();
            self.story.text_at = Some(at);
            self.text_changed((title, body), (by, false), None);
        }
    }

    /// Why a wish would change nothing, if it would not.
    pub(super) fn moot(&self, wish: &Wish) -> Option<&'static str> {
        let story = &self.story;
        if matches!(wish, Wish::Say { .. }) {
            return None;
        }
        if let (true, Wish::Retry { label: Some(_) } | Wish::Approve { label: Some(_), .. }) =
            (story.was_started(), wish)
        {
            // The label is taken off again, whatever became of the story.
            return None;
        }
        let going = self.destination();
        let landed =
            matches!(story.stage, Stage::Done { .. }) || matches!(going, Some(Then::Done { .. }));
        let cancelled = story.stage == Stage::Cancelled || matches!(going, Some(Then::Cancelled));
        let resting = cancelled
            || (matches!(story.stage, Stage::Backlog { .. }) && !story.waits_to_begin())
            || matches!(going, Some(Then::Backlog));
        let blocked = matches!(story.stage, Stage::Blocked { .. })
            || matches!(going, Some(Then::Blocked { .. }));
        let needs_no_start = matches!(wish, Wish::Start { .. } | Wish::Hold | Wish::Release);
        if landed {
            return Some("its change has landed already");
        }
        if !story.was_started() && !needs_no_start {
            return Some("it was never started");
        }
        let (moot, because) = match wish {
            Wish::Start { .. } => (
                !resting && !blocked && !story.waits_to_begin(),
                "it is started already",
            ),
            Wish::Edit { title, body, at } => {
                return self.why_no_edit(resting, (title, body), *at);
            }
            Wish::Confirm { digest } => return self.why_no_confirmation(resting, digest),
            Wish::Stop => (resting, "it is stopped already"),
            Wish::Cancel => (cancelled, "it is cancelled already"),
            Wish::Retry { .. } if self.story.awaits_approval().is_some() => {
                (true, "it waits for somebody to approve its commit")
            }
            Wish::Retry { .. } => (!self.can_be_retried(), "it is not blocked"),
            Wish::Approve { commit, .. } => (
                commit.is_none() || self.story.awaits_approval() != commit.as_ref(),
                "that commit does not wait for an approval",
            ),
            Wish::Hold => (story.wishes.held, "it is held already"),
            Wish::Release => (!story.wishes.held, "it is not held"),
            Wish::PickAgent { agent } => {
                (story.wishes.agent == *agent, "that agent is picked already")
            }
            Wish::Prioritise { priority } => (
                story.wishes.priority == *priority,
                "it has that priority already",
            ),
            Wish::Tell { .. } => (resting, "nobody works on it"),
            Wish::Merge => return self.why_not_merge(),
            Wish::Say { .. } => return None,
        };
        moot.then_some(because)
    }

    fn can_be_retried(&self) -> bool {
        let blocked = matches!(self.story.stage, Stage::Blocked { .. });
        (blocked && self.story.awaits_approval().is_none())
            || self.waits_for_another_agent()
            || self.story.waits_for_others()
    }

    /// It was started, but with an agent that the project does not have.
    fn waits_for_another_agent(&self) -> bool {
        let unknown = |note: &BacklogNote| matches!(note, BacklogNote::UnknownAgent { .. });
        matches!(&self.story.stage, Stage::Backlog { note: Some(note) } if unknown(note))
    }

    fn grant(&mut self, wish: Wish, granted: Granted) {
        match wish {
            Wish::Start {
                task,
                agent,
                priority,
                around,
            } => {
                self.story.wishes.agent = agent;
                self.story.wishes.priority = priority;
                self.story.wishes.skip_review = false;
                let comments = granted.comments;
                let links = granted.links.or(around.links);
                self.story.text_at = around.at;
                self.start(Task { comments, ..task }, links, granted.edited_by);
            }
            Wish::Edit { title, body, at } => {
                let by = granted.by.unwrap_or_default();
                self.story.text_at = Some(at);
                self.text_changed((title, body), (&by, true), granted.links);
            }
            Wish::Confirm { .. } => self.confirm(granted.by, granted.links),
            Wish::Stop => self.wind_down(Then::Backlog),
            Wish::Cancel => self.wind_down(Then::Cancelled),
            Wish::Retry { label } => {
                if let Some(label) = label {
                    self.act(Act::RemoveLabel { label });
                }
                self.retry(granted.links);
            }
            Wish::Approve { commit, label } => {
                if let Some(label) = label {
                    self.act(Act::RemoveLabel { label });
                }
                self.approve(commit);
            }
            Wish::Hold => self.hold(),
            Wish::Release => self.release(),
            Wish::PickAgent { agent } => self.pick(agent),
            Wish::Prioritise { priority } => self.prioritise(priority),
            Wish::Merge => self.merge_without_review(),
            Wish::Tell { message } => self.tell_agent(message),
            Wish::Say { reply, .. } => self.act(Act::Reply { reply }),
        }
    }

    fn start(&mut self, task: Task, links: Option<Box<Links>>, edited_by: Option<String>) {
        let slug = Slug::from_title(&task.title);
        let number = self.story.id.number;
        self.story
            .branch
            .get_or_insert_with(|| BranchName::of_story(number, &slug));
        self.story.task = task;
        self.take_links(*links.unwrap_or_default());
        self.hold_text_of(edited_by);
        self.story.branch_deleted_by = None;
        self.forgive();
        if let Some(head) = self.story.head.clone() {
            // A story that was cancelled was not watched any more.
            let (story, head) = (self.story.id.clone(), Some(head.commit));
            self.tell_repo(RepoEvent::HeadKnown { story, head });
        }
        self.wind_down(Then::Again);
    }

    /// Goes on from the work that was kept, if there is any, once nothing has to be waited for.
    pub(super) fn begin_again(&mut self) {
        if self.waits() {
            return;
        }
        if self.story.attempt.0 > 0 {
            self.remember(
                "The story was started again; the work kept from before is in the worktree.",
            );
        }
        self.begin_coding();
    }

    pub(super) fn begin_coding(&mut self) {
        self.enter_stage(Stage::Coding, Purpose::Task);
    }

    /// Clears all counters, for a person has looked at it.
    pub(super) fn forgive(&mut self) {
        self.story.counters = Counters::default();
        self.story.fingerprints.clear();
        self.story.judged_tree = None;
    }

    fn retry(&mut self, links: Option<Box<Links>>) {
        if !self.can_be_retried() {
            return;
        }
        self.forgive();
        if self.story.waits_for_others() {
            return self.look_again(links);
        }
        let Stage::Blocked { reason, from } = self.story.stage.clone() else {
            return self.begin_coding();
        };
        if let BlockReason::MergeFailed {
            failure: MergeFailure::LandedTreeDiffers { commit, .. },
        } = reason
        {
            // It is on the base branch, whatever anybody thinks of it.
            let receipt = None;
            return self.rest(Then::Done { commit, receipt });
        }
        self.remember("A person looked at what had stopped the story and asked for another try.");
        if matches!(reason, BlockReason::Paused { .. }) {
            self.lift_pauses();
        }
        match from {
            BlockedFrom::Coding => self.begin_coding(),
            BlockedFrom::Qa => self.begin_review(),
            BlockedFrom::Merge { head } => self.enter_merge(head),
            BlockedFrom::MergeFailure { failure } => self.begin_fix_up(failure),
        }
    }

    /// Lets the commit go on to land that waits for it, and no other.
    fn approve(&mut self, commit: Option<Sha>) {
        if let Some(commit) = commit
            && self.story.awaits_approval() == Some(&commit)
        {
            self.story.approved = Some(commit.clone());
            self.enter_merge(commit);
        }
    }

    /// Somebody mended the account: the providers that the project's agents use are tried again.
    pub(super) fn lift_pauses(&mut self) {
        let agents = self
            .story
            .rules
            .iter()
            .flat_map(|rules| &rules.project.agents);
        let mut providers: Vec<_> = agents.map(|agent| agent.runtime.provider()).collect();
        providers.sort();
        providers.dedup();
        for provider in providers {
            self.tell_account(AccountEvent::Mended { provider });
        }
    }

    /// A held story goes on with what it does and waits before the next stage; out of the merge
    /// queue it is taken at once, since what comes next there is the base branch.
    fn hold(&mut self) {
        self.story.wishes.held = true;
        if let Stage::Merge(merge) = &self.story.stage {
            let head = merge.head.clone();
            self.leave_queue();
            self.hold_merge(head);
        }
    }

    pub(super) fn hold_merge(&mut self, head: Sha) {
        self.merge_status(&head, MergeNews::Held);
        let phase = MergePhase::Held;
        self.story.stage = Stage::Merge(Merge { head, phase });
    }

    fn release(&mut self) {
        self.story.wishes.held = false;
        match &self.story.stage {
            Stage::Coding(work) | Stage::Qa(work) | Stage::MergeFailure { work, .. }
                if work.phase == Phase::Held =>
            {
                self.begin_attempt();
            }
            Stage::Merge(Merge {
                head,
                phase: MergePhase::Held,
            }) => self.enter_merge(head.clone()),
            Stage::Backlog { .. }
            | Stage::Coding(_)
            | Stage::Qa(_)
            | Stage::Merge(_)
            | Stage::MergeFailure { .. }
            | Stage::Blocked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled => {}
        }
    }

    /// Counts from the next attempt on. A start that was refused for its agent goes on with it.
    fn pick(&mut self, agent: Option<String>) {
        let picked = agent.is_some();
        self.story.wishes.agent = agent;
        if picked && self.waits_for_another_agent() {
            self.begin_coding();
        }
    }

    fn prioritise(&mut self, priority: i32) {
        self.story.wishes.priority = priority;
        let story = self.story.id.clone();
        match (&self.story.stage, self.story.work().map(|work| &work.phase)) {
            (_, Some(Phase::WaitingForSlot)) | (Stage::Merge(_), _) => {
                self.tell_repo(RepoEvent::Prioritised { story, priority });
            }
            (_, Some(Phase::WaitingForMoney { .. })) => {
                self.tell_account(AccountEvent::Prioritised { story, priority });
            }
            (_, Some(_) | None) => {}
        }
    }
}

/// Whose changes of the text are asked about.
fn edits(wish: &Wish) -> Vec<TextEdit> {
    if let Wish::Start { around, .. } = wish {
        return around.edits.clone();
    }
    Vec::new()
}
