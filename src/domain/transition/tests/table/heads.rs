//! Heads of people's pull requests: a commit alone, and what its repository makes of deliveries
//! (spec 2.3, 8.2).

use super::Table;
use super::queue::{Rows, synced};
use crate::domain::delivery::{
    CheckRequest, Command, Comment, PullRequestAction, PullRequestHead, Review, ReviewKind, Said,
    Verdict, WantedCheck,
};
use crate::domain::effect::{Effect, Surface};
use crate::domain::event::{Event, HeadEvent, RepoEvent, SubjectId};
use crate::domain::head::HeadId;
use crate::domain::id::Sha;
use crate::domain::story::Admission;
use crate::domain::transition::tests::{
    comment_on, noon, pull_change, repo_name, report, sha, story_id,
};
use crate::domain::transition::{Subject, step};

/// A commit under test.
struct One {
    table: Table,
    id: HeadId,
    head: Subject,
}

impl One {
    fn new() -> Self {
        let id = HeadId {
            repo: repo_name(),
            sha: sha(20),
        };
        Self {
            table: Table::new(),
            head: Subject::new(&SubjectId::Head(id.clone())),
            id,
        }
    }

    fn when(&mut self, what: &str, event: HeadEvent) {
        let id = self.id.clone();
        self.head = self
            .table
            .when(&self.head, what, &Event::Head { id, event });
    }

    /// What would follow, without its following.
    fn would(&mut self, what: &str, event: HeadEvent) {
        let id = self.id.clone();
        self.table
            .when(&self.head, what, &Event::Head { id, event });
    }
}

fn asked(again: bool) -> HeadEvent {
    let rules = sha(1);
    HeadEvent::GatesAsked { rules, again }
}

fn ended(run: u32, commit: u64) -> HeadEvent {
    let report = report(&sha(commit), &sha(120), None);
    HeadEvent::GatesEnded { run, report }
}

fn lost(run: u32) -> HeadEvent {
    let message = "no runner".to_owned();
    HeadEvent::GatesLost { run, message }
}

fn superseded(by: u64) -> HeadEvent {
    HeadEvent::Superseded { by: Some(sha(by)) }
}

