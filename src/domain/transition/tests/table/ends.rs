//! The table of spec 5.7: how an attempt ends, and what follows.

use std::time::Duration;

use super::Table;
use super::scene::{Scene, contained, operator};
use crate::domain::event::StoryEvent;
use crate::domain::project::Project;
use crate::domain::story::Wish;
use crate::domain::transition::tests::sha;
use crate::domain::work::{End, Limit};

fn message() -> String {
    "no".to_owned()
}

/// The lines of one kind of end: what follows at once, and once its work is kept.
fn end(table: &mut Table, name: &str, end: End) {
    let running = Scene::new().running();
    table.given(name);
    let ended = table.story(&running, "ended", running.agent_ended(end));
    table.story(&ended, "a new commit", ended.committed(20));
    table.story(&ended, "nothing new", ended.collected(1, false, false));
}

#[test]
fn these_ends_are_judged_or_use_a_retry() {
    let mut table = Table::new();
    let (turns, budget) = (Limit::Turns, Limit::Budget);
    let after = Duration::from_mins(10);
    end(&mut table, "finished", End::Finished);
    end(
        &mut table,
        "turns reached",
        End::LimitReached { limit: turns },
    );
    end(
        &mut table,
        "budget reached",
        End::LimitReached { limit: budget },
    );
    end(&mut table, "crashed", End::Crashed { message: message() });
    end(&mut table, "stalled", End::Stalled { after });
    let refused = End::ResumeRefused { message: message() };
    end(&mut table, "resume refused, though cold", refused);
    insta::assert_snapshot!(table, @r"
    finished
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> coding 1: judging | publish_branch; tell repo head_known; start accept-7-1-1; huskies/gates pending
      nothing new -> coding 2: configuring, retry 1 | read_project

    turns reached
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> coding 1: judging, retry 1 | publish_branch; tell repo head_known; start accept-7-1-1; huskies/gates pending
      nothing new -> coding 2: configuring, retry 1 | read_project

    budget reached
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> coding 1: judging, retry 1 | publish_branch; tell repo head_known; start accept-7-1-1; huskies/gates pending
      nothing new -> coding 2: configuring, retry 1 | read_project

    crashed
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> coding 2: configuring, retry 1 | publish_branch; tell repo head_known; read_project
      nothing new -> coding 2: configuring, retry 1 | read_project

    stalled
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> coding 2: configuring, retry 1 | publish_branch; tell repo head_known; read_project
      nothing new -> coding 2: configuring, retry 1 | read_project

    resume refused, though cold
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> coding 2: configuring, retry 1 | publish_branch; tell repo head_known; read_project
      nothing new -> coding 2: configuring, retry 1 | read_project
    ");
}

#[test]
fn these_ends_use_no_retry() {
    let mut table = Table::new();
    let limited = End::RateLimited {
        until: None,
        message: message(),
    };
    end(&mut table, "rate-limited", limited);
    let trouble = End::AccountTrouble { message: message() };
    end(&mut table, "not logged in", trouble);
    end(&mut table, "aborted", End::Aborted);
    end(&mut table, "lost", End::Lost { message: message() });
    end(&mut table, "stopped by nobody", End::Stopped);
    insta::assert_snapshot!(table, @r"
    rate-limited
      ended -> coding 1: collecting | tell repo slot_released; tell account paused; tell account settled 0.50 USD; collect
      a new commit -> coding 2: configuring | publish_branch; tell repo head_known; read_project
      nothing new -> coding 2: configuring | read_project

    not logged in
      ended -> coding 1: collecting | tell repo slot_released; tell account paused; tell account settled 0.50 USD; collect
      a new commit -> coding 2: configuring | publish_branch; tell repo head_known; read_project
      nothing new -> coding 2: configuring | read_project

    aborted
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> coding 2: configuring | publish_branch; tell repo head_known; read_project
      nothing new -> coding 2: configuring | read_project

    lost
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> coding 2: configuring | publish_branch; tell repo head_known; read_project
      nothing new -> coding 2: configuring | read_project

    stopped by nobody
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> coding 2: configuring | publish_branch; tell repo head_known; read_project
      nothing new -> coding 2: configuring | read_project
    ");
}

#[test]
fn these_ends_block() {
    let mut table = Table::new();
    let question = "Which door?".to_owned();
    end(&mut table, "asked", End::Asked { question });
    let gone = End::CannotLaunch { message: message() };
    end(&mut table, "cannot be launched", gone);
    insta::assert_snapshot!(table, @r"
    asked
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> blocked: asks: Which door? (from coding) | publish_branch; tell repo head_known; huskies/merge failure; announce blocked; label
      nothing new -> blocked: asks: Which door? (from coding) | announce blocked; label

    cannot be launched
      ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      a new commit -> blocked: cannot launch claude: no (from coding) | publish_branch; tell repo head_known; huskies/merge failure; announce blocked; label
      nothing new -> blocked: cannot launch claude: no (from coding) | announce blocked; label
    ");
}

/// The commits of further attempts, each of its own tree.
fn next(scene: &Scene, end: End, commit: u64) -> Scene {
    let ended = scene.attempt(end);
    ended.after(ended.committed(commit))
}

#[test]
fn what_comes_too_often_in_a_row_blocks() {
    let mut table = Table::new();
    let lost = || End::Lost { message: message() };
    let limited = || End::RateLimited {
        until: None,
        message: message(),
    };
    let rows: [(&str, Vec<End>); 4] = [
        ("aborted", vec![End::Aborted]),
        ("lost", vec![lost()]),
        ("rate-limited", vec![limited()]),
        (
            "aborted, lost, rate-limited by turns",
            vec![End::Aborted, lost(), limited()],
        ),
    ];
    for (name, ends) in rows {
        table.given(name);
        let mut scene = Scene::new().configuring();
        let mut times = 0;
        while scene.story.work().is_some() {
            let ended = scene.attempt(ends[times % ends.len()].clone());
            scene = ended.after(ended.collected(1, false, false));
            times += 1;
            assert!(times < 30, "it goes on for ever");
        }
        let mut scene = Scene::new().configuring();
        for time in 0..times - 1 {
            let ended = scene.attempt(ends[time % ends.len()].clone());
            scene = ended.after(ended.collected(1, false, false));
        }
        let ended = scene.attempt(ends[(times - 1) % ends.len()].clone());
        let collected = ended.collected(1, false, false);
        let blocked = table.story(&ended, &format!("{times} times"), collected);
        table.story(&blocked, "retry", operator(Wish::Retry { label: None }));
    }
    insta::assert_snapshot!(table, @r"
    aborted
      5 times -> blocked: aborted 5 times (from coding) | announce blocked; label
      retry -> coding 6: configuring | read_project; label

    lost
      5 times -> blocked: lost 5 times (from coding) | announce blocked; label
      retry -> coding 6: configuring | read_project; label

    rate-limited
      5 times -> blocked: paused 5 times (from coding) | announce blocked; label
      retry -> coding 6: configuring | tell account mended; read_project; label

    aborted, lost, rate-limited by turns
      10 times -> blocked: 10 attempts, the last: broke off (from coding) | announce blocked; label
      retry -> coding 11: configuring | read_project; label
    ");
}

#[test]
fn gates_that_keep_failing_block() {
    let mut table = Table::new();
    let patient = |project: &mut Project| project.max_retries = 9;

    table.given("the same failure, passing numbers aside");
    let mut scene = Scene::new().with(patient).configuring();
    for (commit, tail) in [(20, "2 failed in 0.1s"), (21, "2 failed in 0.7s")] {
        let judging = next(&scene, End::Finished, commit);
        scene = table.story(&judging, tail, judging.gates(Some(tail)));
    }
    let judging = next(&scene, End::Finished, 22);
    let other = "1 failed in 0.2s";
    table.story(&judging, other, judging.gates(Some(other)));
    let same = "2 failed in 3.1s";
    table.story(&judging, same, judging.gates(Some(same)));

    table.given("two failures by turns");
    let mut scene = Scene::new().with(patient).configuring();
    for (commit, tail) in [(20, "a"), (21, "b"), (22, "a")] {
        let judging = next(&scene, End::Finished, commit);
        scene = judging.after(judging.gates(Some(tail)));
    }
    let judging = next(&scene, End::Finished, 23);
    table.story(&judging, "b again", judging.gates(Some("b")));

    table.given("another failure each time, one retry");
    let scene = Scene::new()
        .with(|project| project.max_retries = 1)
        .configuring();
    let judging = next(&scene, End::Finished, 20);
    let scene = table.story(&judging, "gates failed", judging.gates(Some("a")));
    let judging = next(&scene, End::Finished, 21);
    table.story(&judging, "gates failed", judging.gates(Some("b")));

    table.given("turns reached: the attempt's end and its gates use one retry together");
    let judging = next(
        &Scene::new().configuring(),
        End::LimitReached {
            limit: Limit::Turns,
        },
        20,
    );
    table.story(&judging, "gates failed", judging.gates(Some("a")));

    insta::assert_snapshot!(table, @r"
    the same failure, passing numbers aside
      2 failed in 0.1s -> coding 2: configuring, retry 1 | huskies/gates failure; read_project
      2 failed in 0.7s -> coding 3: configuring, retry 2 | huskies/gates failure; read_project
      1 failed in 0.2s -> coding 4: configuring, retry 3 | huskies/gates failure; read_project
      2 failed in 3.1s -> blocked: the same failure 3 times (from coding) | huskies/gates failure; huskies/merge failure; announce blocked; label

    two failures by turns
      b again -> blocked: the same failure 4 times, alternating (from coding) | huskies/gates failure; huskies/merge failure; announce blocked; label

    another failure each time, one retry
      gates failed -> coding 2: configuring, retry 1 | huskies/gates failure; read_project
      gates failed -> blocked: 2 attempts, the last: gates failed (from coding) | huskies/gates failure; huskies/merge failure; announce blocked; label

    turns reached: the attempt's end and its gates use one retry together
      gates failed -> coding 2: configuring, retry 1 | huskies/gates failure; read_project
    ");
}

#[test]
fn two_failures_by_turns_are_counted_from_the_first_of_them() {
    let mut table = Table::new();
    table.given("another failure, then two by turns");
    let mut scene = Scene::new()
        .with(|project| project.max_retries = 9)
        .configuring();
    for (commit, tail) in [(20, "c"), (21, "b"), (22, "a")] {
        let judging = next(&scene, End::Finished, commit);
        scene = judging.after(judging.gates(Some(tail)));
    }
    let judging = next(&scene, End::Finished, 23);
    let scene = table.story(&judging, "b again", judging.gates(Some("b")));
    let judging = next(&scene, End::Finished, 24);
    table.story(&judging, "a again", judging.gates(Some("a")));
    insta::assert_snapshot!(table, @r"
    another failure, then two by turns
      b again -> coding 5: configuring, retry 4 | huskies/gates failure; read_project
      a again -> blocked: the same failure 4 times, alternating (from coding) | huskies/gates failure; huskies/merge failure; announce blocked; label
    ");
}

#[test]
fn the_next_agent_reads_which_gates_failed_and_what_they_printed() {
    let judging = Scene::new().judging();
    let mut gates = judging.gates(Some("no door"));
    if let StoryEvent::GatesEnded { report, .. } = &mut gates {
        let unit = report.outcomes[0].verdict.clone();
        report.outcomes[1].verdict = unit;
    }
    let failed = judging.after(gates);
    assert_eq!(
        failed.newest_memory(),
        "The gates failed on your commit 0000000000: unit, lint."
    );
    let brief = failed.next_preparing().brief();
    let failure = brief.failure.expect("a failure");
    assert!(failure.contains("gate `unit`"), "{failure}");
    assert!(failure.contains("no door"), "{failure}");
    assert!(!brief.first);
    assert!(Scene::new().preparing().brief().first);
}

#[test]
fn gates_that_break_down_are_run_again_and_then_block() {
    let mut table = Table::new();
    table.given("judged without a verdict");
    let scene = Scene::new().judging();
    let scene = table.story(&scene, "gates lost", scene.gates_lost());
    let scene = table.story(&scene, "gates lost", scene.gates_lost());
    table.story(&scene, "gates lost", scene.gates_lost());
    insta::assert_snapshot!(table, @r"
    judged without a verdict
      gates lost -> coding 1: judging | start accept-7-1-2; huskies/gates pending
      gates lost -> coding 1: judging | start accept-7-1-3; huskies/gates pending
      gates lost -> blocked: no runner (from coding) | huskies/gates error; huskies/merge failure; announce blocked; label
    ");
}

#[test]
fn the_next_attempt_resumes_what_it_can() {
    let mut table = Table::new();
    let nothing = |ended: &Scene| ended.after(ended.collected(1, false, false));
    let prepared = |scene: &Scene| {
        let scene = scene.after(scene.project_read()).go_on_to_money();
        scene.go_on_to_worktree()
    };
    let seen = Scene::new().running();
    let finished = nothing(&seen.after(seen.agent_ended(End::Finished)));

    table.given("finished without a commit, its session known");
    let scene = prepared(&finished);
    let warm = table.story(&scene, "worktree ready", scene.worktree_ready());

    table.given("finished without a commit again: what it heard is not told again");
    let scene = warm.after(warm.agent_ended(End::Finished));
    let scene = prepared(&nothing(&scene));
    table.story(&scene, "worktree ready", scene.worktree_ready());

    table.given("the warm start was refused");
    let refused = End::ResumeRefused { message: message() };
    let scene = table.story(&warm, "resume refused", warm.agent_ended(refused));
    let scene = table.story(&scene, "nothing new", scene.collected(1, false, false));
    let scene = prepared(&scene);
    table.story(
        &scene,
        "worktree ready: told the same again",
        scene.worktree_ready(),
    );

    table.given("the warm start was refused, after nine ends that used no retry either");
    let mut worn = warm.clone();
    worn.story.counters.unpaid = 9;
    let refused = End::ResumeRefused { message: message() };
    let ended = worn.after(worn.agent_ended(refused));
    table.story(&ended, "nothing new", ended.collected(1, false, false));

    table.given("the warm start was aborted before a session");
    let scene = warm.after(warm.agent_ended(End::Aborted));
    let scene = prepared(&nothing(&scene));
    table.story(&scene, "worktree ready: cold", scene.worktree_ready());

    table.given("the work could not be kept");
    let attempt = seen.attempt_number();
    let failed = StoryEvent::WorkNotCollected {
        attempt,
        message: "disk full".to_owned(),
    };
    let scene = seen.after(seen.agent_ended(End::Finished));
    table.story(&scene, "not collected", failed.clone());
    let cancelled = scene.after(operator(Wish::Cancel));
    table.story(&cancelled, "not collected, cancelled", failed.clone());
    let landed = scene.after(contained());
    table.story(&landed, "not collected, contained", failed);
    insta::assert_snapshot!(table, @r"
    finished without a commit, its session known
      worktree ready -> coding 2: starting, retry 1 | start claude warm for 1.00 USD, 1 told

    finished without a commit again: what it heard is not told again
      worktree ready -> coding 3: starting, retry 2 | start claude warm for 1.00 USD, 1 told

    the warm start was refused
      resume refused -> coding 2: collecting, retry 1 | tell repo slot_released; tell account settled 0.50 USD; collect
      nothing new -> coding 3: configuring, retry 1 | read_project
      worktree ready: told the same again -> coding 3: starting, retry 1 | start claude cold for 1.00 USD, 1 told

    the warm start was refused, after nine ends that used no retry either
      nothing new -> blocked: 10 attempts, the last: broke off (from coding) | announce blocked; label

    the warm start was aborted before a session
      worktree ready: cold -> coding 3: starting, retry 1 | start claude cold for 1.00 USD, 1 told

    the work could not be kept
      not collected -> blocked: disk full (from coding) | announce blocked; label
      not collected, cancelled -> blocked: disk full (from coding) | announce blocked; label
      not collected, contained -> done | tell repo head_known; announce done; label
    ");
}

#[test]
fn uncommitted_work_goes_to_the_remote_where_the_project_says_so() {
    let mut table = Table::new();
    for (given, push_wip) in [("kept work stays here", false), ("it is pushed", true)] {
        table.given(given);
        let scene = Scene::new().with(|project| project.push_wip = push_wip);
        let ended = scene.collecting(End::Finished);
        let mut collected = ended.committed(20);
        table.story(&ended, "all is committed", collected.clone());
        if let StoryEvent::WorkCollected { collected, .. } = &mut collected {
            collected.wip = Some(sha(50));
        }
        table.story(&ended, "some is not", collected);
    }
    insta::assert_snapshot!(table, @r"
    kept work stays here
      all is committed -> coding 1: judging | publish_branch; tell repo head_known; start accept-7-1-1; huskies/gates pending
      some is not -> coding 1: judging | publish_branch; tell repo head_known; start accept-7-1-1; huskies/gates pending

    it is pushed
      all is committed -> coding 1: judging | publish_branch; tell repo head_known; start accept-7-1-1; huskies/gates pending
      some is not -> coding 1: judging | publish_branch; tell repo head_known; publish_wip; start accept-7-1-1; huskies/gates pending
    ");
}

#[test]
fn tampering_is_remembered_where_it_was_noticed() {
    let noticed = vec!["`refs` had been replaced".to_owned()];
    let preparing = Scene::new().preparing();
    let mut ready = preparing.worktree_ready();
    if let StoryEvent::WorktreeReady { noticed: found, .. } = &mut ready {
        found.clone_from(&noticed);
    }
    let running = Scene::new().running();
    let ended = running.after(running.agent_ended(End::Finished));
    let mut kept = ended.committed(20);
    if let StoryEvent::WorkCollected { collected, .. } = &mut kept {
        collected.noticed = noticed;
    }
    for (scene, event) in [(preparing, ready), (ended, kept)] {
        let before = scene.story.recent.len();
        let after = scene.after(event).story.recent;
        let texts: Vec<&str> = after[before..]
            .iter()
            .map(|recent| recent.text.as_str())
            .collect();
        assert_eq!(
            texts,
            ["Tampering was noticed in the worktree's git data: `refs` had been replaced"]
        );
    }
}
