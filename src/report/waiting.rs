//! What keeps a story from beginning: issues that are not done, and a text that nobody answers for.

use super::NAMED;
use super::quote::code;
use super::words::list;
use crate::domain::dependency::{IssueState, Need, StoryState};
use crate::domain::story::{BacklogNote, Stage, Story, Unconfirmed};

pub(super) fn heading(story: &Story, note: Option<&BacklogNote>) -> String {
    match note {
        Some(BacklogNote::Waits { .. }) => format!("waiting for {}", numbers(story)),
        Some(BacklogNote::Unconfirmed) => "waiting for a confirmation".to_owned(),
        Some(BacklogNote::Stopped | BacklogNote::UnknownAgent { .. }) | None => {
            "in the backlog".to_owned()
        }
    }
}

fn open(story: &Story) -> impl Iterator<Item = &Need> {
    story.needs.iter().filter(|need| !need.is_done())
}

/// `#3, #5 and #8`
fn numbers(story: &Story) -> String {
    joined(open(story).map(|need| format!("#{}", need.issue)))
}

fn joined(mut names: impl Iterator<Item = String>) -> String {
    let mut shown: Vec<String> = names.by_ref().take(NAMED).collect();
    let more = names.count();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    match shown.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

pub(super) fn waits(story: &Story, circle: &[u64]) -> String {
    let needs = joined(open(story).map(need_words));
    let waits = format!("It waits for {needs}.");
    match circle {
        [] => waits,
        [_] => format!("It depends on itself, and so can never begin. {waits}"),
        [first, ..] => {
            let way = circle.iter().chain([first]);
            let way: Vec<String> = way.map(|issue| format!("#{issue}")).collect();
            let way = way.join(" → ");
            format!(
                "They wait for each other in a circle, and so none of them can begin: {way}. {waits}"
            )
        }
    }
}

fn need_words(need: &Need) -> String {
    let state = match (need.state, need.story) {
        (_, StoryState::UnderWay) => "under way",
        (IssueState::Missing, _) => "there is no such issue here",
        (IssueState::NotPlanned, _) => "closed without being done",
        (_, StoryState::Cancelled) => "cancelled",
        (_, StoryState::Done) | (IssueState::Completed, _) => "done",
        (IssueState::Open, StoryState::None) => "open",
    };
    let part = if need.sub_issue { "a part of it, " } else { "" };
    let title = if need.title.is_empty() {
        String::new()
    } else {
        format!("{}, ", code(&need.title))
    };
    format!("#{} ({title}{part}{state})", need.issue)
}

/// Who changed the text that a start waits with, and how it is confirmed.
pub(super) fn unconfirmed(story: &Story) -> String {
    let Some(text) = &story.unconfirmed else {
        return String::new();
    };
    format!(
        "{} may not write here, and changed the text of this issue or of its parent within ten minutes before it was \
         started. {}",
        code(&text.by),
        how_to_confirm(story)
    )
}

fn how_to_confirm(story: &Story) -> String {
    let digest = story.text_to_confirm().map(|text| text.digest());
    format!(
        "To take the text over as it is now, somebody with write permission reads it and comments {}.",
        code(&format!("/huskies confirm {}", digest.unwrap_or_default()))
    )
}

/// What else is to be said, each under a word of its own.
pub(super) fn asides(story: &Story) -> Vec<(&'static str, String)> {
    let mut asides = Vec::new();
    if matches!(story.stage, Stage::Done { .. } | Stage::Cancelled) {
        return asides;
    }
    if let Some(Unconfirmed {
        by, holds: false, ..
    }) = &story.unconfirmed
    {
        asides.push((
            "Changed",
            format!(
                "{} may not write here, and changed the issue's text. The story goes on with the text as it was \
                 before. {}",
                code(by),
                how_to_confirm(story)
            ),
        ));
    }
    if !story.unwatched.is_empty() {
        let names = list(story.unwatched.iter().map(String::as_str), NAMED);
        let words = format!(
            "It does not wait for {names}: huskies watches no other repository, and no more than 50 issues."
        );
        asides.push(("Not watched", words));
    }
    asides
}

pub(super) fn what_you_can_do(story: &Story, note: Option<&BacklogNote>) -> &'static str {
    match note {
        Some(BacklogNote::Waits { circle }) if !circle.is_empty() => {
            "Somebody with write permission takes one of these out of the text of the issue that names it, or one of \
             the sub-issues out of its parent. Then `/huskies retry` here looks again."
        }
        Some(BacklogNote::Waits { .. }) if open(story).any(Need::is_stuck) => {
            "What it waits for will not be done by itself. Take it out of the text (by somebody with write \
             permission), or see to it that it is done. `/huskies retry` looks again. Remove the start label to wait \
             no longer."
        }
        Some(BacklogNote::Waits { .. }) => {
            "Nothing is needed: it begins by itself once they are done. Remove the start label to wait no longer."
        }
        Some(BacklogNote::Unconfirmed) => {
            "Confirm the text as above, or remove the start label. Set again more than ten minutes after the change, \
             it counts for the text as it is then."
        }
        Some(BacklogNote::Stopped | BacklogNote::UnknownAgent { .. }) | None => {
            "Set the start label to begin."
        }
    }
}
