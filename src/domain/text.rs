//! Pure work on quoted text: cutting it to size without breaking it, recognising it again, and
//! taking from text of others what a person does not see or a forge would act on.

mod inert;
mod visible;

pub use inert::{ends_with_closing_word, inert_line};
pub use visible::{is_hidden, visible, visible_line, without_escapes};

use sha2::{Digest, Sha256};

/// The last `max_bytes` bytes of `text`, fewer where the cut would fall inside a character.
pub fn tail_at_char_boundary(text: &str, max_bytes: usize) -> &str {
    let start = text.len().saturating_sub(max_bytes);
    let start = (start..=text.len())
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(text.len());
    &text[start..]
}

/// The first `max_bytes` bytes of `text`, fewer where the cut would fall inside a character.
pub fn head_at_char_boundary(text: &str, max_bytes: usize) -> &str {
    let end = max_bytes.min(text.len());
    let end = (0..=end)
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    &text[..end]
}

/// A short digest to recognise a text by; not for security.
pub fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}

/// Leaves out the numbers that change from run to run though nothing else does: process ids and
/// addresses (three digits or more), times, and places in a file (next to `.` or `:`). How many
/// tests failed is not such a number.
pub fn without_passing_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let taken = digits.max(next.len_utf8());
        let after = rest[taken..].chars().next().unwrap_or(' ');
        let touches = |c: char| matches!(c, '.' | ':');
        if digits == 0 || (digits < 3 && !touches(before) && !touches(after)) {
            kept.push_str(&rest[..taken]);
        }
        before = next;
        rest = &rest[taken..];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_pass_are_left_out_and_counts_are_kept() {
        let same = without_passing_numbers;
        assert_eq!(same("2 failed in 0.31s"), same("2 failed in 12.07s"));
        assert_eq!(same("a.rs:12:5: é"), same("a.rs:7:41: é"));
        assert_eq!(same("pid 26508"), same("pid 311"));
        assert_ne!(same("2 failed"), same("12 failed"));
        assert_ne!(same("test_1"), same("test_2"));
    }
    use proptest::prelude::*;

    #[test]
    fn a_character_that_would_be_cut_is_left_out() {
        assert_eq!(tail_at_char_boundary("aé", 1), "");
        assert_eq!(tail_at_char_boundary("aé", 2), "é");
        assert_eq!(head_at_char_boundary("éa", 1), "");
        assert_eq!(head_at_char_boundary("éa", 9), "éa");
    }

    proptest! {
        #[test]
        fn a_cut_text_is_an_end_of_the_text_and_as_long_as_it_may_be(text in any::<String>(), max in 0_usize..40) {
            let tail = tail_at_char_boundary(&text, max);
            prop_assert!(text.ends_with(tail) && tail.len() <= max);
            prop_assert!(tail.len() + 3 >= max.min(text.len()));
            let head = head_at_char_boundary(&text, max);
            prop_assert!(text.starts_with(head) && head.len() <= max);
            prop_assert!(head.len() + 3 >= max.min(text.len()));
        }
    }
}
