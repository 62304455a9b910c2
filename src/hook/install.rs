//! Puts the hook into one worktree and takes it out again.
//!
//! The scripts go into `<git-dir>/huskies-hooks`, and `core.hooksPath` names that folder on the
//! worktree's own configuration level (`extensions.worktreeConfig`), so that no other worktree and no
//! hooks folder of the project is touched. What was turned on for that is remembered in the
//! repository (`huskies.enabledWorktreeConfig`) and turned off by the last `uninstall`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::HookError;
use super::folder::write_hook_folder;
use super::git::{Git, line_of, path_of};
use super::settings::{HookSettings, PREVIOUS_KEY, is_huskies_folder};
use super::worktree::Worktree;

const EXTENSION: &str = "extensions.worktreeConfig";
const ENABLED_BY_US: &str = "huskies.enabledWorktreeConfig";
const HOOKS_PATH: &str = "core.hooksPath";

/// Settings that must not be shared once worktrees have a level of their own (git-worktree(1),
/// "Configuration file"): they would say of every worktree what holds for the main one.
const MAIN_ONLY: [&str; 2] = ["core.bare", "core.worktree"];

/// How to install.
#[derive(Debug, Clone)]
pub struct InstallOptions {
    /// The huskies binary that the hook starts, absolute.
    pub binary: PathBuf,
}

/// What an installation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    pub folder: PathBuf,
    /// Where the hooks that are run first, or handed on to, are looked for.
    pub previous: PathBuf,
    /// False when everything was as it should be.
    pub changed: bool,
}

/// What an uninstallation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uninstalled {
    Removed,
    WasNotInstalled,
}

/// Installs the hook into the worktree that `directory` lies in, or brings it up to date.
pub fn install(directory: &Path, options: &InstallOptions) -> Result<Installed, HookError> {
    let git = Git::in_folder(directory);
    let worktree = Worktree::discover(&git, directory)?;
    let mut changed = enable_worktree_config(&git, &worktree)?;
    let settings = HookSettings::read(&git)?;
    let previous = settings.previous(&worktree);
    let folder = worktree.hook_folder();
    changed |= write_hook_folder(&folder, &options.binary, &previous)?;
    let written = own_hooks_path(&git)?;
    let value = worktree.hooks_path_value();
    if written.as_deref() != Some(&value) {
        if let Some(foreign) = written.filter(|path| !is_huskies_folder(path)) {
            set(&git, PREVIOUS_KEY, foreign.as_os_str())?;
        }
        set(&git, HOOKS_PATH, value.as_os_str())?;
        changed = true;
    }
    Ok(Installed {
        folder,
        previous,
        changed,
    })
}

/// Takes the hook out of the worktree that `directory` lies in; everything is then as it was before.
pub fn uninstall(directory: &Path) -> Result<Uninstalled, HookError> {
    let git = Git::in_folder(directory);
    let worktree = Worktree::discover(&git, directory)?;
    let installed = own_hooks_path(&git)?.is_some_and(|path| is_huskies_folder(&path));
    if installed {
        match git.find(&["config", "--worktree", "--get", PREVIOUS_KEY])? {
            Some(previous) => set(&git, HOOKS_PATH, path_of(line_of(&previous)).as_os_str())?,
            None => unset(&git, "--worktree", HOOKS_PATH)?,
        }
        unset(&git, "--worktree", PREVIOUS_KEY)?;
    }
    let folder = worktree.hook_folder();
    let folder_was_there = folder.exists();
    if folder_was_there {
        fs::remove_dir_all(&folder).map_err(HookError::file(&folder))?;
    }
    disable_worktree_config(&git, &worktree)?;
    Ok(if installed || folder_was_there {
        Uninstalled::Removed
    } else {
        Uninstalled::WasNotInstalled
    })
}

/// This worktree's `core.hooksPath` as it is written.
fn own_hooks_path(git: &Git) -> Result<Option<PathBuf>, HookError> {
    if !is_enabled(git)? {
        return Ok(None);
    }
    let found = git.find(&["config", "--worktree", "--get", HOOKS_PATH])?;
    Ok(found.map(|value| path_of(line_of(&value))))
}

fn is_enabled(git: &Git) -> Result<bool, HookError> {
    let value = git.find(&["config", "--local", "--type=bool", "--get", EXTENSION])?;
    Ok(value.is_some_and(|value| line_of(&value) == b"true"))
}

