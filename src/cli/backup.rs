//! `huskies backup` and `huskies restore`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::place::PlaceArgs;
use super::{CliError, ExitStatus, Output};
use crate::app;
use crate::backup::{self, RestoreError, Source};
use crate::clock::{Clock as _, SystemClock};
use crate::config::environment::Environment;

/// Write everything that a server needs to go on into one file, also while it works
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// A new file; it is readable by you alone
    file: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Make a data folder from a backup
///
/// Never let the server that the backup came from work on as well: both would act on the forge.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    file: PathBuf,
    /// The new data folder: missing, or empty
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

pub async fn run(
    args: BackupArgs,
    environment: &Environment,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let data_dir = args.place.data_dir(environment)?;
    if !data_dir.join("huskies.db").exists() {
        let error = anyhow::anyhow!("there is no store in {}", data_dir.display());
        return Err(CliError::usage(error).hint("`huskies serve` makes one"));
    }
    // A home of its own: the server's may be in use.
    let home = tempfile::tempdir()?;
    let git = app::plain_git(home.path(), environment)?;
    let source = Source {
        data_dir: &data_dir,
        config: args.place.config.as_deref(),
        git: &git,
        made_at: SystemClock.now(),
    };
    let written = backup::back_up(&source, &args.file).await?;
    out.value(&json!({
        "file": args.file,
        "bytes": written.bytes,
        "manifest": written.manifest,
    }))?;
    let repositories = written.manifest.entries.iter();
    let repositories = repositories
        .filter(|entry| entry.path.starts_with("repos/"))
        .count();
    out.line(format!(
        "wrote {} ({} kB): the store and {repositories} {}",
        args.file.display(),
        written.bytes.div_ceil(1024),
        if repositories == 1 {
            "repository"
        } else {
            "repositories"
        },
    ))?;
    out.line("not in it: secrets, and your own clones")?;
    Ok(ExitStatus::Success)
}

pub async fn restore(
    args: RestoreArgs,
    environment: &Environment,
    out: &mut Output,
) -> Result<ExitStatus, CliError> {
    let git = |root: &std::path::Path| app::plain_git(&root.join("git-home"), environment);
    let restored = backup::restore(&args.file, &args.data_dir, git).await;
    let restored = restored.map_err(refused)?;
    out.value(&json!({
        "data_dir": args.data_dir,
        "lost_runs": restored.lost_runs,
        "config": restored.config,
        "manifest": restored.manifest,
    }))?;
    out.line(format!(
        "restored {} as of {}",
        args.data_dir.display(),
        restored.manifest.made_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    ))?;
    if restored.lost_runs > 0 {
        let runs = restored.lost_runs;
        out.line(format!(
            "{runs} runs were under way then; their stories go on from the work that was kept"
        ))?;
    }
    out.line("next:")?;
    if let Some(config) = &restored.config {
        let config = config.display();
        out.line(format!("  look at {config}, which came with it"))?;
    }
    out.line("  set `data_dir` to this folder, and give the server its secrets again")?;
    out.line("  stop the old server for good, then `huskies serve`")?;
    out.line("  on GitHub, send again what the webhook delivered since then")?;
    Ok(ExitStatus::Success)
}

/// What is wrong with the file or the folder is for the caller to mend.
fn refused(error: RestoreError) -> CliError {
    match error {
        RestoreError::NotEmpty(_)
        | RestoreError::Foreign(_)
        | RestoreError::Newer { .. }
        | RestoreError::Damaged { .. } => CliError::usage(error),
        RestoreError::Other(error) if app::could_not_begin(&error) => CliError::usage(error),
        RestoreError::Other(error) => error.into(),
    }
}
