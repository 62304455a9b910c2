//! The situations that stories get into, each reached from nothing by real steps.

use crate::domain::account::{Budget, Reservation, Wanted};
use crate::domain::dependency::{IssueState, Links, Need, StoryState};
use crate::domain::effect::{AgentBrief, Effect, Run};
use crate::domain::event::{AccountEvent, Event, StoryEvent, SubjectId};
use crate::domain::id::{Attempt, SessionId, Sha};
use crate::domain::money::Usd;
use crate::domain::project::{Project, Runtime};
use crate::domain::story::{Actor, Admission, Story, Wish};
use crate::domain::transition::tests::{item, noon, project, report, sha, story_id};
use crate::domain::transition::{Subject, step};
use crate::domain::work::{Collected, End, ProcessIdentity, Receipt, Task, Usage};

/// A story and the rules it is under.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) story: Story,
    pub(super) project: Project,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self {
            story: Story::new(story_id(7)),
            project: project(),
        }
    }

    pub(super) fn subject(&self) -> Subject {
        Subject::Story(Box::new(self.story.clone()))
    }

    pub(super) fn of(&self, subject: Subject) -> Self {
        let Subject::Story(story) = subject else {
            panic!("not a story: {subject:?}");
        };
        Self {
            story: *story,
            project: self.project.clone(),
        }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Project)) -> Self {
        change(&mut self.project);
        self
    }

    /// Takes `event`, which must be taken.
    pub(super) fn after(&self, event: StoryEvent) -> Self {
        let event = Event::story(&self.story.id, event);
        match step(&self.subject(), &event, noon()) {
            Ok(step) => self.of(step.subject),
            Err(refusal) => panic!("{} was refused: {refusal}", event.name()),
        }
    }

    /// What follows from `event`, which must be taken.
    pub(super) fn effects_of(&self, event: StoryEvent) -> Vec<Effect> {
        let event = Event::story(&self.story.id, event);
        let stepped = step(&self.subject(), &event, noon());
        stepped.expect("it is taken").effects
    }

    /// What the agent is started with once its worktree is ready, as it is here.
    pub(super) fn brief(&self) -> AgentBrief {
        let effects = self.effects_of(self.worktree_ready());
        let brief = effects.into_iter().find_map(|effect| match effect {
            Effect::Run(Run::StartAgent { brief, .. }) => Some(*brief),
            _ => None,
        });
        brief.expect("an agent is started")
    }

    /// The next attempt, up to where its worktree is prepared.
    pub(super) fn next_preparing(&self) -> Self {
        let scene = self.after(self.project_read());
        scene.go_on_to_money().go_on_to_worktree()
    }

    /// The newest of what the next agent is told.
    pub(super) fn newest_memory(&self) -> &str {
        self.story.recent.last().map_or("", |recent| &recent.text)
    }

    // The situations, in the order of a story's way.

    pub(super) fn configuring(&self) -> Self {
        self.after(operator(start()))
    }

    pub(super) fn waiting_for_slot(&self) -> Self {
        let scene = self.configuring();
        scene.after(scene.project_read())
    }

    pub(super) fn waiting_for_money(&self) -> Self {
        self.waiting_for_slot().go_on_to_money()
    }

    pub(super) fn preparing(&self) -> Self {
        self.waiting_for_money().go_on_to_worktree()
    }

    pub(super) fn starting(&self) -> Self {
        self.preparing().go_on_to_start()
    }

    pub(super) fn running(&self) -> Self {
        let scene = self.starting();
        let scene = scene.after(scene.agent_started());
        scene.after(scene.session_seen())
    }

    pub(super) fn collecting(&self, end: End) -> Self {
        let scene = self.running();
        scene.after(scene.agent_ended(end))
    }

    pub(super) fn judging(&self) -> Self {
        let scene = self.collecting(End::Finished);
        scene.after(scene.committed(20))
    }

    pub(super) fn queued(&self) -> Self {
        let scene = self.judging();
        scene.after(scene.gates_passed())
    }

    pub(super) fn testing(&self) -> Self {
        let scene = self.queued();
        scene.after(scene.merge_began())
    }

    pub(super) fn conflicted(&self) -> Self {
        let scene = self.testing();
        scene.after(scene.merge_conflicted())
    }

    // From wherever the newest attempt is, on.

    pub(super) fn go_on_to_money(&self) -> Self {
        self.after(self.slot_granted())
    }

    pub(super) fn go_on_to_worktree(&self) -> Self {
        self.after(self.reserved())
    }

    pub(super) fn go_on_to_start(&self) -> Self {
        self.after(self.worktree_ready())
    }

    /// From the beginning of an attempt to its end, the work still to be collected.
    pub(super) fn attempt(&self, end: End) -> Self {
        let scene = self.after(self.project_read()).go_on_to_money();
        let scene = scene.go_on_to_worktree().go_on_to_start();
        let scene = scene.after(scene.agent_started());
        scene.after(scene.agent_ended(end))
    }

    // Events about the newest attempt.

    pub(super) fn attempt_number(&self) -> Attempt {
        self.story.attempt
    }

    pub(super) fn project_read(&self) -> StoryEvent {
        StoryEvent::ProjectRead {
            attempt: self.attempt_number(),
            base: sha(1),
            project: Box::new(self.project.clone()),
        }
    }

    pub(super) fn slot_granted(&self) -> StoryEvent {
        StoryEvent::SlotGranted {
            attempt: self.attempt_number(),
            agent: item("claude"),
        }
    }

    pub(super) fn reserved(&self) -> StoryEvent {
        StoryEvent::Reserved {
            attempt: self.attempt_number(),
            reservation: reservation(&self.story),
        }
    }

    pub(super) fn money_refused(&self) -> StoryEvent {
        StoryEvent::MoneyRefused {
            attempt: self.attempt_number(),
            reason: "5.00 USD is spent".to_owned(),
        }
    }

    pub(super) fn worktree_ready(&self) -> StoryEvent {
        StoryEvent::WorktreeReady {
            attempt: self.attempt_number(),
            head: sha(1),
            hook_trouble: None,
            noticed: Vec::new(),
        }
    }

    pub(super) fn agent_started(&self) -> StoryEvent {
        StoryEvent::AgentStarted {
            attempt: self.attempt_number(),
            process: ProcessIdentity {
                pid: 7,
                start_ticks: 7,
                boot_id: "boot".to_owned(),
            },
        }
    }

    pub(super) fn session_seen(&self) -> StoryEvent {
        StoryEvent::SessionSeen {
            attempt: self.attempt_number(),
            session: SessionId("a".to_owned()),
        }
    }

    /// The agent ended after it had used 0.50 USD.
    pub(super) fn agent_ended(&self, end: End) -> StoryEvent {
        StoryEvent::AgentEnded {
            attempt: self.attempt_number(),
            end,
            usage: Usage {
                cost: Some(Usd::from_cents(50)),
                ..Usage::default()
            },
        }
    }

    /// The commit with this number was found, and a tree of the same number.
    pub(super) fn committed(&self, number: u64) -> StoryEvent {
        self.collected(number, true, true)
    }

    pub(super) fn collected(&self, number: u64, ahead: bool, advanced: bool) -> StoryEvent {
        StoryEvent::WorkCollected {
            attempt: self.attempt_number(),
            collected: Collected {
                head: sha(number),
                tree: sha(number + 100),
                ahead,
                advanced,
                wip: None,
                markers: Vec::new(),
                noticed: Vec::new(),
            },
        }
    }

    pub(super) fn gates(&self, failure: Option<&str>) -> StoryEvent {
        let head = self.story.head.clone().expect("a head");
        StoryEvent::GatesEnded {
            attempt: self.attempt_number(),
            round: self.story.counters.gate_rounds,
            report: report(&head.commit, &head.tree, failure),
        }
    }

    pub(super) fn gates_passed(&self) -> StoryEvent {
        self.gates(None)
    }

    pub(super) fn gates_lost(&self) -> StoryEvent {
        StoryEvent::GatesLost {
            attempt: self.attempt_number(),
            round: self.story.counters.gate_rounds,
            message: "no runner".to_owned(),
        }
    }

    fn head(&self) -> Sha {
        self.story.head.clone().expect("a head").commit
    }

    pub(super) fn merge_began(&self) -> StoryEvent {
        StoryEvent::MergeBegan {
            head: self.head(),
            base: sha(2),
        }
    }

    pub(super) fn merge_conflicted(&self) -> StoryEvent {
        StoryEvent::MergeConflicted {
            head: self.head(),
            base: sha(2),
            paths: vec!["a.rs".to_owned()],
        }
    }

    pub(super) fn merge_gates_failed(&self) -> StoryEvent {
        StoryEvent::MergeGatesFailed {
            head: self.head(),
            base: sha(2),
            report: report(&sha(30), &sha(130), Some("broken")),
        }
    }

    pub(super) fn merge_rejected(&self) -> StoryEvent {
        StoryEvent::MergeRejected {
            head: self.head(),
            reason: "protected branch".to_owned(),
        }
    }
}

