//! Reading repositories that others write to (cells, a person's clone) as plain data.
//!
//! Refs are read from their files. Objects are fetched through a *view*: a throw-away bare
//! repository of ours that borrows the foreign objects and offers named commits, so that
//! `upload-pack` runs under our settings and the foreign configuration is never opened. Of a cell
//! only object files take part that are plain files in plain folders: its list of further places
//! (`objects/info/alternates`), its links, and its caches of what it holds are left alone.
//!
//! Not for: repositories with the reftable format; their refs look absent.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::command::Git;
use super::error::{While, on};
use super::remote::FETCH_OPTIONS;
use super::{GitError, Result, files};
use crate::domain::id::Sha;

/// A loose ref or a `HEAD` is one line; anything longer is none.
const REF_FILE_LIMIT: u64 = 4_096;
/// A cell's own refs are a handful; this is room for a hundred thousand.
const PACKED_REFS_LIMIT: u64 = 16 * 1024 * 1024;
/// How many refs of a cell are looked at, and how many object files of one of its folders.
const REF_COUNT_LIMIT: usize = 10_000;
const OBJECT_COUNT_LIMIT: usize = 1_000_000;
/// Symbolic refs are followed this many times, as git does (refs.h, SYMREF_MAXDEPTH).
const SYMBOLIC_DEPTH: usize = 5;

/// What a `HEAD` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    /// On a branch or another ref, by full name.
    On(String),
    Detached(Sha),
}

/// Reads the `HEAD` in `git_dir` (a repository's, or a linked worktree's admin folder).
pub(super) fn read_head(git_dir: &Path) -> Result<Option<Head>> {
    let text = files::read_regular(&git_dir.join("HEAD"), REF_FILE_LIMIT)?;
    Ok(text.and_then(|text| parse_ref(&text)))
}

fn parse_ref(text: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(text).ok()?.trim_end();
    match text.strip_prefix("ref:") {
        Some(name) => {
            let name = name.trim();
            let safe = name.starts_with("refs/") && git2::Reference::is_valid_name(name);
            safe.then(|| Head::On(name.to_owned()))
        }
        None => text.parse().ok().map(Head::Detached),
    }
}

/// The commit a full ref name stands for in the repository whose common folder is `common`.
pub(super) fn read_ref(common: &Path, name: &str) -> Result<Option<Sha>> {
    let mut name = name.to_owned();
    for _ in 0..SYMBOLIC_DEPTH {
        match files::read_regular(&common.join(&name), REF_FILE_LIMIT)? {
            None => return packed_ref(common, &name),
            Some(text) => match parse_ref(&text) {
                Some(Head::Detached(sha)) => return Ok(Some(sha)),
                Some(Head::On(target)) => name = target,
                None => return Ok(None),
            },
        }
    }
    Ok(None)
}

fn packed_ref(common: &Path, name: &str) -> Result<Option<Sha>> {
    let text = packed_refs(common)?;
    let mut lines = packed_lines(&text);
    Ok(lines.find_map(|(sha, packed)| (packed == name).then(|| sha.parse().ok())?))
}

fn packed_refs(common: &Path) -> Result<Vec<u8>> {
    let file = common.join("packed-refs");
    match files::read_regular(&file, PACKED_REFS_LIMIT)? {
        Some(text) => Ok(text),
        None if fs::symlink_metadata(&file).is_ok_and(|found| found.len() > PACKED_REFS_LIMIT) => {
            Err(GitError::Damaged {
                message: format!(
                    "{} is larger than {} MiB, which no repository of one story is; delete refs there",
                    file.display(),
                    PACKED_REFS_LIMIT / (1024 * 1024)
                ),
            })
        }
        None => Ok(Vec::new()),
    }
}

/// Commits and full names.
fn packed_lines(text: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.split(|&byte| byte == b'\n');
    lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(' '))
}

/// Every ref below `refs/` that names an object, the loose ones first.
pub(super) fn all_refs(common: &Path) -> Result<Vec<(String, Sha)>> {
    let mut found = Vec::new();
    loose_refs(common, "refs", &mut found)?;
    for (sha, name) in packed_lines(&packed_refs(common)?) {
        let valid = name.starts_with("refs/") && git2::Reference::is_valid_name(name);
        if let Ok(sha) = sha.parse()
            && valid
            && !found.iter().any(|(loose, _)| loose == name)
        {
            found.push((name.to_owned(), sha));
        }
        bounded(common, found.len())?;
    }
    Ok(found)
}

