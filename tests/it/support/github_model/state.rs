//! What the modelled GitHub remembers, and how it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::app::{APP_LOGIN, App, is_for_apps};
use super::checks::Check;
use super::ci::{Job, LOGS};
use super::delivery::Delivery;
use super::fault::Faults;
use super::hooks::{Attempt, Hook};
use super::limits::Secondary;
use super::pulls::Pulls;
use super::{OWN_LOGIN, TOKEN, json};

/// An issue as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Issue {
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) author: String,
    pub(crate) open: bool,
    /// Why it was closed, in GitHub's words.
    pub(crate) state_reason: Option<&'static str>,
    /// The issue that it is a sub-issue of.
    pub(crate) parent: Option<u64>,
    pub(crate) labels: Vec<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A comment on an issue.
#[derive(Debug, Clone)]
pub(crate) struct Comment {
    pub(crate) id: u64,
    pub(crate) issue: u64,
    pub(crate) author: String,
    pub(crate) body: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// An entry of an issue's history.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub(super) id: u64,
    pub(super) issue: u64,
    pub(super) event: &'static str,
    pub(super) label: Option<String>,
    pub(super) by: String,
    pub(super) at: Timestamp,
}

/// One commit status as it was written; statuses are never overwritten, only followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) sha: String,
    pub(crate) context: String,
    pub(crate) state: String,
    pub(crate) description: Option<String>,
    pub(crate) target_url: Option<String>,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct RecordedRequest {
    pub(crate) method: String,
    /// Without the query, percent-encoding kept.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// Sent by the program, not by a test of the model itself.
    pub(crate) by_program: bool,
    /// `None` when there was no body or it was no JSON.
    pub(crate) body: Option<Value>,
    /// The answer's status, once there is one.
    pub(crate) answered: Option<u16>,
}

/// A label of the repository.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) color: String,
    pub(super) description: Option<String>,
}

/// Everything the model knows.
pub(super) struct State {
    pub(super) repo: String,
    /// Every token that is accepted, and the one that was used last.
    pub(super) tokens: Vec<String>,
    pub(super) last_token: Option<String>,
    pub(super) app: Option<App>,
    pub(super) hooks: Vec<Hook>,
    /// Of every delivery, oldest first.
    pub(super) attempts: Vec<Attempt>,
    pub(super) redelivered: Vec<Delivery>,
    /// What a delivery that is sent again is answered.
    pub(super) redelivery_status: u16,
    /// Permissions that the token does not have.
    pub(super) denied: Vec<&'static str>,
    pub(super) scopes: Option<String>,
    pub(super) default_branch: String,
    pub(super) now: Timestamp,
    pub(super) issues: BTreeMap<u64, Issue>,
    pub(super) comments: BTreeMap<u64, Comment>,
    /// To comments of conversations (`issues`) and of changes (`pulls`): the comment, and what.
    pub(super) reactions: BTreeSet<(&'static str, u64, String)>,
    pub(super) labels: Vec<Label>,
    pub(super) roles: BTreeMap<String, String>,
    pub(super) statuses: Vec<Status>,
    pub(super) checks: Vec<Check>,
    pub(super) jobs: Vec<Job>,
    pub(super) knows_commit: Box<dyn Fn(&str) -> bool + Send>,
    pub(super) requests: Vec<RecordedRequest>,
    pub(super) violations: Vec<String>,
    pub(super) faults: Faults,
    pub(super) rate_limit_remaining: u32,
    pub(super) secondary: Secondary,
    pub(super) own_deliveries: Vec<Delivery>,
    pub(super) pulls: Pulls,
    /// Of all issues, oldest first.
    pub(super) deeds: Vec<Deed>,
    last_comment: u64,
    last_delivery: u64,
}

impl State {
    pub(super) fn new(repo: &str) -> Self {
        Self {
            repo: repo.to_owned(),
            tokens: vec![TOKEN.to_owned()],
            last_token: None,
            app: None,
            hooks: Vec::new(),
            attempts: Vec::new(),
            redelivered: Vec::new(),
            redelivery_status: 202,
            denied: Vec::new(),
            scopes: None,
            default_branch: "main".to_owned(),
            now: "2026-01-01T00:00:00Z".parse().expect("a constant"),
            issues: BTreeMap::new(),
            comments: BTreeMap::new(),
            reactions: BTreeSet::new(),
            labels: Vec::new(),
            roles: BTreeMap::from([(OWN_LOGIN.to_owned(), "write".to_owned())]),
            statuses: Vec::new(),
            checks: Vec::new(),
            jobs: Vec::new(),
            knows_commit: Box::new(|_| true),
            requests: Vec::new(),
            violations: Vec::new(),
            faults: Faults::default(),
            rate_limit_remaining: 5_000,
            secondary: Secondary::default(),
            own_deliveries: Vec::new(),
            pulls: Pulls::default(),
            deeds: Vec::new(),
            last_comment: 1_000,
            last_delivery: 0,
        }
    }

