//! Who may know whom. The rooms of `src/` and the arrows between them are the design; this test is
//! where they are written down and held.
//!
//! It reads the sources as text: every path that begins with `crate::` or climbs by `super::` is
//! resolved to the room it leads to. Test code is left out.

mod source;

use std::collections::BTreeSet;

use source::{SourceFile, sources};

/// A room and what it may know: another room, or one module of it.
const ARROWS: &[(&str, &[&str])] = &[
    // The product. It knows nothing, and nothing of the outside either: see `PURE`.
    ("domain", &[]),
    // A crash at a named point, for tests of recovery. The server passes it on; it is off outside tests.
    ("crash", &[]),
    // Secrets that may be rotated: whoever uses one, or hides one, asks for it.
    ("secret", &[]),
    // Adapters: each knows the domain, and none knows another.
    ("process", &["domain"]),
    ("git", &["domain", "secret"]),
    ("forge", &["domain", "secret"]),
    ("webhook", &["domain"]),
    // What a comment says. Reading one is not receiving one: the two do not know each other.
    ("command", &["domain"]),
    ("report", &["domain", "secret"]),
    ("store", &["domain", "crash"]),
    // The walls around process trees. They know paths and numbers, and nothing of stories.
    ("sandbox", &[]),
    // Agents and gates are process trees that are watched over, and confined.
    ("agent", &["domain", "process", "sandbox"]),
    ("gate", &["domain", "process", "sandbox"]),
    // The hook is the gates at another moment: it reads the project file that is being committed
    // and runs its gates. The only adapter that stands on another one.
    ("hook", &["domain", "gate", "config::project"]),
    // What a run under a supervisor can be: the one place that knows both ends.
    ("supervised", &["agent", "gate", "process"]),
    // Settings become domain values. The mark of a supervised run is a variable of the environment,
    // and only `config` reads that.
    ("config", &["domain", "process::tree", "secret"]),
    ("init", &["config::project"]),
    // Time is a value that is asked for; timers that are due are told to the engine.
    ("clock", &[]),
    ("engine", &["clock", "domain", "store"]),
    ("timer", &["clock", "domain", "store", "engine"]),
    // Hands and mouth of the engine: every adapter, and where results go.
    (
        "executor",
        &[
            "domain",
            "engine",
            "store",
            "config",
            "crash",
            "process",
            "supervised",
            "git",
            "hook",
            "gate",
            "agent",
            "forge",
            "report",
            "sandbox",
            // What nobody delivered is read here.
            "command",
        ],
    ),
    // What is old goes, and a full disk is said: asks every adapter that keeps something.
    (
        "upkeep",
        &[
            "clock",
            "config::server",
            "domain",
            "engine",
            "git",
            "process::run_folder",
            "store",
        ],
    ),
    // One other way to a person. It is told what to say.
    ("notify", &[]),
    // The store and the repositories in one file. A server need not run, and does not notice.
    ("backup", &["git", "store"]),
    (
        "web",
        &[
            "clock",
            "command",
            "domain",
            "engine",
            "store",
            "forge",
            "report",
            "webhook",
            "process::run_folder",
            "secret",
            "upkeep",
        ],
    ),
    // The composition root.
    (
        "app",
        &[
            "clock", "config", "crash", "domain", "engine", "executor", "forge", "git", "notify",
            "process", "report", "sandbox", "secret", "store", "timer", "upkeep", "web",
        ],
    ),
    // The command line starts the server, talks to it, and runs gates and hooks itself.
    (
        "cli",
        &[
            "app",
            "backup",
            "clock",
            "upkeep",
            "web",
            "config",
            "domain",
            "gate",
            "hook",
            "init",
            "sandbox",
            "agent::session",
            // The log goes through the masker.
            "report",
            // Setting a repository up, and what a token may, are asked of the forge itself.
            "forge",
            "secret",
        ],
    ),
    (
        "main",
        &["cli", "config", "process", "sandbox", "supervised"],
    ),
];

/// Rooms that decide or word things from what they are given, and do nothing.
const PURE: [&str; 4] = ["command", "domain", "report", "webhook"];
/// What they would do it with.
const OUTSIDE: [&str; 14] = [
    "tokio",
    "git2",
    "sqlx",
    "reqwest",
    "octocrab",
    "axum",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "Timestamp::now",
];

