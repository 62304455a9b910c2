//! `huskies demo`, the first command that the README names.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde_json::Value;

use crate::support::git::HERMETIC;
use crate::support::repository::HUSKIES;
use crate::support::sweep::{kill_everything_of, processes_of};

/// The keys of a story, sorted, and what their values are. Scripts depend on them.
const SHAPE: [(&str, &[&str]); 8] = [
    ("attempts", &["number"]),
    ("comments", &["number"]),
    ("commit", &["string", "null"]),
    ("gate_runs", &["number"]),
    ("id", &["string"]),
    ("receipt", &["object", "null"]),
    ("stage", &["string"]),
    ("statuses", &["number"]),
];

/// Runs the demonstration with a temporary folder of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "git is found by the search path of whoever runs the tests"
)]
fn demo(room: &Path, arguments: &[&str]) -> Output {
    let (home, temporary) = (room.join("home"), room.join("tmp"));
    fs::create_dir_all(&home).unwrap();
    fs::create_dir_all(&temporary).unwrap();
    Command::new(HUSKIES)
        .arg("demo")
        .args(arguments)
        .current_dir(room)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("TMPDIR", temporary)
        .envs(HERMETIC)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What the demonstration left in its temporary folder.
fn left(room: &Path) -> Vec<String> {
    fs::read_dir(room.join("tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// What does not end by itself. A supervisor whose run is over needs a moment to go; one whose run is
/// not would stay for a minute.
fn still_running(room: &Path) -> Vec<Pid> {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let running = processes_of(room);
        if running.is_empty() || Instant::now() > deadline {
            return running;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn assert_documented_shape(story: &Value) {
    let story = story.as_object().unwrap();
    let keys: Vec<&str> = story.keys().map(String::as_str).collect();
    assert_eq!(keys, SHAPE.map(|(key, _)| key));
    for (key, kinds) in SHAPE {
        let found = kind(&story[key]);
        assert!(kinds.contains(&found), "`{key}` is a {found}: {story:?}");
    }
}

#[test]
fn the_demonstration_ends_as_documented_and_leaves_nothing_behind() {
    let room = tempfile::tempdir().unwrap();
    let ended = demo(room.path(), &["--json"]);
    let running = still_running(room.path());
    kill_everything_of(room.path());
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(running.is_empty(), "still running: {running:?}");
    assert_eq!(left(room.path()), Vec::<String>::new());

    let printed = text(&ended.stdout);
    assert_eq!(printed.lines().count(), 1, "{printed}");
    let result: Value = serde_json::from_str(&printed).unwrap();
    let keys: Vec<&String> = result.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["stories"]);
    let stories = result["stories"].as_array().unwrap();
    for (place, story) in stories.iter().enumerate() {
        assert_documented_shape(story);
        assert_eq!(story["id"], format!("demo/greeter#{}", place + 1));
        assert_eq!(story["stage"], "done");
        assert_eq!(story["receipt"]["commit"], story["commit"]);
    }
    assert_expected_course(stories);
}

/// The first story fails a gate and mends it; of the other two, the one that lands second meets
/// the change of the one that landed first.
fn assert_expected_course(stories: &[Value]) {
    let mut attempts: Vec<u64> = stories
        .iter()
        .map(|story| story["attempts"].as_u64().unwrap())
        .collect();
    assert_eq!(attempts[0], 2, "{attempts:?}");
    attempts[1..].sort_unstable();
    assert_eq!(attempts, [2, 1, 2], "one of the rivals is tried again");
    // A sticky comment and one that says that it is done; the conflict has one of its own.
    let mut comments: Vec<u64> = stories
        .iter()
        .map(|story| story["comments"].as_u64().unwrap())
        .collect();
    comments.sort_unstable();
    assert_eq!(comments, [2, 2, 3]);
    let bases: std::collections::BTreeSet<&str> = stories
        .iter()
        .map(|story| story["receipt"]["base"].as_str().unwrap())
        .collect();
    assert_eq!(bases.len(), stories.len(), "each landed on what was there");
}

#[test]
fn people_see_the_course_of_the_demonstration_and_can_keep_it() {
    let room = tempfile::tempdir().unwrap();
    let ended = demo(room.path(), &["--keep"]);
    kill_everything_of(room.path());
    let shown = text(&ended.stdout);
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{shown}{}",
        text(&ended.stderr)
    );
    for part in [
        "#1  opened and started: Greet the world",
        "    2 attempts, 6 gate runs, 0 conflicts, 2 comments, ",
        "    1 attempt, 4 gate runs, 0 conflicts,",
        "gates failed: test",
        "conflicts with the base branch",
        "landed as ",
        "All as it should be.",
    ] {
        assert!(shown.contains(part), "`{part}` is missing:\n{shown}");
    }
    assert!(
        !shown.contains('\u{1b}'),
        "colours are for terminals: {shown:?}"
    );
    let [kept] = &left(room.path())[..] else {
        panic!("{:?}", left(room.path()));
    };
    let greeter = room.path().join("tmp").join(kept).join("greeter");
    let greeting = fs::read_to_string(greeter.join("greet.sh")).unwrap();
    assert_eq!(greeting, "echo \"Hello, world!\"\n");
}
