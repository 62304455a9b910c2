//! Histories that once broke a promise, told with whatever the dice make of them until enough of
//! them came to the point.

use std::sync::Arc;
use std::time::Duration;

use huskies::domain::delivery::IssueAction;

use super::dice::Dice;
use super::forge::WRITER;
use super::history::{History, Step, started};
use super::life::tell_history;
use super::store::Host;

/// Tells a history with many dice. All must keep every promise, and some must come to `points`, in
/// this order.
fn assert_kept(history: &History, points: &[&str]) {
    let host = Arc::new(Host::new());
    let mut came = 0;
    for seed in 0..40 {
        let told = tell_history(history.clone(), Dice::new(seed), (&[], &host));
        let story = told.trace.join("\n");
        assert!(
            told.violations.is_empty(),
            "{seed}: {:#?}\n{story}",
            told.violations
        );
        let mut lines = told.trace.iter();
        let reached = points
            .iter()
            .all(|point| lines.any(|line| line.contains(point)));
        came += u32::from(reached);
    }
    assert!(came > 0, "none of them came to {points:?}");
}

fn after(seconds: u64, step: Step) -> (Duration, Step) {
    (Duration::from_secs(seconds), step)
}

#[test]
fn a_timer_survives_a_disk_that_does_not_take_its_event() {
    let full = || after(240, Step::FullDisk { writes: 3 });
    let history = History {
        steps: vec![
            after(1, started()),
            after(60, Step::Dirty { seconds: 3_000 }),
            full(),
            full(),
            full(),
            full(),
        ],
        fault_rate: None,
        cents: 5_000,
    };
    assert_kept(
        &history,
        &["land_waits", "the disk refuses a commit", "Landed"],
    );
}

#[test]
fn a_sticky_comment_that_was_deleted_is_posted_anew_once() {
    let history = History {
        steps: vec![
            after(1, started()),
            after(20, Step::DeleteSticky { number: 1 }),
            after(300, Step::DeleteSticky { number: 1 }),
        ],
        fault_rate: Some(3),
        cents: 5_000,
    };
    let lost = "create_comment: done, and its answer is lost";
    assert_kept(&history, &["DeleteSticky", lost]);
}

#[test]
fn a_label_whose_writing_was_not_answered_does_not_stay_when_the_story_turns_back() {
    let retry = || Step::Issue {
        number: 1,
        action: IssueAction::Labeled("huskies:retry".to_owned()),
        by: WRITER,
    };
    let restart = || Step::Restart {
        away: Duration::from_secs(90),
    };
    // A server that is told to leave while it waits to try again, and agents that end meanwhile.
    let turn = || [after(200, retry()), after(2, restart())];
    let mut steps = vec![after(1, started())];
    steps.extend((0..8).flat_map(|_| turn()));
    let history = History {
        steps,
        fault_rate: Some(3),
        cents: 5_000,
    };
    let lost = "set_stage_label: done, and its answer is lost";
    assert_kept(&history, &[lost, "a server starts"]);
}
