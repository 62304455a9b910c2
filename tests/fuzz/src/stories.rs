//! Everything that is reported about stories, with one text of others in each place that takes one.

use std::time::Duration;

use huskies::domain::effect::{Announcement, EffectId, GatesNews, MergeNews, StatusNews};
use huskies::domain::id::{Attempt, ItemName, Sha, StoryId};
use huskies::domain::sandbox::Sandbox;
use huskies::domain::story::{
    BacklogNote, BaseConflict, BlockReason, BlockedFrom, Delay, LastTry, Merge, MergeFailure,
    MergePhase, Phase, Purpose, Reply, Stage, Story, Unconfirmed, Work,
};
use huskies::domain::work::{End, GateOutcome, GateReport, GateVerdict, Receipt};
use huskies::report::{self, Markdown};

fn sha(digit: char) -> Sha {
    digit.to_string().repeat(40).parse().expect("a constant")
}

fn item(name: &str) -> ItemName {
    name.parse().expect("a constant")
}

fn id() -> StoryId {
    "octo/app#42".parse().expect("a constant")
}

fn failures(text: &str) -> Vec<MergeFailure> {
    vec![
        MergeFailure::ConflictDetected {
            base: sha('1'),
            paths: vec![text.to_owned(); 11],
        },
        MergeFailure::GatesFailed {
            base: sha('1'),
            failed: vec![item("GH-2"), item("www.x.org")],
        },
        MergeFailure::PushRejected {
            reason: text.to_owned(),
        },
        MergeFailure::LandedTreeDiffers {
            commit: sha('1'),
            tested: sha('2'),
            found: sha('3'),
            failed: vec![item("GH-2"), item("www.x.org")],
        },
    ]
}

fn ends(text: &str) -> Vec<End> {
    let message = text.to_owned();
    vec![
        End::Asked {
            question: message.clone(),
        },
        End::RateLimited {
            until: None,
            message: message.clone(),
        },
        End::AccountTrouble {
            message: message.clone(),
        },
        End::ResumeRefused {
            message: message.clone(),
        },
        End::CannotLaunch {
            message: message.clone(),
        },
        End::Crashed {
            message: message.clone(),
        },
        End::Lost { message },
    ]
}

fn reasons(text: &str) -> Vec<BlockReason> {
    let message = text.to_owned();
    let mut reasons = vec![
        BlockReason::Asked {
            question: message.clone(),
        },
        BlockReason::Ceiling {
            message: message.clone(),
        },
        BlockReason::CannotLaunch {
            agent: item("GH-2"),
            message: message.clone(),
        },
        BlockReason::WorktreeFailed {
            message: message.clone(),
        },
        BlockReason::ProjectUnusable {
            message: message.clone(),
        },
        BlockReason::Paused {
            times: 5,
            message: message.clone(),
        },
        BlockReason::GatesUnavailable {
            message: message.clone(),
        },
    ];
    reasons.push(BlockReason::Protected {
        commit: sha('5'),
        paths: vec![text.to_owned(); 11],
    });
    let mut lasts = vec![
        LastTry::MarkersLeft {
            paths: vec![message.clone(); 12],
        },
        LastTry::ReviewFailed {
            findings: message.clone(),
        },
        LastTry::ChecksFailed {
            names: vec![message; 11],
        },
    ];
    lasts.extend(ends(text).into_iter().map(|end| LastTry::Ended { end }));
    reasons.extend(
        lasts
            .into_iter()
            .map(|last| BlockReason::RetriesUsedUp { attempts: 4, last }),
    );
    reasons.extend(
        failures(text)
            .into_iter()
            .map(|failure| BlockReason::MergeFailed { failure }),
    );
    reasons
}

fn outcomes(text: &str, count: usize) -> Vec<GateOutcome> {
    let verdict = |number: usize| match number % 3 {
        0 => GateVerdict::Broken {
            message: text.to_owned(),
        },
        1 => GateVerdict::Failed { status: 1 },
        _ => GateVerdict::Passed,
    };
    let outcome = |number: usize| GateOutcome {
        gate: item(&format!("GH-{number}")),
        verdict: verdict(number),
        duration: Duration::from_millis(1_250),
        tail: text.to_owned(),
    };
    (0..count).map(outcome).collect()
}

/// The longest report that a project can bring about, once.
pub fn longest(text: &str) -> Story {
    let paths = vec![text.to_owned(); 500];
    let failure = MergeFailure::ConflictDetected {
        base: sha('1'),
        paths: paths.clone(),
    };
    let reason = BlockReason::MergeFailed { failure };
    let from = BlockedFrom::Coding;
    let mut story = in_stage(Stage::Blocked { reason, from }, text);
    story.base_conflict = Some(BaseConflict {
        base: sha('6'),
        paths,
    });
    story.refused = (0..500).map(|n| format!("{n}{text}")).collect();
    story.report = Some(GateReport {
        commit: sha('a'),
        tree: sha('b'),
        outcomes: outcomes(text, 600),
    });
    story
}