/// Gives worktrees a level of their own. What must not be shared then is written to its new place
/// before the extension is on, and leaves the old one after: an interruption in between loses
/// nothing, and installing again goes on from there.
fn enable_worktree_config(git: &Git, worktree: &Worktree) -> Result<bool, HookError> {
    let was_enabled = is_enabled(git)?;
    let main = main_level(worktree);
    let mut to_move = Vec::new();
    for key in MAIN_ONLY {
        if let Some(value) = git.find(&["config", "--local", "--get", key])? {
            let value = path_of(line_of(&value)).into_os_string();
            if key != "core.bare" || value == "true" {
                set_in(git, &main, key, &value)?;
                to_move.push(key);
            }
        }
    }
    if !was_enabled {
        git.run(&["config", "--local", ENABLED_BY_US, "true"])?;
        git.run(&["config", "--local", EXTENSION, "true"])?;
    }
    for key in &to_move {
        unset(git, "--local", key)?;
    }
    Ok(!was_enabled || !to_move.is_empty())
}

/// Turns the extension off when huskies turned it on and nothing needs it any more.
fn disable_worktree_config(git: &Git, worktree: &Worktree) -> Result<(), HookError> {
    let ours = git.find(&["config", "--local", "--type=bool", "--get", ENABLED_BY_US])?;
    let levels = worktree_levels(worktree)?;
    if ours.is_none() || is_in_use(git, &levels, &main_level(worktree))? {
        return Ok(());
    }
    let main = main_level(worktree);
    for key in MAIN_ONLY {
        if let Some(value) = git.find(&arguments_in(&main, &["--get", key]))? {
            git.run(&[
                OsStr::new("config"),
                "--local".as_ref(),
                key.as_ref(),
                path_of(line_of(&value)).as_os_str(),
            ])?;
        }
    }
    unset(git, "--local", EXTENSION)?;
    unset(git, "--local", ENABLED_BY_US)?;
    for level in levels {
        fs::remove_file(&level).map_err(HookError::file(&level))?;
    }
    Ok(())
}

/// Whether some worktree has a setting of its own beyond what was moved for the extension.
fn is_in_use(git: &Git, levels: &[PathBuf], main: &Path) -> Result<bool, HookError> {
    for level in levels {
        let names = git.run(&arguments_in(level, &["--list", "--name-only"]))?;
        let names = String::from_utf8_lossy(&names).into_owned();
        if names
            .lines()
            .any(|name| level != main || !MAIN_ONLY.contains(&name))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The configuration file of the main work tree's own level.
fn main_level(worktree: &Worktree) -> PathBuf {
    worktree.common_dir.join("config.worktree")
}

/// The files of all worktrees' own levels that exist.
fn worktree_levels(worktree: &Worktree) -> Result<Vec<PathBuf>, HookError> {
    let mut levels = vec![main_level(worktree)];
    let linked = worktree.common_dir.join("worktrees");
    if linked.is_dir() {
        for entry in fs::read_dir(&linked).map_err(HookError::file(&linked))? {
            levels.push(
                entry
                    .map_err(HookError::file(&linked))?
                    .path()
                    .join("config.worktree"),
            );
        }
    }
    levels.retain(|level| level.exists());
    Ok(levels)
}

fn arguments_in(file: &Path, rest: &[&str]) -> Vec<OsString> {
    let start = [OsString::from("config"), "--file".into(), file.into()];
    start
        .into_iter()
        .chain(rest.iter().map(OsString::from))
        .collect()
}

fn set(git: &Git, key: &str, value: &OsStr) -> Result<(), HookError> {
    git.run(&[
        OsStr::new("config"),
        "--worktree".as_ref(),
        key.as_ref(),
        value,
    ])
    .map(|_printed| ())
}

fn set_in(git: &Git, file: &Path, key: &str, value: &OsStr) -> Result<(), HookError> {
    let mut arguments = arguments_in(file, &[key]);
    arguments.push(value.to_owned());
    git.run(&arguments).map(|_printed| ())
}

/// Removes a key that may not be there.
fn unset(git: &Git, level: &str, key: &str) -> Result<(), HookError> {
    if git.find(&["config", level, "--get-all", key])?.is_some() {
        git.run(&["config", level, "--unset-all", key])?;
    }
    Ok(())
}
