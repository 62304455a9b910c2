//! The `huskies` binary. For now it knows one subcommand, the hidden `run-attempt <folder>`.

use std::path::Path;
use std::process::ExitCode;

use huskies::process::supervisor::Supervised;
use huskies::supervised::run_attempt;

/// Another supervisor has the run (EX_TEMPFAIL of sysexits.h).
const ALREADY_STARTED: u8 = 75;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [subcommand, folder] = arguments.as_slice() else {
        return usage();
    };
    if subcommand != "run-attempt" {
        return usage();
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the composition root hands the clock to what it starts"
    )]
    let now = jiff::Timestamp::now;
    match run_attempt(Path::new(folder), now).await {
        Ok(Supervised::Ended) => ExitCode::SUCCESS,
        Ok(Supervised::AlreadyStarted) => ExitCode::from(ALREADY_STARTED),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    tracing::error!("usage: huskies run-attempt <folder>");
    ExitCode::from(2)
}
