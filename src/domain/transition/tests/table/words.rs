//! States and effects in a few words.

use jiff::Timestamp;

use crate::domain::account::Account;
use crate::domain::effect::{
    Act, AgentBrief, Announcement, Effect, GatesNews, MergeNews, Run, StatusNews, Surface,
};
use crate::domain::event::{AccountEvent, Event, RepoEvent, StoryEvent};
use crate::domain::head::HeadState;
use crate::domain::proposal::HeadAnswer;
use crate::domain::repo::{Merging, MergingPhase, Repo, Shelved};
use crate::domain::story::{
    BacklogNote, BlockReason, BlockedFrom, LastTry, Merge, MergeFailure, MergePhase, Phase,
    Purpose, Reply, Stage, Story, Then, Wish, Work,
};
use crate::domain::transition::Subject;
use crate::domain::work::Start;

pub(super) fn state(subject: &Subject) -> String {
    match subject {
        Subject::Story(story) => story_words(story),
        Subject::Repo(repo) => repo_words(repo),
        Subject::Account(account) => account_words(account),
        Subject::Head(head) => match &head.state {
            HeadState::Judged { report } if report.passed() => "Judged".to_owned(),
            state => format!("{state:?}"),
        },
    }
}

fn story_words(story: &Story) -> String {
    let stage = match &story.stage {
        Stage::Backlog { note: None } => "backlog".to_owned(),
        Stage::Backlog {
            note: Some(BacklogNote::Stopped),
        } => "backlog: stopped".to_owned(),
        Stage::Backlog {
            note: Some(BacklogNote::UnknownAgent { wanted, known }),
        } => {
            let known: Vec<_> = known.iter().map(ToString::to_string).collect();
            format!("backlog: no agent {wanted}, only {}", known.join(", "))
        }
        Stage::Backlog {
            note: Some(BacklogNote::Waits { circle }),
        } => waits_words(story, circle),
        Stage::Backlog {
            note: Some(BacklogNote::Unconfirmed),
        } => "backlog: unconfirmed".to_owned(),
        Stage::Coding(work) => format!("coding {}", work_words(story, work)),
        Stage::Qa(work) => format!("qa {}", work_words(story, work)),
        Stage::MergeFailure { failure, work } => {
            format!(
                "merge_failure ({}) {}",
                failure_words(failure),
                work_words(story, work)
            )
        }
        Stage::Merge(merge) => format!("merge: {}", merge_words(merge)),
        Stage::Blocked { reason, from } => {
            format!(
                "blocked: {} (from {})",
                reason_words(reason),
                from_words(from)
            )
        }
        Stage::Done { receipt, .. } => {
            format!(
                "done{}",
                if receipt.is_some() {
                    " with a receipt"
                } else {
                    ""
                }
            )
        }
        Stage::Cancelled => "cancelled".to_owned(),
    };
    let asked = match story.requests.len() {
        0 => String::new(),
        count => format!(", {count} asked"),
    };
    stage + &asked
}

fn waits_words(story: &Story, circle: &[u64]) -> String {
    let numbers = |numbers: &mut dyn Iterator<Item = u64>| {
        let numbers: Vec<String> = numbers.map(|number| format!("#{number}")).collect();
        numbers.join(" ")
    };
    let mut open = story.needs.iter().filter(|need| !need.is_done());
    let open = numbers(&mut open.by_ref().map(|need| need.issue));
    let circle = match circle {
        [] => String::new(),
        circle => format!(" in a circle {}", numbers(&mut circle.iter().copied())),
    };
    format!("backlog: waits for {open}{circle}")
}

fn work_words(story: &Story, work: &Work) -> String {
    let purpose = match &work.purpose {
        Purpose::FixUp { .. } => " (fix-up)",
        Purpose::Task | Purpose::Review => "",
    };
    let retries = match story.counters.retries {
        0 => String::new(),
        retries => format!(", retry {retries}"),
    };
    let phase = match &work.phase {
        Phase::Held => "held".to_owned(),
        Phase::Configuring => "configuring".to_owned(),
        Phase::WaitingForSlot => "waiting for a slot".to_owned(),
        Phase::WaitingForMoney { delay: None, .. } => "waiting for money".to_owned(),
        Phase::WaitingForMoney {
            delay: Some(delay), ..
        } => format!("paused, {}", delay.because),
        Phase::Preparing(_) => "preparing".to_owned(),
        Phase::Starting { .. } => "starting".to_owned(),
        Phase::Running { .. } => "running".to_owned(),
        Phase::Stopping { then, .. } => format!("stopping, then {}", then_words(then)),
        Phase::Collecting { then: None, .. } => "collecting".to_owned(),
        Phase::Collecting {
            then: Some(then), ..
        } => format!("collecting, then {}", then_words(then)),
        Phase::Judging { .. } => "judging".to_owned(),
    };
    format!("{}{purpose}: {phase}{retries}", story.attempt)
}

