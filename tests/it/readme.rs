//! The README says nothing that is not so: its configuration is read by the real parsers, its
//! defaults are the defaults, its commands exist.

use std::collections::BTreeSet;
use std::process::Command;

use huskies::config::environment::Environment;
use huskies::config::project;
use huskies::config::server::ServerConfig;
use huskies::domain::project::{Land, Project};

use crate::support::repository::{Ended, HUSKIES};

const README: &str = include_str!("../../README.md");
const OWN_PROJECT: &str = include_str!("../../.huskies/project.toml");

/// A fenced block, without its fences and their indentation.
struct Block {
    language: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let Some((indent, language)) = line.split_once("```") else {
            continue;
        };
        let content = lines.by_ref().take_while(|line| line.trim() != "```");
        let text: Vec<&str> = content
            .map(|line| line.strip_prefix(indent).unwrap_or(line))
            .collect();
        blocks.push(Block {
            language: language.to_owned(),
            text: text.join("\n"),
        });
    }
    blocks
}

/// The TOML samples whose first line names this file.
fn samples(file: &str) -> Vec<String> {
    let named = format!("# {file}\n");
    let found: Vec<String> = blocks()
        .into_iter()
        .filter(|block| block.language == "toml" && block.text.starts_with(&named))
        .map(|block| block.text)
        .collect();
    assert!(!found.is_empty(), "the README has no sample of {file}");
    found
}

fn secrets() -> Environment {
    Environment::from_pairs([
        ("HUSKIES_GITHUB_TOKEN", "t"),
        ("HUSKIES_WEBHOOK_SECRET", "s"),
    ])
}

