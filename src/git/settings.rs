//! Settings that others wrote, read as plain data, and the ones of a worktree.
//!
//! `git config` parses a copy of the bytes and follows no `include`, so that neither a pipe nor
//! another file takes part.

use std::io::Write;
use std::path::Path;

use super::Result;
use super::command::Git;
use super::error::{While, on};

/// Keys in lower case, as git prints them, and values, in order.
pub(super) type Entries = Vec<(String, String)>;

/// The entries of a settings file; `None` when git cannot read it.
pub(super) async fn read(git: &Git, tmp: &Path, text: &[u8]) -> Result<Option<Entries>> {
    let doing = || on("write in", tmp);
    let mut copy = tempfile::NamedTempFile::new_in(tmp).while_doing(doing)?;
    copy.write_all(text).while_doing(doing)?;
    let call = git.nowhere("config").arg("--file").arg(copy.path());
    let output = call
        .args(["--no-includes", "--null", "--list"])
        .run()
        .await?;
    if output.status != Some(0) {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let entries = text.split_terminator('\0').map(|entry| {
        // A key without a value means "true" (git-config(1)).
        let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
        (key.to_owned(), value.to_owned())
    });
    Ok(Some(entries.collect()))
}

/// The value that counts: the last one.
pub(super) fn last<'a>(entries: &'a Entries, key: &str) -> Option<&'a str> {
    let found = entries.iter().rev().find(|(name, _)| name == key);
    found.map(|(_, value)| value.as_str())
}

/// A value as git's settings files write it (git-config(1), "Syntax").
pub(super) fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            // Git ends a value there.
            '\0' => {}
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

/// `config.worktree` of a linked worktree: not bare, whatever the shared file says, and its hooks.
pub(super) fn of_worktree(hooks: Option<&Path>) -> Vec<u8> {
    let hooks = hooks.map_or_else(String::new, |hooks| {
        format!("\thooksPath = {}\n", quoted(&hooks.to_string_lossy()))
    });
    format!("[core]\n\tbare = false\n{hooks}").into_bytes()
}

/// What is wrong with a worktree's settings, if anything that huskies depends on is.
pub(super) fn trouble(entries: Option<&Entries>, hooks: Option<&Path>) -> Option<String> {
    let Some(entries) = entries else {
        return Some("the worktree's settings could not be read".to_owned());
    };
    let wanted = hooks.map(Path::to_string_lossy);
    let found = last(entries, "core.hookspath");
    if let Some(wanted) = &wanted
        && found != Some(wanted)
    {
        return Some(match found {
            Some(_) => "`core.hooksPath` had been pointed away from the pre-commit hook".to_owned(),
            None => "`core.hooksPath` no longer named the pre-commit hook".to_owned(),
        });
    }
    let redirected = last(entries, "core.worktree").is_some();
    (redirected || last(entries, "core.bare") != Some("false"))
        .then(|| "the worktree's settings had been made unusable".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_quotes_and_line_breaks_stay_one_value() {
        assert_eq!(quoted("a \"b\" \\ c\nd"), r#""a \"b\" \\ c\nd""#);
    }

    #[test]
    fn only_what_huskies_depends_on_is_trouble() {
        let hooks = Some(Path::new("/h"));
        let entries = |list: &[(&str, &str)]| -> Entries {
            let owned = list
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.to_owned()));
            owned.collect()
        };
        let fine = entries(&[
            ("core.bare", "false"),
            ("core.hookspath", "/h"),
            ("core.sparsecheckout", "true"),
        ]);
        assert_eq!(trouble(Some(&fine), hooks), None);
        assert_eq!(trouble(Some(&fine), None), None);
        let mut moved = fine;
        moved.push(("core.hookspath".to_owned(), "/dev/null".to_owned()));
        assert!(
            trouble(Some(&moved), hooks)
                .unwrap()
                .contains("pointed away")
        );
        let without = entries(&[("core.bare", "false")]);
        assert!(
            trouble(Some(&without), hooks)
                .unwrap()
                .contains("no longer")
        );
        assert!(trouble(Some(&entries(&[("core.bare", "true")])), None).is_some());
        assert!(trouble(None, None).is_some());
    }
}
