//! Opening, fetching the base, reading.

use super::*;

#[tokio::test]
async fn opening_twice_keeps_both_repositories_and_what_is_in_them() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    let tip = repository.sync_base(None).await.unwrap();
    let again = world.open(&clone).await;
    assert!(again.contains(&tip.sha, &tip.sha).await.unwrap());
}

#[tokio::test]
async fn a_half_made_repository_of_a_crash_is_not_taken_for_a_whole_one() {
    let world = World::new();
    let clone = world.clone();
    write(
        &world.at("data/repo"),
        &[("tmp/.tmpabc/HEAD", "ref: refs/heads/none\n")],
    );
    let repository = world.open(&clone).await;
    repository.sync_base(None).await.unwrap();
    assert!(
        fs::read_dir(world.at("data/repo/tmp"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn the_base_is_what_the_remotes_head_names_unless_it_is_configured() {
    let world = World::new();
    let (remote, clone) = world.remote();
    world.git(&clone, &["checkout", "-q", "-b", "release/1.0"]);
    let release = world.commit(&clone, &[("r.txt", "r")], "Release");
    world.git(&clone, &["push", "-q", "origin", "release/1.0"]);
    let repository = world.open(&clone).await;
    let base = repository.sync_base(None).await.unwrap();
    assert_eq!(
        (base.branch, base.sha),
        (branch("main"), world.sha(&remote, "main"))
    );
    let base = repository
        .sync_base(Some(&branch("release/1.0")))
        .await
        .unwrap();
    assert_eq!(base.sha, release);
}

#[tokio::test]
async fn a_base_that_moved_or_was_rewritten_is_followed() {
    let world = World::new();
    let (_, clone) = world.remote();
    let repository = world.open(&clone).await;
    repository.sync_base(None).await.unwrap();
    world.git(
        &clone,
        &["commit", "-q", "--amend", "-m", "Begin otherwise"],
    );
    world.git(&clone, &["push", "-q", "-f", "origin", "main"]);
    assert_eq!(
        repository.sync_base(None).await.unwrap().sha,
        world.sha(&clone, "main")
    );
}

#[tokio::test]
async fn a_clone_without_a_remote_is_fetched_from_loose_and_packed() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    assert_eq!(
        repository.sync_base(None).await.unwrap().sha,
        world.sha(&clone, "main")
    );
    let tip = world.commit(&clone, &[("b.txt", "b")], "More");
    world.git(&clone, &["gc", "-q"]);
    world.git(&clone, &["pack-refs", "--all"]);
    assert_eq!(repository.sync_base(None).await.unwrap().sha, tip);
}

#[tokio::test]
async fn a_branch_that_is_not_there_is_named() {
    let world = World::new();
    let (_, clone) = world.remote();
    let repository = world.open(&clone).await;
    let error = repository
        .sync_base(Some(&branch("gone")))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the base branch `gone` was not found");
}

#[tokio::test]
async fn a_project_with_neither_clone_nor_remote_is_refused() {
    let world = World::new();
    let error = world.open_source(Source::default()).await.err().unwrap();
    assert!(matches!(error, GitError::Misconfigured { .. }), "{error}");
    let nowhere = Source {
        clone: Some(world.at("nowhere")),
        ..Source::default()
    };
    assert!(matches!(
        world.open_source(nowhere).await.err().unwrap(),
        GitError::NotFound { .. }
    ));
}

#[tokio::test]
async fn a_shallow_clone_is_refused_with_what_to_do() {
    let world = World::new();
    let clone = world.clone();
    world.commit(&clone, &[("b.txt", "b")], "More");
    let address = format!("file://{}", clone.display());
    world.git(
        world.folder.path(),
        &["clone", "-q", "--depth=1", &address, "shallow"],
    );
    world.git(&world.at("shallow"), &["remote", "remove", "origin"]);
    let error = world
        .open(&world.at("shallow"))
        .await
        .sync_base(None)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("--unshallow"), "{error}");
}

#[tokio::test]
async fn files_are_read_as_of_a_commit_and_links_are_not_files() {
    let world = World::new();
    let clone = world.clone();
    std::os::unix::fs::symlink("/etc/passwd", clone.join("link")).unwrap();
    let tip = world.commit(&clone, &[(".huskies/project.toml", "x = 1\n")], "Configure");
    let repository = world.open(&clone).await;
    repository.sync_base(None).await.unwrap();
    let read = async |path: &str| repository.read_file(&tip, path).await.unwrap();
    assert_eq!(
        read(".huskies/project.toml").await,
        Some(b"x = 1\n".to_vec())
    );
    for none in ["missing", "src", "link", "src/../a.txt"] {
        assert_eq!(read(none).await, None, "{none}");
    }
}

#[tokio::test]
async fn changed_paths_are_those_since_the_branches_parted() {
    let world = World::new();
    let clone = world.clone();
    world.git(&clone, &["checkout", "-q", "-b", "side"]);
    world.git(&clone, &["mv", "a.txt", "line\nbreak"]);
    let side = world.commit(&clone, &[], "Rename");
    world.git(&clone, &["checkout", "-q", "main"]);
    let main = world.commit(&clone, &[("other.txt", "o")], "Elsewhere");
    let repository = world.open(&clone).await;
    for name in ["main", "side"] {
        repository.sync_base(Some(&branch(name))).await.unwrap();
    }
    assert_eq!(
        repository.changed_paths(&main, &side).await.unwrap(),
        ["a.txt", "line\nbreak"]
    );
    assert!(!repository.contains(&main, &side).await.unwrap());
    assert!(
        repository
            .contains(&main, &world.sha(&clone, "main~1"))
            .await
            .unwrap()
    );
    let unknown: Sha = "f".repeat(40).parse().unwrap();
    assert!(!repository.contains(&main, &unknown).await.unwrap());
    assert!(matches!(
        repository.contains(&unknown, &main).await,
        Err(GitError::NotFound { .. })
    ));
}

#[tokio::test]
async fn damaged_objects_do_not_cross() {
    let world = World::new();
    let clone = world.clone();
    // A tree with an entry named `.git`, as no honest git would write it.
    let blob = world.git(&clone, &["hash-object", "-w", "a.txt"]);
    let mut tree = b"100644 .git\0".to_vec();
    tree.extend(hex::decode(blob).unwrap());
    fs::write(world.at("tree"), tree).unwrap();
    let tree = world.at("tree");
    let tree = world.git(
        &clone,
        &[
            "hash-object",
            "-t",
            "tree",
            "--literally",
            "-w",
            tree.to_str().unwrap(),
        ],
    );
    let bad = world.git(&clone, &["commit-tree", "-p", "main", "-m", "bad", &tree]);
    world.git(&clone, &["branch", "bad", &bad]);
    let repository = world.open(&clone).await;
    let error = repository
        .sync_base(Some(&branch("bad")))
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Command { .. }), "{error}");
    let bad: Sha = bad.parse().unwrap();
    assert!(repository.read_file(&bad, "a.txt").await.is_err());
}

