//! Landing into a person's clone that has no remote.

use super::*;

struct Landed {
    world: World,
    clone: PathBuf,
    repository: Repository,
    candidate: Candidate,
}

/// A candidate that changes, adds and removes, on `main`, which the clone has checked out.
async fn ready() -> Landed {
    let world = World::new();
    let clone = world.clone();
    world.commit(&clone, &[("old.txt", "old\n"), ("folder/x", "x\n")], "More");
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    // Ignored by the project's own `.gitignore`, and tracked all the same.
    write(story.path(), &[("new/c.log", "c\n")]);
    world.git(story.path(), &["add", "-f", "new/c.log"]);
    fs::remove_file(story.path().join("old.txt")).unwrap();
    fs::remove_dir_all(story.path().join("folder")).unwrap();
    world.commit(
        story.path(),
        &[
            ("a.txt", "mended\n"),
            ("new/b.txt", "b\n"),
            ("folder", "now a file\n"),
        ],
        "Work",
    );
    let head = story.collect(&repository, 1).await.head;
    let candidate = candidate(&repository, &story.spec.base, &head).await;
    Landed {
        world,
        clone,
        repository,
        candidate,
    }
}

impl Landed {
    async fn land(&self) -> Landing {
        self.repository
            .land(&branch("main"), &self.candidate)
            .await
            .unwrap()
    }

