//! Real git repositories for tests. Every command is hermetic: no configuration of the machine is
//! read, and authors are made up.
//! Not for: what the server does with git.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The branch that stories land on.
pub(crate) const BASE: &str = "main";

/// Variables that a surrounding git command (a hook that runs these tests) would pass on.
const OF_A_SURROUNDING_GIT: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
];

/// What makes git blind to the machine it runs on. Without templates a new repository has a dozen
/// files less.
pub(crate) const HERMETIC: [(&str, &str); 4] = [
    ("GIT_TEMPLATE_DIR", ""),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
];

/// A git command in `folder`, not yet run.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).args(arguments).envs(HERMETIC);
    for name in OF_A_SURROUNDING_GIT {
        command.env_remove(name);
    }
    command
        .env("HOME", "/nonexistent")
        .env("GIT_AUTHOR_NAME", "Test Author")
        .env("GIT_AUTHOR_EMAIL", "author@example.com")
        .env("GIT_COMMITTER_NAME", "Test Author")
        .env("GIT_COMMITTER_EMAIL", "author@example.com");
    command
}

/// Runs git and returns what it printed, without the newline at the end.
///
/// # Panics
/// When git fails, with its error.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = command(folder, arguments).output().expect("git is there");
    assert!(
        output.status.success(),
        "git {arguments:?} in {}: {}",
        folder.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// One commit as a test compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) sha: String,
    pub(crate) tree: String,
    pub(crate) parents: Vec<String>,
    /// `Name <address>`.
    pub(crate) author: String,
    /// The whole message.
    pub(crate) message: String,
}

/// The git side of the forge: a bare repository on disk, and a clone in which the tests' own people
/// work.
pub(crate) struct TestRemote {
    bare: PathBuf,
    desk: PathBuf,
}

impl TestRemote {
    /// A repository below `folder` whose base branch has one commit with `files`.
    pub(crate) fn create(folder: &Path, files: &[(&str, &str)]) -> Self {
        let remote = Self {
            bare: folder.join("origin.git"),
            desk: folder.join("desk"),
        };
        let bare = remote.bare.to_str().expect("temp folders are UTF-8");
        git(
            folder,
            &["init", "-q", "--bare", "--initial-branch", BASE, bare],
        );
        git(folder, &["clone", "-q", bare, "desk"]);
        git(&remote.desk, &["checkout", "-q", "-B", BASE]);
        remote.commit_files(files, "Begin");
        remote
    }

    pub(crate) fn path(&self) -> &Path {
        &self.bare
    }

    /// Clones it to `target`, as somebody who serves it with huskies would.
    pub(crate) fn clone_to(&self, target: &Path) {
        let bare = self.bare.to_str().expect("temp folders are UTF-8");
        let target = target.to_str().expect("temp folders are UTF-8");
        git(Path::new("/"), &["clone", "-q", bare, target]);
    }

    /// Pushes one more commit to the base branch, on top of whatever is there; returns its SHA.
    pub(crate) fn commit_on_base(&self, path: &str, content: &str, message: &str) -> String {
        git(&self.desk, &["fetch", "-q", "origin"]);
        let base = format!("origin/{BASE}");
        git(&self.desk, &["reset", "-q", "--hard", &base]);
        self.commit_files(&[(path, content)], message)
    }

    /// The head of a pull request from the base branch as it is, with `files`; its SHA. As on GitHub it
    /// is on no branch of this repository where it is a fork's.
    pub(crate) fn propose(&self, number: u64, files: &[(&str, &str)]) -> String {
        git(&self.desk, &["fetch", "-q", "origin"]);
        let base = format!("origin/{BASE}");
        git(&self.desk, &["checkout", "-q", "--detach", &base]);
        self.write(files);
        let message = format!("For pull request {number}");
        git(&self.desk, &["commit", "-q", "-m", &message]);
        let head = format!("+HEAD:refs/pull/{number}/head");
        git(&self.desk, &["push", "-q", "origin", &head]);
        let sha = git(&self.desk, &["rev-parse", "HEAD"]);
        git(&self.desk, &["checkout", "-q", BASE]);
        sha
    }

