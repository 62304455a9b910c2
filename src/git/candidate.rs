//! The squash commit of a story, built in memory and kept under a ref.
//!
//! `git merge-tree --write-tree` in `control.git`: no worktree, and no merge driver but git's own,
//! since nobody else can configure that repository.
//!
//! Not for: testing or landing it.

use git2::{Commit, Sort};

use super::error::While;
use super::index::split;
use super::objects::{Objects, candidate_ref, oid, sha, text_of_paths};
use super::repository::Identity;
use super::{GitError, Repository, Result};
use crate::domain::id::Sha;
use crate::domain::text::inert_line;
use crate::domain::work::Candidate;

/// What is to be squashed.
#[derive(Debug, Clone)]
pub struct CandidateSpec {
    /// The base branch's tip, the only parent of the new commit.
    pub base: Sha,
    /// The story branch's tip.
    pub head: Sha,
    /// Subject and body. Trailers of the story's commits are added to it.
    pub message: String,
}

/// What squashing gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Built {
    Candidate(Candidate),
    /// Both sides changed the same thing; the paths, sorted.
    Conflict {
        paths: Vec<String>,
    },
    /// The story's changes are in the base already.
    Nothing,
}

/// What `merge-tree` found.
enum Merged {
    Clean(Sha),
    Conflict(Vec<String>),
}

impl Repository {
    /// Squashes `head` onto `base`. The author is the one of the story's newest commit, the others
    /// become `Co-authored-by`; the same input always gives the same commit.
    pub async fn build_candidate(&self, spec: &CandidateSpec) -> Result<Built> {
        let tree = match self.merge(&spec.base, &spec.head).await? {
            Merged::Clean(tree) => tree,
            Merged::Conflict(paths) => return Ok(Built::Conflict { paths }),
        };
        let (spec, identity) = (spec.clone(), self.inner.identity.clone());
        self.read_objects(move |control| {
            if control.tree_id(&spec.base)? == tree {
                return Ok(Built::Nothing);
            }
            let commit = squash(control, &spec, (&tree, &identity))?;
            control.point(&candidate_ref(&commit), &commit)?;
            Ok(Built::Candidate(Candidate {
                base: spec.base,
                head: spec.head,
                commit,
                tree,
            }))
        })
        .await
    }

    /// The message of a candidate as somebody else is to squash it, who becomes its author: the
    /// author of the work is named in it.
    pub async fn squash_message(&self, candidate: &Sha) -> Result<String> {
        let candidate = candidate.clone();
        self.read_objects(move |control| {
            let commit = control.commit(&candidate)?;
            let author = commit.author();
            let name = String::from_utf8_lossy(author.name_bytes());
            let email = String::from_utf8_lossy(author.email_bytes());
            let credit = inert_line(&format!("Co-authored-by: {name} <{email}>"), TRAILER_CHARS);
            let message = String::from_utf8_lossy(commit.message_bytes());
            with_trailers(&message, vec![credit])
        })
        .await
    }

    /// The first parent of a commit; `None` for one without.
    pub async fn parent_of(&self, commit: &Sha) -> Result<Option<Sha>> {
        let commit = commit.clone();
        self.read_objects(move |control| {
            let parent = control.commit(&commit)?.parent_ids().next();
            Ok(parent.map(sha))
        })
        .await
    }

    /// The files in which `head` conflicts with `base`, sorted; none when it merges cleanly.
    pub async fn conflicts(&self, base: &Sha, head: &Sha) -> Result<Vec<String>> {
        Ok(match self.merge(base, head).await? {
            Merged::Clean(_) => Vec::new(),
            Merged::Conflict(paths) => paths,
        })
    }

    async fn merge(&self, base: &Sha, head: &Sha) -> Result<Merged> {
        let (ours, theirs) = (base.clone(), head.clone());
        let unrelated = self
            .read_objects(move |control| match control.merge_base(&ours, &theirs)? {
                Some(_) => Ok(None),
                None => control
                    .differing_paths(&ours, &theirs)
                    .map(|paths| text_of_paths(&paths))
                    .map(Some),
            })
            .await?;
        if let Some(paths) = unrelated {
            return Ok(Merged::Conflict(paths));
        }
        let call = self.inner.git.on(&self.inner.paths.control(), "merge-tree");
        let call = call.args(["--write-tree", "-z", "--name-only", "--no-messages"]);
        let output = call.arg(base.as_str()).arg(head.as_str()).run().await?;
        // git-merge-tree(1), EXIT STATUS: 0 clean, 1 conflicts, anything else is no answer.
        let clean = match output.status {
            Some(0) => true,
            Some(1) => false,
            Some(_) | None => return Err(output.failure("merge-tree".to_owned())),
        };
        let mut fields = split(&output.stdout).into_iter();
        let tree = fields.next().unwrap_or_default();
        if clean {
            let tree = String::from_utf8_lossy(&tree).parse();
            return tree.map(Merged::Clean).map_err(|_| GitError::NotFound {
                what: "the merged tree".to_owned(),
            });
        }
        let mut paths = text_of_paths(&fields.collect::<Vec<_>>());
        paths.sort_unstable();
        paths.dedup();
        Ok(Merged::Conflict(paths))
    }
}

