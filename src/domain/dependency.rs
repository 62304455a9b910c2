//! What an issue depends on, and which larger issue it is a part of.
//!
//! `Depends on` lines are read from the text as people see it: what stands in code, in a quotation
//! or in an HTML comment says nothing. Not for: who waits for what, which is the repository's.

use jiff::Timestamp;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde::{Deserialize, Serialize};

use super::id::RepoName;
use super::text::visible_line;

/// How many issues a text can name before the rest is not looked at: each costs a request.
const MOST: usize = 50;
/// How a line begins that names them.
const DEPENDS_ON: &str = "depends on";

/// A parent issue. Its text is pinned with its child's and instructs as that does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epic {
    pub issue: u64,
    pub title: String,
    pub body: String,
}

/// What a forge's issue object says about the issues around it. Some servers, and some kinds of
/// deliveries, do not say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Family {
    pub parent: Parent,
    /// Whether it has sub-issues.
    pub sub_issues: Option<bool>,
}

/// The issue that another one is a sub-issue of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parent {
    #[default]
    Unknown,
    None,
    Here {
        issue: u64,
    },
    /// In another repository, where nobody asked who may write.
    Elsewhere {
        name: String,
    },
}

impl Parent {
    /// By the address of a parent as a forge's API gives it (`…/repos/octo/app/issues/3`).
    pub fn at(address: &str, repo: &RepoName) -> Self {
        let parts: Vec<&str> = address.rsplit('/').take(4).collect();
        let [number, "issues", name, owner] = parts[..] else {
            return Self::Unknown;
        };
        let Ok(issue) = number.parse() else {
            return Self::Unknown;
        };
        if is_called(repo, &format!("{owner}/{name}")) {
            Self::Here { issue }
        } else {
            let name = format!("{owner}/{name}#{issue}");
            Self::Elsewhere { name }
        }
    }
}

/// What a text says that its issue depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mentions {
    /// Issues of the same repository, each once, in the order of the text.
    pub here: Vec<u64>,
    /// What nobody watches: issues of other repositories, and more than can be looked at.
    pub elsewhere: Vec<String>,
}

impl Mentions {
    pub fn read(title: &str, body: &str, repo: &RepoName) -> Self {
        let mut mentions = Self::default();
        for line in std::iter::once(title.to_owned()).chain(lines(body)) {
            mentions.take(&visible_line(&line), repo);
        }
        mentions
    }

    fn take(&mut self, line: &str, repo: &RepoName) {
        let line = line.trim_start();
        let begins = line
            .get(..DEPENDS_ON.len())
            .is_some_and(|begins| begins.eq_ignore_ascii_case(DEPENDS_ON));
        if !begins {
            return;
        }
        let rest = line[DEPENDS_ON.len()..].trim_start_matches(':');
        let words = rest.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';'));
        for word in words.map(|word| word.trim_end_matches(['.', ')', ':'])) {
            if matches!(word, "" | "and" | "&") {
                continue;
            }
            match Reference::read(word, repo) {
                Some(reference) => self.add(reference),
                // What follows is why, not what.
                None => return,
            }
        }
    }

    fn add(&mut self, reference: Reference) {
        let name = match reference {
            Reference::Here(issue) if self.here.contains(&issue) => return,
            Reference::Here(issue) if self.here.len() < MOST => return self.here.push(issue),
            Reference::Here(issue) => format!("#{issue}"),
            Reference::Elsewhere(name) => name,
        };
        if self.elsewhere.len() < MOST && !self.elsewhere.contains(&name) {
            self.elsewhere.push(name);
        }
    }
}

enum Reference {
    Here(u64),
    Elsewhere(String),
}

impl Reference {
    /// `#3`, `octo/app#3` or the address of an issue or a pull request.
    fn read(word: &str, repo: &RepoName) -> Option<Self> {
        let (place, number) = match word.split_once("://") {
            Some(("http" | "https", address)) => in_address(address)?,
            Some(_) => return None,
            None => {
                let (place, number) = word.split_once('#')?;
                (place.to_owned(), number.parse().ok()?)
            }
        };
        if place.is_empty() || is_called(repo, &place) {
            return Some(Self::Here(number));
        }
        let place: RepoName = place.parse().ok()?;
        Some(Self::Elsewhere(format!("{place}#{number}")))
    }
}

fn in_address(address: &str) -> Option<(String, u64)> {
    let address = address.split(['?', '#']).next()?.trim_end_matches('/');
    let mut parts = address.split('/').skip(1);
    let (owner, name) = (parts.next()?, parts.next()?);
    if !matches!(parts.next()?, "issues" | "pull") {
        return None;
    }
    let number = parts.next()?.parse().ok()?;
    parts
        .next()
        .is_none()
        .then(|| (format!("{owner}/{name}"), number))
}

