//! One sweep: what there is, what of it is too old, and away with it, one small step after another.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::folders::{blocking, remove, size, written};
use super::{Kind, Mode, Removed, Swept, Upkeep};
use crate::domain::event::{Event, StoryEvent, SubjectId};
use crate::domain::id::{RepoName, RunId, Sha, StoryId};
use crate::domain::story::{Activity, Stage, Story};
use crate::domain::transition::Subject;
use crate::engine::Report;
use crate::git::Repository;
use crate::process::run_folder::RunFolder;
use crate::store::retention::{EndedRun, Freed, LastSeen};

/// All stories as they were when the sweep began.
struct Stories(BTreeMap<StoryId, LastSeen>);

impl Stories {
    /// Nobody works at it, and nothing waits for it.
    fn rests(&self, id: &StoryId) -> bool {
        self.0.get(id).is_some_and(|seen| rests(&seen.story))
    }

    /// Those that have rested since before `before`.
    fn resting_since(&self, before: Timestamp) -> impl Iterator<Item = &Story> {
        let rested = move |seen: &&LastSeen| seen.at < before && rests(&seen.story);
        self.0.values().filter(rested).map(|seen| &seen.story)
    }
}

fn rests(story: &Story) -> bool {
    story.activity() == Activity::None && story.requests.is_empty()
}

fn has_ended(story: &Story) -> bool {
    is_done(story) || matches!(story.stage, Stage::Cancelled)
}

fn is_done(story: &Story) -> bool {
    matches!(story.stage, Stage::Done { .. })
}

/// The folder of a run that may go.
struct OldRun {
    id: RunId,
    folder: RunFolder,
    at: Timestamp,
    bytes: u64,
}

impl Upkeep {
    /// Removes what the limits say, or only looks.
    pub async fn sweep(&self, mode: Mode) -> anyhow::Result<Swept> {
        let _one_at_a_time = self.busy.lock().await;
        let mut swept = Swept {
            dry_run: mode == Mode::DryRun,
            ..Swept::default()
        };
        let seen = self.old.last_seen().await?;
        let stories = seen.into_iter().map(|seen| (seen.story.id.clone(), seen));
        let stories = Stories(stories.collect());
        self.sweep_runs(&stories, &mut swept).await?;
        self.sweep_rows(&stories, &mut swept).await?;
        for (name, git) in &self.repos {
            self.sweep_kept_work(&stories, (name, git), &mut swept)
                .await?;
            self.sweep_candidates((name, git), &mut swept).await?;
        }
        self.sweep_worktrees(&stories, &mut swept).await?;
        self.sweep_old_stores(&mut swept).await?;
        Ok(swept)
    }

    fn before(&self, age: SignedDuration) -> Timestamp {
        let now = self.clock.now();
        now.checked_sub(age).unwrap_or(Timestamp::MIN)
    }

    /// Too old, or the oldest of more than there may be. Runs that go on are none of them.
    async fn sweep_runs(&self, stories: &Stories, swept: &mut Swept) -> anyhow::Result<()> {
        let (mut old, mut total) = self.old_runs(stories).await?;
        old.sort_by_key(|run| run.at);
        let before = self.before(self.limits.runs);
        let (mut names, mut bytes, mut forgotten) = (Vec::new(), 0, Vec::new());
        for run in old {
            if run.at >= before && total <= self.limits.runs_max_bytes {
                break;
            }
            total = total.saturating_sub(run.bytes);
            bytes += run.bytes;
            names.push(format!("{} {}", run.id.repo(), run.id));
            if !swept.dry_run {
                let folder = run.folder.path().to_owned();
                blocking(move || remove(&folder)).await??;
                forgotten.push(run.id);
            }
        }
        self.old.forget_runs(&forgotten).await?;
        swept.add(Kind::Runs, names, bytes);
        Ok(())
    }

