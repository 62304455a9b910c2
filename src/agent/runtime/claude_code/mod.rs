//! Claude Code: `claude -p … --output-format stream-json`. Argument by argument as measured with
//! 2.1.330; what its output means is in [`stream`].

mod arguments;
mod failure;
mod stream;

use super::{Launch, Runtime, StreamParser, Unlaunchable};
use crate::agent::LaunchRequest;
use crate::domain::money::Usd;
use crate::domain::work::Start;
use arguments::Arguments;

pub(super) struct ClaudeCode;

/// A prompt above this many bytes goes through the prompt file: one argument may hold 128 KiB on
/// Linux (MAX_ARG_STRLEN, execve(2)), and standard input is closed.
const LONGEST_PROMPT_ARGUMENT: usize = 100_000;

/// Keeps it to the model's API: no updates, telemetry or error reports of its own.
const QUIET: [&str; 4] = [
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "DISABLE_AUTOUPDATER",
    "DISABLE_TELEMETRY",
    "DISABLE_ERROR_REPORTING",
];

impl Runtime for ClaudeCode {
    fn launch(&self, request: &LaunchRequest) -> Result<Launch, Unlaunchable> {
        let mut environment: Vec<_> = QUIET
            .iter()
            .map(|&name| (name.to_owned(), "1".to_owned()))
            .collect();
        if request.as_root {
            // Without it `--dangerously-skip-permissions` is refused to root.
            environment.push(("IS_SANDBOX".to_owned(), "1".to_owned()));
        }
        Ok(Launch {
            argv: argv(request),
            environment,
            prompt_file: request.prompt.user.clone(),
            install_hint: "install it with `npm install -g @anthropic-ai/claude-code` and see that it is on the server's PATH".to_owned(),
        })
    }

    fn parser(&self, start: &Start) -> Box<dyn StreamParser> {
        Box::new(stream::ClaudeStream::new(start))
    }
}

fn argv(request: &LaunchRequest) -> Vec<String> {
    let agent = &request.agent;
    let mut given = Arguments::of(&agent.args);
    let turns = least(
        given.numbers("--max-turns"),
        [agent.max_turns, request.cap.map(|cap| cap.turns)],
    );
    let budget = least(
        given.amounts("--max-budget-usd"),
        [
            agent.max_budget,
            request.cap.map(|cap| cap.budget),
            request.budget,
        ],
    );
    let system = system_prompt(given.take("--append-system-prompt"), &request.prompt.system);
    given.drop_owned();

    let mut argv = vec![agent.command.clone().unwrap_or_else(|| "claude".to_owned())];
    argv.extend(["-p".to_owned(), prompt_argument(request)]);
    argv.extend(given.rest());
    let mut option = |name: &str, value: Option<String>| {
        argv.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    };
    option("--output-format", Some("stream-json".to_owned()));
    option("--resume", session(&request.start));
    option("--model", agent.model.clone());
    option("--append-system-prompt", system);
    option("--max-turns", turns.map(|turns| turns.to_string()));
    option("--max-budget-usd", budget.map(dollars));
    argv.extend([
        "--verbose".to_owned(),
        "--dangerously-skip-permissions".to_owned(),
    ]);
    argv
}

fn least<T: Ord>(given: Vec<T>, configured: impl IntoIterator<Item = Option<T>>) -> Option<T> {
    given
        .into_iter()
        .chain(configured.into_iter().flatten())
        .min()
}

fn session(start: &Start) -> Option<String> {
    match start {
        Start::Cold => None,
        Start::Warm(session) => Some(session.id.0.clone()),
    }
}

/// One text: what the agent's own arguments say first, huskies' part behind it, once.
fn system_prompt(mut given: Vec<String>, ours: &str) -> Option<String> {
    if !ours.is_empty() && !given.iter().any(|text| text.contains(ours)) {
        given.push(ours.to_owned());
    }
    (!given.is_empty()).then(|| given.join("\n\n"))
}

fn prompt_argument(request: &LaunchRequest) -> String {
    let prompt = &request.prompt.user;
    if prompt.len() > LONGEST_PROMPT_ARGUMENT {
        return format!(
            "Your task is in the file {}, because it is long. Read all of that file first, then do what it says.",
            request.prompt_file.display()
        );
    }
    // It would be taken for an option.
    if prompt.starts_with('-') {
        format!("\n{prompt}")
    } else {
        prompt.clone()
    }
}

/// Up to six decimals, without trailing zeros. The limit is one of this run, not of the session,
/// although the cost that the stream reports is the session's (tried with 2.1.330).
fn dollars(amount: Usd) -> String {
    let (whole, micros) = (amount.micros() / 1_000_000, amount.micros() % 1_000_000);
    let text = format!("{whole}.{micros:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
