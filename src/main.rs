//! Parses the command line, runs the subcommand, exits with its status.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use huskies::cli::{self, Output};
use huskies::config::environment::Environment;
use huskies::process::supervisor::Supervised;
use huskies::sandbox;
use huskies::supervised::run_attempt;
use tokio::runtime::{Builder, Runtime};

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
    #[command(flatten)]
    Ordinary(Ordinary),
    #[command(flatten)]
    Confined(Confined),
}

#[derive(Debug, Subcommand)]
enum Ordinary {
    AppManifest(cli::app_manifest::AppManifestArgs),
    Backup(cli::backup::BackupArgs),
    Demo(cli::demo::DemoArgs),
    Doctor(cli::doctor::DoctorArgs),
    Gate(cli::gate::GateArgs),
    Gc(cli::gc::GcArgs),
    Hook(cli::hook::HookArgs),
    Init(cli::init::InitArgs),
    Logs(cli::logs::LogsArgs),
    Restore(cli::backup::RestoreArgs),
    Serve(cli::serve::ServeArgs),
    Status(cli::status::StatusArgs),
    Story(cli::story::StoryArgs),
    /// Supervise one run (the server starts this)
    #[command(hide = true)]
    RunAttempt {
        folder: PathBuf,
    },
}

/// What has to run before there is a second thread: a process that has one cannot enter a user
/// namespace (unshare(2)).
#[derive(Debug, Subcommand)]
enum Confined {
    /// Run a program in a sandbox (supervisors start this)
    #[command(hide = true)]
    Confine {
        order: String,
        #[arg(last = true)]
        argv: Vec<OsString>,
    },
    /// Be the first process of a sandbox
    #[command(hide = true)]
    ConfineInner {
        confinement: String,
        #[arg(last = true)]
        argv: Vec<OsString>,
    },
    /// Try what can be reached from here
    #[command(hide = true)]
    ConfineProbe { targets: String },
}

fn main() -> ExitCode {
    let Arguments { command, json } = Arguments::parse();
    match command {
        Command::Confined(command) => confined(&command),
        Command::Ordinary(command) => match runtime(&command) {
            Ok(runtime) => runtime.block_on(run(command, json)),
            Err(error) => cli::finish(Err(error.into())),
        },
    }
}

fn confined(command: &Confined) -> ExitCode {
    match command {
        Confined::Confine { order, argv } => sandbox::run_outer(order, argv),
        Confined::ConfineInner { confinement, argv } => sandbox::run_inner(confinement, argv),
        Confined::ConfineProbe { targets } => sandbox::probe::main(targets),
    }
}

/// Servers use every processor; everything else is over before a second thread would have started.
fn runtime(command: &Ordinary) -> std::io::Result<Runtime> {
    let mut builder = if matches!(command, Ordinary::Demo(_) | Ordinary::Serve(_)) {
        Builder::new_multi_thread()
    } else {
        Builder::new_current_thread()
    };
    builder.enable_all().build()
}

async fn run(command: Ordinary, json: bool) -> ExitCode {
    let environment = Environment::of_process();
    let mut out = Output::new(json);
    cli::finish(match command {
        Ordinary::AppManifest(args) => cli::app_manifest::run(args, &mut out).await,
        Ordinary::Status(args) => cli::status::run(args, &environment, &mut out).await,
        Ordinary::Backup(args) => cli::backup::run(args, &environment, &mut out).await,
        Ordinary::Demo(args) => cli::demo::run(args, &environment, &mut out).await,
        Ordinary::Gate(args) => cli::gate::run(args, &mut out).await,
        Ordinary::Gc(args) => cli::gc::run(args, &environment, &mut out).await,
        Ordinary::Hook(args) => cli::hook::run(args, &mut out).await,
        Ordinary::Init(args) => cli::init::run(args, &environment, &mut out).await,
        Ordinary::Logs(args) => cli::logs::run(args, &environment, &mut out).await,
        Ordinary::Restore(args) => cli::backup::restore(args, &environment, &mut out).await,
        Ordinary::Serve(args) => cli::serve::run(args, &environment).await,
        Ordinary::Story(args) => cli::story::run(args, &environment, &mut out).await,
        Ordinary::Doctor(args) => cli::doctor::run(args, &environment, &mut out).await,
        Ordinary::RunAttempt { folder } => return supervise(folder, &environment).await,
    })
}

async fn supervise(folder: PathBuf, environment: &Environment) -> ExitCode {
    cli::log_of_supervisor(environment);
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
