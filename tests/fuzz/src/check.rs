//! Whether a text does anything where it goes. Written apart from the code that makes texts safe:
//! other rules for what is invisible, another Markdown parser, git's own rules for names.

use comrak::nodes::{AstNode, NodeValue};
use comrak::{Arena, Options, parse_document};

/// Why a text is not harmless.
pub type Answer = Result<(), String>;

/// GitHub's limit for a comment, in characters.
const COMMENT_CHARS: usize = 65_536;

/// Runs of characters of which nothing is seen: the format characters (Cf) and ignorable ones of
/// Unicode 16, and the tags.
const UNSEEN: &[(u32, u32)] = &[
    (0x00, 0x08),
    (0x0b, 0x1f),
    (0x7f, 0x9f),
    (0xad, 0xad),
    (0x34f, 0x34f),
    (0x61c, 0x61c),
    (0x115f, 0x1160),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x200b, 0x200f),
    (0x2028, 0x202e),
    (0x2060, 0x206f),
    (0x3164, 0x3164),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff9, 0xfffb),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0000, 0xe0fff),
];

fn is_unseen(c: char) -> bool {
    let plain = matches!(c, ' '..='~' | '\n');
    !plain
        && UNSEEN
            .iter()
            .any(|&(first, last)| (first..=last).contains(&u32::from(c)))
}

/// Only what is seen. A joiner or an emoji selector may stand between characters that are not ASCII.
pub fn visible(text: &str) -> Answer {
    let mut before = ' ';
    for c in text.chars() {
        let joins = matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0f}') && !before.is_ascii();
        let twice = before == c;
        if is_unseen(c) && (!joins || twice) {
            return Err(format!("U+{:04X} is not seen", u32::from(c)));
        }
        before = c;
    }
    Ok(())
}

/// Visible, and on one line of at most `chars` characters.
pub fn line(text: &str, chars: usize) -> Answer {
    visible(text)?;
    match text.chars().count() {
        count if count > chars => Err(format!("{count} characters")),
        _ if text.contains(['\n', '\t']) => Err("more than a line".to_owned()),
        _ => Ok(()),
    }
}

/// Words outside of code that a forge makes nothing of.
pub fn words(text: &str) -> Answer {
    let lower = text.to_ascii_lowercase();
    let bytes = lower.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(b' ');
    for (index, byte) in bytes.iter().enumerate() {
        let before = index.checked_sub(1).map_or(b' ', at);
        let rest = &bytes[index..];
        let starts_word = !before.is_ascii_alphanumeric() && before != b'_';
        let found = match byte {
            b'@' if starts_word && at(index + 1).is_ascii_alphanumeric() => "a mention",
            b'#' if at(index + 1).is_ascii_digit() => "a reference",
            b'g' if starts_word && rest.starts_with(b"gh-") && at(index + 3).is_ascii_digit() => {
                "a reference"
            }
            b':' if rest.starts_with(b"://") && at(index + 3) > b' ' => "a link",
            b'w' if starts_word && rest.starts_with(b"www.") && at(index + 4) > b' ' => "a link",
            b'[' if rest.starts_with(b"[skip ci]") || rest.starts_with(b"[ci skip]") => {
                "an order to a CI"
            }
            _ => continue,
        };
        let part = String::from_utf8_lossy(&bytes[index..bytes.len().min(index + 30)]);
        return Err(format!("{found}: {part}"));
    }
    Ok(())
}

/// A line of plain words: the description of a status, the subject of a commit.
pub fn plain_line(text: &str, chars: usize) -> Answer {
    line(text, chars)?;
    words(text)
}

fn github() -> Options<'static> {
    let mut options = Options::default();
    options.extension.autolink = true;
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    options
}

/// A comment of huskies: its own words, quotations in code, and one marker at its beginning.
pub fn comment(markdown: &str) -> Answer {
    visible(markdown)?;
    let length = markdown.chars().count();
    if length > COMMENT_CHARS {
        return Err(format!("{length} characters"));
    }
    let (marker, rest) = markdown.split_once('\n').unwrap_or_default();
    let marked = marker.starts_with("<!-- huskies:")
        && marker.ends_with(" -->")
        && marker.matches("--").count() == 2;
    if !marked {
        return Err(format!("no marker of its own: {marker}"));
    }
    let arena = Arena::new();
    let root = parse_document(&arena, rest, &github());
    for node in root.descendants() {
        comment_node(node)?;
    }
    Ok(())
}

