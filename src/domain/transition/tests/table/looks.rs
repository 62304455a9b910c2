//! What a repository makes of what it finds on the forge by itself (spec 3.4).

use jiff::{SignedDuration, Timestamp};

use super::queue::{Rows, synced};
use super::scene::need;
use crate::domain::delivery::{
    CheckKind, CheckOutcome, CheckResult, Command, Comment, IssueAction, IssueChange,
    PullRequestAction, PullRequestChange, PullRequestHead, Push, Said,
};
use crate::domain::dependency::{Family, IssueState};
use crate::domain::event::RepoEvent;
use crate::domain::reconciliation::{Deed, Found, FoundIssue, Pace};
use crate::domain::repo::Stray;
use crate::domain::transition::tests::{comment_on, noon, pull_change, sha, story_id};

/// So many seconds after noon.
fn at(seconds: i64) -> Timestamp {
    noon() + SignedDuration::from_secs(seconds)
}

fn opened(alone: bool) -> RepoEvent {
    let looks = Some(Pace { seconds: 60, alone });
    RepoEvent::Opened { looks }
}

/// A repository whose base is known, and whose first look is under way.
fn looking(alone: bool) -> Rows {
    let mut rows = Rows::new();
    rows.after(opened(alone));
    rows.after(synced(1, &[]));
    rows
}

/// One whose first look found nothing, and whose next is under way.
fn looking_again(alone: bool) -> Rows {
    let mut rows = looking(alone);
    rows.after(found(0, Vec::new()));
    next(&mut rows);
    rows
}

fn next(rows: &mut Rows) {
    rows.after(RepoEvent::LookDue);
    rows.after(synced(1, &[]));
}

fn found(until: i64, issues: Vec<FoundIssue>) -> RepoEvent {
    let found = Box::new(all_found(until, issues));
    RepoEvent::Looked { found }
}

fn all_found(until: i64, issues: Vec<FoundIssue>) -> Found {
    Found {
        until: at(until),
        issues,
        pulls: Vec::new(),
        comments: Vec::new(),
        reviews: Vec::new(),
        checks: Vec::new(),
    }
}

