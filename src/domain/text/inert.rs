//! Words of others where no quotation is possible: subjects of commits, trailers, descriptions of
//! statuses. A forge reads those for references, and acts on some when a commit lands.

use super::visible::visible_line;

/// Makes one line of at most `max_chars` characters in which nothing is more than a word to a
/// forge: no mention, no reference to an issue (so no closing word has anything to close), no
/// link, no order to a CI.
///
/// Each of these is broken by one blank that everybody sees, `fixes # 2`: what the author meant
/// stays readable, and nothing invisible gets into a commit for ever.
pub fn inert_line(text: &str, max_chars: usize) -> String {
    let line = visible_line(text);
    let mut inert = String::with_capacity(line.len());
    for (at, c) in line.char_indices() {
        inert.push(c);
        let (before, after) = (&line[..at], &line[at + c.len_utf8()..]);
        if is_broken_behind(c, before, after) {
            inert.push(' ');
        }
    }
    cut(&inert, max_chars)
}

/// Whether a blank behind `c` takes the meaning from what would begin there.
fn is_broken_behind(c: char, before: &str, after: &str) -> bool {
    let next = after.chars().next().unwrap_or(' ');
    let last = before.chars().next_back().unwrap_or(' ');
    let follows = |words: &[&str]| words.iter().any(|word| starts_with(after, word));
    match c {
        // An address (ada@example.org) mentions nobody.
        '@' => next.is_ascii_alphanumeric() && !is_word(last),
        '#' => next.is_ascii_digit(),
        // GH-42
        '-' => next.is_ascii_digit() && last_word(before).eq_ignore_ascii_case("gh"),
        ':' => after.starts_with("//"),
        '.' => next != ' ' && last_word(before).eq_ignore_ascii_case("www"),
        // [skip ci], [ci skip], [no ci], [skip actions]: a CI would leave out the landed commit.
        '[' => follows(&["skip", "ci", "no ci", "no-ci", "actions"]),
        // fixup! and its kin: `git rebase --autosquash` would fold the commit into another one.
        _ => {
            next == '!'
                && ["fixu", "squas", "amen"].contains(&before)
                && matches!(c, 'p' | 'h' | 'd')
        }
    }
}

fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len())
        .is_some_and(|beginning| beginning.eq_ignore_ascii_case(word))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The letters, digits and underscores that a text ends with.
fn last_word(text: &str) -> &str {
    let before = text.trim_end_matches(is_word);
    &text[before.len()..]
}

fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max_chars.saturating_sub(1)).collect();
    // No point before the dots: `www.…` looks like a link to some.
    format!("{}…", kept.trim_end().trim_end_matches('.'))
}

/// Whether a text ends with a word by which forges close the issue that is named next, such as
/// `fixes`, with or without a colon.
pub fn ends_with_closing_word(text: &str) -> bool {
    let word = last_word(text.trim_end().trim_end_matches(':')).to_ascii_lowercase();
    let endings = [
        ("close", &["", "s", "d"][..]),
        ("fix", &["", "es", "ed"]),
        ("resolve", &["", "s", "d"]),
    ];
    endings.iter().any(|(stem, endings)| {
        word.strip_prefix(stem)
            .is_some_and(|ending| endings.contains(&ending))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_that_a_forge_acts_on_is_left_and_all_of_it_can_be_read() {
        for (text, inert) in [
            ("fixes #2", "fixes # 2"),
            ("Closes: octo/app#3, GH-4", "Closes: octo/app# 3, GH- 4"),
            (
                "resolves https://github.com/octo/app/issues/5 or www.x.org",
                "resolves https: //github.com/octo/app/issues/5 or www. x.org",
            ),
            (
                "@ada (@octo/team) ada@x.org",
                "@ ada (@ octo/team) ada@x.org",
            ),
            (
                "Say more [skip ci] [CI skip]",
                "Say more [ skip ci] [ CI skip]",
            ),
            ("fixup! Hello", "fixup ! Hello"),
            ("@\u{200b}ada #\u{2060}2", "@ ada # 2"),
            ("a\n\nSigned-off-by: x", "a Signed-off-by: x"),
            ("# 2 and C# and @ada@x", "# 2 and C# and @ ada@x"),
            ("2026-03-02: gh-pages!", "2026-03-02: gh-pages!"),
            ("stop! an fixup! amend", "stop! an fixup! amend"),
        ] {
            assert_eq!(inert_line(text, 100), inert);
        }
        assert_eq!(inert_line("ééé", 2), "é…");
        assert_eq!(inert_line("xx www.x.org", 8), "xx www…");
    }

    #[test]
    fn closing_words_are_known_in_all_their_forms() {
        for word in ["fix", "It FIXES:", "x, closed", "resolve ", "(resolved"] {
            assert!(ends_with_closing_word(word), "{word}");
        }
        for word in ["", "prefix", "fixing", "close the door", "é"] {
            assert!(!ends_with_closing_word(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn what_is_inert_stays_so(text in any::<String>()) {
            let inert = inert_line(&text, 60);
            prop_assert!(inert.chars().count() <= 60);
            prop_assert_eq!(inert_line(&inert, 60), inert);
        }
    }
}
