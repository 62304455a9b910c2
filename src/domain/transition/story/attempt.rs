//! An attempt from the project's rules to a running agent: rules, slot, money, worktree, start.

use jiff::Timestamp;

use super::{Progress, Refusal, Turn};
use crate::domain::account::{Budget, Reservation, Wanted};
use crate::domain::effect::{Act, AgentBrief, Effect, Run};
use crate::domain::event::{AccountEvent, RepoEvent, StoryEvent};
use crate::domain::id::{ItemName, RunId, SessionId, Sha};
use crate::domain::money::Usd;
use crate::domain::project::{Agent, FIX_UP_BUDGET, FIX_UP_TURNS, Moment, Project, Role};
use crate::domain::repo::SlotRequest;
use crate::domain::story::{
    BacklogNote, BlockReason, Delay, Engagement, KnownSession, Phase, Purpose, Rules, Stage,
};
use crate::domain::work::{Collected, ProcessIdentity, Session, Start};

impl Turn {
    pub(super) fn attempt_event(&mut self, event: &StoryEvent) -> Result<(), Refusal> {
        match event {
            StoryEvent::ProjectRead { base, project, .. } => self.project_read(base, project),
            StoryEvent::ProjectUnusable { message, .. } => self.project_unusable(message),
            StoryEvent::SlotGranted { agent, .. } => self.slot_granted(agent),
            StoryEvent::Reserved { reservation, .. } => self.reserved(reservation),
            StoryEvent::MoneyDelayed { because, until, .. } => self.money_delayed(because, *until),
            StoryEvent::MoneyRefused { reason, .. } => self.money_refused(reason),
            StoryEvent::WorktreeReady {
                head,
                hook_trouble,
                noticed,
                ..
            } => self.worktree_ready(head, hook_trouble.as_deref(), noticed),
            StoryEvent::WorktreeFailed { message, .. } => self.worktree_failed(message),
            StoryEvent::AgentStarted { process, .. } => self.agent_started(process),
            StoryEvent::SessionSeen { session, .. } => self.session_seen(session),
            other => Err(self.illegal(other.into())),
        }
    }

    /// Begins an agent's turn in the current stage. Every late message of an older one is fenced.
    pub(super) fn begin_attempt(&mut self) {
        self.story.attempt = self.story.attempt.next();
        self.enter(Phase::Configuring);
        let attempt = self.story.attempt;
        self.act(Act::ReadProject { attempt });
    }

    fn project_read(&mut self, base: &Sha, project: &Project) -> Result<(), Refusal> {
        self.expect("project_read", Progress::Configuring, Progress::Configuring)?;
        self.story.rules = Some(Rules {
            base: base.clone(),
            project: project.clone(),
        });
        if project.gates_on(Moment::Accept).is_empty() {
            let message = "it names no gate, and nothing lands untested: add a [[gate]] to \
                           .huskies/project.toml on the base branch"
                .to_owned();
            self.block(BlockReason::ProjectUnusable { message });
            return Ok(());
        }
        let agents: Vec<ItemName> = self.candidates().map(|agent| agent.name.clone()).collect();
        if agents.is_empty() {
            self.find_no_agent(project);
            return Ok(());
        }
        self.enter(Phase::WaitingForSlot);
        let request = SlotRequest {
            story: self.story.id.clone(),
            attempt: self.story.attempt,
            agents,
            priority: self.story.wishes.priority,
            since: self.now,
        };
        self.tell_repo(RepoEvent::SlotWanted { request });
        Ok(())
    }

    /// The agents that may take this attempt, in the order of the file.
    fn candidates(&self) -> impl Iterator<Item = &Agent> {
        let role = if matches!(self.story.stage, Stage::Qa(_)) {
            Role::Qa
        } else {
            Role::Coder
        };
        let wishes = &self.story.wishes;
        let picked = wishes.agent.as_ref().filter(|_| role == Role::Coder);
        let rules = self.story.rules.iter();
        let agents = rules.flat_map(|rules| &rules.project.agents);
        agents.filter(move |agent| {
            agent.role == role && picked.is_none_or(|picked| agent.name.as_str() == picked)
        })
    }

    fn find_no_agent(&mut self, project: &Project) {
        if let (Stage::Qa(_), Some(head)) = (&self.story.stage, &self.story.head) {
            // The project does not ask for a review any more.
            return self.enter_merge(head.commit.clone());
        }
        let known: Vec<ItemName> = project.coders().map(|agent| agent.name.clone()).collect();
        match self.story.wishes.agent.clone() {
            Some(wanted) if !known.is_empty() => {
                let note = Some(BacklogNote::UnknownAgent { wanted, known });
                self.story.stage = Stage::Backlog { note };
            }
            Some(_) | None => {
                let message = "it names no coder: add an [[agent]] to .huskies/project.toml on \
                               the base branch"
                    .to_owned();
                self.block(BlockReason::ProjectUnusable { message });
            }
        }
    }

