//! The ledger and the pauses of providers (spec 5.7, 5.9), and commits without a story.

use jiff::SignedDuration;

use super::Table;
use crate::domain::account::{Budget, Limits, Wanted};
use crate::domain::event::{AccountEvent, Event, SubjectId};
use crate::domain::id::{Attempt, Provider};
use crate::domain::money::Usd;
use crate::domain::transition::Subject;
use crate::domain::transition::tests::story_id;

/// A ledger under test, and the table it fills.
struct Rows {
    table: Table,
    account: Subject,
}

impl Rows {
    /// 5 USD a story, `day` cents a day.
    fn new(day: u64, agents: u32) -> Self {
        let limits = Limits {
            per_story: Usd::from_cents(500),
            per_day: Usd::from_cents(day),
            agents,
        };
        let mut rows = Self {
            table: Table::new(),
            account: Subject::new(&SubjectId::Account),
        };
        rows.given(&format!("{} a day, {agents} places", limits.per_day));
        rows.when("configured", AccountEvent::Configured { limits });
        rows
    }

    fn given(&mut self, situation: &str) {
        self.table.given(situation);
    }

    fn when(&mut self, what: &str, event: AccountEvent) {
        let event = Event::Account { event };
        self.account = self.table.when(&self.account, what, &event);
    }

    fn later(&mut self, minutes: i64) {
        self.table.now += SignedDuration::from_mins(minutes);
    }
}

fn provider(name: &str) -> Provider {
    Provider(name.to_owned())
}

fn wanted_from(number: u64, name: &str, budget: Budget, priority: i32) -> AccountEvent {
    AccountEvent::Wanted {
        wanted: Wanted {
            story: story_id(number),
            attempt: Attempt(1),
            provider: provider(name),
            budget,
            priority,
        },
    }
}

fn wanted(number: u64, cents: u64) -> AccountEvent {
    wanted_from(number, "anthropic", Budget::UpTo(Usd::from_cents(cents)), 0)
}

fn settled(number: u64, cents: Option<u64>) -> AccountEvent {
    AccountEvent::Settled {
        story: story_id(number),
        attempt: Attempt(1),
        used: cents.map(Usd::from_cents),
    }
}

fn paused(name: &str, until: Option<jiff::Timestamp>) -> AccountEvent {
    AccountEvent::Paused {
        provider: provider(name),
        because: format!("{name} is overloaded"),
        until,
    }
}

fn over(name: &str) -> AccountEvent {
    AccountEvent::PauseOver {
        provider: provider(name),
    }
}

