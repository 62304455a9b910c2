//! What is apart: a story from other stories, and all of them from what the server keeps.

use super::*;

fn has_object(world: &World, folder: &Path, object: &Sha) -> bool {
    let found = world.try_git(folder, &["cat-file", "-e", object.as_str()]);
    found.status.success()
}

#[tokio::test]
async fn a_story_sees_the_base_and_its_own_objects_and_nobody_elses() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let (one, two) = (
        Story::begin(&repository, 1).await,
        Story::begin(&repository, 2).await,
    );
    let own = world.commit(one.path(), &[("b.txt", "b")], "Work");
    write(one.path(), &[("new.txt", "not committed\n")]);
    let collected = one.collect(&repository, 1).await;
    let candidate = candidate(&repository, &one.spec.base, &collected.head).await;
    for hidden in [&own, collected.wip.as_ref().unwrap(), &candidate.commit] {
        assert!(!has_object(&world, two.path(), hidden), "{hidden}");
    }
    assert!(has_object(&world, one.path(), &own));
    assert!(has_object(&world, two.path(), &two.spec.base));
    assert!(
        !world
            .cell(2)
            .join("refs/heads/feature/story-1-door")
            .exists()
    );

    let gates = repository
        .checkout("accept", &candidate.commit)
        .await
        .unwrap();
    assert!(has_object(&world, &gates, &candidate.commit));
    assert_eq!(world.git(&gates, &["fsck", "--no-dangling"]), "");
    assert!(!has_object(&world, &gates, &own));
    let gates = repository.checkout("accept", &two.spec.base).await.unwrap();
    assert!(!has_object(&world, &gates, &candidate.commit));
}

#[tokio::test]
async fn a_story_that_is_built_again_gets_its_own_commits_into_its_new_cell() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    world.commit(story.path(), &[("b.txt", "b")], "One");
    let head = world.commit(story.path(), &[("b.txt", "c")], "Two");
    write(story.path(), &[("a.txt", "changed\n")]);
    story.collect(&repository, 1).await;
    let retired = repository.retire_worktree(&story.collecting(1)).await;
    assert_eq!(retired.unwrap(), Retirement::Removed);
    assert!(!world.cell(1).exists());
    let again = repository.prepare_worktree(&story.spec).await.unwrap();
    assert_eq!((again.head, again.created), (head, true));
    assert_eq!(
        world.git(story.path(), &["log", "--format=%s"]),
        "Two\nOne\nBegin"
    );
    assert_eq!(world.git(story.path(), &["fsck"]), "");
    assert_eq!(
        world.git(story.path(), &["status", "--porcelain"]),
        " M a.txt"
    );
}

/// Moves everything in the data folder away that is neither in `reach` nor `folder`.
fn leave_only(world: &World, reach: &Reach, folder: &Path) {
    let mut kept: Vec<&Path> = reach
        .writable
        .iter()
        .chain(&reach.readable)
        .map(PathBuf::as_path)
        .collect();
    kept.push(folder);
    let mut waiting = vec![world.at("data")];
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if kept.contains(&path.as_path()) {
                continue;
            }
            if kept.iter().any(|kept| kept.starts_with(&path)) {
                waiting.push(path);
            } else if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn all_that_an_agent_needs_is_within_its_reach() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    let _other = Story::begin(&repository, 2).await;
    let hooks = repository.hooks_dir(&story.worktree).unwrap();
    hostile::script(
        &hooks.join("pre-commit"),
        "#!/bin/sh\necho ran >> hooked.log\n",
    );
    repository
        .set_hooks_path(&story.worktree, &hooks)
        .await
        .unwrap();
    world.commit(story.path(), &[("b.txt", "b")], "Work");
    let tip = world.commit(&clone, &[("c.txt", "c")], "Elsewhere");
    repository.sync_base(None).await.unwrap();
    let reach = repository.reach_of_worktree(&story.spec.branch).unwrap();
    leave_only(&world, &reach, story.path());

    assert!(!world.paths().control().exists() && !world.cell(2).exists());
    let git = |arguments: &[&str]| world.git(story.path(), arguments);
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert_eq!(git(&["log", "--format=%s"]), "Work\nBegin");
    world.commit(story.path(), &[("d.txt", "d")], "More");
    assert_eq!(read(story.path().join("hooked.log")), "ran\nran\n");
    write(story.path(), &[("a.txt", "changed\n")]);
    git(&["stash", "-q"]);
    git(&["rebase", "-q", tip.as_str()]);
    git(&["stash", "pop", "-q"]);
    assert_eq!(git(&["log", "--format=%s"]), "More\nWork\nElsewhere\nBegin");
    assert_eq!(git(&["status", "--porcelain"]), " M a.txt");
    git(&["gc", "-q"]);
    assert_eq!(git(&["fsck", "--no-dangling"]), "");
}

