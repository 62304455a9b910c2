//! Which session an agent goes on with (spec 5.5): its own, of the same model.

use super::scene::Scene;
use crate::domain::event::StoryEvent;
use crate::domain::id::{Attempt, SessionId};
use crate::domain::money::Usd;
use crate::domain::project::{Role, Runtime};
use crate::domain::story::Phase;
use crate::domain::transition::tests::{agent, item};
use crate::domain::work::{End, Start, Usage};

/// A story whose project has two coders.
fn begun() -> Scene {
    let scene = Scene::new().with(|project| {
        let other = agent("other", Role::Coder, Runtime::ClaudeCode);
        project.agents.push(other);
    });
    scene.configuring()
}

/// An attempt of an agent with a model, up to its start, and with which session that was.
fn started(scene: &Scene, name: &str, model: Option<&str>) -> (Scene, Option<String>) {
    let scene = scene.clone().with(|project| {
        for agent in &mut project.agents {
            agent.model = model.map(str::to_owned);
        }
    });
    let scene = scene.after(scene.project_read());
    let scene = scene.after(StoryEvent::SlotGranted {
        attempt: scene.attempt_number(),
        agent: item(name),
    });
    let scene = scene.go_on_to_worktree().go_on_to_start();
    let Some(Phase::Starting { start, .. }) = scene.story.work().map(|work| &work.phase) else {
        panic!("it does not start");
    };
    let session = match start {
        Start::Cold => None,
        Start::Warm(session) => Some(session.id.0.clone()),
    };
    (scene, session)
}

fn seen(scene: &Scene, session: &str) -> Scene {
    scene.after(StoryEvent::SessionSeen {
        attempt: scene.attempt_number(),
        session: SessionId(session.to_owned()),
    })
}

/// The attempt ends with nothing new, its session having cost `cents` in all.
fn ended(scene: &Scene, end: End, cents: Option<u64>) -> Scene {
    let scene = scene.after(StoryEvent::AgentEnded {
        attempt: scene.attempt_number(),
        end,
        usage: Usage {
            session_cost: cents.map(Usd::from_cents),
            ..Usage::default()
        },
    });
    scene.after(scene.collected(1, false, false))
}

/// What is known of sessions: agent, model, session, and what it cost so far.
fn known(scene: &Scene) -> Vec<String> {
    let sessions = scene.story.sessions.iter();
    let mut words: Vec<_> = sessions
        .map(|known| {
            let model = known.model.as_deref().unwrap_or("-");
            let (id, cost) = (&known.session.id.0, known.session.cost);
            format!("{} {model} {id} {cost}", known.agent)
        })
        .collect();
    words.sort();
    words
}

/// Three attempts, each with a session of its own.
fn three_known() -> Scene {
    let lost = || End::Lost {
        message: "power".to_owned(),
    };
    let (scene, first) = started(&begun(), "claude", None);
    assert_eq!(first, None);
    let scene = ended(&seen(&scene, "a"), lost(), Some(10));
    let (scene, of_the_model) = started(&scene, "claude", Some("big"));
    assert_eq!(of_the_model, None, "it has another model");
    let scene = ended(&seen(&scene, "b"), lost(), Some(20));
    let (scene, of_the_other) = started(&scene, "other", Some("big"));
    assert_eq!(of_the_other, None, "it is another agent's");
    let scene = ended(&seen(&scene, "c"), lost(), Some(30));
    assert_eq!(
        known(&scene),
        [
            "claude - a 0.10 USD",
            "claude big b 0.20 USD",
            "other big c 0.30 USD"
        ]
    );
    scene
}

#[test]
fn an_agent_goes_on_with_its_own_session_of_the_same_model() {
    let scene = three_known();
    for (name, model, session) in [
        ("claude", None, "a"),
        ("claude", Some("big"), "b"),
        ("other", Some("big"), "c"),
    ] {
        let (_, warm) = started(&scene, name, model);
        assert_eq!(warm.as_deref(), Some(session), "{name} {model:?}");
    }
}

#[test]
fn what_a_session_cost_is_kept_while_it_goes_on_and_forgotten_with_it() {
    let (scene, _) = started(&three_known(), "claude", Some("big"));
    let same = seen(&scene, "b");
    assert_eq!(
        known(&same),
        [
            "claude - a 0.10 USD",
            "claude big b 0.20 USD",
            "other big c 0.30 USD"
        ]
    );
    let another = seen(&scene, "d");
    assert_eq!(
        known(&another),
        [
            "claude - a 0.10 USD",
            "claude big d 0.00 USD",
            "other big c 0.30 USD"
        ]
    );
}

#[test]
fn a_session_that_cannot_go_on_is_forgotten_alone_and_an_aborted_start_forgets_all() {
    let (scene, _) = started(&three_known(), "claude", Some("big"));
    let message = "no such session".to_owned();
    let refused = ended(&scene, End::ResumeRefused { message }, None);
    assert_eq!(refused.attempt_number(), Attempt(5));
    assert_eq!(
        known(&refused),
        ["claude - a 0.10 USD", "other big c 0.30 USD"]
    );
    let aborted = ended(&scene, End::Aborted, None);
    assert!(known(&aborted).is_empty());
}