    /// The folders that may go, and how big all of them are together.
    async fn old_runs(&self, stories: &Stories) -> anyhow::Result<(Vec<OldRun>, u64)> {
        let (mut old, mut total) = (Vec::new(), 0);
        for EndedRun { id, subject } in self.old.ended_runs().await? {
            let rests = match &subject {
                SubjectId::Story(story) => stories.rests(story),
                SubjectId::Repo(_) | SubjectId::Head(_) | SubjectId::Account => true,
            };
            let folder = RunFolder::of(&self.data_dir, &id)?;
            let path = folder.path().to_owned();
            let (at, bytes) = blocking(move || {
                let at = written(&path.join("result.json")).or_else(|| written(&path));
                (at, size(&path))
            })
            .await?;
            total += bytes;
            if let Some(at) = at.filter(|_| rests) {
                old.push(OldRun {
                    id,
                    folder,
                    at,
                    bytes,
                });
            }
        }
        Ok((old, total))
    }

    async fn sweep_rows(&self, stories: &Stories, swept: &mut Swept) -> anyhow::Result<()> {
        let mode = if swept.dry_run {
            Mode::DryRun
        } else {
            Mode::Remove
        };
        let ids_before = self.before(self.limits.delivery_ids);
        let ids = self.old.drop_deliveries(ids_before, mode).await?;
        swept.count(rows(Kind::DeliveryIds, ids));
        let between = ids_before..self.before(self.limits.deliveries);
        let bodies = self.old.drop_delivery_bodies(between, mode).await?;
        swept.count(rows(Kind::DeliveryBodies, bodies));
        let before = self.before(self.limits.events);
        let ended = stories
            .resting_since(before)
            .filter(|story| has_ended(story));
        let mut subjects: Vec<SubjectId> = ended
            .map(|story| SubjectId::Story(story.id.clone()))
            .collect();
        subjects.extend(self.old.other_subjects().await?);
        let mut lines = Freed::default();
        for subject in subjects {
            let freed = self.old.drop_events(&subject, before, mode).await?;
            lines.rows += freed.rows;
            lines.bytes += freed.bytes;
        }
        swept.count(rows(Kind::Events, lines));
        Ok(())
    }

    /// What attempts of done stories had not committed. Everybody else's may be the only copy.
    async fn sweep_kept_work(
        &self,
        stories: &Stories,
        (repo, git): (&RepoName, &Repository),
        swept: &mut Swept,
    ) -> anyhow::Result<()> {
        let before = self.before(self.limits.kept_work);
        let done: BTreeSet<u64> = stories
            .resting_since(before)
            .filter(|story| story.id.repo == *repo && is_done(story))
            .map(|story| story.id.number)
            .collect();
        let mut names = Vec::new();
        for kept in git.kept_work().await? {
            if done.contains(&kept.story) {
                names.push(format!("{repo} {}/{}", kept.story, kept.attempt));
                if !swept.dry_run {
                    git.forget_work(&kept).await?;
                }
            }
        }
        swept.add(Kind::KeptWork, names, 0);
        Ok(())
    }

    async fn sweep_candidates(
        &self,
        (repo, git): (&RepoName, &Repository),
        swept: &mut Swept,
    ) -> anyhow::Result<()> {
        let before = self.before(self.limits.candidates);
        let wanted = self.commits_in_use(repo).await?;
        let mut names = Vec::new();
        for candidate in git.candidates().await? {
            if candidate.at < before && !wanted.contains(&candidate.commit) {
                names.push(format!("{repo} {}", candidate.commit.short()));
                if !swept.dry_run {
                    git.forget_candidate(&candidate).await?;
                }
            }
        }
        for head in git.heads().await? {
            if head.at < before && !wanted.contains(&head.commit) {
                names.push(format!("{repo} {}", head.commit.short()));
                if !swept.dry_run {
                    git.forget_head(&head).await?;
                }
            }
        }
        swept.add(Kind::Candidates, names, 0);
        Ok(())
    }

