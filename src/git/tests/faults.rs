//! What killed processes, full disks and hands leave behind: every step, done again afterwards,
//! comes to the same end.

use super::*;

/// Git as the server finds it, with a limit on what each process may write to one file: a process
/// that goes past it is killed there and then, or told that the disk is full.
struct FaultyGit {
    folder: PathBuf,
}

impl FaultyGit {
    fn new(world: &World) -> Self {
        let folder = world.at("faulty");
        let real = Command::new("sh")
            .args(["-c", "command -v git"])
            .output()
            .unwrap();
        let real = String::from_utf8(real.stdout).unwrap();
        let text = format!(
            "#!/bin/sh\nif read -r how blocks 2>/dev/null <{0}/limit; then\n\
             [ \"$how\" = full ] && trap '' XFSZ\nulimit -c 0\nulimit -f \"$blocks\"\nfi\nexec {1} \"$@\"\n",
            folder.display(),
            real.trim()
        );
        hostile::script(&folder.join("git"), &text);
        Self { folder }
    }

    fn path(&self) -> OsString {
        let mut path = self.folder.clone().into_os_string();
        path.push(":");
        path.push(search_path());
        path
    }

    /// `blocks` of 512 bytes.
    fn limit(&self, how: &str, blocks: u32) {
        fs::write(self.folder.join("limit"), format!("{how} {blocks}\n")).unwrap();
    }

    fn mend(&self) {
        fs::remove_file(self.folder.join("limit")).unwrap();
    }
}

const STEPS: [&str; 7] = [
    "sync",
    "prepare",
    "collect",
    "candidate",
    "checkout",
    "land",
    "retire",
];

/// One story's way through the git room, step by step, so that each can be done twice.
struct Way {
    world: World,
    clone: PathBuf,
    git: FaultyGit,
    repository: Option<Repository>,
    story: Option<Story>,
    head: Option<Sha>,
    candidate: Option<Candidate>,
}

