//! Pull requests that stories land by: opened, and merged by the forge when it allows that.
//!
//! Each may be carried out twice: what is there already is found first.

use super::acts::settle;
use super::context::{Context, RepoContext, Try};
use crate::domain::event::{Event, RepoEvent, StoryEvent};
use crate::domain::id::{BranchName, Sha, StoryId};
use crate::domain::pull::{LandedTree, Obstacles};
use crate::domain::story::Story;
use crate::domain::work::Candidate;
use crate::forge::{
    ForgeError, MergeAnswer, Mergeable, NewPull, PullNow, PullRequests, PullStage, PullText,
    RetryWhen, Squash,
};
use crate::git::{Built, CandidateSpec, GitError};
use crate::report;

/// Title and text of a story's pull request; `marked` where the title has to say that it is a draft.
pub(super) fn text(context: &Context, story: &Story, marked: bool) -> PullText {
    let masker = &context.adapters.masker;
    PullText {
        title: report::pull_title(masker, story, marked),
        body: masker.comment(&report::pull_body(story, context.sandbox())),
    }
}

pub(super) async fn open(
    context: &Context,
    repo: &RepoContext,
    id: &StoryId,
    branch: &BranchName,
) -> Try {
    let refused =
        |message: String| Try::news(Event::story(id, StoryEvent::PullRefused { message }));
    let Some(pulls) = repo.forge.pull_requests() else {
        return refused("this forge has no pull requests".to_owned());
    };
    let story = match context.story(id).await {
        Ok(story) => story.unwrap_or_else(|| Story::new(id.clone())),
        Err(error) => return Try::again(&error),
    };
    let base = match repo.git.sync_base(repo.base_branch.as_ref()).await {
        Ok(base) => base.branch,
        Err(error) => return Try::again(&error),
    };
    let wanted = NewPull {
        head: branch.clone(),
        base,
        text: text(context, &story, false),
        title_without_draft: text(context, &story, true).title,
    };
    match pulls.open_pull(&id.repo, &wanted).await {
        Ok(opened) => {
            let (number, plain) = (opened.number, opened.plain);
            Try::news(Event::story(id, StoryEvent::PullOpened { number, plain }))
        }
        Err(error) => match error.retry_when() {
            // A permission that is missing must not hold up the reports that say so.
            RetryWhen::Never => refused(error.to_string()),
            RetryWhen::Mended if matches!(error, ForgeError::Forbidden { .. }) => {
                refused(error.to_string())
            }
            RetryWhen::Mended | RetryWhen::After(_) | RetryWhen::BackingOff => settle(Err(error)),
        },
    }
}

/// What is to be merged.
pub(super) struct Order<'a> {
    pub(super) number: u64,
    pub(super) story: &'a StoryId,
    pub(super) branch: &'a BranchName,
    pub(super) candidate: &'a Candidate,
}

impl Order<'_> {
    fn waits(&self, reason: impl Into<String>) -> RepoEvent {
        RepoEvent::PullWaits {
            number: self.number,
            reason: reason.into(),
        }
    }
}

/// Why nothing came of it this time.
enum Trouble {
    Forge(ForgeError),
    Git(GitError),
}

