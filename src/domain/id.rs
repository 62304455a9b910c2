//! Names of things, parsed once at the edge.
//!
//! Nothing that came from a title, a label or a payload travels as a bare string: whoever holds one
//! of these types may put it into a path, a ref or an argument list without looking again.
//! Not for: values that merely describe (titles, bodies, messages) — those stay `String`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::text::{is_hidden, visible_line};

/// Why a name was refused. The text is fit for the person who wrote the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {expected}")]
pub struct InvalidName {
    value: String,
    expected: &'static str,
}

impl InvalidName {
    fn new(value: &str, expected: &'static str) -> Self {
        Self {
            value: visible_line(value).chars().take(120).collect(),
            expected,
        }
    }
}

/// Derives the string face of a name: `Display`, serde as a string, and parsing through `FromStr`.
macro_rules! string_name {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                value.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

fn is_word(text: &str, max: usize) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !text.starts_with(['.', '-'])
        && !text.contains("..")
        && !text.ends_with('.')
        && !Path(text).ends_like_a_lock_file()
}

/// A single path component under test.
struct Path<'a>(&'a str);

impl Path<'_> {
    /// Git refuses ref components that end in `.lock` (git-check-ref-format(1)).
    fn ends_like_a_lock_file(&self) -> bool {
        let end = self.0.as_bytes().last_chunk::<5>();
        end.is_some_and(|end| end.eq_ignore_ascii_case(b".lock"))
    }
}

/// `owner/name` of a repository, as GitHub spells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoName(String);
string_name!(RepoName);

impl RepoName {
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map_or("", |(owner, _)| owner)
    }

    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl FromStr for RepoName {
    type Err = InvalidName;

    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let valid = value
            .split_once('/')
            .is_some_and(|(owner, name)| is_word(owner, 100) && is_word(name, 100));
        if valid {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidName::new(
                value,
                "a repository name such as `octo/app`",
            ))
        }
    }
}

/// One issue of one repository: `octo/app#42`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoryId {
    pub repo: RepoName,
    pub number: u64,
}

impl StoryId {
    pub fn new(repo: RepoName, number: u64) -> Self {
        Self { repo, number }
    }
}

impl fmt::Display for StoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.repo, self.number)
    }
}

impl FromStr for StoryId {
    type Err = InvalidName;

    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName::new(value, "a story such as `octo/app#42`");
        let (repo, number) = value.split_once('#').ok_or_else(invalid)?;
        // `+42` and `042` would be second names of one story.
        let canonical = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        if !canonical {
            return Err(invalid());
        }
        Ok(Self {
            repo: repo.parse().map_err(|_| invalid())?,
            number: number.parse().map_err(|_| invalid())?,
        })
    }
}

impl TryFrom<String> for StoryId {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, InvalidName> {
        value.parse()
    }
}

impl From<StoryId> for String {
    fn from(id: StoryId) -> Self {
        id.to_string()
    }
}

/// The readable part of a story's branch and folder: `[a-z0-9-]`, never empty, at most 40 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);
string_name!(Slug);

impl Slug {
    const MAX: usize = 40;

    /// Makes a slug of any title: letters lose their accents, everything else becomes one dash.
    pub fn from_title(title: &str) -> Self {
        let mut slug = String::new();
        for c in title.nfkd().flat_map(char::to_lowercase) {
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if !slug.is_empty() && !slug.ends_with('-') && !is_combining(c) {
                slug.push('-');
            }
            if slug.len() >= Self::MAX {
                break;
            }
        }
        let slug = slug.trim_matches('-');
        Self(if slug.is_empty() {
            "untitled".to_owned()
        } else {
            slug.to_owned()
        })
    }
}

/// Combining diacritical marks (Unicode block U+0300..U+036F), what NFKD splits accents into.
fn is_combining(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

impl FromStr for Slug {
    type Err = InvalidName;

    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let slug = Self::from_title(value);
        if slug.0 == value {
            Ok(slug)
        } else {
            Err(InvalidName::new(value, "a slug such as `fix-the-door`"))
        }
    }
}

/// A branch name without `refs/heads/`, checked against git-check-ref-format(1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);
string_name!(BranchName);

impl BranchName {
    /// The branch that belongs to a story: `feature/story-42-fix-the-door`.
    pub fn of_story(number: u64, slug: &Slug) -> Self {
        Self(format!("feature/story-{number}-{slug}"))
    }

