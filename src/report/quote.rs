//! Quoting what others wrote: code spans and fences that it cannot leave, secrets masked.
//!
//! Inside code GitHub makes no mentions, references or closing words of anything (GitHub Flavored
//! Markdown specification, "Code spans" and "Fenced code blocks").

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;

use crate::secret::Secret;

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

/// Replaces secrets by asterisks in what leaves the server. Clones share what they know.
#[derive(Clone, Default)]
pub struct Masker {
    secrets: Arc<RwLock<Vec<Secret>>>,
}

impl Masker {
    /// Shorter values would mask words that are no secrets.
    const SHORTEST: usize = 6;

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

    pub fn mask(&self, text: &str) -> String {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let values = secrets.iter().flat_map(Secret::known);
        values.fold(text.to_owned(), |text, value| {
            forms(value.expose_secret())
                .iter()
                .filter(|form| form.len() >= Self::SHORTEST && text.contains(*form))
                .fold(text.clone(), |text, form| text.replace(form, "******"))
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
        let header = "Basic eC1hY2Nlc3MtdG9rZW46Z2hwXzAxMjM0NTY3ODk=";
        assert_eq!(masker.mask(header), "Basic ******");
        masker.learn(["with \"quotes\"".into()]);
        assert_eq!(
            masker.mask(r#"{"x":"with \"quotes\""}"#),
            r#"{"x":"******"}"#
        );
    }
}
