//! A forge in memory: issues, comments, labels, statuses, and the deliveries that tell of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use huskies::domain::delivery::{Comment as Written, CommentRef, IssueAction, IssueChange, Said};
use huskies::domain::dependency::{Family, IssueState, Parent};
use huskies::domain::effect::Reaction;
use huskies::domain::event::{Event, RepoEvent};
use huskies::domain::id::{BranchName, RepoName, Sha, StoryId};
use huskies::domain::reconciliation::Deed;
use huskies::domain::work::TaskComment;
use huskies::forge::{
    CheckId, CheckRun, CommentId, Forge, ForgeError, Issue, Listing, MARKER_PREFIX, Permission,
    PullRequests, Status, SubIssue,
};
use huskies::store::NewDelivery;
use jiff::{SignedDuration, Timestamp};

use super::dice::Dice;
use super::pulls::PULLS;
use super::world::{Link, World};
use super::{REPO, STORIES};

/// May write; huskies works with this account's token.
pub(super) const WRITER: &str = "ann";
/// May read.
pub(super) const READER: &str = "mallory";

#[derive(Debug, Clone)]
pub(super) struct Comment {
    pub(super) id: String,
    pub(super) author: &'static str,
    pub(super) body: String,
    at: Timestamp,
}

#[derive(Debug)]
pub(super) struct IssueNow {
    pub(super) title: String,
    pub(super) body: String,
    pub(super) labels: BTreeSet<String>,
    pub(super) open: bool,
    /// Closed, it was closed for another reason than that it is done.
    pub(super) not_planned: bool,
    /// The issue that it is a part of.
    pub(super) parent: Option<u64>,
    pub(super) comments: Vec<Comment>,
    /// Who labelled or closed it, oldest first.
    pub(super) history: Vec<Deed>,
    pub(super) changed_at: Timestamp,
}

impl IssueNow {
    pub(super) fn shown(&self, has_parts: bool, updated_at: Timestamp) -> Issue {
        Issue {
            title: self.title.clone(),
            body: self.body.clone(),
            labels: self.labels.iter().cloned().collect(),
            open: self.open,
            not_planned: self.not_planned,
            family: Family {
                parent: self
                    .parent
                    .map_or(Parent::None, |issue| Parent::Here { issue }),
                sub_issues: Some(has_parts),
            },
            updated_at,
        }
    }

    pub(super) fn state(&self) -> IssueState {
        match (self.open, self.not_planned) {
            (true, _) => IssueState::Open,
            (false, false) => IssueState::Completed,
            (false, true) => IssueState::NotPlanned,
        }
    }
}

#[derive(Debug)]
pub(super) struct Issues {
    pub(super) by_number: BTreeMap<u64, IssueNow>,
    /// Every status that was ever set, oldest first.
    pub(super) statuses: Vec<(Sha, Status)>,
    /// Every check run, and its commit.
    pub(super) checks: Vec<(Sha, CheckRun)>,
    /// Nothing answers until then.
    pub(super) down_until: Timestamp,
    /// To comments, by their number.
    pub(super) reactions: BTreeMap<u64, BTreeSet<&'static str>>,
    next_comment: u64,
}

impl Issues {
    pub(super) fn new(start: Timestamp) -> Self {
        let issue = |number| IssueNow {
            title: format!("Story {number}"),
            body: "Please do it.".to_owned(),
            labels: BTreeSet::new(),
            open: true,
            not_planned: false,
            parent: None,
            comments: Vec::new(),
            history: Vec::new(),
            changed_at: start,
        };
        Self {
            by_number: (1..=STORIES)
                .chain(PULLS)
                .map(|number| (number, issue(number)))
                .collect(),
            statuses: Vec::new(),
            checks: Vec::new(),
            down_until: start,
            reactions: BTreeMap::new(),
            next_comment: 1,
        }
    }

    /// The last status of a commit in a context.
    pub(super) fn status(&self, commit: &Sha, context: &str) -> Option<&Status> {
        let mut statuses = self.statuses.iter().rev();
        let found = statuses.find(|(of, status)| of == commit && status.context == context);
        found.map(|(_, status)| status)
    }
}

