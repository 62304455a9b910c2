//! What huskies says to somebody who asked for it in a comment.

use std::fmt::Write as _;

use super::quote::{Markdown, code};
use super::{announcement_marker, asides, heading, what_happened, what_you_can_do};
use crate::domain::delivery::Command;
use crate::domain::effect::EffectId;
use crate::domain::story::{Reply, Story};

/// A comment that answers a comment.
pub fn reply(id: &EffectId, story: &Story, reply: &Reply) -> Markdown {
    let marker = announcement_marker(id);
    let text = match reply {
        Reply::Status => status(story),
        Reply::Help => help(),
        Reply::Unknown { word } => format!(
            "{} is not a command of huskies, so nothing was done.\n\n{}",
            code(word),
            help()
        ),
        Reply::Moot { because } => format!("Nothing was done: {because}."),
    };
    Markdown::new(format!("{marker}\n{text}\n"))
}

fn status(story: &Story) -> String {
    let mut text = format!("**huskies: {}.**", heading(story));
    for sentence in [&what_happened(story), what_you_can_do(story)] {
        if !sentence.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, " {sentence}");
        }
    }
    for (title, aside) in asides(story) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n\n**{title}.** {aside}");
    }
    text
}

fn help() -> String {
    let mut text =
        "A line of a comment that begins with one of these tells huskies what to do:\n\n\
         | comment | effect |\n|---|---|\n"
            .to_owned();
    for command in Command::ALL {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `/huskies {}` | {} |",
            command.word(),
            meaning(command)
        );
    }
    text.push_str(
        "| `/huskies` and anything else | tells the agent so, at its next turn |\n\n\
         All of them need write permission on this repository.",
    );
    text
}

fn meaning(command: Command) -> &'static str {
    match command {
        Command::Start => "begins, or goes on from the work that was kept",
        Command::Stop => "stops the agent and keeps the work",
        Command::Retry => "a blocked story goes on from where it was",
        Command::Unblock => "the same",
        Command::Merge => "lets it land without a review by an agent; never without its gates",
        Command::Approve => "lets a commit that touches protected files land",
        Command::Confirm => {
            "with its digest behind it: takes over a text of the issue that somebody else changed"
        }
        Command::Status => "says how it is",
        Command::Help => "says this",
    }
}