#[tokio::test]
async fn a_clone_of_another_user_is_refused_with_what_to_do() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can give a folder away.
    }
    let world = World::new();
    let clone = world.clone();
    for path in [clone.clone(), clone.join(".git")] {
        std::os::unix::fs::chown(path, Some(4_242), None).unwrap();
    }
    let source = Source {
        clone: Some(clone),
        ..Source::default()
    };
    let error = world.open_source(source).await.err().unwrap();
    assert!(
        error.to_string().contains("belongs to another user"),
        "{error}"
    );
}

#[tokio::test]
async fn whoever_looks_at_the_base_at_the_same_time_sees_it() {
    let world = World::new();
    let (_remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    for number in 0..4 {
        let text = number.to_string();
        let tip = world.commit(&clone, &[("b.txt", &text)], "Another");
        world.git(&clone, &["push", "-q", "origin", "main"]);
        let looks = (0..6).map(|_| repository.sync_base(None));
        for seen in futures::future::join_all(looks).await {
            assert_eq!(seen.unwrap().sha, tip);
        }
    }
}

#[tokio::test]
async fn the_head_of_a_pull_request_is_brought_in_by_its_name_alone() {
    let world = World::new();
    let (remote, clone) = world.remote();
    let repository = world.open(&clone).await;
    repository.sync_base(None).await.unwrap();
    world.git(&clone, &["checkout", "-q", "--detach"]);
    let older = world.commit(&clone, &[("a.txt", "a")], "Propose");
    let head = world.commit(&clone, &[("b.txt", "b")], "Propose more");
    world.git(&clone, &["push", "-q", "origin", "HEAD:refs/pull/7/head"]);
    for commit in [&head, &head, &older] {
        repository.fetch_head(commit).await.unwrap();
    }
    assert_eq!(
        repository.read_file(&head, "b.txt").await.unwrap().unwrap(),
        b"b"
    );
    let mut kept = repository.heads().await.unwrap();
    kept.sort_by_key(|head| head.commit != older);
    let commits: Vec<&Sha> = kept.iter().map(|head| &head.commit).collect();
    assert_eq!(commits, [&older, &head]);
    repository.forget_head(&kept[0]).await.unwrap();
    assert_eq!(repository.heads().await.unwrap(), kept[1..]);
    let nowhere = "0123456789012345678901234567890123456789".parse().unwrap();
    let unknown = repository.fetch_head(&nowhere).await;
    assert!(
        matches!(unknown, Err(GitError::NotFound { .. })),
        "{unknown:?}"
    );
    world.git(&remote, &["update-ref", "-d", "refs/pull/7/head"]);
    repository.fetch_head(&head).await.unwrap();
}

#[tokio::test]
async fn a_clone_without_a_remote_has_no_pull_requests() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    let head = world.sha(&clone, "main");
    let refused = repository.fetch_head(&head).await;
    assert!(
        matches!(refused, Err(GitError::NotFound { .. })),
        "{refused:?}"
    );
}
