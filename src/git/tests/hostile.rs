//! Nothing that was planted in a clone, in a cell or in a worktree ever runs.

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
    trap.plant_in(&world.cell(1));
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
    trap.plant_in(&world.cell(1));
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

/// A blob that only the server has: what a secret of another story would be.
fn secret_in_control(world: &World) -> Sha {
    let file = world.at("secret");
    fs::write(&file, "another story's secret\n").unwrap();
    let control = world.paths().control();
    let id = world.git(&control, &["hash-object", "-w", file.to_str().unwrap()]);
    id.parse().unwrap()
}

/// Commits a tree that names `blob`, which the cell may not have.
fn commit_by_hand(world: &World, story: &Story, entries: &str) -> Sha {
    let list = world.at("entries");
    fs::write(&list, entries).unwrap();
    let text = format!("git mktree --missing -z < {}", list.display());
    let output = Command::new("sh")
        .args(["-c", &text])
        .current_dir(story.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let tree = String::from_utf8(output.stdout).unwrap();
    let arguments = ["commit-tree", "-p", "HEAD", "-m", "Odd", tree.trim()];
    let commit = world.git(story.path(), &arguments);
    world.git(story.path(), &["update-ref", "HEAD", &commit]);
    commit.parse().unwrap()
}

#[tokio::test]
async fn objects_of_the_server_do_not_come_along_by_their_name() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let secret = secret_in_control(&world);
    let objects = world.paths().control().join("objects");
    let (folder, rest) = secret.as_str().split_at(2);
    for way in 1..=4 {
        let story = Story::begin(&repository, way).await;
        write(story.path(), &[("new.txt", "kept\n")]);
        let cell = world.cell(way).join("objects");
        match way {
            1 => fs::write(
                cell.join("info/alternates"),
                format!("{}\n", objects.display()),
            )
            .unwrap(),
            2 => {
                fs::create_dir_all(cell.join(folder)).unwrap();
                let target = objects.join(folder).join(rest);
                std::os::unix::fs::symlink(target, cell.join(folder).join(rest)).unwrap();
            }
            3 => std::os::unix::fs::symlink(objects.join(folder), cell.join(folder)).unwrap(),
            _ => {}
        }
        let stolen = format!("100644 blob {secret}\tstolen.txt\0");
        commit_by_hand(&world, &story, &stolen);
        if way == 4 {
            fs::rename(&cell, world.at("real-objects")).unwrap();
            std::os::unix::fs::symlink(&objects, &cell).unwrap();
        }
        let error = repository
            .collect(&story.collecting(1))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("fetch"), "{way}: {error}");
        if way != 1 {
            assert!(error.contains("not followed"), "{way}: {error}");
        }
        let kept = format!("refs/huskies/wip/{way}/1:new.txt");
        assert_eq!(
            world.git(&world.paths().control(), &["show", &kept]),
            "kept"
        );
    }
}

fn pipe(world: &World) -> PathBuf {
    let pipe = world.at("pipe");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, 0o600.into(), 0).unwrap();
    pipe
}

/// What an agent puts in place of a file or folder of its cell.
enum Bent<'a> {
    Text(String),
    Link(&'a Path),
}

