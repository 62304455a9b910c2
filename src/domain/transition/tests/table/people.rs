//! What people ask for, and when it takes effect (spec 2.1, 2.5).

use super::Table;
use super::scene::{Scene, admitted, contained, denied, landed, operator, person, start};
use crate::domain::effect::Effect;
use crate::domain::event::{Event, StoryEvent};
use crate::domain::story::{Admission, Wish};
use crate::domain::transition::step;
use crate::domain::transition::tests::noon;
use crate::domain::work::{End, TaskComment};

fn situations() -> Vec<(&'static str, Scene)> {
    let new = Scene::new();
    let crashed = || End::Crashed {
        message: "?".to_owned(),
    };
    vec![
        ("configuring", new.configuring()),
        ("waiting for a slot", new.waiting_for_slot()),
        ("waiting for money", new.waiting_for_money()),
        ("preparing", new.preparing()),
        ("starting", new.starting()),
        ("running", new.running()),
        ("collecting", new.collecting(crashed())),
        ("judging", new.judging()),
        ("queued", new.queued()),
        ("testing the merge", new.testing()),
        ("repairing a conflict", new.conflicted()),
    ]
}

#[test]
fn a_story_can_be_stopped_in_every_phase() {
    let mut table = Table::new();
    for (name, scene) in situations() {
        table.given(name);
        table.story(&scene, "stop", operator(Wish::Stop));
        table.story(&scene, "contained in the base", contained());
    }
    insta::assert_snapshot!(table, @r"
    configuring
      stop -> backlog: stopped | label
      contained in the base -> done | announce done; tell repo head_known; retire_worktree; label

    waiting for a slot
      stop -> backlog: stopped | tell repo slot_released; label
      contained in the base -> done | tell repo slot_released; announce done; tell repo head_known; retire_worktree; label

    waiting for money
      stop -> backlog: stopped | tell repo slot_released; tell account released; label
      contained in the base -> done | tell repo slot_released; tell account released; announce done; tell repo head_known; retire_worktree; label

    preparing
      stop -> backlog: stopped | tell repo slot_released; tell account released; label
      contained in the base -> done | tell repo slot_released; tell account released; announce done; tell repo head_known; retire_worktree; label

    starting
      stop -> coding 1: stopping, then backlog | stop agent-7-1
      contained in the base -> coding 1: stopping, then done | stop agent-7-1

    running
      stop -> coding 1: stopping, then backlog | stop agent-7-1
      contained in the base -> coding 1: stopping, then done | stop agent-7-1

    collecting
      stop -> coding 1: collecting, then backlog
      contained in the base -> coding 1: collecting, then done

    judging
      stop -> backlog: stopped | stop accept-7-1-1; huskies/gates error; label
      contained in the base -> done | stop accept-7-1-1; huskies/gates error; huskies/merge success; announce done; tell repo head_known; retire_worktree; label

    queued
      stop -> backlog: stopped | tell repo withdrawn; huskies/merge withdrawn; label
      contained in the base -> done | huskies/merge success; announce done; tell repo head_known; retire_worktree; label

    testing the merge
      stop -> backlog: stopped | tell repo withdrawn; huskies/merge withdrawn; label
      contained in the base -> done | huskies/merge success; announce done; tell repo head_known; retire_worktree; label

    repairing a conflict
      stop -> backlog: stopped | label
      contained in the base -> done | huskies/merge success; announce done; tell repo head_known; retire_worktree; label
    ");
}

#[test]
fn who_is_being_stopped_can_be_sent_elsewhere() {
    let mut table = Table::new();
    table.given("running, told to stop");
    let stopping = Scene::new().running().after(operator(Wish::Stop));
    table.story(&stopping, "stop", operator(Wish::Stop));
    table.story(&stopping, "start", operator(start()));
    let cancelling = table.story(&stopping, "cancel", operator(Wish::Cancel));
    table.story(&cancelling, "stop", operator(Wish::Stop));
    let ended = table.story(&stopping, "agent ended", stopping.agent_ended(End::Stopped));
    table.story(&ended, "start", operator(start()));
    let rests = table.story(&ended, "collected", ended.committed(20));
    let ending = table.story(&stopping, "contained in the base", contained());
    table.story(&ending, "start", operator(start()));
    table.story(&ending, "stop", operator(Wish::Stop));

    table.given("stopped, its work kept");
    table.story(&rests, "start", operator(start()));
    let cancelled = table.story(&rests, "cancel", operator(Wish::Cancel));
    table.story(&cancelled, "start", operator(start()));
    table.story(&rests, "contained in the base", contained());
    insta::assert_snapshot!(table, @r"
    running, told to stop
      stop -> ignored: it is stopped already
      start -> coding 1: stopping, then again
      cancel -> coding 1: stopping, then cancelled
      stop -> ignored: it is stopped already
      agent ended -> coding 1: collecting, then backlog | tell repo slot_released; tell account settled 0.50 USD; collect
      start -> coding 1: collecting, then again
      collected -> backlog: stopped | publish_branch; tell repo head_known; label
      contained in the base -> coding 1: stopping, then done
      start -> ignored: its change has landed already
      stop -> ignored: its change has landed already

    stopped, its work kept
      start -> coding 2: configuring | tell repo head_known; read_project; label
      cancel -> cancelled | tell repo head_known; retire_worktree; label
      start -> coding 2: configuring | tell repo head_known; read_project; label
      contained in the base -> done | huskies/merge success; announce done; tell repo head_known; retire_worktree; label
    ");
}

#[test]
fn a_held_story_waits_at_the_door_of_the_next_stage() {
    let mut table = Table::new();
    let stay = || operator(Wish::Hold);
    let release = || operator(Wish::Release);

    table.given("never started");
    let scene = table.story(&Scene::new(), "hold", stay());
    table.story(&scene, "release", release());
    let scene = table.story(&scene, "start", operator(start()));
    table.story(&scene, "stop", operator(Wish::Stop));
    table.story(&scene, "release", release());

    table.given("judging");
    let scene = table.story(&Scene::new().judging(), "hold", stay());
    table.story(
        &scene,
        "gates failed: the stage goes on",
        scene.gates(Some("a")),
    );
    let scene = table.story(&scene, "gates passed", scene.gates_passed());
    table.story(&scene, "release", release());

    table.given("testing the merge");
    let testing = Scene::new().testing();
    let held = table.story(&testing, "hold", stay());
    table.story(&held, "conflict", held.merge_conflicted());
    table.story(&held, "stop", operator(Wish::Stop));
    table.story(&held, "landed all the same", landed());

    table.given("blocked and held");
    let scene = testing.after(testing.merge_rejected()).after(stay());
    let scene = table.story(&scene, "retry", operator(Wish::Retry { label: None }));
    table.story(&scene, "release", release());
    insta::assert_snapshot!(table, @r"
    never started
      hold -> backlog
      release -> backlog
      start -> coding 0: held | label
      stop -> backlog: stopped | label
      release -> coding 1: configuring | read_project

    judging
      hold -> coding 1: judging
      gates failed: the stage goes on -> coding 2: configuring, retry 1 | huskies/gates failure; read_project
      gates passed -> merge: held | huskies/gates success; huskies/merge held; label
      release -> merge: queued | huskies/merge pending; tell repo enqueued

    testing the merge
      hold -> merge: held | tell repo withdrawn; huskies/merge held
      conflict -> ignored: it is not being merged
      stop -> backlog: stopped | huskies/merge withdrawn; label
      landed all the same -> done with a receipt | huskies/merge success; announce done; tell repo head_known; retire_worktree; label

    blocked and held
      retry -> merge: held | huskies/merge held; label
      release -> merge: queued | huskies/merge pending; tell repo enqueued
    ");
}

#[test]
fn a_release_disturbs_nobody_who_works() {
    let mut table = Table::new();
    for (name, scene) in [
        ("running", Scene::new().running()),
        ("judging", Scene::new().judging()),
    ] {
        table.given(name);
        let held = table.story(&scene, "hold", operator(Wish::Hold));
        table.story(&held, "release", operator(Wish::Release));
    }
    insta::assert_snapshot!(table, @r"
    running
      hold -> coding 1: running
      release -> coding 1: running

    judging
      hold -> coding 1: judging
      release -> coding 1: judging
    ");
}

#[test]
fn what_was_said_when_the_label_was_set_is_part_of_the_task() {
    let comments = vec![TaskComment {
        author: "ann".to_owned(),
        body: "The red one.".to_owned(),
    }];
    let asked = Scene::new().after(person(start(), "ann"));
    let started = asked.after(StoryEvent::Admitted {
        request: 1,
        answer: Admission::Allowed {
            comments: comments.clone(),
            links: None,
            edited_by: None,
        },
    });
    assert_eq!(started.story.task.comments, comments);
    let brief = started.next_preparing().brief();
    assert_eq!(brief.task.comments, comments);
}

#[test]
fn an_agent_is_told_that_its_story_was_started_again() {
    let first = Scene::new().configuring();
    assert_eq!(first.newest_memory(), "");
    let stopped = first.after(operator(Wish::Stop));
    let again = stopped.after(operator(start()));
    assert_eq!(
        again.newest_memory(),
        "The story was started again; the work kept from before is in the worktree."
    );
}

#[test]
fn a_worktree_is_given_back_where_nobody_works() {
    let mut table = Table::new();
    let rested = || StoryEvent::LongAtRest;
    table.given("long at rest");
    table.story(&Scene::new(), "never started", rested());
    table.story(&Scene::new().running(), "running", rested());
    table.story(&Scene::new().queued(), "queued", rested());
    let stopped = Scene::new().configuring().after(operator(Wish::Stop));
    table.story(&stopped, "stopped", rested());
    table.story(&Scene::new().queued().after(contained()), "done", rested());
    insta::assert_snapshot!(table, @r"
    long at rest
      never started -> ignored: it never had a worktree
      running -> ignored: it is not at rest
      queued -> ignored: it is not at rest
      stopped -> backlog: stopped | retire_worktree
      done -> done | retire_worktree
    ");
}

#[test]
fn people_are_asked_for_and_served_in_order() {
    let mut table = Table::new();
    table.given("labelled, unlabelled and labelled while nobody is known yet");
    let scene = table.story(&Scene::new(), "label", person(start(), "ann"));
    let scene = table.story(&scene, "unlabel", person(Wish::Stop, "ann"));
    let two = table.story(&scene, "the second is answered first", admitted(2));
    table.story(&two, "then the first: started, and stopped", admitted(1));
    let scene = table.story(&scene, "label again", person(start(), "ann"));
    let scene = table.story(&scene, "the last is answered first", admitted(3));
    let scene = table.story(&scene, "then the first", admitted(1));
    let scene = table.story(&scene, "then the second", admitted(2));
    table.story(&scene, "and once more", admitted(2));

    table.given("asked by somebody who may not");
    let scene = table.story(&Scene::new(), "label", person(start(), "eve"));
    let scene = table.story(&scene, "denied", denied(1));
    table.story(&scene, "a writer labels", person(start(), "ann"));

    table.given("stopped by the operator while the forge is asked");
    let scene = Scene::new().after(person(start(), "ann"));
    let scene = table.story(&scene, "stop", operator(Wish::Stop));
    table.story(&scene, "admitted", admitted(1));
    insta::assert_snapshot!(table, @"
    labelled, unlabelled and labelled while nobody is known yet
      label -> backlog, 1 asked | admit ann (1)
      unlabel -> backlog, 2 asked | admit ann (2)
      the second is answered first -> backlog, 2 asked
      then the first: started, and stopped -> backlog: stopped | read_project; label
      label again -> backlog, 3 asked | admit ann (3)
      the last is answered first -> backlog, 3 asked
      then the first -> coding 1: configuring, 2 asked | read_project; label
      then the second -> coding 2: configuring | read_project
      and once more -> ignored: this request was answered already

    asked by somebody who may not
      label -> backlog, 1 asked | admit eve (1)
      denied -> backlog
      a writer labels -> backlog, 1 asked | admit ann (2)

    stopped by the operator while the forge is asked
      stop -> backlog
      admitted -> ignored: this request was answered already
    ");
}

#[test]
fn wishes_that_change_nothing_are_refused_by_name() {
    let mut table = Table::new();
    let retry = |label: Option<&str>| {
        operator(Wish::Retry {
            label: label.map(str::to_owned),
        })
    };
    for (name, scene) in [
        ("never started", Scene::new()),
        ("running", Scene::new().running()),
        ("done", Scene::new().queued().after(contained())),
    ] {
        table.given(name);
        if scene.story.was_started() {
            table.story(&scene, "start", operator(start()));
        } else {
            table.story(&scene, "stop", operator(Wish::Stop));
            table.story(&scene, "cancel", operator(Wish::Cancel));
        }
        table.story(&scene, "retry", retry(None));
        table.story(&scene, "retry by label", retry(Some("huskies:retry")));
        table.story(&scene, "release", operator(Wish::Release));
        table.story(
            &scene,
            "same priority",
            operator(Wish::Prioritise { priority: 0 }),
        );
    }

    table.given("a new priority goes to whoever is waited for");
    let raise = || operator(Wish::Prioritise { priority: 5 });
    table.story(&Scene::new().waiting_for_slot(), "for a slot", raise());
    table.story(&Scene::new().waiting_for_money(), "for money", raise());
    table.story(&Scene::new().queued(), "for the merge", raise());
    table.story(&Scene::new().running(), "for nothing", raise());
    insta::assert_snapshot!(table, @r"
    never started
      stop -> ignored: it was never started
      cancel -> ignored: it was never started
      retry -> ignored: it was never started
      retry by label -> ignored: it was never started
      release -> ignored: it is not held
      same priority -> ignored: it was never started

    running
      start -> ignored: it is started already
      retry -> ignored: it is not blocked
      retry by label -> coding 1: running | remove label huskies:retry
      release -> ignored: it is not held
      same priority -> ignored: it has that priority already

    done
      start -> ignored: its change has landed already
      retry -> ignored: its change has landed already
      retry by label -> done | remove label huskies:retry
      release -> ignored: its change has landed already
      same priority -> ignored: its change has landed already

    a new priority goes to whoever is waited for
      for a slot -> coding 1: waiting for a slot | tell repo prioritised 5
      for money -> coding 1: waiting for money | tell account prioritised
      for the merge -> merge: queued | tell repo prioritised 5
      for nothing -> coding 1: running
    ");
}

#[test]
fn a_story_has_a_comment_once_it_was_started_or_refused_and_a_label_once_it_was_started() {
    let surfaces = |scene: &Scene, event: StoryEvent| {
        let event = Event::story(&scene.story.id, event);
        let effects = step(&scene.subject(), &event, noon()).unwrap().effects;
        let surfaces = effects.into_iter().filter_map(|effect| match effect {
            Effect::Surface(surface) => Some(surface.key()),
            Effect::Act(_) | Effect::Run(_) | Effect::Tell(_) | Effect::Timer(_) => None,
        });
        surfaces.collect::<Vec<_>>()
    };
    let new = Scene::new();
    assert!(surfaces(&new, person(start(), "ann")).is_empty());
    assert_eq!(surfaces(&new, operator(start())), ["comment", "label"]);
    let asked = new.after(person(start(), "ann"));
    assert_eq!(surfaces(&asked, denied(1)), ["comment"]);
    let refused = asked.after(denied(1));
    assert_eq!(surfaces(&refused, operator(Wish::Hold)), ["comment"]);
    let started = new.configuring();
    assert_eq!(surfaces(&started, operator(Wish::Hold)), ["comment"]);
}
