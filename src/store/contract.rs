//! What every store must do, whatever it is made of: one suite over `&dyn Store`.
//!
//! A kind of store gives a [`Place`] and names the functions of this file in [`hold_to_contract`].

mod samples;

use async_trait::async_trait;

use super::*;
use crate::domain::effect::GatesNews;
use crate::domain::head::HeadId;
use crate::domain::story::Stage;

use samples::*;
pub(super) use samples::{assert_steps, step, subject};

/// Where one store keeps its data.
#[async_trait]
pub(super) trait Place: Send + Sync {
    /// Opens what is there. Several may be open at the same time.
    async fn open(&self) -> Box<dyn Store>;
}

/// One test for each function of the contract, on a new place each.
macro_rules! hold_to_contract {
    ($place:expr; $($behaviour:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                crate::store::contract::$behaviour(&$place).await;
            }
        )*
    };
}
pub(super) use hold_to_contract;

async fn commit_runs(store: &dyn Store, runs: Vec<RunWrite>) {
    let commit = Commit {
        runs,
        ..Commit::default()
    };
    store.commit(commit).await.unwrap();
}

async fn desire(store: &dyn Store, id: &SubjectId, surface: Surface) {
    let commit = Commit {
        surfaces: vec![surface_write(id, surface)],
        ..Commit::default()
    };
    store.commit(commit).await.unwrap();
}

pub(super) async fn everything_in_one_commit_is_there_after_reopening(place: &dyn Place) {
    let ids = [
        subject("octo/app#7"),
        SubjectId::Repo("octo/app".parse().unwrap()),
        SubjectId::Head(HeadId {
            repo: "octo/app".parse().unwrap(),
            sha: sha('c'),
        }),
        SubjectId::Account,
    ];
    let issue = story_id("octo/app#7");
    let (run_id, run) = gates_run(&issue, 1);
    let mut ignored = record(&ids[0], 1);
    ignored.refusal = Some("ignored: it is late".to_owned());
    let commit = Commit {
        taken: vec!["1".parse().unwrap()],
        events: vec![record(&ids[0], 1), ignored.clone()],
        subjects: ids.iter().map(|id| subject_write(id, 0, 1)).collect(),
        acts: ids.iter().map(|id| act(id, 1, 0)).collect(),
        finished_acts: vec![],
        runs: vec![requested(&issue, 1)],
        surfaces: vec![surface_write(&ids[0], Surface::StickyComment)],
        fired: vec![],
        timers: vec![timer(&ids[1], "sync", noon(60))],
    };

    let store = place.open().await;
    let deliveries = [delivery("1"), delivery("2")];
    assert_eq!(store.receive(&deliveries).await.unwrap(), [true, true]);
    store.commit(commit.clone()).await.unwrap();
    let store = place.open().await;

    for id in &ids {
        let stored = store.subject(id).await.unwrap();
        assert_eq!(stored, Some((Subject::new(id), 1)));
    }
    let log = store.events(&ids[0], 0).await.unwrap();
    assert_eq!(log, [(1, record(&ids[0], 1)), (2, ignored)]);
    assert!(store.has_delivery(&"1".parse().unwrap()).await.unwrap());
    assert_eq!(store.pending_deliveries(9).await.unwrap(), [delivery("2")]);
    assert_eq!(store.pending_acts().await.unwrap(), commit.acts);
    let record = RunRecord {
        id: run_id.clone(),
        subject: ids[0].clone(),
        run,
        state: RunState::Requested,
    };
    assert_eq!(store.run(&run_id).await.unwrap(), Some(record.clone()));
    assert_eq!(store.open_runs().await.unwrap(), [(record, false)]);
    let surface = PendingSurface {
        subject: ids[0].clone(),
        surface: Surface::StickyComment,
        version: 1,
        written: None,
    };
    assert_eq!(store.pending_surfaces().await.unwrap(), [surface]);
    assert_eq!(store.timers().await.unwrap(), commit.timers);
}