fn loose_refs(common: &Path, name: &str, found: &mut Vec<(String, Sha)>) -> Result<()> {
    let folder = common.join(name);
    if !files::is_real_folder(&folder) {
        return Ok(());
    }
    for entry in fs::read_dir(&folder).while_doing(|| on("read", &folder))? {
        let entry = entry.while_doing(|| on("read", &folder))?;
        let Some(last) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        let name = format!("{name}/{last}");
        if files::is_real_folder(&entry.path()) {
            loose_refs(common, &name, found)?;
        } else if git2::Reference::is_valid_name(&name)
            && let Some(sha) = read_ref(common, &name)?
        {
            found.push((name, sha));
            bounded(common, found.len())?;
        }
    }
    Ok(())
}

fn bounded(common: &Path, count: usize) -> Result<()> {
    if count <= REF_COUNT_LIMIT {
        return Ok(());
    }
    Err(GitError::Damaged {
        message: format!(
            "{} has more than {REF_COUNT_LIMIT} branches and tags; delete some there",
            common.display()
        ),
    })
}

/// A commit to bring over, and the ref of ours that it goes to (`None`: objects only).
pub(super) struct Wanted<'a> {
    pub(super) commit: &'a Sha,
    pub(super) into: Option<&'a str>,
}

/// Whose objects are read.
pub(super) enum Lender<'a> {
    /// A person's clone, with whatever it borrows itself.
    Clone { objects: &'a Path },
    /// A cell, which borrows from `base` and from nobody else, whatever it says.
    Cell { objects: &'a Path, base: &'a Path },
}

/// A repository of others, and ours.
pub(super) struct Import<'a> {
    pub(super) git: &'a Git,
    pub(super) lender: Lender<'a>,
    /// The repository that receives.
    pub(super) receiver: &'a Path,
    /// A folder for the view.
    pub(super) tmp: &'a Path,
}

impl Import<'_> {
    /// Fetches the wanted commits with everything they need, every object checked.
    pub(super) async fn fetch(&self, wanted: &[Wanted<'_>]) -> Result<()> {
        let (view, passed_over) = self.view(wanted)?;
        let mut call = self
            .git
            .on(self.receiver, "fetch")
            .args(FETCH_OPTIONS)
            .allow("file");
        call = call.arg("--").arg(view.path());
        for (number, wanted) in wanted.iter().enumerate() {
            call = call.arg(match wanted.into {
                Some(into) => format!("+refs/heads/{number}:{into}"),
                None => format!("refs/heads/{number}"),
            });
        }
        match call.stdout().await {
            Err(error) if !passed_over.is_empty() => Err(GitError::Damaged {
                message: format!(
                    "{error}; these are no plain files and were not followed: {}",
                    passed_over.join(", ")
                ),
            }),
            other => other.map(drop),
        }
    }

    /// The view, and what of the foreign repository is not visible in it.
    fn view(&self, wanted: &[Wanted<'_>]) -> Result<(tempfile::TempDir, Vec<String>)> {
        let borrowed = match self.lender {
            Lender::Clone { objects } => objects,
            Lender::Cell { base, .. } => base,
        };
        let mut alternates = borrowed.as_os_str().as_encoded_bytes().to_vec();
        if alternates.contains(&b'\n') {
            return Err(GitError::misconfigured(
                "the path of a repository must not contain a line break",
            ));
        }
        alternates.push(b'\n');
        let view = self.build_view(&alternates, wanted);
        let view = view.while_doing(|| on("build a view in", self.tmp))?;
        let passed_over = match self.lender {
            Lender::Clone { .. } => Vec::new(),
            Lender::Cell { objects, .. } => show(objects, &view.path().join("objects"))?,
        };
        Ok((view, passed_over))
    }

    fn build_view(
        &self,
        alternates: &[u8],
        wanted: &[Wanted<'_>],
    ) -> io::Result<tempfile::TempDir> {
        let mut refs = "# pack-refs with: sorted\n".to_owned();
        for (number, wanted) in wanted.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = writeln!(refs, "{} refs/heads/{number}", wanted.commit);
        }
        let view = tempfile::Builder::new()
            .prefix("view-")
            .tempdir_in(self.tmp)?;
        for folder in ["objects/info", "objects/pack", "refs/heads"] {
            fs::create_dir_all(view.path().join(folder))?;
        }
        let config: &[u8] = b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n";
        for (name, text) in [
            ("objects/info/alternates", alternates),
            ("HEAD", b"ref: refs/heads/0\n"),
            ("config", config),
            ("packed-refs", refs.as_bytes()),
        ] {
            fs::write(view.path().join(name), text)?;
        }
        Ok(view)
    }
}

/// Makes the object files of a cell visible in a view; returns what is passed over.
fn show(objects: &Path, view: &Path) -> Result<Vec<String>> {
    let mut passed_over = Vec::new();
    if !files::is_real_folder(objects) {
        return Ok(vec![objects.display().to_string()]);
    }
    for entry in fs::read_dir(objects).while_doing(|| on("read", objects))? {
        let path = entry.while_doing(|| on("read", objects))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        match name {
            Some("pack") => show_packs(&path, &view.join("pack"), &mut passed_over)?,
            Some(name) if is_hex(name, 2) => {
                if is_plain(&path)? {
                    link(&path, &view.join(name))?;
                } else {
                    passed_over.push(path.display().to_string());
                }
            }
            Some(_) | None => {}
        }
    }
    Ok(passed_over)
}

/// Packs and their indexes. Bitmaps, reverse indexes and indexes over many packs only make things
/// faster; they are an agent's word about what is in a pack.
fn show_packs(folder: &Path, view: &Path, passed_over: &mut Vec<String>) -> Result<()> {
    if !files::is_real_folder(folder) {
        passed_over.push(folder.display().to_string());
        return Ok(());
    }
    for entry in fs::read_dir(folder).while_doing(|| on("read", folder))? {
        let entry = entry.while_doing(|| on("read", folder))?;
        let path = entry.path();
        let name = entry.file_name();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_pack = stem
            .and_then(|stem| stem.strip_prefix("pack-"))
            .is_some_and(|digits| is_hex(digits, 40))
            && path
                .extension()
                .is_some_and(|end| end == "pack" || end == "idx");
        if is_pack && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            link(&path, &view.join(name))?;
        } else if is_pack {
            passed_over.push(path.display().to_string());
        }
    }
    Ok(())
}

