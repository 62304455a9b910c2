//! The scripts in a worktree's hook folder. They come from `hooks/` of this repository, which uses
//! them on itself.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::HookError;

/// The folder's name, inside the worktree's git data.
pub const FOLDER: &str = "huskies-hooks";

const PRE_COMMIT: &str = include_str!("../../hooks/pre-commit");
const PASS_THROUGH: &str = include_str!("../../hooks/pass-through");

/// The line of both scripts that takes the path of the binary.
const PLACE_OF_BINARY: &str = "installed=''";

/// Always there, because it also looks after worktrees that git made as copies of this one.
const ALWAYS: &str = "post-checkout";

/// Hooks that git runs in a work tree (githooks(5)), pre-commit left out.
const PASSED_ON: [&str; 21] = [
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "post-index-change",
    "p4-changelist",
    "p4-prepare-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
];

/// Writes the pre-commit hook and a script for each hook that `previous` has, so that those go on
/// working; nothing else: that git looks into the folder is the caller's to configure. Returns
/// whether something was changed. Scripts are replaced whole, never in the midst of being run.
pub fn write_hook_folder(folder: &Path, binary: &Path, previous: &Path) -> Result<bool, HookError> {
    fs::create_dir_all(folder).map_err(HookError::file(folder))?;
    let mut changed = write_script(folder, "pre-commit", &render(PRE_COMMIT, binary))?;
    for name in names_to_pass_on(previous) {
        changed |= write_script(folder, &name, &render(PASS_THROUGH, binary))?;
    }
    Ok(changed)
}

/// Adds what `previous` has got since the folder was written.
pub(super) fn top_up(folder: &Path, previous: &Path) -> Result<(), HookError> {
    if missing_names(folder, previous).is_empty() {
        return Ok(());
    }
    let binary = installed_binary(folder).unwrap_or_default();
    write_hook_folder(folder, &binary, previous).map(|_changed| ())
}

/// Hooks of `previous` that the folder does not hand on.
pub(super) fn missing_names(folder: &Path, previous: &Path) -> Vec<String> {
    names_to_pass_on(previous)
        .into_iter()
        .filter(|name| !is_executable(&folder.join(name)))
        .collect()
}

/// Whether every script is as this version of huskies writes it.
pub(super) fn is_current(folder: &Path) -> bool {
    let Some(binary) = installed_binary(folder) else {
        return false;
    };
    let same = |name: &str, template: &str| {
        fs::read(folder.join(name)).map_or(true, |script| script == render(template, &binary))
    };
    same("pre-commit", PRE_COMMIT) && PASSED_ON.iter().all(|name| same(name, PASS_THROUGH))
}

/// The binary that the pre-commit script starts, as it was filled in.
pub(super) fn installed_binary(folder: &Path) -> Option<PathBuf> {
    let script = fs::read(folder.join("pre-commit")).ok()?;
    let line = script
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"installed='"))?;
    let quoted = line.strip_suffix(b"'")?;
    let mut path = Vec::new();
    let mut rest = quoted;
    while let Some((first, tail)) = rest.split_first() {
        path.push(*first);
        rest = if *first == b'\'' {
            tail.strip_prefix(br"\''").unwrap_or(tail)
        } else {
            tail
        };
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

/// A regular file that may be executed: what git takes for a hook.
pub(super) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Whether a script is huskies' own pre-commit hook, wherever it was copied to.
pub(super) fn is_own_script(path: &Path) -> bool {
    let invocation = b"hook run pre-commit";
    fs::read(path).is_ok_and(|script| {
        script
            .windows(invocation.len())
            .any(|part| part == invocation)
    })
}

fn names_to_pass_on(previous: &Path) -> BTreeSet<String> {
    let exists = |name: &&&str| is_executable(&previous.join(name));
    let names = PASSED_ON.iter().filter(exists).chain([&ALWAYS]);
    names.map(|&name| name.to_owned()).collect()
}

fn render(template: &str, binary: &Path) -> Vec<u8> {
    let mut quoted = b"installed='".to_vec();
    for byte in binary.as_os_str().as_bytes() {
        match byte {
            b'\'' => quoted.extend(br"'\''"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    let (before, after) = template
        .split_once(PLACE_OF_BINARY)
        .unwrap_or((template, ""));
    [before.as_bytes(), &quoted, after.as_bytes()].concat()
}

fn write_script(folder: &Path, name: &str, content: &[u8]) -> Result<bool, HookError> {
    let path = folder.join(name);
    if is_executable(&path) && fs::read(&path).is_ok_and(|there| there == content) {
        return Ok(false);
    }
    let unfinished = folder.join(format!(".{name}.{}", std::process::id()));
    fs::write(&unfinished, content).map_err(HookError::file(&unfinished))?;
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&unfinished, executable).map_err(HookError::file(&unfinished))?;
    fs::rename(&unfinished, &path).map_err(HookError::file(&path))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_of_any_name_is_written_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        for binary in [
            "/opt/huskies",
            "/home/o'hara/my ''bin'/huskies",
            "/tmp/$(touch x)/`h`",
        ] {
            assert!(
                write_hook_folder(folder.path(), Path::new(binary), Path::new("/nowhere")).unwrap()
            );
            assert_eq!(installed_binary(folder.path()).unwrap(), Path::new(binary));
            let script = folder.path().join("pre-commit");
            let shown = std::process::Command::new("sh")
                .args([
                    "-c",
                    "eval \"$(grep ^installed= \"$0\")\"; printf %s \"$installed\"",
                    script.to_str().unwrap(),
                ])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(shown.stdout).unwrap(), binary);
        }
    }

    #[test]
    fn only_real_hooks_are_handed_on_and_writing_again_changes_nothing() {
        let (folder, previous) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, mode) in [
            ("commit-msg", 0o755),
            ("pre-push", 0o644),
            ("pre-commit.sample", 0o755),
            ("h", 0o755),
        ] {
            fs::write(previous.path().join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(previous.path().join(name), fs::Permissions::from_mode(mode))
                .unwrap();
        }
        assert!(write_hook_folder(folder.path(), Path::new("/h"), previous.path()).unwrap());
        assert!(!write_hook_folder(folder.path(), Path::new("/h"), previous.path()).unwrap());
        let names = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(
            names
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>(),
            ["commit-msg", "post-checkout", "pre-commit"]
        );
        assert!(is_current(folder.path()));
    }
}