#[test]
fn money_is_held_before_a_start_and_settled_after_it() {
    let mut rows = Rows::new(800, 4);
    rows.when(
        "#1 wants the rest",
        wanted_from(1, "anthropic", Budget::Rest, 0),
    );
    rows.when("#1 wants twice", wanted(1, 100));
    rows.when("#2 wants 4", wanted(2, 400));
    rows.when(
        "#3 is not metered",
        wanted_from(3, "command", Budget::Unmetered, 0),
    );
    rows.when("#1 settles 1", settled(1, Some(100)));
    rows.when("#1 settles twice", settled(1, Some(100)));
    rows.when("#2 settles, nobody knows how much", settled(2, None));
    rows.when("#4 wants 4, which the day has not", wanted(4, 400));
    rows.when("#4 settles all", settled(4, Some(300)));
    rows.when("#5 wants", wanted(5, 100));
    rows.given("the next day");
    rows.later(12 * 60);
    rows.when("#5 wants again", wanted(5, 700));
    rows.when("#5 settles all", settled(5, None));
    rows.later(-24 * 60);
    rows.given("the clock is put back: the day's money is not given twice");
    rows.when("#6 wants 4", wanted(6, 400));
    rows.later(25 * 60);
    rows.given("and forth again");
    let gone = AccountEvent::Released {
        story: story_id(6),
        attempt: Attempt(1),
    };
    rows.when("#6 does not start", gone);
    rows.when(
        "#5 wants once more",
        wanted_from(5, "anthropic", Budget::Rest, 0),
    );
    insta::assert_snapshot!(rows.table, @r"
    8.00 USD a day, 4 places
      configured -> spent 0.00 USD, held 0.00 USD
      #1 wants the rest -> spent 0.00 USD, held 5.00 USD | tell #1 reserved 5.00 USD
      #1 wants twice -> ignored: this attempt has asked already
      #2 wants 4 -> spent 0.00 USD, held 5.00 USD, #2 waits | tell #2 money_delayed: the rest of today's money is held for agents that run; wake day-turned in 43200 s
      #3 is not metered -> spent 0.00 USD, held 5.00 USD, #2 waits | tell #3 reserved 0.00 USD
      #1 settles 1 -> spent 1.00 USD, held 4.00 USD | tell #2 reserved 4.00 USD
      #1 settles twice -> ignored: nothing is reserved for this attempt
      #2 settles, nobody knows how much -> spent 5.00 USD, held 0.00 USD
      #4 wants 4, which the day has not -> spent 5.00 USD, held 3.00 USD | tell #4 reserved 3.00 USD
      #4 settles all -> spent 8.00 USD, held 0.00 USD
      #5 wants -> spent 8.00 USD, held 0.00 USD | tell #5 money_refused: 8.00 USD is spent today; the ceiling for a day is 8.00 USD

    the next day
      #5 wants again -> spent 0.00 USD, held 5.00 USD | tell #5 reserved 5.00 USD
      #5 settles all -> spent 5.00 USD, held 0.00 USD

    the clock is put back: the day's money is not given twice
      #6 wants 4 -> spent 5.00 USD, held 3.00 USD | tell #6 reserved 3.00 USD

    and forth again
      #6 does not start -> spent 5.00 USD, held 0.00 USD
      #5 wants once more -> spent 5.00 USD, held 0.00 USD | tell #5 money_refused: 5.00 USD is spent on this story; its ceiling is 5.00 USD
    ");
}

#[test]
fn a_new_day_wakes_those_who_wait_for_its_money() {
    let mut rows = Rows::new(500, 4);
    rows.when("#1 wants 3", wanted(1, 300));
    rows.when("#1 settles", settled(1, Some(300)));
    rows.when("#2 wants 2", wanted(2, 200));
    rows.when("#3 wants 1", wanted(3, 100));
    rows.given("midnight");
    rows.later(12 * 60);
    rows.when("the day turned", AccountEvent::DayTurned);
    rows.when("#4 wants 5", wanted(4, 500));
    rows.given("the midnight after");
    rows.later(24 * 60);
    rows.when("the day turned, all is still held", AccountEvent::DayTurned);
    insta::assert_snapshot!(rows.table, @r"
    5.00 USD a day, 4 places
      configured -> spent 0.00 USD, held 0.00 USD
      #1 wants 3 -> spent 0.00 USD, held 3.00 USD | tell #1 reserved 3.00 USD
      #1 settles -> spent 3.00 USD, held 0.00 USD
      #2 wants 2 -> spent 3.00 USD, held 2.00 USD | tell #2 reserved 2.00 USD
      #3 wants 1 -> spent 3.00 USD, held 2.00 USD, #3 waits | tell #3 money_delayed: the rest of today's money is held for agents that run; wake day-turned in 43200 s

    midnight
      the day turned -> spent 0.00 USD, held 3.00 USD | tell #3 reserved 1.00 USD
      #4 wants 5 -> spent 0.00 USD, held 3.00 USD, #4 waits | tell #4 money_delayed: the rest of today's money is held for agents that run; wake day-turned in 86400 s

    the midnight after
      the day turned, all is still held -> spent 0.00 USD, held 3.00 USD, #4 waits | tell #4 money_delayed: the rest of today's money is held for agents that run; wake day-turned in 86400 s
    ");
}

#[test]
fn places_go_by_priority_then_age() {
    let mut rows = Rows::new(5_000, 1);
    rows.when("#1 wants", wanted(1, 100));
    rows.when("#2 wants", wanted(2, 100));
    rows.when("#3 wants", wanted(3, 100));
    rows.when(
        "#4 wants, more urgent",
        wanted_from(4, "anthropic", Budget::Rest, 5),
    );
    rows.when("#1 settles", settled(1, Some(1)));
    let raised = AccountEvent::Prioritised {
        story: story_id(3),
        priority: 9,
    };
    rows.when("#3 is raised", raised);
    rows.when("#4 settles", settled(4, Some(1)));
    let gone = AccountEvent::Released {
        story: story_id(3),
        attempt: Attempt(1),
    };
    rows.when("#3 does not start", gone);
    insta::assert_snapshot!(rows.table, @r"
    50.00 USD a day, 1 places
      configured -> spent 0.00 USD, held 0.00 USD
      #1 wants -> spent 0.00 USD, held 1.00 USD | tell #1 reserved 1.00 USD
      #2 wants -> spent 0.00 USD, held 1.00 USD, #2 waits | tell #2 money_delayed: all 1 places for agents on this server are taken
      #3 wants -> spent 0.00 USD, held 1.00 USD, #2 waits, #3 waits | tell #3 money_delayed: all 1 places for agents on this server are taken
      #4 wants, more urgent -> spent 0.00 USD, held 1.00 USD, #4 waits, #2 waits, #3 waits | tell #4 money_delayed: all 1 places for agents on this server are taken
      #1 settles -> spent 0.01 USD, held 5.00 USD, #2 waits, #3 waits | tell #4 reserved 5.00 USD
      #3 is raised -> spent 0.01 USD, held 5.00 USD, #3 waits, #2 waits
      #4 settles -> spent 0.02 USD, held 1.00 USD, #2 waits | tell #3 reserved 1.00 USD
      #3 does not start -> spent 0.02 USD, held 1.00 USD | tell #2 reserved 1.00 USD
    ");
}

#[test]
fn each_provider_pauses_by_itself() {
    let mut rows = Rows::new(5_000, 4);
    let soon = rows.table.now + SignedDuration::from_mins(5);
    let later = rows.table.now + SignedDuration::from_mins(9);
    rows.when("one pauses", paused("anthropic", Some(soon)));
    rows.when("another too", paused("openai", Some(later)));
    rows.when("#1 wants the one", wanted(1, 100));
    rows.when(
        "#2 wants a third",
        wanted_from(2, "command", Budget::Unmetered, 0),
    );
    rows.when("over too early", over("anthropic"));
    rows.when(
        "the one pauses for longer",
        paused("anthropic", Some(later)),
    );
    rows.later(5);
    rows.when("the first wake-up", over("anthropic"));
    rows.later(4);
    rows.when("the second wake-up", over("anthropic"));
    rows.when("the second wake-up again", over("anthropic"));
    rows.when("the other's", over("openai"));
    insta::assert_snapshot!(rows.table, @r"
    50.00 USD a day, 4 places
      configured -> spent 0.00 USD, held 0.00 USD
      one pauses -> spent 0.00 USD, held 0.00 USD, anthropic paused | wake pause-over:anthropic in 300 s
      another too -> spent 0.00 USD, held 0.00 USD, anthropic paused, openai paused | wake pause-over:openai in 540 s
      #1 wants the one -> spent 0.00 USD, held 0.00 USD, #1 waits, anthropic paused, openai paused | tell #1 money_delayed: anthropic is overloaded
      #2 wants a third -> spent 0.00 USD, held 0.00 USD, #1 waits, anthropic paused, openai paused | tell #2 reserved 0.00 USD
      over too early -> spent 0.00 USD, held 0.00 USD, #1 waits, anthropic paused, openai paused | wake pause-over:anthropic in 300 s
      the one pauses for longer -> spent 0.00 USD, held 0.00 USD, #1 waits, anthropic paused, openai paused | wake pause-over:anthropic in 540 s; tell #1 money_delayed: anthropic is overloaded
      the first wake-up -> spent 0.00 USD, held 0.00 USD, #1 waits, anthropic paused, openai paused | wake pause-over:anthropic in 240 s
      the second wake-up -> spent 0.00 USD, held 1.00 USD, openai paused | tell #1 reserved 1.00 USD
      the second wake-up again -> ignored: the provider is not paused
      the other's -> spent 0.00 USD, held 1.00 USD
    ");
}

#[test]
fn a_pause_without_an_end_is_probed_by_one_agent() {
    let mut rows = Rows::new(5_000, 4);
    rows.when("not logged in", paused("anthropic", None));
    rows.when("#1 wants", wanted(1, 100));
    rows.when("#2 wants", wanted(2, 100));
    rows.later(30);
    rows.when("half an hour later", over("anthropic"));
    rows.when("told twice", over("anthropic"));
    rows.given("the probe fails");
    rows.when("not logged in", paused("anthropic", None));
    rows.when("#1 settles", settled(1, Some(0)));
    rows.later(30);
    rows.when("half an hour later", over("anthropic"));
    rows.given("the probe succeeds");
    rows.when("#3 wants", wanted(3, 100));
    rows.when("#2 settles", settled(2, Some(50)));
    rows.given("a person mends it");
    rows.when("not logged in", paused("anthropic", None));
    rows.when("#4 wants", wanted(4, 100));
    rows.when(
        "mended",
        AccountEvent::Mended {
            provider: provider("anthropic"),
        },
    );
    rows.when(
        "mended twice",
        AccountEvent::Mended {
            provider: provider("anthropic"),
        },
    );
    insta::assert_snapshot!(rows.table, @r"
    50.00 USD a day, 4 places
      configured -> spent 0.00 USD, held 0.00 USD
      not logged in -> spent 0.00 USD, held 0.00 USD, anthropic paused | wake pause-over:anthropic in 1800 s
      #1 wants -> spent 0.00 USD, held 0.00 USD, #1 waits, anthropic paused | tell #1 money_delayed: anthropic is overloaded
      #2 wants -> spent 0.00 USD, held 0.00 USD, #1 waits, #2 waits, anthropic paused | tell #2 money_delayed: anthropic is overloaded
      half an hour later -> spent 0.00 USD, held 1.00 USD, #2 waits, anthropic paused | tell #1 reserved 1.00 USD; tell #2 money_delayed: anthropic is overloaded (another agent tries whether that has changed)
      told twice -> ignored: an agent tries already

    the probe fails
      not logged in -> spent 0.00 USD, held 1.00 USD, #2 waits, anthropic paused | wake pause-over:anthropic in 1800 s; tell #2 money_delayed: anthropic is overloaded
      #1 settles -> spent 0.00 USD, held 0.00 USD, #2 waits, anthropic paused
      half an hour later -> spent 0.00 USD, held 1.00 USD, anthropic paused | tell #2 reserved 1.00 USD

    the probe succeeds
      #3 wants -> spent 0.00 USD, held 1.00 USD, #3 waits, anthropic paused | tell #3 money_delayed: anthropic is overloaded (another agent tries whether that has changed)
      #2 settles -> spent 0.50 USD, held 1.00 USD | tell #3 reserved 1.00 USD

    a person mends it
      not logged in -> spent 0.50 USD, held 1.00 USD, anthropic paused | wake pause-over:anthropic in 1800 s
      #4 wants -> spent 0.50 USD, held 1.00 USD, #4 waits, anthropic paused | tell #4 money_delayed: anthropic is overloaded
      mended -> spent 0.50 USD, held 2.00 USD | tell #4 reserved 1.00 USD
      mended twice -> ignored: the provider is not paused
    ");
}

#[test]
fn a_clock_that_ran_ahead_and_is_right_again_holds_up_neither_money_nor_a_probe() {
    let mut rows = Rows::new(1_000, 4);
    let hour = 60;
    rows.when("#1 wants 5", wanted(1, 500));
    rows.when("#1 settles", settled(1, Some(500)));
    rows.later(10 * 24 * hour);
    rows.when("ten days later #2 wants 5", wanted(2, 500));
    rows.when("#2 settles", settled(2, Some(400)));
    rows.when("somebody is out of credit", paused("anthropic", None));
    rows.later(-10 * 24 * hour);
    rows.when("ten days back: the probe is due", over("anthropic"));
    rows.when("#3 wants 5", wanted(3, 500));
    rows.when("#3 settles", settled(3, Some(500)));
    rows.when("#4 wants 5: what was spent stays spent", wanted(4, 500));
    rows.later(24 * hour);
    rows.when("a day later", AccountEvent::DayTurned);
    let text = rows.table.to_string();
    assert!(
        says(&text, "#3 wants 5 ->", "tell #3 reserved 5.00 USD"),
        "{text}"
    );
    assert!(
        says(&text, "#4 wants 5:", "tell #4 reserved 1.00 USD"),
        "{text}"
    );
    assert!(says(&text, "a day later ->", "spent 0.00 USD"), "{text}");
}

/// Whether the line that begins like this also holds that.
fn says(text: &str, start: &str, that: &str) -> bool {
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with(start));
    line.is_some_and(|line| line.contains(that))
}

#[test]
fn a_full_disk_starts_nobody_and_says_why() {
    let mut rows = Rows::new(1_000, 4);
    let because = "the disk is nearly full".to_owned();
    rows.when("the disk is low", AccountEvent::DiskLow { because });
    rows.when("#1 wants 5", wanted(1, 500));
    rows.when("there is room", AccountEvent::DiskFine);
    rows.when("there still is room", AccountEvent::DiskFine);
    let text = rows.table.to_string();
    let told = "tell #1 money_delayed: the disk is nearly full";
    assert!(says(&text, "#1 wants 5 ->", told), "{text}");
    assert!(
        says(&text, "there is room ->", "tell #1 reserved 5.00 USD"),
        "{text}"
    );
    assert!(says(&text, "there still is room ->", "ignored"), "{text}");
}

#[test]
fn a_place_among_those_who_wait_belongs_to_one_attempt() {
    let mut rows = Rows::new(500, 1);
    let gone = |number, attempt| AccountEvent::Released {
        story: story_id(number),
        attempt: Attempt(attempt),
    };
    rows.when("#1 wants", wanted(1, 100));
    rows.when("#2 wants", wanted(2, 100));
    rows.when("#3 wants", wanted(3, 100));
    rows.when("#2 wants twice", wanted(2, 100));
    rows.when("#2 gives another attempt up", gone(2, 2));
    rows.when("#2 gives up", gone(2, 1));
    rows.when("#2 gives up twice", gone(2, 1));
    insta::assert_snapshot!(rows.table, @r"
    5.00 USD a day, 1 places
      configured -> spent 0.00 USD, held 0.00 USD
      #1 wants -> spent 0.00 USD, held 1.00 USD | tell #1 reserved 1.00 USD
      #2 wants -> spent 0.00 USD, held 1.00 USD, #2 waits | tell #2 money_delayed: all 1 places for agents on this server are taken
      #3 wants -> spent 0.00 USD, held 1.00 USD, #2 waits, #3 waits | tell #3 money_delayed: all 1 places for agents on this server are taken
      #2 wants twice -> ignored: this attempt has asked already
      #2 gives another attempt up -> ignored: nothing is reserved for this attempt
      #2 gives up -> spent 0.00 USD, held 1.00 USD, #3 waits
      #2 gives up twice -> ignored: nothing is reserved for this attempt
    ");
}

#[test]
fn a_story_holds_no_more_than_its_ceiling_leaves_however_many_attempts_ask() {
    let mut rows = Rows::new(5_000, 4);
    let mut next = wanted_from(1, "anthropic", Budget::Rest, 0);
    rows.when("#1 wants the rest", next.clone());
    if let AccountEvent::Wanted { wanted } = &mut next {
        wanted.attempt = Attempt(2);
    }
    rows.when("its next attempt wants the rest", next);
    rows.when("#1 settles 2", settled(1, Some(200)));
    insta::assert_snapshot!(rows.table, @r"
    50.00 USD a day, 4 places
      configured -> spent 0.00 USD, held 0.00 USD
      #1 wants the rest -> spent 0.00 USD, held 5.00 USD | tell #1 reserved 5.00 USD
      its next attempt wants the rest -> spent 0.00 USD, held 5.00 USD, #1 waits | tell #1 money_delayed: all that the ceiling of this story leaves is held for another attempt of it
      #1 settles 2 -> spent 2.00 USD, held 3.00 USD | tell #1 reserved 3.00 USD
    ");
}

#[test]
fn a_wake_up_that_comes_too_early_ends_no_pause() {
    let mut rows = Rows::new(5_000, 4);
    let tomorrow = rows.table.now + SignedDuration::from_hours(24);
    rows.when(
        "overloaded until tomorrow",
        paused("openai", Some(tomorrow)),
    );
    rows.when("over at once", over("openai"));
    rows.when("out of credit", paused("anthropic", None));
    rows.when("over at once", over("anthropic"));
    rows.later(29);
    rows.when("a minute too early", over("anthropic"));
    insta::assert_snapshot!(rows.table, @r"
    50.00 USD a day, 4 places
      configured -> spent 0.00 USD, held 0.00 USD
      overloaded until tomorrow -> spent 0.00 USD, held 0.00 USD, openai paused | wake pause-over:openai in 86400 s
      over at once -> spent 0.00 USD, held 0.00 USD, openai paused | wake pause-over:openai in 86400 s
      out of credit -> spent 0.00 USD, held 0.00 USD, anthropic paused, openai paused | wake pause-over:anthropic in 1800 s
      over at once -> spent 0.00 USD, held 0.00 USD, anthropic paused, openai paused | wake pause-over:anthropic in 1800 s
      a minute too early -> spent 0.00 USD, held 0.00 USD, anthropic paused, openai paused | wake pause-over:anthropic in 60 s
    ");
}

#[test]
fn a_story_that_cost_nothing_is_not_kept_in_the_ledger() {
    let mut rows = Rows::new(500, 4);
    rows.when("#1 wants", wanted(1, 100));
    rows.when("#1 settles nothing", settled(1, Some(0)));
    let Subject::Account(account) = rows.account else {
        panic!("not a ledger");
    };
    assert!(account.stories.is_empty());
}
