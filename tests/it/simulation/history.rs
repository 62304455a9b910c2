//! What people, machines and disks do to a server: one history for each seed.

use std::time::Duration;

use huskies::domain::delivery::{Command, IssueAction, Push, Said};
use huskies::domain::event::{Event, RepoEvent, StoryEvent};
use huskies::domain::id::StoryId;
use huskies::domain::story::{Actor, Wish};
use huskies::domain::work::Task;
use jiff::{SignedDuration, Timestamp};

use super::dice::Dice;
use super::forge::{READER, WRITER};
use super::pulls::{Deed, PULLS};
use super::sites::{PROJECT, PROJECT_FILE, by_pull_request};
use super::world::World;
use super::{REPO, STORIES};

#[derive(Debug, Clone)]
pub(super) enum Step {
    Issue {
        number: u64,
        action: IssueAction,
        by: &'static str,
    },
    /// Somebody writes into an issue what it depends on.
    Depend {
        number: u64,
        on: Vec<u64>,
        by: &'static str,
    },
    /// Somebody makes an issue a part of another one, or of none.
    Part {
        number: u64,
        of: Option<u64>,
    },
    /// Somebody says something to huskies.
    Say {
        number: u64,
        said: Said,
        by: &'static str,
    },
    /// Somebody writes a comment; its delivery is none that the core has a use for.
    Comment {
        number: u64,
    },
    /// Somebody deletes the comment that huskies edits in place.
    DeleteSticky {
        number: u64,
    },
    Operator {
        number: u64,
        wish: Wish,
    },
    Pull {
        number: u64,
        deed: Deed,
    },
    Push(Change),
    ForgeDown {
        seconds: u64,
    },
    /// Somebody works in the work tree that has the base checked out.
    Dirty {
        seconds: u64,
    },
    /// The next writes to the disk fail.
    FullDisk {
        writes: u32,
    },
    /// SIGTERM, and a new server after a while.
    Restart {
        away: Duration,
    },
}

/// What a push does to the base branch.
#[derive(Debug, Clone)]
pub(super) enum Change {
    File,
    /// Writes where stories write too.
    Shared,
    Half(u64),
    NoBug,
    /// Another project file.
    Project(String),
    /// A person merges a story's branch by hand.
    Story {
        number: u64,
    },
}

/// What happens, beside what agents, gates and faults make of it.
#[derive(Debug, Clone)]
pub(super) struct History {
    /// Each with the pause before it.
    pub(super) steps: Vec<(Duration, Step)>,
    /// How often a call to the outside goes wrong: once in this many. `None`: never.
    pub(super) fault_rate: Option<u64>,
    /// How often a delivery gets lost: once in this many. `None`: never.
    pub(super) loss_rate: Option<u64>,
    /// The day's ceiling.
    pub(super) cents: u64,
}

impl History {
    pub(super) fn of(seed: u64, dice: &mut Dice) -> Self {
        Self {
            fault_rate: *dice.pick(&[None, Some(25), Some(8)]),
            loss_rate: *dice.pick(&[None, Some(6)]),
            cents: *dice.pick(&[400, 1_200, 5_000]),
            steps: steps(seed, dice),
        }
    }
}

/// The start label for the first story.
pub(super) fn started() -> Step {
    Step::Issue {
        number: 1,
        action: IssueAction::Labeled("huskies".to_owned()),
        by: WRITER,
    }
}

fn steps(seed: u64, dice: &mut Dice) -> Vec<(Duration, Step)> {
    // Small seeds are small histories.
    let length = 2 + (seed / 12).min(30);
    let mut steps = vec![(Duration::from_secs(1), started())];
    for _ in 1..length {
        let longest = *dice.pick(&[1, 20, 200, 1_500]);
        let pause = Duration::from_secs(dice.roll(longest + 1));
        steps.push((pause, step(dice)));
    }
    steps
}

