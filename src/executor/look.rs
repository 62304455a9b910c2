//! Looks on the forge for what no delivery told. It reads and compares nothing: what is new in it is
//! for the repository to say.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::acts::MENDED_CHECK;
use super::context::{Context, RepoContext, Try};
use crate::command;
use crate::domain::delivery::{Comment, PullRequestChange, Said};
use crate::domain::dependency::StoryState;
use crate::domain::event::{Event, RepoEvent};
use crate::domain::id::{RepoName, StoryId};
use crate::domain::reconciliation::{Found, FoundIssue, FoundReview, KnownIssue, Look};
use crate::domain::story::Story;
use crate::domain::transition::Subject;
use crate::forge::{ForgeError, ListedComment, ListedIssue, Listing, RetryWhen, WantedIssues};
use crate::store::{StoreError, StoryFilter};

/// Why a look came to nothing: it is made again.
#[derive(Debug, thiserror::Error)]
enum Blind {
    #[error(transparent)]
    Forge(#[from] ForgeError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One look at a repository.
struct Looking<'a> {
    context: &'a Context,
    repo: &'a RepoContext,
    name: &'a RepoName,
    lists: &'a dyn Listing,
    look: &'a Look,
}

/// Tried until it is made.
pub(super) async fn look(
    context: &Context,
    (name, repo): (&RepoName, &RepoContext),
    look: &Look,
) -> Try {
    let found = match find(context, (name, repo), look).await {
        Ok(found) => Box::new(found),
        Err(Blind::Store(error)) => return Try::again(&error),
        Err(Blind::Forge(error)) => {
            let after = match error.retry_when() {
                RetryWhen::After(pause) => Some(pause),
                RetryWhen::BackingOff => None,
                RetryWhen::Mended | RetryWhen::Never => Some(MENDED_CHECK),
            };
            let why = error.to_string();
            return Try::Again { after, why };
        }
    };
    Try::news(Event::repo(name, RepoEvent::Looked { found }))
}

async fn find(
    context: &Context,
    (name, repo): (&RepoName, &RepoContext),
    look: &Look,
) -> Result<Found, Blind> {
    let Some(lists) = repo.forge.listing() else {
        return Ok(nothing(look));
    };
    let looking = Looking {
        context,
        repo,
        name,
        lists,
        look,
    };
    looking.all().await
}

/// The built-in forge tells everything by itself.
fn nothing(look: &Look) -> Found {
    Found {
        until: look.since.unwrap_or(Timestamp::UNIX_EPOCH),
        issues: Vec::new(),
        pulls: Vec::new(),
        comments: Vec::new(),
        reviews: Vec::new(),
        checks: Vec::new(),
    }
}

impl Looking<'_> {
    async fn all(&self) -> Result<Found, Blind> {
        let wanted = match self.look.from() {
            Some(since) => WantedIssues::Since(since),
            None => WantedIssues::Labelled(&self.look.label),
        };
        let (listed, asked_at) = self.lists.issues(self.name, wanted).await?;
        // The same again as long as nothing happens, so that the forge can say so in one word.
        let until = match self.look.since {
            None => asked_at,
            Some(since) => listed
                .iter()
                .map(|listed| listed.issue.updated_at)
                .fold(since, Timestamp::max),
        };
        let mut found = Found {
            until,
            issues: self.issues(&listed).await?,
            pulls: self.pulls().await?,
            ..nothing(self.look)
        };
        if self.look.alone {
            found.comments = self.comments(&listed).await?;
            found.reviews = self.reviews(&listed, &found.pulls).await?;
            for head in &self.look.heads {
                found
                    .checks
                    .extend(self.lists.failed_checks(self.name, head).await?);
            }
        }
        Ok(found)
    }

    async fn issues(&self, listed: &[ListedIssue]) -> Result<Vec<FoundIssue>, Blind> {
        let mut found = Vec::new();
        for issue in listed.iter().filter(|issue| !issue.is_pull) {
            found.extend(self.issue(issue).await?);
        }
        if self.look.since.is_none() {
            found.extend(self.stories_without_label(listed).await?);
        }
        Ok(found)
    }

