//! Reads `.huskies/project.toml` into a [`Project`]. Every key is checked; what is wrong is named
//! with its key, file and line and with what to write instead.
//!
//! Not for: finding the file. The server reads it from the base branch's tip, the hook from what is
//! being committed, the command line from the work tree.

mod raw;
mod validate;

use crate::domain::project::{Land, Project};

/// Where the file is, relative to the repository's root.
pub const PROJECT_FILE: &str = ".huskies/project.toml";

/// Why a project file was not accepted. The texts are for the person who wrote the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectError {
    #[error(
        "{file} is missing or empty: run `huskies init` in the repository and commit what it writes"
    )]
    Missing { file: String },
    /// Not TOML, an unknown key, a key that is missing or has a value of the wrong type.
    #[error("{}: {message}", place(file, *line))]
    Unreadable {
        file: String,
        line: Option<usize>,
        message: String,
    },
    /// A value that is TOML but makes no sense.
    #[error("{}: `{key}` {problem}: {advice}", place(file, *line))]
    Invalid {
        file: String,
        line: Option<usize>,
        key: String,
        problem: String,
        advice: String,
    },
}

fn place(file: &str, line: Option<usize>) -> String {
    line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"))
}

/// Reads the text of a project file. `file` is the name that errors use, `default_land` what holds
/// when the file does not say how changes land (it depends on the forge).
///
/// A file without a gate is accepted here; whoever runs stories refuses it with
/// [`no_gates_reason`].
pub fn parse(text: &str, file: &str, default_land: Land) -> Result<Project, ProjectError> {
    if text.trim().is_empty() {
        return Err(ProjectError::Missing {
            file: file.to_owned(),
        });
    }
    let raw: raw::Project = toml::from_str(text).map_err(|error| unreadable(text, file, &error))?;
    validate::Validation { text, file }.project(raw, default_land)
}

/// Why nothing is started or landed for a project whose file has no gate.
pub fn no_gates_reason(file: &str) -> String {
    format!(
        "{file} has no [[gate]], and without one nothing could be tested before it lands: add a gate \
         with a name and a command, for example name = \"test\", command = \"cargo test\"; `huskies \
         init` finds likely ones"
    )
}

fn unreadable(text: &str, file: &str, error: &toml::de::Error) -> ProjectError {
    let line = error.span().map(|span| line_of(text, span.start));
    let written = line
        .and_then(|line| text.lines().nth(line - 1))
        .unwrap_or_default()
        .trim();
    let message = error.message().trim().replace('\n', "; ");
    let message = if let Some(rest) = message.strip_prefix("unknown field ") {
        let rest = rest.replacen("expected one of", "supported here are", 1);
        format!(
            "unknown key {}",
            rest.replacen("expected", "supported here is", 1)
        )
    } else if message.starts_with("missing field") {
        message.replacen("missing field", "missing key", 1)
    } else {
        let message = message.replace("expected u32", "expected a whole number from zero");
        format!(
            "{} in `{written}`",
            message.replace("expected u64", "expected a whole number from zero")
        )
    };
    ProjectError::Unreadable {
        file: file.to_owned(),
        line,
        message,
    }
}

/// The line, counted from 1, that holds the byte at `offset`.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests;
