//! The first steps of a new user: in a repository of theirs, without an account and a configuration.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::repository::{Ended, HUSKIES, Repository};
use crate::support::sweep::kill_everything_of;

/// Behind what `huskies init` wrote.
const AGENT: &str =
    "\n[[agent]]\nname = 'scripted'\nruntime = 'command'\ncommand = 'sh agent.sh'\n";

/// `huskies serve` without a configuration, in a person's repository.
struct Served<'a> {
    repository: &'a Repository,
    server: Child,
}

impl<'a> Served<'a> {
    fn start(repository: &'a Repository) -> Self {
        Self::start_with(repository, &[])
    }

    fn start_with(repository: &'a Repository, arguments: &[&str]) -> Self {
        let mut server = repository
            .command(HUSKIES, &repository.path)
            .env("TMPDIR", repository.room())
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(repository.room().join("server.log")).unwrap())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut stdout = BufReader::new(server.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        let running = Self { repository, server };
        let said: Value = serde_json::from_str(&first)
            .unwrap_or_else(|error| panic!("{error}: `{first}`\n{}", running.log()));
        assert!(said["listening"].is_string(), "{said}");
        running
    }

    fn log(&self) -> String {
        fs::read_to_string(self.repository.room().join("server.log")).unwrap()
    }

