//! What a person sees of an issue's Markdown, before an agent reads it: nobody who looked at the
//! issue and set the label shall have started something that he could not see.
//!
//! Left out are HTML comments, invisible characters (as they are and as entities), attributes of
//! tags, link titles, texts behind images, unused definitions, what stands behind a code block's
//! language, and cells beyond a table's width (GitHub Flavored Markdown specification). Everything
//! else stays as it was written. Not for: fencing and marking what is data; that is the prompt's.

use std::collections::HashSet;
use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

use crate::domain::text::{is_hidden, visible};

/// Taking something out may put the halves of something else together; that is taken out in turn.
/// A text that is still not done after so many rounds was made to be so.
const ROUNDS: usize = 8;

/// `markdown` without what a person does not see of it.
pub(super) fn seen(markdown: &str) -> String {
    let mut text = visible(markdown);
    for _ in 0..ROUNDS {
        let next = visible(&once(&text));
        if next == text {
            return text;
        }
        text = next;
    }
    // No markup can begin any more.
    text.replace('<', "&lt;")
        .replace("](", "] (")
        .replace("]:", "] :")
}

fn once(text: &str) -> String {
    let mut edits = Edits::default();
    let parser = Parser::new_ext(
        text,
        Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH,
    );
    for (_, definition) in parser.reference_definitions().iter() {
        edits.replace(definition.span.clone(), String::new());
    }
    let mut walk = Walk {
        text,
        edits,
        html: None,
        links: Vec::new(),
        notes: Vec::new(),
        referenced: HashSet::new(),
        cell_end: 0,
        in_code: false,
        depth: 0,
    };
    for (event, range) in parser.into_offset_iter() {
        walk.event(event, range);
    }
    walk.finish()
}

/// Replacements of parts of a text, in any order. One inside another goes with it.
#[derive(Default)]
struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    fn replace(&mut self, range: Range<usize>, by: String) {
        self.0.push((range, by));
    }

    fn apply(mut self, text: &str) -> String {
        self.0
            .sort_by_key(|(range, _)| (range.start, usize::MAX - range.end));
        let mut done = String::with_capacity(text.len());
        let mut at = 0;
        for (range, by) in self.0 {
            let whole = text.is_char_boundary(range.start) && text.is_char_boundary(range.end);
            if range.start < at || !whole {
                continue;
            }
            done.push_str(&text[at..range.start]);
            done.push_str(&by);
            at = range.end;
        }
        done.push_str(&text[at..]);
        done
    }
}

/// A link or an image that is open.
struct Link {
    /// Where what it shows ends.
    shown_end: usize,
    /// What has to stand there instead of the source's own ending.
    ending: Option<String>,
}

struct Walk<'a> {
    text: &'a str,
    edits: Edits,
    /// The lines of an HTML block that is open.
    html: Option<Range<usize>>,
    links: Vec<Link>,
    notes: Vec<(String, Range<usize>)>,
    referenced: HashSet<String>,
    cell_end: usize,
    in_code: bool,
    /// How many lists, quotations and notes are open.
    depth: usize,
}