pub(super) async fn a_conflict_leaves_nothing_of_its_commit(place: &dyn Place) {
    let (store, id, other) = (
        place.open().await,
        subject("octo/app#7"),
        subject("octo/app#8"),
    );
    store.commit(step(&id, 1)).await.unwrap();
    let mut late = step(&id, 2);
    late.subjects = vec![subject_write(&other, 0, 1), subject_write(&id, 3, 4)];
    late.runs = vec![requested(&story_id("octo/app#7"), 1)];
    late.surfaces = vec![surface_write(&id, Surface::StageLabel)];
    late.timers = vec![timer(&id, "late", noon(0))];
    late.finished_acts = vec![EffectId::new(&id, 1, 0)];

    let error = store.commit(late).await.unwrap_err();

    assert!(
        matches!(&error, StoreError::VersionConflict { subject, expected: 3 } if *subject == id.to_string()),
        "{error}"
    );
    assert_steps(store.as_ref(), &id, 1).await;
    assert_eq!(store.subject(&other).await.unwrap(), None);
    assert_eq!(store.open_runs().await.unwrap(), []);
    assert_eq!(store.pending_surfaces().await.unwrap(), []);
    assert_eq!(store.timers().await.unwrap(), []);
    store.commit(step(&id, 2)).await.unwrap();
    assert_steps(store.as_ref(), &id, 2).await;
}

pub(super) async fn a_subject_conflicts_unless_it_is_as_expected(place: &dyn Place) {
    let (store, id) = (place.open().await, subject("octo/app#7"));
    let write = async |expected, version| {
        let commit = Commit {
            subjects: vec![subject_write(&id, expected, version)],
            ..Commit::default()
        };
        store.commit(commit).await
    };
    write(1, 2).await.unwrap_err();
    assert_eq!(store.subject(&id).await.unwrap(), None);
    write(0, 1).await.unwrap();
    write(0, 1).await.unwrap_err();
    write(2, 3).await.unwrap_err();
    write(1, 2).await.unwrap();
    assert_eq!(store.subject(&id).await.unwrap().unwrap().1, 2);
}

pub(super) async fn a_subject_may_be_written_twice_in_one_commit(place: &dyn Place) {
    let (store, id) = (place.open().await, subject("octo/app#7"));
    let mut cancelled = subject_write(&id, 1, 2);
    let Subject::Story(state) = &mut cancelled.state else {
        unreachable!("the subject is a story");
    };
    state.stage = Stage::Cancelled;
    let commit = Commit {
        subjects: vec![subject_write(&id, 0, 1), cancelled.clone()],
        ..Commit::default()
    };
    store.commit(commit).await.unwrap();
    let stored = store.subject(&id).await.unwrap();
    assert_eq!(stored, Some((cancelled.state, 2)));
}

pub(super) async fn a_delivery_is_received_once(place: &dyn Place) {
    let store = place.open().await;
    let again = NewDelivery {
        event: "something else".to_owned(),
        ..delivery("1")
    };
    let first = [delivery("1"), again.clone(), delivery("2")];
    assert_eq!(store.receive(&first).await.unwrap(), [true, false, true]);
    for (alone, new) in [(delivery("2"), false), (delivery("4"), true)] {
        assert_eq!(store.receive(&[alone]).await.unwrap(), [new]);
    }
    let second = [delivery("3"), again];
    assert_eq!(store.receive(&second).await.unwrap(), [true, false]);
    assert_eq!(store.receive(&[]).await.unwrap(), Vec::<bool>::new());
    let pending = store.pending_deliveries(9).await.unwrap();
    assert_eq!(pending, ["1", "2", "4", "3"].map(delivery));
}

pub(super) async fn a_delivery_can_be_taken_once(place: &dyn Place) {
    let (store, id) = (place.open().await, subject("octo/app#7"));
    store.receive(&[delivery("1")]).await.unwrap();
    let taking = |version, delivery: &str| Commit {
        taken: vec![delivery.parse().unwrap()],
        ..step(&id, version)
    };
    store.commit(taking(1, "1")).await.unwrap();
    for delivery in ["1", "never-received"] {
        let error = store.commit(taking(2, delivery)).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::TakenAlready { id } if id.as_str() == delivery),
            "{error}"
        );
        assert_steps(store.as_ref(), &id, 1).await;
    }
    assert_eq!(store.receive(&[delivery("1")]).await.unwrap(), [false]);
    assert_eq!(store.inbox_depth().await.unwrap(), 0);
}

