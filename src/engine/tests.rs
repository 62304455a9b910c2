use std::path::Path;
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::clock::SystemClock;
use crate::domain::effect::Act;
use crate::domain::event::{RepoEvent, StoryEvent};
use crate::store::SqliteStore;

struct World {
    store: Arc<dyn Store>,
    handle: Handle,
    engine: Option<Engine>,
    folder: TempDir,
    _work: mpsc::UnboundedReceiver<Work>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("huskies.db")).await;
        let store: Arc<dyn Store> = Arc::new(store.unwrap());
        let (sender, work) = mpsc::unbounded_channel();
        let (engine, handle) = Engine::new(Arc::clone(&store), Arc::new(SystemClock), sender);
        Self {
            store,
            handle,
            engine: Some(engine),
            folder,
            _work: work,
        }
    }

    fn start(&mut self) -> JoinHandle<()> {
        tokio::spawn(self.engine.take().unwrap().run())
    }

    fn file(&self) -> impl AsRef<Path> {
        self.folder.path().join("huskies.db")
    }
}

pub(super) fn opened(id: &str) -> NewDelivery {
    NewDelivery {
        id: id.parse().unwrap(),
        received_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        event: "issues".to_owned(),
        content: Some(Event::repo(
            &"octo/app".parse().unwrap(),
            RepoEvent::Opened { looks: None },
        )),
        reason: None,
    }
}

fn act(number: usize) -> PendingAct {
    let subject = SubjectId::Story("octo/app#7".parse().unwrap());
    PendingAct {
        id: EffectId::new(&subject, number as u64, 0),
        subject,
        act: Act::RetireWorktree {
            branch: "feature/story-7-words".parse().unwrap(),
        },
    }
}

#[tokio::test]
async fn a_delivery_that_cannot_be_read_any_more_does_not_hold_up_those_behind_it() {
    let mut world = World::new().await;
    let deliveries = [opened("1"), opened("2")];
    world.store.receive(&deliveries).await.unwrap();
    let file = SqliteConnectOptions::new().filename(world.file());
    let mut damage = SqliteConnection::connect_with(&file).await.unwrap();
    sqlx::raw_sql("UPDATE deliveries SET content = '{\"Of\":\"another age\"}' WHERE id = '1'")
        .execute(&mut damage)
        .await
        .unwrap();

    let mut commits = world.handle.commits();
    let engine = world.start();
    commits.wait_for(|count| *count > 0).await.unwrap();
    assert_eq!(world.store.inbox_depth().await.unwrap(), 0);
    let repo = SubjectId::Repo("octo/app".parse().unwrap());
    assert!(world.store.subject(&repo).await.unwrap().is_some());
    let kept: String = sqlx::query_scalar("SELECT content FROM deliveries WHERE id = '1'")
        .fetch_one(&mut damage)
        .await
        .unwrap();
    assert_eq!(kept, "{\"Of\":\"another age\"}");
    drop(world.handle);
    engine.await.unwrap();
}

#[tokio::test]
async fn who_is_sent_away_is_counted() {
    let world = World::new().await;
    assert!(!world.handle.is_overloaded());
    world.handle.limit_inbox(0);
    assert!(world.handle.is_overloaded());
    for count in 1..=2 {
        let sent = world.handle.deliver(opened("1")).await;
        assert!(matches!(sent, Err(DeliveryError::Overloaded)));
        assert_eq!(world.handle.sent_away(), count);
    }
}

#[tokio::test]
async fn a_timer_that_fired_is_not_armed_any_more() {
    let mut world = World::new().await;
    let repo = "octo/app".parse().unwrap();
    let timer = TimerWrite {
        subject: SubjectId::Repo(repo),
        name: "sync".to_owned(),
        at: "2026-01-01T00:00:00Z".parse().unwrap(),
        event: Event::repo(&"octo/app".parse().unwrap(), RepoEvent::SyncDue),
    };
    let armed = Commit {
        timers: vec![timer.clone()],
        ..Commit::default()
    };
    world.store.commit(armed).await.unwrap();
    let engine = world.start();
    world.handle.fire(timer).await.unwrap();
    assert!(world.store.timers().await.unwrap().is_empty());
    drop(world.handle);
    engine.await.unwrap();
}

#[tokio::test]
async fn who_is_refused_first_hears_it_and_only_a_subject_that_is_there_keeps_it() {
    let mut world = World::new().await;
    let engine = world.start();
    let story = "octo/app#7".parse().unwrap();
    let refused = Event::story(&story, StoryEvent::LongAtRest);
    let answer = world.handle.report(Report::event(refused)).await.unwrap();
    assert!(
        matches!(answer, Some(Refusal::Ignored { .. })),
        "{answer:?}"
    );
    let subject = SubjectId::Story(story);
    assert!(world.store.subject(&subject).await.unwrap().is_none());
    let log = world.store.events(&subject, 0).await.unwrap();
    assert_eq!(log, [], "a stranger leaves no trace");

    let repo = SubjectId::Repo("octo/app".parse().unwrap());
    let opened = opened("1").content.unwrap();
    let answer = world.handle.report(Report::event(opened)).await.unwrap();
    assert_eq!(answer, None);
    let log = world.store.events(&repo, 0).await.unwrap();
    let versions: Vec<u64> = log.iter().map(|(_, record)| record.version).collect();
    assert_eq!(versions, [1]);
    drop(world.handle);
    engine.await.unwrap();
}

/// Whether the engine wants deliveries some day, if nothing else happens.
async fn wants_deliveries(desk: &Desk, inbox: &mut Inbox) -> bool {
    // Time passes when nobody has anything to do but wait. A store at work would not be seen.
    tokio::time::pause();
    let ready = timeout(Duration::from_hours(24), desk.ready_for(inbox)).await;
    tokio::time::resume();
    ready.is_ok()
}

#[tokio::test]
async fn deliveries_stay_on_the_disk_while_too_many_acts_are_under_way() {
    let (commits, _) = watch::channel(0);
    let (work, _work) = mpsc::unbounded_channel();
    let world = World::new().await;
    let mut desk = Desk {
        store: Arc::clone(&world.store),
        clock: Arc::new(SystemClock),
        work,
        commits,
        subjects: HashMap::new(),
        acts: HashSet::new(),
    };
    let (_slot, _door, mut inbox) = Inbox::new(Arc::clone(&world.store));
    world.store.receive(&[opened("1")]).await.unwrap();
    inbox.recover(world.store.as_ref()).await;

    let mut draft = Draft::default();
    draft.commit.acts = (0..ACTS).map(act).collect();
    desk.store_draft(draft).await.unwrap();
    let wants = wants_deliveries(&desk, &mut inbox).await;
    assert!(!wants, "as many as there may be are under way");

    let finished = Report {
        finished_act: Some(act(0).id),
        ..Report::default()
    };
    let mut draft = Draft::default();
    desk.report(&mut draft, finished).await.unwrap();
    desk.store_draft(draft).await.unwrap();
    let wants = wants_deliveries(&desk, &mut inbox).await;
    assert!(wants, "one was finished");

    let mut later = Desk {
        acts: HashSet::new(),
        ..desk
    };
    later.recover().await;
    assert_eq!(later.acts.len(), ACTS - 1, "the next server counts them");
}
