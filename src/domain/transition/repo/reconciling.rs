//! Looks at the forge for what no delivery told. What is found becomes what a delivery would have
//! said, with the sender that the forge's own record names, so that nothing else tells the two apart.

use std::collections::BTreeSet;

use super::{Refusal, Turn, ignored};
use crate::domain::delivery::{Comment, IssueAction, IssueChange, ReviewKind, Said};
use crate::domain::effect::{Act, Effect};
use crate::domain::event::RepoEvent;
use crate::domain::id::Sha;
use crate::domain::reconciliation::{
    Deed, Found, FoundIssue, FoundReview, KnownIssue, Look, Pace, peoples,
};

impl Turn {
    pub(super) fn pace_looks(&mut self, pace: Option<Pace>) {
        self.repo.looks.pace = pace;
        self.repo.looks.due = pace.is_some();
    }

    /// The base branch comes first: it names the labels.
    pub(super) fn look_due(&mut self) {
        self.repo.looks.due = self.repo.looks.pace.is_some();
        self.sync();
    }

    pub(super) fn look_if_due(&mut self) {
        let Some(base) = &self.repo.base else {
            return;
        };
        let looks = &mut self.repo.looks;
        let Some(pace) = looks.pace.filter(|_| looks.due) else {
            return;
        };
        looks.due = false;
        // One that an earlier server began is taken up with everything else that it left.
        if std::mem::replace(&mut looks.asked, true) {
            return;
        }
        let look = Look {
            since: looks.until,
            label: base.trigger.start_label.clone(),
            alone: pace.alone,
            issues: looks.issues.clone().into_iter().collect(),
            newest: looks.newest,
            pulls: self.pulls_to_look_at(),
            heads: self.heads_to_look_at(),
        };
        let look = Box::new(look);
        self.effects.push(Effect::Act(Act::Look { look }));
        self.see_branches();
    }

    /// Of stories that landed long ago nobody needs to know more.
    fn pulls_to_look_at(&self) -> BTreeSet<u64> {
        let stories = self.repo.pulls.iter();
        let in_flight = stories.filter(|(_, story)| self.repo.heads.contains_key(story));
        let people = self.repo.proposals.open.keys();
        in_flight
            .map(|(number, _)| number)
            .chain(people)
            .copied()
            .collect()
    }

    fn heads_to_look_at(&self) -> BTreeSet<Sha> {
        let stories = self.repo.pulls.values();
        stories
            .filter_map(|story| self.repo.heads.get(story))
            .cloned()
            .collect()
    }

    pub(super) fn looked(&mut self, found: &Found) -> Result<(), Refusal> {
        if !std::mem::take(&mut self.repo.looks.asked) {
            return ignored("no look is under way");
        }
        let Some(start_label) = self
            .repo
            .base
            .as_ref()
            .map(|base| base.trigger.start_label.clone())
        else {
            return ignored("the base branch is not known");
        };
        for issue in &found.issues {
            self.found_issue(issue, &start_label);
        }
        for change in &found.pulls {
            // Most of what is found is known already.
            drop(self.pull_request_changed(change));
        }
        for (comment, said) in &found.comments {
            self.found_comment(comment, said);
        }
        for review in &found.reviews {
            self.found_review(review);
        }
        for result in &found.checks {
            drop(self.checked(result));
        }
        self.see_all_needs();
        self.repo.looks.until = Some(found.until);
        if let Some(pace) = self.repo.looks.pace {
            self.wake("look", pace.pause(), RepoEvent::LookDue);
        }
        Ok(())
    }

    fn found_issue(&mut self, issue: &FoundIssue, start_label: &str) {
        let known = self.repo.looks.issues.get(&issue.number);
        if known.is_some_and(|known| known.at > issue.at) {
            // A delivery was faster.
            return;
        }
        if !issue.open {
            if (known.is_some() || issue.in_flight)
                && let Some(deed) = newest(issue, &IssueAction::Closed)
            {
                self.found_deed(issue, deed);
                self.repo.looks.issues.remove(&issue.number);
            }
            return;
        }
        let labels = peoples(&issue.labels);
        if known.is_none() && !labels.contains(start_label) && !issue.has_story {
            return;
        }
        // A story that was there before anybody looked: its labels are what it was started with.
        let is_adopted = known.is_none() && issue.has_story && self.repo.looks.until.is_none();
        if !is_adopted {
            for deed in self.found_deeds(issue, start_label) {
                self.found_deed(issue, deed);
            }
        }
        let newest_deed = issue.history.iter().map(|deed| deed.id).max();
        let before = self.repo.looks.issues.get(&issue.number);
        let deed = newest_deed.or(before.map(|known| known.deed));
        let known = KnownIssue {
            labels: if is_adopted {
                labels
            } else {
                explained(issue, before)
            },
            at: issue.at,
            deed: deed.unwrap_or_default(),
        };
        self.repo.looks.issues.insert(issue.number, known);
    }

