//! An attempt from the project's rules to a running agent: rules, slot, money, worktree, start.

use jiff::Timestamp;

use super::{Refusal, Turn, Work, ignored};
use crate::domain::account::{Budget, Reservation, Wanted};
use crate::domain::effect::{Act, AgentBrief, Effect, Run};
use crate::domain::event::{AccountEvent, Event, RepoEvent};
use crate::domain::id::{ItemName, RunId, SessionId, Sha};
use crate::domain::money::Usd;
use crate::domain::project::{Agent, Moment, Project, Role};
use crate::domain::repo::SlotRequest;
use crate::domain::story::{
    BacklogNote, BlockReason, Delay, Engagement, KnownSession, Phase, Purpose, Rules, Stage,
};
use crate::domain::work::{ProcessIdentity, Session, Start};

/// A session that only repairs a failed merge (spec 5.9).
const FIX_UP_TURNS: u32 = 20;
const FIX_UP_BUDGET: Usd = Usd::from_cents(100);

impl Turn {
    /// Begins an agent's turn in the current stage. Every late message of an older one is fenced.
    pub(super) fn begin_attempt(&mut self) {
        self.story.attempt = self.story.attempt.next();
        self.enter(Phase::Configuring);
        let attempt = self.story.attempt;
        self.act(Act::ReadProject { attempt });
    }

    pub(super) fn project_read(&mut self, base: &Sha, project: &Project) -> Result<(), Refusal> {
        self.expect_phase("project_read", |phase| matches!(phase, Phase::Configuring))?;
        self.story.rules = Some(Rules {
            base: base.clone(),
            project: project.clone(),
        });
        if project.gates_on(Moment::Accept).is_empty() {
            let message = "it names no gate, and nothing lands untested: add a [[gate]] to .huskies/project.toml on \
                           the base branch"
                .to_owned();
            self.block(BlockReason::ProjectUnusable { message });
            return Ok(());
        }
        let agents: Vec<ItemName> = self.candidates().map(|agent| agent.name.clone()).collect();
        if agents.is_empty() {
            self.refuse_agent(project);
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
        let picked = self
            .story
            .wishes
            .agent
            .as_ref()
            .filter(|_| role == Role::Coder);
        let agents = self
            .story
            .rules
            .iter()
            .flat_map(|rules| &rules.project.agents);
        agents.filter(move |agent| {
            agent.role == role && picked.is_none_or(|picked| agent.name.as_str() == picked)
        })
    }

    fn refuse_agent(&mut self, project: &Project) {
        let known: Vec<ItemName> = project.coders().map(|agent| agent.name.clone()).collect();
        match self.story.wishes.agent.clone() {
            Some(wanted) if !known.is_empty() => {
                let note = Some(BacklogNote::UnknownAgent { wanted, known });
                self.story.stage = Stage::Backlog { note };
            }
            Some(_) | None => {
                let message =
                    "it names no coder: add an [[agent]] to .huskies/project.toml on the base branch".to_owned();
                self.block(BlockReason::ProjectUnusable { message });
            }
        }
    }

    pub(super) fn project_unusable(&mut self, message: &str) -> Result<(), Refusal> {
        self.expect_phase("project_unusable", |phase| {
            matches!(phase, Phase::Configuring)
        })?;
        self.block(BlockReason::ProjectUnusable {
            message: message.to_owned(),
        });
        Ok(())
    }

    pub(super) fn slot_granted(&mut self, agent: &ItemName) -> Result<(), Refusal> {
        self.expect_phase("slot_granted", |phase| {
            matches!(phase, Phase::WaitingForSlot)
        })?;
        let Some(spec) = self.agent(agent).cloned() else {
            return Err(self.illegal("slot_granted"));
        };
        let fix_up = matches!(self.purpose(), Some(Purpose::FixUp { .. }));
        let budget = match (spec.max_budget, fix_up, spec.runtime.is_metered()) {
            (None, false, true) => Budget::Rest,
            (None, true, true) => Budget::UpTo(FIX_UP_BUDGET),
            (Some(most), true, _) => Budget::UpTo(most.min(FIX_UP_BUDGET)),
            (Some(most), false, _) => Budget::UpTo(most),
            (None, _, false) => Budget::Unmetered,
        };
        let wanted = Wanted {
            story: self.story.id.clone(),
            attempt: self.story.attempt,
            provider: spec.runtime.provider(),
            budget,
            priority: self.story.wishes.priority,
        };
        self.enter(Phase::WaitingForMoney {
            agent: agent.clone(),
            delay: None,
        });
        self.tell_account(AccountEvent::Wanted { wanted });
        Ok(())
    }

    pub(super) fn money_delayed(
        &mut self,
        because: &str,
        until: Option<Timestamp>,
    ) -> Result<(), Refusal> {
        let Phase::WaitingForMoney { agent, .. } = self.phase("money_delayed")?.clone() else {
            return ignored("it does not wait for money");
        };
        let delay = Some(Delay {
            because: because.to_owned(),
            until,
        });
        self.enter(Phase::WaitingForMoney { agent, delay });
        Ok(())
    }

    pub(super) fn money_refused(&mut self, reason: &str) -> Result<(), Refusal> {
        self.expect_phase("money_refused", |phase| {
            matches!(phase, Phase::WaitingForMoney { .. })
        })?;
        self.release_slot();
        self.block(BlockReason::Ceiling {
            message: reason.to_owned(),
        });
        Ok(())
    }

    pub(super) fn reserved(&mut self, reservation: &Reservation) -> Result<(), Refusal> {
        let Phase::WaitingForMoney { agent, .. } = self.phase("reserved")?.clone() else {
            return Err(self.illegal("reserved"));
        };
        let (Some(branch), Some(rules)) = (self.story.branch.clone(), &self.story.rules) else {
            return Err(self.illegal("reserved"));
        };
        let (base, components) = (rules.base.clone(), rules.project.components.clone());
        let attempt = self.story.attempt;
        self.act(Act::PrepareWorktree {
            attempt,
            branch,
            base,
            components,
        });
        self.enter(Phase::Preparing(Engagement {
            agent,
            reservation: reservation.clone(),
        }));
        Ok(())
    }

    pub(super) fn worktree_failed(&mut self, message: &str) -> Result<(), Refusal> {
        self.expect_phase("worktree_failed", |phase| {
            matches!(phase, Phase::Preparing(_))
        })?;
        self.release_slot();
        self.release_money();
        self.block(BlockReason::WorktreeFailed {
            message: message.to_owned(),
        });
        Ok(())
    }

    pub(super) fn worktree_ready(
        &mut self,
        head: &Sha,
        hook_trouble: Option<&str>,
    ) -> Result<(), Refusal> {
        let Phase::Preparing(engagement) = self.phase("worktree_ready")?.clone() else {
            return Err(self.illegal("worktree_ready"));
        };
        if let Some(trouble) = hook_trouble {
            self.remember(format!(
                "The pre-commit hook could not be installed here: {trouble}"
            ));
        }
        let brief = self
            .brief(&engagement)
            .ok_or_else(|| self.illegal("worktree_ready"))?;
        let start = brief.start.clone();
        let id = RunId::Agent(self.story.id.clone(), self.story.attempt);
        self.effects.push(Effect::Run(Run::StartAgent {
            id,
            brief: Box::new(brief),
        }));
        self.story.recent.clear();
        self.enter(Phase::Starting {
            engagement,
            start,
            from: head.clone(),
        });
        Ok(())
    }

    /// What the agent is started with. Recent events travel with it once.
    fn brief(&self, engagement: &Engagement) -> Option<AgentBrief> {
        let story = &self.story;
        let rules = story.rules.as_ref()?;
        let mut agent = self.agent(&engagement.agent)?.clone();
        let purpose = self.purpose()?.clone();
        if matches!(purpose, Purpose::FixUp { .. }) {
            agent.max_turns = Some(
                agent
                    .max_turns
                    .map_or(FIX_UP_TURNS, |turns| turns.min(FIX_UP_TURNS)),
            );
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
            base: rules.base.clone(),
            task: story.task.clone(),
            recent: story.recent.clone(),
            failure: story.failure.clone(),
            first: story.attempt.0 == 1,
        })
    }