/// Names of repositories are the same in every case on GitHub.
fn is_called(repo: &RepoName, name: &str) -> bool {
    repo.as_str().eq_ignore_ascii_case(name)
}

/// The lines of paragraphs, lists and headings.
fn lines(body: &str) -> Vec<String> {
    let options = Options::ENABLE_TASKLISTS | Options::ENABLE_STRIKETHROUGH;
    let (mut lines, mut quoted) = (vec![String::new()], 0_usize);
    for event in Parser::new_ext(body, options) {
        match event {
            Event::Start(Tag::BlockQuote(_) | Tag::CodeBlock(_) | Tag::HtmlBlock) => quoted += 1,
            Event::End(TagEnd::BlockQuote(_) | TagEnd::CodeBlock | TagEnd::HtmlBlock) => {
                quoted = quoted.saturating_sub(1);
                lines.push(String::new());
            }
            Event::Text(text) if quoted == 0 => lines.last_mut().into_iter().for_each(|line| {
                line.push_str(&text);
            }),
            Event::Start(Tag::Paragraph | Tag::Item | Tag::Heading { .. })
            | Event::End(TagEnd::Paragraph | TagEnd::Item | TagEnd::Heading(_))
            | Event::SoftBreak
            | Event::HardBreak => lines.push(String::new()),
            // A word of code in a line ends what it names.
            Event::Code(_) if quoted == 0 => lines.last_mut().into_iter().for_each(|line| {
                line.push_str(" ` ");
            }),
            _ => {}
        }
    }
    lines
}

/// What is wanted to be known about an issue before its story starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinksWanted {
    pub mentions: Mentions,
    pub family: Family,
}

/// What was found out: the parent's text, and what the story has to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Links {
    pub epic: Option<Epic>,
    pub needs: Vec<Need>,
    /// What nobody watches, by name.
    pub unwatched: Vec<String>,
}

/// One issue that a story depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    pub issue: u64,
    /// Empty where it could not be read.
    pub title: String,
    /// It is a part of the story's issue; otherwise the text names it.
    pub sub_issue: bool,
    pub state: IssueState,
    /// When the forge said so: older news changes nothing. `None` where it said nothing.
    #[serde(default)]
    pub at: Option<Timestamp>,
    #[serde(default)]
    pub story: StoryState,
}

impl Need {
    /// Whether nobody has to wait for it any more.
    pub fn is_done(&self) -> bool {
        self.state == IssueState::Completed || self.story == StoryState::Done
    }

    /// The forge says, or said, that its issue is so.
    pub fn hear(&mut self, state: IssueState, at: Option<Timestamp>) {
        if at.is_none() || at >= self.at {
            (self.state, self.at) = (state, at);
        }
    }

    /// It will not be done unless a person does something about it first.
    pub fn is_stuck(&self) -> bool {
        let given_up = matches!(self.state, IssueState::NotPlanned | IssueState::Missing)
            || self.story == StoryState::Cancelled;
        given_up && !self.is_done() && self.story != StoryState::UnderWay
    }
}

/// How an issue is, as far as others may wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueState {
    Open,
    /// Closed as done, or a pull request that was merged.
    Completed,
    /// Closed for another reason.
    NotPlanned,
    /// There is none of that number, or it went elsewhere.
    Missing,
}

