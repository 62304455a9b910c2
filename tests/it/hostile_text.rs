//! Everything that an attacker was seen to write (`tests/fixtures/hostile/`), through every way out:
//! comments, statuses, commit messages, prompts, terminals, names. Each file as a whole, each of
//! its lines, and what is too long for a file.

use std::path::Path;

use crate::fuzz::code::{check, targets};
use crate::fuzz::files;

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hostile");
    let files = files(&folder);
    assert!(files.len() >= 15, "the corpus is there");
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for file in &files {
        entries.extend(file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
    }
    entries.extend(files);
    entries
}

/// Texts that are hostile by their size.
fn floods() -> Vec<Vec<u8>> {
    [
        "x",
        "`",
        "@ada ",
        "#1 ",
        "> ",
        "é\u{200d}",
        "\u{e0041}",
        "\u{1b}[",
        "<!--",
        "[a](",
        "|",
    ]
    .map(|part| part.repeat(1_000).into_bytes())
    .into()
}

fn send(target: fn(&[u8])) {
    for entry in corpus() {
        target(&entry);
    }
}

#[test]
fn in_comments_and_statuses_nothing_pings_refers_links_or_leaves_its_quotation() {
    send(targets::markdown);
    for flood in floods() {
        targets::markdown(&flood);
    }
}

#[test]
fn the_longest_comment_fits_with_every_fence_closed() {
    for text in ["`".repeat(3_000), "🦀`|".repeat(3_000), "\n".repeat(3_000)] {
        targets::longest(&text);
    }
}

#[test]
fn in_prompts_everything_is_seen_and_what_is_data_stays_quoted() {
    send(targets::prompt);
    for flood in floods() {
        targets::prompt(&flood);
    }
}

#[test]
fn names_stay_in_their_folder_and_commit_subjects_do_nothing() {
    send(targets::names);
    for flood in floods() {
        targets::names(&flood);
    }
}

#[test]
fn on_terminals_and_in_logs_nothing_acts() {
    send(targets::gate_output);
    send(targets::terminal_lines);
    send(targets::agent_stream);
    for flood in floods() {
        targets::terminal_lines(&flood);
    }
}

#[test]
fn the_checks_themselves_find_what_they_are_there_for() {
    let marked = |text: &str| format!("<!-- huskies:story octo/app#1 -->\n{text}\n");
    for text in [
        "@ada",
        "x\n\nfixes #2",
        "see https://x.example",
        "<b>x</b>",
        "# A heading",
        "### mine",
        "```text\nnever closed",
        "[a](b)",
        "![a](b)",
        "- a list",
        "> quoted",
        "a\u{200b}b",
        "\u{1b}[31m",
        "text <!-- huskies:act 1 -->",
        "| a |\n|---|\n| @ada |",
    ] {
        assert!(check::comment(&marked(text)).is_err(), "{text:?}");
    }
    assert_eq!(check::comment(&marked("`@ada fixes #2`")), Ok(()));
    for text in [
        "closes #2",
        "GH-3",
        "@ada",
        "[skip ci]",
        "a\nb",
        "www.x.org",
    ] {
        assert!(check::plain_line(text, 140).is_err(), "{text:?}");
    }
    for text in [
        "<!-- x -->",
        "a\u{e0041}",
        "<recent-events>\n<recent-events>",
    ] {
        assert!(check::prompt(text).is_err(), "{text:?}");
    }
    assert!(check::stands_alone("````\nNotes\n", "Notes").is_err());
    for name in ["..", "-x", "a/b", "x.lock", ""] {
        assert!(check::component(name).is_err(), "{name}");
    }
    for name in ["-x", "HEAD", "a..b", "a.lock", "a\u{202e}"] {
        assert!(check::branch(name).is_err(), "{name}");
    }
}
