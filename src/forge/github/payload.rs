//! The fields of GitHub's answers that huskies uses. Everything else may change.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;

use crate::domain::dependency::{Family, Parent};
use crate::domain::id::{RepoName, StoryId};
use crate::domain::work::TaskComment;
use crate::forge;
use crate::forge::Permission;

/// The account that GitHub shows for deleted ones.
pub(super) const GHOST: &str = "ghost";

#[derive(Deserialize)]
pub(super) struct Account {
    pub(super) login: String,
}

/// A GitHub App, told of by itself.
#[derive(Deserialize)]
pub(super) struct App {
    pub(super) slug: String,
}

/// An App that was made of a manifest.
#[derive(Deserialize)]
pub(super) struct NewApp {
    pub(super) id: u64,
    pub(super) slug: String,
    pub(super) pem: SecretString,
    pub(super) webhook_secret: Option<SecretString>,
}

#[derive(Deserialize)]
pub(super) struct Repository {
    pub(super) default_branch: String,
}

/// A label, which older answers give by its name alone.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Label {
    Object {
        name: String,
        color: Option<String>,
        description: Option<String>,
    },
    Name(String),
}

/// The colour that GitHub gives a label which nobody chose one for.
const NO_COLOR: &str = "ededed";

impl Label {
    pub(super) fn into_name(self) -> String {
        match self {
            Self::Object { name, .. } | Self::Name(name) => name,
        }
    }

    /// Label names are the same in every case on GitHub.
    pub(super) fn is_called(&self, wanted: &str) -> bool {
        match self {
            Self::Object { name, .. } | Self::Name(name) => name.eq_ignore_ascii_case(wanted),
        }
    }

