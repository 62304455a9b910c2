//! Quoting what others wrote: code spans and fences that it cannot leave, secrets masked.
//!
//! Inside code GitHub makes no mentions, references, links or closing words of anything (GitHub
//! Flavored Markdown specification, "Code spans" and "Fenced code blocks"). So text of others is in
//! code, always; a [`Markdown`] is made of the report's own words and of [`code`] and [`fence`].

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;

use crate::domain::effect::StatusNews;
use crate::domain::text::{inert_line, visible, visible_line};
use crate::secret::Secret;

/// The longest text that one span shows.
const SPAN_CHARS: usize = 200;
/// The longest description of a status that GitHub takes, in characters.
const STATUS_CHARS: usize = 140;
/// GitHub takes 65,536 characters in a comment. Counted in units of UTF-16, which are never fewer.
const COMMENT_UNITS: usize = 65_536;

/// A comment of the server's own making. It becomes text only through a [`Masker`], so that no
/// place that posts can forget the secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markdown(String);

impl Markdown {
    pub(super) fn new(text: String) -> Self {
        debug_assert!(
            text.encode_utf16().count() <= COMMENT_UNITS,
            "every part has its limit"
        );
        Self(text)
    }

    /// With more of the report's own words below it.
    pub(super) fn and(self, words: &str) -> Self {
        Self::new(self.0 + words)
    }
}

/// A code span on one line: what is seen of the text, cut. Backticks are replaced, and bars, which
/// would end the cell of a table.
pub(super) fn code(text: &str) -> String {
    let text = visible_line(text).replace('`', "'").replace('|', "¦");
    let cut: String = text.chars().take(SPAN_CHARS).collect();
    let ellipsis = if cut.len() < text.len() { "…" } else { "" };
    let cut = if cut.is_empty() { " " } else { &cut };
    format!("`{cut}{ellipsis}`")
}

/// A fenced block that `text` cannot close: the fence is longer than any run of backticks in it.
pub(super) fn fence(text: &str) -> String {
    let text = visible(text);
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}

/// The description of a status: one line of plain words, as short as GitHub wants it.
pub(super) fn description(text: &str) -> String {
    inert_line(text, STATUS_CHARS)
}

/// Replaces secrets by asterisks in what leaves the server. Clones share what they know.
#[derive(Clone, Default)]
pub struct Masker {
    secrets: Arc<RwLock<Vec<Secret>>>,
}

impl Masker {
    /// Shorter values would mask words that are no secrets.
    const SHORTEST: usize = 6;
    /// So many characters of a secret, one after the other, are masked too: quoted text is cut, and
    /// the cut may go through a secret.
    const PIECE: usize = 10;
    const MASK: &str = "******";

    pub fn new(secrets: Vec<Secret>) -> Self {
        let masker = Self::default();
        masker.learn(secrets);
        masker
    }

    /// Hides these from now on, whatever they are rotated to.
    pub fn learn(&self, secrets: impl IntoIterator<Item = Secret>) {
        let mut known = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(secrets);
    }

    /// The text of a comment, as it may be posted.
    pub fn comment(&self, comment: &Markdown) -> String {
        self.mask(&comment.0)
    }

    /// The description of a status, as it may be written.
    pub fn status(&self, news: &StatusNews) -> String {
        // Masked before it is cut, and again for what lies across the cut.
        self.mask(&description(
            &self.mask(&visible_line(&super::status_words(news))),
        ))
    }

    /// The text with every secret, and every long piece of one, replaced.
    pub fn mask(&self, text: &str) -> String {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let values = secrets.iter().flat_map(Secret::known);
        values.fold(text.to_owned(), |text, value| {
            forms(value.expose_secret())
                .iter()
                .filter(|form| form.len() >= Self::SHORTEST)
                .fold(text, |text, form| masked(&text, form))
        })
    }
}

