//! Taking out what agents did, in whatever state they left it.

use super::*;

fn in_control(world: &World, arguments: &[&str]) -> String {
    world.git(&world.paths().control(), arguments)
}

fn wip(world: &World, attempt: u32, path: &str) -> String {
    in_control(
        world,
        &["show", &format!("refs/huskies/wip/1/{attempt}:{path}")],
    )
}

#[tokio::test]
async fn an_untouched_worktree_has_nothing_to_merge_and_is_kept_all_the_same() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let base = story.spec.base.clone();
    let tree = world.sha(story.path(), "HEAD^{tree}");
    let collected = story.collect(&repository, 1).await;
    assert_eq!(
        collected,
        Collected {
            head: base.clone(),
            tree,
            ahead: false,
            advanced: false,
            wip: None,
            markers: Vec::new(),
            noticed: Vec::new(),
        }
    );
    assert_eq!(
        in_control(&world, &["rev-parse", "refs/huskies/wip/1/1"]),
        base.as_str()
    );
}

#[tokio::test]
async fn commits_uncommitted_and_untracked_files_are_kept_and_ignored_ones_are_not() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    write(
        story.path(),
        &[
            ("a.txt", "changed\n"),
            ("new/x.txt", "new\n"),
            ("debug.log", "no"),
        ],
    );
    fs::remove_file(story.path().join("src/lib.rs")).unwrap();
    let collected = story.collect(&repository, 3).await;
    assert!(collected.ahead && collected.advanced);
    assert_eq!(collected.head, head);
    let kept = collected.wip.unwrap();
    assert_eq!(
        in_control(&world, &["rev-parse", "refs/huskies/wip/1/3"]),
        kept.as_str()
    );
    assert_eq!(
        in_control(&world, &["rev-parse", "refs/huskies/story/1/head"]),
        head.as_str()
    );
    let changes = in_control(
        &world,
        &["diff", "--name-status", head.as_str(), kept.as_str()],
    );
    assert_eq!(changes, "M\ta.txt\nA\tnew/x.txt\nD\tsrc/lib.rs");
    assert_eq!(
        world.git(story.path(), &["status", "--porcelain"]),
        " M a.txt\n D src/lib.rs\n?? new/"
    );
}

#[tokio::test]
async fn collecting_twice_gives_the_same_and_later_work_does_not_bury_earlier_work() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    write(story.path(), &[("new.txt", "first\n")]);
    let first = story.collect(&repository, 1).await;
    assert_eq!(story.collect(&repository, 1).await, first);
    write(story.path(), &[("new.txt", "second\n")]);
    let second = story.collect(&repository, 1).await;
    assert_eq!(story.collect(&repository, 1).await, second);
    assert_eq!(wip(&world, 1, "new.txt"), "second");
    let earlier = format!("{}^2:new.txt", second.wip.unwrap());
    assert_eq!(in_control(&world, &["show", &earlier]), "first");
    fs::remove_file(story.path().join("new.txt")).unwrap();
    assert_eq!(story.collect(&repository, 1).await.wip, None);
    assert_eq!(
        in_control(&world, &["show", "refs/huskies/wip/1/1^2^2:new.txt"]),
        "first"
    );
}

#[tokio::test]
async fn a_tip_counts_as_advanced_against_the_attempts_start() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    let spec = CollectSpec {
        since: Some(head),
        ..story.collecting(2)
    };
    let collected = repository.collect(&spec).await.unwrap();
    assert!(collected.ahead && !collected.advanced);
}

#[tokio::test]
async fn a_change_that_was_taken_back_or_has_landed_is_nothing_to_merge() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    let landed = repository
        .collect(&CollectSpec {
            base: head,
            ..story.collecting(1)
        })
        .await
        .unwrap();
    assert!(!landed.ahead);
    world.git(story.path(), &["revert", "--no-edit", "HEAD"]);
    assert!(!story.collect(&repository, 1).await.ahead);
}