/// Lines of code in a file, without comments, blank lines and tests.
const LONGEST_FILE: usize = 450;

#[test]
fn every_arrow_between_rooms_is_one_that_is_written_down() {
    let mut faults = Vec::new();
    for file in &sources() {
        let room = file.room();
        let allowed = allowed(room);
        for reference in file.references() {
            let known = allowed.is_some_and(|allowed| leads_into(&reference.path, allowed));
            if reference.room() != room && !known {
                let path = reference.path.join("::");
                faults.push(format!(
                    "{}:{}: `{room}` must not know `{path}`",
                    file.path, reference.line
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_arrow_that_is_written_down_is_used() {
    let used: BTreeSet<(String, Vec<String>)> = sources()
        .iter()
        .flat_map(|file| {
            let room = file.room().to_owned();
            let references = file.references();
            references
                .into_iter()
                .map(move |reference| (room.clone(), reference.path))
        })
        .collect();
    for (room, allowed) in ARROWS {
        for arrow in *allowed {
            let is_used = used
                .iter()
                .any(|(from, path)| from == room && leads_into(path, &[*arrow]));
            assert!(
                is_used,
                "`{room}` does not know `{arrow}` any more: take it out"
            );
        }
    }
}

#[test]
fn pure_rooms_touch_nothing_outside() {
    let mut faults = Vec::new();
    for file in sources().iter().filter(|file| PURE.contains(&file.room())) {
        for (number, line) in file.code().lines().enumerate() {
            let found = OUTSIDE.iter().find(|name| has_word(line, name));
            faults.extend(found.map(|name| {
                format!(
                    "{}:{}: `{}` is pure and must not use `{name}`",
                    file.path,
                    number + 1,
                    file.room()
                )
            }));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_room_is_in_the_table_and_the_table_names_no_other() {
    let rooms: BTreeSet<String> = sources()
        .iter()
        .map(|file| file.room().to_owned())
        .filter(|room| room != "lib")
        .collect();
    let named: BTreeSet<String> = ARROWS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms, named);
}

#[test]
fn every_file_is_short_and_says_what_it_is_for() {
    let mut faults = Vec::new();
    for file in &sources() {
        let length = file.lines_of_code();
        if length > LONGEST_FILE {
            faults.push(format!(
                "{}: {length} lines of code; at most {LONGEST_FILE}, so split it",
                file.path
            ));
        }
        if !file.text.starts_with("//!") {
            faults.push(format!(
                "{}:1: it does not begin with a `//!` comment",
                file.path
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn allowed(room: &str) -> Option<&'static [&'static str]> {
    ARROWS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, allowed)| *allowed)
}

/// Whether a path leads into one of these modules.
fn leads_into(path: &[String], modules: &[&str]) -> bool {
    modules.iter().any(|module| {
        let module: Vec<&str> = module.split("::").collect();
        path.len() >= module.len() && module.iter().zip(path).all(|(name, step)| name == step)
    })
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// The reading itself is tested too: a test that sees nothing holds nothing.
#[test]
fn paths_are_found_in_every_form_in_which_they_are_written() {
    let file = SourceFile {
        path: "src/one/two.rs".to_owned(),
        module: vec!["one".to_owned(), "two".to_owned()],
        text: [
            "//! crate::in_a_comment::x",
            "use crate::{three::Four, five::{six, Seven}};",
            "use super::super::eight::Nine;",
            "use super::sibling;",
            "pub(crate) fn call() { crate::ten::go(\"crate::in_a_string\") }",
            "/* crate::in_a_block */ // crate::behind",
            "#[cfg(test)]",
            "mod tests {",
            "    use crate::in_a_test;",
            "}",
            "",
        ]
        .join("\n"),
    };
    let found: Vec<(usize, String)> = file
        .references()
        .into_iter()
        .map(|reference| (reference.line, reference.path.join("::")))
        .collect();
    let expected = [
        (2, "three::Four"),
        (2, "five::six"),
        (2, "five::Seven"),
        (3, "eight::Nine"),
        (4, "one::sibling"),
        (5, "ten::go"),
    ];
    assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
    assert_eq!(file.lines_of_code(), 4);
}
