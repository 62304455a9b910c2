//! Data folders from before there were cells: one `work.git` for all worktrees, borrowing from
//! `control.git`. Built here with plain git.

use super::*;

struct Former {
    world: World,
    clone: PathBuf,
    base: Sha,
}

impl Former {
    fn new() -> Self {
        let world = World::new();
        let (_, clone) = world.remote();
        let base = world.sha(&clone, "HEAD");
        let root = world.at("data/repo");
        for folder in ["worktrees", "checkouts", "hooks", "tmp"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        world.git(
            &root,
            &["init", "-q", "--bare", "--template=", "control.git"],
        );
        let clone_text = clone.to_str().unwrap();
        world.git(
            &root.join("control.git"),
            &["fetch", "-q", clone_text, "main:refs/huskies/remote/main"],
        );
        world.git(&root, &["init", "-q", "--bare", "--template=", "work.git"]);
        let work = root.join("work.git");
        let alternates = format!("{}\n", root.join("control.git/objects").display());
        write(&work, &[("objects/info/alternates", &alternates)]);
        for setting in [
            &["core.repositoryformatversion", "1"][..],
            &["extensions.worktreeConfig", "true"],
            &["--worktree", "core.bare", "true"],
            &["--unset", "core.bare"],
            &["user.name", "huskies"],
            &["user.email", "huskies@example.org"],
            &["submodule.inner.url", "../inner"],
        ] {
            world.git(&work, &[&["config"], setting].concat());
        }
        Self { world, clone, base }
    }

    fn control(&self) -> PathBuf {
        self.world.paths().control()
    }

    fn work(&self) -> PathBuf {
        self.world.at("data/repo/work.git")
    }

    /// A worktree of a story, as huskies had it.
    fn worktree(&self, number: u64) -> PathBuf {
        let name = format!("story-{number}-door");
        let (branch, path) = (
            format!("feature/{name}"),
            self.world.at(&format!("data/repo/worktrees/{name}")),
        );
        let text = path.to_str().unwrap();
        self.world.git(
            &self.work(),
            &[
                "worktree",
                "add",
                "-q",
                "-b",
                &branch,
                text,
                self.base.as_str(),
            ],
        );
        let hooks = self.world.at(&format!("data/repo/hooks/{name}"));
        hostile::script(
            &hooks.join("pre-commit"),
            "#!/bin/sh\necho ran >> hooked.log\n",
        );
        let hooks = hooks.to_str().unwrap();
        self.world
            .git(&path, &["config", "--worktree", "core.hooksPath", hooks]);
        let head = format!("refs/huskies/story/{number}/head");
        self.world
            .git(&self.control(), &["update-ref", &head, self.base.as_str()]);
        path
    }

    fn spec(&self, number: u64) -> WorktreeSpec {
        let (story, branch) = story(number);
        WorktreeSpec {
            story,
            branch,
            base: self.base.clone(),
        }
    }

    async fn open(&self) -> Repository {
        self.world.open(&self.clone).await
    }
}

#[tokio::test]
async fn worktrees_commits_and_uncommitted_work_of_an_older_huskies_go_on() {
    let former = Former::new();
    let world = &former.world;
    let one = former.worktree(1);
    let head = world.commit(&one, &[("b.txt", "b")], "Not collected yet");
    write(
        &one,
        &[
            ("a.txt", "changed\n"),
            ("new.txt", "new\n"),
            ("staged.txt", "staged\n"),
        ],
    );
    world.git(&one, &["add", "staged.txt"]);
    let two = former.worktree(2);
    world.git(&two, &["checkout", "-q", "--detach"]);
    let detached = world.commit(&two, &[("c.txt", "c")], "On no branch");
    hostile::script(&former.work().join("hooks/commit-msg"), "#!/bin/sh\n");

    let repository = former.open().await;
    assert!(!former.work().exists() && !world.at("data/repo/work.git.former").exists());
    let spec = former.spec(1);
    let worktree = repository.prepare_worktree(&spec).await.unwrap();
    assert!(!worktree.created);
    assert_eq!((&worktree.head, &worktree.path), (&head, &one));
    assert_eq!(
        world.git(&one, &["status", "--porcelain", "-uall"]),
        " M a.txt\n?? new.txt\n?? staged.txt"
    );
    assert_eq!(world.git(&one, &["fsck"]), "");
    assert_eq!(
        world.git(&one, &["config", "submodule.inner.url"]),
        "../inner"
    );
    assert!(
        repository
            .shared_hooks_dir(&worktree)
            .unwrap()
            .join("commit-msg")
            .exists()
    );
    let more = world.commit(&one, &[], "Go on");
    assert_eq!(read(one.join("hooked.log")), "ran\nran\n");
    let story = Story { worktree, spec };
    assert_eq!(story.collect(&repository, 1).await.head, more);

    let spec = former.spec(2);
    let worktree = repository.prepare_worktree(&spec).await.unwrap();
    assert_eq!(world.sha(&two, "HEAD"), detached);
    assert_eq!(world.git(&two, &["status", "--porcelain"]), "");
    let other = Story { worktree, spec };
    let wip = other.collect(&repository, 1).await.wip.unwrap();
    assert_eq!(world.sha(&former.control(), &format!("{wip}^2")), detached);
    assert!(
        !world
            .try_git(&two, &["cat-file", "-e", head.as_str()])
            .status
            .success()
    );
}

#[tokio::test]
async fn every_branch_and_stash_of_an_older_huskies_is_kept() {
    let former = Former::new();
    let world = &former.world;
    let one = former.worktree(1);
    world.git(&one, &["checkout", "-q", "-b", "mine"]);
    let mine = world.commit(&one, &[("b.txt", "b")], "Mine");
    write(&one, &[("a.txt", "stashed\n")]);
    world.git(&one, &["stash", "-q"]);
    let stash = world.sha(&one, "refs/stash");
    world.git(&former.work(), &["pack-refs", "--all"]);
    drop(former.open().await);
    for (name, kept) in [("heads/mine", mine), ("stash", stash)] {
        let name = format!("refs/huskies/former/{name}");
        assert_eq!(world.sha(&former.control(), &name), kept);
    }
    assert_eq!(world.git(&one, &["log", "-1", "--format=%s"]), "Mine");
}

#[tokio::test]
async fn a_rebase_in_the_midst_of_things_is_finished_in_the_cell() {
    let former = Former::new();
    let world = &former.world;
    let one = former.worktree(1);
    world.commit(&one, &[("a.txt", "ours\n")], "Ours");
    world.git(
        &one,
        &["checkout", "-q", "-b", "other", former.base.as_str()],
    );
    world.commit(&one, &[("a.txt", "theirs\n")], "Theirs");
    world.git(&one, &["checkout", "-q", "feature/story-1-door"]);
    assert!(!world.try_git(&one, &["rebase", "other"]).status.success());
    let repository = former.open().await;
    repository.prepare_worktree(&former.spec(1)).await.unwrap();
    write(&one, &[("a.txt", "both\n")]);
    world.git(&one, &["add", "a.txt"]);
    world.git(&one, &["-c", "core.editor=true", "rebase", "--continue"]);
    assert_eq!(
        world.git(&one, &["log", "--format=%s"]),
        "Ours\nTheirs\nBegin"
    );
}

#[tokio::test]
async fn a_takeover_that_was_cut_off_is_finished_at_the_next_start() {
    let former = Former::new();
    let world = &former.world;
    let (one, two) = (former.worktree(1), former.worktree(2));
    let heads = [&one, &two].map(|path| world.commit(path, &[("b.txt", "b")], "Work"));
    let old = world.at("data/repo/work.git.former");
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.unwrap().success());
    };
    copy(&former.work(), &world.at("copy"));
    drop(former.open().await);
    // As if it had stopped with one cell made, its admin folder not moved, and the other not begun.
    copy(&world.at("copy"), &old);
    files::remove_tree(&world.cell(1).join("worktrees/story-1-door")).unwrap();
    files::remove_tree(&world.cell(2)).unwrap();
    let repository = former.open().await;
    for (number, head) in [(1, &heads[0]), (2, &heads[1])] {
        let again = repository
            .prepare_worktree(&former.spec(number))
            .await
            .unwrap();
        assert_eq!((&again.head, again.created), (head, false));
    }
    assert!(!old.exists());
}

#[tokio::test]
async fn a_branch_that_cannot_be_read_leaves_the_old_repository_where_it_is() {
    let former = Former::new();
    let world = &former.world;
    let one = former.worktree(1);
    let head = world.commit(&one, &[("b.txt", "b")], "Work");
    let broken = format!("{}\n", "f".repeat(40));
    write(&former.work(), &[("refs/heads/broken", &broken)]);
    let repository = former.open().await;
    assert!(world.at("data/repo/work.git.former/objects").exists());
    let again = repository.prepare_worktree(&former.spec(1)).await.unwrap();
    assert_eq!(again.head, head);
    drop(repository);
    former.open().await;
    assert_eq!(world.sha(&one, "HEAD"), head);
}

#[tokio::test]
async fn the_history_is_not_asked_for_again() {
    let former = Former::new();
    former.worktree(1);
    drop(former.open().await);
    let base = former.world.paths().base();
    assert_eq!(
        former.world.sha(&base, "refs/huskies/remote/main"),
        former.base
    );
    let names = former
        .world
        .git(&base, &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(names, "refs/huskies/remote/main");
}