impl From<ForgeError> for Trouble {
    fn from(error: ForgeError) -> Self {
        Self::Forge(error)
    }
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

pub(super) async fn merge(context: &Context, repo: &RepoContext, order: &Order<'_>) -> RepoEvent {
    let number = order.number;
    let trouble = match merge_once(context, repo, order).await {
        Ok(event) => return event,
        Err(trouble) => trouble,
    };
    match trouble {
        Trouble::Forge(error) => match error.retry_when() {
            RetryWhen::After(_) | RetryWhen::BackingOff => RepoEvent::LandWaits {
                number,
                reason: error.to_string(),
            },
            RetryWhen::Mended | RetryWhen::Never => order.waits(error.to_string()),
        },
        Trouble::Git(error @ (GitError::Unavailable { .. } | GitError::TimedOut { .. })) => {
            RepoEvent::LandWaits {
                number,
                reason: error.to_string(),
            }
        }
        Trouble::Git(error) => RepoEvent::CandidateFailed {
            number,
            message: error.to_string(),
        },
    }
}

async fn merge_once(
    context: &Context,
    repo: &RepoContext,
    order: &Order<'_>,
) -> Result<RepoEvent, Trouble> {
    let story = context.story(order.story).await;
    let pull = story.ok().flatten().and_then(|story| story.pull.number());
    let (Some(pull), Some(pulls)) = (pull, repo.forge.pull_requests()) else {
        return Ok(order.waits("its pull request is not open yet"));
    };
    let now = pulls.pull(&order.story.repo, pull).await?;
    let (number, head) = (order.number, &order.candidate.head);
    match &now.stage {
        PullStage::Merged {
            commit,
            by_us: true,
        } if now.head == *head => {
            return landed(repo, order, commit).await;
        }
        PullStage::Merged { commit, .. } => {
            let commit = commit.clone();
            return Ok(RepoEvent::PullMergedByHand { number, commit });
        }
        PullStage::Closed => return Ok(RepoEvent::PullGone { number, pull }),
        PullStage::Open => {}
    }
    if now.head != *head {
        return Ok(order.waits(format!(
            "its branch is at {} on the forge, and {} was tested: put it back, or have it worked on again",
            now.head.short(),
            head.short()
        )));
    }
    if now.base != order.branch.as_str() {
        return Ok(order.waits(format!(
            "it goes to the branch {} and not to {} any more",
            now.base, order.branch
        )));
    }
    if matches!(now.mergeable, Mergeable::Blocked | Mergeable::Behind) && !now.draft {
        let said = "a rule of the branch forbids it".to_owned();
        return explain(order, pulls, (pull, &now), said).await;
    }
    let tip = repo.git.sync_base(repo.base_branch.as_ref()).await?.sha;
    if tip != order.candidate.base {
        return Ok(RepoEvent::LandMissed { number, tip });
    }
    if now.draft {
        pulls.mark_ready(&order.story.repo, pull).await?;
    }
    ask_to_merge(repo, order, (pulls, pull, &now)).await
}

async fn ask_to_merge(
    repo: &RepoContext,
    order: &Order<'_>,
    (pulls, pull, now): (&dyn PullRequests, u64, &PullNow),
) -> Result<RepoEvent, Trouble> {
    let message = repo.git.squash_message(&order.candidate.commit).await?;
    let (title, message) = message.split_once("\n\n").unwrap_or((&message, ""));
    let squash = Squash {
        head: order.candidate.head.clone(),
        title: title.trim().to_owned(),
        message: message.trim().to_owned(),
    };
    let answer = pulls.merge_pull(&order.story.repo, pull, &squash).await?;
    match answer {
        MergeAnswer::Merged { commit } => landed(repo, order, &commit).await,
        MergeAnswer::NotAllowed { message } => explain(order, pulls, (pull, now), message).await,
        MergeAnswer::Moved { message } => Ok(RepoEvent::LandWaits {
            number: order.number,
            reason: message,
        }),
        MergeAnswer::Forbidden { message } => Ok(order.waits(format!(
            "huskies may not merge here ({message}): give its account or App write access to pull requests and \
             contents, and let it past the rules of the branch"
        ))),
        MergeAnswer::Refused { message } => Ok(RepoEvent::LandRejected {
            number: order.number,
            reason: message,
        }),
    }
}

/// Waits, and says for what.
async fn explain(
    order: &Order<'_>,
    pulls: &dyn PullRequests,
    (pull, now): (u64, &PullNow),
    said: String,
) -> Result<RepoEvent, Trouble> {
    let found = pulls.obstacles(&order.story.repo, (pull, now)).await?;
    let found = Obstacles { said, ..found };
    Ok(order.waits(report::obstacles(&found)))
}

/// What the forge merged, next to what was tested. Nobody can call it back, so it is looked at
/// until it is known.
async fn landed(repo: &RepoContext, order: &Order<'_>, commit: &Sha) -> Result<RepoEvent, Trouble> {
    let number = order.number;
    Ok(match compare(repo, order.candidate, commit).await {
        Ok(landed) => RepoEvent::PullMerged { number, landed },
        Err(error) => RepoEvent::LandWaits {
            number,
            reason: format!("it is merged, and what landed cannot be looked at: {error}"),
        },
    })
}

async fn compare(
    repo: &RepoContext,
    tested: &Candidate,
    commit: &Sha,
) -> Result<LandedTree, GitError> {
    repo.git.sync_base(repo.base_branch.as_ref()).await?;
    let tree = repo.git.tree_of(commit).await?;
    let parent = repo.git.parent_of(commit).await?;
    let parent = parent.unwrap_or_else(|| tested.base.clone());
    let mut explained = false;
    if tree != tested.tree && parent != tested.base {
        let spec = CandidateSpec {
            base: parent.clone(),
            head: tested.head.clone(),
            message: "What the forge has merged".to_owned(),
        };
        let built = repo.git.build_candidate(&spec).await?;
        explained = matches!(built, Built::Candidate(candidate) if candidate.tree == tree);
    }
    Ok(LandedTree {
        commit: commit.clone(),
        parent,
        tree,
        explained,
    })
}
