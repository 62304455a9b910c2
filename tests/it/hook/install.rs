//! Installing, moving, breaking and taking out the hook.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{PROJECT, guarded, status_in};
use crate::support::repository::{HUSKIES, Repository};

fn unguarded() -> Repository {
    Repository::new(&[(".huskies/project.toml", PROJECT), ("word.txt", "good\n")])
}

/// Whether a commit with a bad word is stopped there.
fn stops_bad_words(repository: &Repository, directory: &Path) -> bool {
    Repository::write_in(directory, "word.txt", "bad\n");
    let ended = repository.git_in(directory, &["commit", "--all", "--message=bad"]);
    if ended.status == 0 {
        repository
            .git_in(directory, &["reset", "--quiet", "--hard", "HEAD~1"])
            .succeeded();
    }
    ended.status != 0 && ended.stderr.contains("checking\nbad\n")
}

#[test]
fn a_linked_worktree_gets_the_hook_for_itself_alone() {
    let repository = unguarded();
    let (linked, other) = (repository.linked("linked"), repository.linked("other"));
    linked.huskies(&["hook", "install"]).succeeded();
    assert!(stops_bad_words(&repository, &linked.path));
    assert!(!stops_bad_words(&repository, &repository.path));
    assert!(!stops_bad_words(&repository, &other.path));
    assert_eq!(
        linked.git(&["status", "--porcelain"]).succeeded(),
        " M word.txt\n"
    );
    assert_eq!(status_in(&repository, &linked.path), "installed");
    assert_eq!(status_in(&repository, &repository.path), "not_installed");
}

#[test]
fn installing_again_changes_nothing() {
    let repository = guarded();
    let again = repository
        .huskies(&["hook", "install", "--json"])
        .succeeded();
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["changed"], false);
    assert_eq!(
        repository
            .huskies(&["hook", "install", "--quiet"])
            .succeeded(),
        ""
    );
}

#[test]
fn uninstalling_restores_everything_exactly() {
    let repository = unguarded();
    let linked = repository.linked("linked");
    // Objects and the index are what the commit below leaves behind.
    let files = || {
        let mut find = repository.command("find", &repository.path);
        let listed = find
            .args([
                ".git",
                "-type",
                "f",
                "-not",
                "-name",
                "index",
                "-not",
                "-path",
                "*/objects/*",
            ])
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let mut listed: Vec<String> = listed.lines().map(str::to_owned).collect();
        listed.sort();
        (
            listed,
            fs::read(repository.path.join(".git/config")).unwrap(),
        )
    };
    let before = files();
    repository.huskies(&["hook", "install"]).succeeded();
    linked.huskies(&["hook", "install"]).succeeded();
    assert_ne!(files(), before);
    repository.huskies(&["hook", "uninstall"]).succeeded();
    assert!(
        stops_bad_words(&repository, &linked.path),
        "the other worktree keeps its hook"
    );
    linked.huskies(&["hook", "uninstall"]).succeeded();
    assert_eq!(files(), before);
    assert!(!stops_bad_words(&repository, &linked.path));
    let nothing = repository
        .huskies(&["hook", "uninstall", "--json"])
        .succeeded();
    assert_eq!(nothing, "{\"removed\":false}\n");
}

#[test]
fn a_moved_repository_keeps_its_hook() {
    let mut repository = guarded();
    let moved = repository.room().join("moved here");
    fs::rename(&repository.path, &moved).unwrap();
    repository.path = moved;
    assert!(stops_bad_words(&repository, &repository.path));
    assert_eq!(status_in(&repository, &repository.path), "installed");
}

#[test]
fn a_moved_linked_worktree_keeps_its_hook() {
    let repository = unguarded();
    let linked = repository.linked("linked");
    linked.huskies(&["hook", "install"]).succeeded();
    repository.git(&["worktree", "move", "../linked", "../elsewhere"]);
    assert!(stops_bad_words(
        &repository,
        &repository.room().join("elsewhere")
    ));
}

#[test]
fn a_repair_of_moved_links_shows_as_broken_and_is_mended_by_installing() {
    let mut repository = unguarded();
    let linked = repository.linked("linked").path;
    repository
        .huskies_in(&linked, &["hook", "install"])
        .succeeded();
    let moved = repository.room().join("moved");
    fs::rename(&repository.path, &moved).unwrap();
    repository.path = moved;
    repository.git(&["worktree", "repair"]);
    assert_eq!(status_in(&repository, &linked), "broken: folder_gone");
    repository
        .huskies_in(&linked, &["hook", "install"])
        .succeeded();
    assert!(stops_bad_words(&repository, &linked));
}

#[test]
fn a_worktree_added_from_a_guarded_one_gets_a_hook_of_its_own() {
    let repository = guarded();
    let from_main = repository.linked("from-main").path;
    let from_linked = repository.room().join("from-linked");
    repository
        .git_in(
            &from_main,
            &["worktree", "add", "--quiet", from_linked.to_str().unwrap()],
        )
        .succeeded();
    for path in [&from_main, &from_linked] {
        assert_eq!(
            status_in(&repository, path),
            "installed",
            "{}",
            path.display()
        );
        assert!(stops_bad_words(&repository, path));
    }
    repository.git(&["worktree", "remove", "--force", from_main.to_str().unwrap()]);
    assert!(stops_bad_words(&repository, &from_linked));
}