fn step(dice: &mut Dice) -> Step {
    let number = dice.between(1, STORIES);
    match dice.roll(46) {
        42..=44 => depend(dice, number),
        45 => Step::Part {
            number,
            of: (!dice.luck(3)).then(|| 1 + number % STORIES),
        },
        36..=41 => Step::Pull {
            number: *dice.pick(&PULLS),
            deed: Deed::of(dice),
        },
        32..=35 => say(dice, number),
        0..=15 => issue(dice, number),
        16 => Step::Comment { number },
        17 => Step::DeleteSticky { number },
        18 | 19 => operator(dice, number),
        20..=23 => Step::Push(change(dice, number)),
        24 | 25 => Step::ForgeDown {
            seconds: dice.between(5, 900),
        },
        26 => Step::Dirty {
            seconds: dice.between(20, 600),
        },
        27 => Step::FullDisk {
            writes: u32::try_from(dice.between(1, 6)).unwrap(),
        },
        _ => Step::Restart {
            away: Duration::from_secs(dice.between(1, 200)),
        },
    }
}

fn issue(dice: &mut Dice, number: u64) -> Step {
    let labeled = |label: &str| IssueAction::Labeled(label.to_owned());
    let unlabeled = |label: &str| IssueAction::Unlabeled(label.to_owned());
    let action = match dice.roll(20) {
        0..=6 => labeled("huskies"),
        7 => unlabeled("huskies"),
        8 => IssueAction::Closed,
        9 => IssueAction::Reopened,
        10 => IssueAction::Edited,
        11 => labeled("huskies:hold"),
        12 | 13 => unlabeled("huskies:hold"),
        14 | 15 => labeled("huskies:retry"),
        16 => labeled("huskies:approve"),
        17 => labeled(["agent:nobody", "agent:claude", "agent:script"][dice.below(3)]),
        18 => unlabeled(["agent:nobody", "agent:claude"][dice.below(2)]),
        _ => labeled(["priority:5", "priority:-1"][dice.below(2)]),
    };
    let by = if dice.luck(5) { READER } else { WRITER };
    Step::Issue { number, action, by }
}

fn depend(dice: &mut Dice, number: u64) -> Step {
    // Of a pull request, and of an issue that is not there, too.
    let issues = (1..=STORIES).chain([PULLS[0], 99]);
    let on = issues.filter(|_| dice.luck(3)).collect();
    let by = if dice.luck(4) { READER } else { WRITER };
    Step::Depend { number, on, by }
}

fn say(dice: &mut Dice, number: u64) -> Step {
    let text = || "Mind the gap.".to_owned();
    let said = match dice.roll(3) {
        0 => Said::ToAgent { text: text() },
        1 => Said::Unknown {
            word: "yes".to_owned(),
            alone: true,
        },
        _ => Said::Command {
            command: Command::ALL[dice.below(Command::ALL.len())],
            text: dice.luck(4).then(text),
        },
    };
    let by = if dice.luck(4) { READER } else { WRITER };
    Step::Say { number, said, by }
}

fn operator(dice: &mut Dice, number: u64) -> Step {
    let wish = match dice.roll(5) {
        0 => Wish::Stop,
        1 => Wish::Cancel,
        2 => Wish::Start {
            task: Task {
                title: format!("Story {number}"),
                ..Task::default()
            },
            agent: None,
            priority: 1,
            around: Box::default(),
        },
        _ => Wish::Retry { label: None },
    };
    Step::Operator { number, wish }
}

fn change(dice: &mut Dice, number: u64) -> Change {
    match dice.roll(8) {
        0 | 1 => Change::Shared,
        2 => Change::Half(dice.roll(2)),
        3 => Change::NoBug,
        4 => Change::Story { number },
        5 => Change::Project(project(dice)),
        _ => Change::File,
    }
}

fn project(dice: &mut Dice) -> String {
    let qa = "\n[[agent]]\nname = \"critic\"\nstage = \"qa\"\nruntime = \"command\"\ncommand = \"true\"\n";
    match dice.roll(6) {
        0 => "max_retries = \"many\"".to_owned(),
        1 => format!("{PROJECT}{qa}"),
        4 => by_pull_request(PROJECT),
        2 => PROJECT.replace("name = \"claude\"", "name = \"other\""),
        3 => PROJECT.replace("land = \"push\"", "land = \"push\"\npush_wip = true"),
        _ => PROJECT.to_owned(),
    }
}