    /// Somebody commits a file to a branch and pushes that; the commit's SHA.
    pub(crate) fn commit_on(&self, branch: &str, path: &str, content: &str) -> String {
        git(&self.desk, &["fetch", "-q", "origin"]);
        let tip = format!("origin/{branch}");
        git(&self.desk, &["checkout", "-q", "--detach", &tip]);
        self.write(&[(path, content)]);
        git(&self.desk, &["commit", "-q", "-m", "By hand"]);
        git(
            &self.desk,
            &["push", "-q", "origin", &format!("HEAD:{branch}")],
        );
        let sha = git(&self.desk, &["rev-parse", "HEAD"]);
        git(&self.desk, &["checkout", "-q", BASE]);
        sha
    }

    /// Somebody deletes a branch; what it was is kept aside, as forges do for pull requests.
    pub(crate) fn delete(&self, branch: &str) {
        let kept = format!("refs/kept/{branch}");
        git(&self.bare, &["update-ref", &kept, &self.tip(branch)]);
        git(
            &self.bare,
            &["update-ref", "-d", &format!("refs/heads/{branch}")],
        );
    }

    fn commit_files(&self, files: &[(&str, &str)], message: &str) -> String {
        self.write(files);
        git(&self.desk, &["commit", "-q", "-m", message]);
        git(&self.desk, &["push", "-q", "origin", BASE]);
        git(&self.desk, &["rev-parse", "HEAD"])
    }

    /// Into the work tree and the index.
    fn write(&self, files: &[(&str, &str)]) {
        for (path, content) in files {
            let file = self.desk.join(path);
            std::fs::create_dir_all(file.parent().expect("a file is in a folder"))
                .expect("a temp folder can be written to");
            std::fs::write(file, content).expect("a temp folder can be written to");
        }
        git(&self.desk, &["add", "-A"]);
    }

    /// The commit a branch points at.
    pub(crate) fn tip(&self, branch: &str) -> String {
        git(&self.bare, &["rev-parse", &format!("refs/heads/{branch}")])
    }

    /// Moves a branch to a commit that the remote has already.
    pub(crate) fn fast_forward(&self, branch: &str, commit: &str) {
        git(
            &self.bare,
            &["update-ref", &format!("refs/heads/{branch}"), commit],
        );
    }

    pub(crate) fn branches(&self) -> Vec<String> {
        git(
            &self.bare,
            &["for-each-ref", "--format=%(refname:short)", "refs/heads"],
        )
        .lines()
        .map(str::to_owned)
        .collect()
    }

    /// The full names of the refs below `prefix`.
    pub(crate) fn refs(&self, prefix: &str) -> Vec<String> {
        git(&self.bare, &["for-each-ref", "--format=%(refname)", prefix])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The tree of a commit, branch or other revision.
    pub(crate) fn tree_of(&self, revision: &str) -> String {
        git(&self.bare, &["rev-parse", &format!("{revision}^{{tree}}")])
    }

    /// A file's content at a revision.
    pub(crate) fn file(&self, revision: &str, path: &str) -> String {
        git(&self.bare, &["show", &format!("{revision}:{path}")])
    }

    /// A branch's commits, newest first.
    pub(crate) fn log(&self, branch: &str) -> Vec<Commit> {
        log(&self.bare, branch)
    }
}

/// The commits that `revision` reaches in the repository at `folder`, newest first.
pub(crate) fn log(folder: &Path, revision: &str) -> Vec<Commit> {
    let format = "--format=%H%x1f%T%x1f%P%x1f%an <%ae>%x1f%B%x1e";
    git(folder, &["log", format, revision])
        .split('\u{1e}')
        .filter(|record| !record.trim().is_empty())
        .map(|record| {
            let fields: Vec<&str> = record.trim().split('\u{1f}').collect();
            Commit {
                sha: fields[0].to_owned(),
                tree: fields[1].to_owned(),
                parents: fields[2].split_whitespace().map(str::to_owned).collect(),
                author: fields[3].to_owned(),
                message: fields[4].trim_end().to_owned(),
            }
        })
        .collect()
}
