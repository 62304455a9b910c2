//! `huskies logs`: what an agent printed, now or as it comes.

use clap::Args;

use super::client::Client;
use super::place::PlaceArgs;
use super::story::find;
use super::terminal::tame;
use super::{CliError, ExitStatus, Output};
use crate::agent::session::LogLine;
use crate::config::environment::Environment;

/// Show what a story's agent printed
#[derive(Debug, Args)]
pub struct LogsArgs {
    story: String,
    /// Go on until the attempt has ended
    #[arg(long, short)]
    follow: bool,
    /// Which attempt; the newest one without it
    #[arg(long)]
    attempt: Option<u32>,
    #[command(flatten)]
    place: PlaceArgs,
}

pub async fn run(
    args: LogsArgs,
    environment: &Environment,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let client = Client::of(&args.place.data_dir(environment)?)?;
    let id = find(&client, &args.story).await?;
    let attempt = args
        .attempt
        .map_or_else(String::new, |attempt| format!("&attempt={attempt}"));
    let mut response = client
        .log(&id, &format!("follow={}{attempt}", args.follow))
        .await?;
    let mut rest: Vec<u8> = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(anyhow::Error::new)? {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            print(&String::from_utf8_lossy(&line), out)?;
        }
    }
    Ok(ExitStatus::Success)
}

/// For people the line as it was printed; for scripts the record with its time.
fn print(record: &str, out: &mut Output) -> Result<(), CliError> {
    match serde_json::from_str::<LogLine>(record) {
        Ok(line) => {
            out.value(&line)?;
            out.line(line.text())
        }
        Err(_) => out.line(tame(record.trim_end())),
    }
}
