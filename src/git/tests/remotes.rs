//! Landing on, and pushing to, a remote.

use super::*;

#[tokio::test]
async fn a_candidate_lands_on_the_remote_and_landing_again_is_the_same() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    let candidate = story_with(&world, &repository, 1, &[("b.txt", "b")]).await;
    let before = world.sha(&clone, "main");
    for _ in 0..2 {
        assert_eq!(
            repository.land(&branch("main"), &candidate).await.unwrap(),
            Landing::Landed
        );
        assert_eq!(world.sha(&remote, "main"), candidate.commit);
    }
    assert_eq!(world.sha(&clone, "main"), before);
    world.git(&clone, &["pull", "-q", "--ff-only", "origin", "main"]);
    world.commit(&clone, &[("c.txt", "c")], "On top");
    world.git(&clone, &["push", "-q", "origin", "main"]);
    assert_eq!(
        repository.land(&branch("main"), &candidate).await.unwrap(),
        Landing::Landed
    );
}

#[tokio::test]
async fn a_base_that_moved_is_never_overwritten() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    let candidate = story_with(&world, &repository, 1, &[("b.txt", "b")]).await;
    let tip = world.commit(&clone, &[("c.txt", "c")], "Faster");
    world.git(&clone, &["push", "-q", "origin", "main"]);
    let landing = repository.land(&branch("main"), &candidate).await.unwrap();
    assert_eq!(landing, Landing::BaseMoved { tip: tip.clone() });
    assert_eq!(world.sha(&remote, "main"), tip);
    assert!(repository.contains(&tip, &candidate.base).await.unwrap());
}

#[tokio::test]
async fn a_remote_that_says_no_is_quoted() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    let candidate = story_with(&world, &repository, 1, &[("b.txt", "b")]).await;
    hostile::script(
        &remote.join("hooks/pre-receive"),
        "#!/bin/sh\necho 'only on Fridays'; exit 1\n",
    );
    match repository.land(&branch("main"), &candidate).await.unwrap() {
        Landing::Rejected { reason } => {
            assert!(
                reason.contains("only on Fridays") && reason.contains("pre-receive"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.sha(&remote, "main"), candidate.base);
}

#[tokio::test]
async fn a_base_that_was_deleted_is_not_made_again() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    let candidate = story_with(&world, &repository, 1, &[("b.txt", "b")]).await;
    world.git(&remote, &["update-ref", "-d", "refs/heads/main"]);
    let landing = repository.land(&branch("main"), &candidate).await.unwrap();
    assert!(matches!(landing, Landing::Rejected { .. }), "{landing:?}");
    assert_eq!(world.git(&remote, &["for-each-ref"]), "");
}

#[tokio::test]
async fn a_remote_that_is_gone_is_an_error_and_not_a_verdict() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    let candidate = story_with(&world, &repository, 1, &[("b.txt", "b")]).await;
    fs::rename(&remote, world.at("elsewhere")).unwrap();
    repository
        .land(&branch("main"), &candidate)
        .await
        .unwrap_err();
    fs::rename(world.at("elsewhere"), &remote).unwrap();
    assert_eq!(
        repository.land(&branch("main"), &candidate).await.unwrap(),
        Landing::Landed
    );
}

#[tokio::test]
async fn a_story_branch_is_pushed_and_rewritten_as_the_agent_rewrites_it() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    for message in ["One", "Two"] {
        world.git(
            story.path(),
            &["reset", "-q", "--hard", story.spec.base.as_str()],
        );
        let head = world.commit(story.path(), &[("b.txt", message)], message);
        story.collect(&repository, 1).await;
        for _ in 0..2 {
            assert_eq!(
                repository
                    .push_branch(&story.spec.branch, &head)
                    .await
                    .unwrap(),
                Pushed::Done
            );
        }
        assert_eq!(world.sha(&remote, &story.spec.branch.full()), head);
    }
}

#[tokio::test]
async fn a_push_whose_record_a_crash_lost_goes_on() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    let first = world.commit(story.path(), &[("b.txt", "b")], "One");
    let second = world.commit(story.path(), &[("b.txt", "c")], "Two");
    story.collect(&repository, 1).await;
    world.git(
        story.path(),
        &[
            "push",
            "-q",
            remote.to_str().unwrap(),
            &format!("{first}:{}", story.spec.branch.full()),
        ],
    );
    for head in [&first, &second] {
        assert_eq!(
            repository
                .push_branch(&story.spec.branch, head)
                .await
                .unwrap(),
            Pushed::Done
        );
        assert_eq!(world.sha(&remote, &story.spec.branch.full()), *head);
    }
}

