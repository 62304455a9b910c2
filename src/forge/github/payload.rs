//! The fields of GitHub's answers that huskies uses. Everything else may change.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;

use crate::domain::work::TaskComment;
use crate::forge;
use crate::forge::Permission;

/// The account that GitHub shows for deleted ones.
const GHOST: &str = "ghost";

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
    updated_at: Timestamp,
}

impl From<Issue> for forge::Issue {
    fn from(issue: Issue) -> Self {
        Self {
            title: issue.title,
            body: issue.body.unwrap_or_default(),
            labels: issue.labels.into_iter().map(Label::into_name).collect(),
            open: issue.state == "open",
            updated_at: issue.updated_at,
        }
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
        let issue = forge::Issue::from(serde_json::from_str::<Issue>(issue).unwrap());
        assert_eq!((issue.body.as_str(), issue.open), ("", false));
        assert_eq!(issue.labels, ["a", "b"]);
        let comment = r#"{"id":1,"user":null,"body":"B","created_at":"2026-01-01T00:00:00Z"}"#;
        let comment: Comment = serde_json::from_str(comment).unwrap();
        assert_eq!(comment.author(), "ghost");
        assert_eq!(comment.last_changed(), comment.created_at);
    }
}
