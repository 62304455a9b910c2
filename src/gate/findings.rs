//! What the tools that gates run say about lines of files, read out of their output.
//!
//! One form that most of them share: `path:line[:column]: message`, as gcc, clang, ruff and
//! eslint's `unix` format write it, and rustc's `--> path:line:column` below its message. A reader
//! for one tool alone gets a file of its own beside this one.
//!
//! Pure. Whether a path is that of a file is for the caller to find out: a clock or an address looks
//! like one too.

use std::collections::BTreeSet;

use crate::domain::text::visible_line;
use crate::domain::work::{Finding, Severity};

/// The longest message that is kept, in characters, and the longest path, in bytes.
const LONGEST_MESSAGE: usize = 1_000;
const LONGEST_PATH: usize = 400;

/// Every finding in an output, in its order, each once.
pub fn of(output: &str) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    let mut before = "";
    for line in output.lines() {
        let found = match line.trim_start().strip_prefix("--> ") {
            Some(place) => below_message(place, before),
            None => in_one_line(line),
        };
        if let Some(found) = found
            && seen.insert((
                found.path.clone(),
                found.line,
                found.column,
                found.message.clone(),
            ))
        {
            findings.push(found);
        }
        if !line.trim().is_empty() {
            before = line;
        }
    }
    findings
}

/// `path:line: message` or `path:line:column: message`.
fn in_one_line(line: &str) -> Option<Finding> {
    let place = place(line)?;
    let message = place.rest.strip_prefix(':')?;
    // A line of source after its place, as grep prints it, has no blank before it.
    message.starts_with([' ', '\t']).then_some(())?;
    finding(&place, message)
}

/// rustc's place stands below the message that it is about.
fn below_message(place: &str, message: &str) -> Option<Finding> {
    let is_message = ["error", "warning", "note", "help"]
        .iter()
        .any(|word| message.starts_with(word));
    let place = self::place(place).filter(|place| is_message && place.rest.trim().is_empty())?;
    finding(&place, message)
}

fn finding(place: &Place<'_>, message: &str) -> Option<Finding> {
    let message = visible_line(message.trim());
    if message.is_empty() {
        return None;
    }
    Some(Finding {
        path: in_the_tree(place.path)?,
        line: place.line,
        column: place.column,
        severity: severity(&message),
        message: message.chars().take(LONGEST_MESSAGE).collect(),
    })
}

struct Place<'a> {
    path: &'a str,
    line: u32,
    column: Option<u32>,
    rest: &'a str,
}

/// What a text begins with, up to the number of its line or column.
fn place(text: &str) -> Option<Place<'_>> {
    let mut from = 0;
    while let Some(colon) = text[from..].find(':') {
        let end = from + colon;
        if let Some((line, rest)) = number(&text[end + 1..]) {
            let column = rest.strip_prefix(':').and_then(number);
            let (column, rest) = column.map_or((None, rest), |(column, rest)| (Some(column), rest));
            let path = text[..end].trim_start();
            let is_path = !path.is_empty() && path.len() <= LONGEST_PATH;
            return (is_path && line > 0).then_some(Place {
                path,
                line,
                column: column.filter(|column| *column > 0),
                rest,
            });
        }
        from = end + 1;
    }
    None
}

/// A number that begins a text, and what is behind it.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// A path as the tree has it. Absolute ones are of the checkout that the gates ran in.
fn in_the_tree(path: &str) -> Option<String> {
    let path = if path.starts_with('/') {
        let (_, below) = path.split_once("/checkouts/gates-")?;
        below.split_once('/')?.1
    } else {
        path.strip_prefix("./").unwrap_or(path)
    };
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    (path.split('/').all(is_plain) && !path.contains(char::is_control)).then(|| path.to_owned())
}

fn severity(message: &str) -> Severity {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.starts_with(word));
    if says(&["warning", "warn"]) || message.contains("[warning") {
        Severity::Warning
    } else if says(&["note", "help", "info"]) {
        Severity::Note
    } else {
        Severity::Error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> String {
        let line = |finding: Finding| {
            let Finding {
                path,
                line,
                column,
                severity,
                message,
            } = finding;
            let column = column.map_or_else(String::new, |column| format!(":{column}"));
            format!("{path}:{line}{column} {severity:?} {message}")
        };
        of(output)
            .into_iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn what_compilers_and_linters_write_is_read() {
        let output = "\
src/main.c:12:5: error: expected ';' before 'return'
./src/main.c:13: warning: unused variable 'x'
In file included from src/main.c:1:
include/a.h:3:1: note: declared here
app/models.py:40:80: E501 Line too long (99 > 79)
/srv/data/repos/octo/app/checkouts/gates-0/web/a.js:1:10: 'x' is defined but never used. [Error/no-unused-vars]
/srv/data/repos/octo/app/checkouts/gates-12/web/b.js:2:1: Missing semicolon. [Warning/semi]
src/main.c:12:5: error: expected ';' before 'return'";
        insta::assert_snapshot!(read(output), @"
        src/main.c:12:5 Error error: expected ';' before 'return'
        src/main.c:13 Warning warning: unused variable 'x'
        include/a.h:3:1 Note note: declared here
        app/models.py:40:80 Error E501 Line too long (99 > 79)
        web/a.js:1:10 Error 'x' is defined but never used. [Error/no-unused-vars]
        web/b.js:2:1 Warning Missing semicolon. [Warning/semi]
        ");
    }

    #[test]
    fn rustc_names_the_place_below_its_message() {
        let output = "\
error[E0308]: mismatched types
 --> src/lib.rs:7:5
  |
7 |     \"seven\"
  |     ^^^^^^^ expected `u32`, found `&str`

warning: unused import: `std::fmt`
  --> src/fmt.rs:1:5

--> src/alone.rs:1:1";
        insta::assert_snapshot!(read(output), @"
        src/lib.rs:7:5 Error error[E0308]: mismatched types
        src/fmt.rs:1:5 Warning warning: unused import: `std::fmt`
        ");
    }

    #[test]
    fn what_only_looks_like_a_place_is_none() {
        let output = "\
src/a.rs:10:    let x = 1;
/usr/include/stdio.h:27:10: fatal error: no such file
../other/a.c:1:1: error: outside
src/a.c:0:0: error: nowhere
src/a.c:99999999999: error: too far
:1:1: error: of nothing
finished in 3.2 s: ok";
        assert_eq!(
            of("src/a.rs:10:\tlet x = 1;\n").len(),
            1,
            "a tab is a blank"
        );
        insta::assert_snapshot!(read(output), @"src/a.rs:10 Error let x = 1;");
    }

    #[test]
    fn a_message_is_one_visible_line_of_some_length() {
        let long = format!("a.c:1: {}\u{1b}[31m", "é".repeat(5_000));
        let found = of(&long);
        assert_eq!(found[0].message.chars().count(), LONGEST_MESSAGE);
    }
}
