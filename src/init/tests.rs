//! What is found in a repository, and that what is written can be read again.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::project::parse;
use crate::domain::project::{Land, Moment, Project};

fn project(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

/// What is suggested, one line each: set-up first, `*` marks gates that run at commits too.
fn suggested(files: &[(&str, &str)]) -> Vec<String> {
    let suggestions = detect(project(files).path()).unwrap();
    parsed(&render_project_toml(&suggestions));
    let setup = suggestions
        .components
        .iter()
        .map(|component| format!("{}: {}", component.name, component.setup.join("; ")));
    let gates = suggestions.gates.iter().map(|gate| {
        format!(
            "{}{} = {}",
            if gate.quick { "*" } else { "" },
            gate.name,
            gate.command
        )
    });
    setup.chain(gates).collect()
}

fn parsed(text: &str) -> Project {
    parse(text, PROJECT_FILE, Land::Push).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn a_cargo_project_gets_clippy_only_when_it_configures_lints() {
    assert_eq!(
        suggested(&[("Cargo.toml", "[package]")]),
        ["*fmt = cargo fmt --all --check", "test = cargo test"]
    );
    let with_clippy = [
        "*fmt = cargo fmt --all --check",
        "clippy = cargo clippy --all-targets -- -D warnings",
        "test = cargo test",
    ];
    assert_eq!(
        suggested(&[("Cargo.toml", "[package]\n[lints.clippy]")]),
        with_clippy
    );
    assert_eq!(
        suggested(&[("Cargo.toml", "[package]"), (".clippy.toml", "")]),
        with_clippy
    );
}

#[test]
fn a_node_project_gets_the_scripts_it_has_with_its_own_package_manager() {
    let manifest = r#"{"scripts": {"test": "vitest", "lint": "eslint .", "typecheck": "tsc", "build": "x"}, "devDependencies": {"a": "1"}}"#;
    let suggestions = |lockfile: &str| suggested(&[("package.json", manifest), (lockfile, "")]);
    assert_eq!(
        suggestions("package-lock.json"),
        [
            "node: npm ci",
            "*lint = npm run lint",
            "typecheck = npm run typecheck",
            "test = npm run test"
        ]
    );
    assert_eq!(
        suggestions("pnpm-lock.yaml")[0],
        "node: pnpm install --frozen-lockfile"
    );
    assert_eq!(suggestions("yarn.lock")[3], "test = yarn run test");
    assert_eq!(
        suggestions("bun.lock")[0],
        "node: bun install --frozen-lockfile"
    );
    assert_eq!(suggestions("other")[0], "node: npm install");
}

#[test]
fn the_test_script_that_npm_init_writes_is_no_test() {
    let manifest = r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#;
    assert!(suggested(&[("package.json", manifest)]).is_empty());
}

#[test]
fn a_python_project_is_set_up_as_its_lockfile_says() {
    let uv = [
        ("pyproject.toml", "[project]\n[tool.pytest.ini_options]"),
        ("uv.lock", ""),
    ];
    assert_eq!(
        suggested(&uv),
        ["python: uv sync --locked", "test = uv run pytest"]
    );
    let bare = [("tests/test_a.py", "")];
    assert_eq!(suggested(&bare), ["test = python3 -m pytest"]);
    let requirements = [("pytest.ini", ""), ("requirements.txt", "")];
    assert_eq!(
        suggested(&requirements)[1],
        "test = .venv/bin/python -m pytest"
    );
    assert!(suggested(&[("pyproject.toml", "[project]"), ("tests/data.json", "")]).is_empty());
}

#[test]
fn go_and_make_projects_are_found() {
    assert_eq!(
        suggested(&[("go.mod", "module x")]),
        ["*vet = go vet ./...", "test = go test ./..."]
    );
    let makefile = "check := x\nlint test: all\n\techo test\n# check: no\n.PHONY: check\nbuild:\n";
    assert_eq!(
        suggested(&[("Makefile", makefile)]),
        ["lint = make lint", "test = make test"]
    );
}

#[test]
fn names_that_two_tools_share_say_whose_they_are() {
    let files = [
        ("Cargo.toml", "[package]"),
        ("go.mod", "module x"),
        ("Makefile", "test:\n"),
    ];
    assert_eq!(
        suggested(&files),
        [
            "*fmt = cargo fmt --all --check",
            "cargo-test = cargo test",
            "*vet = go vet ./...",
            "go-test = go test ./..."
        ]
    );
}

#[test]
fn the_file_explains_itself_and_its_examples_are_valid() {
    let text =
        render_project_toml(&detect(project(&[("Cargo.toml", "[package]")]).path()).unwrap());
    for forges_default in [Land::PullRequest, Land::Push] {
        let project = parse(&text, PROJECT_FILE, forges_default).unwrap();
        assert_eq!(project.land, forges_default);
    }
    let project = parsed(&text);
    assert!(!text.contains("\n\n\n"), "{text}");
    assert_eq!(project.gates_on(Moment::Commit).len(), 1);
    assert_eq!(project.agents.len(), 1);
    // Every commented setting, taken into use, is accepted too.
    let example = |line: &str| {
        line.strip_prefix("# ")
            .filter(|rest| rest.starts_with("[[") || rest.contains(" = "))
            .map(str::to_owned)
    };
    let all: Vec<String> = text
        .lines()
        .map(|line| example(line).unwrap_or_else(|| line.to_owned()))
        .collect();
    let project = parsed(&all.join("\n"));
    assert_eq!(project.agents.len(), 2);
    let empty = parsed(&render_project_toml(&Suggestions::default()));
    assert!(empty.gates.is_empty());
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let root = project(&[
        (".huskies/project.toml", "mine"),
        (".huskies/project.toml.old", "older"),
    ]);
    let refused = write(root.path(), Existing::Refuse).unwrap_err();
    assert!(matches!(refused, InitError::Exists(_)), "{refused}");
    let written = write(root.path(), Existing::SetAside).unwrap();
    let read = |name: &str| fs::read_to_string(root.path().join(".huskies").join(name)).unwrap();
    assert_eq!(
        (read("project.toml.old"), read("project.toml.old.2")),
        ("older".to_owned(), "mine".to_owned())
    );
    assert_eq!(
        written.set_aside.unwrap().file_name().unwrap(),
        "project.toml.old.2"
    );
    parsed(&read("project.toml"));
}

proptest! {
    #[test]
    fn every_command_survives_being_written_and_read(command in "[^\0]*[a-z][^\0]*") {
        let gate = SuggestedGate { name: "x".to_owned(), command: command.clone(), quick: true };
        let suggestions = Suggestions { gates: vec![gate], ..Suggestions::default() };
        // TOML reads "\r\n" within a string as it is written, and so does the parser.
        prop_assert_eq!(&parsed(&render_project_toml(&suggestions)).gates[0].command, &command);
    }
}
