//! The words that people read on the forge.

use std::time::Duration;

use super::*;
use crate::domain::dependency::{IssueState, Need, StoryState};
use crate::domain::story::{BlockReason, BlockedFrom, LastTry, Unconfirmed};

fn sha(digit: char) -> crate::domain::id::Sha {
    digit.to_string().repeat(40).parse().unwrap()
}

fn story(stage: Stage) -> Story {
    let mut story = Story::new("octo/app#42".parse().unwrap());
    story.branch = Some("feature/story-42-fix-the-door".parse().unwrap());
    story.attempt = crate::domain::id::Attempt(2);
    story.stage = stage;
    story
}

fn text(comment: &Markdown) -> String {
    Masker::default().comment(comment)
}

fn failing_report(tail: &str) -> GateReport {
    GateReport {
        commit: sha('a'),
        tree: sha('b'),
        outcomes: vec![
            GateOutcome {
                gate: "test".parse().unwrap(),
                verdict: GateVerdict::Failed { status: 1 },
                duration: Duration::from_millis(1_250),
                tail: tail.to_owned(),
            },
            GateOutcome {
                gate: "docs".parse().unwrap(),
                verdict: GateVerdict::Skipped,
                duration: Duration::ZERO,
                tail: String::new(),
            },
        ],
    }
}

