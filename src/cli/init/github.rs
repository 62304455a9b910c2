//! `huskies init --github`: labels, and the webhook with a secret of its own.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::InitArgs;
use crate::app::way_to_github;
use crate::cli::{CliError, ExitStatus, Output};
use crate::config::environment::Environment;
use crate::config::project::{self, PROJECT_FILE};
use crate::config::server::{GitHubConfig, GitHubIdentity, RepoConfig, RepoSource, ServerConfig};
use crate::domain::project::{Land, Trigger};
use crate::domain::story::Stage;
use crate::forge::{Github, Made, NewHook, NewLabel};
use crate::secret::Secret;

/// Of the labels that people set.
const COLOR: &str = "1d76db";

pub(super) async fn run(
    args: &InitArgs,
    environment: &Environment,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let Some(file) = &args.place.config else {
        let error =
            anyhow::anyhow!("which repositories are meant is in the server's configuration");
        return Err(CliError::usage(error).hint("name it with --config FILE"));
    };
    let secret_file =
        ServerConfig::webhook_secret_file(file, environment).map_err(CliError::usage)?;
    let fresh = secret_file.as_ref().filter(|file| !file.exists());
    if let Some(file) = fresh {
        write_fresh_secret(file)?;
        out.line(format_args!(
            "wrote a fresh webhook secret to {}",
            file.display()
        ))?;
    }
    let config = ServerConfig::load(file, environment).map_err(CliError::usage)?;
    let mut done = Vec::new();
    for (github, repo) in config.on_github() {
        let order = Order {
            github,
            repo,
            url: args.url.as_deref(),
            secret_file: secret_file.as_deref(),
            is_secret_new: fresh.is_some(),
        };
        done.push(order.carry_out(out).await?);
    }
    if done.is_empty() {
        let error = anyhow::anyhow!("the configuration names no repository on GitHub");
        return Err(CliError::usage(error).hint("add a [[repo]] with forge = \"github\""));
    }
    out.value(&json!({ "secret_file": fresh, "repositories": done }))?;
    Ok(ExitStatus::Success)
}

fn write_fresh_secret(file: &Path) -> Result<(), CliError> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).context("the system has no random numbers")?;
    write_private(file, &format!("{}\n", hex::encode(secret)))
}

/// Writes a file that nobody else may read, and none over one that is there.
pub(in crate::cli) fn write_private(file: &Path, text: &str) -> Result<(), CliError> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written
        .with_context(|| format!("{} cannot be written", file.display()))
        .map_err(CliError::usage)
}

struct Order<'a> {
    github: &'a GitHubConfig,
    repo: &'a RepoConfig,
    url: Option<&'a str>,
    /// The first file with webhook secrets, where there is one.
    secret_file: Option<&'a Path>,
    is_secret_new: bool,
}

impl Order<'_> {
    async fn carry_out(&self, out: &mut Output) -> Result<Value, CliError> {
        let name = &self.repo.name;
        let way = way_to_github(self.github, name).map_err(CliError::usage)?;
        let mut created = Vec::new();
        for label in labels(&trigger(&self.repo.source)) {
            match way.ensure_label(name, &label).await.map_err(refused)? {
                Made::There | Made::Changed => {}
                Made::Created => created.push(label.name),
            }
        }
        match created.as_slice() {
            [] => out.line(format_args!("{name}: all labels are there"))?,
            created => out.line(format_args!(
                "{name}: made the labels {}",
                created.join(", ")
            ))?,
        }
        let hook = self.hook(&way, out).await?;
        Ok(json!({ "name": name, "labels_created": created, "webhook": hook }))
    }

    /// `None`: there is nothing to set up.
    async fn hook(&self, way: &Github, out: &mut Output) -> Result<Option<Made>, CliError> {
        let name = &self.repo.name;
        if let GitHubIdentity::App { .. } = self.github.identity {
            out.line(format_args!(
                "{name}: deliveries come by the App's own webhook"
            ))?;
            return Ok(None);
        }
        let Some(url) = self.url else {
            out.line(format_args!(
                "{name}: no webhook; say --url https://… where GitHub reaches the server"
            ))?;
            return Ok(None);
        };
        let url = format!("{}/webhooks/github", url.trim_end_matches('/'));
        let hook = NewHook {
            url,
            secret: self.secret()?,
            is_secret_new: self.is_secret_new,
        };
        let made = way.ensure_hook(name, &hook).await.map_err(refused)?;
        let said = match made {
            Made::There => "is there",
            Made::Created => "was made",
            Made::Changed => "was there and is mended",
        };
        out.line(format_args!("{name}: the webhook {} {said}", hook.url))?;
        Ok(Some(made))
    }

    /// Of several that are valid, the one that may just have been made.
    fn secret(&self) -> Result<SecretString, CliError> {
        if let Some(file) = self.secret_file {
            return Ok(Secret::file(file).map_err(CliError::usage)?.current());
        }
        let of_variables = self.github.webhook_secrets.last().map(Secret::current);
        Ok(of_variables.unwrap_or_default())
    }
}

/// What GitHub refuses can be mended and tried again: nothing is made twice.
fn refused(error: crate::forge::ForgeError) -> CliError {
    CliError::failure(error).hint("`huskies doctor --config FILE` tells what the token lacks; then try again, nothing is made twice")
}

/// The names in the clone's project file, as far as there is one.
fn trigger(source: &RepoSource) -> Trigger {
    let RepoSource::Path(clone) = source else {
        return Trigger::default();
    };
    let text = std::fs::read_to_string(clone.join(PROJECT_FILE)).ok();
    let project = text.and_then(|text| project::parse(&text, PROJECT_FILE, Land::Push).ok());
    project.map_or_else(Trigger::default, |project| project.trigger)
}

fn labels(trigger: &Trigger) -> Vec<NewLabel> {
    let people = [
        (&trigger.start_label, "huskies works on this issue"),
        (&trigger.hold_label, "huskies pauses before the next stage"),
        (&trigger.retry_label, "huskies tries a blocked story again"),
        (
            &trigger.approve_label,
            "huskies may land a change of protected files",
        ),
    ];
    let people = people.map(|(name, meaning)| NewLabel {
        name: name.clone(),
        meaning: meaning.to_owned(),
        color: COLOR,
    });
    people
        .into_iter()
        .chain(Stage::NAMES.map(NewLabel::of_stage))
        .collect()
}
