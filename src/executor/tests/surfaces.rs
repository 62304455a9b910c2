//! What is shown on the forge.

use super::forge::served;
use super::*;
use crate::domain::effect::{CommitStatus, GatesNews, StatusNews, Surface};
use crate::domain::pull::{Pull, PullState};
use crate::executor::pulls;
use crate::executor::surfaces::update;
use crate::store::SurfaceWrite;

/// A surface is to be like this from now on.
async fn desired(store: &SqliteStore, subject: &SubjectId, surface: Surface) {
    let write = SurfaceWrite {
        subject: subject.clone(),
        surface,
    };
    let desired = Commit {
        surfaces: vec![write],
        ..Commit::default()
    };
    store.commit(desired).await.unwrap();
}

#[tokio::test]
async fn what_is_on_the_forge_already_is_not_written_again() {
    let world = World::new().await;
    let (commit, subject) = (world.tip().await, SubjectId::Repo(repo()));
    let (forge, store) = (world.forge.clone(), Arc::clone(&world.store));
    let context = Arc::new(world.context);
    let wanted = [
        (GatesNews::Queued, 1),
        (GatesNews::Queued, 1),
        (GatesNews::Running, 2),
        (GatesNews::Running, 2),
        (GatesNews::Queued, 3),
    ];
    for (news, writes) in wanted {
        let surface = Surface::Status(CommitStatus {
            commit: commit.clone(),
            news: StatusNews::Gates(news),
        });
        let key = surface.key();
        desired(&store, &subject, surface).await;
        update(&context, &subject, &key, &CancellationToken::new()).await;
        let statuses = forge.statuses_of(&repo(), &commit).await.unwrap();
        assert_eq!(statuses.len(), writes);
        assert!(store.pending_surfaces().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_pull_request_that_is_ready_is_no_draft_and_says_so_where_there_are_none() {
    for (plain, ready) in [(false, false), (false, true), (true, false), (true, true)] {
        let (world, forge) = served().await;
        let pull = Pull {
            number: 100,
            plain,
            ready,
        };
        let known = world.know_story(1, |story| story.pull = PullState::Open(pull));
        known.await;
        let subject = SubjectId::Story(story(1).0);
        desired(&world.store, &subject, Surface::PullRequest).await;
        let context = Arc::new(world.context);
        update(&context, &subject, "pull", &CancellationToken::new()).await;
        let of = Story::new(story(1).0);
        let mut expected = vec![pulls::text(&context, &of, plain && !ready).title];
        expected.extend((ready && !plain).then(|| "ready".to_owned()));
        assert_eq!(forge.take_changed(), expected);
    }
}
