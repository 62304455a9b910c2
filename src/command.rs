//! What a comment says to huskies: a command, free text for the agent, or nothing.
//!
//! Pure, and knows Markdown as forges show it: what stands in a quotation, a code block, a list, a
//! heading or an HTML comment says nothing, and neither does a word in the middle of a sentence. A
//! line of its own paragraph has to begin with `/huskies` or `@NAME`, and the first that does
//! counts. Not for: who may say it, and what follows.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::domain::delivery::{Command, Said};
use crate::domain::story::MARKER_PREFIX;
use crate::domain::text::{head_at_char_boundary, visible, visible_line};

/// How commands begin.
const PREFIX: &str = "/huskies";
/// The most that an agent is told by one comment, in bytes.
const LONGEST_TEXT: usize = 16 * 1024;
/// The most that is repeated of a word that is no command, in characters.
const LONGEST_WORD: usize = 40;

/// What a comment of a conversation says. `names` are those that the agent is addressed by, without
/// the `@`.
///
/// - `/huskies WORD …` is a command when WORD is one; what stands behind it belongs to it.
/// - `/huskies WORD` with nothing behind it, or with a WORD that is one letter away from a command,
///   is a mistake.
/// - `/huskies` and `@NAME` before anything else address the rest of the comment to the agent.
/// - `@NAME WORD` with nothing behind it is a command when WORD is one: whoever writes
///   `@huskies stop` does not mean the agent.
pub fn read(text: &str, names: &[String]) -> Option<Said> {
    // huskies wrote it, or somebody copies what it wrote.
    if text.starts_with(MARKER_PREFIX) {
        return None;
    }
    let (address, behind) = address(text, names)?;
    let behind = behind.trim();
    match address {
        Address::Prefix => Some(by_prefix(behind)),
        Address::Name => by_name(behind),
    }
}

/// What a review, or a comment at a line of the changes, says: all of it is for the agent, unless
/// it says something else.
pub fn read_review(text: &str, names: &[String]) -> Option<Said> {
    match read(text, names) {
        Some(said @ (Said::Command { .. } | Said::Unknown { .. })) => Some(said),
        Some(Said::ToAgent { .. }) | None => {
            let seen = visible(text);
            let seen = seen.trim();
            (!text.starts_with(MARKER_PREFIX) && !seen.is_empty()).then(|| to_agent(seen))
        }
    }
}

#[derive(Clone, Copy)]
enum Address {
    Prefix,
    Name,
}

/// How the first line begins that addresses huskies, and everything behind that. What is code and
/// what is not goes by the text as the forge has it, words by what people see of it: what is
/// invisible, or a line end only here, must not get anything out of a code block.
fn address(text: &str, names: &[String]) -> Option<(Address, String)> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
    let (mut depth, mut begins) = (0_usize, false);
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::Paragraph) if depth == 0 => (depth, begins) = (1, true),
            Event::End(TagEnd::Paragraph) if depth == 1 => (depth, begins) = (0, false),
            Event::Start(_) => (depth, begins) = (depth + 2, false),
            Event::End(_) => (depth, begins) = (depth.saturating_sub(2), false),
            Event::SoftBreak | Event::HardBreak => begins = depth == 1,
            Event::Text(_) if begins => {
                begins = false;
                // As it is written: an escaped `\/huskies` is not meant.
                let line = text[..range.start].rfind('\n').map_or(0, |end| end + 1);
                let rest = &text[range.start..];
                let first = rest.split('\n').next().unwrap_or_default();
                if text[line..range.start].trim().is_empty()
                    && begins_with_address(&visible(first), names).is_some()
                {
                    let seen = visible(rest);
                    let (address, behind) = begins_with_address(&seen, names)?;
                    return Some((address, behind.to_owned()));
                }
            }
            _ => begins = false,
        }
    }
    None
}

fn begins_with_address<'a>(text: &'a str, names: &[String]) -> Option<(Address, &'a str)> {
    if let Some(behind) = behind(text, PREFIX) {
        return Some((Address::Prefix, behind));
    }
    let mention = text.strip_prefix('@')?;
    names.iter().find_map(|name| {
        let behind = behind(mention, &format!("{name}[bot]")).or_else(|| behind(mention, name))?;
        Some((Address::Name, behind))
    })
}

