//! Stories' worktrees: made, used again, mended, built again.

use super::*;

#[tokio::test]
async fn a_new_worktree_is_on_its_branch_at_the_base_and_clean() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 42).await;
    assert!(story.worktree.created);
    assert_eq!(story.path(), world.at("data/repo/worktrees/story-42-door"));
    assert_eq!(story.worktree.head, story.spec.base);
    assert_eq!(
        world.git(story.path(), &["status", "--porcelain", "-b"]),
        "## feature/story-42-door"
    );
    assert_eq!(world.sha(story.path(), "HEAD"), story.spec.base);
    assert_eq!(read(story.path().join("a.txt")), "one\n");
    assert_eq!(
        world.git(story.path(), &["fsck", "--connectivity-only"]),
        ""
    );
    assert_eq!(world.git(story.path(), &["config", "user.name"]), "huskies");
}

#[tokio::test]
async fn git_itself_accepts_the_worktree_as_one_of_its_own() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let work = world.cell(1);
    let list = world.git(&work, &["worktree", "list", "--porcelain"]);
    assert!(
        list.contains(&format!("worktree {}", story.path().display())),
        "{list}"
    );
    world.git(&work, &["worktree", "prune"]);
    world.git(story.path(), &["worktree", "repair"]);
    world.commit(story.path(), &[("b.txt", "b")], "Work");
}

#[tokio::test]
async fn a_worktree_is_used_again_as_it_is() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    write(
        story.path(),
        &[
            ("a.txt", "changed\n"),
            ("new.txt", "new\n"),
            ("debug.log", "ignored\n"),
        ],
    );
    let again = repository.prepare_worktree(&story.spec).await.unwrap();
    assert_eq!(
        again,
        Worktree {
            created: false,
            head,
            ..story.worktree.clone()
        }
    );
    assert_eq!(
        world.git(story.path(), &["status", "--porcelain"]),
        " M a.txt\n?? new.txt"
    );
    assert_eq!(read(story.path().join("debug.log")), "ignored\n");
}

#[tokio::test]
async fn what_ties_a_worktree_to_its_repository_is_mended_one_by_one() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    world.commit(story.path(), &[("b.txt", "b")], "Work");
    write(story.path(), &[("a.txt", "changed\n")]);
    let admin = world.cell(1).join("worktrees/story-1-door");
    let broken =
        ["HEAD", "commondir", "gitdir", "index", "config.worktree"].map(|name| admin.join(name));
    for path in broken
        .into_iter()
        .chain([story.path().join(".git"), admin.clone()])
    {
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        assert!(
            !repository
                .prepare_worktree(&story.spec)
                .await
                .unwrap()
                .created
        );
        let status = world.git(story.path(), &["status", "--porcelain", "-b"]);
        assert_eq!(
            status,
            "## feature/story-1-door\n M a.txt",
            "{}",
            path.display()
        );
    }
}

#[tokio::test]
async fn locks_and_links_that_were_left_behind_go() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let admin = world.cell(1).join("worktrees/story-1-door");
    fs::write(admin.join("index.lock"), "").unwrap();
    let precious = world.at("precious");
    fs::write(&precious, "precious").unwrap();
    for name in ["HEAD", "config.worktree"] {
        fs::remove_file(admin.join(name)).unwrap();
        std::os::unix::fs::symlink(&precious, admin.join(name)).unwrap();
    }
    repository.prepare_worktree(&story.spec).await.unwrap();
    world.commit(story.path(), &[("b.txt", "b")], "Work");
    assert_eq!(read(precious), "precious");
}

#[tokio::test]
async fn settings_that_git_cannot_read_any_more_are_written_anew() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    fs::write(world.cell(1).join("config"), "[core\n\tbroken").unwrap();
    repository.prepare_worktree(&story.spec).await.unwrap();
    world.commit(story.path(), &[("b.txt", "b")], "Work");
}

#[tokio::test]
async fn a_worktree_that_is_gone_comes_back_with_its_uncommitted_work() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    write(
        story.path(),
        &[("a.txt", "changed\n"), ("new/file.txt", "new\n")],
    );
    fs::remove_file(story.path().join("src/lib.rs")).unwrap();
    let before = world.git(story.path(), &["status", "--porcelain", "-uall"]);
    story.collect(&repository, 1).await;
    fs::remove_dir_all(story.path()).unwrap();
    let again = repository.prepare_worktree(&story.spec).await.unwrap();
    assert_eq!((again.created, again.head), (true, head));
    assert_eq!(
        world.git(story.path(), &["status", "--porcelain", "-uall"]),
        before
    );
    assert_eq!(read(story.path().join("a.txt")), "changed\n");
}