    /// The number of the story that a branch of this name belongs to, if it is one of a story.
    pub fn story_number(&self) -> Option<u64> {
        let rest = self.0.strip_prefix("feature/story-")?;
        let (number, slug) = rest.split_once('-')?;
        let canonical = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        (canonical && slug.parse::<Slug>().is_ok()).then(|| number.parse().ok())?
    }

    /// The full ref: `refs/heads/<name>`.
    pub fn full(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl FromStr for BranchName {
    type Err = InvalidName;

    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let component = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && !Path(part).ends_like_a_lock_file()
        };
        let forbidden = |c: char| c.is_control() || is_hidden(c) || " ~^:?*[\\".contains(c);
        let valid = value.len() <= 240
            && !value.starts_with('-')
            && value.split('/').all(component)
            && !value.contains(forbidden)
            && !value.contains("..")
            && !value.contains("@{")
            && !value.ends_with('.')
            && value != "@"
            && value != "HEAD";
        if valid {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidName::new(value, "a branch name"))
        }
    }
}

/// A git object id: 40 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha(String);
string_name!(Sha);

impl Sha {
    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl FromStr for Sha {
    type Err = InvalidName;

    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let valid = value.len() == 40
            && value
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidName::new(value, "a full git object id"))
        }
    }
}

/// The name of an agent, a gate or a component in `.huskies/project.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ItemName(String);
string_name!(ItemName);

impl FromStr for ItemName {
    type Err = InvalidName;

    fn from_str(value: &str) -> Result<Self, InvalidName> {
        if is_word(value, 60) {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidName::new(
                value,
                "a name of letters, digits, `-`, `_` and `.` (at most 60)",
            ))
        }
    }
}

/// Whose keys an agent spends: `anthropic`, `openai`, `command`. Pauses are kept per provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Provider(pub String);

/// An agent CLI's own name for a conversation that can be resumed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(pub String);

/// A forge's id of one webhook delivery (`X-GitHub-Delivery`); the same on redelivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryId(String);
string_name!(DeliveryId);

impl FromStr for DeliveryId {
    type Err = InvalidName;

    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let valid =
            !value.is_empty() && value.len() <= 200 && value.bytes().all(|b| b.is_ascii_graphic());
        if valid {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidName::new(value, "a delivery id"))
        }
    }
}

/// Counts a story's agent starts; it fences every late message of an older start.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Attempt(pub u32);

impl Attempt {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One agent attempt or one set of gates: the key of a supervised process and of its folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RunId {
    /// A story's agent.
    Agent(StoryId, Attempt),
    /// The accept gates on what a story's attempt committed, and how often they were begun.
    Accept(StoryId, Attempt, u32),
    /// The merge gates of a repository's n-th merge run.
    Merge(RepoName, u64),
    /// The gates on a commit that no story owns.
    Head(RepoName, Sha, u32),
}

impl RunId {
    pub fn repo(&self) -> &RepoName {
        match self {
            Self::Agent(story, _) | Self::Accept(story, _, _) => &story.repo,
            Self::Merge(repo, _) | Self::Head(repo, _, _) => repo,
        }
    }
}

/// `agent-42-3`, `accept-42-3-1`, `merge-7`, `head-<sha>-1`: unique within a repository, safe as a folder.
impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(story, attempt) => write!(f, "agent-{}-{attempt}", story.number),
            Self::Accept(story, attempt, round) => {
                write!(f, "accept-{}-{attempt}-{round}", story.number)
            }
            Self::Merge(_, number) => write!(f, "merge-{number}"),
            Self::Head(_, sha, number) => write!(f, "head-{sha}-{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_story_id_reads_back_as_it_was_written() {
        let id: StoryId = "octo/app#42".parse().unwrap();
        assert_eq!(id.to_string(), "octo/app#42");
        assert_eq!(
            (id.repo.owner(), id.repo.name(), id.number),
            ("octo", "app", 42)
        );
    }