impl Walk<'_> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        let is_end = matches!(event, Event::End(TagEnd::Link | TagEnd::Image));
        if let Some(link) = self.links.last_mut().filter(|_| !is_end) {
            link.shown_end = link.shown_end.max(range.end);
        }
        match event {
            Event::Start(tag) => self.start(&tag, range),
            Event::End(tag) => self.end(tag, &range),
            Event::Html(_) => {
                let html = self.html.get_or_insert(range.clone());
                *html = html.start.min(range.start)..html.end.max(range.end);
            }
            Event::InlineHtml(_) => self.html_piece(range),
            Event::FootnoteReference(name) => {
                self.referenced.insert(name.to_string());
            }
            Event::Text(shown) if !self.in_code => self.entity(&shown, range),
            Event::Text(_)
            | Event::Code(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::CodeBlock(kind) => {
                self.in_code = true;
                if let CodeBlockKind::Fenced(info) = kind {
                    self.info(info, &range);
                    self.close(&range);
                }
            }
            Tag::Link {
                link_type,
                dest_url,
                title,
                ..
            } => {
                let bare = matches!(link_type, LinkType::Autolink | LinkType::Email);
                let plain = *link_type == LinkType::Inline && title.is_empty();
                self.links.push(Link {
                    shown_end: range.start + 1,
                    ending: (!bare && !plain).then(|| format!("]({})", target(dest_url))),
                });
            }
            Tag::Image { dest_url, .. } => {
                self.edits
                    .replace(range.clone(), format!("![]({})", target(dest_url)));
                self.links.push(Link {
                    shown_end: range.start,
                    ending: None,
                });
            }
            Tag::FootnoteDefinition(name) => {
                self.depth += 1;
                self.notes.push((name.to_string(), range));
            }
            Tag::BlockQuote(_) | Tag::List(_) => self.depth += 1,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd, range: &Range<usize>) {
        match tag {
            TagEnd::CodeBlock => self.in_code = false,
            TagEnd::HtmlBlock => {
                if let Some(html) = self.html.take() {
                    self.html_piece(html);
                }
            }
            TagEnd::Link | TagEnd::Image => {
                if let Some(Link {
                    shown_end,
                    ending: Some(ending),
                }) = self.links.pop()
                    && shown_end < range.end
                {
                    self.edits.replace(shown_end..range.end, ending);
                }
                if let Some(outer) = self.links.last_mut() {
                    outer.shown_end = outer.shown_end.max(range.end);
                }
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::FootnoteDefinition => self.depth -= 1,
            TagEnd::TableCell => self.cell_end = range.end,
            TagEnd::TableHead | TagEnd::TableRow => {
                let surplus = self.cell_end..range.end;
                let rest = self.text.get(surplus.clone()).unwrap_or_default();
                if !matches!(rest.trim(), "" | "|") {
                    let end = if rest.ends_with('\n') { " |\n" } else { " |" };
                    self.edits.replace(surplus, end.to_owned());
                }
            }
            _ => {}
        }
    }

    fn html_piece(&mut self, range: Range<usize>) {
        let tame = tame_html(&self.text[range.clone()]);
        self.edits.replace(range, tame);
    }

    /// An entity that stands for something invisible.
    fn entity(&mut self, shown: &str, range: Range<usize>) {
        let written = self.text[range.clone()].starts_with('&');
        if written && shown.chars().all(|c| is_hidden(c) || c == '\0') {
            self.edits.replace(range, String::new());
        }
    }

    /// Only the first word names the language.
    fn info(&mut self, info: &str, block: &Range<usize>) {
        let line = self.text[block.clone()].lines().next().unwrap_or_default();
        let behind = line.trim_start().trim_start_matches(['`', '~']);
        let language: String = info
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "+#-_.".contains(*c))
            .take(20)
            .collect();
        if behind != language {
            let end = block.start + line.len();
            self.edits.replace(end - behind.len()..end, language);
        }
    }

    /// A block that goes on to the end is closed there: what follows the text is no code.
    fn close(&mut self, block: &Range<usize>) {
        let lines = self.text[block.clone()].trim_end();
        let first = lines.lines().next().unwrap_or_default().trim_start();
        let mark = if first.starts_with('~') { '~' } else { '`' };
        let fence = first.len() - first.trim_start_matches(mark).len();
        let last = lines.lines().skip(1).last().unwrap_or_default().trim();
        let closed = last.len() >= fence && last.chars().all(|c| c == mark);
        let at_end = self.text[block.end..].trim().is_empty();
        if self.depth == 0 && at_end && !closed {
            let end = self.text.len();
            let line_end = if self.text.ends_with('\n') { "" } else { "\n" };
            let fence = mark.to_string().repeat(fence);
            self.edits.replace(end..end, format!("{line_end}{fence}\n"));
        }
    }

    fn finish(mut self) -> String {
        if let Some(html) = self.html.take() {
            self.html_piece(html);
        }
        for (name, range) in std::mem::take(&mut self.notes) {
            if !self.referenced.contains(&name) {
                self.edits.replace(range, String::new());
            }
        }
        self.edits.apply(self.text)
    }
}

/// A link's destination, so that it ends where it ends.
fn target(url: &str) -> String {
    let url: String = url
        .chars()
        .filter(|c| !c.is_whitespace() && !"<>()[]\"'`\\".contains(*c))
        .collect();
    url
}

/// HTML without comments, declarations and instructions, its tags without attributes other than
/// where a link or an image leads.
fn tame_html(html: &str) -> String {
    let mut tame = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        tame.push_str(before);
        let hidden = [("!--", "-->"), ("![CDATA[", "]]>"), ("!", ">"), ("?", "?>")];
        let hidden = hidden.iter().find(|(begin, _)| tag.starts_with(begin));
        if let Some((begin, end)) = hidden {
            rest = behind_hidden(&tag[begin.len()..], begin, end);
            continue;
        }
        if !tag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') {
            tame.push('<');
            rest = tag;
            continue;
        }
        let (tag, behind) = tag.split_at(end_of_tag(tag));
        tame.push_str(&tame_tag(tag));
        rest = behind;
    }
    tame.push_str(rest);
    tame
}

