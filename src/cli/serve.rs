//! `huskies serve`: the server, until it is told to stop.

use anstream::println;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::logging::log_to_stderr;
use super::place::PlaceArgs;
use super::{CliError, ExitStatus};
use crate::app::App;
use crate::config::environment::Environment;
use crate::config::server::ServerConfig;
use crate::domain::reconciliation::Pace;
use crate::report::Masker;

/// Run the server: receive webhooks, move stories, report
///
/// The first line on stdout is {"listening":"http://…"}; logs go to stderr. SIGTERM and Ctrl-C
/// stop it; running agents go on and are met again by the next server.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// When the server is stopped, end running agents and gates too, with their work kept
    #[arg(long)]
    stop_agents: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

pub async fn run(args: ServeArgs, environment: &Environment) -> Result<ExitStatus, CliError> {
    let masker = Masker::default();
    log_to_stderr(environment, &masker);
    let config = args.place.server(environment)?;
    let served = Served::of(&config);
    let app = App::open(config, environment, masker).await;
    let app = app
        .map_err(CliError::usage)?
        .stopping_runs(args.stop_agents);
    // Whoever read the address may stop the server at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    served.log(&app);
    announce(&app);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let running = app.run(shutdown);
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => ended?,
        _ = terminate.recv() => { stop.cancel(); running.await?; }
        _ = interrupt.recv() => { stop.cancel(); running.await?; }
    }
    Ok(ExitStatus::Success)
}

/// Scripts read the address from here, whatever `--json` says.
fn announce(app: &App) {
    println!(
        "{}",
        json!({ "listening": format!("http://{}", app.address()) })
    );
}

/// What the log says first.
struct Served {
    data_dir: PathBuf,
    repos: Vec<String>,
    /// `None`: no repository is on GitHub.
    looks: Option<Pace>,
}

impl Served {
    fn of(config: &ServerConfig) -> Self {
        Self {
            data_dir: config.data_dir.clone(),
            repos: config
                .repos
                .iter()
                .map(|repo| repo.name.to_string())
                .collect(),
            looks: config.repos.iter().find_map(|repo| config.pace_of(repo)),
        }
    }

    fn log(&self, app: &App) {
        let repos = self.repos.join(", ");
        let data_dir = self.data_dir.display();
        let address = app.address();
        let Some(Pace { seconds, alone }) = self.looks else {
            tracing::info!(%repos, %data_dir, "open a story with `huskies story new TITLE --start`");
            return;
        };
        if alone {
            tracing::info!(%repos, %data_dir, "no webhook secret is configured: GitHub is polled every {seconds} s");
        } else {
            tracing::info!(
                %repos, %data_dir,
                "webhooks are taken at http://{address}/webhooks/github; what they miss is looked for every {seconds} s"
            );
        }
    }
}