impl Way {
    async fn new() -> Self {
        let world = World::new();
        let (_, clone) = world.remote();
        // Not to be compressed into one block.
        let noise = (0..6_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
        let noise: String = noise.collect();
        world.commit(&clone, &[("noise.txt", &noise)], "Noise");
        world.git(&clone, &["push", "-q", "origin", "main"]);
        let git = FaultyGit::new(&world);
        let mut way = Self {
            world,
            clone,
            git,
            repository: None,
            story: None,
            head: None,
            candidate: None,
        };
        way.open().await;
        way
    }

    /// A new server takes the data folder over.
    async fn open(&mut self) {
        self.repository = None;
        let settings = GitSettings {
            path: self.git.path(),
            ..self.world.settings()
        };
        let source = Source {
            clone: Some(self.clone.clone()),
            ..Source::default()
        };
        let identity = Identity {
            name: "huskies".to_owned(),
            email: "h@example.org".to_owned(),
        };
        let git = Git::new(settings).unwrap();
        let opened = Repository::open(self.world.paths(), source, identity, git).await;
        self.repository = Some(opened.unwrap());
    }

    async fn step(&mut self, step: &str) -> Result<()> {
        let repository = self.repository.clone().unwrap();
        let main = branch("main");
        match step {
            "sync" => drop(repository.sync_base(Some(&main)).await?),
            "prepare" => {
                let base = self.world.sha(&self.clone, "main");
                let (story, branch) = story(1);
                let spec = WorktreeSpec {
                    story,
                    branch,
                    base,
                };
                let worktree = repository.prepare_worktree(&spec).await?;
                self.story = Some(Story { worktree, spec });
            }
            "collect" => {
                let story = self.story.as_ref().unwrap();
                self.head = Some(repository.collect(&story.collecting(1)).await?.head);
            }
            "candidate" => {
                let spec = CandidateSpec {
                    base: self.story.as_ref().unwrap().spec.base.clone(),
                    head: self.head.clone().unwrap(),
                    message: "Mend".to_owned(),
                };
                let Built::Candidate(candidate) = repository.build_candidate(&spec).await? else {
                    panic!("a conflict");
                };
                self.candidate = Some(candidate);
            }
            "checkout" => {
                let commit = &self.candidate.as_ref().unwrap().commit;
                let folder = repository.checkout("merge", commit).await?;
                assert_eq!(self.world.git(&folder, &["status", "--porcelain"]), "");
            }
            "land" => {
                let landing = repository
                    .land(&main, self.candidate.as_ref().unwrap())
                    .await?;
                assert!(
                    matches!(landing, Landing::Landed | Landing::Rejected { .. }),
                    "{landing:?}"
                );
            }
            _ => {
                let story = self.story.as_ref().unwrap();
                let retired = repository.retire_worktree(&story.collecting(1)).await?;
                assert_eq!(retired, Retirement::Removed);
            }
        }
        Ok(())
    }

    /// What an agent does between two steps.
    fn work(&self) {
        let story = self.story.as_ref().unwrap();
        let noise = (0..6_000_u64).map(|n| n.wrapping_mul(0xd134_2543_de82_ef95).to_string());
        let noise: String = noise.collect();
        self.world.commit(
            story.path(),
            &[("a.txt", "mended\n"), ("big.txt", &noise)],
            "Work",
        );
        write(story.path(), &[("left.txt", "not committed\n")]);
    }

    fn end(&self) -> Vec<String> {
        let control = self.world.paths().control();
        let refs = ["story/1/head", "wip/1/1^{tree}", "remote/main"]
            .map(|name| format!("refs/huskies/{name}"));
        let mut end: Vec<String> = refs
            .iter()
            .map(|name| self.world.git(&control, &["rev-parse", name]))
            .collect();
        end.push(
            self.world
                .git(&self.world.at("remote.git"), &["rev-parse", "main"]),
        );
        end
    }

    fn assert_whole(&self) {
        for repository in [self.world.paths().control(), self.world.paths().base()] {
            assert_eq!(
                self.world.git(
                    &repository,
                    &["fsck", "--connectivity-only", "--no-dangling"]
                ),
                ""
            );
        }
        let left: Vec<_> = fs::read_dir(self.world.at("data/repo/tmp"))
            .unwrap()
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Goes the whole way; each step fails first in the given way, at several points.
async fn whole_way(how: &str, blocks: &[u32]) -> (Vec<String>, usize) {
    let mut way = Way::new().await;
    let mut failures = 0;
    for step in STEPS {
        for &blocks in blocks {
            way.git.limit(how, blocks);
            let outcome = way.step(step).await;
            way.git.mend();
            failures += usize::from(outcome.is_err());
            if let Err(error) = outcome {
                let error = error.to_string();
                assert!(
                    how != "full"
                        || error.contains("File too large")
                        || error.contains("unable to write"),
                    "{step}: {error}"
                );
            }
            // The server that saw it fail goes on, and one that takes over does too.
            way.open().await;
        }
        way.step(step).await.unwrap();
        if step == "prepare" {
            way.work();
        }
    }
    way.open().await;
    way.assert_whole();
    (way.end(), failures)
}

#[tokio::test]
async fn every_step_repeated_after_its_git_was_killed_comes_to_the_same_end() {
    let (wanted, none) = whole_way("kill", &[]).await;
    assert_eq!(none, 0);
    let (end, failures) = whole_way("kill", &[0, 1, 8, 64]).await;
    assert_eq!(end[0..2], wanted[0..2]);
    assert_eq!(end, wanted);
    assert!(failures >= STEPS.len(), "{failures}");
}

#[tokio::test]
async fn a_full_disk_is_said_clearly_and_leaves_nothing_half_done() {
    let (wanted, _) = whole_way("full", &[]).await;
    let (end, failures) = whole_way("full", &[0, 8, 64]).await;
    assert_eq!(end, wanted);
    assert!(failures >= STEPS.len(), "{failures}");
}

#[tokio::test]
async fn locks_of_killed_processes_stop_nothing_wherever_they_are() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    drop(repository);
    let (control, base, cell) = (world.paths().control(), world.paths().base(), world.cell(1));
    let names = [
        "HEAD",
        "config",
        "packed-refs",
        "shallow",
        "index",
        "refs/huskies/remote/main",
        "refs/huskies/story/1/head",
        "refs/heads/feature/story-1-door",
        "worktrees/story-1-door/index",
        "worktrees/story-1-door/HEAD",
        "worktrees/story-1-door/config.worktree",
        "objects/info/alternates",
    ];
    for repository in [&control, &base, &cell] {
        for name in names {
            let lock = repository.join(format!("{name}.lock"));
            fs::create_dir_all(lock.parent().unwrap()).unwrap();
            fs::write(lock, "").unwrap();
        }
    }
    let tip = world.commit(&clone, &[("c.txt", "c")], "Go on");
    let repository = world.open(&clone).await;
    assert_eq!(repository.sync_base(None).await.unwrap().sha, tip);
    assert_eq!(
        repository.prepare_worktree(&story.spec).await.unwrap().head,
        head
    );
    world.commit(story.path(), &[("d.txt", "d")], "More");
    world.git(story.path(), &["branch", "other"]);
    world.git(story.path(), &["pack-refs", "--all"]);
    assert!(story.collect(&repository, 1).await.ahead);
    let retired = repository.retire_worktree(&story.collecting(1)).await;
    assert_eq!(retired.unwrap(), Retirement::Removed);
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let (folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) =
        entries.partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| files_below(folder)));
    files
}

