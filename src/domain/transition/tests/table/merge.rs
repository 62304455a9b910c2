//! A story in the merge queue (spec 7.1-7.3).

use super::Table;
use super::scene::{Scene, admitted, contained, denied, landed, operator, person, start};
use crate::domain::effect::Effect;
use crate::domain::event::{Event, RepoEvent, StoryEvent};
use crate::domain::story::Wish;
use crate::domain::transition::tests::sha;
use crate::domain::work::{Collected, End, GateVerdict};

fn retry() -> StoryEvent {
    operator(Wish::Retry { label: None })
}

#[test]
fn a_merge_that_fails_is_repaired_once_and_then_blocks() {
    let mut table = Table::new();
    let testing = Scene::new().testing();

    table.given("the merge is being tested");
    let conflict = table.story(&testing, "conflict", testing.merge_conflicted());
    table.story(&testing, "gates failed", testing.merge_gates_failed());
    table.story(&testing, "rejected", testing.merge_rejected());

    table.given("repairing the conflict");
    let prepared = conflict
        .after(conflict.project_read())
        .go_on_to_money()
        .go_on_to_worktree();
    let scene = table.story(&prepared, "worktree ready", prepared.worktree_ready());
    let ended = scene.after(scene.agent_ended(End::Finished));
    table.story(&ended, "nothing new", ended.collected(20, true, false));
    let same_tree = StoryEvent::WorkCollected {
        attempt: ended.attempt_number(),
        collected: Collected {
            head: sha(21),
            tree: sha(120),
            ahead: true,
            advanced: true,
            wip: None,
            markers: Vec::new(),
            noticed: Vec::new(),
        },
    };
    let mut with_markers = same_tree.clone();
    if let StoryEvent::WorkCollected { collected, .. } = &mut with_markers {
        collected.markers = vec!["a.rs".to_owned()];
    }
    table.story(&ended, "merged, markers left", with_markers);
    let judged = table.story(&ended, "merged, the tree as it was", same_tree);
    let queued = table.story(&judged, "gates passed", judged.gates_passed());
    let began = queued.after(queued.merge_began());
    let blocked = table.story(&began, "conflict again", began.merge_conflicted());
    table.story(&began, "gates failed", began.merge_gates_failed());
    table.story(&blocked, "retry", retry());
    table.story(&blocked, "start", operator(start()));
    insta::assert_snapshot!(table, @r"
    the merge is being tested
      conflict -> merge_failure (conflict in a.rs) 2 (fix-up): configuring | huskies/merge failure; announce conflict; read_project; label
      gates failed -> coding 2 (fix-up): configuring | huskies/merge failure; read_project; label
      rejected -> blocked: rejected: protected branch (from merge) | huskies/merge failure; announce blocked; label

    repairing the conflict
      worktree ready -> merge_failure (conflict in a.rs) 2 (fix-up): starting | start claude warm for 1.00 USD, 20 turns
      nothing new -> merge_failure (conflict in a.rs) 3 (fix-up): configuring, retry 1 | read_project
      merged, markers left -> merge_failure (conflict in a.rs) 3 (fix-up): configuring, retry 1 | publish_branch; tell repo head_known; read_project
      merged, the tree as it was -> merge_failure (conflict in a.rs) 2 (fix-up): judging | publish_branch; tell repo head_known; start accept-7-2-1; huskies/gates pending
      gates passed -> merge: queued | huskies/gates success; huskies/merge pending; tell repo enqueued; label
      conflict again -> blocked: conflict in a.rs (from merge failure) | huskies/merge failure; announce blocked; label
      gates failed -> blocked: unit failed (from merge failure) | huskies/merge failure; announce blocked; label
      retry -> merge_failure (conflict in a.rs) 3 (fix-up): configuring | read_project; label
      start -> coding 3: configuring | tell repo head_known; read_project; label
    ");
}

#[test]
fn markers_are_never_judged_whatever_comes_between() {
    let mut table = Table::new();
    let conflict = Scene::new().conflicted();
    let markers = |scene: &Scene| {
        let mut event = scene.committed(21);
        if let StoryEvent::WorkCollected { collected, .. } = &mut event {
            collected.markers = vec!["a.rs".to_owned()];
        }
        event
    };
    let ended = conflict.attempt(End::Finished);
    let again = ended.after(markers(&ended));
    table.given("markers were committed, and the ledger refuses another try");
    let waiting = again.after(again.project_read()).go_on_to_money();
    let blocked = table.story(&waiting, "refused", waiting.money_refused());
    let retried = blocked.after(retry());
    let waiting = retried.after(retried.project_read()).go_on_to_money();
    table.story(&waiting, "refused after a retry", waiting.money_refused());

    table.given("markers were committed, and the story is started anew");
    let stopped = again.after(operator(Wish::Stop));
    let ended = stopped.after(operator(start())).attempt(End::Finished);
    table.story(&ended, "markers are still there", markers(&ended));
    let judged = table.story(&ended, "they are gone", ended.committed(22));
    table.story(&judged, "gates passed", judged.gates_passed());
    insta::assert_snapshot!(table, @r"
    markers were committed, and the ledger refuses another try
      refused -> blocked: 5.00 USD is spent (from merge failure) | tell repo slot_released; huskies/merge failure; announce blocked; label
      refused after a retry -> blocked: 5.00 USD is spent (from merge failure) | tell repo slot_released; huskies/merge failure; announce blocked; label

    markers were committed, and the story is started anew
      markers are still there -> coding 5: configuring, retry 1 | read_project
      they are gone -> coding 4: judging | publish_branch; tell repo head_known; start accept-7-4-1; huskies/gates pending
      gates passed -> merge: queued | huskies/gates success; huskies/merge pending; tell repo enqueued; label
    ");
}

/// The message of the commit that a story with this title lands with.
fn message_of(title: &str) -> String {
    let mut judging = Scene::new().judging();
    title.clone_into(&mut judging.story.task.title);
    let effects = judging.effects_of(judging.gates_passed());
    let message = effects.into_iter().find_map(|effect| match effect {
        Effect::Tell(Event::Repo {
            event: RepoEvent::Enqueued { entry },
            ..
        }) => Some(entry.message),
        _ => None,
    });
    message.expect("it is queued")
}

#[test]
fn a_commit_says_what_it_does_and_which_story_it_is_and_orders_nothing() {
    let rows = [
        ("Mend the door", "Mend the door (#7)"),
        ("", "Untitled (#7)"),
        ("What this fixes", "What this fixes. (#7)"),
    ];
    for (title, subject) in rows {
        assert_eq!(
            message_of(title),
            format!("{subject}\n\nStory: octo/app#7\n")
        );
    }
}

#[test]
fn every_gate_that_ran_for_a_story_is_counted() {
    let judging = Scene::new().judging();
    let failed = judging.after(judging.gates(Some("a")));
    assert_eq!(failed.story.gate_runs, 2);
    let queued = judging.after(judging.gates_passed());
    assert_eq!(queued.story.gate_runs, 2);
    let report = queued.story.report.as_ref().expect("a report");
    assert!(report.passed());
    assert_eq!(queued.after(landed()).story.gate_runs, 4);
    let mut skipped = landed();
    if let StoryEvent::Landed { receipt } = &mut skipped {
        receipt.gates[0].verdict = GateVerdict::Skipped;
    }
    assert_eq!(queued.after(skipped).story.gate_runs, 3);
    assert_eq!(queued.after(contained()).story.gate_runs, 2);
}

#[test]
fn a_retry_goes_on_from_where_the_merge_failed() {
    let mut table = Table::new();
    let testing = Scene::new().testing();
    let failed = testing.after(testing.merge_gates_failed());
    let rejected = testing.after(testing.merge_rejected());
    table.given("repairing what the merge gates found");
    let ended = failed.attempt(End::CannotLaunch {
        message: "gone".to_owned(),
    });
    let blocked = table.story(
        &ended,
        "cannot be launched",
        ended.collected(20, true, false),
    );
    table.story(&blocked, "retry", retry());

    table.given("rejected by the forge");
    table.story(&rejected, "retry", retry());
    table.story(&rejected, "landed by hand", contained());
    insta::assert_snapshot!(table, @r"
    repairing what the merge gates found
      cannot be launched -> blocked: cannot launch claude: gone (from merge failure) | huskies/merge failure; announce blocked; label
      retry -> coding 3 (fix-up): configuring | read_project; label

    rejected by the forge
      retry -> merge: queued | huskies/merge pending; tell repo enqueued; label
      landed by hand -> done | huskies/merge success; announce done; tell repo head_known; retire_worktree; label
    ");
}

#[test]
fn what_landed_is_done_wherever_the_story_went_meanwhile() {
    let mut table = Table::new();
    let testing = Scene::new().testing();
    let stopped = testing.after(operator(Wish::Stop));
    let cancelled = testing.after(operator(Wish::Cancel));
    let again = stopped.after(operator(start()));
    let held = testing.after(operator(Wish::Hold));
    for (name, scene) in [
        ("testing", &testing),
        ("stopped meanwhile", &stopped),
        ("cancelled meanwhile", &cancelled),
        ("started again meanwhile", &again),
        ("held meanwhile", &held),
    ] {
        table.given(name);
        let done = table.story(scene, "landed", landed());
        table.story(&done, "landed, told twice", landed());
    }

    table.given("news of a merge that is over");
    table.story(&stopped, "merge began", testing.merge_began());
    table.story(&stopped, "conflict", testing.merge_conflicted());
    table.story(&again, "gates failed", testing.merge_gates_failed());
    table.story(&held, "rejected", testing.merge_rejected());

    table.given("the place to land in is not free");
    let tested = sha(20);
    let reason = "uncommitted changes".to_owned();
    let scene = table.story(
        &testing,
        "waits",
        StoryEvent::MergeWaits {
            head: tested,
            reason,
        },
    );
    table.story(&scene, "landed", landed());
    insta::assert_snapshot!(table, @r"
    testing
      landed -> done with a receipt | huskies/merge success; announce done; tell repo head_known; retire_worktree; label
      landed, told twice -> ignored: it is done already

    stopped meanwhile
      landed -> done with a receipt | huskies/merge success; announce done; tell repo head_known; retire_worktree; label
      landed, told twice -> ignored: it is done already

    cancelled meanwhile
      landed -> done with a receipt | huskies/merge success; announce done; tell repo head_known; retire_worktree; label
      landed, told twice -> ignored: it is done already

    started again meanwhile
      landed -> done with a receipt | huskies/merge success; announce done; tell repo head_known; retire_worktree; label
      landed, told twice -> ignored: it is done already

    held meanwhile
      landed -> done with a receipt | huskies/merge success; announce done; tell repo head_known; retire_worktree; label
      landed, told twice -> ignored: it is done already

    news of a merge that is over
      merge began -> ignored: it is not being merged
      conflict -> ignored: it is not being merged
      gates failed -> ignored: it is not being merged
      rejected -> ignored: it is not being merged

    the place to land in is not free
      waits -> merge: waiting, uncommitted changes | huskies/merge pending
      landed -> done with a receipt | huskies/merge success; announce done; tell repo head_known; retire_worktree; label
    ");
}

#[test]
fn a_base_that_moved_into_conflict_is_told_to_the_next_agent() {
    let mut table = Table::new();
    let conflicts = |head, paths: &[&str]| StoryEvent::BaseConflicts {
        head: sha(head),
        base: sha(3),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    };
    let judging = Scene::new().judging();
    let told = judging.after(conflicts(20, &["a.rs"]));
    let failed = told.after(told.gates(Some("1 failed")));
    let next = failed
        .after(failed.project_read())
        .go_on_to_money()
        .go_on_to_worktree();
    table.given("the gates failed, and meanwhile the base moved");
    let started = table.story(&next, "worktree ready", next.worktree_ready());
    let ended = started.after(started.agent_ended(End::Finished));

    table.given("a commit that conflicts is being judged");
    table.story(&judging, "of an older commit", conflicts(19, &["a.rs"]));
    table.story(&judging, "no conflict, as before", conflicts(20, &[]));
    let again = table.story(&told, "no conflict any more", conflicts(20, &[]));
    assert_eq!(told.story.base_conflict.as_ref().unwrap().base, sha(3));
    assert_eq!(again.story.base_conflict, None);
    let newer = ended.after(ended.committed(21));
    assert_eq!(newer.story.base_conflict, None, "the commit is a new one");
    insta::assert_snapshot!(table, @r"
    the gates failed, and meanwhile the base moved
      worktree ready -> coding 2: starting, retry 1 | start claude warm for 1.00 USD, 2 told, with the failure

    a commit that conflicts is being judged
      of an older commit -> ignored: of an older commit
      no conflict, as before -> ignored: it did not conflict
      no conflict any more -> coding 1: judging
    ");
}

#[test]
fn a_commit_that_touches_protected_paths_waits_for_a_writer_to_approve_it() {
    let mut table = Table::new();
    let label = Some("huskies:approve".to_owned());
    let approve = |commit: Option<u64>, label: &Option<String>| Wish::Approve {
        commit: commit.map(sha),
        label: label.clone(),
    };
    let queued = Scene::new().queued();
    let needs = StoryEvent::MergeNeedsApproval {
        head: sha(20),
        paths: vec![".github/ci.yml".to_owned()],
    };
    table.given("in the queue");
    table.story(
        &queued,
        "approved already",
        operator(approve(Some(20), &None)),
    );
    let blocked = table.story(&queued, "it touches .github", needs);

    table.given("waiting for an approval");
    table.story(&blocked, "retry", retry());
    table.story(
        &blocked,
        "another commit approved",
        operator(approve(Some(21), &None)),
    );
    table.story(
        &blocked,
        "the operator approves",
        operator(approve(None, &None)),
    );
    table.story(&blocked, "start", operator(start()));
    let asked = table.story(&blocked, "labelled", person(approve(None, &label), "ann"));
    table.story(&asked, "by a stranger", denied(1));
    let allowed = table.story(&asked, "by a writer", admitted(1));
    assert_eq!(allowed.story.approved, Some(sha(20)));

    table.given("another commit waits by the time the writer is known");
    let again = asked.after(operator(start())).attempt(End::Finished);
    let again = again.after(again.committed(21));
    let again = again.after(again.gates_passed());
    let other = again.after(StoryEvent::MergeNeedsApproval {
        head: sha(21),
        paths: vec![".github/ci.yml".to_owned()],
    });
    let still = table.story(&other, "by a writer", admitted(1));
    assert_eq!(still.story.approved, None);

    table.given("nothing waits for an approval");
    let coding = Scene::new().running();
    let asked = table.story(&coding, "labelled", person(approve(None, &label), "ann"));
    table.story(&asked, "by a writer", admitted(1));
    insta::assert_snapshot!(table, @r"
    in the queue
      approved already -> ignored: that commit does not wait for an approval
      it touches .github -> blocked: touches .github/ci.yml (from merge) | huskies/merge failure; announce blocked; label

    waiting for an approval
      retry -> ignored: it waits for somebody to approve its commit
      another commit approved -> ignored: that commit does not wait for an approval
      the operator approves -> merge: queued | huskies/merge pending; tell repo enqueued; label
      start -> coding 2: configuring | tell repo head_known; read_project; label
      labelled -> blocked: touches .github/ci.yml (from merge), 1 asked | admit ann (1)
      by a stranger -> blocked: touches .github/ci.yml (from merge)
      by a writer -> merge: queued | remove label huskies:approve; huskies/merge pending; tell repo enqueued; label

    another commit waits by the time the writer is known
      by a writer -> blocked: touches .github/ci.yml (from merge) | remove label huskies:approve

    nothing waits for an approval
      labelled -> coding 1: running, 1 asked | admit ann (1)
      by a writer -> coding 1: running | remove label huskies:approve
    ");
}