fn comment_node<'a>(node: &'a AstNode<'a>) -> Answer {
    let data = node.data.borrow();
    match &data.value {
        NodeValue::Document
        | NodeValue::Text(_)
        | NodeValue::SoftBreak
        | NodeValue::Strong
        | NodeValue::Code(_)
        | NodeValue::Table(_)
        | NodeValue::TableRow(_) => Ok(()),
        NodeValue::Paragraph | NodeValue::TableCell => words(&shown(node)),
        NodeValue::Heading(heading) if heading.level == 3 => {
            let shown = shown(node);
            words(&shown)?;
            if shown.starts_with("huskies: ") {
                Ok(())
            } else {
                Err(format!("a heading of others: {shown}"))
            }
        }
        NodeValue::CodeBlock(block) if block.fenced && block.closed && block.info == "text" => {
            Ok(())
        }
        NodeValue::HtmlBlock(block) => block.literal.lines().try_for_each(own_tag),
        NodeValue::HtmlInline(tag) => own_tag(tag),
        other => Err(format!("{other:?}")),
    }
}

fn own_tag(tag: &str) -> Answer {
    let gate = tag
        .strip_prefix("<details><summary>End of the output of <code>")
        .and_then(|rest| rest.strip_suffix("</code></summary>"));
    let word = |name: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !name.is_empty() && name.bytes().all(known)
    };
    let own = ["<sub>", "</sub>", "</details>", ""].contains(&tag) || gate.is_some_and(word);
    if own {
        Ok(())
    } else {
        Err(format!("HTML: {tag}"))
    }
}

/// What stands in a block outside of code.
fn shown<'a>(node: &'a AstNode<'a>) -> String {
    let mut text = String::new();
    for node in node.descendants() {
        match &node.data.borrow().value {
            NodeValue::Text(part) => text.push_str(part),
            NodeValue::Code(_) => text.push_str(" code "),
            NodeValue::SoftBreak | NodeValue::LineBreak => text.push('\n'),
            _ => {}
        }
    }
    text
}

/// A prompt: only what is seen, no comment of HTML, and the heading of each of huskies' own parts
/// at most once.
pub fn prompt(text: &str) -> Answer {
    visible(text)?;
    for part in ["<recent-events>", "</recent-events>"] {
        once(part, text.to_ascii_lowercase().matches(part).count())?;
    }
    for header in [
        "Your previous run's quality gates failed:",
        "Notes on this project (.huskies/AGENT.md):",
        "The discussion of the issue so far.",
        "This is not the first attempt.",
        "People who may write to this repository tell you this:",
    ] {
        let begins = |line: &&str| {
            let bare = line.trim_start_matches(|c: char| !c.is_alphanumeric());
            bare.to_lowercase().starts_with(&header.to_lowercase())
        };
        once(header, text.lines().filter(begins).count())?;
    }
    let arena = Arena::new();
    let root = parse_document(&arena, text, &github());
    for node in root.descendants() {
        let data = node.data.borrow();
        let html = match &data.value {
            NodeValue::HtmlBlock(block) => block.literal.as_str(),
            NodeValue::HtmlInline(tag) => tag,
            _ => continue,
        };
        if html.contains("<!--") {
            return Err(format!("a hidden comment: {html}"));
        }
    }
    Ok(())
}

fn once(what: &str, count: usize) -> Answer {
    if count <= 1 {
        Ok(())
    } else {
        Err(format!("{count} times {what}"))
    }
}

/// Whether a paragraph that begins like this stands outside of every quotation.
pub fn stands_alone(markdown: &str, beginning: &str) -> Answer {
    let arena = Arena::new();
    let root = parse_document(&arena, markdown, &github());
    let found = root.children().any(|node| {
        let paragraph = matches!(node.data.borrow().value, NodeValue::Paragraph);
        paragraph && shown(node).starts_with(beginning)
    });
    if found {
        Ok(())
    } else {
        Err(format!("`{beginning}` is quoted away"))
    }
}

/// What a terminal prints and does nothing else with.
pub fn terminal(text: &str) -> Answer {
    visible(text)
}

/// A name that stays in its folder, whatever it is joined to, and is no option.
pub fn component(name: &str) -> Answer {
    let tame = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let ok = !name.is_empty()
        && name.len() <= 200
        && name.bytes().all(tame)
        && !name.starts_with(['-', '.'])
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.to_ascii_lowercase().ends_with(".lock");
    if ok {
        Ok(())
    } else {
        Err(format!("`{name}` as a folder"))
    }
}

/// A branch name that git takes for one.
pub fn branch(name: &str) -> Answer {
    visible(name)?;
    let full = format!("refs/heads/{name}");
    if name.starts_with('-') || name == "HEAD" || !git2::Reference::is_valid_name(&full) {
        return Err(format!("`{name}` as a branch"));
    }
    Ok(())
}
