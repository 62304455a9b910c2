//! The way of a story that nothing stops.

use super::Table;
use super::scene::{Scene, landed, operator, start};
use crate::domain::event::StoryEvent;
use crate::domain::transition::tests::skip_all;
use crate::domain::work::End;

#[test]
fn a_label_leads_to_a_landed_change() {
    let mut table = Table::new();
    table.given("a story that nobody started");
    let scene = table.story(&Scene::new(), "started", operator(start()));
    let scene = table.story(&scene, "project read", scene.project_read());
    let scene = table.story(&scene, "slot granted", scene.slot_granted());
    let scene = table.story(&scene, "reserved", scene.reserved());
    let scene = table.story(&scene, "worktree ready", scene.worktree_ready());
    let scene = table.story(&scene, "agent started", scene.agent_started());
    let scene = table.story(&scene, "session seen", scene.session_seen());
    let scene = table.story(&scene, "agent finished", scene.agent_ended(End::Finished));
    let scene = table.story(&scene, "commit collected", scene.committed(20));
    let failed = table.story(
        &scene,
        "gates failed",
        scene.gates(Some("assertion failed")),
    );

    table.given("the gates failed: a second attempt");
    let scene = table.story(&failed, "project read", failed.project_read());
    let scene = table.story(&scene, "slot granted", scene.slot_granted());
    let scene = table.story(&scene, "reserved", scene.reserved());
    let scene = table.story(&scene, "worktree ready", scene.worktree_ready());
    let scene = table.story(&scene, "agent started", scene.agent_started());
    let scene = table.story(&scene, "agent finished", scene.agent_ended(End::Finished));
    let scene = table.story(&scene, "commit collected", scene.committed(21));
    let mut skipped = scene.gates_passed();
    if let StoryEvent::GatesEnded { report, .. } = &mut skipped {
        skip_all(report);
    }
    table.story(&scene, "no gate applied", skipped);
    let scene = table.story(&scene, "gates passed", scene.gates_passed());
    let scene = table.story(&scene, "merge began", scene.merge_began());
    table.story(&scene, "landed", landed());
    insta::assert_snapshot!(table, @"
    a story that nobody started
      started -> coding 1: configuring | read_project; label
      project read -> coding 1: waiting for a slot | tell repo slot_wanted
      slot granted -> coding 1: waiting for money | tell account wanted
      reserved -> coding 1: preparing | prepare_worktree
      worktree ready -> coding 1: starting | start claude cold for 1.00 USD
      agent started -> coding 1: running
      session seen -> coding 1: running
      agent finished -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      commit collected -> coding 1: judging | publish_branch; tell repo head_known; start accept-7-1-1; huskies/gates pending
      gates failed -> coding 2: configuring, retry 1 | huskies/gates failure; read_project

    the gates failed: a second attempt
      project read -> coding 2: waiting for a slot, retry 1 | tell repo slot_wanted
      slot granted -> coding 2: waiting for money, retry 1 | tell account wanted
      reserved -> coding 2: preparing, retry 1 | prepare_worktree
      worktree ready -> coding 2: starting, retry 1 | start claude warm for 1.00 USD, 1 told, with the failure
      agent started -> coding 2: running, retry 1
      agent finished -> coding 2: collecting, retry 1 | tell repo slot_released; tell account settled 0.50 USD; collect
      commit collected -> coding 2: judging, retry 1 | publish_branch; tell repo head_known; start accept-7-2-1; huskies/gates pending
      no gate applied -> blocked: nothing tested (from coding) | huskies/gates error; huskies/merge failure; announce blocked; label
      gates passed -> merge: queued | huskies/gates success; huskies/merge pending; tell repo enqueued; label
      merge began -> merge: testing | huskies/merge pending
      landed -> done with a receipt | huskies/merge success; announce done; tell repo head_known; retire_worktree; label
    ");
}