#[test]
fn a_copied_setting_that_no_hook_could_mend_shows_as_broken() {
    let repository = guarded();
    let linked = repository.room().join("linked");
    repository.git(&[
        "worktree",
        "add",
        "--quiet",
        "--no-checkout",
        linked.to_str().unwrap(),
    ]);
    assert_eq!(status_in(&repository, &linked), "broken: folder_gone");
    repository
        .huskies_in(&linked, &["hook", "install"])
        .succeeded();
    let copy = repository.room().join("copy");
    repository
        .git_in(
            &linked,
            &[
                "worktree",
                "add",
                "--quiet",
                "--no-checkout",
                copy.to_str().unwrap(),
            ],
        )
        .succeeded();
    assert_eq!(status_in(&repository, &copy), "broken: other_worktree");
    repository
        .git_in(&copy, &["reset", "--quiet", "--hard"])
        .succeeded();
    assert!(
        stops_bad_words(&repository, &copy),
        "until then the other worktree's hook does the right thing"
    );
}

#[test]
fn a_bare_repository_with_worktrees_still_works() {
    let repository = unguarded();
    repository.git(&["clone", "--quiet", "--bare", ".", "../bare.git"]);
    let bare = repository.room().join("bare.git");
    let (guarded, other) = (repository.room().join("one"), repository.room().join("two"));
    for (path, branch) in [(&guarded, "one"), (&other, "two")] {
        repository
            .git_in(
                &bare,
                &[
                    "worktree",
                    "add",
                    "--quiet",
                    "-b",
                    branch,
                    path.to_str().unwrap(),
                ],
            )
            .succeeded();
    }
    let config = fs::read_to_string(bare.join("config")).unwrap();
    repository
        .huskies_in(&guarded, &["hook", "install"])
        .succeeded();
    assert!(stops_bad_words(&repository, &guarded));
    assert!(!stops_bad_words(&repository, &other));
    let is_bare = || {
        repository
            .git_in(&bare, &["rev-parse", "--is-bare-repository"])
            .succeeded()
    };
    assert_eq!(is_bare(), "true\n");
    repository
        .huskies_in(&guarded, &["hook", "uninstall"])
        .succeeded();
    assert_eq!(is_bare(), "true\n");
    assert_eq!(
        fs::read_to_string(bare.join("config"))
            .unwrap()
            .contains("bare = true"),
        config.contains("bare = true")
    );
    assert!(!bare.join("config.worktree").exists());
}

#[test]
fn a_submodule_can_have_the_hook_and_keeps_its_work_tree() {
    let repository = unguarded();
    let outer = Repository::new(&[]);
    let source = repository.path.to_str().unwrap();
    outer.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        source,
        "inner",
    ]);
    let inner = outer.path.join("inner");
    outer.huskies_in(&inner, &["hook", "install"]).succeeded();
    assert!(stops_bad_words(&outer, &inner));
    outer.huskies_in(&inner, &["hook", "uninstall"]).succeeded();
    assert!(!stops_bad_words(&outer, &inner));
}

#[test]
fn a_hook_whose_binary_is_gone_never_passes_silently() {
    let repository = unguarded();
    let binary = repository.room().join("bin/huskies");
    fs::create_dir(binary.parent().unwrap()).unwrap();
    fs::copy(HUSKIES, &binary).unwrap();
    repository
        .huskies(&["hook", "install", "--binary", binary.to_str().unwrap()])
        .succeeded();
    assert!(stops_bad_words(&repository, &repository.path));
    let elsewhere = repository.room().join("path/huskies");
    fs::create_dir(elsewhere.parent().unwrap()).unwrap();
    fs::rename(&binary, &elsewhere).unwrap();
    assert_eq!(
        status_in(&repository, &repository.path),
        "broken: binary_gone"
    );
    let commit = |path: &str| {
        let mut commit = repository.command("git", &repository.path);
        commit
            .args(["commit", "--quiet", "--allow-empty", "--message=x"])
            .env("PATH", path);
        crate::support::repository::Ended::of(commit.output().unwrap())
    };
    let tools = tools_without_huskies(&repository);
    let said = commit(&tools).failed(1);
    assert!(
        said.contains("is gone") && said.contains("huskies hook install"),
        "{said}"
    );
    commit(&format!(
        "{}:{tools}",
        elsewhere.parent().unwrap().display()
    ))
    .succeeded();
}

/// A `PATH` with the programs that git and the hook need, and surely no huskies.
fn tools_without_huskies(repository: &Repository) -> String {
    let folder = repository.room().join("tools");
    fs::create_dir(&folder).unwrap();
    for tool in ["git", "sh", "cat", "grep", "sed", "tail", "tr", "env"] {
        let found = repository
            .command("sh", repository.room())
            .args(["-c", &format!("command -v {tool}")])
            .output()
            .unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        std::os::unix::fs::symlink(found.trim(), folder.join(tool)).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

#[test]
fn status_sees_old_scripts_and_missing_ones() {
    let repository = guarded();
    let script = repository.path.join(".git/huskies-hooks/pre-commit");
    let text = fs::read_to_string(&script).unwrap();
    fs::write(&script, text.replace("exec", "# older\nexec")).unwrap();
    assert_eq!(status_in(&repository, &repository.path), "outdated");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        status_in(&repository, &repository.path),
        "broken: script_gone"
    );
    repository.huskies(&["hook", "install"]).succeeded();
    assert_eq!(status_in(&repository, &repository.path), "installed");
    fs::remove_dir_all(script.parent().unwrap()).unwrap();
    assert_eq!(
        status_in(&repository, &repository.path),
        "broken: folder_gone"
    );
}

#[test]
fn outside_a_work_tree_it_says_so() {
    let repository = unguarded();
    let said = repository
        .huskies_in(repository.room(), &["hook", "install"])
        .failed(2);
    assert!(
        said.contains("is not inside a work tree of a git repository"),
        "{said}"
    );
}