/// What stands behind `word`, which has to end there.
fn behind<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let begins = text.get(..word.len())?.eq_ignore_ascii_case(word);
    let behind = text.get(word.len()..)?;
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '.' | '[' | '@');
    (begins && !word.is_empty() && !behind.starts_with(goes_on))
        .then(|| behind.trim_start_matches([',', ':']))
}

fn by_prefix(behind: &str) -> Said {
    let (word, rest) = first_word(behind);
    let rest = rest.trim();
    match command(&word) {
        Some(command) => Said::Command {
            command,
            text: (!rest.is_empty()).then(|| cut(rest)),
        },
        None if word.is_empty() && behind.is_empty() => Said::Command {
            command: Command::Help,
            text: None,
        },
        None if is_nearly_a_command(&word) => unknown(behind, false),
        None if rest.is_empty() => unknown(behind, true),
        None => to_agent(behind),
    }
}

fn unknown(behind: &str, alone: bool) -> Said {
    let word = behind.split_whitespace().next().unwrap_or_default();
    let word = visible_line(word).chars().take(LONGEST_WORD).collect();
    Said::Unknown { word, alone }
}

fn by_name(behind: &str) -> Option<Said> {
    let (word, rest) = first_word(behind);
    match command(&word) {
        Some(command) if rest.trim().is_empty() => Some(Said::Command {
            command,
            text: None,
        }),
        Some(_) | None => (!behind.is_empty()).then(|| to_agent(behind)),
    }
}

/// The first word in small letters and without what ends a sentence, and what stands behind it.
fn first_word(text: &str) -> (String, &str) {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let word = text[..end].trim_end_matches(['.', ',', '!', ':', ';']);
    (word.to_lowercase(), &text[end..])
}

fn command(word: &str) -> Option<Command> {
    Command::ALL
        .into_iter()
        .find(|command| command.word() == word)
}

/// One letter is wrong, missing, too many, or in the wrong place. Telling an agent `stpo` would not
/// stop it.
fn is_nearly_a_command(word: &str) -> bool {
    let near = |command: Command| strsim::damerau_levenshtein(command.word(), word) == 1;
    Command::ALL.into_iter().any(near)
}

fn to_agent(text: &str) -> Said {
    Said::ToAgent { text: cut(text) }
}

