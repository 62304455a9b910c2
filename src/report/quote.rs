//! Quoting what others wrote: code spans and fences that it cannot leave, secrets masked.
//!
//! Inside code GitHub makes no mentions, references or closing words of anything (GitHub Flavored
//! Markdown specification, "Code spans" and "Fenced code blocks").

use secrecy::{ExposeSecret, SecretString};

/// The longest text that one span shows.
const SPAN_CHARS: usize = 200;

/// A code span on one line. Backticks and line ends of the text are replaced.
pub(super) fn code(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c == '`' { '\'' } else { c })
        .filter(|c| !c.is_control())
        .collect();
    let text = text.trim();
    let cut: String = text.chars().take(SPAN_CHARS).collect();
    let ellipsis = if cut.len() < text.len() { "…" } else { "" };
    // A bar would end the cell of a table.
    format!(
        "`{}{ellipsis}`",
        if cut.is_empty() {
            " ".to_owned()
        } else {
            cut.replace('|', "¦")
        }
    )
}

/// A fenced block that `text` cannot close: the fence is longer than any run of backticks in it.
pub(super) fn fence(text: &str) -> String {
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    format!("{fence}text\n{text}\n{fence}")
}

/// Replaces secrets by asterisks in what leaves the server.
#[derive(Clone, Default)]
pub struct Masker {
    secrets: Vec<SecretString>,
}

impl Masker {
    /// Shorter values would mask words that are no secrets.
    const SHORTEST: usize = 6;

    pub fn new(secrets: Vec<SecretString>) -> Self {
        Self { secrets }
    }

    pub fn mask(&self, text: &str) -> String {
        let secrets = self.secrets.iter().map(ExposeSecret::expose_secret);
        secrets
            .filter(|secret| secret.len() >= Self::SHORTEST)
            .fold(text.to_owned(), |text, secret| {
                text.replace(secret, "******")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_cannot_leave_its_span_or_fence() {
        assert_eq!(code("a`b\n@team|x"), "`a'b@team¦x`");
        assert_eq!(code(""), "` `");
        assert_eq!(
            fence("```\n@all\n````x"),
            "`````text\n```\n@all\n````x\n`````"
        );
        assert_eq!(fence("\u{1b}[31mred"), "```text\n[31mred\n```");
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let masker = Masker::new(vec![
            "ghp_0123456789".to_owned().into(),
            "a".to_owned().into(),
        ]);
        assert_eq!(
            masker.mask("a push with ghp_0123456789 failed"),
            "a push with ****** failed"
        );
    }
}
