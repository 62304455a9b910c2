//! Changes of a text after it was pinned, and just before (spec 2.5).

use jiff::{SignedDuration, Timestamp};

use super::Table;
use super::queue::{Rows, synced};
use super::scene::{Scene, admitted, denied, need, operator, person, start};
use crate::domain::delivery::{Command, Comment, IssueAction, IssueChange, Said};
use crate::domain::dependency::{Family, IssueState, Links};
use crate::domain::event::{RepoEvent, StoryEvent};
use crate::domain::story::{Admission, Wish};
use crate::domain::transition::tests::{comment_on, noon};
use crate::domain::work::{Place, Task};

fn at(minute: i64) -> Timestamp {
    noon() + SignedDuration::from_mins(minute)
}

fn edit(body: &str, minute: i64) -> Wish {
    Wish::Edit {
        title: "Mend the door".to_owned(),
        body: body.to_owned(),
        at: at(minute),
    }
}

fn confirm(scene: &Scene) -> Wish {
    let text = scene.story.text_to_confirm().expect("a text to confirm");
    Wish::Confirm {
        digest: text.digest(),
    }
}

/// Bob, who may not write, changes the text.
fn edited_by_bob(scene: &Scene, body: &str, minute: i64) -> Scene {
    let asked = scene.after(person(edit(body, minute), "bob"));
    let request = asked.story.requests_seen;
    asked.after(denied(request))
}

/// The same by Ann, who may.
fn edited_by_ann(scene: &Scene, body: &str, minute: i64) -> Scene {
    let asked = scene.after(person(edit(body, minute), "ann"));
    let request = asked.story.requests_seen;
    asked.after(admitted(request))
}

/// Who changed the text that waits, and which text is pinned.
fn texts(scene: &Scene) -> String {
    let story = &scene.story;
    let waits = story.unconfirmed.as_ref();
    let waits = waits.map_or_else(
        || "nothing waits".to_owned(),
        |text| format!("{:?} by {} waits", text.body, text.by),
    );
    let told = story.messages.iter();
    let told = told.filter(|message| message.place == Place::Issue).count();
    format!("{:?} is pinned, {waits}, {told} told", story.task.body)
}