    fn stop(&mut self) -> Option<i32> {
        let pid = i32::try_from(self.server.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        self.server.wait().unwrap().code()
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        // It is gone already where the test stopped it.
        let _gone = self.server.kill();
        let _status = self.server.wait();
        kill_everything_of(self.repository.room());
    }
}

fn stage(ended: &Ended) -> String {
    let story: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    story["stage"].as_str().unwrap_or_default().to_owned()
}

/// A project with a gate that `huskies init` finds, and a scripted agent.
fn project(agent: &str) -> Repository {
    let repository = Repository::new(&[
        ("Makefile", "test:\n\tgrep -q good word.txt\n"),
        ("agent.sh", agent),
        ("word.txt", "bad\n"),
    ]);
    repository.huskies(&["init"]).succeeded();
    let file = repository.path.join(".huskies/project.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (before, _) = text.split_once("[[agent]]").unwrap();
    fs::write(&file, format!("{before}{AGENT}")).unwrap();
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message=Take huskies in"]);
    repository
}

#[test]
fn a_story_goes_all_the_way_in_a_repository_without_an_account() {
    let repository =
        project("echo writing a good word; echo good > word.txt; git commit -qam 'Be good'\n");
    let mut served = Served::start(&repository);
    let opened = repository
        .huskies(&[
            "story",
            "new",
            "Be good",
            "--body",
            "Say good.",
            "--start",
            "--json",
        ])
        .succeeded();
    assert_eq!(opened, "{\"id\":\"local/main#1\",\"number\":1}\n");
    let logged = repository.huskies(&["logs", "1", "--follow"]).succeeded();
    assert!(logged.starts_with("writing a good word\n"), "{logged}");
    let waited = repository.huskies(&["story", "wait", "#1", "--json"]);
    assert_eq!(waited.status, 0, "{waited:?}\n{}", served.log());
    assert_eq!(stage(&waited), "done");
    assert_eq!(
        fs::read_to_string(repository.path.join("word.txt")).unwrap(),
        "good\n"
    );
    assert_eq!(
        repository.git(&["log", "-1", "--format=%s"]),
        "Be good (#1)\n"
    );
    assert_eq!(served.stop(), Some(0), "{}", served.log());
    let gone = repository.huskies(&["story", "list"]).failed(3);
    assert!(
        gone.contains("hint: start one with `huskies serve`"),
        "{gone}"
    );
}

#[test]
fn a_story_that_was_not_started_is_told_from_one_that_is_not_there() {
    let repository = project("exit 0\n");
    let _served = Served::start(&repository);
    repository.huskies(&["story", "new", "Later"]).succeeded();
    let said = repository.huskies(&["story", "show", "1"]).failed(1);
    assert!(said.contains("local/main#1 was not started yet"), "{said}");
    assert!(said.contains("`huskies story start 1`"), "{said}");
}

#[test]
fn a_parent_issue_waits_for_its_parts_on_the_built_in_forge_too() {
    let work = "cp \"$HUSKIES_PROMPT_FILE\" \"prompt-${HUSKIES_STORY##*#}\"; echo good > word.txt; \
                git add -A; git commit -qm 'Be good'\n";
    let repository = project(work);
    let served = Served::start(&repository);
    let new = |arguments: &[&str]| {
        let command = [&["story", "new"], arguments].concat();
        repository.huskies(&command).succeeded()
    };
    new(&["Be good", "--body", "In every way.", "--start"]);
    repository.huskies(&["story", "wait", "1"]).succeeded();
    new(&["Be better", "--body", "In two ways.\n\nDepends on #1"]);
    new(&["Be kind", "--parent", "2"]);
    let missing = ["story", "new", "Be rude", "--parent", "99"];
    repository.huskies(&missing).failed(1);
    let shown = repository.huskies(&["story", "start", "2"]).succeeded();
    assert!(
        shown.contains("because  It waits for #3 (Be kind, a part of it, open)."),
        "{shown}"
    );
    let status = repository.huskies(&["status"]).succeeded();
    assert!(
        status.contains("waiting  local/main#2: It waits for #3"),
        "{status}"
    );
    repository.huskies(&["story", "start", "3"]).succeeded();
    let waited = repository.huskies(&["story", "wait", "2", "--json"]);
    assert_eq!(stage(&waited), "done", "{}", served.log());
    let prompt = fs::read_to_string(repository.path.join("prompt-3")).unwrap();
    let larger = "This is one part of a larger piece of work:\n\nBe better\n\nIn two ways.";
    assert!(prompt.starts_with(larger), "{prompt}");
}

#[test]
fn a_cancelled_story_ends_and_its_agent_with_it() {
    let repository = project("echo at work; sleep 600\n");
    let _served = Served::start(&repository);
    repository
        .huskies(&["story", "new", "Never mind", "--start"])
        .succeeded();
    repository.huskies(&["story", "cancel", "1"]).succeeded();
    let ended = repository.huskies(&["story", "wait", "1", "--json"]);
    assert_eq!((ended.status, stage(&ended)), (1, "cancelled".to_owned()));
}

#[test]
fn a_long_sentence_about_an_event_is_one_short_line() {
    let repository = project("head -c 3000 /dev/zero | tr '\\0' x; exit 1\n");
    let _served = Served::start(&repository);
    repository
        .huskies(&["story", "new", "Fail", "--start"])
        .succeeded();
    repository.huskies(&["story", "wait", "1"]).failed(1);
    let events = repository.huskies(&["story", "events", "1"]).succeeded();
    assert!(
        events.contains("the agent broke off: exit status 1"),
        "{events}"
    );
    let longest = events.lines().map(|line| line.chars().count()).max();
    assert!(longest.unwrap() <= 240, "{events}");
}

#[test]
fn the_server_says_what_it_serves_and_colours_nothing_in_a_file() {
    let repository = project("exit 0\n");
    let mut served = Served::start(&repository);
    served.stop();
    let log = served.log();
    assert!(
        log.contains("local/main") && log.contains("huskies story new"),
        "{log}"
    );
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

#[test]
fn the_configuration_is_named_before_or_behind_the_subcommand() {
    let repository = Repository::new(&[]);
    let file = repository.room().join("huskies.toml");
    let data = repository.room().join("data");
    fs::write(&file, format!("data_dir = {data:?}\n")).unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        ["story", "--config", file, "list"],
        ["story", "list", "--config", file],
    ] {
        let said = repository.huskies(&arguments).failed(3);
        assert!(
            said.contains("no server has served this data folder"),
            "{said}"
        );
    }
}

#[test]
fn relative_paths_in_the_configuration_begin_at_its_folder() {
    let repository = project("echo good > word.txt; git commit -qam 'Be good'\n");
    let file = repository.room().join("huskies.toml");
    let text = "listen = '127.0.0.1:0'\ndata_dir = 'data'\n\
        [[repo]]\nname = 'octo/app'\npath = 'main'\nforge = 'local'\n";
    fs::write(&file, text).unwrap();
    let served = Served::start_with(&repository, &["--config", "../huskies.toml"]);
    let elsewhere = repository.room().join("home");
    let huskies = |arguments: &[&str]| {
        let config = ["--config", file.to_str().unwrap()];
        repository.huskies_in(&elsewhere, &[arguments, &config].concat())
    };
    huskies(&["story", "new", "Be good", "--start"]).succeeded();
    let waited = huskies(&["story", "wait", "1"]);
    assert_eq!(waited.status, 0, "{waited:?}\n{}", served.log());
    assert!(repository.room().join("data/huskies.db").is_file());
}

#[test]
fn init_and_gate_find_the_root_from_any_folder_of_the_repository() {
    let repository = Repository::new(&[
        ("Makefile", "test:\n\techo tested\n"),
        ("deep/down/file", ""),
    ]);
    let deep = repository.path.join("deep/down");
    repository.huskies_in(&deep, &["init"]).succeeded();
    assert!(is_file(&repository.path, ".huskies/project.toml"));
    assert!(!deep.join(".huskies").exists());
    let shown = repository.huskies_in(&deep, &["gate"]).succeeded();
    assert!(shown.contains("passed  test"), "{shown}");
}

fn is_file(folder: &Path, name: &str) -> bool {
    folder.join(name).is_file()
}