fn then_words(then: &Then) -> &'static str {
    match then {
        Then::Backlog => "backlog",
        Then::Cancelled => "cancelled",
        Then::Again => "again",
        Then::Merge => "merge",
        Then::Blocked { .. } => "blocked",
        Then::Done { .. } => "done",
    }
}

fn merge_words(merge: &Merge) -> String {
    match &merge.phase {
        MergePhase::Held => "held".to_owned(),
        MergePhase::Queued => "queued".to_owned(),
        MergePhase::Testing { .. } => "testing".to_owned(),
        MergePhase::Waiting { reason } => format!("waiting, {reason}"),
    }
}

fn failure_words(failure: &MergeFailure) -> String {
    match failure {
        MergeFailure::ConflictDetected { paths, .. } => format!("conflict in {}", paths.join(", ")),
        MergeFailure::GatesFailed { failed, .. } => {
            let failed: Vec<_> = failed.iter().map(ToString::to_string).collect();
            format!("{} failed", failed.join(", "))
        }
        MergeFailure::PushRejected { reason } => format!("rejected: {reason}"),
        MergeFailure::LandedTreeDiffers { failed, .. } => {
            format!("landed another tree, {} failed", failed.len())
        }
    }
}

fn reason_words(reason: &BlockReason) -> String {
    match reason {
        BlockReason::RetriesUsedUp { attempts, last } => {
            let last = match last {
                LastTry::GatesFailed { .. } => "gates failed",
                LastTry::NothingCommitted => "nothing committed",
                LastTry::MarkersLeft { .. } => "markers left",
                LastTry::Ended { .. } => "broke off",
                LastTry::ReviewFailed { .. } => "not accepted",
                LastTry::ChecksFailed { .. } => "checks failed",
            };
            format!("{attempts} attempts, the last: {last}")
        }
        BlockReason::SameFailure {
            times, alternating, ..
        } => {
            format!(
                "the same failure {times} times{}",
                if *alternating { ", alternating" } else { "" }
            )
        }
        BlockReason::NothingTested => "nothing tested".to_owned(),
        BlockReason::Protected { paths, .. } => format!("touches {}", paths.join(", ")),
        BlockReason::Asked { question } => format!("asks: {question}"),
        BlockReason::Ceiling { message }
        | BlockReason::WorktreeFailed { message }
        | BlockReason::GatesUnavailable { message } => message.clone(),
        BlockReason::ProjectUnusable { .. } => "project unusable".to_owned(),
        BlockReason::CannotLaunch { agent, message } => format!("cannot launch {agent}: {message}"),
        BlockReason::Aborted { times } => format!("aborted {times} times"),
        BlockReason::Lost { times } => format!("lost {times} times"),
        BlockReason::Paused { times, .. } => format!("paused {times} times"),
        BlockReason::MergeFailed { failure } => failure_words(failure),
        BlockReason::PullRequestClosed { number } => format!("#{number} was closed"),
    }
}

fn from_words(from: &BlockedFrom) -> &'static str {
    match from {
        BlockedFrom::Coding => "coding",
        BlockedFrom::Qa => "qa",
        BlockedFrom::Merge { .. } => "merge",
        BlockedFrom::MergeFailure { .. } => "merge failure",
    }
}

fn repo_words(repo: &Repo) -> String {
    let mut words = Vec::new();
    for (agent, holder) in &repo.slots {
        words.push(format!("{agent} for #{}", holder.story.number));
    }
    for request in &repo.waiting {
        words.push(format!("#{} waits for an agent", request.story.number));
    }
    words.extend(repo.merging.as_ref().map(merging_words));
    for Shelved { merging, due } in &repo.shelf {
        let due = if *due { ", due" } else { "" };
        let (number, story) = (merging.number, merging.entry.story.number);
        words.push(format!("merge {number}: #{story} on the shelf{due}"));
    }
    if let Some(story) = &repo.stopped {
        words.push(format!("stopped for #{}", story.number));
    }
    for entry in &repo.queue {
        words.push(format!("#{} queued", entry.story.number));
    }
    for (story, wait) in &repo.waits {
        let needs = wait.needs.iter().filter(|need| !need.is_done());
        let needs: Vec<String> = needs.map(|need| format!("#{}", need.issue)).collect();
        words.push(format!("#{story} waits for {}", needs.join(" ")));
    }
    if !repo.parked.is_empty() {
        words.push(format!("{} parked", repo.parked.len()));
    }
    let proposals = &repo.proposals;
    for (number, open) in &proposals.open {
        words.push(format!(
            "pull {number} at {}",
            tail(open.head.commit.as_str())
        ));
    }
    for commit in &proposals.gating {
        words.push(format!("gating {}", tail(commit.as_str())));
    }
    for waiting in &proposals.waiting {
        words.push(format!("{} waits", tail(waiting.commit.as_str())));
    }
    if words.is_empty() {
        "idle".to_owned()
    } else {
        words.join(", ")
    }
}