/// How an issue's own story is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoryState {
    /// Nobody has started it, or it was stopped.
    #[default]
    None,
    UnderWay,
    Done,
    Cancelled,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo() -> RepoName {
        "octo/app".parse().unwrap()
    }

    fn read(body: &str) -> String {
        let Mentions { here, elsewhere } = Mentions::read("A title", body, &repo());
        format!("{here:?} {}", elsewhere.join(", "))
            .trim_end()
            .to_owned()
    }

    #[test]
    fn a_line_can_name_what_it_depends_on_in_every_usual_way() {
        for (body, found) in [
            ("Depends on #3", "[3]"),
            ("depends on: #1, #2", "[1, 2]"),
            ("Depends on #1 and #2, octo/app#3.", "[1, 2, 3]"),
            ("DEPENDS ON Octo/App#3", "[3]"),
            (
                "Text.\nDepends on #4\nText.\n\n- Depends on #5\n- [ ] depends on #6",
                "[4, 5, 6]",
            ),
            ("**Depends on** #3", "[3]"),
            ("**Depends on:** #3", "[3]"),
            ("## Depends on #3", "[3]"),
            ("Depends on https://github.com/octo/app/issues/3", "[3]"),
            (
                "Depends on <https://ghe.example.com/octo/app/pull/3#top>.",
                "[3]",
            ),
            ("Depends on [the door](https://example.com), #3", "[]"),
            ("Depends on #3 (the door), not on #4", "[3]"),
            ("Depends on #3 because of #4", "[3]"),
            ("Depends on #3, #3\nDepends on #3", "[3]"),
            ("De\u{200b}pends on #3", "[3]"),
        ] {
            assert_eq!(read(body), found, "{body:?}");
        }
        let title = Mentions::read("Depends on #9", "", &repo());
        assert_eq!(title.here, [9]);
    }

    #[test]
    fn what_is_code_quoted_hidden_or_prose_names_nothing() {
        for body in [
            "",
            "This depends on #3",
            "Depends on the weather",
            "Depends on 3",
            "Depends on `#3`",
            "`Depends on #3`",
            "> Depends on #3",
            "```\nDepends on #3\n```",
            "    Depends on #3",
            "<!-- Depends on #3 -->",
            "<!--\nDepends on #3\n-->",
            "Depends on #",
            "Depends on #x",
            "Depends on ftp://github.com/octo/app/issues/3",
            "Depends on https://github.com/octo/app/commit/3",
            "Depends on https://github.com/octo/app/issues/3/x",
            "Depends on a b/c#3",
        ] {
            assert_eq!(read(body), "[]", "{body:?}");
        }
    }

    #[test]
    fn issues_of_other_repositories_are_named_and_not_waited_for() {
        let body = "Depends on octo/other#5, #1\nDepends on https://github.com/octo/door/issues/2";
        assert_eq!(read(body), "[1] octo/other#5, octo/door#2");
    }

    #[test]
    fn nobody_is_made_to_look_at_more_issues_than_there_can_be_reason_for() {
        let names: Vec<String> = (1..=200).map(|number| format!("#{number}")).collect();
        let body = format!("Depends on {}", names.join(", "));
        let mentions = Mentions::read("", &body, &repo());
        assert_eq!(
            (mentions.here.len(), mentions.elsewhere.len()),
            (MOST, MOST)
        );
        assert_eq!(mentions.elsewhere[0], "#51");
    }

    #[test]
    fn a_parent_is_told_by_its_address() {
        let at = |address: &str| Parent::at(address, &repo());
        let here = Parent::Here { issue: 3 };
        assert_eq!(at("https://api.github.com/repos/octo/app/issues/3"), here);
        assert_eq!(
            at("https://ghe.example.com/api/v3/repos/Octo/App/issues/3"),
            here
        );
        let name = "octo/plan#3".to_owned();
        let elsewhere = Parent::Elsewhere { name };
        assert_eq!(
            at("https://api.github.com/repos/octo/plan/issues/3"),
            elsewhere
        );
        assert_eq!(
            at("https://api.github.com/repos/octo/app/issues/x"),
            Parent::Unknown
        );
        assert_eq!(at("3"), Parent::Unknown);
    }

    #[test]
    fn news_that_comes_late_does_not_undo_what_is_newer() {
        let mut need = Need {
            issue: 3,
            title: String::new(),
            sub_issue: false,
            state: IssueState::Open,
            at: None,
            story: StoryState::None,
        };
        let at = |second| Timestamp::from_second(second).ok();
        need.hear(IssueState::Completed, at(20));
        need.hear(IssueState::Open, at(10));
        assert_eq!(need.state, IssueState::Completed);
        need.hear(IssueState::Open, at(20));
        assert_eq!(need.state, IssueState::Open);
        need.hear(IssueState::Missing, None);
        assert_eq!(need.state, IssueState::Missing);
    }

    #[test]
    fn who_waits_for_what_is_said_by_both_the_issue_and_its_story() {
        use IssueState::{Completed, Missing, NotPlanned, Open};
        use StoryState::{Cancelled, Done, None, UnderWay};
        for (state, story, done, stuck) in [
            (Open, None, false, false),
            (Open, UnderWay, false, false),
            (Open, Done, true, false),
            (Open, Cancelled, false, true),
            (Completed, None, true, false),
            (Completed, Cancelled, true, false),
            (NotPlanned, None, false, true),
            (NotPlanned, UnderWay, false, false),
            (NotPlanned, Done, true, false),
            (Missing, None, false, true),
        ] {
            let need = Need {
                issue: 3,
                title: String::new(),
                sub_issue: false,
                state,
                at: Option::None,
                story,
            };
            assert_eq!((need.is_done(), need.is_stuck()), (done, stuck), "{need:?}");
        }
    }
}
