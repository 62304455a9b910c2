//! `huskies gc`: what is finished and old goes, now.

use clap::Args;

use super::client::Client;
use super::place::PlaceArgs;
use super::{CliError, ExitStatus, Output};
use crate::app::{self, DataDir};
use crate::config::environment::Environment;
use crate::upkeep::{Mode, Swept};

/// Remove what is older than the server's configuration says
///
/// A running server does it; without one the data folder is taken for as long as it lasts. The
/// only copy of anybody's work is never removed.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

pub async fn run(
    args: GcArgs,
    environment: &Environment,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let data_dir = args.place.data_dir(environment)?;
    let mode = if args.dry_run {
        Mode::DryRun
    } else {
        Mode::Remove
    };
    let swept = if DataDir::is_served(&data_dir)? {
        Client::of(&data_dir)?.gc(args.dry_run).await?
    } else {
        let config = args.place.server(environment)?;
        app::sweep(config, environment, mode)
            .await
            .map_err(refused)?
    };
    out.value(&swept)?;
    show(&swept, out)?;
    Ok(ExitStatus::Success)
}

fn refused(error: anyhow::Error) -> CliError {
    if app::could_not_begin(&error) {
        CliError::usage(error)
    } else {
        error.into()
    }
}

fn show(swept: &Swept, out: &mut Output) -> Result<(), CliError> {
    let done = if swept.dry_run { "would go" } else { "gone" };
    for removed in &swept.removed {
        let what = removed.what.to_string().replace('_', " ");
        let (count, bytes) = (removed.count, removed.bytes.div_ceil(1024));
        out.line(format!("{what}: {count} {done}, {bytes} kB"))?;
        for name in &removed.names {
            out.line(format!("  {name}"))?;
        }
    }
    if swept.removed.is_empty() {
        return out.line("nothing is older than it may be");
    }
    out.line(format!("{} kB in all", swept.bytes().div_ceil(1024)))
}
