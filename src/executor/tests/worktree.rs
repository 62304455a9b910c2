//! The life of a worktree: set up once, torn down once, its story's home gone with it.

use super::*;
use crate::domain::id::Attempt;
use crate::domain::project::Component;
use crate::domain::story::Rules;
use crate::executor::rooms;
use crate::executor::worktree::{Order, Prepared, prepare, retire};

/// A project that writes down each set-up and each teardown, and sets up only when `ready` is there.
fn project(world: &World) -> Project {
    let (ledger, ready) = (world.at("ledger"), world.at("ready"));
    let (ledger, ready) = (ledger.display(), ready.display());
    let component = format!(
        "[[component]]\nname = \"app\"\nsetup = \"echo set up >> '{ledger}'; test -e '{ready}'\"\n\
         teardown = \"echo torn down >> '{ledger}'\"\n"
    );
    parsed(&format!("{PROJECT}{component}"))
}

fn ledger(world: &World) -> String {
    std::fs::read_to_string(world.at("ledger")).unwrap_or_default()
}

async fn prepared(world: &World, spec: &WorktreeSpec, components: &[Component]) -> Prepared {
    let order = Order {
        story: &spec.story,
        branch: &spec.branch,
        base: &spec.base,
        components,
    };
    prepare(&world.context, world.repo(), &order).await
}

async fn spec(world: &World) -> WorktreeSpec {
    let (story, branch) = story(1);
    WorktreeSpec {
        story,
        branch,
        base: world.tip().await,
    }
}

#[tokio::test]
async fn a_set_up_that_failed_is_done_again_and_one_that_is_done_is_not() {
    let world = World::new().await;
    let (project, spec) = (project(&world), spec(&world).await);
    let first = prepared(&world, &spec, &project.components).await;
    assert!(matches!(first, Prepared::Failed { .. }));
    assert_eq!(ledger(&world), "set up\n");

    std::fs::write(world.at("ready"), "").unwrap();
    for _ in 0..2 {
        let ready = prepared(&world, &spec, &project.components).await;
        assert!(matches!(ready, Prepared::Ready { .. }));
        assert_eq!(ledger(&world), "set up\nset up\n");
    }
}

#[tokio::test]
async fn a_set_up_that_fails_quotes_the_last_64_kib_of_what_it_printed() {
    let world = World::new().await;
    let spec = spec(&world).await;
    let noise = "[[component]]\nname = \"app\"\nsetup = \"printf '%070000d' 7; exit 1\"\n";
    let project = parsed(&format!("{PROJECT}{noise}"));
    let Prepared::Failed { message } = prepared(&world, &spec, &project.components).await else {
        panic!("it failed");
    };
    let quoted = message.split_once('\n').unwrap().1;
    assert_eq!(quoted, format!("{}7", "0".repeat(65_535)));
}

#[tokio::test]
async fn a_worktree_that_was_made_anew_is_set_up_anew() {
    let world = World::new().await;
    let (project, spec) = (project(&world), spec(&world).await);
    std::fs::write(world.at("ready"), "").unwrap();
    for lives in 1..=2 {
        let ready = prepared(&world, &spec, &project.components).await;
        assert!(matches!(ready, Prepared::Ready { .. }));
        assert_eq!(ledger(&world), "set up\n".repeat(lives));
        let (folder, _) = world.repo().git.places_of(&spec.branch).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// Has the store know the story of a worktree.
async fn know(world: &World, spec: &WorktreeSpec, project: &Project) {
    let (base, project) = (spec.base.clone(), project.clone());
    world
        .know_story(spec.story.number, |story| {
            story.attempt = Attempt(1);
            story.rules = Some(Rules { base, project });
        })
        .await;
}

#[tokio::test]
async fn a_worktree_goes_after_its_teardown_and_takes_the_storys_home_along() {
    let world = World::new().await;
    let (project, spec) = (project(&world), spec(&world).await);
    std::fs::write(world.at("ready"), "").unwrap();
    prepared(&world, &spec, &project.components).await;
    know(&world, &spec, &project).await;
    let (context, repo) = (&world.context, world.repo());
    let home = rooms::kept_room(context, repo, &spec.story, &spec.branch).unwrap();
    std::fs::create_dir_all(home.join("home")).unwrap();
    std::fs::write(home.join("home/session"), "words").unwrap();

    for _ in 0..2 {
        retire(context, repo, &spec.story, &spec.branch).await;
        assert_eq!(ledger(&world), "set up\ntorn down\n");
        let (folder, _) = repo.git.places_of(&spec.branch).unwrap();
        assert!(!folder.exists() && !home.exists());
    }
}

#[tokio::test]
async fn a_worktree_that_was_not_set_up_is_not_torn_down() {
    let world = World::new().await;
    let (project, spec) = (project(&world), spec(&world).await);
    prepared(&world, &spec, &project.components).await;
    know(&world, &spec, &project).await;
    retire(&world.context, world.repo(), &spec.story, &spec.branch).await;
    assert_eq!(ledger(&world), "set up\n");
}
