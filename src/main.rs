//! Parses the command line, runs the subcommand, exits with its status.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use huskies::cli::{self, Output};
use huskies::process::supervisor::Supervised;
use huskies::supervised::run_attempt;

/// Another supervisor has the run (EX_TEMPFAIL of sysexits.h).
const ALREADY_STARTED: u8 = 75;

/// Label a GitHub issue; get a merged change, or a clear account of why not
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print the result as JSON on stdout
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Gate(cli::gate::GateArgs),
    Hook(cli::hook::HookArgs),
    Init(cli::init::InitArgs),
    /// Supervise one run (the server starts this)
    #[command(hide = true)]
    RunAttempt {
        folder: PathBuf,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = Output::new(arguments.json);
    cli::finish(match arguments.command {
        Command::Gate(args) => cli::gate::run(args, &mut out).await,
        Command::Hook(args) => cli::hook::run(args, &mut out).await,
        Command::Init(args) => cli::init::run(args, &mut out).await,
        Command::RunAttempt { folder } => return supervise(folder).await,
    })
}

async fn supervise(folder: PathBuf) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    #[expect(
        clippy::disallowed_methods,
        reason = "the composition root hands the clock to what it starts"
    )]
    let now = jiff::Timestamp::now;
    match run_attempt(&folder, now).await {
        Ok(Supervised::Ended) => ExitCode::SUCCESS,
        Ok(Supervised::AlreadyStarted) => ExitCode::from(ALREADY_STARTED),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
