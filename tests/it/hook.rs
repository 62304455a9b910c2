//! The pre-commit hook in real repositories: installed by the real binary, fired by real commits.

mod chain;
mod install;
mod staged;

use crate::support::repository::Repository;

/// `word.txt` must hold `good`; the gate says what it found.
const PROJECT: &str = "[[gate]]\nname = 'word'\ncommand = 'echo checking; cat word.txt; grep -q good word.txt'\non = 'commit'\n";

/// A repository with the project above, `word.txt` committed as good, and the hook installed.
fn guarded() -> Repository {
    let repository = Repository::new(&[(".huskies/project.toml", PROJECT), ("word.txt", "good\n")]);
    repository.huskies(&["hook", "install"]).succeeded();
    repository
}

/// What `huskies hook status` calls the hook's state there.
fn status_in(repository: &Repository, directory: &std::path::Path) -> String {
    let ended = repository.huskies_in(directory, &["hook", "status", "--json"]);
    let value: serde_json::Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    let status = value["status"].as_str().unwrap().to_owned();
    assert_eq!(ended.status, i32::from(status != "installed"));
    match value["why"]["breakage"].as_str() {
        Some(breakage) => format!("{status}: {breakage}"),
        None => status,
    }
}