/// A folder of nothing but files, and not too many.
fn is_plain(folder: &Path) -> Result<bool> {
    if !files::is_real_folder(folder) {
        return Ok(false);
    }
    let mut count = 0;
    for entry in fs::read_dir(folder).while_doing(|| on("read", folder))? {
        let entry = entry.while_doing(|| on("read", folder))?;
        count += 1;
        if count > OBJECT_COUNT_LIMIT || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn link(target: &Path, path: &Path) -> Result<()> {
    symlink(target, path).while_doing(|| on("build a view in", path))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn loose_packed_and_symbolic_refs_are_read_and_loops_end() {
        let folder = tempfile::tempdir().unwrap();
        let common = folder.path();
        fs::create_dir_all(common.join("refs/heads")).unwrap();
        fs::write(common.join("refs/heads/loose"), format!("{SHA}\n")).unwrap();
        fs::write(common.join("refs/heads/link"), "ref: refs/heads/packed\n").unwrap();
        fs::write(common.join("refs/heads/loop"), "ref: refs/heads/loop\n").unwrap();
        fs::write(
            common.join("packed-refs"),
            format!("# x\n{SHA} refs/heads/packed\n^{SHA}\n"),
        )
        .unwrap();
        let read = |name: &str| read_ref(common, name).unwrap();
        for name in ["refs/heads/loose", "refs/heads/packed", "refs/heads/link"] {
            assert_eq!(read(name), Some(SHA.parse().unwrap()), "{name}");
        }
        for name in ["refs/heads/loop", "refs/heads/none"] {
            assert_eq!(read(name), None, "{name}");
        }
    }

    #[test]
    fn a_head_that_points_out_of_the_refs_is_no_head() {
        for text in [
            "ref: ../../secret",
            "ref: refs/../x",
            "ref: /etc/passwd",
            "zzz",
            "",
            "ref: HEAD",
        ] {
            assert_eq!(parse_ref(text.as_bytes()), None, "{text:?}");
        }
        let on = parse_ref(b"ref: refs/heads/main\n");
        assert_eq!(on, Some(Head::On("refs/heads/main".to_owned())));
    }

    #[test]
    fn a_ref_file_that_is_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("refs/heads")).unwrap();
        fs::write(folder.path().join("elsewhere"), SHA).unwrap();
        symlink("../../elsewhere", folder.path().join("refs/heads/x")).unwrap();
        assert_eq!(read_ref(folder.path(), "refs/heads/x").unwrap(), None);
    }
}
