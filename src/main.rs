//! Parses the command line, runs the subcommand, exits with its status.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use huskies::cli::{self, CliError, ExitStatus, Output};

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    cli::finish(run(arguments))
}

fn run(arguments: Arguments) -> Result<ExitStatus, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut out = Output::new(arguments.json);
    runtime.block_on(async {
        match arguments.command {
            Command::Gate(args) => cli::gate::run(args, &mut out).await,
            Command::Hook(args) => cli::hook::run(args, &mut out).await,
            Command::Init(args) => cli::init::run(args, &mut out).await,
        }
    })
}