    /// Who asks with the token that was used last.
    pub(super) fn own_login(&self) -> &'static str {
        match &self.last_token {
            Some(token) if token.starts_with("ghs_") => APP_LOGIN,
            Some(_) | None => OWN_LOGIN,
        }
    }

    pub(super) fn attempt(&mut self, delivery: &Delivery, status: u16, at: Timestamp) {
        let attempt = Attempt {
            id: 9_000 + self.attempts.len() as u64,
            status,
            at,
            delivery: delivery.clone(),
        };
        self.attempts.push(attempt);
    }

    /// The permission that the token lacks for a request.
    pub(super) fn lacks(&self, method: &str, path: &str) -> Option<&'static str> {
        let parts = [
            ("/statuses/", "statuses"),
            ("/hooks", "repository_hooks"),
            ("/git/refs", "contents"),
            ("/pulls", "pull_requests"),
            ("/labels", "issues"),
            ("/comments", "issues"),
            ("/actions/", "actions"),
            ("/check-runs", "checks"),
        ];
        let shut = ["/hooks", "/actions/", "/check-runs"];
        let is_shut = shut.iter().any(|part| path.contains(part));
        let is_open = method == "GET" && !is_shut;
        let (_, needed) = parts.into_iter().find(|(part, _)| path.contains(part))?;
        (!is_open && self.denied.contains(&needed)).then_some(needed)
    }

    /// Whether a request with this token is let in.
    pub(super) fn accepts(&self, path: &str, token: &str) -> bool {
        let now = self.now;
        if path.contains("/app-manifests/") {
            return true;
        }
        if path.starts_with(LOGS) {
            return token.is_empty();
        }
        if is_for_apps(path) {
            return self.app.as_ref().is_some_and(|app| app.has_signed(token));
        }
        let is_known = self.tokens.iter().any(|good| good == token);
        is_known || self.app.as_ref().is_some_and(|app| app.accepts(token, now))
    }

    /// The time of a change that happens now.
    pub(super) fn tick(&mut self) -> Timestamp {
        self.now += Duration::from_secs(1);
        self.now
    }

    fn know(&mut self, login: &str) {
        self.roles
            .entry(login.to_owned())
            .or_insert_with(|| "read".to_owned());
    }

    pub(super) fn open_issue(&mut self, title: &str, body: &str, by: &str) -> u64 {
        self.know(by);
        let now = self.tick();
        let number = self.issues.keys().last().map_or(1, |last| last + 1);
        let issue = Issue {
            number,
            title: title.to_owned(),
            body: body.to_owned(),
            author: by.to_owned(),
            open: true,
            state_reason: None,
            parent: None,
            labels: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        self.issues.insert(number, issue);
        number
    }

    fn touch(&mut self, number: u64) -> &mut Issue {
        let now = self.tick();
        let issue = self.issues.get_mut(&number).expect("no such issue");
        issue.updated_at = now;
        issue
    }

    pub(super) fn label_named(&self, name: &str) -> Option<&Label> {
        self.labels
            .iter()
            .find(|label| label.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn create_label(&mut self, name: &str) {
        self.labels.push(Label {
            name: name.to_owned(),
            color: "5b8db8".to_owned(),
            description: Some("What it means".to_owned()),
        });
    }

    /// `None` when the issue has it already: GitHub tells nobody then. A label that the repository
    /// does not have yet is created, under the spelling it is first used with.
    pub(super) fn add_label(&mut self, number: u64, name: &str, by: &str) -> Option<Delivery> {
        if self.label_named(name).is_none() {
            self.labels.push(Label {
                name: name.to_owned(),
                color: "ededed".to_owned(),
                description: None,
            });
        }
        let name = self.label_named(name)?.name.clone();
        if self.issues[&number].labels.contains(&name) {
            return None;
        }
        self.touch(number).labels.push(name.clone());
        Some(self.issue_event("labeled", number, by, Some(&name)))
    }

    /// `None` when the issue does not have it.
    pub(super) fn remove_label(&mut self, number: u64, name: &str, by: &str) -> Option<Delivery> {
        let has = |label: &String| label.eq_ignore_ascii_case(name);
        let position = self.issues[&number].labels.iter().position(has)?;
        let name = self.touch(number).labels.remove(position);
        Some(self.issue_event("unlabeled", number, by, Some(&name)))
    }

    pub(super) fn set_open(&mut self, number: u64, open: bool, by: &str) -> Delivery {
        self.set_state(
            number,
            (open, if open { "reopened" } else { "completed" }),
            by,
        )
    }

    pub(super) fn set_state(
        &mut self,
        number: u64,
        (open, reason): (bool, &'static str),
        by: &str,
    ) -> Delivery {
        let issue = self.touch(number);
        issue.open = open;
        issue.state_reason = Some(reason);
        self.issue_event(if open { "reopened" } else { "closed" }, number, by, None)
    }

    pub(super) fn edit_issue(&mut self, number: u64, body: &str, by: &str) -> Delivery {
        body.clone_into(&mut self.touch(number).body);
        self.issue_event("edited", number, by, None)
    }

    pub(super) fn add_comment(&mut self, number: u64, body: &str, by: &str) -> u64 {
        self.know(by);
        let now = self.touch(number).updated_at;
        self.last_comment += 1;
        let comment = Comment {
            id: self.last_comment,
            issue: number,
            author: by.to_owned(),
            body: body.to_owned(),
            created_at: now,
            updated_at: now,
        };
        self.comments.insert(comment.id, comment);
        self.last_comment
    }

    pub(super) fn edit_comment(&mut self, id: u64, body: &str) {
        let now = self.tick();
        let comment = self.comments.get_mut(&id).expect("no such comment");
        body.clone_into(&mut comment.body);
        comment.updated_at = now;
    }

    fn issue_event(
        &mut self,
        action: &'static str,
        number: u64,
        by: &str,
        label: Option<&str>,
    ) -> Delivery {
        self.know(by);
        self.deeds.push(Deed {
            id: 5_000 + self.deeds.len() as u64,
            issue: number,
            event: action,
            label: label.map(str::to_owned),
            by: by.to_owned(),
            at: self.now,
        });
        let mut payload = json!({
            "action": action,
            "issue": json::issue(self, &self.issues[&number]),
            "repository": json::repository(self),
            "sender": json::account(by),
        });
        if let Some(label) = label.and_then(|name| self.label_named(name)) {
            payload["label"] = json::label(self, label);
        }
        self.deliver("issues", &payload)
    }

    pub(super) fn comment_event(&mut self, action: &str, id: u64) -> Delivery {
        let comment = &self.comments[&id];
        let payload = json!({
            "action": action,
            "issue": json::issue(self, &self.issues[&comment.issue]),
            "comment": json::comment(self, comment),
            "repository": json::repository(self),
            "sender": json::account(&comment.author),
        });
        self.deliver("issue_comment", &payload)
    }

    pub(super) fn push(
        &mut self,
        branch: &str,
        before: Option<&str>,
        after: Option<&str>,
        by: &str,
    ) -> Delivery {
        self.tick();
        let payload = json::push(
            self,
            &json::PushedBranch {
                branch,
                before,
                after,
                by,
            },
        );
        self.deliver("push", &payload)
    }

    pub(super) fn ping(&mut self) -> Delivery {
        let payload = json::ping(self);
        self.deliver("ping", &payload)
    }

    pub(super) fn deliver(&mut self, event: &str, payload: &Value) -> Delivery {
        self.last_delivery += 1;
        let id = format!("{:08x}-72d3-11f0-8f6e-0123456789ab", self.last_delivery);
        Delivery::new(id, event, payload)
    }
}
