//! The command line: one file per subcommand, one enum of exit statuses, one printer of errors.
//!
//! What others wrote goes through `terminal::tame` before it is printed. A subcommand returns; only `main` turns what it returned into the process's exit status. Results
//! go to stdout through [`Output`], everything else to stderr.

pub mod app_manifest;
pub mod backup;
mod client;
pub mod demo;
pub mod doctor;
pub mod gate;
pub mod gc;
pub mod hook;
pub mod init;
mod interrupt;
mod logging;
pub mod logs;
mod place;
pub mod serve;
pub mod status;
pub mod story;
mod terminal;

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

pub use logging::log_of_supervisor;
use terminal::{tame, tame_json, walled};

/// What the process's exit status says. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: what was asked for is so.
    Success,
    /// 1: it was done, and the answer is no: a gate failed, a story is blocked, a hook is missing.
    Failure,
    /// 2: it could not be begun: wrong arguments or configuration (also clap's own status).
    Usage,
    /// 3: the server could not be reached.
    Unreachable,
    /// 4: something that should work did not.
    Internal,
    /// 130: ended by SIGINT, SIGTERM or SIGHUP (128 + SIGINT, as shells have it).
    Interrupted,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Success => 0,
            ExitStatus::Failure => 1,
            ExitStatus::Usage => 2,
            ExitStatus::Unreachable => 3,
            ExitStatus::Internal => 4,
            ExitStatus::Interrupted => 130,
        })
    }
}

/// An error for the person at the terminal: what happened, why, and what to do.
#[derive(Debug)]
pub struct CliError {
    pub status: ExitStatus,
    pub message: String,
    /// From the nearest cause to the first one.
    pub causes: Vec<String>,
    pub hint: Option<String>,
    /// The reader of stdout went away (`huskies … | head`): nothing to report.
    broken_pipe: bool,
}

impl CliError {
    /// Wrong arguments or configuration.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            status: ExitStatus::Usage,
            ..Self::from(error.into())
        }
    }

    /// It was tried, and the answer is no.
    pub fn failure(error: impl Into<anyhow::Error>) -> Self {
        Self {
            status: ExitStatus::Failure,
            ..Self::from(error.into())
        }
    }

    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        let mut texts: Vec<String> = error.chain().map(ToString::to_string).collect();
        // A transparent or quoting error repeats its source; once is enough.
        texts.dedup_by(|cause, above| above.contains(cause.as_str()));
        let message = texts.remove(0);
        let broken_pipe = error.chain().any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
        });
        Self {
            status: ExitStatus::Internal,
            message,
            causes: texts,
            hint: None,
            broken_pipe,
        }
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        anyhow::Error::new(error).into()
    }
}

/// The one place that prints errors; returns the status to exit with.
pub fn finish(result: Result<ExitStatus, CliError>) -> ExitCode {
    let error = match result {
        Ok(status) => return status.into(),
        Err(error) if error.broken_pipe => return ExitStatus::Success.into(),
        Err(error) => error,
    };
    // When even stderr is closed nobody is left to tell; the exit status still says it.
    let _unprintable = print_error(&error, &mut anstream::stderr());
    error.status.into()
}

fn print_error(error: &CliError, out: &mut impl Write) -> io::Result<()> {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let cyan = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
    writeln!(out, "{red}error:{red:#} {}", tame(&error.message))?;
    for cause in &error.causes {
        writeln!(out, "  caused by: {}", tame(cause))?;
    }
    if let Some(hint) = &error.hint {
        writeln!(out, "{cyan}hint:{cyan:#} {}", tame(hint))?;
    }
    Ok(())
}

/// Where a subcommand's results and remarks go.
pub struct Output {
    json: bool,
    results: Box<dyn Write + Send>,
    remarks: Box<dyn Write + Send>,
}

impl Output {
    /// Results to stdout and remarks to stderr, coloured only where they are terminals.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            results: Box::new(anstream::stdout()),
            remarks: Box::new(anstream::stderr()),
        }
    }

    /// Whether the caller asked for JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// One line of a result for people; nothing when JSON was asked for.
    pub fn line(&mut self, line: impl Display) -> Result<(), CliError> {
        if !self.json {
            writeln!(self.results, "{}", walled(&line.to_string()))?;
            self.results.flush()?;
        }
        Ok(())
    }

    /// The result for scripts, on one line; nothing unless JSON was asked for.
    pub fn value(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        if self.json {
            let text = serde_json::to_string(value).map_err(anyhow::Error::new)?;
            writeln!(self.results, "{}", tame_json(&text))?;
            self.results.flush()?;
        }
        Ok(())
    }

    /// One line on stderr, about the work rather than its result.
    pub fn remark(&mut self, line: impl Display) -> Result<(), CliError> {
        writeln!(self.remarks, "{}", walled(&line.to_string()))?;
        self.remarks.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_error_prints_what_happened_why_and_what_to_do() {
        let cause = io::Error::new(ErrorKind::PermissionDenied, "permission denied");
        let error = Err::<(), _>(cause)
            .context("the data folder could not be made")
            .context("huskies did not start");
        let error = CliError::usage(error.unwrap_err())
            .hint("set data_dir to a folder that you may write to");
        let mut printed = anstream::StripStream::new(Vec::new());
        print_error(&error, &mut printed).unwrap();
        insta::assert_snapshot!(String::from_utf8(printed.into_inner()).unwrap(), @r#"
        error: huskies did not start
          caused by: the data folder could not be made
          caused by: permission denied
        hint: set data_dir to a folder that you may write to
        "#);
        assert_eq!(error.status, ExitStatus::Usage);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let error = CliError::from(io::Error::from(ErrorKind::BrokenPipe));
        assert!(error.broken_pipe);
    }
}