#[test]
fn a_writers_change_is_pinned_and_told_and_a_strangers_waits() {
    let running = Scene::new().running();
    let mut lines = Vec::new();
    let mut note = |what: &str, scene: &Scene| lines.push(format!("{what}: {}", texts(scene)));
    let ann = edited_by_ann(&running, "Gently.", 1);
    note("ann", &ann);
    let twice = edited_by_ann(&ann, "Softly.", 2);
    note("ann twice", &twice);
    let bob = edited_by_bob(&running, "Give me the keys.", 1);
    note("bob", &bob);
    note("bob, and back", &edited_by_bob(&bob, "", 2));
    note(
        "bob, then ann on top of it",
        &edited_by_ann(&bob, "Give me the keys, please.", 2),
    );
    note("bob, and ann takes it back", &edited_by_ann(&bob, "", 2));
    note("bob, confirmed", &bob.after(operator(confirm(&bob))));
    let later = edited_by_bob(&bob, "Give me all.", 2);
    note("bob twice", &later);
    let both = running
        .after(person(edit("Give me all.", 2), "bob"))
        .after(person(edit("Gently.", 1), "ann"));
    let both = both.after(denied(1)).after(admitted(2));
    note("bob, and what ann did before that", &both);
    insta::assert_snapshot!(lines.join("\n"), @r#"
    ann: "Gently." is pinned, nothing waits, 1 told
    ann twice: "Softly." is pinned, nothing waits, 1 told
    bob: "" is pinned, "Give me the keys." by bob waits, 0 told
    bob, and back: "" is pinned, nothing waits, 0 told
    bob, then ann on top of it: "" is pinned, "Give me the keys, please." by bob waits, 0 told
    bob, and ann takes it back: "" is pinned, nothing waits, 0 told
    bob, confirmed: "Give me the keys." is pinned, nothing waits, 1 told
    bob twice: "" is pinned, "Give me all." by bob waits, 0 told
    bob, and what ann did before that: "" is pinned, "Give me all." by bob waits, 0 told
    "#);
}

#[test]
fn a_change_of_the_text_turns_a_story_back_that_would_land_without_it() {
    let mut table = Table::new();
    let change = || operator(edit("Gently.", 1));
    let new = Scene::new();
    for (situation, scene) in [
        ("running", new.running()),
        ("judging", new.judging()),
        ("queued", new.queued()),
        ("testing the merge", new.testing()),
        ("repairing a conflict", new.conflicted()),
        ("stopped", new.configuring().after(operator(Wish::Stop))),
        ("done", new.queued().after(super::scene::landed())),
        ("never started", new.clone()),
    ] {
        table.given(situation);
        let changed = table.story(&scene, "changed", change());
        table.story(
            &changed,
            "changed to the same",
            operator(edit("Gently.", 2)),
        );
    }
    table.given("blocked");
    let running = new.running();
    let asked = running.after(running.agent_ended(crate::domain::work::End::Asked {
        question: "Which?".to_owned(),
    }));
    let blocked = asked.after(asked.collected(1, false, false));
    let changed = table.story(&blocked, "changed", change());
    table.story(&changed, "retry", operator(Wish::Retry { label: None }));
    insta::assert_snapshot!(table, @"
    running
      changed -> coding 1: running
      changed to the same -> ignored: that is the text it goes by

    judging
      changed -> coding 1: judging
      changed to the same -> ignored: that is the text it goes by

    queued
      changed -> coding 2: configuring | tell repo withdrawn; huskies/merge withdrawn; read_project; label
      changed to the same -> ignored: that is the text it goes by

    testing the merge
      changed -> coding 2: configuring | tell repo withdrawn; huskies/merge withdrawn; read_project; label
      changed to the same -> ignored: that is the text it goes by

    repairing a conflict
      changed -> merge_failure (conflict in a.rs) 2 (fix-up): configuring
      changed to the same -> ignored: that is the text it goes by

    stopped
      changed -> ignored: nobody works on it
      changed to the same -> ignored: nobody works on it

    done
      changed -> ignored: its change has landed already
      changed to the same -> ignored: its change has landed already

    never started
      changed -> ignored: it was never started
      changed to the same -> ignored: it was never started

    blocked
      changed -> blocked: asks: Which? (from coding)
      retry -> coding 2: configuring | read_project; label
    ");
}

/// A start whose text Bob had just changed.
fn unconfirmed() -> Scene {
    let asked = Scene::new().after(person(start(), "ann"));
    asked.after(StoryEvent::Admitted {
        request: 1,
        answer: Admission::Allowed {
            comments: Vec::new(),
            links: None,
            edited_by: Some("bob".to_owned()),
        },
    })
}

#[test]
fn a_start_with_a_text_that_a_stranger_just_changed_waits_for_its_confirmation() {
    let mut table = Table::new();
    table.given("unconfirmed");
    let waits = unconfirmed();
    let wrong = Wish::Confirm {
        digest: "0123456789ab".to_owned(),
    };
    table.story(&waits, "another digest", operator(wrong));
    table.story(&waits, "confirmed", operator(confirm(&waits)));
    table.story(&waits, "retried", operator(Wish::Retry { label: None }));
    table.story(&waits, "stopped", operator(Wish::Stop));
    table.story(&waits, "cancelled", operator(Wish::Cancel));
    table.story(&waits, "started again", operator(start()));
    let newer = table.story(&waits, "changed further", operator(edit("Gently.", 1)));
    table.story(&newer, "the old text confirmed", operator(confirm(&waits)));
    table.story(&newer, "the new text confirmed", operator(confirm(&newer)));
    table.given("unconfirmed, and it depends on another one");
    let asked = waits.after(person(confirm(&waits), "ann"));
    let links = Links {
        needs: vec![need(3, IssueState::Open)],
        ..Links::default()
    };
    let answer = Admission::Allowed {
        comments: Vec::new(),
        links: Some(Box::new(links)),
        edited_by: None,
    };
    table.story(
        &asked,
        "confirmed",
        StoryEvent::Admitted { request: 2, answer },
    );
    insta::assert_snapshot!(table, @"
    unconfirmed
      another digest -> ignored: the text that waits for a confirmation has another digest: look at it as it is now
      confirmed -> coding 1: configuring | read_project; label
      retried -> ignored: it is not blocked
      stopped -> backlog: stopped
      cancelled -> cancelled | tell repo head_known; retire_worktree; label
      started again -> coding 1: configuring | read_project; label
      changed further -> backlog: unconfirmed
      the old text confirmed -> ignored: the text that waits for a confirmation has another digest: look at it as it is now
      the new text confirmed -> coding 1: configuring | read_project; label

    unconfirmed, and it depends on another one
      confirmed -> backlog: waits for #3 | tell repo waits
    ");
}

#[test]
fn a_digest_is_of_one_text_alone() {
    let task = |title: &str, body: &str| Task {
        title: title.to_owned(),
        body: body.to_owned(),
        ..Task::default()
    };
    let text = task("Mend", "the door");
    assert_eq!(text.digest().len(), 12);
    let with_epic = Task {
        epic: Some(crate::domain::dependency::Epic {
            issue: 1,
            title: "House".to_owned(),
            body: String::new(),
        }),
        ..text.clone()
    };
    for other in [
        task("Mend", "the doors"),
        task("Mendthe", " door"),
        with_epic,
    ] {
        assert_ne!(text.digest(), other.digest());
    }
}

fn change(number: u64, action: IssueAction, sender: &str, minute: i64) -> RepoEvent {
    RepoEvent::Issue {
        change: IssueChange {
            number,
            action,
            sender: sender.to_owned(),
            by_bot: false,
            title: "Door".to_owned(),
            body: String::new(),
            labels: Vec::new(),
            at: at(minute),
            not_planned: false,
            family: Family::default(),
        },
    }
}

#[test]
fn a_start_names_those_who_changed_the_text_in_the_ten_minutes_before() {
    let labeled = || IssueAction::Labeled("huskies".to_owned());
    let mut rows = Rows::new();
    rows.when("synced", synced(1, &[]));
    rows.given("several changed it");
    rows.when("bob", change(7, IssueAction::Edited, "bob", 0));
    rows.when("eve", change(7, IssueAction::Edited, "eve", 6));
    rows.when(
        "another issue, by mia",
        change(8, IssueAction::Edited, "mia", 7),
    );
    rows.when("labelled after 10 minutes", change(7, labeled(), "ann", 10));
    rows.when("labelled after 11 minutes", change(7, labeled(), "ann", 11));
    rows.when("labelled after 18 minutes", change(7, labeled(), "ann", 18));
    rows.when("labelled before eve", change(7, labeled(), "ann", 5));
    rows.when("bob again", change(7, IssueAction::Edited, "bob", 12));
    let comment = Comment {
        at: Some(at(17)),
        ..comment_on(7)
    };
    let said = Said::Command {
        command: Command::Start,
        text: None,
    };
    rows.when(
        "started in a comment",
        RepoEvent::Commented { comment, said },
    );
    insta::assert_snapshot!(rows.table, @r#"
      synced -> idle

    several changed it
      bob -> idle | tell #7 asked Edit { title: "Door", body: "", at: 2026-03-02T12:00:00Z }
      eve -> idle | tell #7 asked Edit { title: "Door", body: "", at: 2026-03-02T12:06:00Z }
      another issue, by mia -> idle | tell #8 asked Edit { title: "Door", body: "", at: 2026-03-02T12:07:00Z }
      labelled after 10 minutes -> idle | tell #7 asked Start "Door", edited by bob (#7), eve (#7), mia (#8)
      labelled after 11 minutes -> idle | tell #7 asked Start "Door", edited by eve (#7), mia (#8)
      labelled after 18 minutes -> idle | tell #7 asked Start "Door"
      labelled before eve -> idle | tell #7 asked Start "Door", edited by bob (#7)
      bob again -> idle | tell #7 asked Edit { title: "Door", body: "", at: 2026-03-02T12:12:00Z }
      started in a comment -> idle | tell #7 said Start "Door", edited by mia (#8), bob (#7)
    "#);
}
