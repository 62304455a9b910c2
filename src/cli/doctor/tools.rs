//! What the server needs of the machine: git, a private data folder, a hook that fires, agents'
//! programs that start.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use super::Finding;
use super::walls::Room;
use crate::config::environment::Environment;
use crate::config::project::{self, PROJECT_FILE};
use crate::config::server::{RepoSource, ServerConfig};
use crate::domain::project::{Land, Runtime};
use crate::domain::sandbox::Sandbox;

/// Debian 12's; older ones lack what merging in memory needs.
const OLDEST_GIT: (u32, u32) = (2, 39);
/// The bits of a mode that are for others than the owner.
const PRIVATE: u32 = 6;
/// What the scratch repository's gate says.
const SIGN: &str = "the hook fired";

pub(super) async fn git(environment: &Environment) -> Finding {
    let name = "git";
    match git_version(environment).await {
        Ok((version, text)) if version >= OLDEST_GIT => Finding::ok(name, text),
        Ok((_, text)) => Finding::does_not_hold(
            name,
            format!(
                "{text} is too old: install {}.{} or newer",
                OLDEST_GIT.0, OLDEST_GIT.1
            ),
        ),
        Err(error) => Finding::does_not_hold(name, format!("{error:#}: install git")),
    }
}

async fn git_version(environment: &Environment) -> anyhow::Result<((u32, u32), String)> {
    let said = output(Command::new("git").arg("--version"), environment).await?;
    let text = said.trim().trim_start_matches("git version ").to_owned();
    let mut numbers = text.split('.').map_while(|part| part.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => Ok(((major, minor), text)),
        (_, _) => bail!("git says `{text}` when it is asked for its version"),
    }
}

/// The output of a command that has to succeed, started with places and no secret.
async fn output(command: &mut Command, environment: &Environment) -> anyhow::Result<String> {
    let command = command
        .env_clear()
        .envs(environment.only(&["PATH", "HOME", "LANG"]));
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {}",
        output.status,
        said.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(super) fn data_folder(config: &ServerConfig) -> Finding {
    let name = "data folder";
    let shown = config.data_dir.display();
    match config.data_dir.metadata() {
        Ok(found) if found.mode().trailing_zeros() >= PRIVATE => {
            Finding::ok(name, format!("{shown} is private"))
        }
        Ok(_) => {
            Finding::does_not_hold(name, format!("others can look into {shown}: chmod 700 it"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Finding::cannot_tell(
            name,
            format!("{shown} is made, private, at the first start"),
        ),
        Err(error) => Finding::does_not_hold(name, format!("{shown}: {error}")),
    }
}

/// Commits in a scratch repository, whose gate must refuse it.
pub(super) async fn hook(environment: &Environment) -> Finding {
    let name = "hook";
    match hook_fires(environment).await {
        Ok(()) => Finding::ok(name, "a failing gate stops a commit"),
        Err(error) => Finding::does_not_hold(name, format!("{error:#}")),
    }
}

async fn hook_fires(environment: &Environment) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let root = folder.path();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(root).args([
            "-c",
            "user.name=doctor",
            "-c",
            "user.email=doctor@localhost",
        ]);
        command.args(arguments);
        command
    };
    output(&mut git(&["init", "-q", "-b", "main"]), environment).await?;
    let gate =
        format!("[[gate]]\nname = \"sign\"\ncommand = \"echo {SIGN}; false\"\non = \"commit\"\n");
    let file = root.join(PROJECT_FILE);
    std::fs::create_dir_all(file.parent().unwrap_or(root))?;
    std::fs::write(&file, gate)?;
    output(&mut git(&["add", "-A"]), environment).await?;
    let binary = std::env::current_exe()?;
    let install = ["hook", "install", "-C"];
    output(Command::new(binary).args(install).arg(root), environment).await?;
    match output(
        &mut git(&["commit", "-q", "-m", "Must not be"]),
        environment,
    )
    .await
    {
        Ok(_) => bail!("a commit went through although its gate fails"),
        Err(error) => {
            let said = format!("{error:#}");
            ensure!(
                said.contains(SIGN),
                "the commit failed, and not by its gate: {said}"
            );
            Ok(())
        }
    }
}

/// Starts each program that the projects' agents are, inside, as far as the projects can be read
/// from here.
pub(super) async fn agents(
    config: &ServerConfig,
    environment: &Environment,
) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut programs = BTreeSet::new();
    for repo in &config.repos {
        let name = format!("agents of {}", repo.name);
        let RepoSource::Path(path) = &repo.source else {
            findings.push(Finding::cannot_tell(
                &name,
                "there is no clone of it to read",
            ));
            continue;
        };
        match read_project(path) {
            Ok(project) => {
                for agent in project.agents {
                    match agent.runtime {
                        Runtime::ClaudeCode => {
                            programs.insert(agent.command.unwrap_or_else(|| "claude".to_owned()));
                        }
                        Runtime::Command => findings.push(Finding::cannot_tell(
                            &format!("agent {}", agent.name),
                            "a command of its own, which has no way to be asked",
                        )),
                    }
                }
            }
            Err(error) => findings.push(Finding::cannot_tell(&name, format!("{error:#}"))),
        }
    }
    for program in programs {
        findings.push(starts(&program, config, environment).await);
    }
    Ok(findings)
}

fn read_project(clone: &Path) -> anyhow::Result<crate::domain::project::Project> {
    let text = std::fs::read_to_string(clone.join(PROJECT_FILE)).context(PROJECT_FILE)?;
    Ok(project::parse(&text, PROJECT_FILE, Land::Push)?)
}

async fn starts(program: &str, config: &ServerConfig, environment: &Environment) -> Finding {
    let name = format!("program {program}");
    let argv = [program, "--version"].map(str::to_owned);
    let ran = async {
        if config.sandbox == Sandbox::Off {
            return output(Command::new(program).arg("--version"), environment).await;
        }
        let room = Room::new(config, environment)?;
        let output = room.run(&argv, room.limits(), true).await?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ensure!(output.status.success(), "{}: {said}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    match ran.await {
        Ok(said) => Finding::ok(&name, said.trim().to_owned()),
        Err(error) => Finding::does_not_hold(
            &name,
            format!(
                "{error:#}; install it where PATH leads, or open its folder with walls.readable"
            ),
        ),
    }
}