#[test]
fn a_commit_without_a_story_is_gated_once_at_a_time() {
    let mut one = One::new();
    one.table.given("a commit of a person");
    one.would("superseded", superseded(21));
    one.when("a fork's", HeadEvent::Withheld);
    one.would("a fork's, told again", HeadEvent::Withheld);
    one.would("superseded", superseded(21));
    one.when("its turn comes later", HeadEvent::Queued);
    one.would("a fork's", HeadEvent::Withheld);
    one.would("closed", HeadEvent::Superseded { by: None });
    one.when("asked", asked(false));
    one.would("asked again", asked(true));
    one.would("superseded", superseded(21));
    let message = "no such commit".to_owned();
    one.would("not there", HeadEvent::NotFetched { run: 1, message });
    one.when("here", HeadEvent::Fetched { run: 1 });
    one.would("here again", HeadEvent::Fetched { run: 1 });
    one.would("the gates ran on another commit", ended(1, 21));
    one.would("a run that was never asked for", ended(2, 20));
    one.would("superseded", superseded(21));
    one.table.given("runs that come to nothing");
    one.when("lost", lost(1));
    one.would("the lost one ends", ended(1, 20));
    one.when("lost again", lost(2));
    one.would("lost for good", lost(3));
    one.table.given("the third run");
    one.when("passed", ended(3, 20));
    one.would("ended again", ended(3, 20));
    one.would("superseded", superseded(21));
    one.would("of a fork too", HeadEvent::Withheld);
    one.would("in another pull request", asked(false));
    one.when("wanted again", asked(true));
    insta::assert_snapshot!(one.table, @r#"
    a commit of a person
      superseded -> ignored: the gates do not run
      a fork's -> Withheld | huskies/gates awaits approval
      a fork's, told again -> ignored: it waits for an approval already
      superseded -> Superseded | huskies/gates superseded by 15
      its turn comes later -> Queued | huskies/gates queued
      a fork's -> ignored: it is gated already
      closed -> Superseded | huskies/gates error
      asked -> Fetching | fetch_head; huskies/gates pending
      asked again -> ignored: the gates run already
      superseded -> Superseded | huskies/gates superseded by 15
      not there -> Unjudged { message: "no such commit" } | huskies/gates error; tell repo head_settled
      here -> Gating | start head-0000000000000000000000000000000000000014-1
      here again -> ignored: of an older gate run
      the gates ran on another commit -> Unjudged { message: "the gates ran on another commit than this one" } | huskies/gates error; tell repo head_settled
      a run that was never asked for -> `gates_ended` cannot happen while run 1 is the newest
      superseded -> Superseded | stop head-0000000000000000000000000000000000000014-1; huskies/gates superseded by 15

    runs that come to nothing
      lost -> Gating | huskies/gates pending; start head-0000000000000000000000000000000000000014-2
      the lost one ends -> ignored: of an older gate run
      lost again -> Gating | huskies/gates pending; start head-0000000000000000000000000000000000000014-3
      lost for good -> Unjudged { message: "no runner" } | huskies/gates error; tell repo head_settled

    the third run
      passed -> Judged | huskies/gates success; tell repo head_settled
      ended again -> ignored: of an older gate run
      superseded -> ignored: the gates do not run
      of a fork too -> ignored: it is gated already
      in another pull request -> Judged | tell repo head_settled
      wanted again -> Fetching | fetch_head; huskies/gates pending
    "#);
}

/// The numbers of the check runs that show what follows from `events`, each on a new commit.
fn shown(events: &[HeadEvent]) -> Vec<u32> {
    let id = One::new().id;
    let mut head = Subject::new(&SubjectId::Head(id.clone()));
    let mut shown = Vec::new();
    for event in events {
        let (id, event) = (id.clone(), event.clone());
        let stepped = step(&head, &Event::Head { id, event }, noon()).unwrap();
        shown.extend(stepped.effects.iter().filter_map(|effect| match effect {
            Effect::Surface(Surface::CheckRun(check)) => Some(check.run),
            _ => None,
        }));
        head = stepped.subject;
    }
    shown
}

#[test]
fn what_is_shown_before_a_run_of_the_gates_is_shown_in_that_runs_place() {
    let waits = [HeadEvent::Withheld, HeadEvent::Queued, asked(false)];
    assert_eq!(shown(&waits), [1, 1, 1]);
    let again = [asked(false), HeadEvent::Fetched { run: 1 }, ended(1, 20)];
    let again = [&again[..], &[asked(true)]].concat();
    assert_eq!(shown(&again), [1, 1, 2]);
}

fn from(repo: Option<&str>, branch: &str, commit: u64) -> PullRequestHead {
    PullRequestHead {
        repo: repo.map(|repo| repo.parse().unwrap()),
        branch: branch.parse().ok(),
        commit: sha(commit),
    }
}

fn here(commit: u64) -> PullRequestHead {
    from(Some("octo/app"), "door", commit)
}

fn fork(commit: u64) -> PullRequestHead {
    from(Some("eve/app"), "door", commit)
}

fn pull(number: u64, action: PullRequestAction, head: PullRequestHead) -> RepoEvent {
    to("main", number, (action, head))
}

fn to(base: &str, number: u64, (action, head): (PullRequestAction, PullRequestHead)) -> RepoEvent {
    let mut change = pull_change(number, action, head);
    change.base.branch = base.parse().ok();
    RepoEvent::PullRequest {
        change: Box::new(change),
    }
}

fn opened(number: u64, head: PullRequestHead) -> RepoEvent {
    pull(number, PullRequestAction::Opened, head)
}

fn pushed(number: u64, before: u64, head: PullRequestHead) -> RepoEvent {
    let before = Some(sha(before));
    pull(number, PullRequestAction::Synchronized { before }, head)
}

fn closed(number: u64, head: PullRequestHead) -> RepoEvent {
    pull(number, PullRequestAction::Closed { merged: None }, head)
}

fn settled(commit: u64) -> RepoEvent {
    let commit = sha(commit);
    RepoEvent::HeadSettled { commit }
}

fn approve(number: u64, text: Option<&str>) -> RepoEvent {
    RepoEvent::Commented {
        comment: Comment {
            on_pull_request: true,
            ..comment_on(number)
        },
        said: Said::Command {
            command: Command::Approve,
            text: text.map(str::to_owned),
        },
    }
}

fn reviewed(number: u64, verdict: Verdict, commit: Option<u64>) -> RepoEvent {
    let review = Review {
        number,
        head: fork(20),
        kind: ReviewKind::Submitted {
            verdict,
            commit: commit.map(sha),
        },
        sender: "ann".to_owned(),
        by_bot: false,
        text: String::new(),
    };
    RepoEvent::Reviewed {
        review: Box::new(review),
        said: None,
    }
}

fn admitted(request: u64, allowed: bool) -> RepoEvent {
    let answer = if allowed {
        Admission::allowed()
    } else {
        Admission::Denied
    };
    RepoEvent::Admitted { request, answer }
}

#[test]
fn the_head_of_a_pull_request_is_gated_and_a_newer_one_takes_its_place() {
    let mut rows = Rows::new();
    rows.given("a repository that nobody looked at yet");
    rows.when("opened", opened(1, here(20)));
    rows.when(
        "opened, to another branch",
        to("next", 2, (PullRequestAction::Opened, here(21))),
    );
    rows.when("the base is known", synced(1, &[]));
    rows.given("a head that is being gated");
    rows.when("delivered twice", opened(1, here(20)));
    rows.when(
        "ready for review",
        pull(1, PullRequestAction::ReadyForReview, here(20)),
    );
    rows.when(
        "a label",
        pull(
            1,
            PullRequestAction::Labeled {
                label: "x".to_owned(),
            },
            here(20),
        ),
    );
    rows.when("the same commit elsewhere", opened(3, here(20)));
    rows.when("a newer head", pushed(1, 20, here(22)));
    rows.when("and of the other", pushed(3, 20, here(22)));
    rows.when("an older delivery", pushed(1, 19, here(20)));
    rows.when("put back to the older one", pushed(1, 22, here(20)));
    rows.when("judged", settled(20));
    rows.when("judged again", settled(20));
    rows.when("closed", closed(1, here(20)));
    rows.when("closed again", closed(1, here(20)));
    rows.when(
        "to another branch",
        to("next", 3, (PullRequestAction::Edited, here(22))),
    );
    rows.when("back", to("main", 3, (PullRequestAction::Edited, here(22))));
    insta::assert_snapshot!(rows.table, @"
    a repository that nobody looked at yet
      opened -> pull 1 at 14
      opened, to another branch -> pull 1 at 14, pull 2 at 15
      the base is known -> pull 1 at 14, gating 14 | tell head 14 gates_asked

    a head that is being gated
      delivered twice -> ignored: this head is known already
      ready for review -> ignored: this head is known already
      a label -> ignored: nothing follows from that for its head
      the same commit elsewhere -> pull 1 at 14, pull 3 at 14, gating 14
      a newer head -> pull 1 at 16, pull 3 at 14, gating 14, gating 16 | tell head 16 gates_asked
      and of the other -> pull 1 at 16, pull 3 at 16, gating 16 | tell head 14 superseded
      an older delivery -> ignored: a newer head is known
      put back to the older one -> pull 1 at 14, pull 3 at 16, gating 16, gating 14 | tell head 14 gates_asked
      judged -> pull 1 at 14, pull 3 at 16, gating 16
      judged again -> ignored: its turn is over already
      closed -> pull 3 at 16, gating 16
      closed again -> ignored: no head of it is gated
      to another branch -> idle | tell head 16 superseded
      back -> pull 3 at 16, gating 16 | tell head 16 gates_asked
    ");
}

#[test]
fn two_heads_are_gated_at_a_time_and_none_that_is_a_storys() {
    let mut rows = Rows::synced();
    rows.after(opened(3, here(22)));
    rows.given("one is gated");
    rows.when("a second", opened(4, here(23)));
    rows.when("a third waits", opened(5, here(24)));
    rows.when("a fourth waits", opened(6, here(25)));
    rows.when("the third is closed", closed(5, here(24)));
    rows.when("the second has a new head", pushed(4, 23, here(26)));
    rows.when("the first is judged", settled(22));
    rows.given("a story at commit 40");
    rows.after(RepoEvent::HeadKnown {
        story: story_id(7),
        head: Some(sha(40)),
    });
    rows.when(
        "its own pull request",
        opened(9, from(Some("octo/app"), "feature/story-7-x", 40)),
    );
    rows.when(
        "a fork's branch of that name",
        opened(10, from(Some("eve/app"), "feature/story-7-x", 41)),
    );
    rows.when("its commit elsewhere", opened(11, here(40)));
    insta::assert_snapshot!(rows.table, @"
    one is gated
      a second -> pull 3 at 16, pull 4 at 17, gating 16, gating 17 | tell head 17 gates_asked
      a third waits -> pull 3 at 16, pull 4 at 17, pull 5 at 18, gating 16, gating 17, 18 waits | tell head 18 queued
      a fourth waits -> pull 3 at 16, pull 4 at 17, pull 5 at 18, pull 6 at 19, gating 16, gating 17, 18 waits, 19 waits | tell head 19 queued
      the third is closed -> pull 3 at 16, pull 4 at 17, pull 6 at 19, gating 16, gating 17, 19 waits | tell head 18 superseded
      the second has a new head -> pull 3 at 16, pull 4 at 1a, pull 6 at 19, gating 16, gating 19, 1a waits | tell head 17 superseded; tell head 19 gates_asked; tell head 1a queued
      the first is judged -> pull 3 at 16, pull 4 at 1a, pull 6 at 19, gating 19, gating 1a | tell head 1a gates_asked

    a story at commit 40
      its own pull request -> ignored: nothing follows from that for a story's own pull request
      a fork's branch of that name -> pull 3 at 16, pull 4 at 1a, pull 6 at 19, pull 10 at 29, gating 19, gating 1a | tell head 29 withheld
      its commit elsewhere -> pull 3 at 16, pull 4 at 1a, pull 6 at 19, pull 10 at 29, pull 11 at 28, gating 19, gating 1a
    ");
}

#[test]
fn the_head_of_a_fork_waits_for_an_approval_of_that_very_commit() {
    let mut rows = Rows::synced();
    let name = |commit| sha(commit).to_string();
    rows.given("a fork's head");
    rows.when("opened", opened(1, fork(20)));
    rows.when(
        "of a repository that is gone",
        opened(2, from(None, "door", 30)),
    );
    rows.when("approved, without a commit", approve(1, None));
    rows.when("a writer", admitted(1, true));
    rows.when("approved, with too few digits", approve(1, Some("000000")));
    rows.when("a writer", admitted(2, true));
    rows.when("approved, another one", approve(1, Some(&name(21))));
    rows.when("a writer", admitted(3, true));
    rows.when("approved, by a stranger", approve(1, Some(&name(20))));
    rows.when("a stranger", admitted(4, false));
    rows.when("answered twice", admitted(4, true));
    rows.when("looked at", reviewed(1, Verdict::Commented, Some(20)));
    insta::assert_snapshot!(rows.table, @"
    a fork's head
      opened -> pull 1 at 14 | tell head 14 withheld
      of a repository that is gone -> pull 1 at 14, pull 2 at 1e | tell head 1e withheld
      approved, without a commit -> pull 1 at 14, pull 2 at 1e | admit ann (1)
      a writer -> pull 1 at 14, pull 2 at 1e | say at 1: which commit?; confused at 5
      approved, with too few digits -> pull 1 at 14, pull 2 at 1e | admit ann (2)
      a writer -> pull 1 at 14, pull 2 at 1e | say at 1: which commit?; confused at 5
      approved, another one -> pull 1 at 14, pull 2 at 1e | admit ann (3)
      a writer -> pull 1 at 14, pull 2 at 1e | say at 1: another commit; confused at 5
      approved, by a stranger -> pull 1 at 14, pull 2 at 1e | admit ann (4)
      a stranger -> pull 1 at 14, pull 2 at 1e | confused at 5
      answered twice -> ignored: this request was answered already, or its pull request is closed
      looked at -> ignored: nothing about its head follows from that
    ");
}

#[test]
fn an_approval_of_a_forks_head_is_of_that_commit_and_no_other() {
    let mut rows = Rows::synced();
    let name = |commit| sha(commit).to_string();
    rows.after(opened(1, fork(20)));
    rows.given("a fork's head");
    rows.when(
        "a review of an older commit",
        reviewed(1, Verdict::Approved, Some(19)),
    );
    rows.when("a writer", admitted(1, true));
    rows.when(
        "approved",
        approve(1, Some(&format!("`{}` please", name(20)))),
    );
    rows.when("a new head meanwhile", pushed(1, 20, fork(21)));
    rows.when("a writer", admitted(2, true));
    rows.when("a short name of both", approve(1, Some("0000000")));
    rows.when("a writer", admitted(3, true));
    rows.when(
        "a review of the head",
        reviewed(1, Verdict::Approved, Some(21)),
    );
    rows.when("a writer", admitted(4, true));
    rows.when("approved once more", approve(1, Some(&name(21))));
    rows.when("a writer", admitted(5, true));
    rows.when("a new head", pushed(1, 21, fork(22)));
    rows.when("approved", approve(1, Some(&name(22))));
    rows.when("a writer", admitted(6, true));
    rows.when("a new head", pushed(1, 22, fork(23)));
    rows.when("approved", approve(1, Some(&name(23))));
    rows.when("closed before the answer", closed(1, fork(23)));
    rows.when("a writer", admitted(7, true));
    rows.when(
        "a pull request that nobody knows",
        approve(77, Some(&name(22))),
    );
    insta::assert_snapshot!(rows.table, @"
    a fork's head
      a review of an older commit -> pull 1 at 14 | admit ann (1)
      a writer -> pull 1 at 14 | say at 1: another commit
      approved -> pull 1 at 14 | admit ann (2)
      a new head meanwhile -> pull 1 at 15 | tell head 14 superseded; tell head 15 withheld
      a writer -> pull 1 at 15 | say at 1: another commit; confused at 5
      a short name of both -> pull 1 at 15 | admit ann (3)
      a writer -> pull 1 at 15 | say at 1: ambiguous; confused at 5
      a review of the head -> pull 1 at 15 | admit ann (4)
      a writer -> pull 1 at 15, gating 15 | tell head 15 gates_asked
      approved once more -> pull 1 at 15, gating 15 | admit ann (5)
      a writer -> pull 1 at 15, gating 15 | say at 1: nothing waits; confused at 5
      a new head -> pull 1 at 16 | tell head 15 superseded; tell head 16 withheld
      approved -> pull 1 at 16 | admit ann (6)
      a writer -> pull 1 at 16, gating 16 | tell head 16 gates_asked; eyes at 5
      a new head -> pull 1 at 17 | tell head 16 superseded; tell head 17 withheld
      approved -> pull 1 at 17 | admit ann (7)
      closed before the answer -> idle | tell head 17 superseded
      a writer -> ignored: this request was answered already, or its pull request is closed
      a pull request that nobody knows -> ignored: it is not known which story that pull request is of
    ");
}

fn wanted(wanted: WantedCheck, commit: Sha) -> RepoEvent {
    let request = CheckRequest {
        wanted,
        commit,
        branch: None,
        app: Some(1),
        sender: "ann".to_owned(),
        by_bot: false,
    };
    RepoEvent::CheckRequested { request }
}

fn run_again(name: &str) -> WantedCheck {
    let name = name.to_owned();
    WantedCheck::RunAgain { id: 8, name }
}

#[test]
fn checks_are_run_again_for_whoever_may_write() {
    let mut rows = Rows::synced();
    rows.after(opened(1, here(20)));
    rows.after(settled(20));
    rows.after(opened(2, fork(30)));
    rows.given("a head that was judged");
    rows.when(
        "the suite again",
        wanted(WantedCheck::SuiteAgain { id: 9 }, sha(20)),
    );
    rows.when("a writer", admitted(1, true));
    rows.when(
        "the check again",
        wanted(run_again("huskies/gates"), sha(20)),
    );
    rows.when("a writer, while it runs", admitted(2, true));
    rows.when("judged", settled(20));
    rows.when(
        "the check again",
        wanted(run_again("huskies/gates"), sha(20)),
    );
    rows.when("a stranger", admitted(3, false));
    rows.when("another check", wanted(run_again("ci"), sha(20)));
    rows.when(
        "a new commit",
        wanted(WantedCheck::Suite { id: 9 }, sha(20)),
    );
    rows.when("no head", wanted(run_again("huskies/gates"), sha(21)));
    rows.when("a fork's", wanted(run_again("huskies/gates"), sha(30)));
    rows.when(
        "the check again",
        wanted(run_again("huskies/gates"), sha(20)),
    );
    rows.when("a newer head", pushed(1, 20, here(22)));
    rows.when("a writer", admitted(4, true));
    insta::assert_snapshot!(rows.table, @"
    a head that was judged
      the suite again -> pull 1 at 14, pull 2 at 1e | admit ann (1)
      a writer -> pull 1 at 14, pull 2 at 1e, gating 14 | tell head 14 gates_asked
      the check again -> pull 1 at 14, pull 2 at 1e, gating 14 | admit ann (2)
      a writer, while it runs -> pull 1 at 14, pull 2 at 1e, gating 14
      judged -> pull 1 at 14, pull 2 at 1e
      the check again -> pull 1 at 14, pull 2 at 1e | admit ann (3)
      a stranger -> pull 1 at 14, pull 2 at 1e
      another check -> ignored: nothing follows from that request for checks
      a new commit -> ignored: nothing follows from that request for checks
      no head -> ignored: no pull request that is open has that head
      a fork's -> ignored: it waits for an approval
      the check again -> pull 1 at 14, pull 2 at 1e | admit ann (4)
      a newer head -> pull 1 at 16, pull 2 at 1e, gating 16 | tell head 16 gates_asked
      a writer -> pull 1 at 16, pull 2 at 1e, gating 16
    ");
}