    async fn waits(&self) -> String {
        match self.land().await {
            Landing::Waiting { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.world.git(&self.clone, arguments)
    }

    fn assert_whole(&self) {
        assert_eq!(self.world.sha(&self.clone, "main"), self.candidate.commit);
        assert_eq!(self.git(&["status", "--porcelain"]), "");
        assert_eq!(self.git(&["fsck", "--no-dangling"]), "");
        self.assert_nothing_left_behind();
    }

    fn assert_nothing_left_behind(&self) {
        for entry in fs::read_dir(self.clone.join(".git")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(
                !name.starts_with("index.") && !name.contains("huskies"),
                "{name}"
            );
        }
    }

    fn assert_untouched(&self) {
        assert_eq!(self.world.sha(&self.clone, "main"), self.candidate.base);
        assert_eq!(read(self.clone.join("old.txt")), "old\n");
        self.assert_nothing_left_behind();
    }
}

#[tokio::test]
async fn a_branch_that_nobody_has_checked_out_is_moved_alone() {
    let ready = ready().await;
    ready.git(&["checkout", "-q", "-b", "mine"]);
    write(&ready.clone, &[("a.txt", "dirty\n")]);
    for _ in 0..2 {
        assert_eq!(ready.land().await, Landing::Landed);
    }
    assert_eq!(
        ready.world.sha(&ready.clone, "main"),
        ready.candidate.commit
    );
    assert_eq!(read(ready.clone.join("a.txt")), "dirty\n");
    ready.git(&["fsck"]);
}

#[tokio::test]
async fn a_clean_work_tree_goes_along_and_the_next_commit_keeps_the_change() {
    let ready = ready().await;
    write(
        &ready.clone,
        &[("debug.log", "ignored"), ("mine.txt", "untracked\n")],
    );
    assert_eq!(ready.land().await, Landing::Landed);
    assert_eq!(ready.git(&["status", "--porcelain"]), "?? mine.txt");
    assert_eq!(read(ready.clone.join("a.txt")), "mended\n");
    write(&ready.clone, &[("src/lib.rs", "// changed\n")]);
    ready.git(&["commit", "-q", "-a", "-m", "The owner goes on"]);
    let changed = ready.git(&[
        "diff",
        "--name-only",
        ready.candidate.commit.as_str(),
        "HEAD",
    ]);
    assert_eq!(changed, "src/lib.rs");
    assert_eq!(
        ready.git(&["reflog", "-1", "--format=%gs", "main@{1}"]),
        format!("huskies: land {}", ready.candidate.commit.short())
    );
}

#[tokio::test]
async fn changes_of_the_owner_wait_and_are_named() {
    for (file, staged) in [
        ("a.txt", false),
        ("a.txt", true),
        ("src/lib.rs", false),
        ("src/lib.rs", true),
    ] {
        let ready = ready().await;
        write(&ready.clone, &[(file, "my own\n")]);
        if staged {
            ready.git(&["add", "-A"]);
        }
        let before = ready.git(&["status", "--porcelain"]);
        let reason = ready.waits().await;
        assert!(
            reason.contains(file) && reason.contains("stash"),
            "{reason}"
        );
        ready.assert_untouched();
        assert_eq!(ready.git(&["status", "--porcelain"]), before);
        ready.git(&["stash", "-q"]);
        assert_eq!(ready.land().await, Landing::Landed);
        ready.assert_whole();
    }
}

#[tokio::test]
async fn a_staged_version_that_the_work_tree_hides_waits() {
    let ready = ready().await;
    write(&ready.clone, &[("a.txt", "staged only\n")]);
    ready.git(&["add", "a.txt"]);
    write(&ready.clone, &[("a.txt", "mended\n")]);
    assert!(ready.waits().await.contains("a.txt"));
    assert_eq!(ready.git(&["show", ":a.txt"]), "staged only");
}

#[tokio::test]
async fn untracked_and_ignored_files_are_not_overwritten() {
    for (collision, named) in [
        ("new/b.txt", "new/b.txt"),
        ("new", "new"),
        ("new/c.log", "new/c.log"),
        ("folder/mine", "folder"),
    ] {
        let ready = ready().await;
        write(&ready.clone, &[(collision, "mine\n")]);
        fs::write(ready.clone.join(".git/info/exclude"), "new\nmine\n").unwrap();
        let reason = ready.waits().await;
        assert!(reason.contains(named), "{reason}");
        assert_eq!(read(ready.clone.join(collision)), "mine\n");
        ready.assert_untouched();
    }
}

#[tokio::test]
async fn a_linked_worktree_that_has_the_base_goes_along() {
    let ready = ready().await;
    ready.git(&["checkout", "-q", "-b", "mine"]);
    ready.git(&["worktree", "add", "-q", "../linked", "main"]);
    let linked = ready.world.at("linked");
    write(&linked, &[("a.txt", "dirty\n")]);
    assert!(ready.waits().await.contains("linked"));
    ready.world.git(&linked, &["checkout", "-q", "a.txt"]);
    assert_eq!(ready.land().await, Landing::Landed);
    assert_eq!(ready.world.git(&linked, &["status", "--porcelain"]), "");
    assert_eq!(read(linked.join("new/b.txt")), "b\n");
    assert_eq!(read(ready.clone.join("old.txt")), "old\n");
}

#[tokio::test]
async fn a_linked_worktree_that_is_gone_or_rebasing_waits() {
    let ready = ready().await;
    ready.git(&["checkout", "-q", "-b", "mine"]);
    ready.git(&["worktree", "add", "-q", "../linked", "main"]);
    let linked = ready.world.at("linked");
    let todo = [
        "-c",
        "sequence.editor=sed -i 1s/pick/edit/",
        "rebase",
        "-q",
        "-i",
        "HEAD~1",
    ];
    ready.world.git(&linked, &todo);
    assert!(ready.waits().await.contains("unfinished"));
    ready.world.git(&linked, &["rebase", "--abort"]);
    fs::rename(&linked, ready.world.at("away")).unwrap();
    assert!(ready.waits().await.contains("worktree prune"));
    ready.git(&["worktree", "prune"]);
    assert_eq!(ready.land().await, Landing::Landed);
}

#[tokio::test]
async fn somebody_elses_index_lock_waits_and_ours_of_a_crash_does_not() {
    let ready = ready().await;
    let lock = ready.clone.join(".git/index.lock");
    fs::write(&lock, "DIRC").unwrap();
    assert!(ready.waits().await.contains("index.lock"));
    assert!(lock.exists());
    let ours = "huskies is landing a change in this work tree. If no huskies server runs, delete this file.\n";
    fs::write(&lock, ours).unwrap();
    fs::write(ready.clone.join(".git/index.huskies-abc"), "half an index").unwrap();
    assert_eq!(ready.land().await, Landing::Landed);
    ready.assert_whole();
}

#[tokio::test]
async fn a_landing_that_a_crash_broke_off_is_completed_from_every_point() {
    for files_done in 0..=4 {
        let ready = ready().await;
        let steps: [&dyn Fn(); 4] = [
            &|| write(&ready.clone, &[("a.txt", "mended\n")]),
            &|| fs::remove_file(ready.clone.join("old.txt")).unwrap(),
            &|| {
                fs::remove_dir_all(ready.clone.join("folder")).unwrap();
                write(&ready.clone, &[("folder", "now a file\n")]);
            },
            &|| write(&ready.clone, &[("new/b.txt", "b\n"), ("new/c.log", "c\n")]),
        ];
        steps.iter().take(files_done).for_each(|step| step());
        assert_eq!(ready.land().await, Landing::Landed, "{files_done}");
        ready.assert_whole();
    }
}

#[tokio::test]
async fn a_landing_whose_index_was_written_but_not_its_ref_is_completed() {
    let ready = ready().await;
    assert_eq!(ready.land().await, Landing::Landed);
    ready.git(&[
        "update-ref",
        "refs/heads/main",
        ready.candidate.base.as_str(),
    ]);
    assert_ne!(ready.git(&["status", "--porcelain"]), "");
    assert_eq!(ready.land().await, Landing::Landed);
    ready.assert_whole();
}

#[tokio::test]
async fn a_base_that_moved_is_left_alone() {
    let ready = ready().await;
    let tip = ready
        .world
        .commit(&ready.clone, &[("c.txt", "c")], "Faster");
    assert_eq!(ready.land().await, Landing::BaseMoved { tip: tip.clone() });
    assert_eq!(ready.world.sha(&ready.clone, "main"), tip);
    assert_eq!(ready.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn a_landed_change_with_commits_on_top_has_landed() {
    let ready = ready().await;
    assert_eq!(ready.land().await, Landing::Landed);
    ready
        .world
        .commit(&ready.clone, &[("c.txt", "c")], "On top");
    assert_eq!(ready.land().await, Landing::Landed);
}

#[tokio::test]
async fn files_that_the_owners_own_filter_made_are_not_taken_for_changes() {
    let ready = ready().await;
    ready.git(&["config", "filter.upper.smudge", "tr a-z A-Z"]);
    ready.git(&["config", "filter.upper.clean", "tr A-Z a-z"]);
    fs::write(
        ready.clone.join(".git/info/attributes"),
        "lib.rs filter=upper\n",
    )
    .unwrap();
    fs::remove_file(ready.clone.join("src/lib.rs")).unwrap();
    ready.git(&["checkout", "-q", "--", "src/lib.rs"]);
    assert_eq!(read(ready.clone.join("src/lib.rs")), "// LIB\n");
    // Older than the index, so that its entry counts as unchanged without a look at the content.
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    fs::File::options()
        .write(true)
        .open(ready.clone.join("src/lib.rs"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    ready.git(&["update-index", "--refresh"]);
    assert_eq!(ready.land().await, Landing::Landed);
    assert_eq!(read(ready.clone.join("src/lib.rs")), "// LIB\n");
    ready.assert_whole();
}

#[tokio::test]
async fn a_bare_clone_is_landed_into_as_well() {
    let world = World::new();
    let clone = world.clone();
    world.git(
        world.folder.path(),
        &["clone", "-q", "--bare", "clone", "bare.git"],
    );
    world.git(&world.at("bare.git"), &["remote", "remove", "origin"]);
    let repository = world.open(&world.at("bare.git")).await;
    let candidate = story_with(&world, &repository, 1, &[("b.txt", "b")]).await;
    assert_eq!(
        repository.land(&branch("main"), &candidate).await.unwrap(),
        Landing::Landed
    );
    assert_eq!(world.sha(&world.at("bare.git"), "main"), candidate.commit);
    assert_eq!(world.sha(&clone, "main"), candidate.base);
}

#[tokio::test]
async fn a_work_tree_can_be_given_back_as_it_was() {
    let ready = ready().await;
    write(&ready.clone, &[("mine.txt", "untracked\n")]);
    let clone = git2::Repository::open(&ready.clone).unwrap();
    let place = clone::places(&clone, &branch("main")).unwrap().remove(0);
    let Candidate { base, commit, .. } = &ready.candidate;
    for (from, to) in [(base, commit), (commit, base)] {
        let switched = ready.repository.switch(&place, from, to).await.unwrap();
        assert!(matches!(switched, switch::Switched::Done));
    }
    assert_eq!(ready.git(&["status", "--porcelain"]), "?? mine.txt");
    ready.assert_untouched();
}