#[tokio::test]
async fn commits_on_another_branch_or_on_none_are_kept() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    for (attempt, switch) in [
        (1, vec!["checkout", "-q", "-b", "mine"]),
        (2, vec!["checkout", "-q", "--detach"]),
    ] {
        world.git(story.path(), &switch);
        let elsewhere = world.commit(story.path(), &[("b.txt", &attempt.to_string())], "Work");
        let collected = story.collect(&repository, attempt).await;
        assert_eq!(collected.head, story.spec.base);
        assert!(!collected.ahead);
        let second_parent = format!("{}^2", collected.wip.unwrap());
        assert_eq!(
            in_control(&world, &["rev-parse", &second_parent]),
            elsewhere.as_str()
        );
    }
}

#[tokio::test]
async fn an_unfinished_merge_and_a_left_lock_do_not_hinder() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    world.git(story.path(), &["checkout", "-q", "-b", "other"]);
    world.commit(story.path(), &[("a.txt", "theirs\n")], "Theirs");
    world.git(story.path(), &["checkout", "-q", "feature/story-1-door"]);
    world.commit(story.path(), &[("a.txt", "ours\n")], "Ours");
    assert!(
        !world
            .try_git(story.path(), &["merge", "other"])
            .status
            .success()
    );
    fs::write(world.cell(1).join("worktrees/story-1-door/index.lock"), "").unwrap();
    story.collect(&repository, 1).await;
    assert!(wip(&world, 1, "a.txt").contains("<<<<<<<"));
}

#[tokio::test]
async fn a_worktree_without_its_git_file_or_its_registration_is_still_kept() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    write(story.path(), &[("new.txt", "new\n")]);
    fs::remove_file(story.path().join(".git")).unwrap();
    world.git(&world.cell(1), &["worktree", "prune", "--expire=now"]);
    let collected = story.collect(&repository, 1).await;
    assert_eq!(collected.head, head);
    assert_eq!(wip(&world, 1, "new.txt"), "new");
}

#[tokio::test]
async fn a_deleted_branch_or_folder_costs_nothing_that_was_known() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    world.git(story.path(), &["checkout", "-q", "--detach"]);
    world.git(
        story.path(),
        &["branch", "-q", "-D", "feature/story-1-door"],
    );
    assert_eq!(story.collect(&repository, 2).await.head, head);
    fs::remove_dir_all(story.path()).unwrap();
    let collected = story.collect(&repository, 3).await;
    assert_eq!((collected.head, collected.wip), (head, None));
}

#[tokio::test]
async fn a_rewritten_branch_does_not_lose_what_was_collected_before() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let first = world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    world.git(
        story.path(),
        &["reset", "-q", "--hard", story.spec.base.as_str()],
    );
    story.collect(&repository, 1).await;
    let reachable = in_control(&world, &["rev-list", "refs/huskies/wip/1/1"]);
    assert!(reachable.contains(first.as_str()), "{reachable}");
}