#[tokio::test]
async fn all_that_gates_need_is_within_their_reach() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let candidate = story_with(&world, &repository, 1, &[("b.txt", "b")]).await;
    let folder = repository
        .checkout("merge", &candidate.commit)
        .await
        .unwrap();
    leave_only(
        &world,
        &repository.reach_of_checkout("merge").unwrap(),
        &folder,
    );
    assert_eq!(world.git(&folder, &["status", "--porcelain"]), "");
    assert_eq!(
        world.git(&folder, &["log", "--format=%s"]),
        "Mend the door\nBegin"
    );
    assert_eq!(
        world.git(&folder, &["diff", "--name-only", "HEAD~"]),
        "b.txt"
    );
}

#[tokio::test]
async fn what_an_attempt_does_to_its_own_branch_is_its_business() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    repository.prepare_worktree(&story.spec).await.unwrap();
    world.git(story.path(), &["reset", "-q", "--hard", "HEAD~"]);
    let head = world.commit(story.path(), &[("b.txt", "better")], "Otherwise");
    let again = repository.prepare_worktree(&story.spec).await.unwrap();
    assert_eq!((again.head, again.noticed), (head.clone(), Vec::new()));
    let collected = story.collect(&repository, 2).await;
    assert_eq!((collected.head, collected.noticed), (head, Vec::new()));
}

#[tokio::test]
async fn a_branch_that_moves_while_no_attempt_is_at_work_goes_back_and_is_reported() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    let stray = world.commit(story.path(), &[("c.txt", "c")], "By somebody else");
    let again = repository.prepare_worktree(&story.spec).await.unwrap();
    assert_eq!(again.head, head);
    assert_eq!(world.sha(story.path(), "HEAD"), head);
    let said = again.noticed.join("\n");
    assert!(
        said.contains(stray.short()) && said.contains("back at"),
        "{said}"
    );
    let kept = world.sha(
        &world.paths().control(),
        &format!("refs/huskies/stray/1/{stray}"),
    );
    assert_eq!(kept, stray);
    assert_eq!(
        world.git(story.path(), &["status", "--porcelain"]),
        "A  c.txt"
    );

    story.collect(&repository, 2).await;
    world.git(
        &world.cell(1),
        &["update-ref", "-d", &story.spec.branch.full()],
    );
    let again = repository.prepare_worktree(&story.spec).await.unwrap();
    assert_eq!(again.head, head);
    assert!(again.noticed[0].contains("deleted"), "{:?}", again.noticed);
    assert_eq!(
        repository
            .prepare_worktree(&story.spec)
            .await
            .unwrap()
            .noticed,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn other_branches_in_a_cell_change_nothing_and_are_kept_when_it_goes() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    world.git(
        story.path(),
        &["checkout", "-q", "-b", "feature/story-2-door"],
    );
    let other = world.commit(story.path(), &[("b.txt", "b")], "Not mine");
    world.git(story.path(), &["tag", "-m", "A tag", "v1"]);
    world.git(story.path(), &["checkout", "-q", "feature/story-1-door"]);
    write(story.path(), &[("a.txt", "stashed\n")]);
    world.git(story.path(), &["stash", "-q"]);
    let stash = world.sha(&world.cell(1), "refs/stash");
    let collected = story.collect(&repository, 1).await;
    assert_eq!(
        (collected.head, collected.wip),
        (story.spec.base.clone(), None)
    );
    let two = Story::begin(&repository, 2).await;
    assert_eq!(two.worktree.head, two.spec.base);
    for _ in 0..2 {
        let retired = repository.retire_worktree(&story.collecting(1)).await;
        assert_eq!(retired.unwrap(), Retirement::Removed);
    }
    for kept in [other, stash] {
        let name = format!("refs/huskies/stray/1/{kept}");
        assert_eq!(world.sha(&world.paths().control(), &name), kept);
    }
}

#[tokio::test]
async fn a_branch_that_moves_after_the_last_attempt_is_kept_and_is_no_longer_the_storys() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = story.collect(&repository, 1).await.head;
    let stray = world.commit(story.path(), &[("b.txt", "b")], "Late");
    let retired = repository.retire_worktree(&story.collecting(1)).await;
    assert_eq!(retired.unwrap(), Retirement::Removed);
    let control = world.paths().control();
    assert_eq!(world.sha(&control, "refs/huskies/story/1/head"), head);
    let name = format!("refs/huskies/stray/1/{stray}");
    assert_eq!(world.sha(&control, &name), stray);
}

