//! Runs a project's commands on a folder and says what they found: quality gates ([`runner`]),
//! component set-up before them ([`setup`]), and both together as a job that is described by a file
//! ([`job`]).
//!
//! Not for: deciding what follows from a verdict, or putting the right tree into the folder.

pub mod findings;
pub mod job;
pub mod output;
pub mod runner;
pub mod setup;
mod shell;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::id::ItemName;
use crate::domain::work::GateOutcome;
use crate::sandbox::Confinement;

/// Where and as what commands run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The root of the checkout.
    pub directory: PathBuf,
    /// The whole environment; nothing else is inherited.
    pub environment: Vec<(String, String)>,
    /// The marks that every process of this run carries ([`MARK_VARIABLE`]): the runs around it,
    /// then its own, which must be unique on the machine. Each command adds one more.
    ///
    /// [`MARK_VARIABLE`]: crate::process::tree::MARK_VARIABLE
    pub marks: String,
    /// What the commands may see and use; `None` for everything that this process may.
    #[serde(default)]
    pub confinement: Option<Confinement>,
    /// How many bytes of each command's output are kept (the last ones).
    pub output_cap: usize,
}

impl Place {
    /// How much output is kept unless somebody has a reason for another number: enough for the end
    /// of a test run, little enough for a store row.
    pub const OUTPUT_CAP: usize = 64 * 1024;

    /// The marks of a run named `own` inside the run that this process belongs to, if any.
    pub fn marks_inside(outer: Option<String>, own: &str) -> String {
        outer.map_or_else(|| own.to_owned(), |outer| format!("{outer} {own}"))
    }
}

/// What happens while commands run, for whoever shows or logs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    ComponentStarted(ItemName),
    GateStarted(ItemName),
    /// One line of output, escape sequences removed, of a gate or a component.
    Line {
        of: ItemName,
        line: String,
    },
    GateEnded(GateOutcome),
}

/// How a run is watched and ended from outside.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Where progress goes. A full channel slows the commands down; a closed one is ignored.
    pub progress: Option<mpsc::Sender<Progress>>,
    /// Ends every process of the run. Dropping a run's future instead leaves processes behind.
    pub cancel: CancellationToken,
}

impl Watch {
    async fn tell(&self, progress: Progress) {
        if let Some(sender) = &self.progress
            && sender.send(progress).await.is_err()
        {
            tracing::trace!("nobody follows this run any more");
        }
    }
}

/// The run was ended from outside; what it found until then is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run was cancelled")]
pub struct Cancelled;
