//! Pure helpers for quoting text: cutting it to size and recognising it again.

use sha2::{Digest, Sha256};

/// The end of `text`, at most `bytes` long, never cut inside a character.
pub fn tail_at_char_boundary(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// A short digest to recognise a text by; not for security.
pub fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_never_cuts_a_character() {
        assert_eq!(tail_at_char_boundary("aé", 1), "");
        assert_eq!(tail_at_char_boundary("aé", 2), "é");
        assert_eq!(tail_at_char_boundary("aé", 9), "aé");
    }
}
