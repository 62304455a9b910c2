//! Landing by pull request (spec 7.5).

use super::Table;
use super::queue::{Rows, enqueued, synced, withdrawn};
use super::scene::{Scene, contained, landed, operator};
use crate::domain::delivery::{
    CheckKind, CheckOutcome, CheckResult, PullRequestAction, PullRequestHead, Review, ReviewKind,
    Verdict,
};
use crate::domain::event::{RepoEvent, StoryEvent};
use crate::domain::project::Land;
use crate::domain::pull::{LandedTree, PullState};
use crate::domain::story::Wish;
use crate::domain::transition::tests::{pull_change, repo_name, report, sha, story_id};
use crate::domain::work::End;

fn retry() -> StoryEvent {
    operator(Wish::Retry { label: None })
}

fn opened() -> StoryEvent {
    StoryEvent::PullOpened {
        number: 100,
        plain: false,
    }
}

fn closed() -> StoryEvent {
    StoryEvent::PullClosed { number: 100 }
}

fn refused() -> StoryEvent {
    StoryEvent::PullRefused {
        message: "give it pull_requests=write".to_owned(),
    }
}

fn differs() -> StoryEvent {
    StoryEvent::LandedDiffers {
        commit: sha(40),
        tested: sha(130),
        found: sha(140),
        failed: Vec::new(),
    }
}

fn by_pull() -> Scene {
    Scene::new().with(|project| project.land = Land::PullRequest)
}

fn is_ready(scene: &Scene) -> bool {
    matches!(&scene.story.pull, PullState::Open(pull) if pull.ready)
}

