//! The local forge as the executor sees it.

use async_trait::async_trait;
use jiff::Timestamp;

use super::rows::{self, Change};
use super::{LocalForge, OWN_LOGIN, check_comment, not_found};
use crate::domain::delivery::CommentRef;
use crate::domain::effect::Reaction;
use crate::domain::id::{BranchName, RepoName, Sha, StoryId};
use crate::domain::work::TaskComment;
use crate::forge::{
    CheckId, CheckRun, CommentId, Forge, ForgeError, Issue, MARKER_PREFIX, Permission,
    STAGE_PREFIX, Status, SubIssue,
};

#[async_trait]
impl Forge for LocalForge {
    /// Everybody who can reach the database may write.
    async fn permission(&self, _repo: &RepoName, _login: &str) -> Result<Permission, ForgeError> {
        Ok(Permission::Write)
    }

    async fn issue(&self, story: &StoryId) -> Result<Issue, ForgeError> {
        let found = {
            let mut connection = self.pool.acquire().await?;
            rows::issue(&mut connection, story).await?
        };
        let issue = found.ok_or_else(|| not_found(story))?;
        Ok(Issue {
            title: issue.title,
            body: issue.body,
            labels: issue.labels,
            open: issue.open,
            // Nobody closes an issue here but to cancel it.
            not_planned: !issue.open,
            family: rows::family(&self.pool, story).await?,
            updated_at: issue.updated_at,
        })
    }

    async fn sub_issues(&self, story: &StoryId) -> Result<Vec<SubIssue>, ForgeError> {
        let mut parts = Vec::new();
        for number in rows::parts(&self.pool, story).await? {
            let id = StoryId::new(story.repo.clone(), number);
            let part = Forge::issue(self, &id).await?;
            parts.push(SubIssue {
                state: part.state(),
                updated_at: part.updated_at,
                title: part.title,
                issue: id,
            });
        }
        Ok(parts)
    }

    async fn comments(
        &self,
        story: &StoryId,
        until: Timestamp,
    ) -> Result<Vec<TaskComment>, ForgeError> {
        Forge::issue(self, story).await?;
        let comments = rows::comments(&self.pool, story).await?;
        let as_they_were = comments.into_iter().filter(|comment| {
            comment.updated_at <= until && !comment.body.starts_with(MARKER_PREFIX)
        });
        Ok(as_they_were
            .map(|comment| TaskComment {
                author: comment.author,
                body: comment.body,
            })
            .collect())
    }

    async fn find_comment(
        &self,
        story: &StoryId,
        marker: &str,
    ) -> Result<Option<CommentId>, ForgeError> {
        Forge::issue(self, story).await?;
        let comments = rows::comments(&self.pool, story).await?;
        let own = comments
            .into_iter()
            .find(|comment| comment.author == OWN_LOGIN && comment.body.starts_with(marker));
        Ok(own.map(|comment| comment.id))
    }

    async fn create_comment(&self, story: &StoryId, body: &str) -> Result<CommentId, ForgeError> {
        self.comment(story, body, OWN_LOGIN).await
    }

    async fn update_comment(
        &self,
        story: &StoryId,
        comment: &CommentId,
        body: &str,
    ) -> Result<(), ForgeError> {
        check_comment(body)?;
        if rows::update_comment(&self.pool, comment, body, self.now()).await? {
            return Ok(());
        }
        Err(ForgeError::NotFound {
            what: format!("comment {} of {story}", comment.0),
        })
    }

    /// It shows no reactions: nobody writes comments there that would want one.
    async fn react(
        &self,
        _repo: &RepoName,
        comment: CommentRef,
        _reaction: Reaction,
    ) -> Result<(), ForgeError> {
        if rows::has_comment(&self.pool, comment.id).await? {
            return Ok(());
        }
        Err(ForgeError::NotFound {
            what: format!("comment {}", comment.id),
        })
    }

    async fn set_stage_label(&self, story: &StoryId, stage: &str) -> Result<(), ForgeError> {
        let wanted = format!("{STAGE_PREFIX}{stage}");
        let mut transaction = rows::begin(&self.pool).await?;
        let issue = rows::issue(&mut transaction, story)
            .await?
            .ok_or_else(|| not_found(story))?;
        for label in issue
            .labels
            .iter()
            .filter(|label| is_other_stage(label, &wanted))
        {
            rows::apply(
                &mut transaction,
                story,
                Change::RemoveLabel(label),
                self.now(),
            )
            .await?;
        }
        rows::apply(
            &mut transaction,
            story,
            Change::AddLabel(&wanted),
            self.now(),
        )
        .await?;
        Ok(transaction.commit().await?)
    }

    async fn remove_label(&self, story: &StoryId, label: &str) -> Result<(), ForgeError> {
        // What huskies does itself is told to nobody.
        self.unlabel(story, label, OWN_LOGIN).await.map(|_| ())
    }

    async fn set_status(
        &self,
        repo: &RepoName,
        commit: &Sha,
        status: &Status,
    ) -> Result<(), ForgeError> {
        let status = rows::NewStatus {
            repo,
            commit,
            status,
        };
        Ok(rows::insert_status(&self.pool, &status, self.now()).await?)
    }

    /// It has statuses alone.
    async fn put_check_run(
        &self,
        repo: &RepoName,
        _commit: &Sha,
        _check: (Option<&CheckId>, &CheckRun),
    ) -> Result<CheckId, ForgeError> {
        Err(ForgeError::Invalid {
            message: format!("{repo} is on the built-in forge, which has no check runs"),
        })
    }

    /// It keeps issues, not branches.
    async fn default_branch(&self, _repo: &RepoName) -> Result<Option<BranchName>, ForgeError> {
        Ok(None)
    }
}

fn is_other_stage(label: &str, wanted: &str) -> bool {
    let start = label.get(..STAGE_PREFIX.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(STAGE_PREFIX))
        && !label.eq_ignore_ascii_case(wanted)
}
