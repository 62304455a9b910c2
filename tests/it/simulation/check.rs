//! What must hold: after every transaction, and when everything has come to rest.

use std::collections::BTreeMap;

use huskies::domain::account::Account;
use huskies::domain::dependency::{IssueState, Need};
use huskies::domain::effect::{CommitStatus, StatusNews, Surface};
use huskies::domain::event::{Event, RepoEvent, StoryEvent, SubjectId};
use huskies::domain::head::HeadId;
use huskies::domain::id::{Sha, StoryId};
use huskies::domain::policy::Protection;
use huskies::domain::repo::Repo;
use huskies::domain::sandbox::Sandbox;
use huskies::domain::story::{Actor, Admission, MergePhase, Phase, Stage, Story};
use huskies::domain::transition::{Subject, step};
use huskies::forge::{CheckRun, CheckState};
use huskies::report::{Masker, announcement_marker, sticky_comment, story_marker};
use huskies::store::{Commit, EventRecord, SqliteStore, Store};

use super::forge::WRITER;
use super::store::{Host, Writing};
use super::world::World;
use super::{REPO, STORIES};

/// After every transaction: money and counters.
pub(super) fn check_commit(commit: &Commit, world: &mut World) {
    for write in &commit.subjects {
        match &write.state {
            Subject::Account(account) => check_ledger(account, world),
            Subject::Story(story) => {
                check_caps(story, world);
                check_begin(story, world);
            }
            Subject::Repo(repo) => check_branches(repo, world),
            Subject::Head(_) => {}
        }
    }
    for record in &commit.events {
        if record
            .refusal
            .as_ref()
            .is_some_and(|why| !why.starts_with("ignored"))
        {
            let (subject, why) = (&record.subject, record.refusal.as_ref());
            world.violation(format!("{subject}: {why:?}"));
        }
    }
}

/// Nobody else pushes to story branches here.
fn check_branches(repo: &Repo, world: &mut World) {
    if !repo.strays.is_empty() {
        let strays = &repo.strays;
        world.violation(format!("takes its own commits for another's: {strays:?}"));
    }
}

fn check_ledger(account: &Account, world: &mut World) {
    let limits = &account.limits;
    if account.spent_today + account.reserved() > limits.per_day {
        world.violation(format!("over the day's ceiling: {account:?}"));
    }
    for held in &account.reservations {
        let spent = account.stories.get(held.story()).copied();
        if spent.unwrap_or_default() + held.amount() > limits.per_story {
            world.violation(format!("over the story's ceiling: {account:?}"));
        }
    }
    if account
        .stories
        .values()
        .any(|spent| *spent > limits.per_story)
    {
        world.violation(format!("more is spent than a story may: {account:?}"));
    }
    if account.reservations.len() > limits.agents as usize {
        world.violation(format!("too many agents: {account:?}"));
    }
}

fn check_caps(story: &Story, world: &mut World) {
    let counters = &story.counters;
    let held = counters.retries <= 2
        && counters.aborts <= 5
        && counters.lost <= 5
        && counters.pauses <= 5
        && counters.unpaid <= 10
        && counters.fixups <= 1
        && counters.gate_rounds <= 3;
    if !held {
        world.violation(format!("{}: {counters:?}", story.id));
    }
}

/// Nobody begins before everything is done that the story is known to depend on.
fn check_begin(story: &Story, world: &mut World) {
    if let Stage::Done { .. } = story.stage {
        world.done_once.insert(story.id.number);
    }
    let phase = story.work().map(|work| &work.phase);
    if !matches!(phase, Some(Phase::Configuring)) {
        return;
    }
    let mut needs = story.needs.iter();
    if let Some(need) = needs.find(|need| !world.done_once.contains(&need.issue)) {
        world.violation(format!("{} begins before {need:?}", story.id));
    }
}

