//! Bytes of a terminal to lines of text, within bounded memory.

use crate::domain::text::without_escapes;

/// Splits a stream into lines, however it is cut into pieces. A line keeps its first `cap` bytes
/// and says how many were cut.
#[derive(Debug)]
pub struct LineSplitter {
    line: Vec<u8>,
    cut: usize,
    cap: usize,
}

impl LineSplitter {
    pub fn new(cap: usize) -> Self {
        Self {
            line: Vec::new(),
            cut: 0,
            cap,
        }
    }

    /// The lines that `bytes` completes.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut pieces = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let (kept, cut) = piece.split_at(piece.len().min(self.cap - self.line.len()));
            self.line.extend_from_slice(kept);
            self.cut += cut.len();
            if pieces.peek().is_some() {
                lines.push(self.take());
            }
        }
        lines
    }

    /// What stands behind the last line end.
    pub fn finish(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let mut text = clean(&self.line);
        if self.cut > 0 {
            text.push_str(" … [");
            text.push_str(&self.cut.to_string());
            text.push_str(" bytes cut]");
        }
        self.line.clear();
        // A single huge line must not keep its memory for the rest of the run.
        self.line.shrink_to(64 * 1024);
        self.cut = 0;
        text
    }
}

/// Without carriage returns (a terminal ends lines with CR LF) and escape sequences. What is
/// invisible stays: the line is data for a parser, and its strings are cleaned where they go out.
fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line).replace('\r', "");
    // The eight-bit forms may stand in a JSON string; ESC may not (RFC 8259, 7).
    if text.contains('\u{1b}') {
        without_escapes(&text)
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(splitter: &mut LineSplitter, pieces: &[&[u8]]) -> Vec<String> {
        let mut lines: Vec<String> = pieces
            .iter()
            .flat_map(|piece| splitter.feed(piece))
            .collect();
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn carriage_returns_and_escapes_are_stripped() {
        let mut splitter = LineSplitter::new(100);
        let seen = lines(
            &mut splitter,
            &[b"{\"a\":1}\r\n", b"\x1b[31mred\x1b[0m\tx\r\n\x1b[?25h"],
        );
        assert_eq!(seen, ["{\"a\":1}", "red\tx", ""]);
    }

    #[test]
    fn a_line_above_the_cap_is_cut_and_the_next_one_is_whole() {
        let mut splitter = LineSplitter::new(4);
        assert_eq!(
            lines(&mut splitter, &[b"abc", b"def", b"gh\nij\n"]),
            ["abcd … [4 bytes cut]", "ij"]
        );
        let mut splitter = LineSplitter::new(1000);
        splitter.feed(&vec![b'x'; 3 << 20]);
        assert!(splitter.line.capacity() <= 2000);
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_changes_nothing(text in "[a-zé\n]{0,60}", at in any::<prop::sample::Index>()) {
            let (left, right) = text.as_bytes().split_at(at.index(text.len() + 1));
            let cut = lines(&mut LineSplitter::new(100), &[left, right]);
            let whole: Vec<&str> = text.strip_suffix('\n').map_or_else(|| text.split('\n').collect(), |text| text.split('\n').collect());
            prop_assert_eq!(cut.join("\n"), whole.join("\n"));
        }
    }
}
