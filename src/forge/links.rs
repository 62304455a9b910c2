//! What a story depends on, asked of a forge: as little as what is known already allows.

use super::{Forge, ForgeError, Issue};
use crate::domain::dependency::{
    Epic, Family, IssueState, Links, LinksWanted, Need, Parent, StoryState,
};
use crate::domain::id::StoryId;

/// The parent's text, and everything that has to be done first, each as it is now.
pub async fn read_links(
    forge: &dyn Forge,
    story: &StoryId,
    wanted: &LinksWanted,
) -> Result<Links, ForgeError> {
    let family = known(forge, story, &wanted.family).await?;
    let mut links = Links {
        unwatched: wanted.mentions.elsewhere.clone(),
        ..Links::default()
    };
    match family.parent {
        Parent::Here { issue } => match found(forge, story, issue).await? {
            Some(Issue { title, body, .. }) => links.epic = Some(Epic { issue, title, body }),
            None => links.unwatched.push(format!("#{issue}")),
        },
        Parent::Elsewhere { name } => links.unwatched.push(name),
        Parent::Unknown | Parent::None => {}
    }
    if family.sub_issues == Some(true) {
        add_sub_issues(forge, story, &mut links).await?;
    }
    let parent = links.epic.as_ref().map(|epic| epic.issue);
    for issue in &wanted.mentions.here {
        let is_known = links.needs.iter().any(|need| need.issue == *issue);
        // A parent waits for its children; that they wait for it as well helps nobody.
        if !is_known && Some(*issue) != parent {
            links.needs.push(named(forge, story, *issue).await?);
        }
    }
    Ok(links)
}

/// How these issues are that a story waits for.
pub async fn see_needs(
    forge: &dyn Forge,
    story: &StoryId,
    names: &[u64],
    sub_issues: bool,
) -> Result<Vec<Need>, ForgeError> {
    let mut seen = Links::default();
    if sub_issues {
        add_sub_issues(forge, story, &mut seen).await?;
    }
    for issue in names {
        seen.needs.push(named(forge, story, *issue).await?);
    }
    Ok(seen.needs)
}

/// What a delivery did not say, the issue itself says where anything does.
async fn known(forge: &dyn Forge, story: &StoryId, family: &Family) -> Result<Family, ForgeError> {
    match family {
        Family {
            parent: Parent::None | Parent::Here { .. } | Parent::Elsewhere { .. },
            sub_issues: Some(_),
        } => Ok(family.clone()),
        Family { .. } => Ok(forge.issue(story).await?.family),
    }
}

async fn add_sub_issues(
    forge: &dyn Forge,
    story: &StoryId,
    links: &mut Links,
) -> Result<(), ForgeError> {
    for part in forge.sub_issues(story).await? {
        if part.issue.repo != story.repo {
            links.unwatched.push(part.issue.to_string());
            continue;
        }
        links.needs.push(Need {
            issue: part.issue.number,
            title: part.title,
            sub_issue: true,
            state: part.state,
            at: Some(part.updated_at),
            story: StoryState::None,
        });
    }
    Ok(())
}

async fn named(forge: &dyn Forge, story: &StoryId, issue: u64) -> Result<Need, ForgeError> {
    let (title, state, at) = match found(forge, story, issue).await? {
        Some(found) => (found.title.clone(), found.state(), Some(found.updated_at)),
        None => (String::new(), IssueState::Missing, None),
    };
    Ok(Need {
        issue,
        title,
        sub_issue: false,
        state,
        at,
        story: StoryState::None,
    })
}

/// `None` when there is no such issue, or it was moved to another repository.
async fn found(
    forge: &dyn Forge,
    story: &StoryId,
    issue: u64,
) -> Result<Option<Issue>, ForgeError> {
    let id = StoryId::new(story.repo.clone(), issue);
    match forge.issue(&id).await {
        Ok(issue) => Ok(Some(issue)),
        Err(ForgeError::NotFound { .. } | ForgeError::Invalid { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