    /// `None` for an issue that is no story's and shall not become one's.
    async fn issue(&self, listed: &ListedIssue) -> Result<Option<FoundIssue>, Blind> {
        let ListedIssue { number, issue, .. } = listed;
        let id = StoryId::new(self.name.clone(), *number);
        let story = self.context.story(&id).await?.filter(Story::was_started);
        let known = self.look.known(*number);
        let is_wanted = issue.labels.contains(&self.look.label);
        if story.is_none() && known.is_none() && !is_wanted {
            return Ok(None);
        }
        let in_flight = story.as_ref().is_some_and(is_in_flight);
        let is_known =
            |known: &KnownIssue| known.at >= issue.updated_at && known.has(&issue.labels);
        let has_changed = !known.is_some_and(is_known);
        let matters = issue.open || known.is_some() || in_flight;
        let history = if has_changed && matters {
            self.lists.deeds(&id).await?
        } else {
            Vec::new()
        };
        Ok(Some(FoundIssue {
            number: *number,
            title: issue.title.clone(),
            body: issue.body.clone(),
            labels: issue.labels.clone(),
            family: issue.family.clone(),
            open: issue.open,
            at: issue.updated_at,
            history,
            in_flight,
            has_story: story.is_some(),
        }))
    }

    /// Stories that an earlier version of huskies began, or that a comment started.
    async fn stories_without_label(
        &self,
        listed: &[ListedIssue],
    ) -> Result<Vec<FoundIssue>, Blind> {
        let filter = StoryFilter {
            repo: Some(self.name.clone()),
        };
        let mut found = Vec::new();
        for subject in self.context.store.stories(&filter).await? {
            let Some(story) = story_in_flight(subject) else {
                continue;
            };
            let number = story.number;
            if listed.iter().any(|issue| issue.number == number) {
                continue;
            }
            let issue = match self.repo.forge.issue(&story).await {
                Ok(issue) => issue,
                // Moved or deleted: nothing can be learned of it.
                Err(ForgeError::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let is_pull = false;
            let listed = ListedIssue {
                number,
                is_pull,
                issue,
            };
            found.extend(self.issue(&listed).await?);
        }
        Ok(found)
    }

    /// The open ones, and those that were open when they were last heard of.
    async fn pulls(&self) -> Result<Vec<PullRequestChange>, Blind> {
        let mut pulls = self.lists.open_pulls(self.name).await?;
        let open: BTreeSet<u64> = pulls.iter().map(|pull| pull.number).collect();
        for number in self.look.pulls.difference(&open) {
            match self.lists.pull_change(self.name, *number).await {
                Ok(change) => pulls.push(change),
                Err(ForgeError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(pulls)
    }

    async fn comments(&self, listed: &[ListedIssue]) -> Result<Vec<(Comment, Said)>, Blind> {
        let Some(since) = self.look.from() else {
            return Ok(Vec::new());
        };
        let issues: BTreeMap<u64, &ListedIssue> =
            listed.iter().map(|issue| (issue.number, issue)).collect();
        let mut comments = self.lists.comments_since(self.name, since).await?;
        comments.retain(|comment| comment.id > self.look.newest.comment);
        comments.sort_by_key(|comment| comment.id);
        let said = comments.into_iter().filter_map(|comment| {
            // A comment changes its issue, so that it is on that list too.
            let issue = issues.get(&comment.number)?;
            let said = command::read(&comment.text, &self.repo.mentions)?;
            Some((written(comment, issue), said))
        });
        Ok(said.collect())
    }

    async fn reviews(
        &self,
        listed: &[ListedIssue],
        pulls: &[PullRequestChange],
    ) -> Result<Vec<FoundReview>, Blind> {
        let mut found = Vec::new();
        let has_changed =
            |pull: &&PullRequestChange| listed.iter().any(|issue| issue.number == pull.number);
        for pull in pulls.iter().filter(has_changed) {
            for listed in self.lists.reviews_of(self.name, pull).await? {
                let said = command::read_review(&listed.review.text, &self.repo.mentions);
                found.push(FoundReview {
                    id: listed.id,
                    review: listed.review,
                    said,
                });
            }
        }
        found.sort_by_key(|review| review.id);
        Ok(found)
    }
}

/// The story of a subject, where there is still something to learn for it.
fn story_in_flight(subject: Subject) -> Option<StoryId> {
    match subject {
        Subject::Story(story) if story.was_started() && is_in_flight(&story) => Some(story.id),
        Subject::Story(_) | Subject::Repo(_) | Subject::Head(_) | Subject::Account(_) => None,
    }
}

fn is_in_flight(story: &Story) -> bool {
    match story.standing() {
        StoryState::None | StoryState::UnderWay => true,
        StoryState::Done | StoryState::Cancelled => false,
    }
}

fn written(comment: ListedComment, ListedIssue { is_pull, issue, .. }: &ListedIssue) -> Comment {
    Comment {
        id: comment.id,
        number: comment.number,
        on_pull_request: *is_pull,
        sender: comment.author,
        by_bot: comment.by_bot,
        title: issue.title.clone(),
        body: issue.body.clone(),
        labels: issue.labels.clone(),
        family: issue.family.clone(),
        at: Some(comment.at),
    }
}