/// Who waits is listed with what he waits for, and that is not done.
fn waits(world: &World, stories: &[Story], repo: &Repo) -> Vec<String> {
    let mut faults = Vec::new();
    for story in stories {
        let wait = repo.waits.get(&story.id.number);
        let listed = wait.map(|wait| &wait.needs);
        let waits = story.waits_for_others().then_some(&story.needs);
        if listed != waits {
            faults.push(format!("{} waits for {waits:?}, not {listed:?}", story.id));
        }
        for need in waits.into_iter().flatten() {
            let mut others = stories.iter();
            let needed = others.find(|other| other.id.number == need.issue);
            let landed = needed.is_some_and(|other| matches!(other.stage, Stage::Done { .. }));
            let issue = world.issues.by_number.get(&need.issue);
            let closed = issue.is_some_and(|issue| issue.state() == IssueState::Completed);
            let done = landed || (closed && need.issue <= STORIES);
            if done != need.is_done() && need.issue <= STORIES {
                let done = if done { "done" } else { "open" };
                faults.push(format!("{} waits for {need:?}, which is {done}", story.id));
            }
        }
        if waits.is_some_and(|needs| needs.iter().all(Need::is_done)) {
            faults.push(format!("{} waits for nothing", story.id));
        }
    }
    faults
}

/// What keeps everything from being at rest, if it is not.
pub(super) fn unrest(host: &Host, store: &SqliteStore) -> Option<String> {
    let reader = store.clone();
    let (acts, runs, surfaces, inbox) = host.wait_for(async move {
        let acts = reader.pending_acts().await.unwrap();
        let runs = reader.open_runs().await.unwrap();
        let surfaces = reader.pending_surfaces().await.unwrap();
        (acts, runs, surfaces, reader.inbox_depth().await.unwrap())
    });
    if !acts.is_empty() || !runs.is_empty() || !surfaces.is_empty() || inbox > 0 {
        return Some(format!("pending: {acts:?} {runs:?} {surfaces:?} {inbox}"));
    }
    let stories = all_stories(host, store);
    let stopped = stories.iter().any(Story::stops_the_queue);
    let queues = |story: &Story| stopped && matches!(story.stage, Stage::Merge(_));
    let restless = stories
        .into_iter()
        .find(|story| !rests(story) && !queues(story));
    restless.map(|story| format!("{} is {:?}", story.id, story.stage))
}

/// It waits for a person, or for nothing any more.
fn rests(story: &Story) -> bool {
    let rests = match &story.stage {
        Stage::Backlog { .. } | Stage::Blocked { .. } | Stage::Done { .. } | Stage::Cancelled => {
            true
        }
        Stage::Coding(work) | Stage::Qa(work) | Stage::MergeFailure { work, .. } => {
            work.phase == Phase::Held && story.wishes.held
        }
        Stage::Merge(merge) => merge.phase == MergePhase::Held && story.wishes.held,
    };
    rests && story.requests.is_empty()
}

fn subject(host: &Host, store: &SqliteStore, id: &SubjectId) -> Option<Subject> {
    let (store, id) = (store.clone(), id.clone());
    let found = host.wait_for(async move { store.subject(&id).await.unwrap() });
    found.map(|(subject, _)| subject)
}

fn all_stories(host: &Host, store: &SqliteStore) -> Vec<Story> {
    let ids = (1..=STORIES).map(story_subject);
    let found = ids.filter_map(|id| subject(host, store, &id));
    found
        .filter_map(|subject| match subject {
            Subject::Story(story) => Some(*story),
            Subject::Repo(_) | Subject::Head(_) | Subject::Account(_) => None,
        })
        .collect()
}

fn story_subject(number: u64) -> SubjectId {
    SubjectId::Story(StoryId::new(REPO.parse().unwrap(), number))
}

fn head_subject(sha: &Sha) -> SubjectId {
    SubjectId::Head(HeadId {
        repo: REPO.parse().unwrap(),
        sha: sha.clone(),
    })
}

fn repo_subject() -> SubjectId {
    SubjectId::Repo(REPO.parse().unwrap())
}

/// Everything that must hold once nothing happens any more.
pub(super) fn at_the_end(
    world: &mut World,
    (host, store): (&Host, &SqliteStore),
    written: &Writing,
) -> Vec<String> {
    let stories = all_stories(host, store);
    let mut faults = world.lost_work();
    faults.extend(unrest(host, store));
    if world.processes.running() > 0 {
        faults.push("a run goes on though nobody waits for it".to_owned());
    }
    match (
        subject(host, store, &SubjectId::Account),
        subject(host, store, &repo_subject()),
    ) {
        (Some(Subject::Account(account)), Some(Subject::Repo(repo))) => {
            faults.extend(nothing_is_held(&account, &repo));
            faults.extend(waits(world, &stories, &repo));
        }
        other => faults.push(format!("subjects are missing: {other:?}")),
    }
    let ids = (1..=STORIES).map(story_subject);
    let heads: Vec<SubjectId> = world.pulls.all.iter().map(head_subject).collect();
    for id in ids.chain([repo_subject(), SubjectId::Account]).chain(heads) {
        faults.extend(replay(host, store, &id));
    }
    faults.extend(deliveries_count_once(world, host, store));
    for story in &stories {
        faults.extend(is_shown(world, story));
    }
    faults.extend(reports(world, written));
    faults.extend(checks(world, written));
    faults.extend(approvals(world, &stories));
    faults.extend(untested(world, host, store));
    faults
}

