//! The accept gates on what an attempt committed, the reviewer after them, and what follows from
//! their verdicts.

use super::{Progress, Refusal, Turn, ignored};
use crate::domain::effect::{Effect, GatesBrief, GatesNews, Run};
use crate::domain::event::StoryEvent;
use crate::domain::id::{ItemName, RunId, Sha};
use crate::domain::project::{Moment, Role};
use crate::domain::story::{BlockReason, FAILURE_BYTES, LastTry, Phase, Purpose, Stage, Work};
use crate::domain::text;
use crate::domain::work::{Collected, End, GateReport};

/// Gate runs of one attempt that may break down without a verdict.
const MAX_ROUNDS: u32 = 3;
/// The same failure this often in a row blocks early (spec 6.2).
const SAME_FAILURES: usize = 3;
/// Two failures taking turns this often, likewise.
const ALTERNATING_FAILURES: usize = 4;

impl Turn {
    pub(super) fn judging_event(&mut self, event: &StoryEvent) -> Result<(), Refusal> {
        match event {
            StoryEvent::GatesEnded { round, report, .. } => {
                self.fence_round(*round)?;
                self.gates_ended(report)
            }
            StoryEvent::GatesLost { round, message, .. } => {
                self.fence_round(*round)?;
                self.gates_lost(message)
            }
            other => Err(self.illegal(other.into())),
        }
    }

    fn fence_round(&self, round: u32) -> Result<(), Refusal> {
        if round < self.story.counters.gate_rounds {
            return ignored("of an older gate run");
        }
        Ok(())
    }

    /// Has the accept gates run on what was committed.
    pub(super) fn judge(&mut self, collected: Collected, retry_used: bool) {
        self.story.counters.gate_rounds = 0;
        self.run_gates(collected, retry_used);
    }

    fn run_gates(&mut self, collected: Collected, retry_used: bool) {
        let Some(rules) = self.story.rules.as_ref().map(|rules| rules.base.clone()) else {
            return;
        };
        self.story.counters.gate_rounds += 1;
        let brief = GatesBrief {
            commit: collected.head.clone(),
            rules,
            moment: Moment::Accept,
        };
        let id = self.gates_run_id();
        self.effects
            .push(Effect::Run(Run::StartGates { id, brief }));
        self.gates_status(&collected.head, GatesNews::Running);
        self.enter(Phase::Judging {
            collected,
            retry_used,
        });
    }

    pub(super) fn gates_run_id(&self) -> RunId {
        RunId::Accept(
            self.story.id.clone(),
            self.story.attempt,
            self.story.counters.gate_rounds,
        )
    }

    /// What is being judged, and whether its attempt used a retry already.
    fn judged(&self, event: &'static str) -> Result<(Collected, bool), Refusal> {
        let at = Progress::Judging;
        let Phase::Judging {
            collected,
            retry_used,
        } = self.expect(event, at, at)?
        else {
            return Err(self.illegal(event));
        };
        Ok((collected.clone(), *retry_used))
    }

    fn gates_lost(&mut self, message: &str) -> Result<(), Refusal> {
        let (collected, retry_used) = self.judged("gates_lost")?;
        if self.story.counters.gate_rounds < MAX_ROUNDS {
            self.run_gates(collected, retry_used);
            return Ok(());
        }
        let message = message.to_owned();
        self.gates_status(
            &collected.head,
            GatesNews::Unavailable {
                message: message.clone(),
            },
        );
        self.block(BlockReason::GatesUnavailable { message });
        Ok(())
    }

    fn gates_ended(&mut self, report: &GateReport) -> Result<(), Refusal> {
        let (collected, retry_used) = self.judged("gates_ended")?;
        if report.tree != collected.tree {
            return self.gates_lost("the gates ran on another tree than the one to judge");
        }
        self.note_report(report);
        self.story.judged_tree = Some(report.tree.clone());
        self.gates_status(&report.commit, GatesNews::judged(report));
        if report.tested_nothing() {
            self.block(BlockReason::NothingTested);
        } else if report.passed() {
            self.accept(collected.head);
        } else {
            self.reject(report, retry_used);
        }
        Ok(())
    }

