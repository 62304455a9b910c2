//! The README cannot rot: its samples are read by the real parsers, its commands exist.

use std::process::Command;

use huskies::config::environment::Environment;
use huskies::config::project::{PROJECT_FILE, parse};
use huskies::config::server::ServerConfig;
use huskies::domain::project::Land;

const README: &str = include_str!("../../README.md");

/// The TOML samples whose first line says that they are this file.
fn samples(file: &str) -> Vec<String> {
    let blocks = README.split("```toml\n").skip(1);
    let text = |block: &str| block.split("```").next().unwrap_or_default().to_owned();
    let title = format!("# {file}");
    let titled = |text: &String| text.trim_start().lines().next() == Some(title.as_str());
    blocks.map(text).filter(titled).collect()
}

#[test]
fn the_configuration_samples_are_valid() {
    let secrets = Environment::from_pairs([
        ("HUSKIES_GITHUB_TOKEN", "token"),
        ("HUSKIES_WEBHOOK_SECRET", "secret"),
    ]);
    let servers = samples("huskies.toml");
    assert_eq!(servers.len(), 2);
    for sample in servers {
        let server = ServerConfig::parse(&sample, "huskies.toml", &secrets).unwrap();
        assert_eq!(server.repos.len(), 1);
    }
    let projects = samples(PROJECT_FILE);
    assert_eq!(projects.len(), 1);
    let project = parse(&projects[0], PROJECT_FILE, Land::Push).unwrap();
    assert_eq!((project.gates.len(), project.agents.len()), (1, 2));
}

#[test]
fn every_command_that_the_readme_names_exists() {
    let help = Command::new(env!("CARGO_BIN_EXE_huskies"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let named = README.split("huskies ").skip(1).filter_map(|rest| {
        let word = rest.split(|c: char| !c.is_ascii_lowercase()).next()?;
        ["init", "gate", "serve", "story", "logs", "hook", "demo"]
            .contains(&word)
            .then_some(word)
    });
    let mut count = 0;
    for command in named {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
        count += 1;
    }
    assert!(count > 10, "the README names commands");
}
