//! What is kept of a command's output: the last bytes, as text that a person, a prompt or a comment
//! can take.
//!
//! Not for: fencing, masking or cutting to a forge's size; that is the report's business.

use std::collections::VecDeque;

use crate::domain::text::visible;

/// A line longer than this is passed on in pieces, so that output without line ends cannot fill the
/// memory.
const MAX_LINE: usize = 8 * 1024;

/// Collects output: a capped tail of all of it, and its lines as they are completed.
pub struct Collector {
    cap: usize,
    tail: VecDeque<u8>,
    cut: bool,
    line: Vec<u8>,
}

impl Collector {
    pub fn new(cap: usize) -> Self {
        Self {
            cap,
            tail: VecDeque::new(),
            cut: false,
            line: Vec::new(),
        }
    }

    /// Takes the next bytes and returns the lines that they complete.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.tail.extend(bytes);
        let surplus = self.tail.len().saturating_sub(self.cap);
        self.cut |= surplus > 0;
        self.tail.drain(..surplus);
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
            }
            if *byte == b'\n' || self.line.len() >= MAX_LINE {
                lines.push(readable(&std::mem::take(&mut self.line)));
            }
        }
        lines
    }

    /// The last line, when it was not ended.
    pub fn rest(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| readable(&std::mem::take(&mut self.line)))
    }

    /// The kept tail as text. Where the beginning was cut off it starts with a whole line, if there
    /// is one.
    pub fn into_tail(self) -> String {
        let bytes: Vec<u8> = self.tail.into();
        let start = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end_of_line) if self.cut && end_of_line + 1 < bytes.len() => end_of_line + 1,
            _ => 0,
        };
        readable(&bytes[start..]).trim_end().to_owned()
    }
}

/// What a person sees of it; tabs become spaces, a carriage return ends a line (progress bars would
/// otherwise run together).
fn readable(bytes: &[u8]) -> String {
    visible(&String::from_utf8_lossy(bytes)).replace('\t', "    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_bytes_are_kept_and_they_begin_with_a_whole_line() {
        let mut collector = Collector::new(12);
        collector.take(b"first line\nsecond\nthird\n");
        assert_eq!(collector.into_tail(), "third");
    }

    #[test]
    fn a_cut_line_without_an_end_is_kept_rather_than_nothing() {
        let mut collector = Collector::new(4);
        collector.take(b"abcdefgh\n");
        assert_eq!(collector.into_tail(), "fgh");
    }

    #[test]
    fn escape_sequences_go_and_layout_stays() {
        let mut collector = Collector::new(1000);
        collector.take("\x1b[31mred\x1b[0m\tcell\r\n10%\r20%\r\nµ\u{7}".as_bytes());
        assert_eq!(collector.into_tail(), "red    cell\n10%\n20%\nµ");
    }

    #[test]
    fn lines_come_when_they_are_complete_also_over_several_reads() {
        let mut collector = Collector::new(1000);
        assert_eq!(collector.take(b"a\nb"), ["a"]);
        assert_eq!(collector.take(b"c\nd"), ["bc"]);
        assert_eq!(collector.rest().as_deref(), Some("d"));
        assert_eq!(collector.rest(), None);
    }

    #[test]
    fn output_without_line_ends_comes_in_pieces() {
        let mut collector = Collector::new(10);
        assert_eq!(collector.take(&vec![b'x'; 3 * MAX_LINE]).len(), 3);
    }
}