impl World {
    fn issue(&mut self, number: u64) -> &mut IssueNow {
        self.issues.by_number.get_mut(&number).unwrap()
    }

    pub(super) fn comment(
        &mut self,
        number: u64,
        author: &'static str,
        (body, at): (&str, Timestamp),
    ) -> CommentId {
        let id = format!("c{}", self.issues.next_comment);
        self.issues.next_comment += 1;
        self.issue(number).comments.push(Comment {
            id: id.clone(),
            author,
            body: body.to_owned(),
            at,
        });
        CommentId(id)
    }

    /// Something happens to an issue; its delivery is sent.
    pub(super) fn change(
        &mut self,
        number: u64,
        sender: &str,
        (action, now): (IssueAction, Timestamp),
    ) {
        let letter = self.letters + 1;
        let issue = self.issue(number);
        match &action {
            IssueAction::Labeled(label) => {
                if !issue.labels.insert(label.clone()) {
                    return;
                }
            }
            IssueAction::Unlabeled(label) => {
                if !issue.labels.remove(label) {
                    return;
                }
            }
            IssueAction::Closed => {
                issue.open = false;
                issue.not_planned = letter.is_multiple_of(4);
            }
            IssueAction::Reopened => (issue.open, issue.not_planned) = (true, false),
            IssueAction::Edited => issue.title.push_str(" (edited)"),
        }
        issue.changed_at = now;
        issue.history.push(Deed {
            id: letter,
            action: action.clone(),
            by: sender.to_owned(),
            by_bot: false,
            at: now,
        });
        let change = IssueChange {
            number,
            action,
            sender: sender.to_owned(),
            by_bot: false,
            title: issue.title.clone(),
            // Tells one delivery from every other.
            body: format!("{} ({})", issue.body, letter),
            labels: issue.labels.iter().cloned().collect(),
            at: now,
            not_planned: issue.not_planned,
            family: Family::default(),
        };
        if issue.state() == IssueState::Completed {
            self.done_once.insert(number);
        }
        let event = Event::repo(&REPO.parse().unwrap(), RepoEvent::Issue { change });
        self.send("issues", Some(&event), now);
    }

    /// Somebody writes into an issue's text what it depends on.
    pub(super) fn depend(&mut self, number: u64, on: &[u64], (by, now): (&str, Timestamp)) {
        let names: Vec<String> = on.iter().map(|issue| format!("#{issue}")).collect();
        let issue = self.issue(number);
        "Please do it.".clone_into(&mut issue.body);
        if !names.is_empty() {
            issue.body = format!("Please do it.\n\nDepends on {}", names.join(", "));
        }
        self.change(number, by, (IssueAction::Edited, now));
    }

    /// Somebody says something to huskies in a comment; its delivery is sent.
    pub(super) fn say(
        &mut self,
        number: u64,
        sender: &'static str,
        (said, now): (Said, Timestamp),
    ) {
        let CommentId(id) = self.comment(number, sender, ("/huskies", now));
        let issue = self.issue(number);
        let comment = Written {
            id: id.trim_start_matches('c').parse().unwrap(),
            number,
            on_pull_request: false,
            sender: sender.to_owned(),
            by_bot: false,
            title: issue.title.clone(),
            body: issue.body.clone(),
            labels: issue.labels.iter().cloned().collect(),
            family: Family::default(),
            at: Some(now),
        };
        let event = Event::repo(
            &REPO.parse().unwrap(),
            RepoEvent::Commented { comment, said },
        );
        self.send("issue_comment", Some(&event), now);
    }

    /// Changes a check run that is known, or has the same id, or makes one.
    fn put_check(&mut self, commit: &Sha, known: Option<&CheckId>, check: &CheckRun) -> CheckId {
        let checks = &mut self.issues.checks;
        let known = known.map(|CheckId(id)| id.parse().unwrap());
        let place = known.or_else(|| {
            let is_it = |(of, found): &(Sha, CheckRun)| {
                of == commit && found.external_id == check.external_id
            };
            checks.iter().position(is_it)
        });
        let place = place.unwrap_or(checks.len());
        let wanted = (commit.clone(), check.clone());
        match checks.get_mut(place) {
            Some(found) => *found = wanted,
            None => checks.push(wanted),
        }
        CheckId(place.to_string())
    }

