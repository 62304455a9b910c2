//! Histories in which everything that may happen does happen, by the fall of the dice.

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::answers::{Dice, is_fenced, pushed};
use super::dependencies::NOBODYS;
use super::world::World;
use super::{agent, comment_on, project, pull_change, repo_name, story_id};
use crate::domain::account::Limits;
use crate::domain::delivery::{
    CheckKind, CheckOutcome, CheckResult, Command, Comment, IssueAction, IssueChange,
    PullRequestAction, PullRequestHead, Review, ReviewKind, Said, Verdict,
};
use crate::domain::dependency::Family;
use crate::domain::event::{Event, RepoEvent, StoryEvent};
use crate::domain::money::Usd;
use crate::domain::project::{Land, Project, Role, Runtime};
use crate::domain::story::{Actor, Story, Wish};
use crate::domain::transition::Refusal;

/// Answers after which a world without outside events must be at rest.
const ENOUGH: usize = 4_000;
const STORIES: u64 = 3;

/// `PROPTEST_CASES` asks for more.
fn config() -> Config {
    Config {
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..Config::default()
    }
}

fn dice() -> impl Strategy<Value = Dice> {
    prop::collection::vec(any::<u16>(), 1..160).prop_map(Dice::new)
}

/// One of a few projects, in a server with little money and few places.
fn world(dice: &mut Dice) -> World {
    let mut project = Project {
        max_retries: 2,
        ..project()
    };
    if dice.luck(2) {
        project.land = Land::PullRequest;
    }
    project.agents[0].max_budget = [None, Some(Usd::from_cents(100))][dice.roll(2)];
    if dice.luck(2) {
        project
            .agents
            .push(agent("script", Role::Coder, Runtime::Command));
    }
    if dice.luck(4) {
        project
            .agents
            .push(agent("critic", Role::Qa, Runtime::Command));
    }
    let limits = Limits {
        per_story: Usd::from_cents(500),
        per_day: Usd::from_cents([700, 1_200, 3_000][dice.roll(3)]),
        agents: 2,
    };
    World::new(project, limits)
}

/// Something that a person does.
fn outside(world: &mut World, dice: &mut Dice) -> Event {
    let mut number = 1 + dice.roll(3) as u64;
    let action = match dice.roll(29) {
        25 => IssueAction::Edited,
        26..=28 => {
            number = [number, NOBODYS][dice.roll(2)];
            [IssueAction::Closed, IssueAction::Reopened][dice.roll(2)].clone()
        }
        19..=24 => return super::pulls::outside(world, dice),
        0..=3 => IssueAction::Labeled("huskies".to_owned()),
        4 => IssueAction::Unlabeled("huskies".to_owned()),
        5 => IssueAction::Closed,
        6 => IssueAction::Labeled("huskies:hold".to_owned()),
        7 | 8 => IssueAction::Unlabeled("huskies:hold".to_owned()),
        9 => IssueAction::Labeled("huskies:retry".to_owned()),
        10 => IssueAction::Labeled(
            ["agent:nobody", "agent:claude", "priority:5"][dice.roll(3)].to_owned(),
        ),
        11 => {
            world.tip = world.new_sha();
            return pushed(&world.tip);
        }
        12 => return operator(number, Wish::Stop),
        13 => IssueAction::Labeled("huskies:approve".to_owned()),
        14 | 15 => return commented(world, number, dice),
        17 => return pull_changed(world, number, dice),
        16 => return reviewed_or_checked(world, number, dice),
        _ => return operator(number, Wish::Retry { label: None }),
    };
    let change = IssueChange {
        number,
        action,
        sender: ["ann", "bob"][dice.roll(2)].to_owned(),
        by_bot: false,
        title: format!("Story {number}"),
        body: ["", "Please.", "Now."][dice.roll(3)].to_owned(),
        labels: Vec::new(),
        at: world.now,
        not_planned: dice.luck(3),
        family: Family::default(),
    };
    Event::repo(&repo_name(), RepoEvent::Issue { change })
}

/// A comment, by a person or a program.
fn commented(world: &World, number: u64, dice: &mut Dice) -> Event {
    let text = || dice_text(number);
    let id = story_id(number);
    let digest = world
        .stories()
        .find(|story| story.id == id)
        .and_then(Story::text_to_confirm)
        .map(|text| text.digest());
    let said = match dice.roll(10) {
        0 if digest.is_some() => Said::Command {
            command: Command::Confirm,
            text: digest,
        },
        0..=3 => Said::ToAgent { text: text() },
        4 => Said::Unknown {
            word: text(),
            alone: true,
        },
        _ => Said::Command {
            command: Command::ALL[dice.roll(Command::ALL.len())],
            text: dice.luck(3).then(text),
        },
    };
    let comment = Comment {
        on_pull_request: dice.luck(10),
        sender: ["ann", "renovate[bot]"][usize::from(dice.luck(6))].to_owned(),
        title: format!("Story {number}"),
        ..comment_on(number)
    };
    Event::repo(&repo_name(), RepoEvent::Commented { comment, said })
}

fn dice_text(number: u64) -> String {
    format!("Mind story {number}.")
}

