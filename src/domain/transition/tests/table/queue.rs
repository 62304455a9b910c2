//! A repository's merge queue (spec 7.1, 7.2).

use jiff::SignedDuration;

use super::Table;
use crate::domain::event::{Event, RepoEvent, SubjectId};
use crate::domain::id::{Sha, StoryId};
use crate::domain::project::Trigger;
use crate::domain::repo::QueueEntry;
use crate::domain::transition::Subject;
use crate::domain::transition::tests::{noon, repo_name, report, sha, skip_all, story_id};
use crate::domain::work::{Candidate, MergeCheck};

/// A repository under test, and the table it fills.
pub(super) struct Rows {
    pub(super) table: Table,
    repo: Subject,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self {
            table: Table::new(),
            repo: Subject::new(&SubjectId::Repo(repo_name())),
        }
    }

    /// A repository whose base is at commit 1.
    pub(super) fn synced() -> Self {
        let mut rows = Self::new();
        rows.after(synced(1, &[]));
        rows
    }

    /// A new repository, whose lines go on below those that there are.
    pub(super) fn afresh(self) -> Self {
        Self::new().on(self)
    }

    /// Goes on below the lines of `before`.
    pub(super) fn on(self, before: Self) -> Self {
        Self {
            table: before.table,
            ..self
        }
    }

    pub(super) fn given(&mut self, situation: &str) {
        self.table.given(situation);
    }

    pub(super) fn when(&mut self, what: &str, event: RepoEvent) {
        let event = Event::repo(&repo_name(), event);
        self.repo = self.table.when(&self.repo, what, &event);
    }

    /// Takes a step without a line of its own.
    pub(super) fn after(&mut self, event: RepoEvent) {
        let event = Event::repo(&repo_name(), event);
        let stepped = crate::domain::transition::step(&self.repo, &event, noon());
        self.repo = stepped.expect("a legal step").subject;
    }

    pub(super) fn merge_number(&self) -> u64 {
        let Subject::Repo(repo) = &self.repo else {
            panic!("not a repository");
        };
        repo.merge_number
    }

    /// A repository that is landing story 7.
    fn landing() -> Self {
        let mut rows = Self::synced();
        rows.after(enqueued(7, 0, 0));
        rows.after(rows.built(1));
        rows.after(rows.gates(None));
        rows
    }

    pub(super) fn built(&self, base: u64) -> RepoEvent {
        RepoEvent::CandidateBuilt {
            number: self.merge_number(),
            candidate: Candidate {
                base: sha(base),
                head: sha(27),
                commit: sha(30),
                tree: sha(130),
            },
            protected: Vec::new(),
        }
    }

    /// Like [`Self::built`], touching a protected path.
    fn built_protected(&self, base: u64) -> RepoEvent {
        let mut event = self.built(base);
        if let RepoEvent::CandidateBuilt { protected, .. } = &mut event {
            protected.push(".github/ci.yml".to_owned());
        }
        event
    }

    pub(super) fn gates(&self, failure: Option<&str>) -> RepoEvent {
        RepoEvent::GatesEnded {
            number: self.merge_number(),
            report: report(&sha(30), &sha(130), failure),
        }
    }

    pub(super) fn missed(&self, tip: u64) -> RepoEvent {
        let number = self.merge_number();
        RepoEvent::LandMissed {
            number,
            tip: sha(tip),
        }
    }

    pub(super) fn waits(&self) -> RepoEvent {
        let number = self.merge_number();
        RepoEvent::LandWaits {
            number,
            reason: "uncommitted changes".to_owned(),
        }
    }

    pub(super) fn land_due(&self) -> RepoEvent {
        RepoEvent::LandDue {
            number: self.merge_number(),
        }
    }

    fn landed(&self) -> RepoEvent {
        RepoEvent::Landed {
            number: self.merge_number(),
        }
    }
}