    fn project_unusable(&mut self, message: &str) -> Result<(), Refusal> {
        self.expect(
            "project_unusable",
            Progress::Configuring,
            Progress::Configuring,
        )?;
        self.block(BlockReason::ProjectUnusable {
            message: message.to_owned(),
        });
        Ok(())
    }

    fn slot_granted(&mut self, agent: &ItemName) -> Result<(), Refusal> {
        self.expect(
            "slot_granted",
            Progress::WaitingForSlot,
            Progress::WaitingForSlot,
        )?;
        let Some(spec) = self.agent(agent) else {
            return Err(self.illegal("slot_granted"));
        };
        let wanted = Wanted {
            story: self.story.id.clone(),
            attempt: self.story.attempt,
            provider: spec.runtime.provider(),
            budget: self.budget(spec),
            priority: self.story.wishes.priority,
        };
        self.enter(Phase::WaitingForMoney {
            agent: agent.clone(),
            delay: None,
        });
        self.tell_account(AccountEvent::Wanted { wanted });
        Ok(())
    }

    fn budget(&self, agent: &Agent) -> Budget {
        let fix_up = matches!(self.purpose(), Some(Purpose::FixUp { .. }));
        match (agent.max_budget, fix_up, agent.runtime.is_metered()) {
            (None, false, true) => Budget::Rest,
            (None, true, true) => Budget::UpTo(FIX_UP_BUDGET),
            (Some(most), true, _) => Budget::UpTo(most.min(FIX_UP_BUDGET)),
            (Some(most), false, _) => Budget::UpTo(most),
            (None, _, false) => Budget::Unmetered,
        }
    }

    /// The phase while the ledger is asked, and the agent that the money is for.
    fn waiting_for_money(&self, event: &'static str) -> Result<ItemName, Refusal> {
        let at = Progress::WaitingForMoney;
        let Phase::WaitingForMoney { agent, .. } = self.expect(event, at, at)? else {
            return Err(self.illegal(event));
        };
        Ok(agent.clone())
    }

    fn money_delayed(&mut self, because: &str, until: Option<Timestamp>) -> Result<(), Refusal> {
        let agent = self.waiting_for_money("money_delayed")?;
        let because = because.to_owned();
        let delay = Some(Delay { because, until });
        self.enter(Phase::WaitingForMoney { agent, delay });
        Ok(())
    }

    /// No money for another agent: what is committed already can still be judged.
    fn money_refused(&mut self, reason: &str) -> Result<(), Refusal> {
        self.waiting_for_money("money_refused")?;
        self.release_slot();
        if let Some(unjudged) = self.unjudged() {
            self.judge(unjudged, false);
        } else {
            let message = reason.to_owned();
            self.block(BlockReason::Ceiling { message });
        }
        Ok(())
    }

    /// A coder's commit that nobody judged yet. After a conflict it may hold markers, which gates
    /// do not see.
    fn unjudged(&self) -> Option<Collected> {
        let head = self.story.head.clone()?;
        let judged = self.story.judged_tree.as_ref() == Some(&head.tree);
        let reviewing = matches!(self.story.stage, Stage::Qa(_));
        (!judged && !reviewing && self.story.conflicts.is_empty()).then_some(Collected {
            head: head.commit,
            tree: head.tree,
            ahead: true,
            advanced: false,
            wip: None,
            markers: Vec::new(),
            noticed: Vec::new(),
        })
    }

    fn reserved(&mut self, reservation: &Reservation) -> Result<(), Refusal> {
        let agent = self.waiting_for_money("reserved")?;
        let attempt = self.story.attempt;
        let (Some(branch), Some(rules)) = (self.story.branch.clone(), &self.story.rules) else {
            return Err(self.illegal("reserved"));
        };
        if !reservation.is_for(&self.story.id, attempt) {
            return Err(self.illegal("reserved"));
        }
        self.act(Act::PrepareWorktree {
            attempt,
            branch,
            base: rules.base.clone(),
            components: rules.project.components.clone(),
        });
        self.enter(Phase::Preparing(Engagement {
            agent,
            reservation: reservation.clone(),
        }));
        Ok(())
    }