#[tokio::test]
async fn a_cell_that_lacks_any_of_its_files_or_has_it_empty_is_mended() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    write(story.path(), &[("a.txt", "changed\n")]);
    story.collect(&repository, 1).await;
    let of_git = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "logs");
    let mut paths = files_below(&world.cell(1));
    paths.retain(|path| !of_git(path) && !path.ends_with("COMMIT_EDITMSG"));
    let is_object = |path: &Path| path.file_name().is_some_and(|name| name.len() == 38);
    paths.push(story.path().join(".git"));
    assert!(paths.len() > 10, "{paths:?}");
    for path in &paths {
        for damage in ["gone", "empty", "garbage"] {
            if is_object(path) && damage != "empty" {
                continue;
            }
            files::remove_tree(path).unwrap();
            match damage {
                "empty" => fs::write(path, "").unwrap(),
                "garbage" => fs::write(path, "\u{1}garbage\n").unwrap(),
                _ => {}
            }
            let named = format!("{damage}: {}", path.display());
            let again = repository.prepare_worktree(&story.spec).await.unwrap();
            assert_eq!(
                (again.head, again.created),
                (head.clone(), false),
                "{named}"
            );
            assert_eq!(
                world.git(story.path(), &["status", "--porcelain", "-b"]),
                "## feature/story-1-door\n M a.txt",
                "{named}"
            );
            assert_eq!(
                world.git(story.path(), &["fsck", "--no-dangling", "--no-reflogs"]),
                "",
                "{named}"
            );
            story.collect(&repository, 1).await;
        }
    }
    files::remove_tree(&world.cell(1)).unwrap();
    let again = repository.prepare_worktree(&story.spec).await.unwrap();
    assert_eq!((again.head, again.created), (head, false));
    assert_eq!(
        world.git(story.path(), &["status", "--porcelain"]),
        " M a.txt"
    );
}

#[tokio::test]
async fn a_worktree_that_was_deleted_by_hand_at_any_point_of_its_life_comes_back() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let story = Story::begin(&repository, 1).await;
    for round in 0..3 {
        let head = world.commit(story.path(), &[("b.txt", &round.to_string())], "Work");
        if round == 1 {
            story.collect(&repository, round).await;
        }
        fs::remove_dir_all(story.path()).unwrap();
        if round == 2 {
            story.collect(&repository, round).await;
        }
        let again = repository.prepare_worktree(&story.spec).await.unwrap();
        assert_eq!((again.head, again.created), (head, true));
        assert_eq!(world.git(story.path(), &["status", "--porcelain"]), "");
    }
}

#[tokio::test]
async fn base_objects_that_were_lost_come_back_with_the_next_look_at_the_remote() {
    let world = World::new();
    let (_, clone) = world.remote();
    let repository = world.open(&clone).await;
    let story = Story::begin(&repository, 1).await;
    let head = world.commit(story.path(), &[("b.txt", "b")], "Work");
    story.collect(&repository, 1).await;
    drop(repository);
    fs::remove_dir_all(world.paths().base()).unwrap();
    let repository = world.open(&clone).await;
    repository.sync_base(None).await.unwrap();
    assert_eq!(
        repository.prepare_worktree(&story.spec).await.unwrap().head,
        head
    );
    assert_eq!(world.git(story.path(), &["fsck"]), "");
    world.commit(story.path(), &[("c.txt", "c")], "More");
    assert!(story.collect(&repository, 2).await.ahead);
}