    /// Whether the forge has a commit.
    fn is_pushed(&self, commit: &Sha) -> bool {
        let mut branches = self.sites.pushed.values();
        branches.any(|tip| self.commits.contains(tip, commit))
    }

    /// A delivery sets out: it arrives late, or never, now and then after a later one, and now and then twice.
    pub(super) fn send(&mut self, name: &str, content: Option<&Event>, now: Timestamp) {
        self.letters += 1;
        // What people say is not looked up where webhooks should tell of it.
        let is_found_again = name != "issue_comment";
        if let Some(rate) = self.loss_rate.filter(|_| is_found_again)
            && self.dice.luck(rate)
        {
            self.note(now, &format!("{name} delivery {} is lost", self.letters));
            return;
        }
        let id = format!("delivery-{}", self.letters);
        let times = 1 + u64::from(self.dice.luck(6));
        for _ in 0..times {
            let longest = *self.dice.pick(&[300, 300, 20_000]);
            let delay = self.dice.between(10, longest);
            let at = now + SignedDuration::from_millis(i64::try_from(delay).unwrap());
            let delivery = NewDelivery {
                id: id.parse().unwrap(),
                received_at: at,
                event: name.to_owned(),
                content: content.cloned(),
                reason: None,
            };
            let place = self.mail.len() as u64 + self.letters * 1_000;
            self.mail.insert((at, place), delivery);
        }
    }
}

pub(super) struct FakeForge {
    pub(super) link: Link,
}

type Result<T> = std::result::Result<T, ForgeError>;

fn trouble(dice: &mut Dice) -> ForgeError {
    let message = "something is wrong there".to_owned();
    match dice.roll(4) {
        0 => ForgeError::RetryAfter {
            wait: Duration::from_secs(dice.between(1, 300)),
            message,
        },
        1 => ForgeError::Forbidden { message },
        _ => ForgeError::Unavailable { message },
    }
}

/// Without a refusal: a check run that may not be written is given up.
fn away(dice: &mut Dice) -> ForgeError {
    let message = "something is wrong there".to_owned();
    if dice.luck(3) {
        let wait = Duration::from_secs(dice.between(1, 300));
        return ForgeError::RetryAfter { wait, message };
    }
    ForgeError::Unavailable { message }
}

impl FakeForge {
    pub(super) async fn ask<T>(
        &self,
        name: &str,
        effect: impl FnOnce(&mut World, Timestamp) -> Result<T>,
    ) -> Result<T> {
        let answer = self.link.call(name, trouble, |world, now| {
            if now < world.issues.down_until {
                let message = "it is down".to_owned();
                return Err(ForgeError::Unavailable { message });
            }
            effect(world, now)
        });
        answer.await
    }
}

