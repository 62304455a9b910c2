//! Clean checkouts for gates.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_checkout_is_a_repository_at_exactly_that_commit() {
    let world = World::new();
    let clone = world.clone();
    let repository = world.open(&clone).await;
    let first = repository.sync_base(None).await.unwrap().sha;
    let second = world.commit(&clone, &[("a.txt", "two\n"), ("b.txt", "b")], "More");
    repository.sync_base(None).await.unwrap();
    for sha in [&second, &first, &second, &second] {
        let path = repository.checkout("accept-1", sha).await.unwrap();
        assert_eq!(path, world.at("data/repo/checkouts/accept-1"));
        assert_eq!(world.sha(&path, "HEAD"), *sha);
        assert_eq!(
            world.git(&path, &["status", "--porcelain", "--ignored"]),
            ""
        );
        assert_eq!(path.join("b.txt").exists(), *sha == second);
    }
}

#[tokio::test]
async fn nothing_that_a_gate_left_behind_stays() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let base = repository.sync_base(None).await.unwrap().sha;
    let path = repository.checkout("accept", &base).await.unwrap();
    let untouched = files_in(&path);
    write(
        &path,
        &[
            ("junk.log", "x"),
            ("a.txt", "tampered\r\n"),
            (".gitattributes", "* text\n"),
        ],
    );
    write(
        &path,
        &[
            ("src/.git/HEAD", "ref: refs/heads/x\n"),
            ("nested/.git/config", "[core]\n"),
            ("closed/x", "x"),
        ],
    );
    fs::set_permissions(path.join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    world.git(&path, &["update-index", "--assume-unchanged", "a.txt"]);
    fs::remove_file(path.join(".gitignore")).unwrap();
    std::os::unix::fs::symlink("/etc", path.join(".gitignore")).unwrap();
    repository.checkout("accept", &base).await.unwrap();
    assert_eq!(files_in(&path), untouched);
    assert_eq!(files_in(&path.join("src")), ["lib.rs"]);
    assert_eq!(read(path.join("a.txt")), "one\n");
    assert_eq!(
        world.git(&path, &["status", "--porcelain", "--ignored"]),
        ""
    );
}

#[tokio::test]
async fn line_ends_and_modes_are_as_the_commit_asks() {
    let world = World::new();
    let clone = world.clone();
    write(
        &clone,
        &[
            (".gitattributes", "*.bat text eol=crlf\n"),
            ("run.bat", "a\nb\n"),
        ],
    );
    hostile::script(&clone.join("run.sh"), "#!/bin/sh\n");
    let tip = world.commit(&clone, &[], "Scripts");
    let repository = world.open(&clone).await;
    repository.sync_base(None).await.unwrap();
    let path = repository.checkout("accept", &tip).await.unwrap();
    assert_eq!(read(path.join("run.bat")), "a\r\nb\r\n");
    assert_eq!(
        fs::metadata(path.join("run.sh"))
            .unwrap()
            .permissions()
            .mode()
            & 0o111,
        0o111
    );
}

#[tokio::test]
async fn a_link_in_place_of_a_checkout_is_replaced_and_slots_stay_in_their_folder() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let base = repository.sync_base(None).await.unwrap().sha;
    write(&world.at("precious"), &[("file", "x")]);
    std::os::unix::fs::symlink(world.at("precious"), world.at("data/repo/checkouts/accept"))
        .unwrap();
    repository.checkout("accept", &base).await.unwrap();
    assert_eq!(read(world.at("precious/file")), "x");
    for slot in ["../x", "a/b", "", ".x", "-x"] {
        assert!(
            matches!(
                repository.checkout(slot, &base).await,
                Err(GitError::Misconfigured { .. })
            ),
            "{slot}"
        );
    }
}

#[tokio::test]
async fn a_commit_that_is_not_here_leaves_the_old_checkout_alone() {
    let world = World::new();
    let repository = world.open(&world.clone()).await;
    let base = repository.sync_base(None).await.unwrap().sha;
    let path = repository.checkout("accept", &base).await.unwrap();
    assert!(
        repository
            .checkout("accept", &"f".repeat(40).parse().unwrap())
            .await
            .is_err()
    );
    assert_eq!(world.git(&path, &["status", "--porcelain"]), "");
}
