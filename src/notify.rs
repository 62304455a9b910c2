//! One other way to reach a person, for when the forge itself is what does not work: a command, or
//! a web address.
//!
//! Not for: deciding what is worth telling, and hiding secrets in it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use octocrab::Octocrab;
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// How long a command or an address may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Where news goes; both empty: nowhere.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    /// A program and its arguments.
    pub command: Vec<String>,
    /// What the program sees of the environment.
    pub environment: Vec<(String, String)>,
    pub webhook: Option<String>,
}

/// A change that somebody should hear of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct News {
    /// In a sentence.
    pub text: String,
    /// `well`, `away` or `refused`.
    pub state: &'static str,
    pub repositories: Vec<String>,
    pub why: Option<String>,
}

impl Notifier {
    /// Tells by every configured way, once. What fails is an error in the log: there is nobody else
    /// to tell.
    pub async fn tell(&self, news: &News) {
        if let Some((program, arguments)) = self.command.split_first() {
            let told = tokio::time::timeout(LIMIT, self.run(program, arguments, news)).await;
            say("command", told);
        }
        if let Some(address) = &self.webhook {
            say(
                "webhook",
                tokio::time::timeout(LIMIT, post(address, news)).await,
            );
        }
    }

    /// The news is JSON on the program's standard input.
    async fn run(&self, program: &str, arguments: &[String], news: &News) -> anyhow::Result<()> {
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("`{program}` cannot be started"))?;
        if let Some(mut input) = child.stdin.take() {
            // A program that reads nothing closes it: its exit status is what counts.
            drop(input.write_all(&serde_json::to_vec(news)?).await);
        }
        let status = child.wait().await?;
        ensure!(status.success(), "`{program}` ended with {status}");
        Ok(())
    }
}

/// octocrab is the client with TLS that is here anyway; nothing of GitHub is in the request.
async fn post(address: &str, news: &News) -> anyhow::Result<()> {
    let client = Octocrab::builder().build()?;
    let response = client._post(address, Some(news)).await?;
    ensure!(
        response.status().is_success(),
        "it answered {}",
        response.status()
    );
    Ok(())
}

fn say(way: &str, told: Result<anyhow::Result<()>, tokio::time::error::Elapsed>) {
    match told {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let error = format!("{error:#}");
            tracing::error!(way, error, "nobody could be told; see [notify]");
        }
        Err(_) => tracing::error!(way, "nobody could be told in time; see [notify]"),
    }
}