pub(super) fn synced(tip: u64, contained: &[(StoryId, Sha)]) -> RepoEvent {
    RepoEvent::BaseSynced {
        branch: "main".parse().unwrap(),
        tip: sha(tip),
        trigger: Trigger::default(),
        contained: contained.to_vec(),
        checks: Vec::new(),
    }
}

/// The base moved to `tip`, where the newest commit of #7 conflicts in `paths`.
fn checked(tip: u64, head: u64, paths: &[&str]) -> RepoEvent {
    let mut event = synced(tip, &[]);
    if let RepoEvent::BaseSynced { checks, .. } = &mut event {
        checks.push(MergeCheck {
            story: story_id(7),
            head: sha(head),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        });
    }
    event
}

pub(super) fn enqueued(number: u64, priority: i32, after: i64) -> RepoEvent {
    RepoEvent::Enqueued {
        entry: QueueEntry {
            story: story_id(number),
            head: sha(20 + number),
            message: String::new(),
            priority,
            since: noon() + SignedDuration::from_secs(after),
            approved: false,
            by_pull: false,
        },
    }
}

pub(super) fn withdrawn(number: u64) -> RepoEvent {
    RepoEvent::Withdrawn {
        story: story_id(number),
    }
}

#[test]
fn the_queue_lands_one_tested_story_after_the_other() {
    let mut rows = Rows::new();
    rows.given("the base branch is not known yet");
    rows.when("#7 enqueued", enqueued(7, 0, 0));
    rows.when("synced", synced(1, &[]));
    rows.when("#8 enqueued", enqueued(8, 0, 1));
    rows.when("#9 enqueued, more urgent", enqueued(9, 5, 2));
    let priority = 9;
    let story = story_id(8);
    rows.when("#8 is raised", RepoEvent::Prioritised { story, priority });
    let (story, priority) = (story_id(8), 0);
    rows.when("#8 is lowered", RepoEvent::Prioritised { story, priority });
    rows.when("built", rows.built(1));
    rows.when("built, told twice", rows.built(1));
    rows.when("gates passed", rows.gates(None));
    rows.when("landed", rows.landed());
    let number = rows.merge_number() - 1;
    rows.when("landed, told twice", RepoEvent::Landed { number });
    insta::assert_snapshot!(rows.table, @r"
    the base branch is not known yet
      #7 enqueued -> #7 queued
      synced -> merge 1: #7 building on 01 | build_candidate on 01
      #8 enqueued -> merge 1: #7 building on 01, #8 queued
      #9 enqueued, more urgent -> merge 1: #7 building on 01, #9 queued, #8 queued
      #8 is raised -> merge 1: #7 building on 01, #8 queued, #9 queued
      #8 is lowered -> merge 1: #7 building on 01, #9 queued, #8 queued
      built -> merge 1: #7 gating, #9 queued, #8 queued | start merge-1; tell #7 merge_began
      built, told twice -> ignored: it is built already
      gates passed -> merge 1: #7 landing, #9 queued, #8 queued | land
      landed -> merge 2: #9 building on 1e, #8 queued | tell #7 landed; sync_base; build_candidate on 1e
      landed, told twice -> ignored: of an older merge run
    ");
}

#[test]
fn a_clock_that_is_put_back_makes_nobody_older() {
    let mut rows = Rows::synced();
    rows.given("#7 is building");
    rows.after(enqueued(7, 0, 0));
    rows.when("#8 enqueued", enqueued(8, 0, 60));
    rows.when("#9 enqueued, an hour earlier", enqueued(9, 0, -3_600));
    rows.when("#10 enqueued, more urgent", enqueued(10, 5, -3_600));
    insta::assert_snapshot!(rows.table, @r"
    #7 is building
      #8 enqueued -> merge 1: #7 building on 01, #8 queued
      #9 enqueued, an hour earlier -> merge 1: #7 building on 01, #8 queued, #9 queued
      #10 enqueued, more urgent -> merge 1: #7 building on 01, #10 queued, #8 queued, #9 queued
    ");
}

#[test]
fn who_was_more_urgent_for_a_while_goes_back_behind_those_that_waited_longer() {
    let mut rows = Rows::synced();
    rows.given("#7 is building");
    rows.after(enqueued(7, 0, 0));
    rows.when("#8 enqueued", enqueued(8, 0, 1));
    rows.when("#9 enqueued", enqueued(9, 0, 2));
    for (what, priority) in [("#9 is raised", 5), ("#9 is lowered", 0)] {
        let story = story_id(9);
        rows.when(what, RepoEvent::Prioritised { story, priority });
    }
    insta::assert_snapshot!(rows.table, @r"
    #7 is building
      #8 enqueued -> merge 1: #7 building on 01, #8 queued
      #9 enqueued -> merge 1: #7 building on 01, #8 queued, #9 queued
      #9 is raised -> merge 1: #7 building on 01, #9 queued, #8 queued
      #9 is lowered -> merge 1: #7 building on 01, #8 queued, #9 queued
    ");
}

#[test]
fn a_base_that_moves_starts_the_merge_over() {
    let mut rows = Rows::synced();
    rows.given("building");
    rows.after(enqueued(7, 0, 0));
    rows.when("the base moved", synced(2, &[]));
    let number = rows.merge_number() - 1;
    let late = RepoEvent::CandidateEmpty {
        number,
        base: sha(1),
    };
    rows.when("the older run answers", late);
    rows.given("gating");
    rows.after(rows.built(2));
    rows.when("the base is where it was", synced(2, &[]));
    rows.when("the base moved", synced(3, &[]));
    rows.given("landing");
    rows.after(rows.built(3));
    rows.after(rows.gates(None));
    rows.when("the base moved", synced(4, &[]));
    rows.when("missed", rows.missed(4));
    rows.given("landing again and again, though nobody moves the base");
    for _ in 0..2 {
        rows.after(rows.built(4));
        rows.after(rows.gates(None));
        rows.when("missed", rows.missed(4));
    }
    rows.after(rows.built(4));
    rows.after(rows.gates(None));
    rows.when("missed", rows.missed(4));
    rows.given("waiting to land");
    let mut rows = Rows {
        table: rows.table,
        ..Rows::landing()
    };
    rows.when("not free", rows.waits());
    rows.when("due", rows.land_due());
    rows.when("due, twice", rows.land_due());
    rows.when("still not free", rows.waits());
    rows.when("the base moved", synced(2, &[]));
    insta::assert_snapshot!(rows.table, @r"
    building
      the base moved -> merge 2: #7 building on 02 | build_candidate on 02
      the older run answers -> ignored: of an older merge run

    gating
      the base is where it was -> merge 2: #7 gating
      the base moved -> merge 3: #7 building on 03 | stop merge-2; build_candidate on 03

    landing
      the base moved -> merge 3: #7 landing
      missed -> merge 4: #7 building on 04 | sync_base; build_candidate on 04

    landing again and again, though nobody moves the base
      missed -> merge 5: #7 building on 04 | build_candidate on 04
      missed -> merge 6: #7 building on 04 | build_candidate on 04
      missed -> idle | tell #7 merge_rejected

    waiting to land
      not free -> merge 1: #7 waiting to land | tell #7 merge_waits; wake land in 15 s
      due -> merge 1: #7 landing | land
      due, twice -> ignored: it is landing already
      still not free -> merge 1: #7 waiting to land | wake land in 15 s
      the base moved -> merge 2: #7 building on 02 | build_candidate on 02
    ");
}

#[test]
fn what_is_withdrawn_or_contained_leaves_the_queue() {
    let mut rows = Rows::synced();
    rows.after(enqueued(7, 0, 0));
    rows.after(enqueued(8, 0, 1));
    rows.given("#7 is being tested, #8 is next");
    rows.after(rows.built(1));
    rows.when("#7 withdrawn", withdrawn(7));
    rows.when("#7 withdrawn again", withdrawn(7));

    for (name, event) in [
        (
            "missed",
            (|rows: &Rows| rows.missed(2)) as fn(&Rows) -> RepoEvent,
        ),
        ("not free", Rows::waits),
        ("landed", Rows::landed),
    ] {
        rows.given("landing, withdrawn");
        rows = Rows {
            table: rows.table,
            ..Rows::landing()
        };
        rows.when("withdrawn", withdrawn(7));
        rows.when(name, event(&rows));
    }

    rows.given("landing, withdrawn and queued again");
    rows = Rows {
        table: rows.table,
        ..Rows::landing()
    };
    rows.when("withdrawn", withdrawn(7));
    rows.when("#7 enqueued", enqueued(7, 0, 0));
    rows.when("landed all the same", rows.landed());

    rows.given("#7 is queued, its tip known");
    rows = Rows {
        table: rows.table,
        ..Rows::synced()
    };
    rows.after(RepoEvent::HeadKnown {
        story: story_id(7),
        head: Some(sha(27)),
    });
    rows.after(enqueued(7, 0, 0));
    rows.when(
        "an older tip is contained",
        synced(2, &[(story_id(7), sha(26))]),
    );
    rows.when("its tip is contained", synced(3, &[(story_id(7), sha(27))]));
    insta::assert_snapshot!(rows.table, @r"
    #7 is being tested, #8 is next
      #7 withdrawn -> merge 2: #8 building on 01 | stop merge-1; build_candidate on 01
      #7 withdrawn again -> ignored: it is not in the queue

    landing, withdrawn
      withdrawn -> merge 1: #7 landing (withdrawn)
      missed -> idle | sync_base

    landing, withdrawn
      withdrawn -> merge 1: #7 landing (withdrawn)
      not free -> idle

    landing, withdrawn
      withdrawn -> merge 1: #7 landing (withdrawn)
      landed -> idle | tell #7 landed; sync_base

    landing, withdrawn and queued again
      withdrawn -> merge 1: #7 landing (withdrawn)
      #7 enqueued -> merge 1: #7 landing (withdrawn), #7 queued
      landed all the same -> idle | tell #7 landed; sync_base

    #7 is queued, its tip known
      an older tip is contained -> merge 2: #7 building on 02 | build_candidate on 02
      its tip is contained -> idle | tell #7 contained
    ");
}

#[test]
fn a_story_hears_once_that_the_base_conflicts_with_it_and_once_that_it_does_not() {
    let mut rows = Rows::synced();
    let known = |head| RepoEvent::HeadKnown {
        story: story_id(7),
        head: Some(sha(head)),
    };
    rows.given("the tip of #7 is known");
    rows.after(known(27));
    rows.when("still merges", checked(2, 27, &[]));
    rows.when("conflicts", checked(3, 27, &["a.rs"]));
    rows.when("conflicts as before", checked(4, 27, &["a.rs"]));
    rows.when("conflicts elsewhere", checked(5, 27, &["a.rs", "b.rs"]));
    rows.when("the answer is of an older commit", checked(5, 26, &[]));
    rows.when("merges again", checked(6, 27, &[]));
    rows.given("it has a newer commit than the one that conflicts");
    rows.after(checked(7, 27, &["a.rs"]));
    rows.after(known(28));
    rows.when("still merges", checked(8, 28, &[]));
    rows.when("conflicts", checked(9, 28, &["a.rs"]));
    insta::assert_snapshot!(rows.table, @r"
    the tip of #7 is known
      still merges -> idle
      conflicts -> idle | tell #7 base_conflicts
      conflicts as before -> idle
      conflicts elsewhere -> idle | tell #7 base_conflicts
      the answer is of an older commit -> idle
      merges again -> idle | tell #7 base_conflicts

    it has a newer commit than the one that conflicts
      still merges -> idle
      conflicts -> idle | tell #7 base_conflicts
    ");
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table is read from its top to its end"
)]
fn a_merge_that_cannot_be_made_is_told_with_its_reason() {
    let mut rows = Rows::synced();
    rows.given("building");
    rows.after(enqueued(7, 0, 0));
    let number = rows.merge_number();
    let paths = vec!["a.rs".to_owned()];
    let conflict = RepoEvent::CandidateConflicted {
        number,
        base: sha(1),
        paths,
    };
    rows.when("conflict", conflict);
    rows.after(enqueued(7, 0, 0));
    let number = rows.merge_number();
    rows.when(
        "nothing to merge",
        RepoEvent::CandidateEmpty {
            number,
            base: sha(1),
        },
    );
    rows.after(enqueued(7, 0, 0));
    for _ in 0..3 {
        let number = rows.merge_number();
        let message = "git broke off".to_owned();
        rows.when("failed", RepoEvent::CandidateFailed { number, message });
    }
    rows.given("building");
    rows.after(enqueued(7, 0, 0));
    rows.when("built on another base", rows.built(2));
    let mut another = rows.built(1);
    if let RepoEvent::CandidateBuilt { candidate, .. } = &mut another {
        candidate.head = sha(26);
    }
    rows.when("another head built", another);
    rows.after(withdrawn(7));
    rows.given("gating");
    rows.after(enqueued(7, 0, 0));
    rows.after(rows.built(1));
    let number = rows.merge_number();
    let other = report(&sha(30), &sha(131), None);
    rows.when(
        "gates passed on another tree",
        RepoEvent::GatesEnded {
            number,
            report: other,
        },
    );
    rows.after(rows.built(1));
    rows.when("gates failed", rows.gates(Some("broken")));
    rows.after(enqueued(7, 0, 0));
    rows.after(rows.built(1));
    let mut skipped = rows.gates(None);
    if let RepoEvent::GatesEnded { report, .. } = &mut skipped {
        skip_all(report);
    }
    rows.when("no gate applied", skipped);
    rows.given("landing");
    rows = Rows {
        table: rows.table,
        ..Rows::landing()
    };
    let number = rows.merge_number();
    let reason = "protected branch".to_owned();
    rows.when("rejected", RepoEvent::LandRejected { number, reason });
    insta::assert_snapshot!(rows.table, @r"
    building
      conflict -> idle | tell #7 merge_conflicted
      nothing to merge -> idle | tell #7 contained
      failed -> merge 4: #7 building on 01 | build_candidate on 01
      failed -> merge 5: #7 building on 01 | build_candidate on 01
      failed -> idle | tell #7 merge_rejected

    building
      built on another base -> merge 7: #7 building on 01 | build_candidate on 01
      another head built -> merge 8: #7 building on 01 | build_candidate on 01

    gating
      gates passed on another tree -> merge 10: #7 building on 01 | build_candidate on 01
      gates failed -> idle | tell #7 merge_gates_failed
      no gate applied -> idle | tell #7 merge_rejected

    landing
      rejected -> idle | tell #7 merge_rejected
    ");
}

#[test]
fn what_touches_protected_paths_is_tested_and_landed_only_when_approved() {
    let mut rows = Rows::synced();
    rows.after(enqueued(7, 0, 0));
    rows.given("building");
    rows.when("it touches .github", rows.built_protected(1));
    let mut approved = enqueued(7, 0, 0);
    if let RepoEvent::Enqueued { entry } = &mut approved {
        entry.approved = true;
    }
    rows.given("building, approved");
    rows.after(approved);
    rows.when("it touches .github", rows.built_protected(1));
    insta::assert_snapshot!(rows.table, @r"
    building
      it touches .github -> idle | tell #7 merge_needs_approval

    building, approved
      it touches .github -> merge 2: #7 gating | start merge-2; tell #7 merge_began
    ");
}