#[tokio::test]
async fn a_hook_that_is_switched_off_is_reported_and_switched_on_again() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let hooks = repository.hooks_dir(&story.worktree).unwrap();
    hostile::script(&hooks.join("pre-commit"), "#!/bin/sh\nexit 1\n");
    repository
        .set_hooks_path(&story.worktree, &hooks)
        .await
        .unwrap();
    assert_eq!(
        story.collect(&repository, 1).await.noticed,
        Vec::<String>::new()
    );
    let settings = world.cell(1).join("worktrees/story-1-door/config.worktree");
    let whole = read(&settings);
    for (text, said) in [
        (whole.replace("hooksPath", "x"), "no longer named"),
        (
            format!("{whole}[core]\n\thooksPath = /dev/null\n"),
            "pointed away",
        ),
        (format!("{whole}[core]\n\tworktree = /\n"), "unusable"),
        ("[core".to_owned(), "could not be read"),
    ] {
        repository.prepare_worktree(&story.spec).await.unwrap();
        fs::write(&settings, &text).unwrap();
        let collected = story.collect(&repository, 1).await;
        assert!(
            collected.noticed[0].contains(said),
            "{:?}",
            collected.noticed
        );
        let again = repository.prepare_worktree(&story.spec).await.unwrap();
        assert!(again.noticed[0].contains(said), "{:?}", again.noticed);
        assert_eq!(read(&settings), whole);
    }
    fs::write(
        &settings,
        format!("{whole}[core]\n\tsparseCheckout = false\n"),
    )
    .unwrap();
    let again = repository.prepare_worktree(&story.spec).await.unwrap();
    assert_eq!(again.noticed, Vec::<String>::new());
    assert!(read(&settings).contains("sparseCheckout"));
}

#[tokio::test]
async fn a_base_that_was_rewritten_keeps_what_stories_were_begun_on() {
    let world = World::new();
    let (_, clone) = world.remote();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    world.commit(story.path(), &[("b.txt", "b")], "Work");
    world.git(
        &clone,
        &["commit", "-q", "--amend", "-m", "Begin otherwise"],
    );
    world.git(&clone, &["push", "-q", "-f", "origin", "main"]);
    let tip = repository.sync_base(None).await.unwrap().sha;
    assert_ne!(tip, story.spec.base);
    let base = world.paths().base();
    let past = format!("refs/huskies/past/{}", story.spec.base);
    assert_eq!(world.sha(&base, &past), story.spec.base);
    for collection in [&["prune", "--expire=now"][..], &["repack", "-adq"]] {
        let refused = world.try_git(&base, collection);
        assert!(!refused.status.success(), "{collection:?}");
    }
    world.git(&base, &["gc", "-q", "--prune=now"]);
    assert_eq!(world.git(story.path(), &["fsck", "--no-dangling"]), "");
    assert!(story.collect(&repository, 1).await.ahead);
}

#[tokio::test]
async fn another_base_branch_is_brought_to_the_cells_too() {
    let world = World::new();
    let (_, clone) = world.remote();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    world.git(&clone, &["branch", "-q", "-m", "main", "trunk"]);
    let tip = world.commit(&clone, &[("t.txt", "t")], "Trunk");
    world.git(&clone, &["push", "-q", "origin", "trunk"]);
    let trunk = branch("trunk");
    assert_eq!(repository.sync_base(Some(&trunk)).await.unwrap().sha, tip);
    assert!(has_object(&world, story.path(), &tip));
    world.commit(story.path(), &[("b.txt", "b")], "Work");
    let head = story.collect(&repository, 1).await.head;
    assert_eq!(candidate(&repository, &tip, &head).await.base, tip);
}

#[tokio::test]
async fn a_data_folder_that_was_moved_goes_on_in_its_new_place() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    drop(repository);
    fs::rename(world.at("data"), world.at("moved")).unwrap();
    let paths = RepoPaths::new(world.at("moved/repo"));
    let settings = GitSettings {
        home: world.at("moved/home"),
        ..world.settings()
    };
    let source = Source {
        clone: Some(clone),
        ..Source::default()
    };
    let identity = Identity {
        name: "huskies".to_owned(),
        email: "h@example.org".to_owned(),
    };
    let git = Git::new(settings).unwrap();
    let repository = Repository::open(paths, source, identity, git)
        .await
        .unwrap();
    let again = repository.prepare_worktree(&story.spec).await.unwrap();
    assert_eq!((again.head, again.created), (head, false));
    assert_eq!(again.path, world.at("moved/repo/worktrees/story-1-door"));
    world.commit(&again.path, &[("c.txt", "c")], "More");
    assert!(story.collect(&repository, 1).await.ahead);
}

#[tokio::test]
async fn a_landed_change_is_base_for_the_next_story() {
    let world = World::new();
    let (_, clone) = world.remote();
    let repository = world.open(&clone).await;
    let candidate = story_with(&world, &repository, 1, &[("b.txt", "b")]).await;
    let landed = repository.land(&branch("main"), &candidate).await.unwrap();
    assert_eq!(landed, Landing::Landed);
    // Before the base is fetched again, and after.
    let folder = repository
        .checkout("merge", &candidate.commit)
        .await
        .unwrap();
    assert_eq!(world.git(&folder, &["fsck"]), "");
    let two = Story::begin(&repository, 2).await;
    assert_eq!(two.spec.base, candidate.commit);
    assert_eq!(world.git(two.path(), &["fsck"]), "");
    let packs = fs::read_dir(world.cell(2).join("objects/pack")).unwrap();
    assert_eq!(packs.count(), 0);
}
