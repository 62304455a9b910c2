//! What people say in comments and reviews, and what other checks say (spec 2.4, 2.5).

use super::Table;
use super::queue::{Rows, synced};
use super::scene::{Scene, admitted, contained, denied, landed, operator, start};
use crate::domain::delivery::{
    CheckKind, CheckOutcome, CheckRequest, CheckResult, CheckSource, Command, Comment, CommentRef,
    PullRequestHead, Review, ReviewKind, Said, Thread, Verdict, WantedCheck,
};
use crate::domain::effect::Effect;
use crate::domain::event::{Event, RepoEvent, StoryEvent, SubjectId};
use crate::domain::project::{Project, Role, Runtime};
use crate::domain::story::{Actor, Reply, Wish};
use crate::domain::transition::tests::{agent, comment_on, noon, repo_name, sha, story_id};
use crate::domain::transition::{Subject, step};
use crate::domain::work::{End, Message, Place};

fn message(place: Place) -> Message {
    Message {
        author: "ann".to_owned(),
        place,
        text: "Make it red.".to_owned(),
    }
}

fn tell() -> Wish {
    Wish::Tell {
        message: message(Place::Conversation),
    }
}

fn said_by(wish: Wish, login: &str, is_bot: bool) -> StoryEvent {
    let by = Actor::account(login, is_bot);
    let comment = Some(CommentRef {
        thread: Thread::Conversation,
        id: 5,
    });
    let wish = Box::new(wish);
    StoryEvent::Said { wish, by, comment }
}

fn said(wish: Wish) -> StoryEvent {
    said_by(wish, "ann", false)
}

/// Asked for in a comment, and the forge says that the sender may.
fn granted(table: &mut Table, scene: &Scene, what: &str, wish: Wish) -> Scene {
    let asked = scene.after(said(wish));
    let request = asked.story.requests_seen;
    table.story(&asked, what, admitted(request))
}

fn failed(commit: u64, name: &str) -> StoryEvent {
    StoryEvent::CheckFailed {
        commit: sha(commit),
        name: name.to_owned(),
        summary: "2 failed".to_owned(),
        source: None,
    }
}

fn asks() -> End {
    End::Asked {
        question: "Red or blue?".to_owned(),
    }
}

fn asking() -> Scene {
    let scene = Scene::new().collecting(asks());
    scene.after(scene.collected(1, false, false))
}

fn reviewed() -> Scene {
    let scene = Scene::new().with(|project| {
        project
            .agents
            .push(agent("critic", Role::Qa, Runtime::Command));
    });
    let scene = scene.judging();
    scene.after(scene.gates_passed())
}

#[test]
fn a_comment_is_acknowledged_once_it_is_known_who_may() {
    let mut table = Table::new();
    table.given("never started");
    let scene = table.story(&Scene::new(), "start", said(start()));
    table.story(&scene, "admitted", admitted(1));
    table.story(&scene, "denied", denied(1));
    table.story(
        &Scene::new(),
        "start, by a program",
        said_by(start(), "bot", true),
    );
    granted(&mut table, &Scene::new(), "stop", Wish::Stop);
    granted(&mut table, &Scene::new(), "free text", tell());
    let help = |reply| Wish::Say {
        reply,
        answer: None,
    };
    granted(&mut table, &Scene::new(), "help", help(Reply::Help));
    granted(&mut table, &Scene::new(), "status", help(Reply::Status));
    let word = "stpo".to_owned();
    granted(
        &mut table,
        &Scene::new(),
        "a word",
        help(Reply::Unknown { word }),
    );

    table.given("running");
    let running = Scene::new().running();
    granted(&mut table, &running, "stop", Wish::Stop);
    granted(&mut table, &running, "retry", Wish::Retry { label: None });
    granted(&mut table, &running, "start", start());

    table.given("nobody answers a review, or a program that may not");
    let review = || Wish::Tell {
        message: message(Place::Review),
    };
    table.story(&Scene::new(), "review, never started", said(review()));
    let asked = running.after(said(review()));
    table.story(&asked, "review, denied", denied(1));
    let asked = running.after(said_by(tell(), "bot", true));
    table.story(&asked, "free text of a program, denied", denied(1));
    insta::assert_snapshot!(table, @r"
    never started
      start -> backlog, 1 asked | admit ann (1)
      admitted -> coding 1: configuring | eyes at 5; read_project; label
      denied -> backlog | confused at 5
      start, by a program -> backlog, 1 asked | admit bot (1)
      stop -> backlog | confused at 5; say: it was never started
      free text -> backlog | confused at 5; say: it was never started
      help -> backlog | eyes at 5; say the commands
      status -> backlog | eyes at 5; say how it is
      a word -> backlog | confused at 5; say that stpo is no command

    running
      stop -> coding 1: stopping, then backlog | eyes at 5; stop agent-7-1
      retry -> coding 1: running | confused at 5; say: it is not blocked
      start -> coding 1: running | confused at 5; say: it is started already

    nobody answers a review, or a program that may not
      review, never started -> ignored: it was never started
      review, denied -> coding 1: running
      free text of a program, denied -> coding 1: running
    ");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table is read as a whole")]
