//! Pull requests that stories land by, on a forge that answers what a test tells it to.

use super::forge::{Scripted, served};
use super::*;
use crate::domain::event::{Event, RepoEvent, StoryEvent};
use crate::domain::pull::{LandedTree, Pull, PullState};
use crate::domain::work::Candidate;
use crate::executor::context::Try;
use crate::executor::pulls::{self, Order};
use crate::forge::{ForgeError, MergeAnswer, Mergeable, PullNow, PullStage};
use crate::git::{Built, CandidateSpec};

/// A story whose change is tested and whose pull request is #100.
struct Tested {
    world: World,
    forge: Arc<Scripted>,
    candidate: Candidate,
}

impl Tested {
    async fn new() -> Self {
        let (world, forge) = served().await;
        let (spec, worktree) = world.worktree_of(1).await;
        world.work(&worktree, &[("door.txt", "mended\n")]);
        let head = world.collected(&spec).await;
        let pull = Pull {
            number: 100,
            plain: false,
            ready: true,
        };
        world
            .know_story(1, |story| story.pull = PullState::Open(pull))
            .await;
        Self {
            candidate: squashed(&world, &spec.base, &head).await,
            world,
            forge,
        }
    }

    /// How the pull request is when nothing stands in its way.
    fn open(&self) -> PullNow {
        PullNow {
            stage: PullStage::Open,
            head: self.candidate.head.clone(),
            base: "main".to_owned(),
            draft: false,
            mergeable: Mergeable::Yes,
        }
    }

    fn merged_by_us(&self, commit: &Sha) -> PullNow {
        let stage = PullStage::Merged {
            commit: commit.clone(),
            by_us: true,
        };
        PullNow {
            stage,
            ..self.open()
        }
    }

    /// What becomes of the merge while the pull request is like that, and what was changed for it.
    async fn merge(&self, now: PullNow) -> (RepoEvent, Vec<String>) {
        self.forge.script().now = Some(now);
        let (story, branch) = (story(1).0, "main".parse().unwrap());
        let order = Order {
            number: 1,
            story: &story,
            branch: &branch,
            candidate: &self.candidate,
        };
        let event = pulls::merge(&self.world.context, self.world.repo(), &order).await;
        (event, self.forge.take_changed())
    }

    /// What landed, next to what was tested.
    async fn compared(&self, commit: &Sha) -> LandedTree {
        match self.merge(self.merged_by_us(commit)).await.0 {
            RepoEvent::PullMerged { landed, .. } => landed,
            other => panic!("{other:?}"),
        }
    }
}

async fn squashed(world: &World, base: &Sha, head: &Sha) -> Candidate {
    let spec = CandidateSpec {
        base: base.clone(),
        head: head.clone(),
        message: "Mend the door".to_owned(),
    };
    match world.repo().git.build_candidate(&spec).await.unwrap() {
        Built::Candidate(candidate) => candidate,
        other => panic!("{other:?}"),
    }
}

fn waits(event: &RepoEvent) -> &str {
    match event {
        RepoEvent::PullWaits { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_landed_is_explained_by_a_base_that_moved_and_by_nothing_else() {
    let tested = Tested::new().await;
    let base = tested.candidate.base.clone();
    let as_tested = tested.world.push(&[("door.txt", "mended\n")]);
    let landed = tested.compared(&as_tested).await;
    assert_eq!(landed.tree, tested.candidate.tree);
    assert_eq!((landed.parent, landed.explained), (base.clone(), false));

    let tested = Tested::new().await;
    let base = tested.candidate.base.clone();
    let otherwise = tested.world.push(&[("door.txt", "broken\n")]);
    let landed = tested.compared(&otherwise).await;
    assert_eq!((landed.parent, landed.explained), (base, false));

    for (door, explained) in [("mended\n", true), ("broken\n", false)] {
        let tested = Tested::new().await;
        let moved = tested.world.push(&[("b.txt", "in between\n")]);
        let commit = tested.world.push(&[("door.txt", door)]);
        let landed = tested.compared(&commit).await;
        assert_eq!((landed.parent, landed.explained), (moved, explained));
    }
}

#[tokio::test]
async fn a_merge_of_another_head_is_somebody_elses() {
    let tested = Tested::new().await;
    let commit = tested.world.push(&[("door.txt", "mended\n")]);
    let other = PullNow {
        head: tested.candidate.base.clone(),
        ..tested.merged_by_us(&commit)
    };
    let (event, _) = tested.merge(other).await;
    assert_eq!(event, RepoEvent::PullMergedByHand { number: 1, commit });
}

#[tokio::test]
async fn only_what_was_tested_on_the_base_as_it_is_is_merged() {
    let tested = Tested::new().await;
    let message = "no".to_owned();
    tested.forge.script().merged = Some(MergeAnswer::NotAllowed { message });
    let (event, changed) = tested.merge(tested.open()).await;
    assert_eq!(waits(&event), "GitHub does not merge it: no");
    assert_eq!(changed, ["merge"]);
    let pushed = PullNow {
        head: tested.candidate.base.clone(),
        ..tested.open()
    };
    let (event, changed) = tested.merge(pushed).await;
    assert!(waits(&event).contains("was tested: put it back"));
    assert_eq!(changed, [""; 0]);
    let tip = tested.world.push(&[("b.txt", "in between\n")]);
    let (event, changed) = tested.merge(tested.open()).await;
    assert_eq!(event, RepoEvent::LandMissed { number: 1, tip });
    assert_eq!(changed, [""; 0]);
}

#[tokio::test]
async fn a_rule_that_forbids_it_is_said_without_asking_and_a_draft_is_made_ready_first() {
    let tested = Tested::new().await;
    let message = "not yet".to_owned();
    tested.forge.script().merged = Some(MergeAnswer::NotAllowed { message });
    for mergeable in [Mergeable::Blocked, Mergeable::Behind] {
        let blocked = PullNow {
            mergeable,
            ..tested.open()
        };
        let (event, changed) = tested.merge(blocked.clone()).await;
        let said = "GitHub does not merge it: a rule of the branch forbids it";
        assert_eq!(waits(&event), said);
        assert_eq!(changed, [""; 0]);
        let draft = PullNow {
            draft: true,
            ..blocked
        };
        let (event, changed) = tested.merge(draft).await;
        assert_eq!(waits(&event), "GitHub does not merge it: not yet");
        assert_eq!(changed, ["ready", "merge"]);
    }
}

#[tokio::test]
async fn a_missing_permission_is_said_and_a_token_that_is_not_accepted_is_waited_for() {
    let (world, forge) = served().await;
    let (story, branch) = story(1);
    let message = "give it pull_requests=write".to_owned();
    let open = |error: ForgeError| {
        forge.script().opened = Some(Err(error));
        pulls::open(&world.context, world.repo(), &story, &branch)
    };
    let refused = StoryEvent::PullRefused {
        message: message.clone(),
    };
    let missing = open(ForgeError::Forbidden {
        message: message.clone(),
    });
    let Try::Done(Some(event)) = missing.await else {
        panic!("it is told");
    };
    assert_eq!(event, Event::story(&story, refused));
    let unknown = open(ForgeError::Unauthorized { message });
    assert!(matches!(unknown.await, Try::Again { after: Some(_), .. }));
}
