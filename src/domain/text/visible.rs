//! What a person sees of a text: no escape sequences, no control characters, nothing invisible.
//!
//! Every place where text of others goes out begins with this, whatever it does on top: Markdown,
//! prompts, terminals, commit messages, names.

/// Text of several lines, reduced to what is seen. Every kind of line end becomes `\n`, and so
/// does a carriage return alone: what a terminal would overwrite is shown.
pub fn visible(text: &str) -> String {
    let text = without_escapes(text);
    let mut seen = String::with_capacity(text.len());
    let mut before = '\n';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        let c = match c {
            '\r' if next == Some('\n') => continue,
            '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
            c if !is_hidden(c) => c,
            // Emoji, and scripts in which a joiner changes how its neighbours are written.
            c if belongs_to_script(before, c, next) => c,
            _ => continue,
        };
        seen.push(c);
        before = c;
    }
    seen
}

/// The same on one line, without white space around it and with single blanks in it.
pub fn visible_line(text: &str) -> String {
    visible(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether nothing is seen of a character, or only what it does to others: controls, marks that
/// turn the direction of writing, zero-width characters, tags, variation selectors, blanks that are
/// no white space (Unicode's `Default_Ignorable_Code_Point`, general categories Cc and Cf and
/// noncharacters), and the private planes. Line ends and tabs are seen.
pub fn is_hidden(c: char) -> bool {
    match c {
        ' '..='~' | '\n' | '\t' => false,
        '\u{ad}'
        | '\u{34f}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fdd0}'..='\u{fdef}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1345f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'
        | '\u{f0000}'..='\u{10ffff}' => true,
        c => c.is_control() || u32::from(c) & 0xfffe == 0xfffe,
    }
}

/// One joiner between two visible characters that are not ASCII, or one emoji selector behind one.
fn belongs_to_script(before: char, c: char, next: Option<char>) -> bool {
    let visible = |c: char| !c.is_ascii() && !is_hidden(c) && !c.is_whitespace();
    match c {
        '\u{200c}' | '\u{200d}' => {
            (visible(before) || before == '\u{fe0f}') && next.is_some_and(visible)
        }
        '\u{fe0f}' => visible(before),
        _ => false,
    }
}

/// Without the escape sequences of ECMA-48, in their seven-bit and eight-bit forms (C1 controls). A
/// string sequence (OSC, DCS, SOS, PM, APC) that is not closed on its line loses its introducer
/// alone, so that nobody can make the rest of a text disappear.
pub fn without_escapes(text: &str) -> String {
    if !text.contains(|c: char| c == '\u{1b}' || ('\u{80}'..='\u{9f}').contains(&c)) {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        rest = match c {
            '\u{1b}' => behind_escape(behind),
            '\u{9b}' => behind_control_sequence(behind),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => behind_string(behind),
            other => {
                plain.push(other);
                behind
            }
        };
    }
    plain
}

fn behind_escape(text: &str) -> &str {
    let Some(c) = text.chars().next() else {
        return text;
    };
    match c {
        '[' => behind_control_sequence(&text[1..]),
        ']' | 'P' | 'X' | '^' | '_' => behind_string(&text[1..]),
        ' '..='/' => {
            let rest = text.trim_start_matches(|c| matches!(c, ' '..='/'));
            rest.strip_prefix(|c| matches!(c, '0'..='~'))
                .unwrap_or(rest)
        }
        '0'..='~' => &text[1..],
        _ => text,
    }
}

fn behind_control_sequence(text: &str) -> &str {
    let rest = text.trim_start_matches(|c| matches!(c, '0'..='?'));
    let rest = rest.trim_start_matches(|c| matches!(c, ' '..='/'));
    match rest.strip_prefix(|c| matches!(c, '@'..='~')) {
        Some(behind) => behind,
        // No final byte: no sequence, and its parameters are text.
        None => text,
    }
}

fn behind_string(text: &str) -> &str {
    let line = text.split('\n').next().unwrap_or_default();
    let end = ["\u{7}", "\u{1b}\\", "\u{9c}"]
        .iter()
        .filter_map(|end| line.find(end).map(|at| at + end.len()))
        .min();
    end.map_or(text, |end| &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_go_in_all_their_forms() {
        for (text, plain) in [
            ("\u{1b}[31mred\u{1b}[0m\tcell", "red\tcell"),
            ("\u{9b}31mred", "red"),
            ("\u{1b}]8;;https://x\u{7}link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}]52;c;cm0gLXJm\u{9c}x", "x"),
            ("\u{1b}P1;2|x\u{1b}\\y\u{90}z\u{9c}", "y"),
            ("\u{1b}(Bx\u{1b}cy\u{1b}", "xy"),
            ("\u{1b}[2J\u{1b}[Hx", "x"),
            ("a\u{8}\u{8}b\u{7}\0\u{7f}", "ab"),
        ] {
            assert_eq!(visible(text), plain, "{text:?}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_escapes_is_empty_without_them() {
        assert_eq!(without_escapes("\u{1b}\u{1b}"), "");
        assert_eq!(without_escapes("é"), "é");
    }

    #[test]
    fn a_sequence_that_is_not_closed_hides_nothing() {
        assert_eq!(
            visible("\u{1b}]0;title\nsecond line"),
            "0;title\nsecond line"
        );
        assert_eq!(visible("\u{1b}["), "");
        assert_eq!(visible("\u{1b}[12\nx"), "12\nx");
        assert_eq!(visible("\u{1b}Pé"), "é");
    }

    #[test]
    fn what_a_terminal_would_overwrite_is_shown() {
        assert_eq!(visible("failed\rpassed\r\nend"), "failed\npassed\nend");
    }

    #[test]
    fn invisible_characters_go_and_scripts_stay() {
        assert_eq!(
            visible("pass\u{200b}\u{202e}word\u{e0041}\u{feff}\u{ad}"),
            "password"
        );
        assert_eq!(visible("non\u{fffe}\u{1ffff}character"), "noncharacter");
        assert_eq!(visible("❤\u{fe0f}\u{200d}🔥"), "❤\u{fe0f}\u{200d}🔥");
        assert_eq!(
            visible("👩\u{200d}💻 ❤\u{fe0f} می\u{200c}خواهم"),
            "👩\u{200d}💻 ❤\u{fe0f} می\u{200c}خواهم"
        );
        assert_eq!(
            visible("a\u{200d}b\u{fe0f}\u{fe0e} é\u{200d}\u{200c}é"),
            "ab é\u{200c}é"
        );
        assert_eq!(visible_line(" a\u{2028}b\u{a0}\n\tc "), "a b c");
    }

    proptest! {
        #[test]
        fn what_is_seen_is_seen_as_it_is(text in any::<String>()) {
            let seen = visible(&text);
            prop_assert!(!seen.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
            prop_assert_eq!(visible(&seen), seen);
        }
    }
}
