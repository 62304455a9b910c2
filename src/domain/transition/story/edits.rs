//! Changes of the issue's text after it was pinned, or just before (spec 2.5). A writer's counts; of
//! anybody else's the story only takes note, until somebody who may write confirms that very text.

use jiff::Timestamp;

use super::Turn;
use crate::domain::dependency::Links;
use crate::domain::story::{Stage, Then, Unconfirmed};
use crate::domain::work::{Message, Place, Task};

impl Turn {
    /// A start whose text somebody without the permission had just changed waits for a confirmation.
    pub(super) fn hold_text_of(&mut self, edited_by: Option<String>) {
        let Task { title, body, .. } = self.story.task.clone();
        self.story.unconfirmed = edited_by.map(|by| Unconfirmed {
            by,
            title,
            body,
            holds: true,
        });
    }

    pub(super) fn why_no_edit(
        &self,
        resting: bool,
        (title, body): (&str, &str),
        at: Timestamp,
    ) -> Option<&'static str> {
        if resting {
            return Some("nobody works on it");
        }
        if Some(at) < self.story.text_at {
            return Some("a newer text is known already");
        }
        let is_known = self.is_pinned(title, body) && self.story.unconfirmed.is_none();
        is_known.then_some("that is the text it goes by")
    }

    pub(super) fn why_no_confirmation(&self, resting: bool, digest: &str) -> Option<&'static str> {
        if resting {
            return Some("nobody works on it");
        }
        let Some(text) = self.story.text_to_confirm() else {
            return Some("no change of its text waits for a confirmation");
        };
        let is_it = text.digest().eq_ignore_ascii_case(digest);
        (!is_it).then_some(
            "the text that waits for a confirmation has another digest: look at it as it is now",
        )
    }

    fn is_pinned(&self, title: &str, body: &str) -> bool {
        let task = &self.story.task;
        task.title == title && task.body == body
    }

    /// The issue has another text, by somebody who may write or who may not. As long as a change of
    /// somebody who may not is in it, it has to be confirmed, whoever changes it further.
    pub(super) fn text_changed(
        &mut self,
        (title, body): (String, String),
        (by, may): (&str, bool),
        links: Option<Box<Links>>,
    ) {
        let pending = self.story.unconfirmed.take();
        let holds = pending.as_ref().is_some_and(|text| text.holds);
        if may && pending.is_none() {
            return self.take_over((title, body), by, links);
        }
        if !holds && self.is_pinned(&title, &body) {
            return;
        }
        let culprit = match pending {
            Some(text) if may => text.by,
            Some(_) | None => by.to_owned(),
        };
        self.story.unconfirmed = Some(Unconfirmed {
            by: culprit,
            title,
            body,
            holds,
        });
    }

    /// The text instructs in the name of who confirmed it.
    pub(super) fn confirm(&mut self, by: Option<String>, links: Option<Box<Links>>) {
        if let Some(text) = self.story.unconfirmed.take() {
            let by = by.unwrap_or(text.by);
            self.take_over((text.title, text.body), &by, links);
        }
    }

    /// Pins a text that somebody answers for. A story that has not begun looks anew at what it
    /// depends on; an agent that works on it is told.
    fn take_over(&mut self, (title, body): (String, String), by: &str, links: Option<Box<Links>>) {
        let is_new = !self.is_pinned(&title, &body);
        let text = format!("{title}\n\n{body}").trim().to_owned();
        self.story.task.title = title;
        self.story.task.body = body;
        if self.story.waits_to_begin() {
            return self.look_again(links);
        }
        if let (Some(Then::Again), Some(links)) = (self.destination(), links) {
            self.take_links(*links);
        }
        if is_new && self.story.attempt.0 > 0 {
            self.tell_new_text(Message {
                author: by.to_owned(),
                place: Place::Issue,
                text,
            });
        }
    }

    /// The newest text alone is told; what the agent that runs was started with stays as it is.
    fn tell_new_text(&mut self, message: Message) {
        let sent = self.story.messages_sent;
        let messages = std::mem::take(&mut self.story.messages);
        let kept = messages.into_iter().enumerate();
        self.story.messages = kept
            .filter(|(place, message)| *place < sent || message.place != Place::Issue)
            .map(|(_, message)| message)
            .collect();
        if matches!(self.story.stage, Stage::Blocked { .. }) {
            // What stops it is not mended by that: a person says when it goes on.
            self.story.messages.push(message);
        } else {
            self.tell_agent(message);
        }
    }
}
