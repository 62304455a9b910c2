//! What has to be done before a story begins (spec 2.6).

use jiff::{SignedDuration, Timestamp};

use super::Table;
use super::queue::{Rows, synced};
use super::scene::{Scene, admitted, admitted_with, contained, need, operator, person, start};
use crate::domain::delivery::{IssueAction, IssueChange};
use crate::domain::dependency::{Family, IssueState, Need, StoryState};
use crate::domain::event::{RepoEvent, StoryEvent};
use crate::domain::story::{Activity, Wish};
use crate::domain::transition::tests::{noon, story_id};
use crate::domain::work::{End, Message, Place};

use IssueState::{Completed, Missing, NotPlanned, Open};

fn two() -> [Need; 2] {
    [need(3, Open), need(5, Open)]
}

fn stand(needs: &[Need], circle: &[u64]) -> StoryEvent {
    StoryEvent::NeedsStand {
        needs: needs.to_vec(),
        circle: circle.to_vec(),
    }
}

/// It waits for two issues.
fn waiting() -> Scene {
    let asked = Scene::new().after(person(start(), "ann"));
    asked.after(admitted_with(1, &two()))
}

#[test]
fn a_story_waits_until_everything_is_done_that_it_depends_on() {
    let mut table = Table::new();
    table.given("somebody starts it");
    let asked = table.story(&Scene::new(), "ann starts it", person(start(), "ann"));
    let done = [need(3, Completed)];
    table.story(&asked, "all is done", admitted_with(1, &done));
    let waits = table.story(&asked, "two are open", admitted_with(1, &two()));

    table.given("it waits");
    let one = [need(3, Completed), need(5, Open)];
    let waits = table.story(&waits, "one is done", stand(&one, &[]));
    let story = StoryState::Done;
    let both = [
        need(3, Completed),
        Need {
            story,
            ..need(5, Open)
        },
    ];
    let begun = table.story(&waits, "the other has landed", stand(&both, &[]));
    table.story(&begun, "news again", stand(&both, &[]));
    table.story(&waits, "the first is open again", stand(&two(), &[]));
    table.story(&waits, "in a circle", stand(&one, &[7, 5]));
    table.story(&waits, "contained in the base", contained());
    insta::assert_snapshot!(table, @"
    somebody starts it
      ann starts it -> backlog, 1 asked | admit ann (1)
      all is done -> coding 1: configuring | read_project; label
      two are open -> backlog: waits for #3 #5 | tell repo waits; label

    it waits
      one is done -> backlog: waits for #5
      the other has landed -> coding 1: configuring | read_project; tell repo wait_ended; label
      news again -> ignored: it waits for nothing
      the first is open again -> backlog: waits for #3 #5
      in a circle -> backlog: waits for #5 in a circle #7 #5
      contained in the base -> done | announce done; tell repo head_known; retire_worktree; tell repo wait_ended; label
    ");
}

#[test]
fn who_waits_can_be_stopped_started_again_held_and_told_something() {
    let mut table = Table::new();
    table.given("it waits");
    let waits = waiting();
    let stopped = table.story(&waits, "stop", operator(Wish::Stop));
    table.story(&stopped, "news", stand(&two(), &[]));
    table.story(&waits, "cancel", operator(Wish::Cancel));
    table.story(&waits, "start, nothing open", operator(start()));
    let again = table.story(&waits, "ann starts it again", person(start(), "ann"));
    table.story(&again, "one is open", admitted_with(2, &[need(8, Open)]));
    let retried = table.story(
        &waits,
        "ann retries it",
        person(Wish::Retry { label: None }, "ann"),
    );
    table.story(&retried, "one is open", admitted_with(2, &[need(8, Open)]));
    table.story(&retried, "none is open", admitted_with(2, &[]));
    table.story(
        &waits,
        "the operator retries it",
        operator(Wish::Retry { label: None }),
    );
    table.story(&waits, "merge", operator(Wish::Merge));
    let held = table.story(&waits, "hold", operator(Wish::Hold));
    let held = table.story(&held, "all is done", stand(&[], &[]));
    table.story(&held, "release", operator(Wish::Release));
    let message = Message {
        author: "ann".to_owned(),
        place: Place::Conversation,
        text: "Make it red.".to_owned(),
    };
    let told = table.story(&waits, "tell", operator(Wish::Tell { message }));
    let begun = table.story(&told, "all is done", stand(&[], &[]));
    assert_eq!(begun.next_preparing().brief().messages.len(), 1);
    insta::assert_snapshot!(table, @"
    it waits
      stop -> backlog: stopped | tell repo wait_ended
      news -> ignored: it waits for nothing
      cancel -> cancelled | tell repo head_known; retire_worktree; tell repo wait_ended; label
      start, nothing open -> coding 1: configuring | read_project; tell repo wait_ended; label
      ann starts it again -> backlog: waits for #3 #5, 1 asked | admit ann (2)
      one is open -> backlog: waits for #8 | tell repo waits
      ann retries it -> backlog: waits for #3 #5, 1 asked | admit ann (2)
      one is open -> backlog: waits for #8 | tell repo waits
      none is open -> coding 1: configuring | read_project; tell repo wait_ended; label
      the operator retries it -> backlog: waits for #3 #5 | tell repo waits
      merge -> ignored: nobody works on it
      hold -> backlog: waits for #3 #5
      all is done -> coding 0: held | tell repo wait_ended; label
      release -> coding 1: configuring | read_project
      tell -> backlog: waits for #3 #5
      all is done -> coding 1: configuring | read_project; tell repo wait_ended; label
    ");
}

#[test]
fn a_start_that_has_to_wait_for_an_agent_or_an_answer_waits_for_others_after_that() {
    let mut table = Table::new();
    table.given("started and stopped before the forge has answered");
    let asked = Scene::new().after(person(start(), "ann"));
    let asked = asked.after(person(Wish::Stop, "ann"));
    let asked = asked.after(admitted(2));
    table.story(&asked, "two are open", admitted_with(1, &two()));

    table.given("running, told to stop, and started again");
    let stopping = Scene::new().running().after(operator(Wish::Stop));
    let again = stopping.after(person(start(), "ann"));
    let again = table.story(&again, "two are open", admitted_with(1, &two()));
    let ended = table.story(&again, "agent ended", again.agent_ended(End::Stopped));
    let rests = table.story(&ended, "collected", ended.committed(20));
    table.story(&rests, "all is done", stand(&[], &[]));
    insta::assert_snapshot!(table, @"
    started and stopped before the forge has answered
      two are open -> backlog: stopped | tell repo waits; tell repo wait_ended; label

    running, told to stop, and started again
      two are open -> coding 1: stopping, then again
      agent ended -> coding 1: collecting, then again | tell repo slot_released; tell account settled 0.50 USD; collect
      collected -> backlog: waits for #3 #5 | publish_branch; tell repo head_known; tell repo waits; label
      all is done -> coding 2: configuring | read_project; tell repo wait_ended; label
    ");
}

#[test]
fn who_needs_a_person_says_so_and_who_waits_for_others_is_busy() {
    let waits = |needs: &[Need], circle: &[u64]| {
        let scene = waiting().after(stand(needs, circle));
        matches!(scene.story.activity(), Activity::Waiting { .. })
    };
    assert!(waits(&two(), &[]));
    assert!(!waits(&two(), &[7, 3]));
    assert!(!waits(&[need(3, Open), need(5, NotPlanned)], &[]));
    assert!(!waits(&[need(3, Missing)], &[]));
}

#[test]
fn who_is_waited_for_tells_where_it_goes() {
    let mut table = Table::new();
    table.given("awaited");
    let new = table.story(&Scene::new(), "awaited", StoryEvent::Awaited);
    let started = table.story(&new, "started", operator(start()));
    table.story(&started, "stopped", operator(Wish::Stop));
    let cancelled = table.story(&started, "cancelled", operator(Wish::Cancel));
    table.story(&cancelled, "started again", operator(start()));
    table.story(&started, "contained in the base", contained());
    table.given("blocked, or going on");
    let begun = Scene::new().judging().after(StoryEvent::Awaited);
    table.story(&begun, "the gates pass", begun.gates_passed());
    table.given("done already");
    let done = Scene::new().judging().after(contained());
    table.story(&done, "awaited", StoryEvent::Awaited);
    insta::assert_snapshot!(table, @"
    awaited
      awaited -> backlog | tell repo story_stands
      started -> coding 1: configuring | read_project; tell repo story_stands; label
      stopped -> backlog: stopped | tell repo story_stands; label
      cancelled -> cancelled | tell repo head_known; retire_worktree; tell repo story_stands; label
      started again -> coding 2: configuring | read_project; tell repo story_stands; label
      contained in the base -> done | announce done; tell repo head_known; retire_worktree; tell repo story_stands; label

    blocked, or going on
      the gates pass -> merge: queued | huskies/gates success; huskies/merge pending; tell repo enqueued; label

    done already
      awaited -> done | tell repo story_stands
    ");
}

fn waits_for(story: u64, needs: &[Need]) -> RepoEvent {
    RepoEvent::Waits {
        story: story_id(story),
        needs: needs.to_vec(),
    }
}

fn ended(story: u64) -> RepoEvent {
    let story = story_id(story);
    RepoEvent::WaitEnded { story }
}

fn stands(story: u64, state: StoryState) -> RepoEvent {
    let story = story_id(story);
    RepoEvent::StoryStands { story, state }
}

fn seen(story: u64, seen: &[Need]) -> RepoEvent {
    RepoEvent::NeedsSeen {
        story: story_id(story),
        seen: seen.to_vec(),
    }
}

fn at(second: i64) -> Timestamp {
    noon() + SignedDuration::from_secs(second)
}

fn issue(number: u64, action: IssueAction, second: i64, not_planned: bool) -> RepoEvent {
    RepoEvent::Issue {
        change: IssueChange {
            number,
            action,
            sender: "bob".to_owned(),
            by_bot: false,
            title: "Door".to_owned(),
            body: String::new(),
            labels: Vec::new(),
            at: at(second),
            not_planned,
            family: Family::default(),
        },
    }
}

#[test]
fn a_repository_tells_those_that_wait_what_becomes_of_what_they_wait_for() {
    let mut rows = Rows::new();
    rows.when("synced", synced(1, &[]));
    rows.given("7 waits for two issues, 8 for one of them");
    rows.when("7 waits", waits_for(7, &two()));
    rows.when("8 waits", waits_for(8, &[need(5, Open)]));
    rows.when("nothing is new", seen(7, &[need(3, Open)]));
    rows.when("5 is closed", issue(5, IssueAction::Closed, 20, false));
    rows.when(
        "and was open before",
        issue(5, IssueAction::Reopened, 10, false),
    );
    rows.when("8 waits no more", ended(8));
    rows.when("8 waits no more", ended(8));
    rows.when("3 is given up", issue(3, IssueAction::Closed, 20, true));
    rows.when(
        "3 is opened again",
        issue(3, IssueAction::Reopened, 30, false),
    );
    rows.when(
        "3 was looked at before that",
        seen(7, &[need(3, Completed)]),
    );
    rows.when("3 is under way", stands(3, StoryState::UnderWay));
    rows.when("3 has landed", stands(3, StoryState::Done));
    rows.when("7 begins", ended(7));
    rows.when("3 is closed", issue(3, IssueAction::Reopened, 40, false));
    rows.when("a stranger lands", stands(4, StoryState::Done));
    insta::assert_snapshot!(rows.table, @"
      synced -> idle

    7 waits for two issues, 8 for one of them
      7 waits -> #7 waits for #3 #5 | tell #3 awaited; tell #5 awaited; see_needs [3, 5]
      8 waits -> #7 waits for #3 #5, #8 waits for #5 | tell #5 awaited; see_needs [5]
      nothing is new -> ignored: nothing changed there
      5 is closed -> #7 waits for #3, #8 waits for  | tell #7 needs_stand: 1 open; tell #8 needs_stand: 0 open; tell #5 asked Cancel
      and was open before -> ignored: nothing that huskies acts on
      8 waits no more -> #7 waits for #3
      8 waits no more -> ignored: it does not wait here
      3 is given up -> #7 waits for #3 | tell #7 needs_stand: 1 open; tell #3 asked Cancel
      3 is opened again -> #7 waits for #3 | tell #7 needs_stand: 1 open
      3 was looked at before that -> ignored: nothing changed there
      3 is under way -> #7 waits for #3 | tell #7 needs_stand: 1 open
      3 has landed -> #7 waits for  | tell #7 needs_stand: 0 open
      7 begins -> idle
      3 is closed -> ignored: nothing that huskies acts on
      a stranger lands -> ignored: nobody waits for that
    ");
}

#[test]
fn a_circle_is_told_to_everybody_in_it_and_when_it_is_gone() {
    let mut rows = Rows::new();
    rows.given("three wait for each other, and one for them");
    rows.when("1 waits for 2", waits_for(1, &[need(2, Open)]));
    rows.when("2 waits for 3", waits_for(2, &[need(3, Open)]));
    rows.when("9 waits for 1", waits_for(9, &[need(1, Open)]));
    rows.when("3 waits for 1", waits_for(3, &[need(1, Open)]));
    rows.when("2 begins", ended(2));
    rows.given("one waits for itself");
    rows.when("4 waits for 4", waits_for(4, &[need(4, Open)]));
    insta::assert_snapshot!(rows.table, @"
    three wait for each other, and one for them
      1 waits for 2 -> #1 waits for #2 | tell #2 awaited; see_needs [2]
      2 waits for 3 -> #1 waits for #2, #2 waits for #3 | tell #3 awaited; see_needs [3]
      9 waits for 1 -> #1 waits for #2, #2 waits for #3, #9 waits for #1 | tell #1 awaited; see_needs [1]
      3 waits for 1 -> #1 waits for #2, #2 waits for #3, #3 waits for #1, #9 waits for #1 | tell #1 awaited; see_needs [1]; tell #1 needs_stand: 1 open, in a circle [1, 2, 3]; tell #2 needs_stand: 1 open, in a circle [2, 3, 1]; tell #3 needs_stand: 1 open, in a circle [3, 1, 2]
      2 begins -> #1 waits for #2, #3 waits for #1, #9 waits for #1 | tell #1 needs_stand: 1 open; tell #3 needs_stand: 1 open

    one waits for itself
      4 waits for 4 -> #1 waits for #2, #3 waits for #1, #4 waits for #4, #9 waits for #1 | tell #4 awaited; see_needs [4]; tell #4 needs_stand: 1 open, in a circle [4]
    ");
}

#[test]
fn a_server_that_starts_looks_at_everything_that_somebody_waits_for() {
    let mut rows = Rows::new();
    rows.given("7 waits for two issues and a part of its own");
    let part = Need {
        sub_issue: true,
        ..need(6, Open)
    };
    rows.when(
        "7 waits",
        waits_for(7, &[need(3, Completed), need(5, Open), part]),
    );
    rows.when("the server starts", RepoEvent::Opened { looks: None });
    rows.when(
        "one is gone",
        seen(
            7,
            &[Need {
                at: None,
                ..need(5, Missing)
            }],
        ),
    );
    insta::assert_snapshot!(rows.table, @"
    7 waits for two issues and a part of its own
      7 waits -> #7 waits for #5 #6 | tell #3 awaited; tell #5 awaited; tell #6 awaited; see_needs [5] and parts
      the server starts -> #7 waits for #5 #6 | sync_base; see_needs [5] and parts
      one is gone -> #7 waits for #5 #6 | tell #7 needs_stand: 2 open
    ");
}