    /// Who made an issue's labels differ from those that are known. The start label says all that
    /// the others do when it comes along with them.
    fn found_deeds<'a>(&self, issue: &'a FoundIssue, start_label: &str) -> Vec<&'a Deed> {
        let labels = peoples(&issue.labels);
        let known = self.repo.looks.issues.get(&issue.number);
        let before = known.map(|known| known.labels.clone()).unwrap_or_default();
        let had = |label: &str| before.contains(label);
        if labels.contains(start_label) && !had(start_label) {
            let start = IssueAction::Labeled(start_label.to_owned());
            return newest(issue, &start).into_iter().collect();
        }
        let added = labels.difference(&before).cloned();
        let removed = before.difference(&labels).cloned();
        let removed = removed.map(IssueAction::Unlabeled);
        let changes = added.map(IssueAction::Labeled).chain(removed);
        let changed = changes.filter_map(|action| newest(issue, &action));
        let mut deeds: Vec<&Deed> = changed.collect();
        if labels.contains(start_label) {
            deeds.extend(self.came_and_went(issue, start_label));
        }
        deeds
    }

    /// A label that went and came back between two looks; where webhooks reach the server they told
    /// of it.
    fn came_and_went<'a>(
        &self,
        issue: &'a FoundIssue,
        label: &str,
    ) -> impl Iterator<Item = &'a Deed> {
        let alone = self.repo.looks.pace.is_some_and(|pace| pace.alone);
        let known = self.repo.looks.issues.get(&issue.number);
        let read = known.map_or(0, |known| known.deed);
        let news = issue.history.iter().filter(move |deed| deed.id > read);
        let label = label.to_owned();
        news.filter(move |deed| alone && read > 0 && subject(&deed.action) == Some(&label))
    }

    /// What is older than the last look was heard of then.
    fn found_deed(&mut self, issue: &FoundIssue, deed: &Deed) {
        let seen = self.repo.looks.until.map(|until| until - Look::SLACK);
        if seen.is_some_and(|seen| deed.at < seen) {
            return;
        }
        let change = IssueChange {
            number: issue.number,
            action: deed.action.clone(),
            sender: deed.by.clone(),
            by_bot: deed.by_bot,
            title: issue.title.clone(),
            body: issue.body.clone(),
            labels: issue.labels.clone(),
            at: deed.at,
            not_planned: false,
            family: issue.family.clone(),
        };
        self.ask_about_issue(&change);
    }

    /// What a delivery says about an issue's labels is known to the looks too. False where it is
    /// nothing new to them.
    pub(super) fn note_labels(&mut self, change: &IssueChange) -> bool {
        let Some(base) = &self.repo.base else {
            return false;
        };
        let issues = &mut self.repo.looks.issues;
        let known = issues.get(&change.number);
        if known.is_some_and(|known| known.at > change.at) {
            return false;
        }
        if change.action == IssueAction::Closed {
            return issues.remove(&change.number).is_some();
        }
        let labels = peoples(&change.labels);
        if known.is_none() && !labels.contains(&base.trigger.start_label) {
            return false;
        }
        let now = KnownIssue {
            labels,
            at: change.at,
            deed: known.map_or(0, |known| known.deed),
        };
        let before = issues.insert(change.number, now.clone());
        before.is_none_or(|before| before != now)
    }

    fn found_comment(&mut self, comment: &Comment, said: &Said) {
        if comment.id > self.repo.looks.newest.comment {
            drop(self.commented(comment, said));
        }
    }

    pub(super) fn note_comment(&mut self, id: u64) {
        let newest = &mut self.repo.looks.newest.comment;
        *newest = id.max(*newest);
    }

    fn found_review(&mut self, FoundReview { id, review, said }: &FoundReview) {
        let newest = &mut self.repo.looks.newest;
        let newest = match review.kind {
            ReviewKind::Comment { .. } => &mut newest.line,
            ReviewKind::Submitted { .. } | ReviewKind::Dismissed => &mut newest.review,
        };
        if id > newest {
            *newest = *id;
            drop(self.reviewed(review, said.as_ref()));
        }
    }
}

/// The newest entry about this label, or about closing, if it says the same: the history is read a
/// moment after the labels were. Without an entry nobody can be asked whether he may.
fn newest<'a>(issue: &'a FoundIssue, action: &IssueAction) -> Option<&'a Deed> {
    let mut deeds = issue.history.iter().rev();
    let about = deeds.find(|deed| subject(&deed.action) == subject(action));
    about.filter(|deed| deed.action == *action)
}

/// The labels as far as it is known who set or removed each: a history may lag behind, and is looked
/// at again then.
fn explained(issue: &FoundIssue, before: Option<&KnownIssue>) -> BTreeSet<String> {
    let now = peoples(&issue.labels);
    let before = before.map(|known| known.labels.clone()).unwrap_or_default();
    let is_explained = |label: &String| {
        let action = if now.contains(label) {
            IssueAction::Labeled(label.clone())
        } else {
            IssueAction::Unlabeled(label.clone())
        };
        newest(issue, &action).is_some()
    };
    let (stays, goes) = (now.intersection(&before), before.difference(&now));
    let comes = now.difference(&before).filter(|label| is_explained(label));
    let lingers = goes.filter(|label| !is_explained(label));
    stays.chain(comes).chain(lingers).cloned().collect()
}

/// The label, where it is about one.
fn subject(action: &IssueAction) -> Option<&str> {
    match action {
        IssueAction::Labeled(label) | IssueAction::Unlabeled(label) => Some(label),
        IssueAction::Closed | IssueAction::Reopened | IssueAction::Edited => None,
    }
}
