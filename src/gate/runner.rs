//! Runs gates side by side on one folder.

use std::num::NonZeroUsize;

use futures::{FutureExt, StreamExt};
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::shell::ShellCommand;
use super::{Cancelled, Place, Progress, Watch};
use crate::domain::project::Gate;
use crate::domain::work::{GateOutcome, GateVerdict};

/// Which gates to run, and on what.
#[derive(Debug, Clone)]
pub struct GateRun {
    pub gates: Vec<Gate>,
    pub place: Place,
    /// What changed, relative to the repository's root; `None` when that is not known, and then no
    /// gate is skipped.
    pub changed_paths: Option<Vec<String>>,
    /// How many gates run at the same time.
    pub parallel: NonZeroUsize,
}

/// One gate per processor.
pub fn default_parallel() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Runs every gate, also after one has failed, and returns their outcomes in the order of the gates.
pub async fn run(request: &GateRun, watch: &Watch) -> Result<Vec<GateOutcome>, Cancelled> {
    let gates: Vec<_> = request
        .gates
        .iter()
        .map(|gate| run_gate(gate, request, watch).boxed())
        .collect();
    let outcomes = futures::stream::iter(gates).buffered(request.parallel.get());
    let outcomes: Vec<_> = outcomes.collect().await;
    outcomes.into_iter().collect()
}

async fn run_gate(gate: &Gate, request: &GateRun, watch: &Watch) -> Result<GateOutcome, Cancelled> {
    if watch.cancel.is_cancelled() {
        return Err(Cancelled);
    }
    let outcome = match applies(gate, request.changed_paths.as_deref()) {
        Ok(true) => execute(gate, &request.place, watch).await?,
        Ok(false) => unexecuted(gate, GateVerdict::Skipped),
        Err(error) => unexecuted(
            gate,
            GateVerdict::Broken {
                message: format!("its paths: {error}"),
            },
        ),
    };
    watch.tell(Progress::GateEnded(outcome.clone())).await;
    Ok(outcome)
}

async fn execute(gate: &Gate, place: &Place, watch: &Watch) -> Result<GateOutcome, Cancelled> {
    watch.tell(Progress::GateStarted(gate.name.clone())).await;
    let command = ShellCommand {
        of: &gate.name,
        command: &gate.command,
        directory: place.directory.clone(),
        place,
        timeout: gate.timeout,
    };
    let finished = command.run(watch).await?;
    Ok(GateOutcome {
        gate: gate.name.clone(),
        verdict: finished.verdict,
        duration: finished.duration,
        tail: finished.tail,
    })
}

fn unexecuted(gate: &Gate, verdict: GateVerdict) -> GateOutcome {
    let (duration, tail) = (std::time::Duration::ZERO, String::new());
    GateOutcome {
        gate: gate.name.clone(),
        verdict,
        duration,
        tail,
    }
}

/// Whether a gate has something to look at.
fn applies(gate: &Gate, changed_paths: Option<&[String]>) -> Result<bool, globset::Error> {
    let Some(changed) = changed_paths.filter(|_| !gate.paths.is_empty()) else {
        return Ok(true);
    };
    let globs = path_globs(&gate.paths)?;
    Ok(changed.iter().any(|path| globs.is_match(path)))
}

/// `*` stays within a folder, `**` crosses them, and a glob that names a folder stands for all that
/// is in it, also without `/**`: running a gate once too often is the harmless mistake.
fn path_globs(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let glob = |pattern: &str| -> Result<Glob, globset::Error> {
        GlobBuilder::new(pattern).literal_separator(true).build()
    };
    let mut globs = GlobSetBuilder::new();
    for pattern in patterns {
        let pattern = pattern.trim_end_matches('/');
        globs.add(glob(pattern)?);
        globs.add(glob(&format!("{pattern}/**"))?);
    }
    globs.build()
}

#[cfg(test)]
mod tests;