pub(super) async fn a_delivery_accepted_but_not_taken_is_found_after_reopening(place: &dyn Place) {
    let useless = NewDelivery {
        content: None,
        reason: Some("nothing follows from `starred`".to_owned()),
        ..delivery("useless")
    };
    // Neither by name nor by time: by arrival.
    let mut late = delivery("b");
    late.received_at = noon(-60);
    let arrived = [delivery("c"), useless, delivery("a"), late.clone()];
    place.open().await.receive(&arrived).await.unwrap();

    let store = place.open().await;
    assert!(
        store
            .has_delivery(&"useless".parse().unwrap())
            .await
            .unwrap()
    );
    let pending = store.pending_deliveries(9).await.unwrap();
    assert_eq!(pending, [delivery("c"), delivery("a"), late.clone()]);
    assert_eq!(store.pending_deliveries(2).await.unwrap(), pending[..2]);
    assert_eq!(store.inbox_depth().await.unwrap(), 3);

    let taken = Commit {
        taken: vec!["a".parse().unwrap(), "c".parse().unwrap()],
        ..Commit::default()
    };
    store.commit(taken).await.unwrap();
    assert_eq!(store.pending_deliveries(9).await.unwrap(), [late]);
    assert!(store.has_delivery(&"a".parse().unwrap()).await.unwrap());
}

pub(super) async fn acts_wait_in_the_order_in_which_they_were_decided(place: &dyn Place) {
    let (store, id, other) = (
        place.open().await,
        subject("octo/app#7"),
        subject("octo/app#10"),
    );
    let acts = vec![act(&id, 9, 0), act(&other, 1, 0), act(&id, 10, 1)];
    for acts in [acts[..2].to_vec(), acts[2..].to_vec()] {
        let commit = Commit {
            acts,
            ..Commit::default()
        };
        store.commit(commit).await.unwrap();
    }
    assert_eq!(store.pending_acts().await.unwrap(), acts);

    let finish = Commit {
        finished_acts: vec![acts[2].id.clone(), acts[0].id.clone()],
        ..Commit::default()
    };
    store.commit(finish.clone()).await.unwrap();
    store.commit(finish).await.unwrap();
    let next = Commit {
        acts: vec![act(&id, 11, 0)],
        ..Commit::default()
    };
    store.commit(next).await.unwrap();
    let left = [acts[1].clone(), act(&id, 11, 0)];
    assert_eq!(store.pending_acts().await.unwrap(), left);
}

pub(super) async fn a_log_can_be_read_on_from_any_line(place: &dyn Place) {
    let (store, id, other) = (
        place.open().await,
        subject("octo/app#7"),
        subject("octo/app#70"),
    );
    for versions in [1..=2, 3..=5] {
        let both = |version| [record(&id, version), record(&other, version)];
        let commit = Commit {
            events: versions.flat_map(both).collect(),
            ..Commit::default()
        };
        store.commit(commit).await.unwrap();
    }
    let all: Vec<_> = (1..=5).map(|line| (line, record(&id, line))).collect();
    assert_eq!(store.events(&id, 0).await.unwrap(), all);
    assert_eq!(store.events(&id, 3).await.unwrap(), all[3..]);
    assert_eq!(store.events(&id, 5).await.unwrap(), []);
    assert_eq!(
        store.events(&other, 4).await.unwrap(),
        [(5, record(&other, 5))]
    );
}

pub(super) async fn a_run_is_requested_once_and_stays_ended(place: &dyn Place) {
    let (store, issue) = (place.open().await, story_id("octo/app#7"));
    let (id, _) = gates_run(&issue, 1);
    let state = async || store.run(&id).await.unwrap().map(|run| run.state);
    let started = |pid| RunWrite::Started {
        id: id.clone(),
        process: process(pid),
    };

    commit_runs(
        store.as_ref(),
        vec![started(1), RunWrite::StopWanted { id: id.clone() }],
    )
    .await;
    assert_eq!(state().await, None);

    commit_runs(store.as_ref(), vec![requested(&issue, 1), started(2)]).await;
    let running = RunState::Started {
        process: process(2),
    };
    assert_eq!(state().await, Some(running.clone()));

    commit_runs(store.as_ref(), vec![requested(&issue, 1)]).await;
    assert_eq!(state().await, Some(running));
    let open = store.open_runs().await.unwrap();
    assert_eq!(
        open.iter().map(|(_, stop)| *stop).collect::<Vec<_>>(),
        [false]
    );

    commit_runs(
        store.as_ref(),
        vec![RunWrite::StopWanted { id: id.clone() }],
    )
    .await;
    assert!(place.open().await.open_runs().await.unwrap()[0].1);

    let late = vec![
        RunWrite::Ended { id: id.clone() },
        started(3),
        requested(&issue, 1),
    ];
    commit_runs(store.as_ref(), late).await;
    assert_eq!(state().await, Some(RunState::Ended));
    assert_eq!(store.open_runs().await.unwrap(), []);
}