#[test]
fn a_blocked_story_says_what_happened_and_what_to_do() {
    let failed = vec!["test".parse().unwrap()];
    let mut story = story(Stage::Blocked {
        reason: BlockReason::RetriesUsedUp {
            attempts: 4,
            last: LastTry::GatesFailed { failed },
        },
        from: BlockedFrom::Coding,
    });
    story.report = Some(failing_report("```\n@everyone closes #1"));
    story.refused.insert("stranger".to_owned());
    insta::assert_snapshot!(text(&sticky_comment(&story, Sandbox::On)), @"
    <!-- huskies:story octo/app#42 -->
    ### huskies: blocked

    **What happened.** All 4 tries are used up. In the last one `test` failed.

    | gate on `aaaaaaaaaa` | verdict | time |
    |---|---|---|
    | `test` | **`failed with exit status 1`** | 1.2 s |
    | `docs` | skipped: none of its paths changed | 0.0 s |

    <details><summary>End of the output of <code>test</code></summary>

    ````text
    ```
    @everyone closes #1
    ````
    </details>

    **What you can do.** Mend what is named above, then set the retry label: it goes on from where it was. Remove the start label to put it back.

    `stranger`: thank you, but starting or moving a story needs write permission on this repository.

    <sub>2 attempts · 0 gate runs · 0.00 USD · branch `feature/story-42-fix-the-door`</sub>
    ");
}

#[test]
fn a_done_story_shows_its_receipt() {
    let receipt = Receipt {
        base: sha('1'),
        head: sha('2'),
        commit: sha('3'),
        tree: sha('4'),
        gates: vec![GateOutcome {
            verdict: GateVerdict::Passed,
            ..failing_report("").outcomes.remove(0)
        }],
    };
    let done = Announcement::Done {
        commit: sha('3'),
        receipt: Some(Box::new(receipt)),
    };
    let id = EffectId("octo/app#42@7.1".to_owned());
    insta::assert_snapshot!(text(&announcement(&id, &"octo/app#42".parse().unwrap(), &done)), @"
    <!-- huskies:act octo/app#42@7.1 -->
    **Done.** Landed as `3333333333` on `1111111111`. What landed is the tree `4444444444` that `test` tested.
    ");
}

#[test]
fn every_status_says_its_news_in_a_few_words() {
    let conflict = MergeFailure::ConflictDetected {
        base: sha('1'),
        paths: vec!["src/a.rs".to_owned()],
    };
    let news = [
        StatusNews::Gates(GatesNews::Running),
        StatusNews::Gates(GatesNews::judged(&failing_report(""))),
        StatusNews::Gates(GatesNews::Judged {
            passed: 2,
            skipped: 1,
            failed: vec![],
        }),
        StatusNews::Merge(MergeNews::Testing { base: sha('1') }),
        StatusNews::Merge(MergeNews::Failed { failure: conflict }),
        StatusNews::Merge(MergeNews::Landed { commit: sha('3') }),
    ];
    let lines = news.map(|news| {
        format!(
            "{} {}: {}",
            news.context(),
            news.state().name(),
            Masker::default().status(&news)
        )
    });
    insta::assert_snapshot!(lines.join("\n"), @"
    huskies/gates pending: The gates are running.
    huskies/gates failure: Failed: test.
    huskies/gates success: 2 passed, 1 skipped.
    huskies/merge pending: Testing what would land on 1111111111.
    huskies/merge failure: Conflict in src/a.rs.
    huskies/merge success: Landed as 3333333333.
    ");
}

#[test]
fn nothing_quoted_in_a_comment_can_ping_or_reference() {
    let hostile = "@octocat fixes #7 ``` <img src=x> </details>";
    let mut story = story(Stage::Blocked {
        reason: BlockReason::Asked {
            question: hostile.to_owned(),
        },
        from: BlockedFrom::Coding,
    });
    story.report = Some(failing_report(hostile));
    let text = text(&sticky_comment(&story, Sandbox::On));
    for line in text.lines().filter(|line| line.contains("@octocat")) {
        let fenced = line == hostile;
        assert!(fenced || line.contains("`@octocat"), "{line}");
    }
}

#[test]
fn a_conflict_with_the_base_is_in_the_comment_until_something_is_done_about_it() {
    let conflict = BaseConflict {
        base: sha('c'),
        paths: vec!["a.rs".to_owned(), "@everyone.rs".to_owned()],
    };
    let with_conflict = |stage| {
        let mut story = story(stage);
        story.base_conflict = Some(conflict.clone());
        text(&sticky_comment(&story, Sandbox::On))
    };
    let stopped = with_conflict(Stage::Backlog {
        note: Some(BacklogNote::Stopped),
    });
    let line = stopped
        .lines()
        .find(|line| line.starts_with("**In the way."));
    insta::assert_snapshot!(line.unwrap(), @"**In the way.** The base branch moved to `cccccccccc` and conflicts with it in `a.rs`, `@everyone.rs`. An agent is told at its next turn.");
    assert!(!with_conflict(Stage::Cancelled).contains("In the way"));
}

fn need(issue: u64, state: IssueState, story: StoryState) -> Need {
    Need {
        issue,
        title: format!("Door {issue} `@ann`"),
        sub_issue: issue == 6,
        state,
        at: None,
        story,
    }
}

fn waiting(circle: &[u64], needs: &[Need]) -> Story {
    let circle = circle.to_vec();
    let mut story = story(Stage::Backlog {
        note: Some(BacklogNote::Waits { circle }),
    });
    story.needs = needs.to_vec();
    story
}

#[test]
fn a_story_that_waits_says_for_what_and_how_that_is() {
    let story = waiting(
        &[],
        &[
            need(3, IssueState::Open, StoryState::UnderWay),
            need(4, IssueState::Completed, StoryState::None),
            need(5, IssueState::NotPlanned, StoryState::None),
            need(6, IssueState::Open, StoryState::None),
        ],
    );
    insta::assert_snapshot!(text(&sticky_comment(&story, Sandbox::On)), @"
    <!-- huskies:story octo/app#42 -->
    ### huskies: waiting for #3, #5 and #6

    **What happened.** It waits for #3 (`Door 3 '@ann'`, under way), #5 (`Door 5 '@ann'`, closed without being done) and #6 (`Door 6 '@ann'`, a part of it, open).

    **What you can do.** What it waits for will not be done by itself. Take it out of the text (by somebody with write permission), or see to it that it is done. `/huskies retry` looks again. Remove the start label to wait no longer.

    <sub>2 attempts · 0 gate runs · 0.00 USD · branch `feature/story-42-fix-the-door`</sub>
    ");
    let circle = waiting(&[42, 3], &[need(3, IssueState::Open, StoryState::UnderWay)]);
    insta::assert_snapshot!(reason(&circle).unwrap_or_default(), @"They wait for each other in a circle, and so none of them can begin: #42 → #3 → #42. It waits for #3 (Door 3 '@ann', under way).");
    let itself = waiting(&[42], &[need(42, IssueState::Open, StoryState::UnderWay)]);
    insta::assert_snapshot!(reason(&itself).unwrap_or_default(), @"It depends on itself, and so can never begin. It waits for #42 (Door 42 '@ann', under way).");
}

#[test]
fn more_issues_than_a_person_reads_are_counted() {
    let needs: Vec<Need> = (1..=30)
        .map(|issue| need(issue, IssueState::Missing, StoryState::None))
        .collect();
    let comment = text(&sticky_comment(&waiting(&[], &needs), Sandbox::On));
    assert!(comment.contains("#9, #10 and 20 more"), "{comment}");
}

#[test]
fn a_changed_text_names_who_changed_it_and_how_it_is_confirmed() {
    let change = |holds| {
        Some(Unconfirmed {
            by: "eve`".to_owned(),
            title: "Fix".to_owned(),
            body: "Now.".to_owned(),
            holds,
        })
    };
    let mut blocked = story(Stage::Backlog {
        note: Some(BacklogNote::Unconfirmed),
    });
    blocked.unconfirmed = change(true);
    insta::assert_snapshot!(reason(&blocked).unwrap_or_default(), @"eve' may not write here, and changed the text of this issue or of its parent within ten minutes before it was started. To take the text over as it is now, somebody with write permission reads it and comments /huskies confirm 8eaed14d7f40.");
    blocked.stage = Stage::Cancelled;
    assert!(!text(&sticky_comment(&blocked, Sandbox::On)).contains("confirm"));
    let mut running = story(Stage::Blocked {
        reason: BlockReason::NothingTested,
        from: BlockedFrom::Coding,
    });
    running.unconfirmed = change(false);
    running.unwatched = vec!["octo/other#5".to_owned()];
    insta::assert_snapshot!(text(&sticky_comment(&running, Sandbox::On)), @"
    <!-- huskies:story octo/app#42 -->
    ### huskies: blocked

    **What happened.** None of the gates applies to the files that changed, and nothing lands untested. Give a gate in `.huskies/project.toml` no `paths`, or some that match.

    **Changed.** `eve'` may not write here, and changed the issue's text. The story goes on with the text as it was before. To take the text over as it is now, somebody with write permission reads it and comments `/huskies confirm 8eaed14d7f40`.

    **Not watched.** It does not wait for `octo/other#5`: huskies watches no other repository, and no more than 50 issues.

    **What you can do.** Mend what is named above, then set the retry label: it goes on from where it was. Remove the start label to put it back.

    <sub>2 attempts · 0 gate runs · 0.00 USD · branch `feature/story-42-fix-the-door`</sub>
    ");
}
