//! What can be looked up on the forge in memory: the issues with their history, and pull requests.

use async_trait::async_trait;
use huskies::domain::delivery::{CheckResult, PullRequestChange};
use huskies::domain::id::{RepoName, Sha, StoryId};
use huskies::domain::reconciliation::Deed;
use huskies::forge::{ForgeError, ListedComment, ListedIssue, ListedReview, Listing, WantedIssues};
use jiff::Timestamp;

use super::forge::{FakeForge, IssueNow};

type Result<T> = std::result::Result<T, ForgeError>;

#[async_trait]
impl Listing for FakeForge {
    async fn issues(
        &self,
        _: &RepoName,
        wanted: WantedIssues<'_>,
    ) -> Result<(Vec<ListedIssue>, Timestamp)> {
        let is_wanted = |issue: &IssueNow| match wanted {
            WantedIssues::Labelled(label) => issue.open && issue.labels.contains(label),
            WantedIssues::Since(since) => issue.changed_at >= since,
        };
        self.ask("issues", |world, now| {
            let issues = &world.issues.by_number;
            let listed = |(number, issue): (&u64, &IssueNow)| {
                let has_parts = issues.values().any(|part| part.parent == Some(*number));
                ListedIssue {
                    number: *number,
                    is_pull: false,
                    issue: issue.shown(has_parts, issue.changed_at),
                }
            };
            let found = issues.iter().filter(|(_, issue)| is_wanted(issue));
            Ok((found.map(listed).collect(), now))
        })
        .await
    }

    async fn deeds(&self, issue: &StoryId) -> Result<Vec<Deed>> {
        self.ask("deeds", |world, _| {
            Ok(world.issues.by_number[&issue.number].history.clone())
        })
        .await
    }

    async fn open_pulls(&self, _: &RepoName) -> Result<Vec<PullRequestChange>> {
        self.ask("open_pulls", |world, _| Ok(world.open_pulls()))
            .await
    }

    async fn pull_change(&self, _: &RepoName, number: u64) -> Result<PullRequestChange> {
        self.ask("pull_change", |world, _| world.pull_change(number))
            .await
    }

    // These are for servers that no webhook reaches.

    async fn comments_since(&self, _: &RepoName, _: Timestamp) -> Result<Vec<ListedComment>> {
        Ok(Vec::new())
    }

    async fn reviews_of(&self, _: &RepoName, _: &PullRequestChange) -> Result<Vec<ListedReview>> {
        Ok(Vec::new())
    }

    async fn failed_checks(&self, _: &RepoName, _: &Sha) -> Result<Vec<CheckResult>> {
        Ok(Vec::new())
    }
}
