//! Taking out what an agent has done: its commits into `control.git`, and everything else it left
//! under a WIP ref. After this nothing in the worktree is the only copy.

use super::error::While;
use super::foreign::{Head, Wanted, all_refs};
use super::linked::Linked;
use super::objects::{Objects, oid, open_ref, sha, story_ref, stray_ref, wip_ref};
use super::repository::{Identity, blocking};
use super::snapshot::Snapshot;
use super::worktree::unfinished;
use super::{Repository, Result, files};
use crate::domain::id::{Attempt, BranchName, Sha, StoryId};
use crate::domain::work::Collected;

/// Whose work is taken out.
#[derive(Debug, Clone)]
pub struct CollectSpec {
    pub story: StoryId,
    pub branch: BranchName,
    pub attempt: Attempt,
    /// The branch's tip when the attempt began; `None`: the base.
    pub since: Option<Sha>,
    /// The base branch's tip.
    pub base: Sha,
    /// Files in which to look for conflict markers.
    pub conflicts: Vec<String>,
}

/// What became of a worktree that was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retirement {
    Removed,
    /// It holds something that no ref of huskies can hold; a person has to look.
    Kept {
        reason: String,
    },
}

/// The commits that a worktree has checked out.
struct Tips {
    branch: Option<Sha>,
    /// The worktree's own HEAD, when it is not the branch's tip: on another branch, detached, in
    /// the middle of a rebase.
    elsewhere: Option<Sha>,
}

/// What is to be kept for one attempt.
struct Keepsake {
    number: u64,
    attempt: Attempt,
    head: Sha,
    elsewhere: Option<Sha>,
    /// What is in the folder; `None`: there is no folder.
    tree: Option<Sha>,
    message: String,
}

impl Repository {
    /// Keeps everything the attempt has done and says what there is.
    ///
    /// The branch's tip goes to `refs/huskies/story/<number>/head`; uncommitted and untracked files
    /// (ignored ones left out) and commits that are on no branch of the story go to
    /// `refs/huskies/wip/<number>/<attempt>`, which is there in any case. May be repeated; an
    /// earlier snapshot of the same attempt stays reachable from the newer one.
    ///
    /// # Errors
    /// When the branch's objects are damaged; the work tree has been kept all the same.
    pub async fn collect(&self, spec: &CollectSpec) -> Result<Collected> {
        let linked = self.story_worktree(&spec.branch)?;
        let noticed = self.trouble_with_settings(&linked).await;
        let tips = self.tips(&linked, &spec.branch).await;
        let (mut collected, _) = self.keep_all(spec, tips).await?;
        if files::is_real_folder(linked.path()) {
            collected.noticed.extend(noticed?);
        }
        let open = open_ref(spec.story.number);
        self.read_objects(move |control| control.drop_ref(&open))
            .await?;
        Ok(collected)
    }

    /// Takes a fresh snapshot, and removes the worktree and its cell if everything is kept. What
    /// moved since the last attempt was collected is kept as well, and changes the story no more.
    pub async fn retire_worktree(&self, spec: &CollectSpec) -> Result<Retirement> {
        let linked = self.story_worktree(&spec.branch)?;
        let tips = self.tips(&linked, &spec.branch).await;
        let (story, open) = (story_ref(spec.story.number), open_ref(spec.story.number));
        let (known, open) = self
            .read_objects(move |control| Ok((control.read(&story)?, control.read(&open)?)))
            .await?;
        let tips = tips.map(|tips| Tips {
            branch: tips.branch.filter(|_| known.is_none() || open.is_some()),
            elsewhere: tips.elsewhere,
        });
        let (_, snapshot) = self.keep_all(spec, tips).await?;
        if let Err(error) = self.keep_other_refs(&linked, spec).await {
            return Ok(Retirement::Kept {
                reason: format!("{} stays: {error}", linked.path().display()),
            });
        }
        if let Some(reason) = snapshot.and_then(|snapshot| cannot_hold(&snapshot)) {
            return Ok(Retirement::Kept {
                reason: format!("{} stays: {reason}", linked.path().display()),
            });
        }
        self.remove_linked(&linked).await?;
        Ok(Retirement::Removed)
    }