fn nothing_is_held(account: &Account, repo: &Repo) -> Option<String> {
    let held = !account.reservations.is_empty()
        || !account.waiting.is_empty()
        || !repo.slots.is_empty()
        || !repo.waiting.is_empty()
        || (!(repo.queue.is_empty() && repo.shelf.is_empty()) && repo.stopped.is_none())
        || repo.merging.is_some()
        || !repo.proposals.gating.is_empty()
        || !repo.proposals.waiting.is_empty()
        || !repo.proposals.requests.is_empty();
    held.then(|| format!("something is held in vain: {account:?} {repo:?}"))
}

fn log(host: &Host, store: &SqliteStore, id: &SubjectId) -> Vec<EventRecord> {
    let (store, id) = (store.clone(), id.clone());
    let events = host.wait_for(async move { store.events(&id, 0).await.unwrap() });
    events.into_iter().map(|(_, record)| record).collect()
}

/// The log alone gives the same subject; and nobody was let in who may not.
fn replay(host: &Host, store: &SqliteStore, id: &SubjectId) -> Option<String> {
    let mut replayed = Subject::new(id);
    for record in log(host, store, id) {
        let name = record.event.name();
        if let (Subject::Story(story), Event::Story { event, .. }) = (&replayed, &record.event)
            && let StoryEvent::Admitted {
                request,
                answer: Admission::Allowed { .. },
            } = event
        {
            let mut requests = story.requests.iter();
            let asked = requests.find(|asked| asked.id == *request);
            let by = asked.map(|asked| &asked.by);
            let writer = Actor::Account {
                login: WRITER.to_owned(),
            };
            if by.is_some_and(|by| *by != writer) {
                return Some(format!("{id}: {by:?} was let in"));
            }
        }
        match (step(&replayed, &record.event, record.at), record.refusal) {
            (Ok(step), None) => replayed = step.subject,
            (Err(_), Some(_)) => {}
            (answer, logged) => {
                let answer = answer.map(|_| "taken");
                return Some(format!("{id}: {name} was {logged:?}, and now {answer:?}"));
            }
        }
    }
    let stored = subject(host, store, id)?;
    (stored != replayed).then(|| format!("{id} is not what its log says: {stored:?} {replayed:?}"))
}

/// Each accepted delivery is in its subject's log once, however often it arrived.
fn deliveries_count_once(world: &World, host: &Host, store: &SqliteStore) -> Vec<String> {
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for record in log(host, store, &repo_subject()) {
        if let Event::Repo { event, .. } = &record.event
            && matches!(
                event,
                RepoEvent::Issue { .. }
                    | RepoEvent::Pushed { .. }
                    | RepoEvent::Commented { .. }
                    | RepoEvent::PullRequest { .. }
            )
        {
            *counted.entry(format!("{event:?}")).or_default() += 1;
        }
    }
    let mut faults: Vec<String> = counted
        .iter()
        .filter(|(_, times)| **times > 1)
        .map(|(event, times)| format!("{event} took effect {times} times"))
        .collect();
    let accepted = world.accepted.values().filter(|useful| **useful).count();
    if counted.len() != accepted {
        faults.push(format!(
            "{accepted} deliveries were accepted and {} took effect",
            counted.len()
        ));
    }
    faults
}

/// The sticky comment and the stage label say what is so.
fn is_shown(world: &World, story: &Story) -> Vec<String> {
    let number = story.id.number;
    let issue = &world.issues.by_number[&number];
    let marker = story_marker(&story.id);
    let stickies: Vec<&str> = issue
        .comments
        .iter()
        .filter(|comment| comment.author == WRITER && comment.body.starts_with(&marker))
        .map(|comment| comment.body.as_str())
        .collect();
    let (mut faults, masker) = (Vec::new(), Masker::default());
    let shows = story.was_started() || !story.refused.is_empty();
    match stickies[..] {
        [body] if shows && *body == masker.comment(&sticky_comment(story, Sandbox::Off)) => {}
        [] if !shows || world.deleted.contains(&number) => {}
        _ => faults.push(format!(
            "#{number} should show once what it is: {stickies:#?}"
        )),
    }
    let labels = issue
        .labels
        .iter()
        .filter(|label| label.starts_with("stage:"));
    let labels: Vec<&String> = labels.collect();
    let right = format!("stage:{}", story.stage.name());
    if story.was_started() && labels != [&right] {
        faults.push(format!("#{number} is labelled {labels:?} and is {right}"));
    }
    faults
}

