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
    ConfineProbe {
        targets: String,
    },
    /// Supervise one run (the server starts this)
    #[command(hide = true)]
    RunAttempt {
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(code) = confine(&arguments.command) {
        return code;
    }
    match runtime(&arguments.command).map(|runtime| runtime.block_on(run(arguments))) {
        Ok(code) => code,
        Err(error) => cli::finish(Err(error.into())),
    }
}

/// What has to run before there is a second thread.
fn confine(command: &Command) -> Option<ExitCode> {
    match command {
        Command::Confine { order, argv } => Some(sandbox::run_outer(order, argv)),
        Command::ConfineInner { confinement, argv } => Some(sandbox::run_inner(confinement, argv)),
        Command::ConfineProbe { targets } => Some(sandbox::probe::main(targets)),
        Command::AppManifest(_)
        | Command::Backup(_)
        | Command::Demo(_)
        | Command::Doctor(_)
        | Command::Gate(_)
        | Command::Gc(_)
        | Command::Hook(_)
        | Command::Init(_)
        | Command::Logs(_)
        | Command::Restore(_)
        | Command::Status(_)
        | Command::Serve(_)
        | Command::Story(_)
        | Command::RunAttempt { .. } => None,
    }
}

/// Servers use every processor; everything else is over before a second thread would have started.
fn runtime(command: &Command) -> std::io::Result<Runtime> {
    let mut builder = match command {
        Command::Demo(_) | Command::Serve(_) => Builder::new_multi_thread(),
        Command::AppManifest(_)
        | Command::Backup(_)
        | Command::Gate(_)
        | Command::Gc(_)
        | Command::Hook(_)
        | Command::Init(_)
        | Command::Logs(_)
        | Command::Restore(_)
        | Command::Status(_)
        | Command::Story(_)
        | Command::Confine { .. }
        | Command::ConfineInner { .. }
        | Command::ConfineProbe { .. }
        | Command::Doctor(_)
        | Command::RunAttempt { .. } => Builder::new_current_thread(),
    };
    builder.enable_all().build()
}

async fn run(arguments: Arguments) -> ExitCode {
    let environment = Environment::of_process();
    let mut out = Output::new(arguments.json);
    cli::finish(match arguments.command {
        Command::AppManifest(args) => cli::app_manifest::run(args, &mut out).await,
        Command::Backup(args) => cli::backup::run(args, &environment, &mut out).await,
        Command::Demo(args) => cli::demo::run(args, &environment, &mut out).await,
        Command::Gate(args) => cli::gate::run(args, &mut out).await,
        Command::Gc(args) => cli::gc::run(args, &environment, &mut out).await,
        Command::Hook(args) => cli::hook::run(args, &mut out).await,
        Command::Init(args) => cli::init::run(args, &environment, &mut out).await,
        Command::Logs(args) => cli::logs::run(args, &environment, &mut out).await,
        Command::Restore(args) => cli::backup::restore(args, &environment, &mut out).await,
        Command::Serve(args) => cli::serve::run(args, &environment).await,
        Command::Status(args) => cli::status::run(args, &environment, &mut out).await,
        Command::Story(args) => cli::story::run(args, &environment, &mut out).await,
        Command::Doctor(args) => cli::doctor::run(args, &environment, &mut out).await,
        Command::Confine { order, argv } => return sandbox::run_outer(&order, &argv),
        Command::ConfineInner { confinement, argv } => {
            return sandbox::run_inner(&confinement, &argv);
        }
        Command::ConfineProbe { targets } => return sandbox::probe::main(&targets),
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
