//! The recorded streams of the real CLI (2.1.330), whole and cut at every line, and the cases that
//! no recording shows.

use std::fmt::Write as _;
use std::fs;

use super::*;
use insta::assert_snapshot;
use serde_json::json;

/// How a recorded process ended: a negative `rc` is a signal.
fn recorded_exit(key: &str) -> Exit {
    let meta = fs::read(format!(
        "{}/tests/fixtures/claude-code/{key}.meta.json",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap();
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    let rc = i32::try_from(meta["rc"].as_i64().unwrap()).unwrap();
    if rc < 0 {
        Exit::Signal(-rc)
    } else {
        Exit::Status(rc)
    }
}

/// Key and lines of every recording, as a session would hand them on.
fn recordings() -> Vec<(String, Vec<String>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/claude-code");
    let mut recordings = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|kind| kind == "out" || kind == "pty")
        {
            let key = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap().replace('\r', "");
            let lines = text
                .lines()
                .map(crate::domain::text::without_escapes)
                .collect();
            recordings.push((key, lines));
        }
    }
    recordings.sort();
    recordings
}

fn parse<'a>(start: &Start, lines: impl IntoIterator<Item = &'a str>) -> ClaudeStream {
    let mut stream = ClaudeStream::new(start);
    for line in lines {
        stream.line(line);
    }
    stream
}

fn describe(end: &End) -> String {
    let short = |message: &str| {
        message
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(60)
            .collect::<String>()
    };
    match end {
        End::Crashed { message } => format!("crashed: {}", short(message)),
        End::CannotLaunch { message } => format!("cannot launch: {}", short(message)),
        End::RateLimited { until, message } => {
            format!("rate-limited until {until:?}: {}", short(message))
        }
        End::AccountTrouble { message } => format!("account trouble: {}", short(message)),
        End::ResumeRefused { message } => format!("resume refused: {}", short(message)),
        other => format!("{other:?}"),
    }
}

/// One line for every run of cuts that end alike.
fn table_of_ends() -> String {
    let mut table = String::new();
    for (key, lines) in recordings() {
        let exit = recorded_exit(&key);
        writeln!(table, "{key} ({exit})").unwrap();
        let ends: Vec<String> = (0..=lines.len())
            .map(|count| {
                describe(&parse(&Start::Cold, lines[..count].iter().map(String::as_str)).end(exit))
            })
            .collect();
        let mut from = 0;
        for run in ends.chunk_by(|left, right| left == right) {
            let to = from + run.len() - 1;
            let whole = if to == lines.len() { " (whole)" } else { "" };
            writeln!(table, "  {from}..{to} lines{whole}: {}", run[0]).unwrap();
            from = to + 1;
        }
    }
    table
}