#[async_trait]
impl Forge for FakeForge {
    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        Some(self)
    }

    fn listing(&self) -> Option<&dyn Listing> {
        Some(self)
    }

    async fn permission(&self, _repo: &RepoName, login: &str) -> Result<Permission> {
        let may_write = login == WRITER;
        self.ask("permission", |_, _| {
            Ok(if may_write {
                Permission::Write
            } else {
                Permission::Read
            })
        })
        .await
    }

    async fn issue(&self, story: &StoryId) -> Result<Issue> {
        self.ask("issue", |world, now| {
            if !world.issues.by_number.contains_key(&story.number) {
                let what = story.to_string();
                return Err(ForgeError::NotFound { what });
            }
            let mut issues = world.issues.by_number.values();
            let has_parts = issues.any(|issue| issue.parent == Some(story.number));
            Ok(world.issue(story.number).shown(has_parts, now))
        })
        .await
    }

    async fn sub_issues(&self, story: &StoryId) -> Result<Vec<SubIssue>> {
        self.ask("sub_issues", |world, now| {
            let issues = world.issues.by_number.iter();
            let parts = issues.filter(|(_, issue)| issue.parent == Some(story.number));
            Ok(parts
                .map(|(number, issue)| SubIssue {
                    issue: StoryId::new(story.repo.clone(), *number),
                    title: issue.title.clone(),
                    state: issue.state(),
                    updated_at: now,
                })
                .collect())
        })
        .await
    }

    async fn comments(&self, story: &StoryId, until: Timestamp) -> Result<Vec<TaskComment>> {
        self.ask("comments", |world, _| {
            let comments = world.issue(story.number).comments.iter();
            let counts = comments.filter(|c| c.at <= until && !c.body.starts_with(MARKER_PREFIX));
            Ok(counts
                .map(|comment| TaskComment {
                    author: comment.author.to_owned(),
                    body: comment.body.clone(),
                })
                .collect())
        })
        .await
    }

    async fn find_comment(&self, story: &StoryId, marker: &str) -> Result<Option<CommentId>> {
        self.ask("find_comment", |world, _| {
            let mut comments = world.issue(story.number).comments.iter();
            let found = comments.find(|c| c.author == WRITER && c.body.starts_with(marker));
            Ok(found.map(|comment| CommentId(comment.id.clone())))
        })
        .await
    }

    async fn create_comment(&self, story: &StoryId, body: &str) -> Result<CommentId> {
        self.ask("create_comment", |world, now| {
            Ok(world.comment(story.number, WRITER, (body, now)))
        })
        .await
    }

    async fn update_comment(&self, story: &StoryId, comment: &CommentId, body: &str) -> Result<()> {
        self.ask("update_comment", |world, _| {
            let mut comments = world.issue(story.number).comments.iter_mut();
            let known = comments.find(|known| known.id == comment.0);
            let known = known.ok_or_else(|| ForgeError::NotFound {
                what: "the comment".to_owned(),
            })?;
            body.clone_into(&mut known.body);
            Ok(())
        })
        .await
    }

    async fn react(&self, _: &RepoName, comment: CommentRef, reaction: Reaction) -> Result<()> {
        self.ask("react", |world, _| {
            let reactions = &mut world.issues.reactions;
            reactions
                .entry(comment.id)
                .or_default()
                .insert(reaction.name());
            Ok(())
        })
        .await
    }

    async fn set_stage_label(&self, story: &StoryId, stage: &str) -> Result<()> {
        let wanted = format!("stage:{stage}");
        self.ask("set_stage_label", |world, now| {
            let labels = world.issue(story.number).labels.iter();
            let others: Vec<String> = labels
                .filter(|label| label.starts_with("stage:") && **label != wanted)
                .cloned()
                .collect();
            for label in others {
                world.change(story.number, WRITER, (IssueAction::Unlabeled(label), now));
            }
            world.change(
                story.number,
                WRITER,
                (IssueAction::Labeled(wanted.clone()), now),
            );
            Ok(())
        })
        .await
    }

    async fn remove_label(&self, story: &StoryId, label: &str) -> Result<()> {
        self.ask("remove_label", |world, now| {
            let action = IssueAction::Unlabeled(label.to_owned());
            world.change(story.number, WRITER, (action, now));
            Ok(())
        })
        .await
    }

    async fn set_status(&self, _repo: &RepoName, commit: &Sha, status: &Status) -> Result<()> {
        self.ask("set_status", |world, _| {
            if !world.is_pushed(commit) {
                world.violation(format!("{commit} has a status and is not on the forge"));
            }
            world.issues.statuses.push((commit.clone(), status.clone()));
            Ok(())
        })
        .await
    }

    fn takes_check_runs(&self) -> bool {
        true
    }

    async fn put_check_run(
        &self,
        _repo: &RepoName,
        commit: &Sha,
        (known, check): (Option<&CheckId>, &CheckRun),
    ) -> Result<CheckId> {
        let effect = |world: &mut World, now| {
            if now < world.issues.down_until {
                let message = "it is down".to_owned();
                return Err(ForgeError::Unavailable { message });
            }
            if !world.is_pushed(commit) {
                world.violation(format!("{commit} has a check run and is not on the forge"));
            }
            Ok(world.put_check(commit, known, check))
        };
        self.link.call("put_check_run", away, effect).await
    }

    async fn default_branch(&self, _repo: &RepoName) -> Result<Option<BranchName>> {
        self.ask("default_branch", |_, _| Ok(Some("main".parse().unwrap())))
            .await
    }
}
