//! A project file to start from: looks at what a repository is made of ([`detect`]), writes what
//! follows from it with its reasons ([`render_project_toml`]), and never loses a file that is there.
//!
//! Not for: judging whether the suggested commands succeed; `huskies gate` shows that.

mod detect;
mod render;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

pub use detect::detect;
pub use render::render_project_toml;

use crate::config::project::PROJECT_FILE;

/// What a repository seems to need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suggestions {
    pub components: Vec<SuggestedComponent>,
    pub gates: Vec<SuggestedGate>,
}

/// Set-up that the gates need on a clean checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuggestedComponent {
    pub name: String,
    pub setup: Vec<String>,
}

/// A gate that the project has the tools for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuggestedGate {
    pub name: String,
    pub command: String,
    /// Quick enough to run at each commit.
    pub quick: bool,
}

/// What to do with a project file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Refuse,
    /// Rename it to the first free of `project.toml.old`, `project.toml.old.2`, …
    SetAside,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub file: PathBuf,
    /// Where the file that was there before is now.
    pub set_aside: Option<PathBuf>,
    pub gates: Vec<SuggestedGate>,
}

/// Why no project file was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("{} is there already: edit it, or give --force to set it aside and start anew", .0.display())]
    Exists(PathBuf),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

impl InitError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// Writes `.huskies/project.toml` below `root`.
pub fn write(root: &Path, existing: Existing) -> Result<Written, InitError> {
    let suggestions = detect(root).map_err(InitError::file(root))?;
    let file = root.join(PROJECT_FILE);
    let folder = root.join(".huskies");
    fs::create_dir_all(&folder).map_err(InitError::file(&folder))?;
    let set_aside = match existing {
        Existing::SetAside if file.exists() => Some(set_aside(&file)?),
        Existing::SetAside | Existing::Refuse => None,
    };
    // `create_new` rather than a look beforehand: a file that appears meanwhile is not overwritten.
    let mut new = fs::File::create_new(&file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => InitError::Exists(file.clone()),
        _ => InitError::File {
            path: file.clone(),
            source: error,
        },
    })?;
    let text = render_project_toml(&suggestions);
    new.write_all(text.as_bytes())
        .map_err(InitError::file(&file))?;
    Ok(Written {
        file,
        set_aside,
        gates: suggestions.gates,
    })
}

/// Moves a file to a free name beside it. A hard link first, because renaming would replace a file
/// that has the name.
fn set_aside(file: &Path) -> Result<PathBuf, InitError> {
    let mut number = 1;
    loop {
        let extension = if number == 1 {
            "toml.old".to_owned()
        } else {
            format!("toml.old.{number}")
        };
        let aside = file.with_extension(extension);
        match fs::hard_link(file, &aside) {
            Ok(()) => {
                fs::remove_file(file).map_err(InitError::file(file))?;
                return Ok(aside);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(InitError::file(aside)(error)),
        }
    }
}

#[cfg(test)]
mod tests;
