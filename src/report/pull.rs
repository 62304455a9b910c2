//! A story's pull request: its title and text, and why the forge does not merge it yet.

use std::fmt::Write;

use super::{Markdown, Masker, NAMED, footer, gate_table, what_happened};
use crate::domain::effect::StatusNews;
use crate::domain::pull::{Obstacles, Rule};
use crate::domain::sandbox::Sandbox;
use crate::domain::story::{MARKER_PREFIX, Stage, Story};
use crate::domain::text::inert_line;

/// GitHub takes titles of 256 characters.
const TITLE_CHARS: usize = 200;
/// Before the title of one that is not ready, where the forge has no drafts.
const NO_DRAFT: &str = "[draft] ";

/// The title; `is_draft` where the title alone says that it is one.
pub fn pull_title(masker: &Masker, story: &Story, is_draft: bool) -> String {
    let title = inert_line(&masker.mask(&story.task.title), TITLE_CHARS);
    let title = if title.is_empty() { "Untitled" } else { &title };
    let mark = if is_draft { NO_DRAFT } else { "" };
    format!("{mark}{title}")
}

/// What the pull request says about its story.
///
/// It refers to the issue with a word that closes nothing. The merge is not the end of a story:
/// what landed is compared with what was tested afterwards, and an issue that is closed meanwhile
/// would read as a person's wish to cancel it. `stage:done` and the last comment say that it is
/// done, as they do where huskies pushes; closing the issue stays with its people.
pub fn pull_body(story: &Story, sandbox: Sandbox) -> Markdown {
    let number = story.id.number;
    let mut text = format!(
        "{MARKER_PREFIX}pull {} -->\nhuskies works on #{number} here, and says there what it does. It merges this \
         pull request itself, once the gates have passed on what would land and the rules of the base branch allow \
         it.\n\n**State.** {}\n\n",
        story.id,
        state(story)
    );
    let happened = what_happened(story);
    if !happened.is_empty() {
        let _ = write!(text, "**What happened.** {happened}\n\n");
    }
    if let Some(report) = &story.report {
        text.push_str(&gate_table(report));
    }
    let _ = writeln!(text, "<sub>{}</sub>", footer(story, sandbox));
    Markdown::new(text)
}

/// Coarser than in the comment: what changes often is told there.
fn state(story: &Story) -> &'static str {
    match &story.stage {
        Stage::Backlog { .. } => "In the backlog.",
        Stage::Coding(_) => "An agent works on it; not ready for review.",
        Stage::Qa(_) => "An agent reviews it.",
        Stage::Merge(_) => "The gates passed: ready for review, and merged as soon as it may be.",
        Stage::MergeFailure { .. } => "A failed merge is being repaired.",
        Stage::Blocked { .. } => "Blocked: a person is needed, see the issue.",
        Stage::Done { .. } => "Done.",
        Stage::Cancelled => "Cancelled.",
    }
}

/// What a pull request waits for, as short as a commit status wants it: what people can do first.
pub fn obstacles(found: &Obstacles) -> String {
    let mut parts = Vec::new();
    if !found.changes_requested.is_empty() {
        let names = found.changes_requested.join(", ");
        parts.push(format!("changes requested by {names}"));
    }
    if let Some((wanted, given)) = found.approvals {
        parts.push(format!("{given} of {wanted} approvals"));
    }
    parts.extend(checks(&found.checks));
    parts.extend(found.rules.iter().map(|rule| rule_words(*rule).to_owned()));
    if parts.is_empty() {
        return format!("GitHub does not merge it: {}", found.said);
    }
    parts.join("; ")
}

fn rule_words(rule: Rule) -> &'static str {
    match rule {
        Rule::MergeQueue => {
            "GitHub's own merge queue guards the branch; add the pull request to it, or let huskies bypass that rule"
        }
        Rule::Behind => "its branch has to contain the base's tip: merge the base into it",
        Rule::CodeOwner => "perhaps a code owner's approval",
        Rule::LastPush => "perhaps an approval of the last push",
        Rule::Signatures => "perhaps signed commits",
        Rule::Restricted => "perhaps the right to update the branch: let huskies bypass that rule",
    }
}

fn checks(missing: &[String]) -> Option<String> {
    let own = missing.iter().any(|name| name == StatusNews::MERGE);
    if own {
        return Some(
            "the rules require huskies/merge, which is green only once it has landed: require huskies/gates instead"
                .to_owned(),
        );
    }
    let names: Vec<&str> = missing.iter().map(String::as_str).collect();
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>();
    let more = match names.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| format!("required checks: {}{more}", shown.join(", ")))
}
