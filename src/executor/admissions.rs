//! Who may have something done, and what has to be known before a story starts: the comments as they
//! were, what it depends on, and whether those who changed its text lately may write.

use super::acts::settle;
use super::context::{RepoContext, Try};
use crate::domain::dependency::Links;
use crate::domain::effect::Act;
use crate::domain::event::{Event, RepoEvent};
use crate::domain::id::{RepoName, StoryId};
use crate::domain::story::{Actor, Admission, TextEdit};
use crate::forge::{ForgeError, read_links, see_needs as seen_by};

/// The answer to [`Act::Admit`] of a story.
pub(super) async fn of_story(
    repo: &RepoContext,
    story: &StoryId,
    act: &Act,
) -> Result<Admission, ForgeError> {
    let Act::Admit {
        login,
        bot,
        pin,
        links,
        edits,
        ..
    } = act
    else {
        return Ok(Admission::Denied);
    };
    if !may_write(repo, &story.repo, (login, *bot)).await? {
        return Ok(Admission::Denied);
    }
    let comments = match pin {
        Some(until) => repo.forge.comments(story, *until).await?,
        None => Vec::new(),
    };
    let links = match links {
        Some(wanted) => Some(Box::new(
            read_links(repo.forge.as_ref(), story, wanted).await?,
        )),
        None => None,
    };
    Ok(Admission::Allowed {
        edited_by: stranger_among(repo, (story, login), (edits, links.as_deref())).await?,
        comments,
        links,
    })
}

/// Of those who changed the story's text, or its parent's, the last one who may not write. Who asks
/// may.
async fn stranger_among(
    repo: &RepoContext,
    (story, asker): (&StoryId, &str),
    (edits, links): (&[TextEdit], Option<&Links>),
) -> Result<Option<String>, ForgeError> {
    let parent = links.and_then(|links| links.epic.as_ref());
    let parent = parent.map(|epic| epic.issue);
    for edit in edits.iter().rev() {
        let is_of_it = edit.issue == story.number || Some(edit.issue) == parent;
        let Some(login) = edit.by.login().filter(|_| is_of_it) else {
            continue;
        };
        let is_bot = matches!(edit.by, Actor::Bot { .. });
        let is_asker = login.eq_ignore_ascii_case(asker);
        if !is_asker && !may_write(repo, &story.repo, (login, is_bot)).await? {
            return Ok(Some(login.to_owned()));
        }
    }
    Ok(None)
}

/// Programs have no permission that a forge would tell: naming one in the configuration is its
/// permission.
pub(super) async fn may_write(
    repo: &RepoContext,
    name: &RepoName,
    (login, is_bot): (&str, bool),
) -> Result<bool, ForgeError> {
    if is_bot {
        let named = |bot: &String| bot.eq_ignore_ascii_case(login);
        return Ok(repo.bots.iter().any(named));
    }
    Ok(repo.forge.permission(name, login).await?.can_write())
}

/// How issues are that a story waits for. Where the forge does not say, deliveries still do.
pub(super) async fn see_needs(repo: &RepoContext, act: &Act) -> Try {
    let Act::SeeNeeds {
        story,
        named,
        sub_issues,
    } = act
    else {
        return Try::Done(None);
    };
    match seen_by(repo.forge.as_ref(), story, named, *sub_issues).await {
        Ok(seen) => {
            let story = story.clone();
            let name = story.repo.clone();
            Try::news(Event::repo(&name, RepoEvent::NeedsSeen { story, seen }))
        }
        Err(error) => settle(Err(error)),
    }
}