#[test]
fn a_story_has_one_pull_request_from_its_first_commit_on() {
    let mut table = Table::new();
    let collecting = by_pull().collecting(End::Finished);
    table.given("an agent has ended");
    table.story(
        &collecting,
        "nothing new",
        collecting.collected(20, false, false),
    );
    let judging = table.story(&collecting, "committed", collecting.committed(20));
    let open = table.story(&judging, "opened", opened());
    table.story(&open, "opened, told twice", opened());
    let ready = table.story(&open, "gates passed", open.gates_passed());
    assert!(is_ready(&ready) && !is_ready(&open));
    table.story(&judging, "refused", refused());
    let without = judging.after(refused());
    let asked = table.story(
        &without,
        "gates passed, refused before",
        without.gates_passed(),
    );
    table.story(&asked, "refused again", refused());
    insta::assert_snapshot!(table, @r"
    an agent has ended
      nothing new -> coding 2: configuring, retry 1 | read_project
      committed -> coding 1: judging | publish_branch; tell repo head_known; open_pull; start accept-7-1-1; huskies/gates pending
      opened -> coding 1: judging | tell repo pull_known; pull
      opened, told twice -> ignored: no pull request is being opened
      gates passed -> merge: queued | huskies/gates success; huskies/merge pending; tell repo enqueued; pull; label
      refused -> coding 1: judging
      gates passed, refused before -> merge: queued | huskies/gates success; open_pull; huskies/merge pending; tell repo enqueued; label
      refused again -> blocked: rejected: give it pull_requests=write (from merge) | tell repo withdrawn; huskies/merge failure; announce blocked; label
    ");
}

#[test]
fn what_becomes_of_its_pull_request_becomes_of_the_story() {
    let mut table = Table::new();
    let collecting = by_pull().collecting(End::Finished);
    let judging = collecting.after(collecting.committed(20));
    let open = judging.after(opened());
    let queued = open.after(open.gates_passed());
    table.given("it is in the queue");
    table.story(&queued, "closed", closed());
    table.story(
        &queued,
        "another one closed",
        StoryEvent::PullClosed { number: 99 },
    );
    let blocked = queued.after(closed());
    let again = table.story(&blocked, "closed, then a retry", retry());
    table.story(
        &again,
        "opened",
        StoryEvent::PullOpened {
            number: 101,
            plain: true,
        },
    );
    table.story(&queued, "landed", landed());
    table.story(&queued, "merged by hand", contained());
    let differs = table.story(&queued, "landed as something else", differs());
    table.story(&differs, "a retry", retry());
    table.story(&differs, "closed the issue", operator(Wish::Cancel));

    table.given("an agent runs");
    let scene = judging.after(judging.gates(Some("broken"))).after(opened());
    let running = scene.after(scene.project_read()).go_on_to_money();
    let running = running.go_on_to_worktree().go_on_to_start();
    let running = running.after(running.agent_started());
    let stopping = table.story(&running, "closed", closed());
    let ended = stopping.after(stopping.agent_ended(End::Stopped));
    table.story(&ended, "its work is kept", ended.committed(21));
    table.story(
        &stopping,
        "the issue closed as well",
        operator(Wish::Cancel),
    );
    insta::assert_snapshot!(table, @r"
    it is in the queue
      closed -> blocked: #100 was closed (from merge) | tell repo withdrawn; huskies/merge withdrawn; huskies/merge failure; announce blocked; label
      another one closed -> ignored: it is not the story's pull request any more
      closed, then a retry -> merge: queued | open_pull; huskies/merge pending; tell repo enqueued; label
      opened -> merge: queued | tell repo pull_known; pull
      landed -> done with a receipt | huskies/merge success; announce done; tell repo head_known; retire_worktree; pull; label
      merged by hand -> done | huskies/merge success; announce done; tell repo head_known; retire_worktree; pull; label
      landed as something else -> blocked: landed another tree, 0 failed (from merge) | tell repo withdrawn; huskies/merge withdrawn; huskies/merge failure; announce blocked; pull; label
      a retry -> done | huskies/merge success; announce done; tell repo head_known; retire_worktree; tell repo queue_resumed; pull; label
      closed the issue -> cancelled | tell repo head_known; retire_worktree; tell repo queue_resumed; pull; label

    an agent runs
      closed -> coding 2: stopping, then blocked, retry 1 | stop agent-7-2
      its work is kept -> blocked: #100 was closed (from coding) | publish_branch; tell repo head_known; huskies/merge failure; announce blocked; label
      the issue closed as well -> coding 2: stopping, then cancelled, retry 1
    ");
}

fn waits(rows: &Rows) -> RepoEvent {
    RepoEvent::PullWaits {
        number: rows.merge_number(),
        reason: "0 of 1 approvals".to_owned(),
    }
}

fn merged(rows: &Rows, tree: u64, explained: bool) -> RepoEvent {
    RepoEvent::PullMerged {
        number: rows.merge_number(),
        landed: LandedTree {
            commit: sha(40),
            parent: sha(if tree == 130 { 1 } else { 2 }),
            tree: sha(tree),
            explained,
        },
    }
}

fn conflicted(rows: &Rows) -> RepoEvent {
    RepoEvent::CandidateConflicted {
        number: rows.merge_number(),
        base: sha(1),
        paths: vec!["a.rs".to_owned()],
    }
}

fn known(story: u64, pull: u64) -> RepoEvent {
    let story = story_id(story);
    RepoEvent::PullKnown { story, pull }
}

fn by_pull_request(number: u64) -> RepoEvent {
    let mut event = enqueued(number, 0, 0);
    if let RepoEvent::Enqueued { entry } = &mut event {
        entry.by_pull = true;
    }
    event
}

/// A repository whose forge is asked to merge story 7.
fn merging() -> Rows {
    let mut rows = Rows::synced();
    rows.after(known(7, 100));
    rows.after(by_pull_request(7));
    rows.after(rows.built(1));
    rows.after(rows.gates(None));
    rows
}

fn approved() -> RepoEvent {
    let review = Review {
        number: 100,
        head: head(),
        kind: ReviewKind::Submitted {
            verdict: Verdict::Approved,
            commit: None,
        },
        sender: "bob".to_owned(),
        by_bot: false,
        text: String::new(),
    };
    let review = Box::new(review);
    RepoEvent::Reviewed { review, said: None }
}

fn head() -> PullRequestHead {
    PullRequestHead {
        repo: Some(repo_name()),
        branch: "feature/story-7-x".parse().ok(),
        commit: sha(27),
    }
}

fn passed() -> RepoEvent {
    passed_on(27)
}

fn passed_on(commit: u64) -> RepoEvent {
    let result = CheckResult {
        kind: CheckKind::CheckRun,
        id: Some(7),
        name: "ci".to_owned(),
        commit: sha(commit),
        branch: None,
        outcome: CheckOutcome::Success,
        summary: String::new(),
        url: None,
    };
    RepoEvent::Checked { result }
}

fn pull(number: u64, action: PullRequestAction) -> RepoEvent {
    let head = if number == 100 {
        head()
    } else {
        PullRequestHead {
            branch: "patch-1".parse().ok(),
            ..head()
        }
    };
    let change = Box::new(pull_change(number, action, head));
    RepoEvent::PullRequest { change }
}

#[test]
fn what_the_forge_does_not_merge_yet_waits_on_the_shelf() {
    let mut told = String::new();
    let mut rows = merging();
    rows.given("the forge is asked to merge, and #8 is queued");
    rows.after(by_pull_request(8));
    rows.when("a review is missing", waits(&rows));
    rows.when("#9 enqueued", by_pull_request(9));
    rows.when("#10 withdrawn", withdrawn(10));
    rows.when("a check passed", passed());
    rows.when("approved", approved());
    rows.when("#8 conflicts", conflicted(&rows));
    let number = 1;
    let reason = "0 of 1 approvals".to_owned();
    rows.when("still missing", RepoEvent::PullWaits { number, reason });
    rows.when("the base moved", synced(2, &[]));
    rows.when("#7 withdrawn", withdrawn(7));
    told.push_str(&rows.table.to_string());
    told.push('\n');

    let mut rows = merging();
    rows.given("the forge is asked to merge");
    rows.when("approved meanwhile", approved());
    rows.when("a review was missing", waits(&rows));
    rows.when("another one's check passed", passed_on(28));
    rows.when("its check passed", passed());
    rows.when("it was not seen yet", waits(&rows));
    rows.when("a review is missing", waits(&rows));
    rows.when("its pull request is known", known(7, 101));
    rows.when("the base had moved", rows.missed(2));
    told.push_str(&rows.table.to_string());
    told.push('\n');

    let mut rows = merging();
    rows.after(waits(&rows));
    rows.given("it is on the shelf");
    rows.when("time passed", rows.land_due());
    rows.when("the forge is away", rows.waits());
    rows.when("the base moved", synced(2, &[]));
    rows.when("time passed", rows.land_due());
    let pull_is_gone = RepoEvent::PullGone {
        number: rows.merge_number(),
        pull: 100,
    };
    rows.when("it was closed", pull_is_gone);
    told.push_str(&rows.table.to_string());
    insta::assert_snapshot!(told, @r"
    the forge is asked to merge, and #8 is queued
      a review is missing -> merge 2: #8 building on 01, merge 1: #7 on the shelf | tell #7 merge_waits; wake pull 1 in 600 s; build_candidate on 01
      #9 enqueued -> merge 2: #8 building on 01, merge 1: #7 on the shelf, #9 queued
      #10 withdrawn -> ignored: it is not in the queue
      a check passed -> merge 2: #8 building on 01, merge 1: #7 on the shelf, #9 queued | wake pull 1 in 3 s
      approved -> merge 2: #8 building on 01, merge 1: #7 on the shelf, due, #9 queued
      #8 conflicts -> merge 1: #7 landing, #9 queued | tell #8 merge_conflicted; merge_pull
      still missing -> merge 3: #9 building on 01, merge 1: #7 on the shelf | wake pull 1 in 600 s; build_candidate on 01
      the base moved -> merge 4: #9 building on 02, merge 1: #7 on the shelf, due | build_candidate on 02
      #7 withdrawn -> merge 4: #9 building on 02

    the forge is asked to merge
      approved meanwhile -> merge 1: #7 landing
      a review was missing -> merge 1: #7 landing | tell #7 merge_waits; wake pull 1 in 600 s; merge_pull
      another one's check passed -> ignored: nothing waits for that check
      its check passed -> merge 1: #7 landing
      it was not seen yet -> merge 1: #7 landing | wake pull 1 in 600 s; merge_pull
      a review is missing -> merge 1: #7 on the shelf | wake pull 1 in 600 s
      its pull request is known -> merge 1: #7 landing | merge_pull
      the base had moved -> merge 2: #7 building on 02 | sync_base; build_candidate on 02

    it is on the shelf
      time passed -> merge 1: #7 landing | merge_pull
      the forge is away -> merge 1: #7 waiting to land | tell #7 merge_waits; wake land in 15 s
      the base moved -> merge 1: #7 waiting to land
      time passed -> merge 1: #7 landing | merge_pull
      it was closed -> idle | tell #7 pull_closed
    ");
}

#[test]
fn what_the_forge_merged_is_compared_with_what_was_tested() {
    let mut table = Table::new();
    for (what, tree, explained) in [
        ("the tested tree", 130, false),
        ("another tree, since the base had moved", 140, true),
        ("another tree, and nobody knows why", 140, false),
    ] {
        let mut rows = merging();
        rows.after(by_pull_request(8));
        rows.when(what, merged(&rows, tree, explained));
        table.line(rows.table.to_string().trim_end());
    }
    let mut rows = merging();
    rows.after(by_pull_request(8));
    rows.after(merged(&rows, 140, true));
    rows.given("what landed is being tested");
    let checked = |number, failure| RepoEvent::GatesEnded {
        number,
        report: report(&sha(40), &sha(140), failure),
    };
    let number = rows.merge_number();
    rows.when("#7 withdrawn", withdrawn(7));
    rows.when("it fails", checked(number, Some("broken")));
    rows.when("#9 enqueued", by_pull_request(9));
    let story = story_id(7);
    rows.when("a person looked", RepoEvent::QueueResumed { story });

    let mut passing = merging();
    passing.after(merged(&passing, 140, true));
    passing.given("what landed is being tested");
    passing.when("it passes", checked(passing.merge_number(), None));
    table.line(&rows.table.to_string());
    table.line(passing.table.to_string().trim_end());
    insta::assert_snapshot!(table, @r"
      the tested tree -> merge 2: #8 building on 28 | tell #7 landed; sync_base; build_candidate on 28
      another tree, since the base had moved -> merge 2: #7 checking what landed, #8 queued | start merge-2
      another tree, and nobody knows why -> stopped for #7, #8 queued | tell #7 landed_differs; sync_base
    what landed is being tested
      #7 withdrawn -> merge 2: #7 checking what landed (withdrawn), #8 queued
      it fails -> stopped for #7, #8 queued | tell #7 landed_differs; sync_base
      #9 enqueued -> stopped for #7, #8 queued, #9 queued
      a person looked -> merge 3: #8 building on 28, #9 queued | build_candidate on 28

    what landed is being tested
      it passes -> idle | tell #7 landed; sync_base
    ");
}

#[test]
fn gates_that_give_no_verdict_on_what_landed_run_again_and_then_stop_the_queue() {
    let mut rows = merging();
    rows.after(merged(&rows, 140, true));
    rows.given("what landed is being tested");
    rows.when(
        "they ran on another tree",
        RepoEvent::GatesEnded {
            number: rows.merge_number(),
            report: report(&sha(40), &sha(130), None),
        },
    );
    for what in ["lost", "lost again"] {
        let (number, message) = (rows.merge_number(), "no runner".to_owned());
        rows.when(what, RepoEvent::GatesLost { number, message });
    }
    insta::assert_snapshot!(rows.table, @"
    what landed is being tested
      they ran on another tree -> merge 3: #7 checking what landed | start merge-3
      lost -> merge 4: #7 checking what landed | start merge-4
      lost again -> stopped for #7 | tell #7 landed_differs; sync_base
    ");
}

#[test]
fn what_people_do_to_a_storys_pull_request_reaches_it() {
    let by_hand = || PullRequestAction::Closed {
        merged: Some(sha(50)),
    };
    let mut told = String::new();
    let mut rows = merging();
    rows.given("huskies has it merged");
    rows.when("it is merged", pull(100, by_hand()));
    rows.when(
        "it is closed",
        pull(100, PullRequestAction::Closed { merged: None }),
    );
    rows.when(
        "somebody elses is closed",
        pull(101, PullRequestAction::Closed { merged: None }),
    );
    rows.after(known(8, 102));
    rows.when("that of #8 is merged", pull(102, by_hand()));
    told.push_str(&rows.table.to_string());
    told.push('\n');

    let mut rows = merging();
    rows.after(waits(&rows));
    rows.given("it is on the shelf");
    rows.when(
        "somebody pushed",
        pull(100, PullRequestAction::Synchronized { before: None }),
    );
    rows.after(waits(&rows));
    rows.when("its text was edited", pull(100, PullRequestAction::Edited));
    rows.when("it is merged by hand", pull(100, by_hand()));
    rows.after(by_pull_request(8));
    let (number, commit) = (rows.merge_number(), sha(50));
    rows.when("so it was", RepoEvent::PullMergedByHand { number, commit });
    told.push_str(&rows.table.to_string());
    told.push('\n');

    let mut rows = Rows::synced();
    rows.after(known(7, 100));
    rows.given("an agent works on it");
    rows.when("it is merged by hand", pull(100, by_hand()));
    told.push_str(&rows.table.to_string());
    insta::assert_snapshot!(told, @r"
    huskies has it merged
      it is merged -> merge 1: #7 landing
      it is closed -> merge 1: #7 landing | tell #7 pull_closed
      somebody elses is closed -> ignored: no head of it is gated
      that of #8 is merged -> merge 1: #7 landing | tell #8 contained; sync_base

    it is on the shelf
      somebody pushed -> merge 1: #7 landing | merge_pull
      its text was edited -> ignored: nothing follows from that for a story's own pull request
      it is merged by hand -> merge 1: #7 landing | merge_pull
      so it was -> merge 2: #8 building on 01 | tell #7 contained; sync_base; build_candidate on 01

    an agent works on it
      it is merged by hand -> idle | tell #7 contained; sync_base
    ");
}
