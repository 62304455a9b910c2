//! What [`Workshop`] hands on to git.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::domain::work::Candidate;
use crate::git::{Built, CandidateSpec};

#[tokio::test]
async fn what_a_commit_holds_and_where_it_comes_from_is_read() {
    let world = World::new().await;
    let git = &world.repo().git;
    let base = world.tip().await;
    let pushed = world.push(&[("src/door.rs", "mended\n")]);
    let tip = world.tip().await;
    assert_eq!(tip, pushed);

    let read = |commit| git.read_file(commit, "src/door.rs");
    assert_eq!(read(&tip).await.unwrap(), Some(b"mended\n".to_vec()));
    assert_eq!(read(&base).await.unwrap(), None);
    let changed = git.changed_paths(&base, &tip).await.unwrap();
    assert_eq!(changed, ["src/door.rs"]);
    assert!(git.contains(&tip, &base).await.unwrap());
    assert!(!git.contains(&base, &tip).await.unwrap());
    let parent = git.parent_of(&tip).await.unwrap();
    assert_eq!(parent.as_ref(), Some(&base));
    assert_eq!(git.parent_of(&base).await.unwrap(), None);
    let tree = world.git(&world.at("clone"), &["rev-parse", "HEAD^{tree}"]);
    assert_eq!(git.tree_of(&tip).await.unwrap().as_str(), tree);
}

#[tokio::test]
async fn a_commit_that_no_branch_has_is_brought_in() {
    let world = World::new().await;
    let clone = world.at("clone");
    let head = world.work(&clone, &[("theirs.txt", "a proposal\n")]);
    world.git(&clone, &["push", "-q", "origin", "HEAD:refs/pull/1/head"]);
    let git = &world.repo().git;
    assert!(git.read_file(&head, "theirs.txt").await.is_err());
    git.fetch_head(&head).await.unwrap();
    let found = git.read_file(&head, "theirs.txt").await.unwrap();
    assert_eq!(found, Some(b"a proposal\n".to_vec()));
}

#[tokio::test]
async fn the_files_in_which_a_story_conflicts_are_named() {
    let world = World::new().await;
    let (spec, worktree) = world.worktree_of(1).await;
    world.work(&worktree, &[("a.txt", "the story's\n")]);
    let head = world.collected(&spec).await;
    let git = &world.repo().git;
    let none: [&str; 0] = [];
    assert_eq!(git.conflicts(&spec.base, &head).await.unwrap(), none);
    world.push(&[("a.txt", "somebody else's\n")]);
    let tip = world.tip().await;
    assert_eq!(git.conflicts(&tip, &head).await.unwrap(), ["a.txt"]);
}

#[tokio::test]
async fn a_squash_has_the_candidates_words_and_credits_its_author() {
    let world = World::new().await;
    let (spec, worktree) = world.worktree_of(1).await;
    world.work(&worktree, &[("door.txt", "mended\n")]);
    let wanted = CandidateSpec {
        base: spec.base.clone(),
        head: world.collected(&spec).await,
        message: "Mend the door".to_owned(),
    };
    let git = &world.repo().git;
    let Built::Candidate(Candidate { commit, .. }) = git.build_candidate(&wanted).await.unwrap()
    else {
        panic!("it does not conflict");
    };
    let message = git.squash_message(&commit).await.unwrap();
    let credit = "Co-authored-by: Ada <ada@example.org>";
    assert_eq!(message.trim_end(), format!("Mend the door\n\n{credit}"));
}

#[tokio::test]
async fn a_commit_in_a_worktree_asks_the_hook_and_one_elsewhere_does_not() {
    let world = World::new().await;
    let (spec, worktree) = world.worktree_of(1).await;
    let (_, other) = world.worktree_of(2).await;
    let (binary, asked) = (world.at("data/huskies"), world.at("asked"));
    let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\n", asked.display());
    std::fs::write(&binary, script).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();

    let git = &world.repo().git;
    let prepared = git.prepare_worktree(&spec).await.unwrap();
    git.install_hook(&prepared, &binary).await.unwrap();
    world.work(&other, &[("other.txt", "without a hook\n")]);
    assert!(!asked.exists());
    world.work(&worktree, &[("door.txt", "mended\n")]);
    let asked = std::fs::read_to_string(&asked).unwrap();
    assert_eq!(asked, "hook run pre-commit\n");
}
