//! `huskies gate` and `huskies init` through the real binary.

use crate::support::repository::Repository;

const PROJECT: &str = "\
[[component]]
name = 'all'
setup = 'echo made > made.txt'
[[gate]]
name = 'word'
command = 'cat word.txt; grep -q good word.txt'
[[gate]]
name = 'set-up'
command = 'test -e made.txt'
on = 'merge'
";

#[test]
fn the_exit_status_tells_a_pass_from_a_failure_from_no_gate_at_all() {
    let repository = Repository::new(&[(".huskies/project.toml", PROJECT), ("word.txt", "good\n")]);
    let shown = repository.huskies(&["gate"]).succeeded();
    assert!(shown.contains("passed  word"), "{shown}");
    repository.write("word.txt", "bad\n");
    let ended = repository.huskies(&["gate", "word"]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(
        ended
            .stdout
            .ends_with("gate `word` failed with exit status 1\nbad\n\n1 of 1 gates failed\n"),
        "{ended:?}"
    );
    let said = repository.huskies(&["gate", "wrod"]).failed(2);
    assert!(
        said.contains("there is no gate `wrod`; there are: word, set-up"),
        "{said}"
    );
    let said = repository.huskies(&["gate", "--on", "commit"]).failed(2);
    assert!(said.contains("marks no gate for this moment"), "{said}");
    repository.write(".huskies/project.toml", "max_retries = 1");
    let said = repository.huskies(&["gate"]).failed(2);
    assert!(said.contains("has no [[gate]]"), "{said}");
}

#[test]
fn a_commit_is_judged_on_a_clean_checkout_with_set_up() {
    let repository = Repository::new(&[(".huskies/project.toml", PROJECT), ("word.txt", "good\n")]);
    repository.write("word.txt", "bad\n");
    let json = repository
        .huskies(&["gate", "--commit", "HEAD", "--on", "merge", "--json"])
        .succeeded();
    let result: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(result["passed"], true);
    assert_eq!(
        result["commit"],
        repository.git(&["rev-parse", "HEAD"]).trim()
    );
    assert_eq!(
        result["tree"],
        repository.git(&["rev-parse", "HEAD^{tree}"]).trim()
    );
    assert_eq!(result["gates"].as_array().unwrap().len(), 2);
    assert_eq!(repository.git(&["status", "--porcelain"]), " M word.txt\n");
    let said = repository
        .huskies(&["gate", "--commit=--upload-pack=x"])
        .failed(2);
    assert!(said.contains("rev-parse"), "{said}");
}

#[test]
fn a_failed_set_up_is_no_verdict() {
    let project = PROJECT.replace("echo made > made.txt", "echo no network; exit 7");
    let repository =
        Repository::new(&[(".huskies/project.toml", &project), ("word.txt", "good\n")]);
    let said = repository.huskies(&["gate", "--commit", "HEAD"]).failed(1);
    assert!(
        said.contains("set-up failed, so no gate was run") && said.contains("no network"),
        "{said}"
    );
}

#[test]
fn init_writes_a_file_that_gate_can_use_and_never_overwrites_it() {
    let repository = Repository::new(&[("Makefile", "test:\n\techo tested\n")]);
    let said = repository.huskies(&["gate"]).failed(2);
    assert!(said.contains("run `huskies init`"), "{said}");
    repository.huskies(&["init"]).succeeded();
    let shown = repository.huskies(&["gate"]).succeeded();
    assert!(shown.contains("passed  test"), "{shown}");
    let said = repository.huskies(&["init"]).failed(2);
    assert!(said.contains("is there already"), "{said}");
    repository.huskies(&["init", "--force"]).succeeded();
    assert!(repository.path.join(".huskies/project.toml.old").exists());
}