/// A secret as it is, and as it stands in an `Authorization: Basic` header of git's, in JSON and in
/// debug output.
fn forms(secret: &str) -> Vec<String> {
    if secret.is_empty() {
        return Vec::new();
    }
    let mut forms = vec![
        secret.to_owned(),
        STANDARD.encode(format!("x-access-token:{secret}")),
    ];
    let quoted = serde_json::Value::from(secret).to_string();
    let quoted = quoted[1..quoted.len() - 1].to_owned();
    if quoted != secret {
        forms.push(quoted);
    }
    forms
}

fn masked(text: &str, secret: &str) -> String {
    let pieces = pieces(secret);
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = pieces.iter().filter_map(|piece| rest.find(piece)).min() {
        kept.push_str(&rest[..at]);
        kept.push_str(Masker::MASK);
        rest = &rest[at + longest_piece(&rest[at..], secret)..];
    }
    kept.push_str(rest);
    kept
}

/// Everything of [`Masker::PIECE`] characters in a row; of a shorter secret, the secret.
fn pieces(secret: &str) -> Vec<&str> {
    let piece = |at: usize| {
        let rest = &secret[at..];
        let end = rest.char_indices().nth(Masker::PIECE - 1)?;
        Some(&rest[..end.0 + end.1.len_utf8()])
    };
    let pieces: Vec<&str> = secret
        .char_indices()
        .filter_map(|(at, _)| piece(at))
        .collect();
    if pieces.is_empty() {
        vec![secret]
    } else {
        pieces
    }
}

/// How many bytes at the beginning of `text` stand somewhere in `secret` in one piece.
fn longest_piece(text: &str, secret: &str) -> usize {
    let common = |from: usize| {
        let pairs = text.chars().zip(secret[from..].chars());
        pairs
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len_utf8())
            .sum()
    };
    secret
        .char_indices()
        .map(|(at, _)| common(at))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masker() -> Masker {
        Masker::new(vec![
            "ghp_0123456789abcdef".to_owned().into(),
            "a".to_owned().into(),
        ])
    }

    #[test]
    fn quoted_text_cannot_leave_its_span_or_fence() {
        assert_eq!(code("a`b\n@team|x"), "`a'b @team¦x`");
        assert_eq!(code(""), "` `");
        assert_eq!(
            fence("```\n@all\n````x"),
            "`````text\n```\n@all\n````x\n`````"
        );
        assert_eq!(fence("\u{1b}[31mred"), "```text\nred\n```");
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let masker = masker();
        assert_eq!(
            masker.mask("a push with ghp_0123456789abcdef failed"),
            "a push with ****** failed"
        );
        let header = "Basic eC1hY2Nlc3MtdG9rZW46Z2hwXzAxMjM0NTY3ODlhYmNkZWY=";
        assert_eq!(masker.mask(header), "Basic ******");
        masker.learn(["with \"quotes\"".into()]);
        assert_eq!(
            masker.mask(r#"{"x":"with \"quotes\""}"#),
            r#"{"x":"******"}"#
        );
    }

    #[test]
    fn a_secret_that_is_split_by_what_nobody_sees_is_masked() {
        for split in ["\u{1b}[1m", "\u{200b}", "\u{8}", "\u{1b}]8;;x\u{7}"] {
            let split = format!("ghp_012{split}3456789{split}abcdef");
            let text = format!("{}\n{}", code(&split), fence(&split));
            let masked = masker().comment(&Markdown::new(text));
            assert_eq!(masked, "`******`\n```text\n******\n```");
        }
    }

    #[test]
    fn a_secret_that_was_cut_is_masked() {
        let span = code(&format!("{}ghp_0123456789abcdef", "x".repeat(187)));
        assert!(span.ends_with("ghp_012345678…`"), "{span}");
        assert!(masker().mask(&span).ends_with("x******…`"));
        assert_eq!(masker().mask("6789abcdef\n456789abcdef"), "******\n******");
        assert_eq!(masker().mask("6789abcde ghp_01234"), "6789abcde ghp_01234");
    }
}
