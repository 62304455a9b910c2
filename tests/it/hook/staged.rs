//! What the gates see is what is being committed, whichever way it is committed.

use std::fs;

use super::guarded;
use crate::support::repository::{HUSKIES, Repository};

#[test]
fn a_commit_that_fails_a_gate_is_stopped_with_its_output_last() {
    let repository = guarded();
    repository.write("word.txt", "bad\n");
    let said = repository.commit(&["--all"]).failed(1);
    let (time, rest) = said.split_once(" s)").unwrap();
    assert!(time.starts_with("huskies: failed  word ("), "{said}");
    insta::assert_snapshot!(rest, @r#"
    huskies: gate `word` failed with exit status 1
    checking
    bad

    huskies: commit stopped; mend this, `git add` the mended files and commit again
    "#);
    assert_eq!(repository.commits(), 1);
    repository.write("word.txt", "good again\n");
    let said = repository.commit(&["--all"]);
    assert!(said.stderr.contains("passed  word"), "{said:?}");
    assert_eq!(repository.commits(), 2);
}

#[test]
fn only_the_last_lines_of_a_long_output_are_shown() {
    let project = "[[gate]]\nname = 'long'\ncommand = 'seq 1000; false'\non = 'commit'\n";
    let repository = Repository::new(&[]);
    repository.huskies(&["hook", "install"]).succeeded();
    repository.write(".huskies/project.toml", project);
    repository.git(&["add", "."]);
    let said = repository.commit(&[]).failed(1);
    assert!(
        said.contains("(960 lines before)\n961\n")
            && said.contains("\n1000\n")
            && !said.contains("\n960\n"),
        "{said}"
    );
}

#[test]
fn without_a_project_file_or_commit_gates_nothing_is_said() {
    for project in [None, Some("[[gate]]\nname = 'test'\ncommand = 'false'\n")] {
        let repository = Repository::new(&[]);
        repository.huskies(&["hook", "install"]).succeeded();
        if let Some(project) = project {
            repository.write(".huskies/project.toml", project);
        }
        repository.write("file", "");
        repository.git(&["add", "."]);
        let ended = repository.commit(&["--quiet"]);
        assert_eq!(
            (ended.status, ended.stdout.as_str(), ended.stderr.as_str()),
            (0, "", "")
        );
    }
}

#[test]
fn the_very_first_commit_is_judged_too() {
    let repository = Repository::new(&[]);
    repository.git(&["checkout", "--quiet", "--orphan", "fresh"]);
    repository.huskies(&["hook", "install"]).succeeded();
    repository.write(
        ".huskies/project.toml",
        &format!("{}paths = 'word.txt'\n", super::PROJECT),
    );
    repository.write("word.txt", "bad\n");
    repository.git(&["add", "."]);
    let _said = repository.commit(&[]).failed(1);
    repository.write("word.txt", "good\n");
    repository.git(&["add", "."]);
    repository.commit(&[]).succeeded();
}

#[test]
fn staged_content_is_judged_where_the_work_tree_would_pass() {
    let repository = guarded();
    repository.write("word.txt", "bad\n");
    repository.git(&["add", "word.txt"]);
    repository.write("word.txt", "good\n");
    let said = repository.commit(&[]).failed(1);
    assert!(
        said.contains("checking\nbad\n") && said.contains("judged was what is staged"),
        "{said}"
    );
}

#[test]
fn staged_content_is_judged_where_the_work_tree_would_fail_and_nothing_of_it_is_touched() {
    let repository = guarded();
    repository.write("word.txt", "good and new\n");
    repository.git(&["add", "word.txt"]);
    repository.write("word.txt", "bad\n");
    repository.write("loose.txt", "mine\n");
    let before = fs::metadata(repository.path.join("word.txt"))
        .unwrap()
        .modified()
        .unwrap();
    repository.commit(&[]).succeeded();
    assert_eq!(repository.git(&["show", "HEAD:word.txt"]), "good and new\n");
    assert_eq!(
        fs::read_to_string(repository.path.join("word.txt")).unwrap(),
        "bad\n"
    );
    assert_eq!(
        fs::metadata(repository.path.join("word.txt"))
            .unwrap()
            .modified()
            .unwrap(),
        before
    );
    assert_eq!(
        repository.git(&["status", "--porcelain"]),
        " M word.txt\n?? loose.txt\n"
    );
    assert_eq!(repository.git(&["stash", "list"]), "");
}

#[test]
fn an_untracked_file_cannot_make_a_commit_pass() {
    let project = "[[gate]]\nname = 'needs'\ncommand = 'cat needed.txt'\non = 'commit'\n";
    let repository = Repository::new(&[(".huskies/project.toml", project)]);
    repository.huskies(&["hook", "install"]).succeeded();
    repository.write("needed.txt", "here\n");
    let _said = repository.commit(&["--allow-empty"]).failed(1);
    repository.git(&["add", "--intent-to-add", "needed.txt"]);
    let _said = repository.commit(&["--allow-empty"]).failed(1);
    repository.git(&["add", "needed.txt"]);
    repository.commit(&[]).succeeded();
}

#[test]
fn ignored_dependencies_are_there_for_a_copy_too() {
    let project = "[[gate]]\nname = 'needs'\ncommand = 'test -e web/node_modules/a && test -e local.env'\non = 'commit'\n";
    let files = [
        (".huskies/project.toml", project),
        (".gitignore", "node_modules\n*.env\n"),
        ("web/page", ""),
    ];
    let repository = Repository::new(&files);
    repository.huskies(&["hook", "install"]).succeeded();
    repository.write("web/node_modules/a", "dependency");
    repository.write("local.env", "setting");
    repository.write("untracked", "makes the work tree differ");
    repository.commit(&["--allow-empty"]).succeeded();
    assert_eq!(
        fs::read_to_string(repository.path.join("web/node_modules/a")).unwrap(),
        "dependency"
    );
}

#[test]
fn commit_all_and_commit_path_are_judged_as_git_builds_them() {
    let repository = guarded();
    repository.write("other.txt", "1\n");
    repository.git(&["add", "other.txt"]);
    repository.write("word.txt", "bad\n");
    // Only `other.txt` is being committed: the bad word is not part of it.
    repository.commit(&["other.txt"]).succeeded();
    repository.write("other.txt", "2\n");
    repository.git(&["add", "other.txt"]);
    // Only `word.txt` is being committed, from the work tree.
    let said = repository.commit(&["word.txt"]).failed(1);
    assert!(said.contains("checking\nbad\n"), "{said}");
    let _said = repository.commit(&["--all"]).failed(1);
    repository.write("word.txt", "good\nfinally\n");
    repository.commit(&["word.txt"]).succeeded();
    assert_eq!(
        repository.git(&["diff", "--cached", "--name-only"]),
        "other.txt\n"
    );
    repository.git(&["fsck", "--strict"]);
}

#[test]
fn an_amended_commit_is_judged() {
    let repository = guarded();
    repository.write("word.txt", "bad\n");
    let _said = repository.commit(&["--amend", "--all"]).failed(1);
    assert_eq!(repository.git(&["show", "HEAD:word.txt"]), "good\n");
    repository.write("word.txt", "good, amended\n");
    repository.commit(&["--amend", "--all"]).succeeded();
    assert_eq!(
        (
            repository.git(&["show", "HEAD:word.txt"]).as_str(),
            repository.commits()
        ),
        ("good, amended\n", 1)
    );
}

#[test]
fn gates_are_those_of_the_staged_project_file_and_a_bad_one_stops_the_commit() {
    let repository = guarded();
    repository.write(
        ".huskies/project.toml",
        &super::PROJECT.replace("command", "comand"),
    );
    let said = repository.commit(&["--all"]).failed(1);
    assert!(
        said.contains(".huskies/project.toml:3: unknown key `comand`"),
        "{said}"
    );
    // The work tree's file is not the one that is being committed.
    repository.write("word.txt", "good still\n");
    repository.git(&["add", "word.txt"]);
    repository.commit(&[]).succeeded();
}

#[test]
fn a_gate_whose_paths_did_not_change_is_skipped() {
    let repository = guarded();
    repository.write(
        ".huskies/project.toml",
        &format!("{}paths = 'word.txt'\n", super::PROJECT),
    );
    repository.commit(&["--all"]).succeeded();
    repository.write("other", "");
    repository.git(&["add", "other"]);
    let ended = repository.commit(&[]);
    assert!(
        ended.status == 0 && ended.stderr.contains("skipped word"),
        "{ended:?}"
    );
}

#[test]
fn no_git_variable_reaches_a_gate_and_its_own_git_cannot_harm_the_index() {
    let project = "[[gate]]\nname = 'other-git'\non = 'commit'\ncommand = '''\nenv | grep ^GIT_ && exit 1\n\
                   cd \"$TMPDIR\" && git init -q inner && cd inner && echo x > x && git add x && git ls-files\n'''\n";
    let repository = Repository::new(&[(".huskies/project.toml", project), ("file", "1\n")]);
    let linked = repository.linked("linked");
    linked.huskies(&["hook", "install"]).succeeded();
    let scratch = tempfile::tempdir().unwrap();
    linked.write("file", "2\n");
    let mut commit = repository.command("git", &linked.path);
    let ended = commit
        .args(["commit", "--all", "--message=x"])
        .env("TMPDIR", scratch.path())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(scratch.path().join("inner/.git/index").exists());
    assert_eq!(
        linked.git(&["ls-files"]).succeeded(),
        ".huskies/project.toml\nfile\n"
    );
    assert_eq!(linked.git(&["status", "--porcelain"]).succeeded(), "");
}

#[test]
fn an_interrupted_commit_leaves_no_gate_behind() {
    use std::io::{BufRead, BufReader};
    let fifo_project = |fifo: &str| {
        format!(
            "[[gate]]\nname = 'slow'\ncommand = 'echo $$ > {fifo}; exec sleep 1000'\non = 'commit'\n"
        )
    };
    let repository = Repository::new(&[]);
    let fifo = repository.room().join("fifo");
    assert!(
        repository
            .command("mkfifo", repository.room())
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    repository.write(
        ".huskies/project.toml",
        &fifo_project(fifo.to_str().unwrap()),
    );
    repository.git(&["add", "."]);
    let mut hook = repository
        .command(HUSKIES, &repository.path)
        .args(["hook", "run", "pre-commit"])
        .spawn()
        .unwrap();
    let mut gate = String::new();
    BufReader::new(fs::File::open(&fifo).unwrap())
        .read_line(&mut gate)
        .unwrap();
    let id = hook.id().to_string();
    assert!(
        repository
            .command("kill", repository.room())
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(hook.wait().unwrap().code(), Some(130));
    assert!(!std::path::Path::new("/proc").join(gate.trim()).exists());
}
