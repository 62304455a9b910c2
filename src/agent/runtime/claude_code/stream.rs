//! What Claude Code's JSON lines mean.
//!
//! Its traps, all seen with 2.1.330: `type` is not always the first key; an API error ends in
//! `subtype: success` with `is_error: true`; after SIGINT the exit status is 0; a refused resume
//! prints a result but no init; `total_cost_usd` goes on counting over resumes while `usage` and
//! `num_turns` start anew. Plain lines (stderr shares the terminal) are kept for messages only.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::super::{Exit, Progress, StreamParser, Tail};
use super::failure::Failure;
use crate::domain::id::SessionId;
use crate::domain::money::Usd;
use crate::domain::work::{End, Limit, Session, Start, Usage};

/// Reads one run's stream.
#[derive(Debug, Default)]
pub(super) struct ClaudeStream {
    /// The session that was to be continued.
    resumed: Option<Session>,
    session: Option<SessionId>,
    result: Option<Outcome>,
    failure: Failure,
    plain: Tail,
    tools: OpenTools,
    /// What each model message used; a message comes in several lines that repeat it.
    messages: HashMap<String, Tokens>,
}

/// The `result` event.
#[derive(Debug, Clone, Default)]
struct Outcome {
    subtype: String,
    is_error: bool,
    turns: Option<u32>,
    tokens: Option<Tokens>,
    total_cost: Option<Usd>,
    message: String,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tokens {
    /// New, written to the cache and read from it.
    input: u64,
    output: u64,
}

impl StreamParser for ClaudeStream {
    fn line(&mut self, line: &str) -> Vec<Progress> {
        let event = match serde_json::from_str::<Value>(line) {
            Ok(event) if event.is_object() => event,
            Ok(_) | Err(_) => {
                self.plain.push(line);
                return Vec::new();
            }
        };
        self.failure.note(&event);
        match text(&event, "type") {
            "system" => self.system(&event),
            "assistant" => self.assistant(&event),
            "user" => self.user(&event),
            "result" => {
                self.result = Some(Outcome::read(&event));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn end(&self, exit: Exit) -> End {
        match &self.result {
            Some(result) => self.end_with_result(result, exit),
            None => self.end_without_result(exit),
        }
    }

    fn usage(&self) -> Usage {
        let seen = self
            .messages
            .values()
            .fold(Tokens::default(), |sum, tokens| Tokens {
                input: sum.input.saturating_add(tokens.input),
                output: sum.output.saturating_add(tokens.output),
            });
        let result = self.result.as_ref();
        let tokens = result.and_then(|result| result.tokens).unwrap_or(seen);
        let total = result.and_then(|result| result.total_cost);
        Usage {
            turns: result
                .and_then(|result| result.turns)
                .unwrap_or_else(|| u32::try_from(self.messages.len()).unwrap_or(u32::MAX)),
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cost: total.map(|total| self.own_share(total)),
            session_cost: total,
        }
    }
}

impl ClaudeStream {
    pub(super) fn new(start: &Start) -> Self {
        let resumed = match start {
            Start::Cold => None,
            Start::Warm(session) => Some(session.clone()),
        };
        Self {
            resumed,
            ..Self::default()
        }
    }

    fn system(&mut self, event: &Value) -> Vec<Progress> {
        match text(event, "subtype") {
            "init" => {
                let session = SessionId(text(event, "session_id").to_owned());
                if session.0.is_empty() || self.session.as_ref() == Some(&session) {
                    return Vec::new();
                }
                self.session = Some(session.clone());
                vec![Progress::SessionStarted(session)]
            }
            "api_retry" => {
                let wait = event["retry_delay_ms"]
                    .as_f64()
                    .filter(|wait| (0.0..=1e10).contains(wait));
                vec![Progress::Backoff {
                    wait: Duration::from_secs_f64(wait.unwrap_or(0.0) / 1e3),
                }]
            }
            _ => Vec::new(),
        }
    }

    fn assistant(&mut self, event: &Value) -> Vec<Progress> {
        let message = &event["message"];
        let id = text(message, "id");
        // The CLI's own errors in the shape of a message cost nothing and are no turn.
        if !id.is_empty() && text(message, "model") != "<synthetic>" {
            self.messages
                .insert(id.to_owned(), Tokens::read(&message["usage"]));
        }
        let parent = text(event, "parent_tool_use_id");
        let mut progress = self.tools.close_before(parent, id);
        for part in message["content"].as_array().into_iter().flatten() {
            match text(part, "type") {
                "text" => progress.push(Progress::Message(text(part, "text").to_owned())),
                "tool_use" => progress.push(self.tools.open(parent, id, part)),
                _ => {}
            }
        }
        progress
    }

    fn user(&mut self, event: &Value) -> Vec<Progress> {
        let parts = event["message"]["content"].as_array().into_iter().flatten();
        let results = parts.filter(|part| text(part, "type") == "tool_result");
        results
            .filter_map(|part| self.tools.close(text(part, "tool_use_id")))
            .collect()
    }

    fn end_with_result(&self, result: &Outcome, exit: Exit) -> End {
        let message = if result.message.is_empty() {
            exit.to_string()
        } else {
            result.message.clone()
        };
        match result.subtype.as_str() {
            "success" if !result.is_error && exit == Exit::Status(0) => End::Finished,
            "success" if !result.is_error => End::Crashed {
                message: format!("{exit} after it had said that it was done"),
            },
            "error_max_turns" => End::LimitReached {
                limit: Limit::Turns,
            },
            "error_max_budget_usd" => End::LimitReached {
                limit: Limit::Budget,
            },
            _ if is_refused_resume(&message) => End::ResumeRefused { message },
            _ => match self.failure.end(&message) {
                Some(end) => end,
                None if self.session.is_none() && exit != Exit::Status(0) => {
                    End::CannotLaunch { message }
                }
                None => End::Crashed { message },
            },
        }
    }

    fn end_without_result(&self, exit: Exit) -> End {
        if self.session.is_some() {
            return End::Crashed {
                message: self.plain.explain(&format!("{exit} without a result")),
            };
        }
        if exit.is_abort() {
            return End::Aborted;
        }
        if is_refused_resume(self.plain.text()) {
            return End::ResumeRefused {
                message: self.plain.text().to_owned(),
            };
        }
        let message = self
            .plain
            .explain(&format!("{exit} before a session began"));
        // Somebody or something killed it (the kernel, short of memory): no fault of its launch.
        if exit.is_by_signal() {
            End::Crashed { message }
        } else {
            End::CannotLaunch { message }
        }
    }

    /// What this run added to its session's total.
    fn own_share(&self, total: Usd) -> Usd {
        match &self.resumed {
            Some(session) if total >= session.cost => total.saturating_sub(session.cost),
            // A total below what the session had cost is not cumulative.
            Some(_) | None => total,
        }
    }
}

/// Both are said when there is nothing to resume: by the id of a session that is not known here,
/// or by something that is no id.
fn is_refused_resume(message: &str) -> bool {
    [
        "No conversation found",
        "--resume requires a valid session ID",
    ]
    .iter()
    .any(|text| message.contains(text))
}

impl Outcome {
    fn read(event: &Value) -> Self {
        let errors = event["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let errors: Vec<&str> = errors.collect();
        let message = Some(text(event, "result"))
            .filter(|text| !text.is_empty())
            .map(str::to_owned);
        let message = message.unwrap_or_else(|| errors.join("\n"));
        Self {
            subtype: text(event, "subtype").to_owned(),
            is_error: event["is_error"].as_bool().unwrap_or(false),
            turns: event["num_turns"]
                .as_u64()
                .and_then(|turns| turns.try_into().ok()),
            tokens: event["usage"]
                .is_object()
                .then(|| Tokens::read(&event["usage"])),
            total_cost: event["total_cost_usd"]
                .as_f64()
                .and_then(from_binary_dollars),
            message: crate::domain::text::head_at_char_boundary(&message, 2000).to_owned(),
        }
    }
}

/// The stream adds up in binary floating point (`0.009080000000000001`): what is below a
/// millionth is not money.
fn from_binary_dollars(dollars: f64) -> Option<Usd> {
    // Half a millionth less, for `from_dollars` rounds up.
    Usd::from_dollars((dollars - 5e-7).max(0.0)).filter(|_| dollars >= 0.0)
}

impl Tokens {
    fn read(usage: &Value) -> Self {
        let count = |name: &str| usage[name].as_u64().unwrap_or(0);
        Self {
            // What an agent prints can be any number.
            input: count("input_tokens")
                .saturating_add(count("cache_creation_input_tokens"))
                .saturating_add(count("cache_read_input_tokens")),
            output: count("output_tokens"),
        }
    }
}

/// The tool calls that have no result yet.
#[derive(Debug, Default)]
struct OpenTools {
    tools: Vec<OpenTool>,
}

#[derive(Debug)]
struct OpenTool {
    id: String,
    message: String,
    parent: String,
}

impl OpenTools {
    fn open(&mut self, parent: &str, message: &str, part: &Value) -> Progress {
        let id = text(part, "id").to_owned();
        self.tools.push(OpenTool {
            id: id.clone(),
            message: message.to_owned(),
            parent: parent.to_owned(),
        });
        Progress::ToolStarted {
            id,
            name: text(part, "name").to_owned(),
        }
    }

    fn close(&mut self, id: &str) -> Option<Progress> {
        let at = self.tools.iter().position(|tool| tool.id == id)?;
        Some(Progress::ToolEnded {
            id: self.tools.swap_remove(at).id,
        })
    }

    /// A new message of the same conversation means that the calls of older ones are over, also
    /// when the line with a result was too long to be read.
    fn close_before(&mut self, parent: &str, message: &str) -> Vec<Progress> {
        let is_over = |tool: &mut OpenTool| tool.parent == parent && tool.message != message;
        self.tools
            .extract_if(.., is_over)
            .map(|tool| Progress::ToolEnded { id: tool.id })
            .collect()
    }
}

/// The string at `key`, empty when there is none.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Seconds since 1970 as a point in time.
pub(super) fn timestamp(seconds: &Value) -> Option<Timestamp> {
    seconds
        .as_i64()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
