//! A repository with a project file, for the server to serve.

use std::path::Path;
use std::process::Command;

/// One agent that is done at once; nothing of it matters.
pub(crate) fn one_agent() -> String {
    format!("{HEAD}{}", agent(0, "true"))
}

/// Agents that print for ever, and gates that never rest beside them: each turn hashes a little.
pub(crate) fn fifty_agents() -> String {
    let turn = "touch \\\"$HUSKIES_WORKTREE/../started-$HUSKIES_ATTEMPT-${HUSKIES_STORY##*#}\\\"; \
                while :; do echo working; head -c 100000 /dev/urandom | sha256sum; sleep 0.5; done";
    let agents: Vec<String> = (0..50).map(|number| agent(number, turn)).collect();
    format!("{HEAD}{}", agents.concat())
}

const HEAD: &str = "land = \"push\"\n[[gate]]\nname = \"test\"\ncommand = \"true\"\n";

fn agent(number: usize, command: &str) -> String {
    format!(
        "[[agent]]\nname = \"coder-{number}\"\nstage = \"coder\"\nruntime = \"command\"\n\
         command = \"{command}\"\n"
    )
}

/// Makes it at `path`, with `project` as its project file.
pub(crate) fn create(path: &Path, project: &str) {
    std::fs::create_dir_all(path.join(".huskies")).unwrap();
    std::fs::write(path.join(".huskies/project.toml"), project).unwrap();
    git(path, &["init", "-q", "-b", "main"]);
    git(path, &["add", "-A"]);
    git(path, &["commit", "-q", "-m", "Begin"]);
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = [
        "-c",
        "user.name=Bench",
        "-c",
        "user.email=bench@example.com",
    ];
    let status = Command::new("git")
        .current_dir(folder)
        .args(identity)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .status()
        .unwrap();
    assert!(status.success(), "git {arguments:?}");
}