    async fn keep_all(
        &self,
        spec: &CollectSpec,
        tips: Result<Tips>,
    ) -> Result<(Collected, Option<Snapshot>)> {
        let linked = self.story_worktree(&spec.branch)?;
        let (story, base) = (story_ref(spec.story.number), spec.base.clone());
        let known = self
            .read_objects(move |control| Ok(control.read(&story)?.unwrap_or(base)))
            .await?;
        let imported = match tips {
            Ok(tips) => self.import_tips(spec, &linked, &tips).await.map(|()| tips),
            Err(error) => Err(error),
        };
        let (head, elsewhere) = match &imported {
            Ok(tips) => (tips.branch.clone().unwrap_or(known), tips.elsewhere.clone()),
            Err(_) => (known, None),
        };
        let snapshot = if files::is_real_folder(linked.path()) {
            Some(self.snapshot(linked.path(), &head).await?)
        } else {
            None
        };
        let keepsake = Keepsake {
            number: spec.story.number,
            attempt: spec.attempt,
            head: head.clone(),
            elsewhere,
            tree: snapshot.as_ref().map(|snapshot| snapshot.tree.clone()),
            message: format!(
                "{}, attempt {}: what was not committed\n",
                spec.story, spec.attempt
            ),
        };
        let identity = self.inner.identity.clone();
        let wip = self
            .read_objects(move |control| keepsake.keep(control, &identity))
            .await?;
        imported?;
        let spec = spec.clone();
        let collected = self
            .read_objects(move |control| summary(control, &spec, head, wip))
            .await?;
        Ok((collected, snapshot))
    }

    async fn tips(&self, linked: &Linked, branch: &BranchName) -> Result<Tips> {
        let (linked, full) = (linked.clone(), branch.full());
        blocking(move || {
            let branch = linked.cell().tip(&full)?;
            let checked_out = match linked.head()? {
                Some(Head::Detached(sha)) => Some(sha),
                Some(Head::On(name)) => linked.cell().tip(&name)?,
                None => None,
            };
            let elsewhere = checked_out.filter(|sha| Some(sha) != branch.as_ref());
            Ok(Tips { branch, elsewhere })
        })
        .await
    }

    /// Keeps what the other branches, tags and stashes of a cell hold that no ref of ours does.
    async fn keep_other_refs(&self, linked: &Linked, spec: &CollectSpec) -> Result<()> {
        let (cell, number, attempt) = (linked.cell().clone(), spec.story.number, spec.attempt);
        if !cell.is_there() {
            return Ok(());
        }
        let strays = self
            .read_objects(move |control| {
                let kept = control.read(&wip_ref(number, attempt))?;
                let mut strays = Vec::new();
                for (_, tip) in all_refs(cell.git_dir())? {
                    let is_kept = match &kept {
                        Some(kept) => control.contains(kept, &tip)?,
                        None => false,
                    };
                    let name = stray_ref(number, &tip);
                    if !is_kept && control.read(&name)?.is_none() {
                        strays.push((tip, name));
                    }
                }
                strays.sort_unstable();
                strays.dedup();
                Ok(strays)
            })
            .await?;
        let wanted = strays.iter().map(|(commit, name)| Wanted {
            commit,
            into: Some(name),
        });
        let wanted: Vec<Wanted<'_>> = wanted.collect();
        if wanted.is_empty() {
            return Ok(());
        }
        self.import(linked.cell(), &wanted).await
    }

    async fn import_tips(&self, spec: &CollectSpec, linked: &Linked, tips: &Tips) -> Result<()> {
        let story = story_ref(spec.story.number);
        let branch = tips.branch.as_ref().map(|commit| Wanted {
            commit,
            into: Some(&story),
        });
        let elsewhere = tips
            .elsewhere
            .as_ref()
            .map(|commit| Wanted { commit, into: None });
        let wanted: Vec<Wanted<'_>> = branch.into_iter().chain(elsewhere).collect();
        if wanted.is_empty() {
            Ok(())
        } else {
            self.import(linked.cell(), &wanted).await
        }
    }
}

/// Why a snapshot is not everything that is in the folder.
fn cannot_hold(snapshot: &Snapshot) -> Option<String> {
    if !snapshot.nested.is_empty() {
        let names = snapshot.nested.join(", ");
        return Some(format!(
            "it holds repositories of their own whose history is nowhere else ({names})"
        ));
    }
    let names = snapshot.left_out.join(", ");
    (!names.is_empty()).then(|| format!("it holds what git does not store ({names})"))
}

