//! Small files and folders that other people's processes may have tampered with: written whole by
//! renaming, never through a symbolic link, removed also when read-only.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Result;
use super::error::{While, on};

/// Puts `bytes` at `path` in one step. A symbolic link at `path` is replaced, not followed.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::Builder::new()
            .prefix(".huskies-")
            .permissions(fs::Permissions::from_mode(0o644))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().while_doing(|| on("write", path))
}

/// What is at `path`, if it is a regular file of at most `limit` bytes. What is opened is what is
/// looked at, so nothing can be put in its place in between; a pipe does not hold it up.
pub(super) fn read_regular(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => fs::File::from(file),
        // Nothing there; a link; a socket (open(2)).
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(error) => return Err(io::Error::from(error)).while_doing(|| on("open", path)),
    };
    let reading = || on("read", path);
    let metadata = file.metadata().while_doing(reading)?;
    if !metadata.is_file() || metadata.len() > limit {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.while_doing(reading)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// True for a folder itself, not for a link to one.
pub(super) fn is_real_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// True when anything has that name, also a dangling link.
pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Makes sure that `path` is a folder and no link to one; whatever else is there goes.
pub(super) fn ensure_real_folder(path: &Path) -> Result<()> {
    if is_real_folder(path) {
        return Ok(());
    }
    remove_tree(path)?;
    fs::create_dir_all(path).while_doing(|| on("create", path))
}

/// Removes whatever is at `path`, with everything below it, read-only folders too. Nothing there
/// is fine. Links are removed, not followed.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    let remove = || -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => match fs::remove_dir_all(path) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    open_folders(path)?;
                    fs::remove_dir_all(path)
                }
                // A file is held open for every level.
                Err(error) if is_too_deep(&error) => {
                    flatten(path).and_then(|()| fs::remove_dir_all(path))
                }
                other => other,
            },
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        }
    };
    match remove() {
        Err(error) if is_absent(&error) => Ok(()),
        other => other.while_doing(|| on("remove", path)),
    }
}

/// Gives the owner all rights on every folder below and including `path`.
fn open_folders(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

/// How deep a tree is removed as it is.
const DEPTH: usize = 100;

fn is_too_deep(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::MFILE | Errno::NAMETOOLONG))
}

/// Moves what lies deeper than [`DEPTH`] up to the top, until nothing does.
fn flatten(path: &Path) -> io::Result<()> {
    let top = open_folder(rustix::fs::CWD, path)?;
    let mut lifted = Vec::new();
    lift(&top, (&top, 0), &mut lifted)?;
    let mut done = 0;
    while let Some(name) = lifted.get(done).cloned() {
        done += 1;
        lift(&top, (&open_folder(&top, name)?, 1), &mut lifted)?;
    }
    Ok(())
}

fn open_folder(at: impl AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

fn lift(
    top: &OwnedFd,
    (folder, depth): (&OwnedFd, usize),
    lifted: &mut Vec<String>,
) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory || matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if depth < DEPTH {
            lift(top, (&open_folder(folder, name)?, depth + 1), lifted)?;
        } else {
            let place = format!(".huskies-deep-{}", lifted.len());
            rustix::fs::renameat(folder, name, top, &place)?;
            lifted.push(place);
        }
    }
    Ok(())
}

/// Nothing has that name, or a part of its path is no folder.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Removes the lock files in a folder: git takes one by creating it and leaves it when killed.
pub(super) fn remove_locks(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).while_doing(|| on("read", folder))? {
        let path = entry.while_doing(|| on("read", folder))?.path();
        if path.extension().is_some_and(|end| end == "lock") {
            remove_tree(&path)?;
        }
    }
    Ok(())
}

/// As [`remove_locks`], in all folders below as well.
pub(super) fn remove_locks_below(folder: &Path) -> Result<()> {
    remove_locks(folder)?;
    for entry in fs::read_dir(folder).while_doing(|| on("read", folder))? {
        let path = entry.while_doing(|| on("read", folder))?.path();
        if is_real_folder(&path) {
            remove_locks_below(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_replaced_and_its_target_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&link).unwrap(), "new");
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_folder_behind_a_link_survives_the_removal_of_the_link() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::create_dir(&target).unwrap();
        fs::write(target.join("precious"), "").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        ensure_real_folder(&link).unwrap();
        assert!(is_real_folder(&link) && target.join("precious").exists());
    }

    #[test]
    fn a_tree_deeper_than_files_can_be_open_goes_and_its_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, precious) = (folder.path().join("tree"), folder.path().join("precious"));
        fs::create_dir_all(precious.join("inside")).unwrap();
        fs::create_dir(&tree).unwrap();
        let mut place = open_folder(rustix::fs::CWD, &tree).unwrap();
        for _ in 0..3_000 {
            rustix::fs::symlinkat(&precious, &place, "a-link").unwrap();
            rustix::fs::mkdirat(&place, "deep", Mode::RWXU).unwrap();
            place = open_folder(&place, "deep").unwrap();
        }
        flatten(&tree).unwrap();
        let lifted = fs::read_dir(&tree).unwrap().count();
        assert!(lifted > 20, "{lifted}");
        remove_tree(&tree).unwrap();
        assert!(!exists(&tree) && precious.join("inside").exists());
    }

    #[test]
    fn a_tree_with_read_only_folders_can_be_opened_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        for closed in ["a/b", "a"] {
            fs::set_permissions(tree.join(closed), fs::Permissions::from_mode(0o500)).unwrap();
        }
        open_folders(&tree).unwrap();
        assert_eq!(
            fs::metadata(tree.join("a/b")).unwrap().permissions().mode() & 0o777,
            0o700
        );
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!exists(&tree));
    }
}
