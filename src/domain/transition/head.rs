//! Gates on a commit that no story owns.

use super::{Refusal, Step, Subject, ignored};
use crate::domain::effect::{
    CommitStatus, Effect, GatesBrief, GatesNews, Run, StatusNews, Surface,
};
use crate::domain::event::HeadEvent;
use crate::domain::head::{Head, HeadState};
use crate::domain::id::{RunId, Sha};
use crate::domain::project::Moment;
use crate::domain::work::GateReport;

pub(super) fn step(head: &Head, event: &HeadEvent) -> Result<Step, Refusal> {
    let mut head = head.clone();
    let effects = match event {
        HeadEvent::GatesAsked { rules } => begin(&mut head, rules)?,
        HeadEvent::GatesEnded { run, report } => {
            expect_run(&head, *run, event.into())?;
            judge(&mut head, report)
        }
        HeadEvent::GatesLost { run, message } => {
            expect_run(&head, *run, event.into())?;
            give_up(&mut head, message)
        }
        HeadEvent::Superseded => supersede(&mut head)?,
    };
    Ok(Step {
        subject: Subject::Head(Box::new(head)),
        effects,
    })
}

fn begin(head: &mut Head, rules: &Sha) -> Result<Vec<Effect>, Refusal> {
    if head.state == HeadState::Gating {
        return ignored("the gates run already");
    }
    head.run += 1;
    head.state = HeadState::Gating;
    let brief = GatesBrief {
        commit: head.id.sha.clone(),
        rules: rules.clone(),
        moment: Moment::Accept,
    };
    let id = run_id(head);
    Ok(vec![
        Effect::Run(Run::StartGates { id, brief }),
        status(head, GatesNews::Running),
    ])
}

fn expect_run(head: &Head, run: u32, event: &'static str) -> Result<(), Refusal> {
    if run > head.run {
        let state = format!("run {} is the newest", head.run);
        return Err(Refusal::Illegal { event, state });
    }
    if run < head.run || head.state != HeadState::Gating {
        return ignored("of an older gate run");
    }
    Ok(())
}

fn judge(head: &mut Head, report: &GateReport) -> Vec<Effect> {
    if report.commit != head.id.sha {
        return give_up(head, "the gates ran on another commit than this one");
    }
    head.state = HeadState::Judged {
        report: report.clone(),
    };
    vec![status(head, GatesNews::judged(report))]
}

fn give_up(head: &mut Head, message: &str) -> Vec<Effect> {
    let message = message.to_owned();
    head.state = HeadState::Unjudged {
        message: message.clone(),
    };
    vec![status(head, GatesNews::Unavailable { message })]
}

fn supersede(head: &mut Head) -> Result<Vec<Effect>, Refusal> {
    if head.state != HeadState::Gating {
        return ignored("the gates do not run");
    }
    head.state = HeadState::Superseded;
    let id = run_id(head);
    Ok(vec![
        Effect::Run(Run::Stop { id }),
        status(head, GatesNews::Superseded),
    ])
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