#[tokio::test]
async fn commits_that_somebody_else_pushed_are_never_overwritten() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    repository
        .push_branch(&story.spec.branch, &head)
        .await
        .unwrap();
    world.git(
        &clone,
        &["fetch", "-q", "origin", story.spec.branch.as_str()],
    );
    world.git(&clone, &["checkout", "-q", "FETCH_HEAD"]);
    let theirs = world.commit(&clone, &[("c.txt", "c")], "Help");
    world.git(
        &clone,
        &[
            "push",
            "-q",
            "origin",
            &format!("HEAD:{}", story.spec.branch),
        ],
    );
    let more = world.commit(story.path(), &[("d.txt", "d")], "More");
    story.collect(&repository, 2).await;
    for _ in 0..2 {
        let pushed = repository
            .push_branch(&story.spec.branch, &more)
            .await
            .unwrap();
        assert_eq!(
            pushed,
            Pushed::Moved {
                tip: Some(theirs.clone())
            }
        );
    }
    let known = [(story.spec.branch.clone(), more.clone())];
    let moved = Stray::Moved {
        tip: theirs.clone(),
    };
    let strays = || repository.strays(&known);
    assert_eq!(strays().await.unwrap(), [(known[0].0.clone(), moved)]);
    // Its agent can bring them in, and then they are overwritten by nothing.
    let worktree = repository.prepare_worktree(&story.spec).await.unwrap();
    world.git(
        &worktree.path,
        &["merge", "-q", "-m", "Bring in", &theirs.to_string()],
    );
    story.collect(&repository, 3).await;
    let merged = world.git(&worktree.path, &["rev-parse", "HEAD"]);
    let merged: Sha = merged.parse().unwrap();
    let pushed = repository.push_branch(&story.spec.branch, &merged).await;
    assert_eq!(pushed.unwrap(), Pushed::Done);
    assert_eq!(
        repository
            .strays(&[(known[0].0.clone(), merged.clone())])
            .await
            .unwrap(),
        []
    );
    world.git(&remote, &["update-ref", "-d", &story.spec.branch.full()]);
    let strays = repository.strays(&known).await.unwrap();
    assert_eq!(strays, [(known[0].0.clone(), Stray::Deleted)]);
}

#[tokio::test]
async fn a_story_branch_that_was_deleted_is_made_anew_by_the_next_push() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    let branch = &story.spec.branch;
    assert_eq!(
        repository.push_branch(branch, &head).await.unwrap(),
        Pushed::Done
    );
    world.git(&remote, &["update-ref", "-d", &branch.full()]);
    assert_eq!(
        repository.push_branch(branch, &head).await.unwrap(),
        Pushed::Done
    );
    assert_eq!(
        world.git(&remote, &["rev-parse", &branch.full()]),
        head.to_string()
    );
}

#[tokio::test]
async fn without_a_remote_there_is_nothing_to_push() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let base = repository.sync_base(None).await.unwrap();
    assert_eq!(
        repository
            .push_branch(&base.branch, &base.sha)
            .await
            .unwrap(),
        Pushed::NoRemote
    );
}

#[tokio::test]
async fn kept_work_goes_to_the_remote_under_its_own_name_again_and_again() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    let name = "refs/huskies/wip/1/1";
    for text in ["one", "another"] {
        fs::write(story.path().join("half.txt"), text).unwrap();
        let wip = story
            .collect(&repository, 1)
            .await
            .wip
            .expect("unfinished work");
        for _ in 0..2 {
            let pushed = repository
                .push_wip(&story.spec.story, Attempt(1), &wip)
                .await;
            assert_eq!(pushed.unwrap(), Pushed::Done);
            assert_eq!(world.sha(&remote, name), wip);
        }
        let kept = world.git(&remote, &["show", &format!("{name}:half.txt")]);
        assert_eq!(kept, text);
    }
    hostile::script(
        &remote.join("hooks/pre-receive"),
        "#!/bin/sh\necho 'no strange refs'; exit 1\n",
    );
    let wip = world.sha(&remote, name);
    let pushed = repository
        .push_wip(&story.spec.story, Attempt(2), &wip)
        .await
        .unwrap();
    assert!(
        matches!(&pushed, Pushed::Rejected { reason } if reason.contains("no strange refs")),
        "{pushed:?}"
    );
}