/// A story in every situation in which its comment quotes somebody.
pub fn stories(text: &str) -> Vec<Story> {
    let mut stages: Vec<Stage> = reasons(text)
        .into_iter()
        .map(|reason| Stage::Blocked {
            reason,
            from: BlockedFrom::Coding,
        })
        .collect();
    let phase = Phase::WaitingForMoney {
        delay: Some(Delay {
            because: text.to_owned(),
            until: None,
        }),
        agent: item("GH-2"),
    };
    let work = Work {
        purpose: Purpose::Task,
        phase,
    };
    stages.extend(
        failures(text)
            .into_iter()
            .map(|failure| Stage::MergeFailure {
                failure,
                work: work.clone(),
            }),
    );
    stages.push(Stage::Coding(work));
    stages.push(Stage::Merge(Merge {
        head: sha('2'),
        phase: MergePhase::Waiting {
            reason: text.to_owned(),
        },
    }));
    stages.push(Stage::Backlog {
        note: Some(BacklogNote::Unconfirmed),
    });
    stages.push(Stage::Backlog {
        note: Some(BacklogNote::UnknownAgent {
            wanted: text.to_owned(),
            known: vec![item("GH-2")],
        }),
    });
    stages
        .into_iter()
        .map(|stage| in_stage(stage, text))
        .collect()
}

fn in_stage(stage: Stage, text: &str) -> Story {
    let mut story = Story::new(id());
    story.attempt = Attempt(2);
    text.clone_into(&mut story.task.title);
    story.branch = "feature/story-42-x".parse().ok();
    story.stage = stage;
    story.refused.insert(text.to_owned());
    story.unwatched = vec![text.to_owned(); 11];
    let holds = matches!(&story.stage, Stage::Backlog { .. });
    story.unconfirmed = Some(Unconfirmed {
        by: text.to_owned(),
        title: text.to_owned(),
        body: text.to_owned(),
        holds,
    });
    story.base_conflict = Some(BaseConflict {
        base: sha('6'),
        paths: vec![text.to_owned(); 11],
    });
    story.report = Some(GateReport {
        commit: sha('a'),
        tree: sha('b'),
        outcomes: outcomes(text, 4),
    });
    story
}

/// Every comment in which somebody is quoted.
pub fn comments(text: &str) -> Vec<Markdown> {
    let mut comments: Vec<Markdown> = stories(text)
        .iter()
        .map(|story| report::sticky_comment(story, Sandbox::Off))
        .collect();
    let blocked = reasons(text)
        .into_iter()
        .map(|reason| Announcement::Blocked { reason });
    let conflicts = failures(text)
        .into_iter()
        .map(|failure| Announcement::Conflict { failure });
    let receipt = Receipt {
        base: sha('1'),
        head: sha('2'),
        commit: sha('3'),
        tree: sha('4'),
        gates: outcomes(text, 60),
    };
    let done = Announcement::Done {
        commit: sha('3'),
        receipt: Some(Box::new(receipt)),
    };
    let effect = EffectId("octo/app#42@7.1".to_owned());
    comments.extend(
        blocked
            .chain(conflicts)
            .chain([done])
            .map(|announcement| report::announcement(&effect, &id(), &announcement)),
    );
    let unknown = Reply::Unknown {
        word: text.to_owned(),
    };
    // What a status says, the comments above say too.
    let asked = in_stage(Stage::Cancelled, text);
    let replies = [&Reply::Status, &unknown].map(|reply| report::reply(&effect, &asked, reply));
    comments.extend(replies);
    comments
}

/// Every status in which somebody is quoted.
pub fn statuses(text: &str) -> Vec<StatusNews> {
    let message = text.to_owned();
    let mut statuses = vec![
        StatusNews::Gates(GatesNews::Unavailable {
            message: message.clone(),
        }),
        StatusNews::Gates(GatesNews::Judged {
            passed: 0,
            skipped: 0,
            failed: vec![item("GH-2"), item("www.x.org")],
        }),
        StatusNews::Merge(MergeNews::Waiting { reason: message }),
    ];
    statuses.extend(
        failures(text)
            .into_iter()
            .map(|failure| StatusNews::Merge(MergeNews::Failed { failure })),
    );
    statuses
}

/// What the command line and the API say about each of them.
pub fn sentences(text: &str) -> Vec<String> {
    stories(text).iter().filter_map(report::reason).collect()
}