/// Writes the squash commit. Its committer date is the author's, so that building it again after a
/// crash gives the same id.
fn squash(
    control: &Objects,
    spec: &CandidateSpec,
    (tree, identity): (&Sha, &Identity),
) -> Result<Sha> {
    let doing = || format!("squash {}", spec.head);
    let commits = commits_of(control, spec)?;
    let head = control.commit(&spec.head)?;
    let newest = commits
        .iter()
        .find(|commit| commit.parent_count() < 2)
        .unwrap_or(&head);
    let author = newest.author();
    let committer = git2::Signature::new(&identity.name, &identity.email, &author.when());
    let committer = committer.while_doing(doing)?;
    let message = with_trailers(&spec.message, trailers(&commits, &author))?;
    let tree = control.0.find_tree(oid(tree)?).while_doing(doing)?;
    let base = control.commit(&spec.base)?;
    let commit = control
        .0
        .commit(None, &author, &committer, &message, &tree, &[&base]);
    commit.map(sha).while_doing(doing)
}

/// The story's commits, newest first.
fn commits_of<'a>(control: &'a Objects, spec: &CandidateSpec) -> Result<Vec<Commit<'a>>> {
    let doing = || format!("list the commits of {}", spec.head);
    let mut walk = control.0.revwalk().while_doing(doing)?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)
        .while_doing(doing)?;
    walk.push(oid(&spec.head)?).while_doing(doing)?;
    walk.hide(oid(&spec.base)?).while_doing(doing)?;
    walk.map(|id| {
        id.and_then(|id| control.0.find_commit(id))
            .while_doing(doing)
    })
    .collect()
}

/// The longest line, and the most of them, that are taken over from a story's commits.
const TRAILER_CHARS: usize = 200;
const TRAILERS: usize = 50;

/// The trailer lines that the squash commit takes over, oldest first.
fn trailers(commits: &[Commit<'_>], author: &git2::Signature<'_>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for commit in commits.iter().rev() {
        let message = String::from_utf8_lossy(commit.message_bytes());
        lines.extend(credits_of(&message));
        let other = commit.author();
        if !other
            .email_bytes()
            .eq_ignore_ascii_case(author.email_bytes())
        {
            let name = String::from_utf8_lossy(other.name_bytes()).into_owned();
            let email = String::from_utf8_lossy(other.email_bytes()).into_owned();
            lines.push(inert_line(
                &format!("Co-authored-by: {name} <{email}>"),
                TRAILER_CHARS,
            ));
        }
    }
    lines
}

/// Who wrote, signed, reviewed or reported it: trailers whose key ends in `-by`. Others are orders
/// to some program (`Fixes`, `Closes`, `Release-As`, `skip-checks`), and an agent's word is not
/// enough for those; so is a person's name that mentions or refers to somebody else.
fn credits_of(message: &str) -> Vec<String> {
    let is_credit = |key: &str| {
        let key = key.to_ascii_lowercase();
        key.len() > 3
            && key.ends_with("-by")
            && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
    };
    let trailers = trailers_of(message).into_iter();
    trailers
        .filter(|(key, _)| is_credit(key))
        .map(|(key, value)| inert_line(&format!("{key}: {value}"), TRAILER_CHARS))
        .collect()
}

/// Keys and values of a message's last paragraph, if that is one of trailers.
fn trailers_of(message: &str) -> Vec<(String, String)> {
    // A message that libgit2 cannot read (a zero byte in it) has no trailers for us.
    let Ok(trailers) = git2::message_trailers_strs(message) else {
        return Vec::new();
    };
    trailers
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// `message` with `lines` in its last paragraph, each once. Trailers count only when they are one
/// block at the end, so lines that are there already are joined, not followed by a second block.
fn with_trailers(message: &str, lines: Vec<String>) -> Result<String> {
    if message.contains('\0') {
        return Err(GitError::misconfigured(
            "a commit message cannot hold a zero byte",
        ));
    }
    let mut text = message.trim_end().to_owned();
    let present = trailers_of(&text);
    let mut present: Vec<String> = present
        .iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    let mut separator = if present.is_empty() { "\n\n" } else { "\n" };
    for line in lines.into_iter().take(TRAILERS) {
        if !present
            .iter()
            .any(|other| other.eq_ignore_ascii_case(&line))
        {
            text.push_str(separator);
            text.push_str(&line);
            separator = "\n";
            present.push(line);
        }
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn trailers_make_one_block_and_each_is_there_once() {
        let both = lines(&[
            "Signed-off-by: A <a@x>",
            "signed-off-by: a <A@x>",
            "Reviewed-by: B <b@x>",
        ]);
        let plain = with_trailers("Fix the door\n\nIt was open.\n", both.clone()).unwrap();
        let block = "Signed-off-by: A <a@x>\nReviewed-by: B <b@x>\n";
        assert_eq!(plain, format!("Fix the door\n\nIt was open.\n\n{block}"));
        let with_own = with_trailers("Fix\n\nStory: octo/app#1", both).unwrap();
        assert_eq!(with_own, format!("Fix\n\nStory: octo/app#1\n{block}"));
        assert_eq!(trailers_of(&with_own).len(), 3);
    }

    #[test]
    fn only_credits_are_taken_over_and_they_mention_and_close_nothing() {
        let message = "Mend\n\nFixes: #2\nCloses: octo/app#3\nskip-checks: true\nRelease-As: 9.9.9\n\
             Signed-off-by: A <a@x.org>\nReviewed-by: @octo/team fixes #4\nCo-authored-by: B\u{202e} <b@x.org>\n";
        let credits = lines(&[
            "Signed-off-by: A <a@x.org>",
            "Reviewed-by: @ octo/team fixes # 4",
            "Co-authored-by: B <b@x.org>",
        ]);
        assert_eq!(credits_of(message), credits);
    }

    #[test]
    fn a_message_without_trailers_only_ends_in_one_line_break() {
        assert_eq!(with_trailers("Fix\n\n\n", Vec::new()).unwrap(), "Fix\n");
        assert!(with_trailers("a\0b", Vec::new()).is_err());
    }
}
