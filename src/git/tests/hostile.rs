//! Nothing that was planted in a clone, in `work.git` or in a worktree ever runs.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// Writes an executable file.
pub(super) fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// githooks(5), all of them.
const HOOKS: [&str; 28] = [
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-prepare-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "post-index-change",
];

/// Everything that git would run: each leaves a mark in the folder `marks`.
struct Trap {
    marks: PathBuf,
    command: String,
}

impl Trap {
    fn new(world: &World) -> Self {
        let marks = world.at("marks");
        fs::create_dir(&marks).unwrap();
        let command = world.at("trap");
        let text = format!(
            "#!/bin/sh\necho \"$0 $*\" >> {}/sprung\ncat\n",
            marks.display()
        );
        script(&command, &text);
        Self {
            marks,
            command: command.to_str().unwrap().to_owned(),
        }
    }

    /// Hooks and settings of a repository whose common folder is `common`.
    fn plant_in(&self, common: &Path) {
        for hook in HOOKS {
            script(
                &common.join("hooks").join(hook),
                &format!("#!/bin/sh\nexec {} {hook}\n", self.command),
            );
        }
        let mut config = git2::Config::open(&common.join("config")).unwrap();
        let shell = format!("!{}", self.command);
        let hooks = common.join("hooks");
        for (key, value) in [
            ("core.hooksPath", hooks.to_str().unwrap()),
            ("core.fsmonitor", &self.command),
            ("core.sshCommand", &self.command),
            ("core.pager", &self.command),
            ("core.editor", &self.command),
            ("core.askPass", &self.command),
            ("core.gitProxy", &self.command),
            ("core.alternateRefsCommand", &self.command),
            ("uploadpack.packObjectsHook", &self.command),
            ("credential.helper", &shell),
            ("diff.external", &self.command),
            ("diff.evil.textconv", &self.command),
            ("diff.evil.command", &self.command),
            ("filter.evil.clean", &self.command),
            ("filter.evil.smudge", &self.command),
            ("filter.evil.process", &self.command),
            ("merge.evil.driver", &self.command),
            ("merge.default", "evil"),
            ("interactive.diffFilter", &self.command),
            ("gpg.program", &self.command),
            ("commit.gpgSign", "true"),
            ("trailer.evil.command", &self.command),
            ("remote.origin.uploadpack", &self.command),
            ("remote.origin.receivepack", &self.command),
            ("remote.origin.vcs", "ext"),
            ("protocol.ext.allow", "always"),
        ] {
            config.set_str(key, value).unwrap();
        }
        for name in [
            "fetch",
            "push",
            "merge-tree",
            "read-tree",
            "update-index",
            "ls-files",
            "write-tree",
        ] {
            config.set_str(&format!("alias.{name}"), &shell).unwrap();
        }
    }

    /// Attributes and files of a work tree.
    fn plant_files(&self, folder: &Path) {
        write(
            folder,
            &[
                (".gitattributes", "* filter=evil diff=evil merge=evil\n"),
                ("-rf", "dash"),
                ("--upload-pack=evil", "dash"),
                ("line\nbreak", "odd"),
                ("a;touch b", "odd"),
                ("$(id)", "odd"),
            ],
        );
        std::os::unix::fs::symlink(self.marks.join("through"), folder.join("escape")).unwrap();
    }

    fn assert_unsprung(&self) {
        let left: Vec<_> = fs::read_dir(&self.marks)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        let said = left.iter().map(read).collect::<String>();
        assert!(left.is_empty(), "{left:?}: {said}");
    }
}

/// A nested repository full of traps, inside a worktree that counts it as a submodule.
fn plant_submodule(world: &World, trap: &Trap, folder: &Path) {
    let inner = folder.join("inner");
    world.git(folder, &["init", "-q", "inner"]);
    world.commit(&inner, &[("x.txt", "x\n")], "Inner");
    let tip = world.sha(&inner, "HEAD");
    world.git(
        folder,
        &[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{tip},inner"),
        ],
    );
    world.git(folder, &["commit", "-q", "-m", "Add inner"]);
    trap.plant_files(&inner);
    trap.plant_in(&inner.join(".git"));
    write(&inner, &[("x.txt", "y\n")]);
}

