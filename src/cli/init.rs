//! `huskies init`: a project file to start from; with `--github`, what a repository on GitHub needs.

mod github;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::place::{PlaceArgs, root_around};
use super::{CliError, ExitStatus, Output};
use crate::config::environment::Environment;
use crate::init::{self, Existing};

pub(super) use github::write_private;

/// Write a commented .huskies/project.toml with the quality gates that this project seems to have
///
/// With --github: make the labels and the webhook of the configured repositories on GitHub instead.
/// What is there already stays as it is.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// A folder in the repository
    #[arg(long, short = 'C', value_name = "FOLDER", default_value = ".")]
    directory: PathBuf,
    /// Write it also where there is one already, which is kept beside it
    #[arg(long)]
    force: bool,
    /// Set up the repositories on GitHub that the server's configuration names
    #[arg(long, conflicts_with = "force")]
    github: bool,
    /// Where GitHub reaches the server, such as <https://huskies.example.com>
    #[arg(long, value_name = "URL", requires = "github")]
    url: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

pub async fn run(
    args: InitArgs,
    environment: &Environment,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    if args.github {
        return github::run(&args, environment, out).await;
    }
    let existing = if args.force {
        Existing::SetAside
    } else {
        Existing::Refuse
    };
    let written =
        tokio::task::spawn_blocking(move || init::write(&root_around(&args.directory), existing));
    let written = written.await;
    let written = written
        .map_err(anyhow::Error::new)?
        .map_err(CliError::usage)?;
    let names: Vec<&str> = written
        .gates
        .iter()
        .map(|gate| gate.name.as_str())
        .collect();
    out.value(&json!({ "file": written.file, "set_aside": written.set_aside, "gates": names }))?;
    out.line(format_args!("wrote {}", written.file.display()))?;
    if let Some(set_aside) = &written.set_aside {
        out.line(format_args!(
            "the file that was there is now {}",
            set_aside.display()
        ))?;
    }
    if names.is_empty() {
        out.line("no likely gate was found: write one into it, huskies lands nothing untested")?;
    } else {
        out.line(format_args!("gates: {}", names.join(", ")))?;
    }
    out.line(
        "next: read it, try `huskies gate`, commit it on the base branch, start `huskies serve`",
    )?;
    Ok(ExitStatus::Success)
}
