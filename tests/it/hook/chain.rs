//! Hooks that a project had before go on working, in front of huskies' gates.

use std::fs;

use super::{PROJECT, guarded};
use crate::support::repository::Repository;

#[test]
fn a_plain_hook_runs_first_and_its_failure_stops_the_commit() {
    let repository = guarded();
    repository.script(".git/hooks/pre-commit", "echo 'plain hook says no'; exit 3");
    repository.write("word.txt", "bad\n");
    let said = repository.commit(&["--all"]).failed(1);
    assert!(
        said.contains("plain hook says no") && said.contains("exit status 3"),
        "{said}"
    );
    assert!(
        !said.contains("checking"),
        "the gates must not run after a refusal: {said}"
    );
    repository.script(".git/hooks/pre-commit", "echo 'plain hook says yes'");
    let said = repository.commit(&["--all"]).failed(1);
    let (plain, gate) = (
        said.find("plain hook says yes").unwrap(),
        said.find("checking").unwrap(),
    );
    assert!(plain < gate, "{said}");
}

#[test]
fn a_hook_that_changes_the_index_is_followed_by_gates_on_what_it_made() {
    let repository = guarded();
    repository.script(
        ".git/hooks/pre-commit",
        "sed -i s/bad/good/ word.txt && git add word.txt",
    );
    repository.write("word.txt", "bad\n");
    repository.commit(&["--all"]).succeeded();
    assert_eq!(repository.git(&["show", "HEAD:word.txt"]), "good\n");
}

#[test]
fn a_hook_that_git_would_not_run_is_not_run() {
    let repository = guarded();
    repository.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n");
    repository.commit(&["--allow-empty"]).succeeded();
}

/// As husky 9 does it: a relative folder of generated scripts that find their partner by `$0`.
fn with_husky(repository: &Repository) {
    repository.script(
        ".husky/pre-commit",
        "echo husky pre-commit >> \"$HOME/log\"",
    );
    repository.script(
        ".husky/commit-msg",
        "grep -q next \"$1\" && echo husky commit-msg >> \"$HOME/log\"",
    );
    repository.write(".husky/_/.gitignore", "*\n");
    for name in ["pre-commit", "commit-msg"] {
        let run_partner = "n=$(basename \"$0\"); s=$(dirname \"$(dirname \"$0\")\")/$n; [ -f \"$s\" ] && sh -e \"$s\" \"$@\"";
        repository.script(&format!(".husky/_/{name}"), run_partner);
    }
    repository.git(&["config", "core.hooksPath", ".husky/_"]);
}

fn log(repository: &Repository) -> String {
    let path = repository.room().join("home/log");
    let log = fs::read_to_string(&path).unwrap_or_default();
    fs::write(path, "").unwrap();
    log
}

#[test]
fn a_relative_hooks_path_is_chained_with_all_its_hooks() {
    let repository = Repository::new(&[(".huskies/project.toml", PROJECT), ("word.txt", "good\n")]);
    with_husky(&repository);
    repository.git(&["add", "--all"]);
    repository.huskies(&["hook", "install"]).succeeded();
    repository.commit(&[]).succeeded();
    assert_eq!(log(&repository), "husky pre-commit\nhusky commit-msg\n");
    repository.write("word.txt", "bad\n");
    let _said = repository.commit(&["--all"]).failed(1);
    assert_eq!(log(&repository), "husky pre-commit\n");
}

#[test]
fn hooks_that_come_after_the_installation_are_handed_on_too() {
    let repository = guarded();
    with_husky(&repository);
    repository.git(&["add", "--all"]);
    assert_eq!(super::status_in(&repository, &repository.path), "outdated");
    repository.commit(&[]).succeeded();
    assert_eq!(log(&repository), "husky pre-commit\nhusky commit-msg\n");
    assert_eq!(super::status_in(&repository, &repository.path), "installed");
}

#[test]
fn an_absolute_hooks_path_from_the_users_own_configuration_is_chained() {
    let repository = guarded();
    let hooks = repository.room().join("home/hooks");
    repository.script("../home/hooks/pre-commit", "echo global >> \"$HOME/log\"");
    repository.git(&["config", "--global", "core.hooksPath", "~/hooks"]);
    repository.commit(&["--allow-empty"]).succeeded();
    assert_eq!(log(&repository), "global\n");
    repository.git(&["config", "core.hooksPath", hooks.to_str().unwrap()]);
    repository.commit(&["--allow-empty"]).succeeded();
    assert_eq!(log(&repository), "global\n");
}

#[test]
fn a_hook_of_the_same_worktree_level_is_chained_and_restored() {
    let repository = Repository::new(&[(".huskies/project.toml", PROJECT), ("word.txt", "good\n")]);
    repository.script(
        "tools/pre-commit",
        "echo worktree pre-commit >> \"$HOME/log\"",
    );
    repository.script(
        "tools/commit-msg",
        "echo worktree commit-msg >> \"$HOME/log\"",
    );
    repository.git(&["config", "extensions.worktreeConfig", "true"]);
    repository.git(&["config", "--worktree", "core.hooksPath", "tools"]);
    let before = fs::read(repository.path.join(".git/config.worktree")).unwrap();
    repository.huskies(&["hook", "install"]).succeeded();
    repository.huskies(&["hook", "install"]).succeeded();
    repository.commit(&["--allow-empty"]).succeeded();
    assert_eq!(
        log(&repository),
        "worktree pre-commit\nworktree commit-msg\n"
    );
    repository.huskies(&["hook", "uninstall"]).succeeded();
    assert_eq!(
        fs::read(repository.path.join(".git/config.worktree")).unwrap(),
        before
    );
    assert_eq!(
        repository.git(&["config", "extensions.worktreeConfig"]),
        "true\n"
    );
}

#[test]
fn a_hook_with_input_and_arguments_gets_both() {
    let repository = guarded();
    repository.script(
        ".git/hooks/pre-push",
        "echo \"$1\" >> \"$HOME/log\"; cut -d' ' -f1 >> \"$HOME/log\"",
    );
    repository.huskies(&["hook", "install"]).succeeded();
    repository.git(&["init", "--quiet", "--bare", "../remote.git"]);
    repository.git(&["push", "--quiet", "../remote.git", "main"]);
    assert_eq!(log(&repository), "../remote.git\nrefs/heads/main\n");
    repository.script(".git/hooks/pre-push", "exit 1");
    let _said = repository
        .git_in(&repository.path, &["push", "../remote.git", "main:other"])
        .failed(1);
}