#[tokio::test]
async fn what_a_cell_was_bent_into_is_put_back_and_reported() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    let (cell, precious, pipe) = (world.cell(1), world.at("precious"), pipe(&world));
    let names = ["heads/feature/story-1-door", "info/alternates", "file"];
    write(&precious, &names.map(|name| (name, "precious")));
    let (info, file) = (precious.join("info"), precious.join("file"));
    let config = read(cell.join("config"));
    let text = |text: &str| Bent::Text(text.to_owned());
    let sha256 = "worktreeConfig = true\n\tobjectFormat = sha256";
    for (name, bent, said) in [
        ("objects/info/alternates", text("/nowhere\n"), "alternates"),
        ("objects/info/alternates", Bent::Link(&file), "alternates"),
        ("objects", Bent::Link(&precious), "`objects`"),
        ("objects/info", Bent::Link(&info), "`objects/info`"),
        ("refs", Bent::Link(&precious), "`refs`"),
        ("worktrees", Bent::Link(&precious), "`worktrees`"),
        ("commondir", text("../../control.git\n"), "commondir"),
        ("config.worktree", text("[core\n"), "config.worktree"),
        ("config", text("[core\n\tbroken"), "settings"),
        (
            "config",
            text(&config.replace("worktreeConfig = true", sha256)),
            "settings",
        ),
        (
            "config",
            text(&format!("{config}[core]\n\tworktree = /\n")),
            "settings",
        ),
        ("config", Bent::Link(&file), "settings"),
        ("config", Bent::Link(&pipe), "settings"),
    ] {
        let path = cell.join(name);
        files::remove_tree(&path).unwrap();
        match bent {
            Bent::Text(text) => fs::write(&path, text).unwrap(),
            Bent::Link(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
        }
        let again = repository.prepare_worktree(&story.spec).await.unwrap();
        let noticed = again.noticed.join("; ");
        assert!(noticed.contains(said), "{said}: {noticed}");
        assert_eq!((&again.head, again.created), (&head, false), "{said}");
        let git = |arguments: &[&str]| world.git(story.path(), arguments);
        let clean = "## feature/story-1-door";
        assert_eq!(git(&["status", "--porcelain", "-b"]), clean, "{said}");
        assert_eq!(git(&["fsck", "--no-dangling"]), "", "{said}");
        story.collect(&repository, 1).await;
    }
    assert_eq!(names.map(|name| read(precious.join(name))), ["precious"; 3]);
}

#[tokio::test]
async fn settings_that_include_a_pipe_hold_nothing_up() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let pipe = pipe(&world);
    let include = format!("[include]\n\tpath = {}\n", pipe.display());
    for name in ["config", "worktrees/story-1-door/config.worktree"] {
        let file = world.cell(1).join(name);
        fs::write(&file, read(&file) + &include).unwrap();
    }
    repository.prepare_worktree(&story.spec).await.unwrap();
    let hooks = repository.hooks_dir(&story.worktree).unwrap();
    repository
        .set_hooks_path(&story.worktree, &hooks)
        .await
        .unwrap();
    story.collect(&repository, 1).await;
    let retired = repository.retire_worktree(&story.collecting(1)).await;
    assert_eq!(retired.unwrap(), Retirement::Removed);
}

#[tokio::test]
async fn links_in_place_of_refs_heads_and_admin_folders_lead_nowhere() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let control = world.paths().control();
    for (number, name) in [
        (1, "refs/heads/feature/story-1-door"),
        (2, "refs/heads/feature"),
        (3, "HEAD"),
        (4, "worktrees/story-4-door/HEAD"),
        (5, "worktrees/story-5-door"),
        (6, "worktrees/story-6-door/commondir"),
        (7, "packed-refs"),
        (8, "worktrees/story-8-door/index"),
    ] {
        let story = Story::begin(&repository, number).await;
        write(story.path(), &[("new.txt", "kept\n")]);
        let path = world.cell(number).join(name);
        files::remove_tree(&path).unwrap();
        std::os::unix::fs::symlink(&control, &path).unwrap();
        let collected = story.collect(&repository, 1).await;
        assert_eq!(collected.head, story.spec.base, "{name}");
        let kept = format!("refs/huskies/wip/{number}/1:new.txt");
        assert_eq!(world.git(&control, &["show", &kept]), "kept", "{name}");
        let again = repository.prepare_worktree(&story.spec).await.unwrap();
        assert_eq!(
            (again.head, again.created),
            (story.spec.base.clone(), false),
            "{name}"
        );
        assert_eq!(
            world.git(story.path(), &["status", "--porcelain"]),
            "?? new.txt",
            "{name}"
        );
    }
}