    /// Whether it is as GitHub makes one that was only named.
    pub(super) fn is_bare(&self) -> bool {
        match self {
            Self::Object {
                color, description, ..
            } => description.is_none() && color.as_deref() == Some(NO_COLOR),
            Self::Name(_) => false,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Issue {
    title: String,
    body: Option<String>,
    #[serde(default)]
    labels: Vec<Label>,
    state: String,
    /// Why it was closed: `completed`, `not_planned`, `duplicate`.
    #[serde(default)]
    state_reason: Option<String>,
    /// Where it is a pull request.
    #[serde(default)]
    pull_request: Option<PullPart>,
    #[serde(default)]
    sub_issues_summary: Option<SubIssuesSummary>,
    #[serde(default)]
    parent_issue_url: Option<String>,
    updated_at: Timestamp,
}

#[derive(Deserialize)]
struct PullPart {
    #[serde(default)]
    merged_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct SubIssuesSummary {
    total: u64,
}

impl Issue {
    pub(super) fn is_pull(&self) -> bool {
        self.pull_request.is_some()
    }

    fn is_not_planned(&self) -> bool {
        match &self.pull_request {
            Some(pull) => pull.merged_at.is_none(),
            None => matches!(
                self.state_reason.as_deref(),
                Some("not_planned" | "duplicate")
            ),
        }
    }

    /// An issue that is asked for says all there is to say: what is not there is not so.
    fn family(&self, repo: &RepoName) -> Family {
        let parts = self.sub_issues_summary.as_ref();
        Family {
            parent: self
                .parent_issue_url
                .as_deref()
                .map_or(Parent::None, |address| Parent::at(address, repo)),
            sub_issues: Some(parts.is_some_and(|parts| parts.total > 0)),
        }
    }

    pub(super) fn of(self, repo: &RepoName) -> forge::Issue {
        forge::Issue {
            open: self.state == "open",
            not_planned: self.is_not_planned(),
            family: self.family(repo),
            title: self.title,
            body: self.body.unwrap_or_default(),
            labels: self.labels.into_iter().map(Label::into_name).collect(),
            updated_at: self.updated_at,
        }
    }
}

/// One of the issues that another one consists of.
#[derive(Deserialize)]
pub(super) struct SubIssue {
    number: u64,
    /// `https://api.github.com/repos/octo/app`
    repository_url: String,
    #[serde(flatten)]
    issue: Issue,
}

impl SubIssue {
    /// `None` where its repository has a name that huskies does not work with.
    pub(super) fn read(self) -> Option<forge::SubIssue> {
        let mut names = self.repository_url.rsplit('/');
        let (name, owner) = (names.next()?, names.next()?);
        let repo: RepoName = format!("{owner}/{name}").parse().ok()?;
        let issue = self.issue.of(&repo);
        Some(forge::SubIssue {
            state: issue.state(),
            updated_at: issue.updated_at,
            title: issue.title,
            issue: StoryId::new(repo, self.number),
        })
    }
}

/// Something that was created and can be found again by its number.
#[derive(Deserialize)]
pub(super) struct Created {
    pub(super) id: u64,
}

#[derive(Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    user: Option<Account>,
    body: Option<String>,
    created_at: Timestamp,
    updated_at: Option<Timestamp>,
}

impl Comment {
    pub(super) fn author(&self) -> &str {
        self.user.as_ref().map_or(GHOST, |user| &user.login)
    }

    pub(super) fn begins_with(&self, marker: &str) -> bool {
        self.body.as_deref().unwrap_or_default().starts_with(marker)
    }

    /// When its text became what it is.
    pub(super) fn last_changed(&self) -> Timestamp {
        self.updated_at.unwrap_or(self.created_at)
    }
}

impl From<Comment> for TaskComment {
    fn from(comment: Comment) -> Self {
        Self {
            author: comment.author().to_owned(),
            body: comment.body.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Collaborator {
    /// One of `admin`, `write`, `read`, `none`.
    permission: String,
    /// What the role is really called; custom roles of organisations have names of their own.
    role_name: Option<String>,
}

impl Collaborator {
    /// The role by its own name; a custom role counts as the permission that it is based on.
    pub(super) fn permission(&self) -> Permission {
        let by_role = self.role_name.as_deref().and_then(permission_named);
        by_role
            .or_else(|| permission_named(&self.permission))
            .unwrap_or(Permission::None)
    }
}

fn permission_named(name: &str) -> Option<Permission> {
    Some(match name {
        "admin" => Permission::Admin,
        "maintain" => Permission::Maintain,
        "write" => Permission::Write,
        "triage" => Permission::Triage,
        "read" => Permission::Read,
        "none" => Permission::None,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(permission: &str, role_name: Option<&str>) -> Permission {
        let role_name = role_name.map(str::to_owned);
        Collaborator {
            permission: permission.to_owned(),
            role_name,
        }
        .permission()
    }

    #[test]
    fn a_role_counts_by_its_name_and_a_custom_one_by_what_it_is_based_on() {
        assert_eq!(permission("write", Some("maintain")), Permission::Maintain);
        assert_eq!(permission("read", Some("triage")), Permission::Triage);
        assert_eq!(
            permission("write", Some("release-manager")),
            Permission::Write
        );
        assert_eq!(permission("admin", None), Permission::Admin);
        assert_eq!(permission("owner", None), Permission::None);
    }

    #[test]
    fn thin_answers_can_be_read() {
        let issue = r#"{"title":"T","body":null,"state":"closed","labels":["a",{"name":"b"}],
            "updated_at":"2026-01-01T00:00:00Z"}"#;
        let issue: Issue = serde_json::from_str(issue).unwrap();
        let issue = issue.of(&"octo/app".parse().unwrap());
        assert_eq!(issue.family.sub_issues, Some(false));
        assert_eq!((issue.body.as_str(), issue.open), ("", false));
        assert_eq!(issue.labels, ["a", "b"]);
        let comment = r#"{"id":1,"user":null,"body":"B","created_at":"2026-01-01T00:00:00Z"}"#;
        let comment: Comment = serde_json::from_str(comment).unwrap();
        assert_eq!(comment.author(), "ghost");
        assert_eq!(comment.last_changed(), comment.created_at);
    }
}