fn cut(text: &str) -> String {
    head_at_char_boundary(text, LONGEST_TEXT).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> [String; 2] {
        ["huskies".to_owned(), "octo-huskies".to_owned()]
    }

    /// In a few words.
    fn said(text: &str) -> String {
        match read(text, &names()) {
            None => "nothing".to_owned(),
            Some(Said::Command {
                command,
                text: None,
            }) => command.word().to_owned(),
            Some(Said::Command {
                command,
                text: Some(text),
            }) => format!("{} + {text:?}", command.word()),
            Some(Said::ToAgent { text }) => format!("agent: {text:?}"),
            Some(Said::Unknown { word, alone: true }) => format!("unknown: {word}, or an answer"),
            Some(Said::Unknown { word, alone: false }) => format!("unknown: {word}"),
        }
    }

    #[test]
    fn every_command_is_read_however_it_is_written() {
        for command in Command::ALL {
            let word = command.word();
            for text in [
                format!("/huskies {word}"),
                format!("/Huskies {}", word.to_uppercase()),
                format!("Thank you.\n  /huskies   {word}.\n"),
                format!("> quoted\n\n/huskies {word}!"),
                format!("<!-- a template's words -->\n/huskies {word}"),
                format!("/huskies: {word}"),
                format!("@huskies {word}"),
                format!("@octo-huskies[bot] {word}"),
                format!("/hus\u{200b}kies {word}"),
            ] {
                assert_eq!(said(&text), word, "{text:?}");
            }
        }
        assert_eq!(said("/huskies"), "help");
    }

    #[test]
    fn what_is_quoted_coded_hidden_or_in_a_sentence_says_nothing() {
        for text in [
            "",
            "> /huskies stop",
            "> somebody wrote:\n/huskies stop",
            "```\n/huskies stop\n```",
            "~~~sh\n/huskies stop",
            "    /huskies stop",
            "    a\n    \u{b}b\n    @huskies, use it",
            "```\n\u{200b}```\n/huskies stop\n```",
            "`/huskies stop`",
            "<!-- /huskies stop -->",
            "<!--\n/huskies stop\n-->",
            "<div>\n/huskies stop\n</div>",
            "- /huskies stop",
            "1. @huskies stop",
            "# /huskies stop",
            "| a |\n|---|\n| /huskies stop |",
            "[^1]: /huskies stop",
            "I would write /huskies stop",
            "I asked @huskies to do it.",
            "\\/huskies stop",
            "&#47;huskies stop",
            "**/huskies stop**",
            "[/huskies stop](https://example.com)",
            "/huskiesstop",
            "/huskies-stop",
            "/huskies/stop",
            "/usr/bin/huskies stop",
            "@huskies-fan stop",
            "@huskies/team stop",
            "@someone stop",
            "@huskies",
            "huskies stop",
        ] {
            assert_eq!(said(text), "nothing", "{text:?}");
        }
    }

    #[test]
    fn what_huskies_wrote_or_somebody_copied_from_it_says_nothing() {
        let own = "<!-- huskies:story octo/app#1 -->\n\n/huskies stop";
        assert_eq!(read(own, &names()), None);
        assert_eq!(read_review(own, &names()), None);
    }

    #[test]
    fn free_text_goes_on_to_the_end_of_the_comment() {
        insta::assert_snapshot!(said("@huskies, use the red one.\n\n> quoted\n\n```\n/huskies stop\n```"), @r#"agent: "use the red one.\n\n> quoted\n\n```\n/huskies stop\n```""#);
        insta::assert_snapshot!(said("/huskies please stop using tabs"), @r#"agent: "please stop using tabs""#);
        insta::assert_snapshot!(said("@huskies stop using tabs"), @r#"agent: "stop using tabs""#);
        insta::assert_snapshot!(said("Nice.\n@Octo-Huskies\nRename it."), @r#"agent: "Rename it.""#);
        insta::assert_snapshot!(said("/huskies\n\nRename it, please."), @r#"agent: "Rename it, please.""#);
    }

    #[test]
    fn what_stands_behind_a_command_belongs_to_it_and_the_first_one_counts() {
        insta::assert_snapshot!(said("/huskies retry with the smaller model\n\nand mind the tests"), @r#"retry + "with the smaller model\n\nand mind the tests""#);
        insta::assert_snapshot!(said("/huskies stop\n/huskies start"), @r#"stop + "/huskies start""#);
        insta::assert_snapshot!(said("/huskies start\n"), @"start");
    }

    #[test]
    fn a_word_that_is_nearly_a_command_is_not_told_to_the_agent() {
        insta::assert_snapshot!(said("/huskies stpo what you do"), @"unknown: stpo");
        insta::assert_snapshot!(said("/huskies re-try"), @"unknown: re-try");
        insta::assert_snapshot!(said("/huskies restart"), @"unknown: restart, or an answer");
        insta::assert_snapshot!(said("/huskies \u{1b}[2J<b>@ann"), @"unknown: <b>@ann, or an answer");
        insta::assert_snapshot!(said("/huskies Red."), @"unknown: Red., or an answer");
    }

    #[test]
    fn a_review_is_for_the_agent_as_a_whole_unless_it_commands() {
        let to_agent = |text: &str| {
            let text = text.to_owned();
            Some(Said::ToAgent { text })
        };
        let read = |text| read_review(text, &names());
        assert_eq!(read(" Why a `Vec`?\n"), to_agent("Why a `Vec`?"));
        assert_eq!(
            read("So.\n\n@huskies mend it"),
            to_agent("So.\n\n@huskies mend it")
        );
        assert_eq!(read(" \u{200b}\n"), None);
        let merge = Said::Command {
            command: Command::Merge,
            text: None,
        };
        assert_eq!(read("Good.\n\n/huskies merge"), Some(merge));
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = format!("@huskies {}", "é".repeat(LONGEST_TEXT));
        let Some(Said::ToAgent { text }) = read(&text, &names()) else {
            panic!("not read")
        };
        assert_eq!(text.len(), LONGEST_TEXT);
    }
}