fn packed_refs(story: &Story, count: usize) -> String {
    let base = &story.spec.base;
    let lines = (0..count).map(|number| format!("{base} refs/heads/{number}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_list_of_refs_without_end_is_an_error_after_the_files_were_kept() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    write(story.path(), &[("new.txt", "kept\n")]);
    files::remove_tree(&world.cell(1).join("refs/heads/feature")).unwrap();
    let text = packed_refs(&story, 1_000_000);
    fs::write(world.cell(1).join("packed-refs"), text).unwrap();
    let error = repository.collect(&story.collecting(1)).await.unwrap_err();
    assert!(
        matches!(&error, GitError::Damaged { message } if message.contains("packed-refs")),
        "{error}"
    );
    let control = world.paths().control();
    assert_eq!(
        world.git(&control, &["show", "refs/huskies/wip/1/1:new.txt"]),
        "kept"
    );
    assert!(story.path().join("new.txt").exists());
}

#[tokio::test]
async fn more_branches_than_can_be_kept_leave_the_worktree_where_it_is() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let text = packed_refs(&story, 20_000);
    fs::write(world.cell(1).join("packed-refs"), text).unwrap();
    match repository
        .retire_worktree(&story.collecting(1))
        .await
        .unwrap()
    {
        Retirement::Kept { reason } => assert!(reason.contains("branches and tags"), "{reason}"),
        Retirement::Removed => panic!("not everything was kept"),
    }
    assert!(story.path().join("a.txt").exists());
}

#[tokio::test]
async fn trees_that_no_honest_git_makes_are_refused_and_the_files_kept() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let blob = "100644 blob 257cc5642cb1a054f08cc83f2d943e56fd3ebe99";
    for (number, name) in [
        (1, ".GIT"),
        (2, ".git"),
        (3, "git~1"),
        (4, ".."),
        (5, ".g\u{200c}it"),
    ] {
        let story = Story::begin(&repository, number).await;
        write(
            story.path(),
            &[("new.txt", "foo\n"), ("kept.txt", "kept\n")],
        );
        world.git(story.path(), &["hash-object", "-w", "new.txt"]);
        commit_by_hand(&world, &story, &format!("{blob}\t{name}\0"));
        let error = repository
            .collect(&story.collecting(1))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("fetch failed"), "{name}: {error}");
        let kept = format!("refs/huskies/wip/{number}/1:kept.txt");
        assert_eq!(
            world.git(&world.paths().control(), &["show", &kept]),
            "kept",
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_submodule_of_nowhere_is_recorded_and_not_fetched() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let trap = Trap::new(&world);
    let story = Story::begin(&repository, 1).await;
    let link = format!("160000,{},inner", "a".repeat(40));
    world.git(
        story.path(),
        &["update-index", "--add", "--cacheinfo", &link],
    );
    let url = format!("ext::{}", trap.command);
    let modules = format!("[submodule \"inner\"]\n\tpath = inner\n\turl = {url}\n");
    write(story.path(), &[(".gitmodules", &modules)]);
    world.git(story.path(), &["add", ".gitmodules"]);
    world.git(story.path(), &["commit", "-q", "-m", "Inner"]);
    let outcome = repository.collect(&story.collecting(1)).await;
    if let Ok(collected) = outcome {
        repository
            .checkout("accept", &collected.head)
            .await
            .unwrap();
        candidate(&repository, &story.spec.base, &collected.head).await;
    }
    trap.assert_unsprung();
}

/// Folders in folders in folders: `depth` of them.
fn deep_tree(world: &World, story: &Story, depth: usize) -> Sha {
    let control = git2::Repository::open(world.cell(1)).unwrap();
    let blob = control.blob(b"deep\n").unwrap();
    let mut builder = control.treebuilder(None).unwrap();
    builder.insert("file", blob, 0o100_644).unwrap();
    let mut tree = builder.write().unwrap();
    for _ in 0..depth {
        let mut builder = control.treebuilder(None).unwrap();
        builder.insert("d", tree, 0o040_000).unwrap();
        tree = builder.write().unwrap();
    }
    let arguments = ["commit-tree", "-p", "HEAD", "-m", "Deep", &tree.to_string()];
    let commit = world.git(story.path(), &arguments);
    world.git(story.path(), &["update-ref", "HEAD", &commit]);
    commit.parse().unwrap()
}

#[tokio::test]
async fn a_tree_of_endless_depth_is_an_error_and_the_files_are_kept() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    write(story.path(), &[("new.txt", "kept\n")]);
    deep_tree(&world, &story, 5_000);
    let error = repository
        .collect(&story.collecting(1))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("fetch failed"), "{error}");
    let control = world.paths().control();
    assert_eq!(
        world.git(&control, &["show", "refs/huskies/wip/1/1:new.txt"]),
        "kept"
    );
}