fn merging_words(merging: &Merging) -> String {
    let phase = match &merging.phase {
        MergingPhase::Building { base } => format!("building on {}", tail(base.as_str())),
        MergingPhase::Gating { .. } => "gating".to_owned(),
        MergingPhase::Landing { .. } => "landing".to_owned(),
        MergingPhase::Waiting { .. } => "waiting to land".to_owned(),
        MergingPhase::Checking { .. } => "checking what landed".to_owned(),
    };
    let withdrawn = if merging.withdrawn {
        " (withdrawn)"
    } else {
        ""
    };
    format!(
        "merge {}: #{} {phase}{withdrawn}",
        merging.number, merging.entry.story.number
    )
}

fn account_words(account: &Account) -> String {
    let waiting: Vec<_> = account
        .waiting
        .iter()
        .map(|wanted| format!(", #{} waits", wanted.story.number))
        .collect();
    let (spent, held) = (account.spent_today, account.reserved());
    let paused: Vec<_> = account
        .pauses
        .keys()
        .map(|paused| format!(", {} paused", paused.0))
        .collect();
    format!(
        "spent {spent}, held {held}{}{}",
        waiting.concat(),
        paused.concat()
    )
}

/// An object id's last two digits, in which the ids of these tests differ.
fn tail(sha: &str) -> &str {
    &sha[38..]
}

pub(super) fn effects(effects: &[Effect], now: Timestamp) -> String {
    let words = effects
        .iter()
        .filter_map(|effect| effect_words(effect, now));
    words.collect::<Vec<_>>().join("; ")
}

fn effect_words(effect: &Effect, now: Timestamp) -> Option<String> {
    Some(match effect {
        Effect::Act(act) => act_words(act),
        Effect::Run(Run::StartAgent { brief, .. }) => start_words(brief),
        Effect::Run(Run::StartGates { id, .. }) => format!("start {id}"),
        Effect::Run(Run::Stop { id }) => format!("stop {id}"),
        Effect::Surface(Surface::StickyComment | Surface::CheckRun(_)) => return None,
        Effect::Surface(Surface::StageLabel) => "label".to_owned(),
        Effect::Surface(Surface::PullRequest) => "pull".to_owned(),
        Effect::Surface(Surface::Status(status)) => {
            let news = match &status.news {
                StatusNews::Merge(MergeNews::Withdrawn) => "withdrawn",
                StatusNews::Merge(MergeNews::Held) => "held",
                StatusNews::Gates(GatesNews::AwaitsApproval { .. }) => "awaits approval",
                StatusNews::Gates(GatesNews::Queued) => "queued",
                StatusNews::Gates(GatesNews::SupersededBy { commit }) => {
                    return Some(format!(
                        "{} superseded by {}",
                        status.news.context(),
                        tail(commit.as_str())
                    ));
                }
                StatusNews::Gates(_) | StatusNews::Merge(_) => status.news.state().name(),
            };
            format!("{} {news}", status.news.context())
        }
        Effect::Tell(event) => format!("tell {}", told(event)),
        Effect::Timer(timer) => {
            let after = timer.at.duration_since(now).as_secs();
            format!("wake {} in {after} s", timer.name)
        }
    })
}