    #[test]
    fn names_that_could_leave_a_folder_or_become_an_option_are_refused() {
        for bad in [
            "octo",
            "../app",
            "octo/..",
            "-x/app",
            "octo/app/x",
            "o cto/app",
            "octo/a.lock",
            "octo/\n",
            "/app",
            "octo/",
        ] {
            assert!(bad.parse::<RepoName>().is_err(), "{bad:?}");
        }
        for bad in [
            "-rf", "a..b", "a b", "a.lock", "x/.y", "a//b", "HEAD", "a@{1}", "a\n", "a:b", "",
        ] {
            assert!(bad.parse::<BranchName>().is_err(), "{bad:?}");
        }
        for good in ["main", "release/1.0", "feature/story-1-x", "é1234", "中文"] {
            assert!(good.parse::<BranchName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_name_may_be_so_long_and_no_longer() {
        for (length, is_good) in [(1, true), (60, true), (61, false)] {
            let name = "n".repeat(length);
            assert_eq!(name.parse::<ItemName>().is_ok(), is_good, "{length}");
        }
        for (length, is_good) in [(1, true), (200, true), (201, false)] {
            let id = "i".repeat(length);
            assert_eq!(id.parse::<DeliveryId>().is_ok(), is_good, "{length}");
        }
        for (length, is_good) in [(1, true), (240, true), (241, false)] {
            let branch = "b".repeat(length);
            assert_eq!(branch.parse::<BranchName>().is_ok(), is_good, "{length}");
        }
    }

    #[test]
    fn an_id_that_another_program_gave_is_taken_as_it_is_or_not_at_all() {
        for bad in ["", "a b", "a\n", "é"] {
            assert!(bad.parse::<DeliveryId>().is_err(), "{bad:?}");
        }
        let sha = "0123456789abcdef0123456789abcdef01234567";
        for bad in [&sha[1..], &sha.to_uppercase(), &sha.replace('0', "g"), ""] {
            assert!(bad.parse::<Sha>().is_err(), "{bad:?}");
        }
        assert_eq!(sha.parse::<Sha>().unwrap().short(), "0123456789");
    }

    #[test]
    fn a_branch_has_a_ref_of_its_own() {
        let branch: BranchName = "release/1.0".parse().unwrap();
        assert_eq!(branch.full(), "refs/heads/release/1.0");
    }

    #[test]
    fn a_branch_name_that_shows_as_another_one_is_refused() {
        for bad in ["main\u{200b}", "\u{202e}niam", "a\u{e0041}"] {
            assert!(bad.parse::<BranchName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_story_has_one_name() {
        for bad in [
            "octo/app#+42",
            "octo/app#042",
            "octo/app#0",
            "octo/app#",
            "octo/app#1#2",
        ] {
            assert!(bad.parse::<StoryId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_branch_that_is_only_like_a_storys_belongs_to_none() {
        for other in [
            "main",
            "feature/story-7",
            "feature/story-07-x",
            "feature/story-7-X",
            "feature/story--x",
            "a/feature/story-7-x",
        ] {
            assert_eq!(
                other.parse::<BranchName>().unwrap().story_number(),
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn a_refused_name_is_shown_without_what_a_terminal_would_act_on() {
        let error = "a\u{1b}]0;x\u{7}\n\u{202e}b"
            .parse::<BranchName>()
            .unwrap_err();
        assert_eq!(error.to_string(), "`a b` is not a branch name");
    }

    #[test]
    fn a_title_in_any_script_makes_a_readable_slug() {
        assert_eq!(
            Slug::from_title("Fix the Café: é!").as_str(),
            "fix-the-cafe-e"
        );
        assert_eq!(
            Slug::from_title("../../etc/passwd; rm -rf /").as_str(),
            "etc-passwd-rm-rf"
        );
        assert_eq!(Slug::from_title("Écran").as_str(), "ecran");
        assert_eq!(Slug::from_title("修复").as_str(), "untitled");
        assert_eq!(Slug::from_title("a\nb").as_str(), "a-b");
    }

    proptest! {
        #[test]
        fn every_title_gives_a_slug_that_is_a_valid_branch_and_parses_back(title in any::<String>()) {
            let slug = Slug::from_title(&title);
            prop_assert!(slug.as_str().len() <= Slug::MAX);
            let branch = BranchName::of_story(7, &slug);
            prop_assert_eq!(slug.as_str().parse::<Slug>().unwrap(), slug);
            prop_assert!(branch.as_str().parse::<BranchName>().is_ok());
            prop_assert_eq!(branch.story_number(), Some(7));
        }
    }
}
