//! Reading repositories that others write to (`work.git`, a person's clone) as plain data.
//!
//! Refs are read from their files. Objects are fetched through a *view*: a throw-away bare
//! repository of ours that borrows the foreign objects and offers named commits, so that
//! `upload-pack` runs under our settings and the foreign configuration is never opened.
//!
//! Not for: repositories with the reftable format; their refs look absent.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::command::Git;
use super::error::{While, on};
use super::remote::FETCH_OPTIONS;
use super::{GitError, Result, files};
use crate::domain::id::Sha;

/// A loose ref or a `HEAD` is one line; anything longer is none.
const REF_FILE_LIMIT: u64 = 4_096;
/// `packed-refs` of very large projects has some ten megabytes.
const PACKED_REFS_LIMIT: u64 = 256 * 1024 * 1024;
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
    let Some(text) = files::read_regular(&common.join("packed-refs"), PACKED_REFS_LIMIT)? else {
        return Ok(None);
    };
    let line = text.split(|&byte| byte == b'\n').find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        line.split_once(' ').filter(|(_, packed)| *packed == name)
    });
    Ok(line.and_then(|(sha, _)| sha.parse().ok()))
}

/// A commit to bring over, and the ref of ours that it goes to (`None`: objects only).
pub(super) struct Wanted<'a> {
    pub(super) commit: &'a Sha,
    pub(super) into: Option<&'a str>,
}

/// A repository of others, and ours.
pub(super) struct Import<'a> {
    pub(super) git: &'a Git,
    /// The `objects` folder to borrow from.
    pub(super) objects: &'a Path,
    /// The repository that receives.
    pub(super) control: &'a Path,
    /// A folder for the view.
    pub(super) tmp: &'a Path,
}

impl Import<'_> {
    /// Fetches the wanted commits with everything they need, every object checked.
    pub(super) async fn fetch(&self, wanted: &[Wanted<'_>]) -> Result<()> {
        let view = self.view(wanted)?;
        let mut call = self
            .git
            .on(self.control, "fetch")
            .args(FETCH_OPTIONS)
            .allow("file");
        call = call.arg("--").arg(view.path());
        for (number, wanted) in wanted.iter().enumerate() {
            call = call.arg(match wanted.into {
                Some(into) => format!("+refs/heads/{number}:{into}"),
                None => format!("refs/heads/{number}"),
            });
        }
        call.stdout().await.map(drop)
    }

    fn view(&self, wanted: &[Wanted<'_>]) -> Result<tempfile::TempDir> {
        let mut alternates = self.objects.as_os_str().as_encoded_bytes().to_vec();
        if alternates.contains(&b'\n') {
            return Err(GitError::misconfigured(
                "the path of a repository must not contain a line break",
            ));
        }
        alternates.push(b'\n');
        let mut refs = "# pack-refs with: sorted\n".to_owned();
        for (number, wanted) in wanted.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = writeln!(refs, "{} refs/heads/{number}", wanted.commit);
        }
        let build = || -> std::io::Result<tempfile::TempDir> {
            let view = tempfile::Builder::new()
                .prefix("view-")
                .tempdir_in(self.tmp)?;
            fs::create_dir_all(view.path().join("objects/info"))?;
            fs::create_dir_all(view.path().join("refs/heads"))?;
            fs::write(view.path().join("objects/info/alternates"), &alternates)?;
            fs::write(view.path().join("HEAD"), "ref: refs/heads/0\n")?;
            fs::write(
                view.path().join("config"),
                "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
            )?;
            fs::write(view.path().join("packed-refs"), &refs)?;
            Ok(view)
        };
        build().while_doing(|| on("build a view in", self.tmp))
    }
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
        std::os::unix::fs::symlink("../../elsewhere", folder.path().join("refs/heads/x")).unwrap();
        assert_eq!(read_ref(folder.path(), "refs/heads/x").unwrap(), None);
    }
}