#[tokio::test]
async fn odd_files_links_and_changed_kinds_are_kept_as_they_are() {
    let world = World::new();
    let clone = world.clone();
    world.commit(
        &clone,
        &[("folder/inside", "x"), ("pipe", "x"), ("b.txt", "x")],
        "More",
    );
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    let at = |name: &str| story.path().join(name);
    write(
        story.path(),
        &[
            ("line\nbreak;$(x)", "odd"),
            ("-rf", "dash"),
            ("--exec=x", "dash"),
        ],
    );
    fs::remove_dir_all(at("folder")).unwrap();
    std::os::unix::fs::symlink("/etc", at("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("escape")).unwrap();
    fs::remove_file(at("pipe")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    fs::remove_file(at("b.txt")).unwrap();
    write(story.path(), &[("b.txt/now-a-folder", "x")]);
    story.collect(&repository, 1).await;
    let tree = in_control(
        &world,
        &["ls-tree", "-r", "-z", "--name-only", "refs/huskies/wip/1/1"],
    );
    let names: Vec<&str> = tree.split_terminator('\0').collect();
    let wanted = [
        "--exec=x",
        "-rf",
        ".gitignore",
        "a.txt",
        "b.txt/now-a-folder",
        "escape",
        "folder",
        "line\nbreak;$(x)",
        "src/lib.rs",
    ];
    assert_eq!(names, wanted);
    assert_eq!(wip(&world, 1, "escape"), "/etc/passwd");
}

#[tokio::test]
async fn files_of_a_nested_repository_are_kept_and_its_folder_is_not_removed() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    world.git(story.path(), &["init", "-q", "nested"]);
    world.commit(
        &story.path().join("nested"),
        &[("deep/file.txt", "nested")],
        "Inner",
    );
    world.git(story.path(), &["init", "-q", "nested/more"]);
    write(story.path(), &[("nested/more/x", "more")]);
    story.collect(&repository, 1).await;
    assert_eq!(wip(&world, 1, "nested/deep/file.txt"), "nested");
    assert_eq!(wip(&world, 1, "nested/more/x"), "more");
    match repository
        .retire_worktree(&story.collecting(1))
        .await
        .unwrap()
    {
        Retirement::Kept { reason } => assert!(reason.contains("nested/more/"), "{reason}"),
        Retirement::Removed => panic!("the history of the nested repository is gone"),
    }
    assert!(story.path().join("nested/.git").exists());
}

#[tokio::test]
async fn an_attribute_that_git_cannot_honour_does_not_cost_the_work() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    write(
        story.path(),
        &[
            (".gitattributes", "*.txt working-tree-encoding=nonsense\n"),
            ("new.txt", "new\n"),
        ],
    );
    story.collect(&repository, 1).await;
    assert_eq!(wip(&world, 1, "new.txt"), "new");
}

#[tokio::test]
async fn a_branch_with_damaged_objects_is_an_error_after_the_files_were_kept() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    write(story.path(), &[("new.txt", "new\n")]);
    let file = world.cell(1).join("refs/heads/feature/story-1-door");
    fs::write(file, format!("{}\n", "f".repeat(40))).unwrap();
    repository.collect(&story.collecting(1)).await.unwrap_err();
    assert_eq!(wip(&world, 1, "new.txt"), "new");
}

#[tokio::test]
async fn retiring_takes_a_last_snapshot_removes_the_folder_and_can_be_repeated() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    write(story.path(), &[("new.txt", "new\n")]);
    for _ in 0..2 {
        assert_eq!(
            repository
                .retire_worktree(&story.collecting(1))
                .await
                .unwrap(),
            Retirement::Removed
        );
        assert!(!story.path().exists());
        assert!(!world.cell(1).join("worktrees/story-1-door").exists());
        assert_eq!(wip(&world, 1, "new.txt"), "new");
    }
    let again = repository.prepare_worktree(&story.spec).await.unwrap();
    assert!(again.created);
    assert_eq!(read(story.path().join("new.txt")), "new\n");
}

#[tokio::test]
async fn a_file_whose_name_git_refuses_keeps_the_folder() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    write(
        story.path(),
        &[("git~1", "a name that means .git elsewhere")],
    );
    story.collect(&repository, 1).await;
    match repository
        .retire_worktree(&story.collecting(1))
        .await
        .unwrap()
    {
        Retirement::Kept { reason } => assert!(reason.contains("git~1"), "{reason}"),
        Retirement::Removed => panic!("the file is gone"),
    }
    assert!(story.path().join("git~1").exists());
}

#[tokio::test]
async fn folders_too_deep_for_git_are_not_taken_for_nothing() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    write(story.path(), &[("new.txt", "new\n")]);
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
    let mut place = rustix::fs::openat(rustix::fs::CWD, story.path(), flags, 0.into()).unwrap();
    for _ in 0..1_500 {
        rustix::fs::mkdirat(&place, "deep", 0o755.into()).unwrap();
        place = rustix::fs::openat(&place, "deep", flags, 0.into()).unwrap();
    }
    story.collect(&repository, 1).await;
    assert_eq!(wip(&world, 1, "new.txt"), "new");
    match repository
        .retire_worktree(&story.collecting(1))
        .await
        .unwrap()
    {
        Retirement::Kept { reason } => assert!(reason.contains("too deep"), "{reason}"),
        Retirement::Removed => panic!("what is down there is gone"),
    }
    assert!(story.path().join("deep/deep").exists());
    files::remove_tree(story.path()).unwrap();
}