    pub(super) fn note_report(&mut self, report: &GateReport) {
        self.story.gate_runs += u32::try_from(report.executed()).unwrap_or(u32::MAX);
        self.story.report = Some(report.clone());
    }

    pub(super) fn accept(&mut self, head: Sha) {
        self.story.failure = None;
        self.story.conflicts.clear();
        self.story.fingerprints.clear();
        if self.is_called_back() {
            return;
        }
        let rules = self.story.rules.iter();
        let mut agents = rules.flat_map(|rules| &rules.project.agents);
        let reviewed = agents.any(|agent| agent.role == Role::Qa);
        let repair = matches!(self.purpose(), Some(Purpose::FixUp { .. }));
        if reviewed && !repair && !self.story.wishes.skip_review {
            self.begin_review();
        } else {
            self.enter_merge(head);
        }
    }

    pub(super) fn begin_review(&mut self) {
        self.enter_stage(Stage::Qa, Purpose::Review);
    }

    /// A reviewer's exit status is its verdict; anything but a clean end is a failure.
    pub(super) fn reviewed(&mut self, end: &End) {
        let head = self.story.head.as_ref().map(|head| head.commit.clone());
        if let (End::Finished, Some(head)) = (end, head) {
            return self.enter_merge(head);
        }
        let findings = if let End::Crashed { message } = end {
            message.clone()
        } else {
            "the reviewer ended without a verdict".to_owned()
        };
        self.remember(format!("A reviewer did not accept the change: {findings}"));
        self.story.stage = Stage::Coding(Work {
            purpose: Purpose::Task,
            phase: Phase::Held,
        });
        if self.use_retry() {
            self.enter_stage(Stage::Coding, Purpose::Task);
        } else {
            self.block_without_retries(LastTry::ReviewFailed { findings });
        }
    }

    fn reject(&mut self, report: &GateReport, retry_used: bool) {
        let failed: Vec<ItemName> = report
            .failures()
            .map(|outcome| outcome.gate.clone())
            .collect();
        self.story.failure = Some(failure_text(report));
        self.remember(format!(
            "The gates failed on your commit {}: {}.",
            report.commit.short(),
            names(&failed)
        ));
        self.story.fingerprints.push(fingerprint(report));
        if let Some((times, alternating)) = repetition(&self.story.fingerprints) {
            return self.block(BlockReason::SameFailure {
                times,
                alternating,
                failed,
            });
        }
        if retry_used {
            self.begin_attempt();
        } else {
            self.try_again(LastTry::GatesFailed { failed });
        }
    }
}

/// What the next prompt quotes.
pub(super) fn failure_text(report: &GateReport) -> String {
    text::tail_at_char_boundary(&report.failure_text(), FAILURE_BYTES).to_owned()
}

/// Tells two failures apart by the gates that failed and what they printed.
fn fingerprint(report: &GateReport) -> String {
    let mut print = String::new();
    for outcome in report.failures() {
        print.push_str(outcome.gate.as_str());
        print.push('\0');
        print.push_str(&text::without_passing_numbers(&outcome.tail));
        print.push('\0');
    }
    text::digest(&print)
}

/// How often the newest failure repeats, when that is too often.
fn repetition(prints: &[String]) -> Option<(u32, bool)> {
    let (newest, count) = (prints.last()?, prints.len());
    let same = prints
        .iter()
        .rev()
        .take_while(|print| *print == newest)
        .count();
    if same >= SAME_FAILURES {
        return u32::try_from(same).ok().map(|times| (times, false));
    }
    let alternating = count >= ALTERNATING_FAILURES
        && prints[count - ALTERNATING_FAILURES..]
            .windows(3)
            .all(|three| three[0] == three[2] && three[0] != three[1]);
    alternating.then_some((4, true))
}

fn names(gates: &[ItemName]) -> String {
    gates
        .iter()
        .map(ItemName::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
