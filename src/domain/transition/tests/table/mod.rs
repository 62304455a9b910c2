//! The transitions as a person reads them: in this situation, when this happens, that follows.
//!
//! Every line is a real `step`. Left of the bar is the state after it, right of it what it asks
//! for. The sticky comment follows nearly every step and is left out.

mod agents;
mod deliveries;
mod edits;
mod ends;
mod heads;
mod ledger;
mod looks;
mod merge;
mod people;
mod pulls;
mod queue;
mod road;
mod scene;
mod sessions;
mod talk;
mod waiting;
mod words;

use jiff::Timestamp;

use self::scene::Scene;
use super::noon;
use crate::domain::event::{Event, StoryEvent};
use crate::domain::transition::{Subject, step};

/// Lines of the table, in the order in which they were asked for.
struct Table {
    text: String,
    now: Timestamp,
}

impl Table {
    fn new() -> Self {
        Self {
            text: String::new(),
            now: noon(),
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Begins the lines of one situation.
    fn given(&mut self, situation: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        self.line(&format!("{gap}{situation}"));
    }

    /// Takes one step; gives back the new subject, or the old one when the event was refused.
    fn when(&mut self, subject: &Subject, what: &str, event: &Event) -> Subject {
        let stepped = step(subject, event, self.now);
        let follows = match &stepped {
            Ok(step) => {
                let asked = words::effects(&step.effects, self.now);
                let state = words::state(&step.subject);
                format!("{state} | {asked}")
                    .trim_end_matches(" | ")
                    .to_owned()
            }
            Err(refusal) => format!("{refusal}"),
        };
        self.line(&format!("  {what} -> {follows}"));
        stepped.map_or_else(|_| subject.clone(), |step| step.subject)
    }

    /// The same for a story.
    fn story(&mut self, scene: &Scene, what: &str, event: StoryEvent) -> Scene {
        let event = Event::story(&scene.story.id, event);
        scene.of(self.when(&scene.subject(), what, &event))
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