/// Issue 7, as it became at that time.
fn issue(seconds: i64, labels: &[&str], history: &[Deed]) -> FoundIssue {
    FoundIssue {
        number: 7,
        title: "Door".to_owned(),
        body: String::new(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        family: Family::default(),
        open: true,
        at: at(seconds),
        history: history.to_vec(),
        in_flight: false,
        has_story: false,
    }
}

fn started(issue: FoundIssue) -> FoundIssue {
    FoundIssue {
        in_flight: true,
        has_story: true,
        ..issue
    }
}

fn closed(issue: FoundIssue) -> FoundIssue {
    FoundIssue {
        open: false,
        ..issue
    }
}

/// What somebody did at that time.
fn deed(seconds: i64, action: IssueAction, by: &str) -> Deed {
    Deed {
        id: 100 + seconds.unsigned_abs(),
        action,
        by: by.to_owned(),
        by_bot: false,
        at: at(seconds),
    }
}

fn set(seconds: i64, label: &str) -> Deed {
    deed(seconds, IssueAction::Labeled(label.to_owned()), "ann")
}

fn unset(seconds: i64, label: &str) -> Deed {
    deed(seconds, IssueAction::Unlabeled(label.to_owned()), "bob")
}

/// A delivery about issue 7.
fn told(seconds: i64, action: IssueAction, labels: &[&str]) -> RepoEvent {
    RepoEvent::Issue {
        change: IssueChange {
            number: 7,
            action,
            sender: "ann".to_owned(),
            by_bot: false,
            title: "Door".to_owned(),
            body: String::new(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            at: at(seconds),
            not_planned: false,
            family: Family::default(),
        },
    }
}

#[test]
fn looks_follow_each_other_at_their_pace_once_the_base_is_known() {
    let mut rows = Rows::new();
    rows.given("a repository that tells everything by itself");
    rows.when("opened", RepoEvent::Opened { looks: None });
    rows.when("synced", synced(1, &[]));
    let mut rows = rows.afresh();
    rows.given("one that is looked at");
    rows.when("opened", opened(false));
    rows.when(
        "base away",
        RepoEvent::BaseUnavailable {
            message: "no route".to_owned(),
        },
    );
    rows.when("synced", synced(1, &[]));
    rows.when("synced once more", synced(2, &[]));
    rows.when("a server in its place", opened(false));
    rows.when("synced", synced(2, &[]));
    rows.when("looked", found(5, Vec::new()));
    rows.when("looked twice", found(5, Vec::new()));
    rows.when("due", RepoEvent::LookDue);
    rows.when("synced", synced(2, &[]));
    insta::assert_snapshot!(rows.table, @"
    a repository that tells everything by itself
      opened -> idle | sync_base
      synced -> idle

    one that is looked at
      opened -> idle | sync_base
      base away -> idle | wake sync in 30 s
      synced -> idle | look for huskies
      synced once more -> idle
      a server in its place -> idle | sync_base
      synced -> idle
      looked -> idle | wake look in 60 s
      looked twice -> ignored: no look is under way
      due -> idle | sync_base
      synced -> idle | look since 12:00:05
    ");
}

#[test]
fn a_label_that_nobody_told_of_counts_as_whoever_set_it_set_it() {
    let mut rows = looking(false);
    rows.given("the first look");
    let old = issue(-9_000, &["huskies", "agent:x"], &[set(-9_000, "huskies")]);
    rows.when("labelled long ago", found(0, vec![old]));
    let mut rows = looking(false).on(rows);
    let theirs = started(issue(-9_000, &["huskies"], &[set(-9_000, "huskies")]));
    rows.when("its story is there", found(0, vec![theirs]));
    let mut rows = looking_again(false).on(rows);
    rows.given("a later look");
    let labels = ["huskies", "priority:3", "stage:coding"];
    let fresh = issue(30, &labels, &[set(29, "priority:3"), set(30, "huskies")]);
    rows.when("labelled since", found(30, vec![fresh.clone()]));
    next(&mut rows);
    rows.when("the same again", found(30, vec![fresh]));
    next(&mut rows);
    let more = ["huskies", "huskies:hold", "agent:x"];
    let history = [
        set(40, "huskies:hold"),
        set(41, "agent:x"),
        unset(42, "priority:3"),
    ];
    rows.when(
        "more labels",
        found(42, vec![started(issue(42, &more, &history))]),
    );
    next(&mut rows);
    rows.when(
        "gone",
        found(
            50,
            vec![started(issue(
                50,
                &[],
                &[
                    unset(50, "huskies"),
                    unset(50, "huskies:hold"),
                    unset(50, "agent:x"),
                ],
            ))],
        ),
    );
    next(&mut rows);
    let end = deed(60, IssueAction::Closed, "ann");
    rows.when(
        "closed",
        found(60, vec![closed(started(issue(60, &[], &[end])))]),
    );
    insta::assert_snapshot!(rows.table, @r#"
    the first look
      labelled long ago -> idle | tell #7 asked Start "Door" with x; wake look in 60 s
      its story is there -> idle | wake look in 60 s

    a later look
      labelled since -> idle | tell #7 asked Start "Door" at 3; wake look in 60 s
      the same again -> idle | wake look in 60 s
      more labels -> idle | tell #7 asked PickAgent { agent: Some("x") }; tell #7 asked Hold; tell #7 asked Prioritise { priority: 0 }; wake look in 60 s
      gone -> idle | tell #7 asked PickAgent { agent: None }; tell #7 asked Stop; tell #7 asked Release; wake look in 60 s
      closed -> idle | tell #7 asked Cancel; wake look in 60 s
    "#);
}

#[test]
fn what_a_delivery_told_already_is_no_news() {
    let labeled = || IssueAction::Labeled("huskies".to_owned());
    let mut rows = looking_again(false);
    rows.given("told of the label");
    rows.when("told", told(20, labeled(), &["huskies"]));
    let history = [set(20, "huskies")];
    rows.when("found", found(20, vec![issue(20, &["huskies"], &history)]));
    next(&mut rows);
    rows.given("a delivery is faster than the look");
    rows.when(
        "told it went",
        told(31, IssueAction::Unlabeled("huskies".to_owned()), &[]),
    );
    rows.when(
        "found as it was",
        found(30, vec![started(issue(30, &["huskies"], &history))]),
    );
    next(&mut rows);
    rows.given("it went and came back, which webhooks tell");
    rows.when("told it is back", told(40, labeled(), &["huskies"]));
    let history = [set(20, "huskies"), unset(31, "huskies"), set(40, "huskies")];
    rows.when(
        "found",
        found(41, vec![started(issue(41, &["huskies"], &history))]),
    );
    insta::assert_snapshot!(rows.table, @r#"
    told of the label
      told -> idle | tell #7 asked Start "Door"
      found -> idle | wake look in 60 s

    a delivery is faster than the look
      told it went -> idle | tell #7 asked Stop
      found as it was -> idle | wake look in 60 s

    it went and came back, which webhooks tell
      told it is back -> idle | tell #7 asked Start "Door"
      found -> idle | wake look in 60 s
    "#);
}

#[test]
fn where_only_looks_tell_a_label_that_came_back_starts_again() {
    let mut rows = looking_again(true);
    let first = [set(20, "huskies")];
    rows.given("alone");
    rows.when("set", found(20, vec![issue(20, &["huskies"], &first)]));
    next(&mut rows);
    rows.when(
        "a comment",
        found(25, vec![started(issue(25, &["huskies"], &first))]),
    );
    next(&mut rows);
    let again = [set(20, "huskies"), unset(30, "huskies"), set(31, "huskies")];
    rows.when(
        "went and came",
        found(31, vec![started(issue(31, &["huskies"], &again))]),
    );
    insta::assert_snapshot!(rows.table, @r#"
    alone
      set -> idle | tell #7 asked Start "Door"; wake look in 60 s
      a comment -> idle | wake look in 60 s
      went and came -> idle | tell #7 asked Stop; tell #7 asked Start "Door"; wake look in 60 s
    "#);
}

#[test]
fn what_nobody_is_known_to_have_done_is_not_done_in_anybodys_name() {
    let mut rows = looking_again(false);
    rows.given("a history that says something else");
    rows.when("no record", found(20, vec![issue(20, &["huskies"], &[])]));
    next(&mut rows);
    let late = [set(20, "huskies")];
    rows.when(
        "the record is there at last",
        found(20, vec![issue(20, &["huskies"], &late)]),
    );
    let mut rows = looking_again(false).on(rows);
    let other = [set(20, "huskies"), unset(21, "huskies")];
    rows.when(
        "gone by now",
        found(20, vec![issue(20, &["huskies"], &other)]),
    );
    let mut rows = looking_again(false).on(rows);
    let old = [set(-9_000, "huskies")];
    rows.when(
        "heard of long ago",
        found(20, vec![issue(20, &["huskies"], &old)]),
    );
    let mut rows = looking_again(false).on(rows);
    rows.when(
        "nobody's issue closed",
        found(
            20,
            vec![closed(issue(
                20,
                &[],
                &[deed(20, IssueAction::Closed, "ann")],
            ))],
        ),
    );
    insta::assert_snapshot!(rows.table, @r#"
    a history that says something else
      no record -> idle | wake look in 60 s
      the record is there at last -> idle | tell #7 asked Start "Door"; wake look in 60 s
      gone by now -> idle | wake look in 60 s
      heard of long ago -> idle | wake look in 60 s
      nobody's issue closed -> idle | wake look in 60 s
    "#);
}

#[test]
fn what_stories_wait_for_is_looked_at_too() {
    let mut rows = looking_again(true);
    rows.after(RepoEvent::Waits {
        story: story_id(7),
        needs: vec![need(3, IssueState::Open)],
    });
    rows.given("7 waits for 3");
    rows.when("nothing is found", found(10, Vec::new()));
    insta::assert_snapshot!(rows.table, @"
    7 waits for 3
      nothing is found -> #7 waits for #3 | see_needs [3]; wake look in 60 s
    ");
}

/// A pull request of a branch of the repository itself.
fn pull(action: PullRequestAction) -> PullRequestChange {
    let head = PullRequestHead {
        repo: "octo/app".parse().ok(),
        branch: "door".parse().ok(),
        commit: sha(40),
    };
    pull_change(102, action, head)
}

fn found_with(until: i64, change: impl FnOnce(&mut Found)) -> RepoEvent {
    let mut all = all_found(until, Vec::new());
    change(&mut all);
    let found = Box::new(all);
    RepoEvent::Looked { found }
}

/// Somebody asks on issue 7 how it is.
fn said(id: u64) -> (Comment, Said) {
    let comment = Comment {
        id,
        ..comment_on(7)
    };
    let said = Said::Command {
        command: Command::Status,
        text: None,
    };
    (comment, said)
}

fn failed_check() -> CheckResult {
    CheckResult {
        kind: CheckKind::Status,
        id: None,
        name: "ci".to_owned(),
        commit: sha(27),
        branch: None,
        outcome: CheckOutcome::Failure,
        summary: String::new(),
        url: None,
    }
}

#[test]
fn pull_requests_comments_and_checks_are_found_once() {
    let mut rows = looking_again(true);
    let opened = || found_with(10, |all| all.pulls.push(pull(PullRequestAction::Opened)));
    let asked = || found_with(12, |all| all.comments = vec![said(5), said(6)]);
    rows.given("alone");
    rows.when("open", opened());
    next(&mut rows);
    rows.when("open still", opened());
    next(&mut rows);
    let closed = pull(PullRequestAction::Closed { merged: None });
    rows.when("closed", found_with(11, |all| all.pulls.push(closed)));
    next(&mut rows);
    rows.when("asked", asked());
    next(&mut rows);
    rows.when("asked still", asked());
    rows.after(RepoEvent::HeadKnown {
        story: story_id(7),
        head: Some(sha(27)),
    });
    next(&mut rows);
    rows.when(
        "a check failed",
        found_with(13, |all| all.checks.push(failed_check())),
    );
    insta::assert_snapshot!(rows.table, @"
    alone
      open -> pull 102 at 28, gating 28 | tell head 28 gates_asked; wake look in 60 s
      open still -> pull 102 at 28, gating 28 | wake look in 60 s
      closed -> idle | tell head 28 superseded; wake look in 60 s
      asked -> idle | tell #7 said Say { reply: Status, answer: None }; tell #7 said Say { reply: Status, answer: None }; wake look in 60 s
      asked still -> idle | wake look in 60 s
      a check failed -> idle | tell #7 check_failed; wake look in 60 s
    ");
}

#[test]
fn story_branches_that_people_move_are_gated_and_told_and_deleted_ones_stop_their_story() {
    let mut rows = Rows::synced();
    let head = |number: u64| RepoEvent::HeadKnown {
        story: story_id(7),
        head: Some(sha(number)),
    };
    let pushed = |after: Option<u64>| RepoEvent::Pushed {
        push: Push {
            branch: "feature/story-7-door".parse().unwrap(),
            before: None,
            after: after.map(sha),
            sender: "bob".to_owned(),
        },
    };
    let seen_of = |head: u64, tips: &[Option<u64>]| RepoEvent::BranchesSeen {
        seen: vec![(story_id(7), sha(head))],
        strays: tips
            .iter()
            .map(|tip| Stray {
                story: story_id(7),
                tip: tip.map(sha),
                by: Some("bob".to_owned()),
            })
            .collect(),
    };
    let seen = |tips: &[Option<u64>]| seen_of(27, tips);
    rows.given("nobody works on that branch");
    rows.when("pushed", pushed(Some(30)));
    rows.after(head(27));
    rows.given("a story is at 27");
    rows.when("huskies pushed", pushed(Some(27)));
    rows.when("another commit is there", pushed(Some(30)));
    rows.when("an older one of huskies' own", seen(&[]));
    rows.when("somebody else's", seen(&[Some(30)]));
    rows.when("seen again", seen(&[Some(30)]));
    rows.after(head(31));
    rows.when("brought in, and pushed", pushed(Some(31)));
    rows.when("deleted", pushed(None));
    rows.when("seen to be gone", seen_of(31, &[None]));
    rows.when("made anew", pushed(Some(31)));
    rows.when("deleted once more", pushed(None));
    rows.given("a look that took so long that there is a newer commit");
    rows.when("pushed by huskies meanwhile", seen_of(27, &[Some(31)]));
    rows.when("gone", seen_of(27, &[None]));
    rows.when("where it was", seen_of(27, &[]));
    insta::assert_snapshot!(rows.table, @"
    nobody works on that branch
      pushed -> ignored: not the base branch

    a story is at 27
      huskies pushed -> ignored: huskies itself pushed that
      another commit is there -> idle | see_branches of 1
      an older one of huskies' own -> ignored: all are where huskies put them, or it is known already
      somebody else's -> gating 1e | tell head 1e gates_asked; tell #7 branch_pushed
      seen again -> ignored: all are where huskies put them, or it is known already
      brought in, and pushed -> gating 1e
      deleted -> gating 1e | tell #7 branch_deleted
      seen to be gone -> ignored: all are where huskies put them, or it is known already
      made anew -> gating 1e
      deleted once more -> gating 1e | tell #7 branch_deleted

    a look that took so long that there is a newer commit
      pushed by huskies meanwhile -> gating 1e | see_branches of 1
      gone -> gating 1e | see_branches of 1
      where it was -> gating 1e
    ");
}