    /// What is being tested or waits to land, and the heads of open pull requests.
    async fn commits_in_use(&self, repo: &RepoName) -> anyhow::Result<Vec<Sha>> {
        let known = self.store.subject(&SubjectId::Repo(repo.clone())).await?;
        let Some((Subject::Repo(repo), _)) = known else {
            return Ok(Vec::new());
        };
        let merging = repo.merging.as_ref();
        let candidate = merging.and_then(|merging| merging.phase.candidate());
        let candidate = candidate.map(|candidate| &candidate.commit);
        let proposals = &repo.proposals;
        let heads = proposals.open.values().map(|open| &open.head.commit);
        let heads = heads.chain(&proposals.gating);
        Ok(candidate.into_iter().chain(heads).cloned().collect())
    }

    /// The story's own business: it has the worktree collected once more and taken away.
    async fn sweep_worktrees(&self, stories: &Stories, swept: &mut Swept) -> anyhow::Result<()> {
        let before = self.before(self.limits.worktrees);
        let (mut names, mut bytes) = (Vec::new(), 0);
        for story in stories.resting_since(before) {
            let (Some(branch), Some(git)) = (&story.branch, self.repos.get(&story.id.repo)) else {
                continue;
            };
            let (worktree, _) = git.places_of(branch)?;
            if !worktree.is_dir() {
                continue;
            }
            bytes += blocking(move || size(&worktree)).await?;
            names.push(story.id.to_string());
            if !swept.dry_run {
                let event = Event::story(&story.id, StoryEvent::LongAtRest);
                // One that was started meanwhile refuses, and that is an answer too.
                drop(self.engine.report(Report::event(event)).await?);
            }
        }
        swept.add(Kind::Worktrees, names, bytes);
        Ok(())
    }

    /// Copies of the store from before a migration.
    async fn sweep_old_stores(&self, swept: &mut Swept) -> anyhow::Result<()> {
        let before = self.before(self.limits.old_stores);
        let (folder, dry_run) = (self.data_dir.clone(), swept.dry_run);
        let (names, bytes) = blocking(move || {
            let (mut names, mut bytes) = (Vec::new(), 0);
            for entry in std::fs::read_dir(folder)?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_copy = name.starts_with("huskies.db.before-");
                if is_copy && written(&entry.path()).is_some_and(|at| at < before) {
                    bytes += size(&entry.path());
                    names.push(name);
                    if !dry_run {
                        remove(&entry.path())?;
                    }
                }
            }
            anyhow::Ok((names, bytes))
        })
        .await??;
        swept.add(Kind::OldStores, names, bytes);
        Ok(())
    }

    /// Removes clean checkouts that nobody has used for long. Only while no run can begin: before
    /// the executor works, or without a server.
    pub async fn sweep_checkouts(&self, swept: &mut Swept) -> anyhow::Result<()> {
        let before = self.before(self.limits.worktrees);
        let open = self.store.open_runs().await?;
        let busy: BTreeSet<&RepoName> = open.iter().map(|(run, _)| run.id.repo()).collect();
        let (mut names, mut bytes) = (Vec::new(), 0);
        for (repo, git) in &self.repos {
            if busy.contains(repo) {
                continue;
            }
            for checkout in git.checkouts().await? {
                if checkout.at >= before {
                    continue;
                }
                names.push(format!("{repo} {}", checkout.slot));
                bytes += blocking(move || size(&checkout.path)).await?;
                if !swept.dry_run {
                    git.remove_checkout(&checkout.slot).await?;
                }
            }
        }
        swept.add(Kind::Checkouts, names, bytes);
        Ok(())
    }
}

fn rows(what: Kind, freed: Freed) -> Removed {
    Removed {
        what,
        count: freed.rows,
        bytes: freed.bytes,
        names: Vec::new(),
    }
}