    pub(super) fn agent_started(&mut self, process: &ProcessIdentity) -> Result<(), Refusal> {
        match self.phase("agent_started")?.clone() {
            Phase::Starting {
                engagement,
                start,
                from,
            } => {
                self.enter(Phase::Running {
                    engagement,
                    start,
                    from,
                    process: process.clone(),
                });
                Ok(())
            }
            Phase::Running { .. } | Phase::Stopping { .. } => ignored("it is known to run"),
            _ => Err(self.illegal("agent_started")),
        }
    }

    pub(super) fn session_seen(&mut self, id: &SessionId) -> Result<(), Refusal> {
        let agent = match self.phase("session_seen")? {
            Phase::Starting { engagement, .. }
            | Phase::Running { engagement, .. }
            | Phase::Stopping { engagement, .. } => engagement.agent.clone(),
            _ => return ignored("no agent runs"),
        };
        let model = self.agent(&agent).and_then(|agent| agent.model.clone());
        let same = |known: &KnownSession| known.agent == agent && known.model == model;
        let known = self
            .story
            .sessions
            .iter()
            .find(|known| same(known) && known.session.id == *id);
        let cost = known.map_or(Usd::ZERO, |known| known.session.cost);
        self.story.sessions.retain(|known| !same(known));
        let session = Session {
            id: id.clone(),
            cost,
        };
        self.story.sessions.push(KnownSession {
            agent,
            model,
            session,
        });
        Ok(())
    }

    pub(super) fn agent(&self, name: &ItemName) -> Option<&Agent> {
        self.story
            .rules
            .as_ref()?
            .project
            .agents
            .iter()
            .find(|agent| agent.name == *name)
    }

    pub(super) fn purpose(&self) -> Option<&Purpose> {
        self.story.work().map(|Work { purpose, .. }| purpose)
    }

    pub(super) fn release_slot(&mut self) {
        let (story, attempt) = (self.story.id.clone(), self.story.attempt);
        self.tell_repo(RepoEvent::SlotReleased { story, attempt });
    }

    pub(super) fn release_money(&mut self) {
        let (story, attempt) = (self.story.id.clone(), self.story.attempt);
        self.tell_account(AccountEvent::Released { story, attempt });
    }

    pub(super) fn tell_account(&mut self, event: AccountEvent) {
        self.effects.push(Effect::Tell(Event::Account { event }));
    }

    pub(super) fn expect_phase(
        &self,
        event: &'static str,
        expected: impl Fn(&Phase) -> bool,
    ) -> Result<(), Refusal> {
        if expected(self.phase(event)?) {
            Ok(())
        } else {
            Err(self.illegal(event))
        }
    }
}
