//! Gates on a commit that no story owns.

use super::{Refusal, Step, Subject, ignored};
use crate::domain::effect::{
    CommitStatus, Effect, GatesBrief, GatesNews, Run, StatusNews, Surface,
};
use crate::domain::event::HeadEvent;
use crate::domain::head::{Head, HeadState};
use crate::domain::id::RunId;
use crate::domain::project::Moment;

pub(super) fn step(head: &Head, event: &HeadEvent) -> Result<Step, Refusal> {
    let mut head = head.clone();
    let effects = match (&head.state, event) {
        (HeadState::Gating, HeadEvent::GatesAsked { .. }) => {
            return ignored("the gates run already");
        }
        (
            HeadState::Unknown
            | HeadState::Judged { .. }
            | HeadState::Unjudged { .. }
            | HeadState::Superseded,
            HeadEvent::GatesAsked { rules },
        ) => {
            head.run += 1;
            head.state = HeadState::Gating;
            let brief = GatesBrief {
                commit: head.id.sha.clone(),
                rules: rules.clone(),
                moment: Moment::Accept,
            };
            vec![
                Effect::Run(Run::StartGates {
                    id: run_id(&head),
                    brief,
                }),
                status(&head, GatesNews::Running),
            ]
        }
        (HeadState::Gating, HeadEvent::GatesEnded { run, report }) if *run == head.run => {
            head.state = HeadState::Judged {
                report: report.clone(),
            };
            vec![status(&head, GatesNews::judged(report))]
        }
        (HeadState::Gating, HeadEvent::GatesLost { run, message }) if *run == head.run => {
            head.state = HeadState::Unjudged {
                message: message.clone(),
            };
            vec![status(
                &head,
                GatesNews::Unavailable {
                    message: message.clone(),
                },
            )]
        }
        (HeadState::Gating, HeadEvent::Superseded) => {
            let run = Effect::Run(Run::Stop { id: run_id(&head) });
            head.state = HeadState::Superseded;
            vec![run, status(&head, GatesNews::Superseded)]
        }
        (_, HeadEvent::GatesEnded { .. } | HeadEvent::GatesLost { .. }) => {
            return ignored("of an older gate run");
        }
        (_, HeadEvent::Superseded) => return ignored("the gates do not run"),
    };
    Ok(Step {
        subject: Subject::Head(Box::new(head)),
        effects,
    })
}

fn run_id(head: &Head) -> RunId {
    RunId::Head(head.id.repo.clone(), head.id.sha.clone(), head.run)
}

fn status(head: &Head, news: GatesNews) -> Effect {
    let commit = head.id.sha.clone();
    Effect::Surface(Surface::Status(CommitStatus {
        commit,
        news: StatusNews::Gates(news),
    }))
}
