//! What is found out about the base branch.

use super::*;
use crate::domain::event::{Event, RepoEvent, StoryEvent};
use crate::domain::id::Attempt;
use crate::domain::work::MergeCheck;
use crate::executor::base::{read_project, sync_base};
use crate::executor::context::Try;

async fn head_of(world: &World, number: u64, file: (&str, &str)) -> (StoryId, Sha) {
    let (spec, worktree) = world.worktree_of(number).await;
    world.work(&worktree, &[file]);
    let head = world.collected(&spec).await;
    (spec.story, head)
}

#[tokio::test]
async fn each_story_is_told_whether_the_base_has_it_or_conflicts_with_it() {
    let world = World::new().await;
    let clean = head_of(&world, 1, ("b.txt", "mine\n")).await;
    let conflicting = head_of(&world, 2, ("a.txt", "mine\n")).await;
    let landed = (story(3).0, world.push(&[("a.txt", "theirs\n")]));
    let heads = [clean.clone(), conflicting.clone(), landed.clone()];
    let event = sync_base(world.repo(), &heads).await;
    let RepoEvent::BaseSynced {
        tip,
        contained,
        checks,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(tip, landed.1);
    assert_eq!(contained, [landed]);
    let check = |(story, head): (StoryId, Sha), paths: &[&str]| MergeCheck {
        story,
        head,
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    };
    let expected = [check(clean, &[]), check(conflicting, &["a.txt"])];
    assert_eq!(checks, expected);
}

/// What a story is told of the project file that is on the base branch.
async fn read(world: &World, file: &str) -> StoryEvent {
    world.push(&[(project::PROJECT_FILE, file)]);
    match read_project(world.repo(), &story(1).0, Attempt(1)).await {
        Try::Done(Some(Event::Story { event, .. })) => event,
        Try::Done(_) | Try::Again { .. } => panic!("the file was read"),
    }
}

#[tokio::test]
async fn a_project_lands_as_its_forge_can_and_has_the_runtimes_that_are_allowed() {
    let world = World::new().await;
    let event = read(&world, &format!("{PROJECT}# Again\n")).await;
    let StoryEvent::ProjectRead { project, .. } = event else {
        panic!("{event:?}");
    };
    assert_eq!(*project, parsed(PROJECT));
    let refused = [
        (
            PROJECT.replace("\"push\"", "\"pull-request\""),
            "this forge has none",
        ),
        (
            PROJECT.replace("\"command\"\ncommand = \"true\"", "\"claude-code\""),
            "which this server does not allow: use one of command",
        ),
    ];
    for (file, words) in refused {
        let event = read(&world, &file).await;
        let StoryEvent::ProjectUnusable { message, .. } = event else {
            panic!("{event:?}");
        };
        assert!(message.contains(words), "{message}");
    }
}
