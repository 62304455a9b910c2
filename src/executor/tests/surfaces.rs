//! What is shown on the forge.

use super::*;
use crate::domain::effect::{CommitStatus, GatesNews, StatusNews, Surface};
use crate::executor::surfaces::update;
use crate::store::SurfaceWrite;

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
        let write = SurfaceWrite {
            subject: subject.clone(),
            surface,
        };
        let desired = Commit {
            surfaces: vec![write],
            ..Commit::default()
        };
        store.commit(desired).await.unwrap();
        update(&context, &subject, &key, &CancellationToken::new()).await;
        let statuses = forge.statuses_of(&repo(), &commit).await.unwrap();
        assert_eq!(statuses.len(), writes);
        assert!(store.pending_surfaces().await.unwrap().is_empty());
    }
}
