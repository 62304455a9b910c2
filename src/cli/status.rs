//! `huskies status`: one screen about a running server.

use clap::Args;

use super::client::Client;
use super::place::PlaceArgs;
use super::{CliError, ExitStatus, Output};
use crate::config::environment::Environment;
use crate::domain::text::visible_line;
use crate::web::StatusView;

/// Show how the server is: its forges, its stories by stage, and what waits
///
/// Exits with 1 when a forge cannot be used.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

pub async fn run(
    args: StatusArgs,
    environment: &Environment,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let client = Client::of(&args.place.data_dir(environment)?)?;
    let status = client.status().await?;
    out.value(&status)?;
    out.line(format_args!(
        "huskies {} at {}",
        status.version,
        client.address()
    ))?;
    if status.sandbox == "off" {
        out.line("  SANDBOX OFF: agents and gates run with the server's rights")?;
    }
    for repo in &status.repositories {
        out.line(format_args!(
            "  {}  {}: {}",
            repo.name,
            repo.forge,
            repo.health.name()
        ))?;
        if let Some(why) = repo.health.why() {
            out.line(format_args!("    {}", visible_line(why)))?;
        }
    }
    rest(&status, out)?;
    let is_well = status.repositories.iter().all(|repo| repo.health.is_well());
    Ok(if is_well {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

fn rest(status: &StatusView, out: &mut Output) -> Result<(), CliError> {
    let stories = status.stories.iter();
    let stories: Vec<String> = stories
        .map(|(stage, count)| format!("{count} {stage}"))
        .collect();
    match stories.as_slice() {
        [] => out.line("  stories  none was started yet")?,
        stories => out.line(format_args!("  stories  {}", stories.join(", ")))?,
    }
    out.line(format_args!("  spent    {} today", status.spent_today))?;
    if status.inbox > 0 {
        out.line(format_args!("  inbox    {} deliveries wait", status.inbox))?;
    }
    for wait in &status.waiting {
        let why = visible_line(&wait.why);
        out.line(format_args!("  waiting  {}: {why}", wait.story))?;
    }
    for pause in &status.paused {
        let why = visible_line(&pause.why);
        out.line(format_args!(
            "  paused   {} until {}: {why}",
            pause.provider, pause.until
        ))?;
    }
    if let Some(why) = &status.disk_low {
        out.line(format_args!("  disk     {}", visible_line(why)))?;
    }
    Ok(())
}
