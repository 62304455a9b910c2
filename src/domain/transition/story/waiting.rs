//! What a story waits for before it begins: that the issues it depends on are done. Who waits for
//! whom is its repository's to know, which tells it how they stand.

use super::{Refusal, Turn, ignored};
use crate::domain::dependency::{Family, Links, LinksWanted, Mentions, Need};
use crate::domain::effect::Effect;
use crate::domain::event::{Event, RepoEvent};
use crate::domain::story::{BacklogNote, Stage, Story, Then, Wish};
use crate::domain::work::Task;

impl Turn {
    /// What is to be found out before `wish` is granted; of a text that is the story's from then on.
    pub(super) fn links_wanted(&self, wish: &Wish) -> Option<LinksWanted> {
        let task = &self.story.task;
        let (title, body) = match wish {
            Wish::Start { task, around, .. } => {
                return Some(LinksWanted {
                    mentions: self.mentions(&task.title, &task.body),
                    family: around.family.clone(),
                });
            }
            Wish::Edit { title, body, .. } if self.has_not_begun() => (title.clone(), body.clone()),
            Wish::Confirm { .. } if self.has_not_begun() => {
                let Task { title, body, .. } = self.story.text_to_confirm()?;
                (title, body)
            }
            Wish::Retry { .. } if self.story.waits_for_others() => {
                (task.title.clone(), task.body.clone())
            }
            Wish::Edit { .. }
            | Wish::Confirm { .. }
            | Wish::Retry { .. }
            | Wish::Stop
            | Wish::Cancel
            | Wish::Approve { .. }
            | Wish::Hold
            | Wish::Release
            | Wish::PickAgent { .. }
            | Wish::Prioritise { .. }
            | Wish::Merge
            | Wish::Tell { .. }
            | Wish::Say { .. } => return None,
        };
        Some(LinksWanted {
            mentions: self.mentions(&title, &body),
            family: Family::default(),
        })
    }

    /// It waits to begin, or a start that is being asked about may make it wait.
    fn has_not_begun(&self) -> bool {
        self.story.waits_to_begin()
            || self.destination() == Some(&Then::Again)
            || !self.story.requests.is_empty()
    }

    fn mentions(&self, title: &str, body: &str) -> Mentions {
        Mentions::read(title, body, &self.story.id.repo)
    }

    pub(super) fn take_links(&mut self, links: Links) {
        let Links {
            epic,
            needs,
            unwatched,
        } = links;
        self.story.task.epic = epic;
        self.story.needs = needs;
        self.story.unwatched = unwatched;
    }

    /// True when the story has to wait before it begins: it is in Backlog then.
    pub(super) fn waits(&mut self) -> bool {
        let unconfirmed = self.story.unconfirmed.as_ref();
        if unconfirmed.is_some_and(|text| text.holds) {
            let note = Some(BacklogNote::Unconfirmed);
            self.story.stage = Stage::Backlog { note };
            return true;
        }
        if self.story.needs.iter().all(Need::is_done) {
            return false;
        }
        let circle = Vec::new();
        let note = Some(BacklogNote::Waits { circle });
        self.story.stage = Stage::Backlog { note };
        let (story, needs) = (self.story.id.clone(), self.story.needs.clone());
        self.tell_repo(RepoEvent::Waits { story, needs });
        true
    }

    /// What the story waits for is found out anew, or at least how it stands.
    pub(super) fn look_again(&mut self, links: Option<Box<Links>>) {
        if let Some(links) = links {
            self.take_links(*links);
        }
        self.begin_again();
    }

    pub(super) fn needs_stand(&mut self, needs: &[Need], circle: &[u64]) -> Result<(), Refusal> {
        if !self.story.waits_for_others() {
            return ignored("it waits for nothing");
        }
        self.story.needs = needs.to_vec();
        if self.story.needs.iter().all(Need::is_done) {
            self.begin_again();
        } else {
            let circle = circle.to_vec();
            let note = Some(BacklogNote::Waits { circle });
            self.story.stage = Stage::Backlog { note };
        }
        Ok(())
    }

    /// Who waits for it is told where it goes, from now on.
    pub(super) fn awaited(&mut self) {
        self.story.awaited = true;
        self.tell_how_it_stands();
    }

    /// Its repository believes that it waits: since before this step, or since an earlier one of
    /// several requests that were answered in it.
    fn is_listed(&self, before: &Story) -> bool {
        let began = |effect: &Effect| {
            matches!(
                effect,
                Effect::Tell(Event::Repo {
                    event: RepoEvent::Waits { .. },
                    ..
                })
            )
        };
        before.waits_for_others() || self.effects.iter().any(began)
    }

    fn tell_how_it_stands(&mut self) {
        let (story, state) = (self.story.id.clone(), self.story.standing());
        self.tell_repo(RepoEvent::StoryStands { story, state });
    }

    /// Lets its repository know what this step means for who waits for whom.
    pub(super) fn tell_of_waiting(&mut self, before: &Story) {
        if self.is_listed(before) && !self.story.waits_for_others() {
            let story = self.story.id.clone();
            self.tell_repo(RepoEvent::WaitEnded { story });
        }
        if before.awaited && before.standing() != self.story.standing() {
            self.tell_how_it_stands();
        }
    }
}