/// A word at the story's changes, or a failed check on its newest commit.
fn reviewed_or_checked(world: &World, number: u64, dice: &mut Dice) -> Event {
    let heads = world.repo().heads;
    let head = heads.get(&story_id(number));
    let commit = head.cloned().unwrap_or_else(|| world.tip.clone());
    if dice.luck(2) {
        let result = CheckResult {
            kind: CheckKind::CheckRun,
            id: Some(7),
            name: ["ci", "docs"][dice.roll(2)].to_owned(),
            commit,
            branch: None,
            outcome: CheckOutcome::Failure,
            summary: "2 failed".to_owned(),
            url: None,
        };
        return Event::repo(&repo_name(), RepoEvent::Checked { result });
    }
    let text = dice_text(number);
    let said = Some(Said::ToAgent { text: text.clone() });
    let review = Review {
        number: 100 + number,
        head: PullRequestHead {
            repo: Some(repo_name()),
            branch: format!("feature/story-{number}-x").parse().ok(),
            commit,
        },
        kind: ReviewKind::Submitted {
            verdict: [Verdict::ChangesRequested, Verdict::Approved][dice.roll(2)],
            commit: None,
        },
        sender: "bob".to_owned(),
        by_bot: false,
        text,
    };
    Event::repo(
        &repo_name(),
        RepoEvent::Reviewed {
            review: Box::new(review),
            said,
        },
    )
}

/// Somebody closes, merges or pushes to the story's pull request.
fn pull_changed(world: &mut World, number: u64, dice: &mut Dice) -> Event {
    let id = story_id(number);
    let pull = world
        .stories()
        .find(|story| story.id == id)
        .and_then(|story| story.pull.number());
    let commit = world.new_sha();
    // Of a branch of the repository itself: gated like anybody's where no story has it any more.
    world.trusted.insert(commit.clone());
    let action = match dice.roll(4) {
        0 => PullRequestAction::Closed { merged: None },
        1 => {
            world.tip = commit.clone();
            let merged = Some(commit.clone());
            PullRequestAction::Closed { merged }
        }
        2 => PullRequestAction::Synchronized { before: None },
        _ => PullRequestAction::Reopened,
    };
    let head = PullRequestHead {
        repo: Some(repo_name()),
        branch: format!("feature/story-{number}-x").parse().ok(),
        commit,
    };
    let number = pull.unwrap_or(100 + number);
    let change = Box::new(pull_change(number, action, head));
    Event::repo(&repo_name(), RepoEvent::PullRequest { change })
}

fn operator(number: u64, wish: Wish) -> Event {
    let by = Actor::Operator;
    Event::story(&story_id(number), StoryEvent::Asked { wish, by })
}

/// Answers one thing that is in flight, or lets time pass. False when there is nothing of either.
fn go_on(world: &mut World, dice: &mut Dice, answered: &mut Vec<Event>) -> bool {
    if world.flights.is_empty() || (!world.timers.is_empty() && dice.luck(10)) {
        return world.fire_next_timer().is_some();
    }
    let position = dice.roll(world.flights.len());
    if let Some(event) = world.answer(position, dice) {
        // A late answer is refused, and that is all right.
        world.deliver(event.clone()).ok();
        answered.push(event);
    }
    true
}

fn settle(world: &mut World, dice: &mut Dice) {
    let mut answered = Vec::new();
    for _ in 0..ENOUGH {
        if !go_on(world, dice, &mut answered) {
            return world.check_rest();
        }
    }
    let last = world
        .log
        .iter()
        .rev()
        .take(40)
        .map(|logged| logged.event.name());
    panic!("it goes on for ever: {:?}", last.collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_history_comes_to_rest_and_replays(mut dice in dice(), events in 1_usize..40) {
        let mut world = world(&mut dice);
        let mut answered = Vec::new();
        for _ in 0..events {
            let event = outside(&mut world, &mut dice);
            world.deliver(event).ok();
            for _ in 0..dice.roll(12) {
                go_on(&mut world, &mut dice, &mut answered);
            }
        }
        settle(&mut world, &mut dice);
        world.check_replay();
    }

    #[test]
    fn a_late_or_repeated_answer_changes_nothing(mut dice in dice(), events in 1_usize..20) {
        let mut world = world(&mut dice);
        let mut answered = Vec::new();
        for _ in 0..events {
            let event = outside(&mut world, &mut dice);
            world.deliver(event).ok();
            for _ in 0..dice.roll(12) {
                go_on(&mut world, &mut dice, &mut answered);
                repeat(&mut world, &mut dice, &answered);
            }
        }
        settle(&mut world, &mut dice);
        for _ in 0..answered.len() {
            repeat(&mut world, &mut dice, &answered);
        }
    }

    #[test]
    fn without_a_person_one_label_leads_to_a_bounded_number_of_agents(mut dice in dice()) {
        let mut world = world(&mut dice);
        for number in 1..=STORIES {
            let wish = Wish::Start { task: crate::domain::work::Task::default(), agent: None, priority: 0, around: Box::default() };
            world.must(operator(number, wish));
        }
        settle(&mut world, &mut dice);
        for story in world.stories() {
            // Three tries and one repair with three, ten free restarts between any two of them.
            prop_assert!(story.attempt.0 <= 70, "{} attempts", story.attempt);
        }
    }
}

/// Delivers an answer once more.
fn repeat(world: &mut World, dice: &mut Dice, answered: &[Event]) {
    if answered.is_empty() {
        return;
    }
    let event = &answered[dice.roll(answered.len())];
    if !is_fenced(event) {
        return;
    }
    let before = world.subject(&event.subject());
    let answer = world.deliver(event.clone());
    assert!(
        matches!(answer, Err(Refusal::Ignored { .. })),
        "{} was {answer:?}",
        event.name()
    );
    assert_eq!(before, world.subject(&event.subject()));
}