/// The change of commit 20 landed as commit 30.
pub(super) fn landed() -> StoryEvent {
    StoryEvent::Landed {
        receipt: Box::new(Receipt {
            base: sha(2),
            head: sha(20),
            commit: sha(30),
            tree: sha(130),
            gates: report(&sha(30), &sha(130), None).outcomes,
        }),
    }
}

pub(super) fn contained() -> StoryEvent {
    StoryEvent::Contained { tip: sha(2) }
}

pub(super) fn start() -> Wish {
    start_with(None)
}

pub(super) fn start_with(agent: Option<&str>) -> Wish {
    Wish::Start {
        task: Task {
            title: "Mend the door".to_owned(),
            ..Task::default()
        },
        agent: agent.map(str::to_owned),
        priority: 0,
        around: Box::default(),
    }
}

pub(super) fn operator(wish: Wish) -> StoryEvent {
    let by = Actor::Operator;
    StoryEvent::Asked { wish, by }
}

pub(super) fn person(wish: Wish, login: &str) -> StoryEvent {
    let by = Actor::Account {
        login: login.to_owned(),
    };
    StoryEvent::Asked { wish, by }
}

/// The forge says that the sender may.
pub(super) fn admitted(request: u64) -> StoryEvent {
    let answer = Admission::allowed();
    StoryEvent::Admitted { request, answer }
}