pub(super) async fn a_story_lists_its_runs_oldest_first(place: &dyn Place) {
    let (store, issue, other) = (
        place.open().await,
        story_id("octo/app#7"),
        story_id("octo/app#70"),
    );
    let requests = [(&issue, 10), (&other, 1), (&issue, 9), (&issue, 2)];
    let requests = requests.map(|(issue, attempt)| requested(issue, attempt));
    commit_runs(store.as_ref(), requests.to_vec()).await;
    let end = RunWrite::Ended {
        id: gates_run(&issue, 9).0,
    };
    commit_runs(store.as_ref(), vec![end]).await;

    let ids = |runs: Vec<RunRecord>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    let of_story = [10, 9, 2].map(|attempt| gates_run(&issue, attempt).0);
    assert_eq!(ids(store.runs_of(&issue).await.unwrap()), of_story);
    let open = store.open_runs().await.unwrap();
    let open = ids(open.into_iter().map(|(run, _)| run).collect());
    let [first, _, last] = of_story;
    assert_eq!(open, [first, gates_run(&other, 1).0, last]);
}

pub(super) async fn a_surface_is_pending_until_its_newest_version_is_written(place: &dyn Place) {
    let (store, id) = (place.open().await, subject("octo/app#7"));
    let key = status(GatesNews::Running).key();
    let write = async |version, digest: &str| {
        let written = Written {
            handle: "501".to_owned(),
            digest: digest.to_owned(),
        };
        let outcome = store.surface_written(&id, &key, version, &written).await;
        outcome.unwrap();
    };
    let digest = |surface: &PendingSurface| surface.written.clone().map(|written| written.digest);

    desire(store.as_ref(), &id, status(GatesNews::Running)).await;
    desire(store.as_ref(), &id, Surface::StageLabel).await;
    desire(store.as_ref(), &id, status(GatesNews::Superseded)).await;
    let pending = store.pending_surfaces().await.unwrap();
    assert_eq!(pending.len(), 2);
    assert_eq!(pending[0].surface, status(GatesNews::Superseded));
    assert_eq!((pending[0].version, pending[1].version), (2, 1));

    // Overtaken while it was being written: still pending, but its place on the forge is known.
    write(1, "running").await;
    let pending = store.pending_surfaces().await.unwrap();
    assert_eq!(digest(&pending[0]), Some("running".to_owned()));

    write(2, "superseded").await;
    write(1, "running").await;
    let pending = store.pending_surfaces().await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].surface, Surface::StageLabel);
    let written = place
        .open()
        .await
        .surface(&id, &key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(digest(&written), Some("superseded".to_owned()));
    assert_eq!(store.surface(&id, "comment").await.unwrap(), None);
}

pub(super) async fn a_timer_is_armed_again_or_fires_but_is_not_lost(place: &dyn Place) {
    let (store, id) = (place.open().await, subject("octo/app#7"));
    let name = || "retry".to_owned();
    let arm = |at, fired| Commit {
        timers: vec![timer(&id, "retry", at)],
        fired,
        ..Commit::default()
    };
    let fire = |at| Commit {
        fired: vec![(id.clone(), name(), at)],
        ..Commit::default()
    };
    let other = Commit {
        timers: vec![timer(&SubjectId::Account, "retry", noon(90))],
        ..Commit::default()
    };
    store.commit(other.clone()).await.unwrap();

    store.commit(arm(noon(100), vec![])).await.unwrap();
    store.commit(arm(noon(80), vec![])).await.unwrap();
    let armed = [timer(&id, "retry", noon(80)), other.timers[0].clone()];
    assert_eq!(store.timers().await.unwrap(), armed);

    store.commit(fire(noon(100))).await.unwrap();
    assert_eq!(store.timers().await.unwrap(), armed);

    let again = arm(noon(120), vec![(id.clone(), name(), noon(80))]);
    store.commit(again).await.unwrap();
    let armed = [other.timers[0].clone(), timer(&id, "retry", noon(120))];
    assert_eq!(store.timers().await.unwrap(), armed);

    store.commit(fire(noon(120))).await.unwrap();
    assert_eq!(place.open().await.timers().await.unwrap(), other.timers);
}

