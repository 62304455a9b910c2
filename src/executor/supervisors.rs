//! How the executor gets runs under way and finds them again. [`Launcher`] does it with processes;
//! a simulation does it in memory. What a run is told and what it leaves is in its folder, for both.

use async_trait::async_trait;

use crate::process::client::{Attached, Attachment, LaunchError, Launcher, attach};
use crate::process::run_folder::{FolderError, RunFolder};

/// Who watches over runs while servers come and go.
#[async_trait]
pub trait Supervisors: Send + Sync {
    /// Looks what has become of the run in `folder`, and joins it if it runs.
    async fn meet(&self, folder: &RunFolder) -> Result<Attachment, FolderError>;
    /// Starts the run in `folder`, or joins it: however often this is called, the job runs once.
    async fn launch(&self, folder: &RunFolder) -> Result<Attached, LaunchError>;
}

#[async_trait]
impl Supervisors for Launcher {
    async fn meet(&self, folder: &RunFolder) -> Result<Attachment, FolderError> {
        attach(folder).await
    }

    async fn launch(&self, folder: &RunFolder) -> Result<Attached, LaunchError> {
        self.launch(folder).await
    }
}
