//! An attempt before its agent runs: rules, slot, money, worktree.

use super::Table;
use super::scene::{Scene, operator, start_with};
use crate::domain::event::StoryEvent;
use crate::domain::id::Attempt;
use crate::domain::project::{Role, Runtime};
use crate::domain::story::Wish;
use crate::domain::transition::tests::agent;
use crate::domain::work::End;

#[test]
fn a_start_that_cannot_be_says_why() {
    let mut table = Table::new();
    table.given("configuring");
    let scene = Scene::new().configuring();
    let attempt = scene.attempt_number();
    let message = "`gate.comand` is not a key".to_owned();
    let unusable = StoryEvent::ProjectUnusable { attempt, message };
    table.story(&scene, "project unusable", unusable);
    let gateless = scene.clone().with(|project| project.gates.clear());
    table.story(
        &gateless,
        "project read, without a gate",
        gateless.project_read(),
    );
    let coderless = scene.clone().with(|project| project.agents.clear());
    table.story(
        &coderless,
        "project read, without a coder",
        coderless.project_read(),
    );

    table.given("started with an agent that the project does not have");
    let scene = Scene::new().after(operator(start_with(Some("nobody"))));
    let scene = table.story(&scene, "project read", scene.project_read());
    let pick = |name: Option<&str>| Wish::PickAgent {
        agent: name.map(str::to_owned),
    };
    table.story(&scene, "its label removed", operator(pick(None)));
    table.story(
        &scene,
        "another agent picked",
        operator(pick(Some("claude"))),
    );
    table.story(&scene, "retry", operator(Wish::Retry { label: None }));

    let again = scene.after(operator(Wish::Retry { label: None }));
    let coderless = again.with(|project| project.agents.clear());
    table.story(
        &coderless,
        "project read, without a coder",
        coderless.project_read(),
    );

    table.given("preparing");
    let scene = Scene::new().preparing();
    let attempt = scene.attempt_number();
    let message = "no end after 120 s".to_owned();
    table.story(
        &scene,
        "worktree failed",
        StoryEvent::WorktreeFailed { attempt, message },
    );
    insta::assert_snapshot!(table, @r"
    configuring
      project unusable -> blocked: project unusable (from coding) | announce blocked; label
      project read, without a gate -> blocked: project unusable (from coding) | announce blocked; label
      project read, without a coder -> blocked: project unusable (from coding) | announce blocked; label

    started with an agent that the project does not have
      project read -> backlog: no agent nobody, only claude | label
      its label removed -> backlog: no agent nobody, only claude
      another agent picked -> coding 2: configuring | read_project; label
      retry -> coding 2: configuring | read_project; label
      project read, without a coder -> blocked: project unusable (from coding) | announce blocked; label

    preparing
      worktree failed -> blocked: no end after 120 s (from coding) | tell repo slot_released; tell account released; announce blocked; label
    ");
}

#[test]
fn money_is_waited_for_or_refused_with_a_reason() {
    let mut table = Table::new();
    table.given("waiting for money");
    let scene = Scene::new().waiting_for_money();
    let attempt = scene.attempt_number();
    let because = "overloaded".to_owned();
    let delayed = StoryEvent::MoneyDelayed {
        attempt,
        because,
        until: None,
    };
    let paused = table.story(&scene, "delayed", delayed);
    table.story(&paused, "reserved", paused.reserved());
    table.story(&scene, "refused", scene.money_refused());

    table.given("waiting for money, with a commit that nobody judged");
    let crashed = Scene::new().collecting(End::Crashed {
        message: "?".to_owned(),
    });
    let scene = crashed.after(crashed.committed(20));
    let scene = scene.after(scene.project_read()).go_on_to_money();
    let scene = table.story(&scene, "refused", scene.money_refused());
    table.story(&scene, "gates passed", scene.gates_passed());
    let scene = table.story(&scene, "gates failed", scene.gates(Some("broken")));
    let scene = scene.after(scene.project_read()).go_on_to_money();
    table.story(&scene, "refused again", scene.money_refused());
    insta::assert_snapshot!(table, @r"
    waiting for money
      delayed -> coding 1: paused, overloaded
      reserved -> coding 1: preparing | prepare_worktree
      refused -> blocked: 5.00 USD is spent (from coding) | tell repo slot_released; announce blocked; label

    waiting for money, with a commit that nobody judged
      refused -> coding 2: judging, retry 1 | tell repo slot_released; start accept-7-2-1; huskies/gates pending
      gates passed -> merge: queued | huskies/gates success; huskies/merge pending; tell repo enqueued; label
      gates failed -> coding 3: configuring, retry 2 | huskies/gates failure; read_project
      refused again -> blocked: 5.00 USD is spent (from coding) | tell repo slot_released; huskies/merge failure; announce blocked; label
    ");
}

#[test]
fn a_reviewer_comes_between_the_gates_and_the_merge() {
    let mut table = Table::new();
    let reviewed = Scene::new().with(|project| {
        project
            .agents
            .push(agent("critic", Role::Qa, Runtime::Command));
    });
    table.given("judging, with a reviewer in the project");
    let scene = reviewed.judging();
    let scene = table.story(&scene, "gates passed", scene.gates_passed());
    let abandoned = scene.clone().with(|project| project.agents.truncate(1));
    table.story(
        &abandoned,
        "project read, the reviewer gone",
        abandoned.project_read(),
    );

    let done = |end: End| {
        let scene = scene.attempt(end);
        (scene.clone(), scene.collected(20, true, false))
    };
    table.given("the reviewer's work is being collected");
    let (ended, collected) = done(End::Finished);
    table.story(&ended, "it accepted", collected);
    let (ended, collected) = done(End::Crashed {
        message: "exit status 1".to_owned(),
    });
    table.story(&ended, "it did not", collected);
    let (ended, collected) = done(End::Lost {
        message: "power".to_owned(),
    });
    table.story(&ended, "it was lost", collected);
    let (ended, collected) = done(End::CannotLaunch {
        message: "no such file".to_owned(),
    });
    let blocked = table.story(&ended, "it cannot be launched", collected);
    table.story(&blocked, "retry", operator(Wish::Retry { label: None }));
    insta::assert_snapshot!(table, @r"
    judging, with a reviewer in the project
      gates passed -> qa 2: configuring | huskies/gates success; read_project; label
      project read, the reviewer gone -> merge: queued | huskies/merge pending; tell repo enqueued; label

    the reviewer's work is being collected
      it accepted -> merge: queued | huskies/merge pending; tell repo enqueued; label
      it did not -> coding 3: configuring, retry 1 | read_project; label
      it was lost -> qa 3: configuring | read_project
      it cannot be launched -> blocked: cannot launch claude: no such file (from qa) | huskies/merge failure; announce blocked; label
      retry -> qa 3: configuring | read_project; label
    ");
}

#[test]
fn what_comes_late_is_ignored_and_what_comes_early_is_a_fault() {
    let mut table = Table::new();
    let begun = Scene::new().configuring();
    let stopped = begun.after(operator(Wish::Stop));
    let judging = Scene::new().judging();

    table.given("stopped while the project was being read");
    table.story(&stopped, "project read", stopped.project_read());
    table.story(&stopped, "slot granted", stopped.slot_granted());

    table.given("started again after that");
    let again = stopped.after(operator(super::scene::start()));
    table.story(
        &again,
        "project read for the first attempt",
        stopped.project_read(),
    );

    table.given("judging");
    table.story(&judging, "worktree ready", judging.worktree_ready());
    table.story(&judging, "agent started", judging.agent_started());
    table.story(&judging, "agent ended", judging.agent_ended(End::Finished));
    table.story(&judging, "collected", judging.committed(20));
    let second = table.story(&judging, "gates lost", judging.gates_lost());
    table.story(
        &second,
        "gates lost, the first run again",
        judging.gates_lost(),
    );
    table.story(
        &second,
        "gates passed, the first run",
        judging.gates_passed(),
    );

    table.given("configuring");
    table.story(&begun, "agent ended", begun.agent_ended(End::Finished));
    table.story(&begun, "slot granted", begun.slot_granted());
    let attempt = begun.attempt_number();
    let message = "disk full".to_owned();
    let failed = StoryEvent::WorktreeFailed { attempt, message };
    table.story(&begun, "worktree failed", failed);
    let mut future = begun.clone();
    future.story.attempt = Attempt(2);
    table.story(
        &begun,
        "project read for an attempt to come",
        future.project_read(),
    );
    insta::assert_snapshot!(table, @r"
    stopped while the project was being read
      project read -> ignored: the attempt is past that
      slot granted -> ignored: the attempt is past that

    started again after that
      project read for the first attempt -> ignored: of an older attempt

    judging
      worktree ready -> ignored: the attempt is past that
      agent started -> ignored: the attempt is past that
      agent ended -> ignored: the attempt is past that
      collected -> ignored: the attempt is past that
      gates lost -> coding 1: judging | start accept-7-1-2; huskies/gates pending
      gates lost, the first run again -> ignored: of an older gate run
      gates passed, the first run -> ignored: of an older gate run

    configuring
      agent ended -> `agent_ended` cannot happen while coding, Configuring
      slot granted -> `slot_granted` cannot happen while coding, Configuring
      worktree failed -> `worktree_failed` cannot happen while coding, Configuring
      project read for an attempt to come -> `project_read` cannot happen while coding, Configuring
    ");
}
