//! What a repository makes of labels, and who gets which agent (spec 2.1, 5.1).

use jiff::SignedDuration;

use super::queue::{Rows, synced};
use crate::domain::delivery::{IssueAction, IssueChange, Push};
use crate::domain::dependency::Family;
use crate::domain::event::RepoEvent;
use crate::domain::id::Attempt;
use crate::domain::repo::SlotRequest;
use crate::domain::transition::tests::{item, noon, sha, story_id};

fn wanted(number: u64, priority: i32, after: i64, agents: &[&str]) -> RepoEvent {
    RepoEvent::SlotWanted {
        request: SlotRequest {
            story: story_id(number),
            attempt: Attempt(1),
            agents: agents.iter().map(|name| item(name)).collect(),
            priority,
            since: noon() + SignedDuration::from_secs(after),
        },
    }
}

fn released(number: u64) -> RepoEvent {
    RepoEvent::SlotReleased {
        story: story_id(number),
        attempt: Attempt(1),
    }
}

fn issue(action: IssueAction, labels: &[&str]) -> RepoEvent {
    RepoEvent::Issue {
        change: IssueChange {
            number: 7,
            action,
            sender: "ann".to_owned(),
            by_bot: false,
            title: "Door".to_owned(),
            body: String::new(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            at: noon(),
            not_planned: false,
            family: Family::default(),
        },
    }
}

#[test]
fn labels_become_wishes() {
    let mut rows = Rows::new();
    let labeled = |label: &str| IssueAction::Labeled(label.to_owned());
    let unlabeled = |label: &str| IssueAction::Unlabeled(label.to_owned());
    rows.given("the base branch is not known yet");
    rows.when("labelled", issue(labeled("huskies"), &["huskies"]));
    rows.when("synced", synced(1, &[]));
    rows.given("the base branch is known");
    let all = ["huskies", "huskies:hold", "agent:claude", "priority:3"];
    rows.when("start, on hold", issue(labeled("huskies"), &all));
    rows.when("unlabelled", issue(unlabeled("huskies"), &[]));
    rows.when("retry", issue(labeled("huskies:retry"), &[]));
    rows.when("held", issue(labeled("huskies:hold"), &[]));
    rows.when("released", issue(unlabeled("huskies:hold"), &[]));
    rows.when("agent", issue(labeled("agent:x"), &["agent:x"]));
    rows.when("agent gone", issue(unlabeled("agent:x"), &[]));
    rows.when(
        "agent gone, another there",
        issue(unlabeled("agent:x"), &["agent:y"]),
    );
    rows.when("priority", issue(labeled("priority:-2"), &[]));
    rows.when(
        "priority gone, another there",
        issue(unlabeled("priority:9"), &["priority:4"]),
    );
    rows.when("no number", issue(labeled("priority:high"), &[]));
    rows.when("our own label", issue(labeled("stage:done"), &[]));
    rows.when("closed", issue(IssueAction::Closed, &[]));
    rows.when("edited", issue(IssueAction::Edited, &[]));
    insta::assert_snapshot!(rows.table, @r#"
    the base branch is not known yet
      labelled -> 1 parked
      synced -> idle | tell #7 asked Start "Door"

    the base branch is known
      start, on hold -> idle | tell #7 asked Hold; tell #7 asked Start "Door" with claude at 3
      unlabelled -> idle | tell #7 asked Stop
      retry -> idle | tell #7 asked Retry { label: Some("huskies:retry") }
      held -> idle | tell #7 asked Hold
      released -> idle | tell #7 asked Release
      agent -> idle | tell #7 asked PickAgent { agent: Some("x") }
      agent gone -> idle | tell #7 asked PickAgent { agent: None }
      agent gone, another there -> idle | tell #7 asked PickAgent { agent: Some("y") }
      priority -> idle | tell #7 asked Prioritise { priority: -2 }
      priority gone, another there -> idle | tell #7 asked Prioritise { priority: 4 }
      no number -> idle
      our own label -> ignored: nothing that huskies acts on
      closed -> idle | tell #7 asked Cancel
      edited -> idle | tell #7 asked Edit { title: "Door", body: "", at: 2026-03-02T12:00:00Z }
    "#);
}

#[test]
fn a_push_is_looked_at_where_it_may_have_moved_the_base() {
    let pushed = |branch: &str, after: Option<u64>| RepoEvent::Pushed {
        push: Push {
            branch: branch.parse().unwrap(),
            before: None,
            after: after.map(sha),
            sender: "ann".to_owned(),
        },
    };
    let mut rows = Rows::new();
    rows.given("the base branch is not known yet");
    rows.when("main pushed", pushed("main", Some(1)));
    rows.given("the base is main, at 1");
    rows.when("synced", synced(1, &[]));
    rows.when("main pushed, as known", pushed("main", Some(1)));
    rows.when("main pushed", pushed("main", Some(2)));
    rows.when("main deleted", pushed("main", None));
    rows.when("another pushed", pushed("side", Some(2)));
    insta::assert_snapshot!(rows.table, @r"
    the base branch is not known yet
      main pushed -> idle | sync_base

    the base is main, at 1
      synced -> idle
      main pushed, as known -> ignored: this tip is known already
      main pushed -> idle | sync_base
      main deleted -> idle | sync_base
      another pushed -> ignored: not the base branch
    ");
}

#[test]
fn agents_go_by_priority_then_age_in_the_order_of_the_file() {
    let mut rows = Rows::synced();
    rows.given("two agents");
    rows.when("#1 wants", wanted(1, 0, 1, &["a", "b"]));
    rows.when("#2 wants", wanted(2, 0, 2, &["a", "b"]));
    rows.when("#3 wants", wanted(3, 0, 3, &["a", "b"]));
    rows.when("#4 wants, more urgent", wanted(4, 5, 4, &["a"]));
    rows.when("#5 wants, clock put back", wanted(5, 0, 0, &["a", "b"]));
    rows.when("#2 is done", released(2));
    rows.when("#1 is done", released(1));
    let raised = RepoEvent::Prioritised {
        story: story_id(5),
        priority: 9,
    };
    rows.when("#5 is raised", raised.clone());
    rows.when("#5 gives up", released(5));
    rows.when("#5 is raised, though it does not wait", raised);
    rows.when("#5 gives up again", released(5));
    rows.when("#4 asks once more", wanted(4, 5, 4, &["a"]));
    insta::assert_snapshot!(rows.table, @r"
    two agents
      #1 wants -> a for #1 | tell #1 slot_granted a
      #2 wants -> a for #1, b for #2 | tell #2 slot_granted b
      #3 wants -> a for #1, b for #2, #3 waits for an agent
      #4 wants, more urgent -> a for #1, b for #2, #4 waits for an agent, #3 waits for an agent
      #5 wants, clock put back -> a for #1, b for #2, #4 waits for an agent, #3 waits for an agent, #5 waits for an agent
      #2 is done -> a for #1, b for #3, #4 waits for an agent, #5 waits for an agent | tell #3 slot_granted b
      #1 is done -> a for #4, b for #3, #5 waits for an agent | tell #4 slot_granted a
      #5 is raised -> a for #4, b for #3, #5 waits for an agent
      #5 gives up -> a for #4, b for #3
      #5 is raised, though it does not wait -> ignored: it does not wait here
      #5 gives up again -> ignored: this attempt holds no slot
      #4 asks once more -> ignored: this attempt has its agent
    ");
}