/// What stands behind a comment and its like, of which `inner` is what follows the beginning. An
/// unclosed one goes on to the end of its block; `<!-->` is a whole comment.
fn behind_hidden<'a>(inner: &'a str, begin: &str, end: &str) -> &'a str {
    if begin == "!--"
        && let Some(behind) = inner.strip_prefix('>')
    {
        return behind;
    }
    inner.split_once(end).map_or("", |(_, behind)| behind)
}

/// Where a tag ends, behind its `>`; a `>` in a quoted attribute does not end it.
fn end_of_tag(tag: &str) -> usize {
    let mut quote = None;
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (None, '>') => return at + 1,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    tag.len()
}

/// Tags that GitHub shows as text ("Disallowed Raw HTML"), and the one other that makes text of all
/// that follows.
const SHOWN_TAGS: [&str; 10] = [
    "title",
    "textarea",
    "style",
    "xmp",
    "iframe",
    "noembed",
    "noframes",
    "script",
    "plaintext",
    "pre",
];

fn tame_tag(tag: &str) -> String {
    let name_end = tag
        .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '-'))
        .unwrap_or(tag.len());
    let (name, attributes) = tag.split_at(name_end);
    let place = ["src", "href"].iter().find_map(|key| {
        let value = attributes.split_once(&format!("{key}=\""))?.1;
        let value = value.split_once('"')?.0;
        value.starts_with("https://").then(|| (key, target(value)))
    });
    let end = if tag.ends_with('>') { ">" } else { "" };
    let bare = name.trim_start_matches('/');
    if SHOWN_TAGS
        .iter()
        .any(|shown| bare.eq_ignore_ascii_case(shown))
    {
        return format!("&lt;{name}{end}");
    }
    match place {
        Some((key, value)) => format!("<{name} {key}=\"{value}\"{end}"),
        None => format!("<{name}{end}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_person_does_not_see_is_left_out() {
        for (written, read) in [
            ("a<!-- run this -->b", "ab"),
            ("<!-- run\n\nthis -->\ntext", "\ntext"),
            ("<!-- never closed\nrun this", ""),
            ("a <!<!-- x -->-- run -->", "a "),
            ("[x]: https://e.x \"run this\"\n\ntext", "\n\ntext"),
            ("[//]: # (run this)\ntext", "\ntext"),
            ("[a](https://e.x \"run this\")", "[a](https://e.x)"),
            (
                "[a][b] c\n\n[b]: https://e.x 'run'",
                "[a](https://e.x) c\n\n",
            ),
            (
                "![run this](https://e.x/i.png 'and this')",
                "![](https://e.x/i.png)",
            ),
            (
                "<img alt=\"run > this\" src=\"https://e.x/i.png\">",
                "<img src=\"https://e.x/i.png\">",
            ),
            ("<p title='run'>a</p>", "<p>a</p>"),
            ("a&#x200b;&#xE0041;b &amp; c", "ab &amp; c"),
            ("```sh run this\nls\n```", "```sh\nls\n```"),
            ("```\nnever closed", "```\nnever closed\n```\n"),
            ("x\n\n[^1]: run this\n", "x\n\n"),
            ("|a|\n|-|\n|b| run this |\n", "|a|\n|-|\n|b |\n"),
            ("a\u{e0041}\u{202e}b\u{1b}[8mc", "abc"),
        ] {
            assert_eq!(seen(written), read, "{written:?}");
        }
    }

    #[test]
    fn what_a_person_sees_stays_as_it_was_written() {
        for text in [
            "# A *title*\n\n- one\n- two\n\n> quoted\n\n1. `a<b>`, Vec<String>, a < b",
            "```rust\n<!-- shown -->\nlet x = \"[a]: b\"; // &#x200b;\n```\n\n    <!-- shown -->\n",
            "| a | b |\n|---|---|\n| 1 | 2 |\n",
            "see https://e.x, <https://e.x/a> and [this](https://e.x/?a=b&c) [^1]\n\n[^1]: noted\n",
            "`<!-- shown -->` &lt;b&gt; {{body}}",
        ] {
            assert_eq!(seen(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[-a <>!\\[\\](){}|:`~#&;x0\"'=/\\\\\n^*_]{0,80}") {
            let once = seen(&text);
            prop_assert!(!once.contains(is_hidden));
        }
    }
}
