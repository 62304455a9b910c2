//! What a check run says of the gates, and what is said to somebody whose approval approves nothing.

use super::quote::{Markdown, code};
use super::{announcement_marker, gate_table, status_words};
use crate::domain::effect::{EffectId, StatusNews};
use crate::domain::proposal::HeadAnswer;
use crate::domain::text::inert_line;
use crate::domain::work::GateReport;

/// The longest summary, in characters.
const SUMMARY: usize = 1_000;

/// A sentence or two.
pub fn check_summary(news: &StatusNews) -> Markdown {
    Markdown::new(inert_line(&status_words(news), SUMMARY))
}

/// Gate by gate, with the end of what failing ones printed.
pub fn check_text(report: &GateReport) -> Markdown {
    Markdown::new(gate_table(report))
}

/// Why an approval approves nothing, and what would.
pub fn head_answer(id: &EffectId, answer: &HeadAnswer) -> Markdown {
    let marker = announcement_marker(id);
    let how = |commit: &str| {
        format!(
            "To have this pull request's head gated, look at it and comment `/huskies approve {commit}`."
        )
    };
    let text = match answer {
        HeadAnswer::WhichCommit { head } => format!(
            "Nothing was approved: say which commit, with at least 7 of its digits. {}",
            how(head.short())
        ),
        HeadAnswer::AnotherCommit { head } => format!(
            "Nothing was approved: that is another commit than the head, which is {} now. {}",
            code(head.as_str()),
            how(head.short())
        ),
        HeadAnswer::Ambiguous { head } => format!(
            "Nothing was approved: an earlier head begins like that too. {}",
            how(head.as_str())
        ),
        HeadAnswer::NothingWaits => {
            "Nothing was done: no commit of this pull request waits for an approval.".to_owned()
        }
    };
    Markdown::new(format!("{marker}\n{text}\n"))
}