    fn worktree_failed(&mut self, message: &str) -> Result<(), Refusal> {
        let at = Progress::Preparing;
        self.expect("worktree_failed", at, at)?;
        self.release_slot();
        self.release_money();
        self.block(BlockReason::WorktreeFailed {
            message: message.to_owned(),
        });
        Ok(())
    }

    fn worktree_ready(
        &mut self,
        head: &Sha,
        hook_trouble: Option<&str>,
        noticed: &[String],
    ) -> Result<(), Refusal> {
        let at = Progress::Preparing;
        let Phase::Preparing(engagement) = self.expect("worktree_ready", at, at)?.clone() else {
            return Err(self.illegal("worktree_ready"));
        };
        self.remember_tampering(noticed);
        if let Some(trouble) = hook_trouble {
            self.remember(format!(
                "The pre-commit hook could not be installed here: {trouble}"
            ));
        }
        let brief = self
            .brief(&engagement)
            .ok_or_else(|| self.illegal("worktree_ready"))?;
        let (start, brief_messages) = (brief.start.clone(), brief.messages.len());
        let id = RunId::Agent(self.story.id.clone(), self.story.attempt);
        let brief = Box::new(brief);
        self.effects
            .push(Effect::Run(Run::StartAgent { id, brief }));
        self.note_told(brief_messages);
        self.enter(Phase::Starting {
            engagement,
            start,
            from: head.clone(),
        });
        Ok(())
    }

    /// What the agent that starts has been told. A reviewer is not told what is for the coder.
    fn note_told(&mut self, messages: usize) {
        let coder = !matches!(self.story.stage, Stage::Qa(_));
        self.story.recent_sent = self.story.recent.len();
        self.story.messages_sent = messages;
        self.story.was_told = false;
        if let Some(failed) = self.story.failed_checks.as_mut().filter(|_| coder) {
            failed.told = true;
        }
    }

    /// What the agent is started with.
    fn brief(&self, engagement: &Engagement) -> Option<AgentBrief> {
        let story = &self.story;
        let mut agent = self.agent(&engagement.agent)?.clone();
        let purpose = self.purpose()?.clone();
        if matches!(purpose, Purpose::FixUp { .. }) {
            let most = agent.max_turns.unwrap_or(FIX_UP_TURNS);
            agent.max_turns = Some(most.min(FIX_UP_TURNS));
        }
        let known = story
            .sessions
            .iter()
            .find(|known| known.agent == agent.name && known.model == agent.model);
        Some(AgentBrief {
            start: known.map_or(Start::Cold, |known| Start::Warm(known.session.clone())),
            agent,
            reservation: engagement.reservation.clone(),
            purpose,
            branch: story.branch.clone()?,
            base: story.rules.as_ref()?.base.clone(),
            task: story.task.clone(),
            recent: story.recent.clone(),
            messages: if matches!(story.stage, Stage::Qa(_)) {
                Vec::new()
            } else {
                story.messages.clone()
            },
            failure: story.failure.clone(),
            first: story.attempt.0 == 1,
        })
    }

    fn agent_started(&mut self, process: &ProcessIdentity) -> Result<(), Refusal> {
        let at = Progress::Starting;
        let Phase::Starting {
            engagement,
            start,
            from,
        } = self.expect("agent_started", at, at)?.clone()
        else {
            return Err(self.illegal("agent_started"));
        };
        self.enter(Phase::Running {
            engagement,
            start,
            from,
            process: process.clone(),
        });
        Ok(())
    }

    fn session_seen(&mut self, id: &SessionId) -> Result<(), Refusal> {
        let phase = self.expect("session_seen", Progress::Starting, Progress::Running)?;
        let Some(agent) = phase.engagement().map(|engaged| engaged.agent.clone()) else {
            return Err(self.illegal("session_seen"));
        };
        let model = self.model_of(&agent);
        let same = |known: &KnownSession| known.agent == agent && known.model == model;
        let mut sessions = std::mem::take(&mut self.story.sessions);
        let known = sessions
            .iter()
            .find(|known| same(known) && known.session.id == *id);
        let session = Session {
            id: id.clone(),
            cost: known.map_or(Usd::ZERO, |known| known.session.cost),
        };
        sessions.retain(|known| !same(known));
        sessions.push(KnownSession {
            agent,
            model,
            session,
        });
        self.story.sessions = sessions;
        Ok(())
    }

    pub(super) fn agent(&self, name: &ItemName) -> Option<&Agent> {
        let agents = &self.story.rules.as_ref()?.project.agents;
        agents.iter().find(|agent| agent.name == *name)
    }

    pub(super) fn model_of(&self, agent: &ItemName) -> Option<String> {
        self.agent(agent)?.model.clone()
    }
}