#[tokio::test]
async fn work_of_an_older_tip_is_not_mixed_into_a_newer_one() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    write(story.path(), &[("a.txt", "changed\n")]);
    story.collect(&repository, 1).await;
    world.git(story.path(), &["stash", "-q"]);
    world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 2).await;
    fs::remove_dir_all(story.path()).unwrap();
    repository.prepare_worktree(&story.spec).await.unwrap();
    assert_eq!(world.git(story.path(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn commits_that_nobody_collected_survive_the_folder() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    fs::remove_dir_all(story.path()).unwrap();
    assert_eq!(
        repository.prepare_worktree(&story.spec).await.unwrap().head,
        head
    );
}

#[tokio::test]
async fn a_story_branch_that_was_put_somewhere_else_is_put_back_with_the_folder() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    fs::remove_dir_all(story.path()).unwrap();
    let base = story.spec.base.as_str();
    world.git(
        &world.cell(1),
        &["update-ref", &story.spec.branch.full(), base],
    );
    assert_eq!(
        repository.prepare_worktree(&story.spec).await.unwrap().head,
        head
    );
    assert_eq!(world.sha(story.path(), "HEAD"), head);
}

#[tokio::test]
async fn a_link_in_place_of_the_folder_is_replaced() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let elsewhere = world.at("elsewhere");
    fs::rename(story.path(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, story.path()).unwrap();
    assert!(
        repository
            .prepare_worktree(&story.spec)
            .await
            .unwrap()
            .created
    );
    assert!(!fs::symlink_metadata(story.path()).unwrap().is_symlink());
    assert!(elsewhere.join("a.txt").exists());
}

#[tokio::test]
async fn an_empty_folder_of_a_crash_is_filled() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    fs::create_dir_all(world.at("data/repo/worktrees/story-1-door")).unwrap();
    let story = Story::begin(&repository, 1).await;
    assert!(story.worktree.created);
    assert_eq!(world.git(story.path(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn hooks_fire_in_their_own_worktree_only() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let (one, two) = (
        Story::begin(&repository, 1).await,
        Story::begin(&repository, 2).await,
    );
    let hooks = repository.hooks_dir(&one.worktree).unwrap();
    assert_eq!(hooks, world.at("data/repo/hooks/story-1-door"));
    hostile::script(
        &hooks.join("pre-commit"),
        "#!/bin/sh\necho no >&2; exit 1\n",
    );
    for _ in 0..2 {
        repository
            .set_hooks_path(&one.worktree, &hooks)
            .await
            .unwrap();
        repository.prepare_worktree(&one.spec).await.unwrap();
    }
    let refused = world.try_git(one.path(), &["commit", "--allow-empty", "-m", "x"]);
    assert!(!refused.status.success());
    world.commit(two.path(), &[("b.txt", "b")], "Work");
}

#[tokio::test]
async fn branches_whose_name_is_no_folder_are_refused() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let base = repository.sync_base(None).await.unwrap().sha;
    for name in ["feature/it's", "feature/checkout.accept", "feature/été"] {
        let spec = WorktreeSpec {
            story: story(1).0,
            branch: branch(name),
            base: base.clone(),
        };
        let refused = repository.prepare_worktree(&spec).await;
        assert!(
            matches!(refused, Err(GitError::Misconfigured { .. })),
            "{name}"
        );
    }
}

#[tokio::test]
async fn many_stories_at_once_do_not_get_in_each_others_way() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let stories =
        futures::future::join_all((1..=6).map(|number| Story::begin(&repository, number))).await;
    for story in &stories {
        world.commit(
            story.path(),
            &[("b.txt", story.spec.branch.as_str())],
            "Work",
        );
    }
    let collected =
        futures::future::join_all(stories.iter().map(|story| story.collect(&repository, 1))).await;
    for (story, collected) in stories.iter().zip(collected) {
        assert_eq!(collected.head, world.sha(story.path(), "HEAD"));
        let kept = repository
            .read_file(&collected.head, "b.txt")
            .await
            .unwrap();
        assert_eq!(kept.unwrap(), story.spec.branch.as_str().as_bytes());
    }
}

/// A lock file in the way that git and libgit2 leave one when they are killed.
fn leave_lock(repository: &Path, name: &str) {
    let lock = repository.join(format!("{name}.lock"));
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    fs::write(lock, "").unwrap();
}

#[tokio::test]
async fn the_lock_that_a_killed_server_left_on_a_story_branch_is_taken_away() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    leave_lock(&world.cell(7), "refs/heads/feature/story-7-door");
    let story = Story::begin(&repository, 7).await;
    assert_eq!(world.sha(story.path(), "HEAD"), story.spec.base);
}

#[tokio::test]
async fn locks_that_a_killed_server_left_in_its_own_repository_are_gone_at_the_next_start() {
    let world = World::new();
    let clone = world.clone();
    let control = world.paths().control();
    drop(world.open(&clone).await);
    for name in [
        "HEAD",
        "packed-refs",
        "refs/huskies/story/7/head",
        "refs/heads/main",
    ] {
        leave_lock(&control, name);
    }
    let tip = world.commit(&clone, &[("b.txt", "b")], "Go on");
    let repository = world.open(&clone).await;
    assert_eq!(repository.sync_base(None).await.unwrap().sha, tip);
    let story = Story::begin(&repository, 7).await;
    world.commit(story.path(), &[("c.txt", "c")], "Work");
    assert!(story.collect(&repository, 1).await.ahead);
    let left = walk_locks(&control);
    assert!(left.is_empty(), "{left:?}");
}

fn walk_locks(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let mut locks: Vec<PathBuf> = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "lock"))
        .collect();
    locks.extend(folders.iter().flat_map(|folder| walk_locks(folder)));
    locks
}
