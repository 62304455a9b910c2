//! The log of a server or a supervisor: lines on stderr, and panics among them, all without the
//! secrets that are known.

use std::io::{self, Stderr, Write};

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::terminal::log_line;
use crate::config::environment::Environment;
use crate::report::Masker;

/// `RUST_LOG` chooses what is logged; `info` without it.
pub(super) fn log_to_stderr(environment: &Environment, masker: &Masker) {
    let filter = EnvFilter::new(environment.get("RUST_LOG").unwrap_or("info"));
    tracing_subscriber::fmt()
        .with_writer(Masked(masker.clone()))
        .with_ansi(AutoStream::choice(&io::stderr()) != ColorChoice::Never)
        .with_env_filter(filter)
        .init();
    log_panics(masker.clone());
}

/// The log of a supervisor, which knows none of the server's secrets.
pub fn log_of_supervisor(environment: &Environment) {
    log_to_stderr(environment, &Masker::default());
}

/// A panic's place and message; its payload may hold anything that was being worked on.
fn log_panics(masker: Masker) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("without a message");
        let thread = std::thread::current();
        // Not through the log, whose filter may leave it out.
        let line = format!(
            "huskies panicked in `{}` at {}: {message}\n",
            thread.name().unwrap_or("a thread"),
            place.as_deref().unwrap_or("an unknown place"),
        );
        // When even stderr is closed nobody is left to tell.
        drop(
            MaskedStderr {
                masker: &masker,
                stderr: io::stderr(),
            }
            .write_all(line.as_bytes()),
        );
    }));
}

/// Makes writers that mask.
#[derive(Clone)]
struct Masked(Masker);

impl<'a> MakeWriter<'a> for Masked {
    type Writer = MaskedStderr<'a>;

    fn make_writer(&'a self) -> MaskedStderr<'a> {
        MaskedStderr {
            masker: &self.0,
            stderr: io::stderr(),
        }
    }
}

/// Masks each write by itself: the log writes whole lines.
struct MaskedStderr<'a> {
    masker: &'a Masker,
    stderr: Stderr,
}

impl Write for MaskedStderr<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = log_line(&String::from_utf8_lossy(bytes));
        // A log that cannot be written, on a disk that is full say, must stop nothing: told of the
        // error, the log's own library would complain on stderr, and panic since that fails too.
        drop(self.stderr.write_all(self.masker.mask(&line).as_bytes()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs [`a_panic_in_a_process_of_its_own`]; what it wrote to stderr.
    fn panicking() -> String {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("cli::logging::tests::a_panic_in_a_process_of_its_own")
            .env("HUSKIES_TEST_PANIC", "now")
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    #[test]
    #[ignore = "a part of the test below, which runs it in a process of its own"]
    fn a_panic_in_a_process_of_its_own() {
        let environment = Environment::of_process();
        if environment.get("HUSKIES_TEST_PANIC").is_none() {
            return;
        }
        let masker = Masker::new(vec!["ghp_0123456789".into()]);
        log_to_stderr(&environment, &masker);
        tracing::error!("a line with ghp_0123456789");
        panic!("cannot push with ghp_0123456789");
    }

    #[test]
    fn log_lines_and_panics_hide_secrets_and_keep_the_rest() {
        let stderr = panicking();
        assert!(!stderr.contains("ghp_"), "{stderr}");
        assert!(stderr.contains("a line with ******"), "{stderr}");
        assert!(stderr.contains("cannot push with ******"), "{stderr}");
        assert!(stderr.contains("src/cli/logging.rs:"), "{stderr}");
    }
}