/// Each announcement is there once, and each status says what was said last.
fn reports(world: &World, written: &Writing) -> Vec<String> {
    let mut faults = Vec::new();
    for act in &written.announcements {
        let marker = announcement_marker(&act.id);
        let comments = world
            .issues
            .by_number
            .values()
            .flat_map(|issue| &issue.comments);
        let posted = comments.filter(|c| c.body.starts_with(&marker)).count();
        if posted != 1 {
            faults.push(format!(
                "{} was posted {posted} times: {:?}",
                act.id.0, act.act
            ));
        }
    }
    for CommitStatus { commit, news } in written.statuses.values() {
        let shown = world.issues.status(commit, news.context());
        let right = shown.is_some_and(|shown| {
            shown.state == news.state() && shown.description == Masker::default().status(news)
        });
        if !right {
            faults.push(format!("{commit} shows {shown:?} and should show {news:?}"));
        }
    }
    faults
}

/// Each check run is there once, and says what was said last of its run.
fn checks(world: &World, written: &Writing) -> Vec<String> {
    let mut faults = Vec::new();
    for (id, check) in &written.checks {
        let news = StatusNews::Gates(check.news.clone());
        let right = (&check.commit, Masker::default().status(&news));
        let found = world.issues.checks.iter();
        let found = found.filter(|(_, found)| found.external_id == *id);
        let shown: Vec<_> = found
            .map(|(commit, found)| (commit, found.title.clone()))
            .collect();
        if shown != [right] {
            faults.push(format!("{id} shows {shown:?} and should show {news:?}"));
        }
    }
    let ends = |(_, check): &&(Sha, CheckRun)| matches!(check.state, CheckState::InProgress);
    let unfinished = world.issues.checks.iter().find(ends);
    faults.extend(unfinished.map(|check| format!("it is never finished: {check:?}")));
    faults
}

/// What the forge merged and nothing tested stopped the queue.
fn untested(world: &World, host: &Host, store: &SqliteStore) -> Vec<String> {
    let logs = (1..=STORIES).flat_map(|number| log(host, store, &story_subject(number)));
    let reported: Vec<String> = logs
        .filter_map(|record| match record.event {
            Event::Story {
                event: StoryEvent::LandedDiffers { commit, .. },
                ..
            } => Some(commit.to_string()),
            _ => None,
        })
        .collect();
    let merged = world.own_pulls.merged.iter();
    let untested = merged.filter(|(commit, tree)| {
        !world.sites.passed.contains(tree) && !reported.contains(&commit.to_string())
    });
    untested
        .map(|(commit, _)| format!("{commit} landed, nothing tested it, and nobody was told"))
        .collect()
}

/// What touches protected files landed with a writer's word alone.
fn approvals(world: &World, stories: &[Story]) -> Vec<String> {
    let mut faults = Vec::new();
    for story in stories {
        if let Stage::Done {
            receipt: Some(receipt),
            ..
        } = &story.stage
        {
            let changed = world.commits.changed(&receipt.base, &receipt.commit);
            let touched = Protection::default().touched(&changed);
            if !touched.is_empty() && story.approved.as_ref() != Some(&receipt.head) {
                faults.push(format!("{} changed {touched:?} unapproved", story.id));
            }
            if !world.sites.landed.contains(&receipt.commit) {
                faults.push(format!("{} says it landed and did not", story.id));
            }
        }
    }
    faults
}

/// The newest wish for each status of a commit.
pub(super) fn note_statuses(commit: &Commit, written: &mut Writing) {
    for write in &commit.surfaces {
        match &write.surface {
            Surface::Status(status) => {
                let key = (status.commit.clone(), status.news.context().to_owned());
                written.statuses.insert(key, status.clone());
            }
            Surface::CheckRun(check) => {
                let id = format!("{}/{}", write.subject, check.run);
                written.checks.insert(id, check.clone());
            }
            Surface::StickyComment | Surface::StageLabel | Surface::PullRequest => {}
        }
    }
}
