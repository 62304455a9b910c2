//! Runs under supervisors that do nothing but write down what is asked of them.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::*;
use crate::domain::effect::GatesBrief;
use crate::domain::event::{RepoEvent, SubjectId};
use crate::domain::id::{Attempt, SessionId};
use crate::domain::project::Moment;
use crate::domain::transition::Subject;
use crate::executor::Executor;
use crate::executor::tests::{World, repo, story};
use crate::process::run_folder::FolderError;
use crate::store::{Commit, Store};

/// What was asked, in order.
#[derive(Debug, Clone, Default)]
struct Asked(Arc<Mutex<Vec<&'static str>>>);

impl Asked {
    fn note(&self, what: &'static str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }

    fn all(&self) -> Vec<&'static str> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// One run, which tells `news` when somebody joins it and then goes on until it is stopped.
struct Scripted {
    /// It runs already.
    running: bool,
    news: Vec<Progress>,
    asked: Asked,
}

impl Scripted {
    fn join(&self) -> Attached {
        let (news, asked) = (self.news.clone(), self.asked.clone());
        Attached::by(|progress, mut stop| async move {
            for news in news {
                progress.send(news).unwrap();
            }
            if stop.changed().await.is_ok() {
                asked.note("stop");
                // Whoever stops a run and leaves does not hear how it ends.
                drop(progress.send(Progress::Ended));
            }
        })
    }
}

#[async_trait]
impl Supervisors for Scripted {
    async fn meet(&self, _: &RunFolder) -> Result<Attachment, FolderError> {
        self.asked.note("meet");
        Ok(if self.running {
            Attachment::Running(self.join())
        } else {
            Attachment::NeverStarted
        })
    }

    async fn launch(&self, _: &RunFolder) -> Result<Attached, LaunchError> {
        self.asked.note("launch");
        Ok(self.join())
    }
}

/// A world whose runs are scripted, and what is asked of them.
async fn world(running: bool, news: &[Progress]) -> (World, Asked) {
    let mut world = World::new().await;
    let asked = Asked::default();
    world.context.adapters.supervisors = Arc::new(Scripted {
        running,
        news: news.to_vec(),
        asked: asked.clone(),
    });
    (world, asked)
}

/// Merge gates, as the store knows them.
async fn gates(world: &World) -> RunId {
    let id = RunId::Merge(repo(), 1);
    let subject = SubjectId::Repo(repo());
    world.know(Subject::new(&subject)).await;
    let base = world.tip().await;
    let brief = GatesBrief {
        commit: base.clone(),
        rules: base,
        moment: Moment::Merge,
    };
    let run = Run::StartGates {
        id: id.clone(),
        brief,
    };
    let requested = RunWrite::Requested {
        id: id.clone(),
        subject,
        run,
    };
    store(world, requested).await;
    id
}

async fn store(world: &World, run: RunWrite) {
    let write = Commit {
        runs: vec![run],
        ..Commit::default()
    };
    world.store.commit(write).await.unwrap();
}

/// The executor's runs; the world's context is theirs from now on.
fn runs(context: Context) -> Runs {
    Runs::new(Arc::new(context), CancellationToken::new())
}

#[tokio::test]
async fn a_run_that_is_not_wanted_any_more_is_never_started() {
    let (world, asked) = world(false, &[]).await;
    let id = gates(&world).await;
    let (known, subject) = (Arc::clone(&world.store), SubjectId::Repo(repo()));
    let World { context, .. } = world;
    let mut runs = runs(context);
    runs.begin(id.clone());
    runs.stop(&id);
    runs.join_next().await.unwrap().unwrap();
    assert_eq!(asked.all(), ["meet"]);
    let record = known.run(&id).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Ended);
    let told = known.events(&subject, 0).await.unwrap();
    let message = "stopped before the start".to_owned();
    let lost = RepoEvent::GatesLost { number: 1, message };
    assert_eq!(told[0].1.event, Event::repo(&repo(), lost));
}

#[tokio::test]
async fn a_run_that_has_ended_is_not_looked_for_again_and_is_forgotten() {
    let (world, asked) = world(true, &[]).await;
    let id = gates(&world).await;
    store(&world, RunWrite::Ended { id: id.clone() }).await;
    let mut runs = runs(world.context);
    runs.begin(id.clone());
    let done = runs.join_next().await.unwrap();
    runs.ended(done);
    assert!(asked.all().is_empty());
    assert!(runs.stops.is_empty() && runs.watchers.is_empty());
}

/// A session is all that is left of an agent whose supervisor is killed.
#[tokio::test]
async fn an_agents_session_is_told_while_it_runs() {
    let session = SessionId("s-1".to_owned());
    let (world, _) = world(true, &[Progress::Session(session.clone())]).await;
    let (story, _) = story(1);
    let (attempt, subject) = (Attempt(1), SubjectId::Story(story.clone()));
    world.know_story(1, |story| story.attempt = attempt).await;
    let id = RunId::Agent(story.clone(), attempt);
    let run = Run::StartAgent {
        id: id.clone(),
        brief: Box::new(world.brief().await),
    };
    let requested = RunWrite::Requested {
        id: id.clone(),
        subject: subject.clone(),
        run,
    };
    store(&world, requested).await;
    let (known, mut commits) = (Arc::clone(&world.store), world.context.engine.commits());
    let mut runs = runs(world.context);
    runs.begin(id);
    commits.changed().await.unwrap();
    let told = known.events(&subject, 0).await.unwrap();
    let seen = StoryEvent::SessionSeen { attempt, session };
    assert_eq!(told[0].1.event, Event::story(&story, seen));
}

#[tokio::test]
async fn a_server_that_takes_its_runs_along_stops_them_and_another_hangs_up() {
    for stops in [true, false] {
        let (world, asked) = world(true, &[]).await;
        gates(&world).await;
        let (_work, orders) = mpsc::unbounded_channel();
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let executor = Executor::new(world.context, orders, shutdown);
        executor.stopping_runs(stops).run().await.unwrap();
        assert_eq!(asked.all().contains(&"stop"), stops);
    }
}