fn server(text: &str) -> ServerConfig {
    ServerConfig::parse(text, "README.md", &secrets())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn project_of(text: &str) -> Project {
    project::parse(text, "README.md", Land::PullRequest)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn every_configuration_sample_says_which_file_it_is_and_is_valid() {
    for block in blocks().iter().filter(|block| block.language == "toml") {
        let first = block.text.lines().next().unwrap_or_default();
        match first {
            "# huskies.toml" => drop(server(&block.text)),
            "# .huskies/project.toml" => drop(project_of(&block.text)),
            other => panic!("a TOML sample begins with `{other}` instead of its file's name"),
        }
    }
    project_of(OWN_PROJECT);
}

/// The last sample of each file is the reference: every key, with its default where there is one.
#[test]
fn the_reference_of_the_server_shows_the_defaults() {
    let reference = samples("huskies.toml").pop().unwrap();
    let shown = server(&reference);
    let bare = server(
        "data_dir = '/d'\n[[repo]]\nname = 'octo/app'\nclone_url = 'https://x/y'\nforge = 'github'",
    );
    assert_eq!(shown.listen, bare.listen);
    assert_eq!(shown.limits, bare.limits);
    assert_eq!(shown.max_body_bytes, bare.max_body_bytes);
    assert_eq!(shown.max_pending, bare.max_pending);
    assert_eq!(shown.http, bare.http);
    assert_eq!(shown.identity, bare.identity);
    assert_eq!(shown.retention, bare.retention);
    assert_eq!(shown.agent_environment, bare.agent_environment);
    assert_eq!(shown.runtimes, bare.runtimes);
    assert_eq!(shown.agent_credentials, bare.agent_credentials);
    assert_eq!(shown.sandbox, bare.sandbox);
    assert_eq!(shown.walls, bare.walls);
    assert_eq!(shown.github.unwrap().api_url, bare.github.unwrap().api_url);
    let commented = reference.replace("# base_branch", "base_branch");
    assert!(server(&commented).repos[0].base_branch.is_some());
}

#[test]
fn the_reference_of_a_project_shows_the_defaults() {
    let reference = samples(".huskies/project.toml").pop().unwrap();
    let shown = project_of(&reference.replace("# prompt", "prompt"));
    let bare = project_of(
        "[[component]]\nname = 'web'\n[[gate]]\nname = 'test'\ncommand = 'npm test'\n[[agent]]\nname = 'coder'",
    );
    assert_eq!(shown.max_retries, bare.max_retries);
    assert_eq!(shown.push_wip, bare.push_wip);
    assert_eq!(shown.trigger, bare.trigger);
    assert_eq!(shown.gates, bare.gates);
    assert_eq!(shown.components[0].path, bare.components[0].path);
    assert_eq!(shown.components[0].teardown, bare.components[0].teardown);
    assert_eq!(shown.components[0].timeout, bare.components[0].timeout);
    let (shown, bare) = (&shown.agents[0], &bare.agents[0]);
    assert_eq!(shown.role, bare.role);
    assert_eq!(shown.runtime, bare.runtime);
    assert_eq!(shown.args, bare.args);
    assert_eq!(shown.inactivity, bare.inactivity);
}

/// Every key of the references, such as `limits.agents`; of a list of tables, `repo.name`.
fn keys(value: &toml::Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = [path, key].join(".");
                keys(value, path.trim_start_matches('.'), found);
            }
        }
        toml::Value::Array(items)
            if items.iter().all(toml::Value::is_table) && !items.is_empty() =>
        {
            for item in items {
                keys(item, path, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn every_variable_of_the_table_overrides_its_key_and_no_key_is_left_out() {
    let rows: Vec<(&str, &str)> = README
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `")?
                .strip_suffix("` |")?
                .split_once("` | `")
        })
        .filter(|(key, name)| name.starts_with("HUSKIES_") && !key.starts_with("HUSKIES_"))
        .collect();
    for (key, name) in &rows {
        let expected = format!("HUSKIES_{}", key.to_uppercase().replace('.', "_"));
        assert_eq!(*name, expected);
    }
    let reference = samples("huskies.toml").pop().unwrap();
    let optional = [
        "token_file",
        "app_id",
        "private_key_file",
        "installation_id",
        "webhook",
    ];
    let reference = optional.iter().fold(reference, |reference, key| {
        reference.replace(&format!("# {key} ="), &format!("{key} ="))
    });
    let reference: toml::Table = toml::from_str(&reference).unwrap();
    let mut known = BTreeSet::new();
    keys(&toml::Value::Table(reference), "", &mut known);
    known.retain(|key| !key.starts_with("repo."));
    let named: BTreeSet<String> = rows.iter().map(|(key, _)| (*key).to_owned()).collect();
    assert_eq!(known, named);
}

/// What `huskies … --help` lists as subcommands.
fn subcommands(of: &[&str]) -> BTreeSet<String> {
    let output = Command::new(HUSKIES)
        .args(of)
        .arg("--help")
        .output()
        .unwrap();
    let help = Ended::of(output).succeeded();
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    listed
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// What is written as code: fenced shell, and spans between backticks in the prose.
fn commands() -> Vec<String> {
    let shell = blocks()
        .into_iter()
        .filter(|block| block.language == "sh")
        .flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>());
    let mut prose = String::new();
    let mut is_fenced = false;
    for line in README.lines() {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        if !is_fenced && !is_fence {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let spans: Vec<String> = prose
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    shell
        .chain(spans)
        .filter_map(|code| code.strip_prefix("huskies ").map(str::to_owned))
        .collect()
}

#[test]
fn every_command_of_the_readme_exists() {
    let known = subcommands(&[]);
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert!(known.contains(words[0]), "`huskies {command}`");
        let below = subcommands(&words[..1]);
        if let Some(second) = words.get(1).filter(|_| !below.is_empty()) {
            let is_known = second.split('|').all(|name| below.contains(name));
            assert!(is_known, "`huskies {command}`: there are {below:?}");
        }
    }
}

#[test]
fn the_first_commands_are_the_two_that_a_fresh_machine_needs() {
    let shell: Vec<String> = blocks()
        .into_iter()
        .filter(|block| block.language == "sh")
        .map(|block| block.text)
        .collect();
    assert_eq!(shell[..2], ["cargo run -- demo", "cargo test"]);
    assert!(include_str!("../../.ci/run").contains("cargo run -- demo"));
}