fn what_is_said_reaches_the_agent_at_its_next_turn() {
    let mut table = Table::new();
    table.given("waiting for a slot: it is told with the rest");
    let scene = granted(
        &mut table,
        &Scene::new().waiting_for_slot(),
        "free text",
        tell(),
    );
    let scene = scene.go_on_to_money().go_on_to_worktree();
    table.story(&scene, "worktree ready", scene.worktree_ready());

    table.given("running: it is not disturbed, and nothing lands before it has heard");
    let scene = granted(&mut table, &Scene::new().running(), "free text", tell());
    let scene = table.story(&scene, "agent ended", scene.agent_ended(End::Finished));
    let scene = table.story(&scene, "committed", scene.committed(20));
    let scene = table.story(&scene, "gates passed", scene.gates_passed());
    let scene = scene
        .after(scene.project_read())
        .go_on_to_money()
        .go_on_to_worktree();
    let told = table.story(&scene, "worktree ready", scene.worktree_ready());
    let again = told.after(told.agent_ended(End::Aborted));
    let again = table.story(
        &again,
        "aborted: it cannot have heard",
        again.collected(20, true, false),
    );
    let again = again
        .after(again.project_read())
        .go_on_to_money()
        .go_on_to_worktree();
    table.story(&again, "worktree ready", again.worktree_ready());
    let done = told.after(told.agent_ended(End::Finished));
    table.story(
        &done,
        "nothing new, which is an answer too",
        done.collected(20, true, false),
    );

    table.given("running, told twice, the second time after it has begun");
    let scene = granted(&mut table, &told, "free text", tell());
    let scene = scene.after(scene.agent_ended(End::Finished));
    let scene = scene.after(scene.committed(21));
    table.story(&scene, "gates passed", scene.gates_passed());
    table.story(&scene, "gates failed", scene.gates(Some("a")));

    table.given("in the merge queue: it is taken out");
    granted(&mut table, &Scene::new().queued(), "free text", tell());
    granted(&mut table, &Scene::new().testing(), "free text", tell());
    let held = Scene::new().queued().after(operator(Wish::Hold));
    granted(&mut table, &held, "free text, held", tell());

    table.given("in review: the reviewer is not told, the coder is");
    let scene = granted(&mut table, &reviewed(), "free text", tell());
    let scene = scene.after(scene.project_read());
    let granted_slot = StoryEvent::SlotGranted {
        attempt: scene.story.attempt,
        agent: "critic".parse().unwrap(),
    };
    let scene = scene.after(granted_slot).go_on_to_worktree();
    let scene = table.story(&scene, "worktree ready", scene.worktree_ready());
    let scene = scene.after(scene.agent_ended(End::Finished));
    table.story(
        &scene,
        "the review is passed",
        scene.collected(20, true, false),
    );

    table.given("over, or stopped");
    let stopped = Scene::new().configuring().after(operator(Wish::Stop));
    granted(&mut table, &stopped, "free text", tell());
    granted(
        &mut table,
        &Scene::new().queued().after(contained()),
        "free text",
        tell(),
    );
    insta::assert_snapshot!(table, @r"
    waiting for a slot: it is told with the rest
      free text -> coding 1: waiting for a slot | eyes at 5
      worktree ready -> coding 1: starting | start claude cold for 1.00 USD, 1 said

    running: it is not disturbed, and nothing lands before it has heard
      free text -> coding 1: running | eyes at 5
      agent ended -> coding 1: collecting | tell repo slot_released; tell account settled 0.50 USD; collect
      committed -> coding 1: judging | publish_branch; tell repo head_known; start accept-7-1-1; huskies/gates pending
      gates passed -> coding 2: configuring | huskies/gates success; read_project
      worktree ready -> coding 2: starting | start claude warm for 1.00 USD, 1 said
      aborted: it cannot have heard -> coding 3: configuring | read_project
      worktree ready -> coding 3: starting | start claude cold for 1.00 USD, 1 said
      nothing new, which is an answer too -> merge: queued | huskies/merge pending; tell repo enqueued; label

    running, told twice, the second time after it has begun
      free text -> coding 2: starting | eyes at 5
      gates passed -> coding 3: configuring | huskies/gates success; read_project
      gates failed -> coding 3: configuring, retry 1 | huskies/gates failure; read_project

    in the merge queue: it is taken out
      free text -> coding 2: configuring | eyes at 5; tell repo withdrawn; huskies/merge withdrawn; read_project; label
      free text -> coding 2: configuring | eyes at 5; tell repo withdrawn; huskies/merge withdrawn; read_project; label
      free text, held -> coding 1: held | eyes at 5; huskies/merge withdrawn; label

    in review: the reviewer is not told, the coder is
      free text -> qa 2: configuring | eyes at 5
      worktree ready -> qa 2: starting | start critic cold for 1.00 USD
      the review is passed -> coding 3: configuring | read_project; label

    over, or stopped
      free text -> backlog: stopped | confused at 5; say: nobody works on it
      free text -> done | confused at 5; say: its change has landed already
    ");
}

#[test]
fn a_story_that_waits_for_a_person_goes_on_with_the_answer() {
    let mut table = Table::new();
    table.given("the agent has asked");
    let scene = granted(&mut table, &asking(), "free text", tell());
    let scene = scene
        .after(scene.project_read())
        .go_on_to_money()
        .go_on_to_worktree();
    table.story(&scene, "worktree ready", scene.worktree_ready());
    let word = || Wish::Say {
        reply: Reply::Unknown {
            word: "red".to_owned(),
        },
        answer: Some(message(Place::Conversation)),
    };
    granted(&mut table, &asking(), "one word", word());
    granted(
        &mut table,
        &Scene::new().running(),
        "one word, where nobody asked",
        word(),
    );

    table.given("it asks while something was said to it");
    let scene = Scene::new()
        .running()
        .after(said(tell()))
        .after(admitted(1));
    let scene = scene.after(scene.agent_ended(asks()));
    table.story(&scene, "its work is kept", scene.collected(1, false, false));

    table.given("blocked in the merge");
    let testing = Scene::new().testing();
    granted(
        &mut table,
        &testing.after(testing.merge_rejected()),
        "free text",
        tell(),
    );
    let protected = testing.after(StoryEvent::MergeNeedsApproval {
        head: sha(20),
        paths: vec!["CODEOWNERS".to_owned()],
    });
    granted(&mut table, &protected, "free text, unapproved", tell());
    insta::assert_snapshot!(table, @r"
    the agent has asked
      free text -> coding 2: configuring | eyes at 5; read_project; label
      worktree ready -> coding 2: starting | start claude warm for 1.00 USD, 1 said
      one word -> coding 2: configuring | eyes at 5; read_project; label
      one word, where nobody asked -> coding 1: running | confused at 5; say that red is no command

    it asks while something was said to it
      its work is kept -> coding 2: configuring | read_project

    blocked in the merge
      free text -> coding 2: configuring | eyes at 5; read_project; label
      free text, unapproved -> coding 2: configuring | eyes at 5; read_project; label
    ");
}

#[test]
fn merge_skips_a_review_and_never_a_gate() {
    let mut table = Table::new();
    let merge = || Wish::Merge;
    table.given("not yet judged");
    let coding = Scene::new().with(|project| {
        project
            .agents
            .push(agent("critic", Role::Qa, Runtime::Command));
    });
    let scene = granted(&mut table, &coding.judging(), "merge", merge());
    granted(&mut table, &scene, "merge", merge());
    table.story(&scene, "gates failed", scene.gates(Some("a")));
    table.story(&scene, "gates passed", scene.gates_passed());

    table.given("in review");
    let scene = granted(&mut table, &reviewed(), "merge, before it began", merge());
    granted(&mut table, &scene, "merge", merge());
    let scene = reviewed();
    let scene = scene.after(scene.project_read());
    let granted_slot = StoryEvent::SlotGranted {
        attempt: scene.story.attempt,
        agent: "critic".parse().unwrap(),
    };
    let running = scene
        .after(granted_slot)
        .go_on_to_worktree()
        .go_on_to_start();
    let scene = granted(&mut table, &running, "merge, the reviewer runs", merge());
    granted(&mut table, &scene, "merge", merge());
    let scene = table.story(&scene, "it ended", scene.agent_ended(End::Stopped));
    table.story(&scene, "its work is kept", scene.collected(20, true, false));

    table.given("blocked");
    granted(&mut table, &asking(), "merge, nothing has passed", merge());
    let scene = running.after(running.agent_ended(asks()));
    let scene = scene.after(scene.collected(20, true, false));
    granted(&mut table, &scene, "merge, the reviewer asks", merge());
    insta::assert_snapshot!(table, @r"
    not yet judged
      merge -> coding 1: judging | eyes at 5
      merge -> coding 1: judging | confused at 5; say: it goes to the merge queue without a review already
      gates failed -> coding 2: configuring, retry 1 | huskies/gates failure; read_project
      gates passed -> merge: queued | huskies/gates success; huskies/merge pending; tell repo enqueued; label

    in review
      merge, before it began -> merge: queued | eyes at 5; huskies/merge pending; tell repo enqueued; label
      merge -> merge: queued | confused at 5; say: it is in the merge queue already
      merge, the reviewer runs -> qa 2: stopping, then merge | eyes at 5; stop agent-7-2
      merge -> qa 2: stopping, then merge | confused at 5; say: it is on its way to the merge queue already
      it ended -> qa 2: collecting, then merge | tell repo slot_released; tell account settled 0.50 USD; collect
      its work is kept -> merge: queued | huskies/merge pending; tell repo enqueued; label

    blocked
      merge, nothing has passed -> blocked: asks: Red or blue? (from coding) | confused at 5; say: its newest commit has not passed the gates
      merge, the reviewer asks -> merge: queued | eyes at 5; huskies/merge pending; tell repo enqueued; label
    ");
}

#[test]
fn a_blocked_change_is_merged_on_demand_only_where_its_newest_commit_has_passed() {
    let mut table = Table::new();
    let none = |project: &mut Project| project.max_retries = 0;
    table.given("blocked");
    let judging = Scene::new().with(none).judging();
    let failed = judging.after(judging.gates(Some("a")));
    granted(&mut table, &failed, "its gates failed", Wish::Merge);
    let running = {
        let queued = Scene::new().queued().after(operator(Wish::Stop));
        let again = queued.after(operator(start())).next_preparing();
        again.go_on_to_start()
    };
    let ended = running.after(running.agent_started());
    let ended = ended.after(ended.agent_ended(asks()));
    let newer = ended.after(ended.committed(21));
    granted(&mut table, &newer, "an older commit passed", Wish::Merge);
    let protected = Scene::new()
        .testing()
        .after(StoryEvent::MergeNeedsApproval {
            head: sha(20),
            paths: vec!["CODEOWNERS".to_owned()],
        });
    granted(&mut table, &protected, "nobody has approved", Wish::Merge);
    insta::assert_snapshot!(table, @r"
    blocked
      its gates failed -> blocked: 1 attempts, the last: gates failed (from coding) | confused at 5; say: its newest commit has not passed the gates
      an older commit passed -> blocked: asks: Red or blue? (from coding) | confused at 5; say: its newest commit has not passed the gates
      nobody has approved -> blocked: touches CODEOWNERS (from merge) | confused at 5; say: it waits for somebody to approve its commit
    ");
}

#[test]
fn a_failed_check_is_told_to_the_coder_once_and_never_to_a_reviewer() {
    let failed = Scene::new().queued().after(failed(20, "ci"));
    assert_eq!(
        failed.newest_memory(),
        "The check ci failed on your commit 0000000000: 2 failed"
    );
    assert!(failed.story.untold_checks().is_some());
    let told = failed.next_preparing().go_on_to_start();
    assert!(told.story.untold_checks().is_none());

    let scene = reviewed().after(check_failed_quietly());
    assert_eq!(
        scene.newest_memory(),
        "The check ci failed on your commit 0000000000"
    );
    let scene = scene.after(scene.project_read());
    let slot = StoryEvent::SlotGranted {
        attempt: scene.attempt_number(),
        agent: "critic".parse().unwrap(),
    };
    let reviewing = scene.after(slot).go_on_to_worktree().go_on_to_start();
    assert!(reviewing.story.untold_checks().is_some());
}

fn check_failed_quietly() -> StoryEvent {
    StoryEvent::CheckFailed {
        commit: sha(20),
        name: "ci".to_owned(),
        summary: String::new(),
        source: None,
    }
}

#[test]
fn what_a_failed_checks_log_says_is_read_before_the_story_turns_back() {
    let mut table = Table::new();
    let source = Some(CheckSource {
        kind: CheckKind::CheckRun,
        id: 5,
    });
    let (commit, name, summary) = (sha(20), "ci".to_owned(), String::new());
    let failed = StoryEvent::CheckFailed {
        commit: commit.clone(),
        name: name.clone(),
        summary: summary.clone(),
        source,
    };
    let read = StoryEvent::CheckRead {
        commit,
        name,
        summary,
        log: Some("door.rs:3: it squeaks".to_owned()),
    };
    table.given("in the merge queue");
    let queued = Scene::new().queued();
    let scene = table.story(&queued, "ci failed", failed.clone());
    let scene = table.story(&scene, "its log is read", read.clone());
    table.story(&scene, "read again", read.clone());
    table.story(&scene, "failed again", failed);
    let recent = scene
        .story
        .recent
        .last()
        .and_then(|recent| recent.log.as_deref());
    assert_eq!(recent, Some("door.rs:3: it squeaks"));
    let done = Scene::new().testing().after(landed());
    table.story(&done, "landed meanwhile", read);
    insta::assert_snapshot!(table, @"
    in the merge queue
      ci failed -> merge: queued | read the log of ci (5)
      its log is read -> coding 2: configuring, retry 1 | tell repo withdrawn; huskies/merge withdrawn; read_project; label
      read again -> ignored: that check is known to have failed
      failed again -> ignored: that check is known to have failed
      landed meanwhile -> ignored: it is over
    ");
}

#[test]
fn a_failed_check_calls_the_story_back_once_a_commit_as_a_retry() {
    let mut table = Table::new();
    table.given("in the merge queue");
    let queued = Scene::new().queued();
    table.story(&queued, "ci failed on another commit", failed(19, "ci"));
    let scene = table.story(&queued, "ci failed", failed(20, "ci"));
    table.story(&scene, "ci failed", failed(20, "ci"));
    let scene = table.story(&scene, "docs failed", failed(20, "docs"));
    let scene = scene
        .after(scene.project_read())
        .go_on_to_money()
        .go_on_to_worktree();
    let scene = table.story(&scene, "worktree ready", scene.worktree_ready());
    let scene = table.story(
        &scene,
        "lint failed, it is told at the next turn",
        failed(20, "lint"),
    );
    let scene = scene.after(scene.agent_ended(End::Finished));
    let scene = scene.after(scene.committed(21));
    table.story(&scene, "the new commit passes", scene.gates_passed());

    table.given("judging");
    let scene = table.story(&Scene::new().judging(), "ci failed", failed(20, "ci"));
    table.story(&scene, "gates passed", scene.gates_passed());

    table.given("no retry is left");
    let none = Scene::new()
        .with(|project| project.max_retries = 0)
        .queued();
    let blocked = table.story(&none, "ci failed", failed(20, "ci"));
    granted(&mut table, &blocked, "free text", tell());

    table.given("over");
    table.story(&queued.after(contained()), "ci failed", failed(20, "ci"));
    insta::assert_snapshot!(table, @r"
    in the merge queue
      ci failed on another commit -> ignored: of an older commit
      ci failed -> coding 2: configuring, retry 1 | tell repo withdrawn; huskies/merge withdrawn; read_project; label
      ci failed -> ignored: that check is known to have failed
      docs failed -> coding 2: configuring, retry 1
      worktree ready -> coding 2: starting, retry 1 | start claude warm for 1.00 USD, 2 told
      lint failed, it is told at the next turn -> coding 2: starting, retry 1
      the new commit passes -> merge: queued | huskies/gates success; huskies/merge pending; tell repo enqueued; label

    judging
      ci failed -> coding 1: judging
      gates passed -> coding 2: configuring, retry 1 | huskies/gates success; read_project

    no retry is left
      ci failed -> blocked: 1 attempts, the last: checks failed (from merge) | tell repo withdrawn; huskies/merge withdrawn; huskies/merge failure; announce blocked; label
      free text -> coding 2: configuring | eyes at 5; read_project; label

    over
      ci failed -> ignored: it is over
    ");
}

fn comment(said: Said, labels: &[&str]) -> RepoEvent {
    let comment = Comment {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..comment_on(7)
    };
    RepoEvent::Commented { comment, said }
}

fn command(command: Command, text: Option<&str>) -> Said {
    let text = text.map(str::to_owned);
    Said::Command { command, text }
}

fn free(text: &str) -> Said {
    let text = text.to_owned();
    Said::ToAgent { text }
}

#[test]
fn comments_become_wishes() {
    let mut rows = Rows::synced();
    rows.given("an issue");
    rows.when(
        "start",
        comment(
            command(Command::Start, None),
            &["agent:claude", "huskies:hold"],
        ),
    );
    rows.when(
        "start, with words",
        comment(command(Command::Start, Some("now")), &[]),
    );
    for plain in [
        Command::Stop,
        Command::Retry,
        Command::Unblock,
        Command::Merge,
        Command::Approve,
        Command::Status,
        Command::Help,
    ] {
        rows.when(plain.word(), comment(command(plain, None), &[]));
    }
    rows.when(
        "retry, with words",
        comment(command(Command::Retry, Some("Red.")), &[]),
    );
    rows.when(
        "stop, with words",
        comment(command(Command::Stop, Some("Red.")), &[]),
    );
    rows.when("free text", comment(free("Red."), &[]));
    let word = |alone| Said::Unknown {
        word: "red".to_owned(),
        alone,
    };
    rows.when("a word", comment(word(true), &[]));
    rows.when("nearly a command", comment(word(false), &[]));
    insta::assert_snapshot!(rows.table, @r#"
    an issue
      start -> idle | tell #7 said Hold; tell #7 said Start "Door" with claude
      start, with words -> idle | tell #7 said Start "Door"; tell #7 said Tell { message: Message { author: "ann", place: Conversation, text: "now" } }
      stop -> idle | tell #7 said Stop
      retry -> idle | tell #7 said Retry { label: None }
      unblock -> idle | tell #7 said Retry { label: None }
      merge -> idle | tell #7 said Merge
      approve -> idle | tell #7 said Approve { commit: None, label: None }
      status -> idle | tell #7 said Say { reply: Status, answer: None }
      help -> idle | tell #7 said Say { reply: Help, answer: None }
      retry, with words -> idle | tell #7 said Tell { message: Message { author: "ann", place: Conversation, text: "Red." } }
      stop, with words -> idle | tell #7 said Stop
      free text -> idle | tell #7 said Tell { message: Message { author: "ann", place: Conversation, text: "Red." } }
      a word -> idle | tell #7 said Say { reply: Unknown { word: "red" }, answer: Some(Message { author: "ann", place: Conversation, text: "red" }) }
      nearly a command -> idle | tell #7 said Say { reply: Unknown { word: "red" }, answer: None }
    "#);
}

#[test]
fn an_approval_in_words_is_of_the_storys_newest_commit_alone() {
    let mut rows = Rows::synced();
    let head = Some(sha(40));
    let story = story_id(7);
    rows.after(RepoEvent::HeadKnown { story, head });
    rows.given("a story at commit 40");
    for (what, commit) in [("that commit", 40), ("another one", 41)] {
        let text = format!("{} please", sha(commit));
        rows.when(what, comment(command(Command::Approve, Some(&text)), &[]));
    }
    insta::assert_snapshot!(rows.table, @r#"
    a story at commit 40
      that commit -> idle | tell #7 said Approve { commit: Some(Sha("0000000000000000000000000000000000000028")), label: None }
      another one -> idle | tell #7 said Say { reply: Moot { because: "that commit does not wait for an approval" }, answer: None }
    "#);
}

#[test]
fn the_text_of_a_pull_request_is_no_task() {
    let mut rows = Rows::synced();
    let (story, pull) = (story_id(7), 100);
    rows.after(RepoEvent::PullKnown { story, pull });
    rows.given("a story's pull request");
    let start = comment(command(Command::Start, None), &[]);
    let RepoEvent::Commented { comment, said } = start else {
        panic!("no comment");
    };
    let comment = Comment {
        number: pull,
        on_pull_request: true,
        ..comment
    };
    rows.when("start", RepoEvent::Commented { comment, said });
    insta::assert_snapshot!(rows.table, @"
    a story's pull request
      start -> idle | tell #7 said Say { reply: Help, answer: None }
    ");
}

/// The wishes that one comment becomes, and which of them is acknowledged.
fn acknowledged(comment: RepoEvent) -> Vec<(Wish, bool)> {
    let take = |repo: &Subject, event| {
        let event = Event::repo(&repo_name(), event);
        step(repo, &event, noon()).expect("it is taken")
    };
    let repo = Subject::new(&SubjectId::Repo(repo_name()));
    let repo = take(&repo, synced(1, &[])).subject;
    let effects = take(&repo, comment).effects;
    let said = effects.into_iter().filter_map(|effect| match effect {
        Effect::Tell(Event::Story {
            event: StoryEvent::Said { wish, comment, .. },
            ..
        }) => Some((*wish, comment.is_some())),
        _ => None,
    });
    said.collect()
}

#[test]
fn one_of_the_wishes_of_a_comment_is_acknowledged() {
    let start = |labels: &[&str]| comment(command(Command::Start, Some("now")), labels);
    let wishes = acknowledged(start(&["huskies:hold"]));
    assert!(
        matches!(
            wishes[..],
            [
                (Wish::Hold, false),
                (Wish::Start { .. }, true),
                (Wish::Tell { .. }, false)
            ]
        ),
        "{wishes:?}"
    );
    let wishes = acknowledged(start(&[]));
    assert!(
        matches!(
            wishes[..],
            [(Wish::Start { .. }, true), (Wish::Tell { .. }, false)]
        ),
        "{wishes:?}"
    );
}

fn review(kind: ReviewKind, said: Option<Said>) -> RepoEvent {
    review_of("octo/app", "feature/story-7-door", (kind, said))
}

fn review_of(repo: &str, branch: &str, (kind, said): (ReviewKind, Option<Said>)) -> RepoEvent {
    let head = PullRequestHead {
        repo: Some(repo.parse().unwrap()),
        branch: Some(branch.parse().unwrap()),
        commit: sha(20),
    };
    let review = Review {
        number: 8,
        head,
        kind,
        sender: "ann".to_owned(),
        by_bot: false,
        text: String::new(),
    };
    let review = Box::new(review);
    RepoEvent::Reviewed { review, said }
}

fn verdict(verdict: Verdict) -> ReviewKind {
    let commit = None;
    ReviewKind::Submitted { verdict, commit }
}

fn check(name: &str, commit: u64, outcome: CheckOutcome) -> RepoEvent {
    let result = CheckResult {
        kind: CheckKind::CheckRun,
        id: None,
        name: name.to_owned(),
        commit: sha(commit),
        branch: None,
        outcome,
        summary: "2 failed".to_owned(),
        url: None,
    };
    RepoEvent::Checked { result }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table is read as a whole")]
fn reviews_and_checks_go_to_the_story_whose_branch_or_commit_it_is() {
    let mut rows = Rows::synced();
    let red = || Some(free("Red."));
    rows.given("no story has a commit");
    rows.when("review", review(verdict(Verdict::ChangesRequested), red()));
    rows.when("ci failed", check("ci", 20, CheckOutcome::Failure));
    rows.given("story 7 is at commit 20");
    let (story, head) = (story_id(7), Some(sha(20)));
    rows.when("its commit is known", RepoEvent::HeadKnown { story, head });
    rows.when(
        "changes requested",
        review(verdict(Verdict::ChangesRequested), red()),
    );
    rows.when("commented", review(verdict(Verdict::Commented), red()));
    rows.when(
        "commented, without words",
        review(verdict(Verdict::Commented), None),
    );
    rows.when(
        "approved, with words",
        review(verdict(Verdict::Approved), red()),
    );
    let merge = Some(command(Command::Merge, None));
    rows.when(
        "approved, and merge",
        review(verdict(Verdict::Approved), merge),
    );
    rows.when("dismissed", review(ReviewKind::Dismissed, red()));
    let line = ReviewKind::Comment {
        id: 6,
        path: "a.rs".to_owned(),
        line: Some(3),
    };
    rows.when("at a line", review(line, red()));
    let asked = || (verdict(Verdict::ChangesRequested), red());
    rows.when(
        "a fork's branch of that name",
        review_of("eve/app", "feature/story-7-door", asked()),
    );
    rows.when("another branch", review_of("octo/app", "door", asked()));
    rows.when(
        "another story's",
        review_of("octo/app", "feature/story-8-door", asked()),
    );
    rows.when("ci failed", check("ci", 20, CheckOutcome::Failure));
    rows.when(
        "ci failed elsewhere",
        check("ci", 21, CheckOutcome::Failure),
    );
    rows.when("ci passed", check("ci", 20, CheckOutcome::Success));
    rows.when(
        "our own check",
        check("huskies/gates", 20, CheckOutcome::Failure),
    );
    let request = CheckRequest {
        wanted: WantedCheck::SuiteAgain { id: 9 },
        commit: sha(20),
        branch: None,
        app: None,
        sender: "ann".to_owned(),
        by_bot: false,
    };
    rows.when("checks wanted again", RepoEvent::CheckRequested { request });
    assert_eq!(repo_name().as_str(), "octo/app");
    insta::assert_snapshot!(rows.table, @r#"
    no story has a commit
      review -> ignored: it is about no story's branch
      ci failed -> ignored: no story is at that commit

    story 7 is at commit 20
      its commit is known -> idle
      changes requested -> idle | tell #7 said Tell { message: Message { author: "ann", place: Review, text: "Red." } }
      commented -> idle | tell #7 said Tell { message: Message { author: "ann", place: Review, text: "Red." } }
      commented, without words -> ignored: it says nothing
      approved, with words -> ignored: it does not wait for the forge
      approved, and merge -> idle | tell #7 said Merge
      dismissed -> ignored: nothing follows from a dismissed review
      at a line -> idle | tell #7 said Tell { message: Message { author: "ann", place: Line { path: "a.rs", line: Some(3) }, text: "Red." } }
      a fork's branch of that name -> ignored: it is about no story's branch
      another branch -> ignored: it is about no story's branch
      another story's -> ignored: it is about no story's branch
      ci failed -> idle | tell #7 check_failed
      ci failed elsewhere -> ignored: no story is at that commit
      ci passed -> ignored: nothing waits for that check
      our own check -> ignored: a check of huskies' own
      checks wanted again -> idle | tell #7 asked Retry { label: None }
    "#);
}

#[test]
fn commits_of_others_on_the_branch_call_the_agent_back_and_a_deleted_branch_stops_it() {
    let mut table = Table::new();
    let pushed = || StoryEvent::BranchPushed {
        commit: sha(30),
        by: Some("bob".to_owned()),
    };
    let deleted = || StoryEvent::BranchDeleted { by: None };
    table.given("in the merge queue");
    let queued = Scene::new().queued();
    let scene = table.story(&queued, "bob pushed", pushed());
    assert!(scene.story.messages[0].text.contains("git merge"));
    table.story(&queued, "deleted", deleted());
    table.given("an agent runs");
    let running = Scene::new().running();
    table.story(&running, "bob pushed", pushed());
    let scene = table.story(&running, "deleted", deleted());
    table.story(&scene, "deleted twice", deleted());
    table.given("landed");
    let done = Scene::new().testing().after(landed());
    table.story(&done, "bob pushed", pushed());
    table.story(&done, "deleted", deleted());
    insta::assert_snapshot!(table, @"
    in the merge queue
      bob pushed -> coding 2: configuring | tell repo withdrawn; huskies/merge withdrawn; read_project; label
      deleted -> backlog: stopped | tell repo withdrawn; huskies/merge withdrawn; label

    an agent runs
      bob pushed -> coding 1: running
      deleted -> coding 1: stopping, then backlog | stop agent-7-1
      deleted twice -> ignored: it is stopped already

    landed
      bob pushed -> ignored: nobody works on it
      deleted -> ignored: its change has landed already
    ");
}