fn act_words(act: &Act) -> String {
    let name: &'static str = act.into();
    match act {
        Act::Announce { announcement } => match announcement {
            Announcement::Blocked { .. } => "announce blocked".to_owned(),
            Announcement::Conflict { .. } => "announce conflict".to_owned(),
            Announcement::Done { .. } => "announce done".to_owned(),
        },
        Act::RemoveLabel { label } => format!("remove label {label}"),
        Act::React { comment, reaction } => format!("{} at {}", reaction.name(), comment.id),
        Act::Reply { reply } => match reply {
            Reply::Status => "say how it is".to_owned(),
            Reply::Help => "say the commands".to_owned(),
            Reply::Unknown { word } => format!("say that {word} is no command"),
            Reply::Moot { because } => format!("say: {because}"),
        },
        Act::Answer { number, answer } => {
            let why = match answer {
                HeadAnswer::WhichCommit { .. } => "which commit?",
                HeadAnswer::AnotherCommit { .. } => "another commit",
                HeadAnswer::Ambiguous { .. } => "ambiguous",
                HeadAnswer::NothingWaits => "nothing waits",
            };
            format!("say at {number}: {why}")
        }
        Act::BuildCandidate { base, .. } => format!("{name} on {}", tail(base.as_str())),
        Act::Admit { request, login, .. } => format!("{name} {login} ({request})"),
        Act::Look { look } => match look.since {
            None => format!("{name} for {}", look.label),
            Some(since) => format!("{name} since {}", since.strftime("%H:%M:%S")),
        },
        Act::ReadCheck { name, source, .. } => format!("read the log of {name} ({})", source.id),
        Act::SeeNeeds {
            named, sub_issues, ..
        } => {
            let parts = if *sub_issues { " and parts" } else { "" };
            format!("{name} {named:?}{parts}")
        }
        Act::SeeBranches { heads, .. } => format!("{name} of {}", heads.len()),
        Act::ReadProject { .. }
        | Act::FetchHead { .. }
        | Act::PrepareWorktree { .. }
        | Act::Collect { .. }
        | Act::RetireWorktree { .. }
        | Act::PublishBranch { .. }
        | Act::PublishWip { .. }
        | Act::OpenPull { .. }
        | Act::SyncBase { .. }
        | Act::MergePull { .. }
        | Act::Land { .. } => name.to_owned(),
    }
}

fn start_words(brief: &AgentBrief) -> String {
    let how = match &brief.start {
        Start::Cold => "cold",
        Start::Warm(_) => "warm",
    };
    let told = match brief.recent.len() {
        0 => String::new(),
        count => format!(", {count} told"),
    };
    let messages = match brief.messages.len() {
        0 => String::new(),
        count => format!(", {count} said"),
    };
    let failure = if brief.failure.is_some() {
        ", with the failure"
    } else {
        ""
    };
    let turns = brief
        .agent
        .max_turns
        .map_or_else(String::new, |most| format!(", {most} turns"));
    let amount = brief.reservation.amount();
    format!(
        "start {} {how} for {amount}{turns}{told}{messages}{failure}",
        brief.agent.name
    )
}

fn wish_words(wish: &Wish) -> String {
    let Wish::Start {
        task,
        agent,
        priority,
        around,
    } = wish
    else {
        return format!("{wish:?}");
    };
    let agent = agent
        .as_ref()
        .map_or_else(String::new, |agent| format!(" with {agent}"));
    let priority = match priority {
        0 => String::new(),
        priority => format!(" at {priority}"),
    };
    let editors = around.edits.iter().filter_map(|edit| {
        let login = edit.by.login()?;
        Some(format!("{login} (#{})", edit.issue))
    });
    let editors: Vec<String> = editors.collect();
    let editors = match editors.as_slice() {
        [] => String::new(),
        editors => format!(", edited by {}", editors.join(", ")),
    };
    format!("Start {:?}{agent}{priority}{editors}", task.title)
}

fn told(event: &Event) -> String {
    let name = event.name();
    match event {
        Event::Story { id, event } => match event {
            StoryEvent::Reserved { reservation, .. } => {
                format!("#{} {name} {}", id.number, reservation.amount())
            }
            StoryEvent::MoneyDelayed { because, .. } => format!("#{} {name}: {because}", id.number),
            StoryEvent::MoneyRefused { reason, .. } => format!("#{} {name}: {reason}", id.number),
            StoryEvent::SlotGranted { agent, .. } => format!("#{} {name} {agent}", id.number),
            StoryEvent::Asked { wish, .. } => format!("#{} {name} {}", id.number, wish_words(wish)),
            StoryEvent::Said { wish, .. } => format!("#{} {name} {}", id.number, wish_words(wish)),
            StoryEvent::NeedsStand { needs, circle } => {
                let open = needs.iter().filter(|need| !need.is_done()).count();
                let circle = match circle.as_slice() {
                    [] => String::new(),
                    circle => format!(", in a circle {circle:?}"),
                };
                format!("#{} {name}: {open} open{circle}", id.number)
            }
            _ => format!("#{} {name}", id.number),
        },
        Event::Repo { event, .. } => match event {
            RepoEvent::Prioritised { priority, .. } => format!("repo {name} {priority}"),
            _ => format!("repo {name}"),
        },
        Event::Account { event } => match event {
            AccountEvent::Settled {
                used: Some(used), ..
            } => format!("account {name} {used}"),
            AccountEvent::Settled { used: None, .. } => format!("account {name} in full"),
            _ => format!("account {name}"),
        },
        Event::Head { id, .. } => format!("head {} {name}", tail(id.sha.as_str())),
    }
}
