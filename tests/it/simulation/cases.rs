//! Histories that once broke a promise, told with whatever the dice make of them until enough of
//! them came to the point.

use std::sync::Arc;
use std::time::Duration;

use huskies::domain::story::Wish;
use huskies::domain::work::Task;

use super::dice::Dice;
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
fn a_label_whose_delivery_is_lost_is_found_and_its_story_lands() {
    let history = History {
        steps: vec![after(1, started())],
        fault_rate: None,
        loss_rate: Some(1),
        cents: 5_000,
    };
    assert_kept(&history, &["delivery 1 is lost", "Landed"]);
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
        loss_rate: None,
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
        loss_rate: None,
        cents: 5_000,
    };
    let lost = "create_comment: done, and its answer is lost";
    assert_kept(&history, &["DeleteSticky", lost]);
}

#[test]
fn a_label_whose_writing_was_not_answered_does_not_stay_when_the_story_turns_back() {
    let operator = |wish| Step::Operator { number: 1, wish };
    let start = || Wish::Start {
        task: Task::default(),
        agent: None,
        priority: 0,
        around: Box::default(),
    };
    // To Coding, and back to Backlog before the forge can be told again.
    let turn = |instant| {
        [
            after(100, operator(start())),
            (
                Duration::from_millis(instant),
                Step::ForgeDown { seconds: 60 },
            ),
            after(3, operator(Wish::Stop)),
        ]
    };
    let mut steps = vec![after(1, started()), after(30, operator(Wish::Stop))];
    steps.extend([900, 1_300, 1_700, 2_100].into_iter().flat_map(turn));
    let history = History {
        steps,
        fault_rate: Some(4),
        loss_rate: None,
        cents: 5_000,
    };
    let lost = "set_stage_label: done, and its answer is lost";
    assert_kept(&history, &["Stop", lost, "Stop"]);
}
