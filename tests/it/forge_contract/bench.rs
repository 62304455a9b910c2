//! A forge under the contract, and what people do to it by other ways than huskies'.

use std::sync::Arc;
use std::time::Duration;

use huskies::domain::id::StoryId;
use huskies::forge::{CommentId, Credentials, Forge, Github, GithubSettings};
use jiff::Timestamp;

use super::{SHA, repo, sha};
use crate::support::github_model::{GithubModel, TOKEN};
use crate::support::local_forge::LocalForgeBench;

/// A forge and the people who use it by other ways than huskies'.
pub(super) struct Bench {
    pub(super) forge: Arc<dyn Forge>,
    pub(super) people: People,
}

pub(super) enum People {
    Github(GithubModel),
    Local(LocalForgeBench),
}

impl Bench {
    pub(super) fn github() -> Self {
        let model = GithubModel::start("octo/app");
        let settings = GithubSettings {
            api_url: model.url().to_owned(),
            credentials: Credentials::Token(TOKEN.into()),
            write_spacing: Duration::ZERO,
        };
        let forge = Arc::new(Github::new(&settings).unwrap());
        Self {
            forge,
            people: People::Github(model),
        }
    }

    pub(super) async fn local() -> Self {
        let local = LocalForgeBench::new().await;
        Self {
            forge: Arc::new(local.forge.clone()),
            people: People::Local(local),
        }
    }

    pub(super) async fn open_issue(&self, title: &str, body: &str) -> StoryId {
        let number = match &self.people {
            People::Github(model) => model.add_issue(title, body, "ada"),
            People::Local(local) => local
                .forge
                .create_issue(&repo(), title, body, "ada")
                .await
                .unwrap(),
        };
        StoryId::new(repo(), number)
    }

    pub(super) async fn add_sub_issue(&self, parent: &StoryId, part: &StoryId) {
        match &self.people {
            People::Github(model) => model.add_sub_issue(parent.number, part.number),
            People::Local(local) => {
                let added = local.forge.add_sub_issue(parent, part.number).await;
                added.unwrap();
            }
        }
    }

    pub(super) async fn label(&self, story: &StoryId, label: &str) {
        match &self.people {
            People::Github(model) => drop(model.label(story.number, label, "ada")),
            People::Local(local) => drop(local.forge.label(story, label, "ada").await.unwrap()),
        }
    }

    pub(super) async fn comment(&self, story: &StoryId, body: &str) -> CommentId {
        match &self.people {
            People::Github(model) => {
                CommentId(model.comment(story.number, body, "ada").to_string())
            }
            People::Local(local) => local.forge.comment(story, body, "ada").await.unwrap(),
        }
    }

    pub(super) async fn edit_comment(&self, comment: &CommentId, body: &str) {
        match &self.people {
            People::Github(model) => model.edit_comment(comment.0.parse().unwrap(), body),
            People::Local(local) => {
                sqlx::query("UPDATE local_comments SET body = ?, updated_at = ? WHERE id = ?")
                    .bind(body)
                    .bind(local.tick().as_microsecond())
                    .bind(comment.0.parse::<i64>().unwrap())
                    .execute(&local.pool)
                    .await
                    .unwrap();
            }
        }
    }

    pub(super) async fn delete_comment(&self, comment: &CommentId) {
        match &self.people {
            People::Github(model) => model.delete_comment(comment.0.parse().unwrap()),
            People::Local(local) => {
                sqlx::query("DELETE FROM local_comments WHERE id = ?")
                    .bind(comment.0.parse::<i64>().unwrap())
                    .execute(&local.pool)
                    .await
                    .unwrap();
            }
        }
    }

    /// Every comment's text as people see it.
    pub(super) async fn bodies(&self, story: &StoryId) -> Vec<String> {
        match &self.people {
            People::Github(model) => model
                .comments(story.number)
                .into_iter()
                .map(|comment| comment.body)
                .collect(),
            People::Local(local) => {
                let comments = local.forge.comments_of(story).await.unwrap();
                comments.into_iter().map(|comment| comment.body).collect()
            }
        }
    }

    /// Context, state, description and address of a commit's statuses.
    pub(super) async fn statuses(&self) -> Vec<(String, String, String, Option<String>)> {
        match &self.people {
            People::Github(model) => model
                .statuses(SHA)
                .into_iter()
                .map(|status| {
                    let description = status.description.unwrap_or_default();
                    (status.context, status.state, description, status.target_url)
                })
                .collect(),
            People::Local(local) => local
                .forge
                .statuses_of(&repo(), &sha())
                .await
                .unwrap()
                .into_iter()
                .map(|status| {
                    let state = status.state.name().to_owned();
                    (status.context, state, status.description, status.target_url)
                })
                .collect(),
        }
    }

    pub(super) async fn labels(&self, story: &StoryId) -> Vec<String> {
        self.forge.issue(story).await.unwrap().labels
    }

    pub(super) async fn updated_at(&self, story: &StoryId) -> Timestamp {
        self.forge.issue(story).await.unwrap().updated_at
    }
}