pub(super) async fn stories_are_listed_by_number(place: &dyn Place) {
    let store = place.open().await;
    let ids = ["octo/web#1", "octo/app#10", "octo/app#9", "octo/app#2"];
    let repo = SubjectId::Repo("octo/app".parse().unwrap());
    let written = ids.map(subject).into_iter().chain([repo]);
    let commit = Commit {
        subjects: written.map(|id| subject_write(&id, 0, 1)).collect(),
        ..Commit::default()
    };
    store.commit(commit).await.unwrap();

    let listed = async |repo: Option<&str>| {
        let repo = repo.map(|name| name.parse().unwrap());
        store.stories(&StoryFilter { repo }).await.unwrap()
    };
    let expected = |ids: &[&str]| -> Vec<Subject> {
        let ids = ids.iter().map(|id| subject(id));
        ids.map(|id| Subject::new(&id)).collect()
    };
    let app = ["octo/app#2", "octo/app#9", "octo/app#10"];
    assert_eq!(listed(Some("octo/app")).await, expected(&app));
    let all = ["octo/app#2", "octo/app#9", "octo/app#10", "octo/web#1"];
    assert_eq!(listed(None).await, expected(&all));
    assert_eq!(listed(Some("octo/none")).await, []);
}

pub(super) async fn two_stores_see_each_others_commits_and_conflicts(place: &dyn Place) {
    let (first, second, id) = (
        place.open().await,
        place.open().await,
        subject("octo/app#7"),
    );
    first.commit(step(&id, 1)).await.unwrap();
    second.commit(step(&id, 2)).await.unwrap();
    assert_steps(first.as_ref(), &id, 2).await;

    let error = first.commit(step(&id, 2)).await.unwrap_err();
    assert!(matches!(
        error,
        StoreError::VersionConflict { expected: 1, .. }
    ));
    assert_steps(second.as_ref(), &id, 2).await;
}

pub(super) async fn of_two_who_write_at_once_neither_is_overwritten(place: &dyn Place) {
    const COMMITS: u64 = 20;
    let (first, second, id) = (
        place.open().await,
        place.open().await,
        subject("octo/app#7"),
    );
    let count = async |store: &dyn Store| {
        let (mut done, mut conflicts) = (0, 0);
        while done < COMMITS {
            let version = store
                .subject(&id)
                .await
                .unwrap()
                .map_or(0, |(_, version)| version);
            let commit = Commit {
                events: vec![record(&id, version + 1)],
                subjects: vec![subject_write(&id, version, version + 1)],
                ..Commit::default()
            };
            match store.commit(commit).await {
                Ok(()) => done += 1,
                Err(StoreError::VersionConflict { .. }) => conflicts += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(
                conflicts <= COMMITS,
                "each conflict is a commit of the other"
            );
        }
    };
    tokio::join!(count(first.as_ref()), count(second.as_ref()));

    let log = first.events(&id, 0).await.unwrap();
    let versions: Vec<_> = log.iter().map(|(_, record)| record.version).collect();
    assert_eq!(versions, (1..=2 * COMMITS).collect::<Vec<_>>());
}

pub(super) async fn calls_to_the_forge_add_up_for_each_subject(place: &dyn Place) {
    let store = place.open().await;
    let (one, other) = (subject("octo/app#7"), subject("octo/app#8"));
    assert_eq!(store.calls(&one).await.unwrap(), 0);
    store.add_calls(&one, 3).await.unwrap();
    store.add_calls(&other, 1).await.unwrap();
    store.add_calls(&one, 4).await.unwrap();
    let store = place.open().await;
    assert_eq!(store.calls(&one).await.unwrap(), 7);
    assert_eq!(store.calls(&other).await.unwrap(), 1);
}
