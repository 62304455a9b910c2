//! The one way to a terminal: nothing that others wrote moves the cursor, changes colours, sets a
//! title or a clipboard, or hides a part of a line.
//!
//! [`tame`] is for text, wherever it comes from. What is printed in the end passes [`walled`] as well,
//! which lets through the colours that the command line itself uses, and no other sequence: a place
//! that forgot to tame what it prints can at worst be coloured.

use std::fmt::Write as _;

use crate::domain::text::{is_hidden, visible};

/// Text of others, for people to read.
pub(super) fn tame(text: &str) -> String {
    visible(text)
}

/// A JSON document in which a terminal finds nothing to act on. Outside of strings JSON is ASCII
/// without controls, so what is replaced stands in a string, where `\u` means the same (RFC 8259, 7).
pub(super) fn tame_json(json: &str) -> String {
    if !json.contains(is_hidden) {
        return json.to_owned();
    }
    let mut tame = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(tame, "\\u{unit:04x}");
            }
        } else {
            tame.push(c);
        }
    }
    tame
}

/// What a line may hold when it is printed.
pub(super) fn walled(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once('\u{1b}') {
        kept.push_str(&visible(before));
        let own = own_style(behind);
        if let Some(style) = own {
            kept.push('\u{1b}');
            kept.push_str(style);
            rest = &behind[style.len()..];
            continue;
        }
        // Not ours: taken out together with its sequence.
        let end = behind.find('\u{1b}').unwrap_or(behind.len());
        let end = if behind[end..].starts_with("\u{1b}\\") {
            end + 2
        } else {
            end
        };
        kept.push_str(&visible(&format!("\u{1b}{}", &behind[..end])));
        rest = &behind[end..];
    }
    kept.push_str(&visible(rest));
    kept
}

/// `[1m`, `[2m`, `[31m` …: bold, dim, a colour of the text, back to none. Never concealed (8) nor
/// black on black.
fn own_style(text: &str) -> Option<&str> {
    let end = text.find('m')?;
    let parameters = text[..end].strip_prefix('[')?;
    let known = |parameter: &str| {
        matches!(
            parameter,
            "0" | "1" | "2" | "3" | "4" | "31" | "32" | "33" | "34" | "35" | "36"
        )
    };
    parameters.split(';').all(known).then(|| &text[..=end])
}

/// A record of the log, made one line that is safe to look at: a line end inside a record cannot
/// begin a forged one.
pub(super) fn log_line(record: &str) -> String {
    let line = walled(record.trim_end_matches('\n')).replace('\n', "\\n");
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_colours_pass_the_wall_and_nothing_else_does() {
        for (line, kept) in [
            (
                "\u{1b}[1m\u{1b}[32mpassed\u{1b}[0m fmt",
                "\u{1b}[1m\u{1b}[32mpassed\u{1b}[0m fmt",
            ),
            ("\u{1b}[8mhidden\u{1b}[0m", "hidden\u{1b}[0m"),
            ("\u{1b}[2J\u{1b}]0;x\u{7}a\u{1b}]52;c;x\u{1b}\\b", "ab"),
            ("a\u{1b}]8;;x\nb\u{9b}31mc\rd", "a8;;x\nbc\nd"),
            ("\u{1b}[31", "31"),
            ("\u{1b}[é", "é"),
        ] {
            assert_eq!(walled(line), kept, "{line:?}");
        }
    }

    #[test]
    fn json_says_the_same_without_a_single_control() {
        let value = serde_json::json!({ "a": "\u{1b}[31m\u{9b}\u{202e}\u{e0041}\u{7f}é\n" });
        let tame = tame_json(&value.to_string());
        assert!(!tame.contains(is_hidden), "{tame}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&tame).unwrap(),
            value
        );
    }

    #[test]
    fn a_log_record_is_one_line() {
        let record = "WARN x\n2026 ERROR forged\u{1b}[2J\n";
        assert_eq!(log_line(record), "WARN x\\n2026 ERROR forged\n");
    }
}