#[test]
fn every_recording_cut_at_every_line_has_the_right_end() {
    assert_snapshot!(table_of_ends(), @"
    cl-budget (exit status 1)
      0..0 lines: cannot launch: exit status 1 before a session began
      1..4 lines: crashed: exit status 1 without a result
      5..5 lines (whole): LimitReached { limit: Budget }
    cl-default (exit status 0)
      0..0 lines: cannot launch: exit status 0 before a session began
      1..8 lines: crashed: exit status 0 without a result
      9..9 lines (whole): Finished
    cl-maxturns1 (exit status 1)
      0..0 lines: cannot launch: exit status 1 before a session began
      1..3 lines: crashed: exit status 1 without a result
      4..4 lines (whole): LimitReached { limit: Turns }
    cl-mcp-http (exit status 0)
      0..0 lines: cannot launch: exit status 0 before a session began
      1..4 lines: crashed: exit status 0 without a result
      5..5 lines (whole): Finished
    cl-ok (exit status 0)
      0..0 lines: cannot launch: exit status 0 before a session began
      1..6 lines: crashed: exit status 0 without a result
      7..7 lines (whole): Finished
    cl-pty4000 (exit status 0)
      0..0 lines: cannot launch: exit status 0 before a session began
      1..6 lines: crashed: exit status 0 without a result
      7..8 lines (whole): Finished
    cl-resume (exit status 0)
      0..0 lines: cannot launch: exit status 0 before a session began
      1..2 lines: crashed: exit status 0 without a result
      3..3 lines (whole): Finished
    cl-resume-bogus (exit status 1)
      0..0 lines: cannot launch: exit status 1 before a session began
      1..1 lines (whole): resume refused: No conversation found with session ID: 11111111-2222-4333-84
    cl-sigABRT (signal 6)
      0..0 lines: Aborted
      1..2 lines (whole): crashed: signal 6 without a result
    cl-sigINT (exit status 0)
      0..0 lines: cannot launch: exit status 0 before a session began
      1..4 lines: crashed: exit status 0 without a result
      5..5 lines (whole): crashed: [ede_diagnostic] result_type=user last_content_type=n/a stop
    cl-sigTERM (exit status 143)
      0..0 lines: crashed: exit status 143 before a session began
      1..3 lines (whole): crashed: exit status 143 without a result
    cl_400credit-run (exit status 1)
      0..0 lines: cannot launch: exit status 1 before a session began
      1..2 lines: crashed: exit status 1 without a result
      3..3 lines (whole): account trouble: Credit balance is too low
    cl_429-run (exit status 1)
      0..0 lines: cannot launch: exit status 1 before a session began
      1..12 lines: crashed: exit status 1 without a result
      13..13 lines (whole): rate-limited until None: API Error: Request rejected (429) · fake rate limit
    cl_529-run (exit status 1)
      0..0 lines: cannot launch: exit status 1 before a session began
      1..12 lines: crashed: exit status 1 without a result
      13..13 lines (whole): rate-limited until None: API Error: 529 Overloaded. This is a server-side issue, usua
    cl_cut-run (exit status 0)
      0..0 lines: cannot launch: exit status 0 before a session began
      1..3 lines: crashed: exit status 0 without a result
      4..4 lines (whole): Finished
    ");
}

#[test]
fn cutting_a_line_in_the_middle_is_no_worse_than_losing_it() {
    for (key, lines) in recordings() {
        let exit = recorded_exit(&key);
        for count in 0..lines.len() {
            let whole = lines[..count].iter().map(String::as_str);
            let half = &lines[count][..lines[count].floor_char_boundary(lines[count].len() / 2)];
            let without = parse(&Start::Cold, whole.clone()).end(exit);
            let with_half = parse(&Start::Cold, whole.chain([half])).end(exit);
            assert_eq!(
                std::mem::discriminant(&without),
                std::mem::discriminant(&with_half),
                "{key} at {count}"
            );
        }
    }
}

fn recording(key: &str) -> Vec<String> {
    recordings()
        .into_iter()
        .find(|(name, _)| name == key)
        .unwrap()
        .1
}

#[test]
fn a_successful_run_tells_its_session_its_tools_and_its_cost() {
    let mut stream = ClaudeStream::new(&Start::Cold);
    let mut seen = String::new();
    for line in recording("cl-ok") {
        for progress in stream.line(&line) {
            let progress = format!("{progress:?}");
            writeln!(seen, "{}", progress.chars().take(90).collect::<String>()).unwrap();
        }
    }
    assert_snapshot!(seen, @r#"
    SessionStarted(SessionId("f7989803-0150-488c-81a0-dad8e0f7b61c"))
    ToolStarted { id: "toolu_332f353257a943b380d5", name: "Write" }
    ToolEnded { id: "toolu_332f353257a943b380d5" }
    ToolStarted { id: "toolu_a07c4d96b9fd41ef8b3b", name: "Bash" }
    ToolEnded { id: "toolu_a07c4d96b9fd41ef8b3b" }
    Message("Done: created hello.txt and committed it. This is a long sentence so that termina
    "#);
    assert_snapshot!(format!("{:?}", stream.usage()), @"Usage { turns: 3, input_tokens: 3000, output_tokens: 150, cost: Some(Usd(15000)), session_cost: Some(Usd(15000)) }");
}

#[test]
fn a_resumed_run_costs_what_it_added_to_its_sessions_total() {
    let lines = recording("cl-resume");
    let session = |cost| {
        Start::Warm(Session {
            id: SessionId("f7989803-0150-488c-81a0-dad8e0f7b61c".to_owned()),
            cost,
        })
    };
    let usage = |start: &Start| parse(start, lines.iter().map(String::as_str)).usage();
    let resumed = usage(&session(Usd::from_micros(15_000)));
    assert_eq!(
        (resumed.cost, resumed.session_cost),
        (
            Some(Usd::from_micros(5_000)),
            Some(Usd::from_micros(20_000))
        )
    );
    let cold = usage(&Start::Cold);
    assert_eq!(cold.cost, Some(Usd::from_micros(20_000)));
    let not_cumulative = usage(&session(Usd::from_cents(100)));
    assert_eq!(
        not_cumulative.cost,
        Some(Usd::from_micros(20_000)),
        "never less than nothing"
    );
}

#[test]
fn a_run_without_a_result_has_tokens_but_no_cost() {
    let usage = parse(
        &Start::Cold,
        recording("cl-sigABRT").iter().map(String::as_str),
    )
    .usage();
    assert_eq!(
        (
            usage.turns,
            usage.input_tokens,
            usage.cost,
            usage.session_cost
        ),
        (1, 1000, None, None)
    );
}

#[test]
fn an_announced_retry_is_a_backoff() {
    let mut stream = ClaudeStream::new(&Start::Cold);
    let lines = recording("cl_529-run");
    let waits: Vec<Progress> = lines
        .iter()
        .flat_map(|line| stream.line(line))
        .filter(|progress| matches!(progress, Progress::Backoff { .. }))
        .collect();
    assert_eq!(waits.len(), 10);
    assert_eq!(
        waits[0],
        Progress::Backoff {
            wait: Duration::from_millis(532)
        }
    );
}

/// The end after an init, one API error and the result that follows it.
fn end_of_api_error(error: &str, status: Option<u16>, text: &str) -> End {
    let lines = [
        json!({"type": "system", "subtype": "init", "session_id": "s"}),
        json!({"type": "assistant", "error": error, "api_error_status": status, "message": {"id": "m", "model": "<synthetic>", "content": []}}),
        json!({"result": text, "subtype": "success", "is_error": true, "api_error_status": status, "type": "result"}),
    ];
    let lines = lines.map(|line| line.to_string());
    parse(&Start::Cold, lines.iter().map(String::as_str)).end(Exit::Status(1))
}

#[test]
fn api_errors_are_told_apart_by_what_can_be_done_about_them() {
    let cases = [
        ("rate_limit", Some(429)),
        ("server_error", Some(529)),
        ("overloaded", None),
        ("billing_error", Some(400)),
        ("authentication_failed", Some(401)),
        ("authentication_failed", None),
        ("model_not_found", Some(404)),
        ("server_error", Some(500)),
        ("invalid_request", Some(400)),
        ("max_output_tokens", None),
        ("unknown", None),
    ];
    let mut table = String::new();
    for (error, status) in cases {
        writeln!(
            table,
            "{error} {status:?} -> {}",
            describe(&end_of_api_error(error, status, "text"))
        )
        .unwrap();
    }
    assert_snapshot!(table, @"
    rate_limit Some(429) -> rate-limited until None: text
    server_error Some(529) -> rate-limited until None: text
    overloaded None -> rate-limited until None: text
    billing_error Some(400) -> account trouble: text
    authentication_failed Some(401) -> account trouble: text
    authentication_failed None -> account trouble: text
    model_not_found Some(404) -> account trouble: text
    server_error Some(500) -> crashed: text
    invalid_request Some(400) -> crashed: text
    max_output_tokens None -> crashed: text
    unknown None -> crashed: text
    ");
}

#[test]
fn the_reset_time_is_taken_from_where_the_stream_tells_it() {
    let until = Some(Timestamp::from_second(1_767_225_600).unwrap());
    let message = "Claude AI usage limit reached|1767225600".to_owned();
    assert_eq!(
        end_of_api_error("rate_limit", Some(429), &message),
        End::RateLimited { until, message }
    );
    let lines = [
        r#"{"type":"system","subtype":"init","session_id":"s"}"#,
        r#"{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1767225600}}"#,
        r#"{"type":"result","subtype":"success","is_error":true,"result":"limit","api_error_status":429}"#,
    ];
    let end = parse(&Start::Cold, lines).end(Exit::Status(1));
    assert_eq!(
        end,
        End::RateLimited {
            until,
            message: "limit".to_owned()
        }
    );
}

#[test]
fn without_an_init_the_exit_decides_what_it_was() {
    let end =
        |lines: &[&str], exit| describe(&parse(&Start::Cold, lines.iter().copied()).end(exit));
    let flag = "error: unknown option '--frobnicate'";
    let table = [
        end(&[flag], Exit::Status(1)),
        end(&[], Exit::Status(0)),
        end(&["Aborted (core dumped)"], Exit::Status(134)),
        end(&[], Exit::Signal(6)),
        end(&[], Exit::Signal(15)),
        end(
            &["No conversation found with session ID: x"],
            Exit::Status(1),
        ),
        end(
            &[
                "Error: --resume requires a valid session ID or session title when used with --print.",
            ],
            Exit::Status(1),
        ),
    ];
    assert_snapshot!(table.join("\n"), @"
    cannot launch: exit status 1 before a session began: error: unknown option 
    cannot launch: exit status 0 before a session began
    Aborted
    Aborted
    crashed: signal 15 before a session began
    resume refused: No conversation found with session ID: x
    resume refused: Error: --resume requires a valid session ID or session title
    ");
}

#[test]
fn a_success_with_a_bad_exit_is_not_believed() {
    let mut lines = recording("cl-ok");
    let stream = parse(&Start::Cold, lines.iter().map(String::as_str));
    assert_eq!(
        describe(&stream.end(Exit::Status(1))),
        "crashed: exit status 1 after it had said that it was done"
    );
    let init = lines.remove(0);
    let twice = [init.as_str(), init.as_str()];
    let mut stream = ClaudeStream::new(&Start::Cold);
    let sessions: usize = twice.iter().map(|line| stream.line(line).len()).sum();
    assert_eq!(sessions, 1, "a session is told once");
}

#[test]
fn tools_are_closed_by_the_next_message_when_their_result_was_unreadable() {
    let tool = |message: &str, id: &str| {
        json!({"type": "assistant", "message": {"id": message, "content": [{"type": "tool_use", "id": id, "name": "Bash"}]}}).to_string()
    };
    let mut stream = ClaudeStream::new(&Start::Cold);
    stream.line(&tool("m1", "a"));
    assert_eq!(
        stream.line(&tool("m1", "b")).len(),
        1,
        "two calls of one message run side by side"
    );
    stream.line("{\"type\":\"user\",\"message\":{\"content\":[… [9 bytes cut]");
    let closed = stream.line(&tool("m2", "c"));
    assert_eq!(closed.len(), 3);
    assert!(closed.contains(&Progress::ToolEnded { id: "a".to_owned() }));
    assert!(closed.contains(&Progress::ToolEnded { id: "b".to_owned() }));
}

#[test]
fn nothing_that_is_printed_can_break_the_parser() {
    let mut stream = ClaudeStream::new(&Start::Cold);
    let odd = [
        "",
        "null",
        "[]",
        "{}",
        "\"type\"",
        r#"{"type":5}"#,
        r#"{"type":"assistant","message":"text"}"#,
        r#"{"type":"user","message":{"content":"text"}}"#,
        r#"{"type":"result","total_cost_usd":-1,"usage":[],"num_turns":-3,"errors":"x"}"#,
        r#"{"type":"system","subtype":"api_retry","retry_delay_ms":1e300}"#,
        r#"{"type":"a type of next year","subtype":"init","session_id":"s"}"#,
    ];
    for line in odd {
        stream.line(line);
    }
    stream.line(&format!(
        "{{\"type\":\"assistant\",\"message\":{}}}",
        "[".repeat(100_000)
    ));
    assert_eq!(stream.usage(), Usage::default());
}