/// Calls everything there is, with the traps armed all the while.
async fn whole_way(world: &World, repository: &Repository, trap: &Trap) -> Candidate {
    let base = repository.sync_base(None).await.unwrap();
    let (id, name) = story(1);
    let spec = WorktreeSpec {
        story: id,
        branch: name.clone(),
        base: base.sha.clone(),
    };
    let worktree = repository.prepare_worktree(&spec).await.unwrap();
    trap.assert_unsprung();
    world.commit(&worktree.path, &[("a.txt", "mended\n")], "Work");
    plant_submodule(world, trap, &worktree.path);
    trap.plant_in(&world.paths().work());
    write(
        &worktree.path,
        &[
            ("src/lib.rs", "// not committed\n"),
            (".gitattributes", "* filter=evil merge=evil\n"),
        ],
    );

    let story = Story { worktree, spec };
    let collected = story.collect(repository, 1).await;
    repository.prepare_worktree(&story.spec).await.unwrap();
    let hooks = repository.hooks_dir(&story.worktree).unwrap();
    repository
        .set_hooks_path(&story.worktree, &hooks)
        .await
        .unwrap();
    trap.assert_unsprung();
    repository
        .changed_paths(&base.sha, &collected.head)
        .await
        .unwrap();
    repository
        .read_file(&collected.head, "a.txt")
        .await
        .unwrap();
    repository
        .checkout("accept", &collected.head)
        .await
        .unwrap();
    repository.checkout("accept", &base.sha).await.unwrap();
    trap.assert_unsprung();
    fs::remove_dir_all(story.path()).unwrap();
    repository.prepare_worktree(&story.spec).await.unwrap();
    repository
        .retire_worktree(&story.collecting(2))
        .await
        .unwrap();
    trap.assert_unsprung();
    repository
        .push_branch(&name, &collected.head)
        .await
        .unwrap();
    candidate(repository, &base.sha, &collected.head).await
}

#[tokio::test]
async fn a_hostile_clone_and_a_hostile_agent_run_nothing() {
    let world = World::new();
    let clone = world.clone();
    let trap = Trap::new(&world);
    trap.plant_files(&clone);
    world.commit(&clone, &[], "Odd files");
    trap.plant_in(&clone.join(".git"));
    let mut config = git2::Config::open(&clone.join(".git/config")).unwrap();
    for key in [
        "remote.origin.uploadpack",
        "remote.origin.receivepack",
        "remote.origin.vcs",
    ] {
        config.remove(key).unwrap();
    }
    let repository = world.open(&clone).await;
    let candidate = whole_way(&world, &repository, &trap).await;
    assert_eq!(
        repository.land(&branch("main"), &candidate).await.unwrap(),
        Landing::Landed
    );
    trap.assert_unsprung();
    assert_eq!(read(clone.join("a.txt")), "mended\n");
    assert!(!trap.marks.join("through").exists());
}

#[tokio::test]
async fn a_hostile_clone_of_a_real_remote_runs_nothing() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let trap = Trap::new(&world);
    trap.plant_files(&clone);
    world.commit(&clone, &[], "Odd files");
    world.git(&clone, &["push", "-q", "origin", "main"]);
    trap.plant_in(&clone.join(".git"));
    let repository = world.open(&clone).await;
    let candidate = whole_way(&world, &repository, &trap).await;
    assert_eq!(
        repository.land(&branch("main"), &candidate).await.unwrap(),
        Landing::Landed
    );
    trap.assert_unsprung();
    assert_eq!(world.sha(&remote, "main"), candidate.commit);
}

#[tokio::test]
async fn a_planted_merge_driver_does_not_resolve_a_conflict() {
    let world = World::new();
    let clone = world.clone();
    let trap = Trap::new(&world);
    world.commit(
        &clone,
        &[(".gitattributes", "* merge=evil\n")],
        "Attributes",
    );
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    world.commit(story.path(), &[("a.txt", "ours\n")], "Work");
    let base = world.commit(&clone, &[("a.txt", "theirs\n")], "Elsewhere");
    trap.plant_in(&world.paths().work());
    trap.plant_in(&clone.join(".git"));
    repository.sync_base(None).await.unwrap();
    let head = story.collect(&repository, 1).await.head;
    let spec = CandidateSpec {
        base,
        head,
        message: "x".to_owned(),
    };
    let built = repository.build_candidate(&spec).await.unwrap();
    assert_eq!(
        built,
        Built::Conflict {
            paths: vec!["a.txt".to_owned()]
        }
    );
    trap.assert_unsprung();
}

#[tokio::test]
async fn an_origin_that_is_a_command_is_refused() {
    let world = World::new();
    let clone = world.clone();
    let trap = Trap::new(&world);
    for url in [
        format!("ext::{}", trap.command),
        format!("--upload-pack={}", trap.command),
    ] {
        let mut config = git2::Config::open(&clone.join(".git/config")).unwrap();
        config.set_str("remote.origin.url", &url).unwrap();
        let source = Source {
            clone: Some(clone.clone()),
            ..Source::default()
        };
        assert!(
            matches!(
                world.open_source(source).await,
                Err(GitError::Misconfigured { .. })
            ),
            "{url}"
        );
    }
    trap.assert_unsprung();
}

#[tokio::test]
async fn the_traps_are_real() {
    let world = World::new();
    let clone = world.clone();
    let trap = Trap::new(&world);
    trap.plant_files(&clone);
    trap.plant_in(&clone.join(".git"));
    world.try_git(&clone, &["status"]);
    world.try_git(&clone, &["add", "-A"]);
    world.try_git(&clone, &["-c", "commit.gpgSign=false", "commit", "-m", "x"]);
    let sprung = read(trap.marks.join("sprung"));
    assert!(
        sprung.contains("pre-commit") && sprung.contains("reference-transaction"),
        "{sprung}"
    );
}
