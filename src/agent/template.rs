//! Prompt templates: an agent's `prompt` key, or the built-in one of its role.

use crate::domain::project::Role;

/// What every placeholder stands for.
#[derive(Debug, Clone)]
pub struct Story<'a> {
    pub id: String,
    pub title: &'a str,
    pub body: &'a str,
    pub branch: &'a str,
}

/// A template whose placeholders are all known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Story,
    Title,
    Body,
    Branch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// A template that cannot be used. Fit for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    #[error(
        "the prompt has `{{{{{0}}}}}`, which is not known; there are {{{{story}}}}, {{{{title}}}}, {{{{body}}}} and {{{{branch}}}}"
    )]
    UnknownPlaceholder(String),
    #[error("the prompt has a `{{{{` that is not closed; write a placeholder as {{{{title}}}}")]
    Unclosed,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, behind) = after.split_once("}}").ok_or(InvalidTemplate::Unclosed)?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Placeholder(Placeholder::named(name.trim())?));
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }

    /// The template of a role whose agent brings none.
    pub fn built_in(role: Role) -> Self {
        use Placeholder::{Body, Branch, Story, Title};
        let text = |text: &str| Part::Text(text.to_owned());
        let work = match role {
            Role::Coder | Role::Other => CODER,
            Role::Qa => QA,
            Role::Mergemaster => MERGEMASTER,
        };
        let parts = vec![
            text("You work on "),
            Part::Placeholder(Story),
            text(": "),
            Part::Placeholder(Title),
            text("\n\n"),
            Part::Placeholder(Body),
            text("\n\nThe current folder is a git worktree on the branch `"),
            Part::Placeholder(Branch),
            text("`. "),
            text(work),
        ];
        Self { parts }
    }

    /// One pass: what is filled in is not looked at again, whatever braces it holds.
    pub fn fill(&self, story: &Story<'_>) -> String {
        let fill = |part| match part {
            &Part::Placeholder(Placeholder::Story) => story.id.as_str(),
            &Part::Placeholder(Placeholder::Title) => story.title.trim(),
            &Part::Placeholder(Placeholder::Body) => story.body.trim(),
            &Part::Placeholder(Placeholder::Branch) => story.branch,
            Part::Text(text) => text.as_str(),
        };
        self.parts.iter().map(fill).collect()
    }
}

impl Placeholder {
    fn named(name: &str) -> Result<Self, InvalidTemplate> {
        match name {
            "story" => Ok(Self::Story),
            "title" => Ok(Self::Title),
            "body" => Ok(Self::Body),
            "branch" => Ok(Self::Branch),
            unknown => Err(InvalidTemplate::UnknownPlaceholder(
                unknown.chars().take(60).collect(),
            )),
        }
    }
}

const CODER: &str = "Make the change that the issue asks for, with tests where the project has tests. \
Run the project's own checks. Commit everything that belongs to the change to this branch, in commits with clear messages; \
what is not committed does not count. Do not push, do not switch branches, and leave other worktrees alone. When you are done, stop.";

const QA: &str = "Examine the change on this branch against what the issue asks for: read the diff, run the program and its checks, \
try what could break. Do not change anything. Report what you find.";

const MERGEMASTER: &str = "The change on this branch does not merge with its base. Resolve the conflicts so that both sides' intent stays, \
run the project's checks, and commit. Do not push. When you are done, stop.";

#[cfg(test)]
mod tests {
    use super::*;

    const STORY: Story<'static> = Story {
        id: String::new(),
        title: "{{body}} }}{{",
        body: "text {{title}}",
        branch: "main",
    };

    #[test]
    fn what_is_filled_in_is_not_expanded_again() {
        let template = Template::parse("<{{ title }}|{{body}}|{{branch}}>").unwrap();
        assert_eq!(template.fill(&STORY), "<{{body}} }}{{|text {{title}}|main>");
    }

    #[test]
    fn a_placeholder_that_nobody_knows_is_named() {
        let error = Template::parse("{{titel}}").unwrap_err().to_string();
        assert_eq!(
            error,
            "the prompt has `{{titel}}`, which is not known; there are {{story}}, {{title}}, {{body}} and {{branch}}"
        );
        assert_eq!(
            Template::parse("a {{title").unwrap_err(),
            InvalidTemplate::Unclosed
        );
    }

    #[test]
    fn every_role_has_a_template_that_holds_the_whole_task() {
        for role in [Role::Coder, Role::Qa, Role::Mergemaster, Role::Other] {
            let text = Template::built_in(role).fill(&Story {
                id: "octo/app#1".to_owned(),
                ..STORY
            });
            assert!(
                text.starts_with("You work on octo/app#1: {{body}} }}{{\n\ntext {{title}}\n"),
                "{text}"
            );
        }
    }
}