impl World {
    /// Something that happens outside of the server.
    pub(super) fn happen(&mut self, step: &Step, now: Timestamp) {
        let after =
            |seconds: &u64| now + SignedDuration::from_secs(i64::try_from(*seconds).unwrap());
        match step {
            Step::Issue { number, action, by } => self.change(*number, by, (action.clone(), now)),
            Step::Depend { number, on, by } => self.depend(*number, on, (by, now)),
            Step::Part { number, of } => {
                let issue = self.issues.by_number.get_mut(number).unwrap();
                issue.parent = of.filter(|of| of != number);
            }
            Step::Say { number, said, by } => self.say(*number, by, (said.clone(), now)),
            Step::Comment { number } => {
                self.comment(
                    *number,
                    READER,
                    ("How is it going? <!-- huskies:story", now),
                );
                self.send("issue_comment", None, now);
            }
            Step::DeleteSticky { number } => {
                self.deleted.insert(*number);
                let issue = self.issues.by_number.get_mut(number).unwrap();
                issue
                    .comments
                    .retain(|comment| !comment.body.starts_with("<!-- huskies:story"));
            }
            Step::Push(change) => self.push(change, now),
            Step::Pull { number, deed } => self.pull(*number, (*deed, now)),
            Step::ForgeDown { seconds } => self.issues.down_until = after(seconds),
            Step::Dirty { seconds } => self.sites.dirty_until = after(seconds),
            Step::FullDisk { writes } => self.refused_writes = *writes,
            // These are the server's.
            Step::Operator { .. } | Step::Restart { .. } => {}
        }
    }

    fn push(&mut self, change: &Change, now: Timestamp) {
        let before = self.sites.base.clone();
        let mut tree = self.commits.tree(&before).clone();
        let letter = self.letters;
        match change {
            Change::File => {
                tree.insert(format!("base/{letter}.txt"), "new".to_owned());
            }
            Change::Shared => {
                tree.insert("shared.txt".to_owned(), format!("by a person, {letter}"));
            }
            Change::Half(side) => {
                tree.retain(|path, _| !path.starts_with("half"));
                tree.insert(format!("half-{side}.txt"), "half".to_owned());
            }
            Change::NoBug => drop(tree.remove("bug.txt")),
            Change::Project(text) => drop(tree.insert(PROJECT_FILE.to_owned(), text.clone())),
            Change::Story { number } => {
                let Some(head) = self.sites.heads.get(number).cloned() else {
                    return;
                };
                let super::commits::Merged::Clean(merged) = self.commits.merge(&before, &head)
                else {
                    return;
                };
                let parents = [before.clone(), head];
                let tip = self.commits.add(&parents, &merged, "merged by hand");
                return self.pushed(&before, tip, now);
            }
        }
        let parents = [before.clone()];
        let tip = self.commits.add(&parents, &tree, &format!("push {letter}"));
        self.pushed(&before, tip, now);
    }

    fn pushed(
        &mut self,
        before: &huskies::domain::id::Sha,
        tip: huskies::domain::id::Sha,
        now: Timestamp,
    ) {
        self.sites.move_base(&tip);
        let push = Push {
            branch: "main".parse().unwrap(),
            before: Some(before.clone()),
            after: Some(tip),
            sender: WRITER.to_owned(),
        };
        let event = Event::repo(&REPO.parse().unwrap(), RepoEvent::Pushed { push });
        self.send("push", Some(&event), now);
    }
}

/// What an operator's word becomes.
pub(super) fn operators(number: u64, wish: &Wish) -> Event {
    let story = StoryId::new(REPO.parse().unwrap(), number);
    let (wish, by) = (wish.clone(), Actor::Operator);
    Event::story(&story, StoryEvent::Asked { wish, by })
}
