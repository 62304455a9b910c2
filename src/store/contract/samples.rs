//! Things to keep, for the contract's tests.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::effect::{Act, CommitStatus, GatesBrief, GatesNews, Run, StatusNews, Surface};
use crate::domain::event::{Event, RepoEvent, StoryEvent, SubjectId};
use crate::domain::id::{Attempt, RunId, Sha, StoryId};
use crate::domain::project::Moment;
use crate::domain::story::{Actor, Wish};
use crate::domain::transition::Subject;
use crate::domain::work::ProcessIdentity;
use crate::store::{
    Commit, EffectId, EventRecord, NewDelivery, PendingAct, RunWrite, Store, SubjectWrite,
    SurfaceWrite, TimerWrite,
};

pub(super) fn noon(seconds: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_secs(seconds)
}

pub(super) fn story_id(text: &str) -> StoryId {
    text.parse().unwrap()
}

pub(in crate::store) fn subject(text: &str) -> SubjectId {
    SubjectId::Story(story_id(text))
}

pub(super) fn sha(digit: char) -> Sha {
    digit.to_string().repeat(40).parse().unwrap()
}

pub(super) fn hold(id: &SubjectId) -> Event {
    match id {
        SubjectId::Story(story) => Event::story(
            story,
            StoryEvent::Asked {
                wish: Wish::Hold,
                by: Actor::Operator,
            },
        ),
        SubjectId::Repo(_) | SubjectId::Head(_) | SubjectId::Account => Event::repo(
            &"octo/app".parse().unwrap(),
            RepoEvent::Opened { looks: None },
        ),
    }
}

/// A delivery with content for `octo/app#7`.
pub(super) fn delivery(id: &str) -> NewDelivery {
    NewDelivery {
        id: id.parse().unwrap(),
        // Finer than a millisecond: nothing of an instant may be lost.
        received_at: noon(0) + Duration::from_nanos(123_456_789),
        event: "issues.labeled".to_owned(),
        content: Some(hold(&subject("octo/app#7"))),
        reason: None,
    }
}

pub(super) fn record(id: &SubjectId, version: u64) -> EventRecord {
    EventRecord {
        subject: id.clone(),
        version,
        at: noon(i64::try_from(version).unwrap()),
        event: hold(id),
        refusal: None,
    }
}

pub(super) fn subject_write(id: &SubjectId, expected: u64, version: u64) -> SubjectWrite {
    SubjectWrite {
        id: id.clone(),
        expected,
        version,
        state: Subject::new(id),
    }
}

pub(super) fn act(id: &SubjectId, version: u64, place: usize) -> PendingAct {
    PendingAct {
        id: EffectId::new(id, version, place),
        subject: id.clone(),
        act: Act::RemoveLabel {
            label: format!("{version}.{place} \"quoted\" — ünïcode \u{0}"),
        },
    }
}

pub(super) fn gates_run(story: &StoryId, attempt: u32) -> (RunId, Run) {
    let id = RunId::Accept(story.clone(), Attempt(attempt), 1);
    let brief = GatesBrief {
        commit: sha('a'),
        rules: sha('b'),
        moment: Moment::Accept,
    };
    (id.clone(), Run::StartGates { id, brief })
}

pub(super) fn requested(story: &StoryId, attempt: u32) -> RunWrite {
    let (id, run) = gates_run(story, attempt);
    RunWrite::Requested {
        id,
        subject: SubjectId::Story(story.clone()),
        run,
    }
}

pub(super) fn process(pid: u32) -> ProcessIdentity {
    ProcessIdentity {
        pid,
        start_ticks: 18_000_000_000_000_000_000,
        boot_id: "7f0e".to_owned(),
    }
}

pub(super) fn status(news: GatesNews) -> Surface {
    Surface::Status(CommitStatus {
        commit: sha('a'),
        news: StatusNews::Gates(news),
    })
}

pub(super) fn surface_write(id: &SubjectId, surface: Surface) -> SurfaceWrite {
    SurfaceWrite {
        subject: id.clone(),
        surface,
    }
}

pub(super) fn timer(id: &SubjectId, name: &str, at: Timestamp) -> TimerWrite {
    TimerWrite {
        subject: id.clone(),
        name: name.to_owned(),
        at,
        event: hold(id),
    }
}

/// The `version`-th step of a subject: an event, a state, an act.
pub(in crate::store) fn step(id: &SubjectId, version: u64) -> Commit {
    Commit {
        events: vec![record(id, version)],
        subjects: vec![subject_write(id, version - 1, version)],
        acts: vec![act(id, version, 0)],
        ..Commit::default()
    }
}

/// The store holds exactly the first `version` [`step`]s, each of them whole.
pub(in crate::store) async fn assert_steps(store: &dyn Store, id: &SubjectId, version: u64) {
    let stored = store.subject(id).await.unwrap();
    assert_eq!(stored.map_or(0, |(_, version)| version), version);
    let acts: Vec<_> = (1..=version).map(|version| act(id, version, 0)).collect();
    assert_eq!(store.pending_acts().await.unwrap(), acts);
    let log: Vec<_> = (1..=version).map(|n| (n, record(id, n))).collect();
    assert_eq!(store.events(id, 0).await.unwrap(), log);
}
