//! What the git configuration says about hooks folders, level by level.

use std::path::{Path, PathBuf};

use super::HookError;
use super::folder::FOLDER;
use super::git::{Git, path_of};
use super::worktree::Worktree;

/// Remembers, on the worktree's level, a `core.hooksPath` of that level which was there before.
pub(super) const PREVIOUS_KEY: &str = "huskies.previousHooksPath";

/// The hooks folders that are configured, `~` expanded, otherwise as they are written.
#[derive(Debug, Default)]
pub(super) struct HookSettings {
    /// On this worktree's own level; huskies' folder when the hook is installed.
    pub(super) own: Option<PathBuf>,
    /// What [`PREVIOUS_KEY`] remembers.
    pub(super) remembered: Option<PathBuf>,
    /// The one that counts of the system, the user and the repository.
    pub(super) shared: Option<PathBuf>,
}

impl HookSettings {
    pub(super) fn read(git: &Git) -> Result<Self, HookError> {
        let pattern = r"^(core\.hookspath|huskies\.previoushookspath)$";
        let arguments = [
            "config",
            "--show-scope",
            "-z",
            "--type=path",
            "--get-regexp",
            pattern,
        ];
        let printed = git.find(&arguments)?.unwrap_or_default();
        let mut settings = Self::default();
        let mut fields = printed.split(|byte| *byte == 0);
        while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
            settings.take(scope, entry);
        }
        Ok(settings)
    }

    /// Later entries win, as in git. An empty value is no folder.
    fn take(&mut self, scope: &[u8], entry: &[u8]) {
        let Some(split) = entry.iter().position(|byte| *byte == b'\n') else {
            return;
        };
        let value = Some(path_of(&entry[split + 1..])).filter(|path| !path.as_os_str().is_empty());
        match (scope, &entry[..split]) {
            (b"worktree", b"core.hookspath") => self.own = value,
            (b"worktree", b"huskies.previoushookspath") => self.remembered = value,
            (b"system" | b"global" | b"local", b"core.hookspath") => self.shared = value,
            // `git -c core.hooksPath=…` is for one command and nobody's previous hooks.
            _ => {}
        }
    }

    /// The hooks folder that git would use if huskies had none here.
    pub(super) fn previous(&self, worktree: &Worktree) -> PathBuf {
        let foreign = self.own.as_ref().filter(|own| !is_huskies_folder(own));
        match foreign
            .or(self.remembered.as_ref())
            .or(self.shared.as_ref())
        {
            Some(folder) => worktree.top.join(folder),
            None => worktree.common_dir.join("hooks"),
        }
    }
}

/// Whether a hooks path names a folder that huskies wrote, in this worktree or another one.
pub(super) fn is_huskies_folder(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FOLDER)
}