impl Keepsake {
    /// Writes the WIP ref and returns the snapshot, if there was anything that is not in the head.
    fn keep(self, control: &Objects, identity: &Identity) -> Result<Option<Sha>> {
        if control.read(&story_ref(self.number))?.is_none() {
            control.point(&story_ref(self.number), &self.head)?;
        }
        let name = wip_ref(self.number, self.attempt);
        let head_tree = control.tree_id(&self.head)?;
        let tree = match &self.tree {
            Some(tree) => tree.clone(),
            // The folder is gone: what it held when last seen is what there is.
            None => match unfinished(control, self.number, &self.head)? {
                Some(last_seen) => control.tree_id(&last_seen)?,
                None => head_tree.clone(),
            },
        };
        let mut parents = vec![self.head.clone()];
        if let Some(elsewhere) = &self.elsewhere
            && !control.contains(&self.head, elsewhere)?
        {
            parents.push(elsewhere.clone());
        }
        let unfinished = tree != head_tree || parents.len() > 1;
        let kept = match control.read(&name)? {
            Some(previous) if is_same(control, &previous, (&tree, &parents))? => previous,
            Some(previous) if !control.contains(&self.head, &previous)? => {
                parents.push(previous);
                self.commit(control, identity, (&tree, &parents))?
            }
            Some(_) | None if unfinished => self.commit(control, identity, (&tree, &parents))?,
            Some(_) | None => self.head,
        };
        control.point(&name, &kept)?;
        Ok(unfinished.then_some(kept))
    }

    /// Dated like the head, so that the same state always gives the same commit.
    fn commit(
        &self,
        control: &Objects,
        identity: &Identity,
        (tree, parents): (&Sha, &[Sha]),
    ) -> Result<Sha> {
        let doing = || format!("keep what story {} has", self.number);
        let when = control.commit(&self.head)?.committer().when();
        let who =
            git2::Signature::new(&identity.name, &identity.email, &when).while_doing(doing)?;
        let tree = control.0.find_tree(oid(tree)?).while_doing(doing)?;
        let parents = parents
            .iter()
            .map(|parent| control.commit(parent))
            .collect::<Result<Vec<_>>>()?;
        let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
        let commit = control
            .0
            .commit(None, &who, &who, &self.message, &tree, &parents);
        commit.map(sha).while_doing(doing)
    }
}

/// Whether a snapshot that is there already is the one that would be made.
fn is_same(control: &Objects, previous: &Sha, (tree, parents): (&Sha, &[Sha])) -> Result<bool> {
    let commit = control.commit(previous)?;
    let its_parents: Vec<Sha> = commit.parent_ids().map(sha).collect();
    Ok(sha(commit.tree_id()) == *tree && its_parents.starts_with(parents))
}

fn summary(
    control: &Objects,
    spec: &CollectSpec,
    head: Sha,
    wip: Option<Sha>,
) -> Result<Collected> {
    let ahead = !control.contains(&spec.base, &head)?
        && !control.changed_paths(&spec.base, &head)?.is_empty();
    let advanced = spec.since.as_ref().unwrap_or(&spec.base) != &head;
    let mut markers = Vec::new();
    for path in &spec.conflicts {
        let text = control.read_file(&head, path)?;
        if text.is_some_and(|text| has_conflict_markers(&text)) {
            markers.push(path.clone());
        }
    }
    Ok(Collected {
        tree: control.tree_id(&head)?,
        head,
        ahead,
        advanced,
        markers,
        wip,
        noticed: Vec::new(),
    })
}

/// Whether a text has a whole conflict in it: the three markers of git-merge(1), in order, each at
/// the start of a line. One of them alone is a heading or a quotation.
fn has_conflict_markers(text: &[u8]) -> bool {
    let mut wanted: &[&[u8]] = &[b"<<<<<<< ", b"=======", b">>>>>>> "];
    for line in text.split(|&byte| byte == b'\n') {
        if let Some((next, rest)) = wanted.split_first()
            && line.starts_with(next)
        {
            wanted = rest;
        }
    }
    wanted.is_empty()
}

#[cfg(test)]
mod tests {
    use super::has_conflict_markers;

    #[test]
    fn a_whole_conflict_is_found_and_a_heading_is_not() {
        let conflict = b"a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> 1234567\n";
        assert!(has_conflict_markers(conflict));
        assert!(!has_conflict_markers(
            b"Title\n=======\n>>>>>>> a quotation\n"
        ));
        assert!(!has_conflict_markers(b"<<<<<<< only the beginning\n"));
    }
}