/// The forge says that the sender may, and that the story depends on these.
pub(super) fn admitted_with(request: u64, needs: &[Need]) -> StoryEvent {
    let links = Links {
        needs: needs.to_vec(),
        ..Links::default()
    };
    let answer = Admission::Allowed {
        comments: Vec::new(),
        links: Some(Box::new(links)),
        edited_by: None,
    };
    StoryEvent::Admitted { request, answer }
}

/// An issue that a text names, as it is.
pub(super) fn need(issue: u64, state: IssueState) -> Need {
    Need {
        issue,
        title: format!("Story {issue}"),
        sub_issue: false,
        state,
        at: Some(noon()),
        story: StoryState::None,
    }
}

pub(super) fn denied(request: u64) -> StoryEvent {
    let answer = Admission::Denied;
    StoryEvent::Admitted { request, answer }
}

/// What the ledger gives this story when it asks for one dollar.
fn reservation(story: &Story) -> Reservation {
    let account = Subject::new(&SubjectId::Account);
    let wanted = Wanted {
        story: story.id.clone(),
        attempt: story.attempt,
        provider: Runtime::ClaudeCode.provider(),
        budget: Budget::UpTo(Usd::from_cents(100)),
        priority: 0,
    };
    let event = Event::Account {
        event: AccountEvent::Wanted { wanted },
    };
    let step = step(&account, &event, noon()).expect("an answer");
    let granted = step.effects.into_iter().find_map(|effect| match effect {
        Effect::Tell(Event::Story {
            event: StoryEvent::Reserved { reservation, .. },
            ..
        }) => Some(reservation),
        _ => None,
    });
    granted.expect("a reservation")
}
