//! The argument lists, as the real CLI wants them.

use std::time::Duration;

use super::*;
use crate::agent::prompt::Prompt;
use crate::agent::{FIX_UP_CAP, spec};
use crate::domain::id::{Attempt, SessionId};
use crate::domain::project::{Agent, Role, Runtime};
use crate::domain::work::Session;
use insta::assert_snapshot;

fn request() -> LaunchRequest {
    LaunchRequest {
        story: "octo/app#42".parse().unwrap(),
        attempt: Attempt(3),
        agent: Agent {
            name: "coder-1".parse().unwrap(),
            role: Role::Coder,
            runtime: Runtime::ClaudeCode,
            model: None,
            prompt: None,
            args: Vec::new(),
            command: None,
            max_turns: None,
            max_budget: None,
            inactivity: Duration::from_mins(10),
        },
        prompt: Prompt {
            system: String::new(),
            user: "Fix the door.".to_owned(),
        },
        start: Start::Cold,
        budget: None,
        cap: None,
        worktree: "/srv/tree".into(),
        prompt_file: "/data/run/prompt.md".into(),
        environment: vec![("PATH".to_owned(), "/bin".to_owned())],
        as_root: false,
        confinement: None,
    }
}

/// `args` as a configuration file would hold them.
fn with_args(args: &[&str]) -> LaunchRequest {
    let mut request = request();
    request.agent.args = args.iter().map(|&arg| arg.to_owned()).collect();
    request
}

fn value_of(argv: &[String], option: &str) -> Vec<String> {
    argv.windows(2)
        .filter(|pair| pair[0] == option)
        .map(|pair| pair[1].clone())
        .collect()
}

#[test]
fn a_cold_start_is_one_headless_prompt_with_a_json_stream() {
    assert_snapshot!(argv(&request()).join(" "), @"claude -p Fix the door. --output-format stream-json --verbose --dangerously-skip-permissions");
}

#[test]
fn a_warm_start_resumes_and_every_configured_value_is_passed_on() {
    let mut request = with_args(&["--allowedTools", "Bash", "Edit"]);
    request.start = Start::Warm(Session {
        id: SessionId("s-1".to_owned()),
        cost: Usd::ZERO,
    });
    request.agent.model = Some("opus".to_owned());
    request.agent.command = Some("/opt/claude".to_owned());
    request.agent.max_turns = Some(30);
    request.agent.max_budget = Usd::from_dollars(1.5);
    request.prompt.system = "Be kind.".to_owned();
    assert_snapshot!(argv(&request).join(" "), @"/opt/claude -p Fix the door. --allowedTools Bash Edit --output-format stream-json --resume s-1 --model opus --append-system-prompt Be kind. --max-turns 30 --max-budget-usd 1.5 --verbose --dangerously-skip-permissions");
}

#[test]
fn the_lowest_of_all_limits_counts_and_each_is_given_once() {
    let cases: [(&[&str], &[&str], &[&str]); 6] = [
        (&[], &["20"], &["1"]),
        (
            &["--max-turns", "5", "--max-budget-usd=0.25"],
            &["5"],
            &["0.25"],
        ),
        (
            &["--max-turns=500", "--max-budget-usd", "99"],
            &["20"],
            &["1"],
        ),
        (
            &["--max-turns", "many", "--max-budget-usd=lots"],
            &["20"],
            &["1"],
        ),
        (
            &["--max-turns", "0", "--max-budget-usd", "-3"],
            &["20"],
            &["1"],
        ),
        (
            &["--max-budget-usd", "--max-turns", "7", "--max-turns=9"],
            &["7"],
            &["1"],
        ),
    ];
    for (args, turns, budget) in cases {
        let mut request = with_args(args);
        request.cap = Some(FIX_UP_CAP);
        let argv = argv(&request);
        assert_eq!(value_of(&argv, "--max-turns"), turns, "{args:?}");
        assert_eq!(value_of(&argv, "--max-budget-usd"), budget, "{args:?}");
    }
}

#[test]
fn unreadable_limits_are_removed_and_the_reservation_is_a_limit_too() {
    let mut request = with_args(&["--max-turns", "many", "--max-budget-usd=lots", "--debug"]);
    assert_eq!(
        argv(&request)[3..6],
        ["--debug", "--output-format", "stream-json"]
    );
    assert_eq!(value_of(&argv(&request), "--max-turns"), [""; 0]);
    request.budget = Some(Usd::from_micros(2_000_001));
    request.agent.max_budget = Usd::from_dollars(3.0);
    assert_eq!(value_of(&argv(&request), "--max-budget-usd"), ["2.000001"]);
}

#[test]
fn there_is_one_system_prompt_with_ours_behind_the_agents_own() {
    let mut request = with_args(&[
        "--append-system-prompt",
        "Be kind.",
        "--append-system-prompt=Be short.",
    ]);
    request.prompt.system = "Your previous run's quality gates failed:\n\nboom".to_owned();
    let once = ["Be kind.\n\nBe short.\n\nYour previous run's quality gates failed:\n\nboom"];
    assert_eq!(value_of(&argv(&request), "--append-system-prompt"), once);
    request.agent.args = vec![format!("--append-system-prompt={}", once[0])];
    assert_eq!(
        value_of(&argv(&request), "--append-system-prompt"),
        once,
        "never twice"
    );
    request.prompt.system.clear();
    request.agent.args.clear();
    assert_eq!(value_of(&argv(&request), "--append-system-prompt"), [""; 0]);
}

#[test]
fn an_agents_arguments_cannot_change_the_stream_or_the_session() {
    let given = [
        "--output-format",
        "text",
        "--resume=x",
        "--continue",
        "--session-id",
        "y",
        "-p",
        "--input-format=stream-json",
        "--debug",
    ];
    let argv = argv(&with_args(&given));
    assert_eq!(argv[..4], ["claude", "-p", "Fix the door.", "--debug"]);
    assert_eq!(value_of(&argv, "--output-format"), ["stream-json"]);
    assert!(!argv.iter().any(|arg| arg.starts_with("--resume")
        || arg.starts_with("--session")
        || arg == "--continue"));
}

#[test]
fn a_prompt_that_is_too_long_for_an_argument_goes_through_the_file() {
    let mut request = request();
    request.prompt.user = "é".repeat(60_000);
    let argument = &argv(&request)[2];
    assert!(
        argument.contains("/data/run/prompt.md") && argument.len() < 300,
        "{argument}"
    );
    let spec = spec(&request).unwrap();
    assert_eq!(spec.prompt, request.prompt.user);
    request.prompt.user = "- first do this".to_owned();
    assert_eq!(argv(&request)[2], "\n- first do this", "not an option");
}

#[test]
fn the_environment_names_the_story_and_keeps_the_cli_quiet() {
    let mut request = request();
    request.as_root = true;
    let spec = spec(&request).unwrap();
    let lines: Vec<String> = spec
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_snapshot!(lines.join("\n"), @"
    PATH=/bin
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
    DISABLE_AUTOUPDATER=1
    DISABLE_TELEMETRY=1
    DISABLE_ERROR_REPORTING=1
    IS_SANDBOX=1
    HUSKIES_STORY=octo/app#42
    HUSKIES_ATTEMPT=3
    HUSKIES_WORKTREE=/srv/tree
    HUSKIES_PROMPT_FILE=/data/run/prompt.md
    ");
    request.as_root = false;
    assert!(
        !super::super::of(Runtime::ClaudeCode)
            .launch(&request)
            .unwrap()
            .environment
            .iter()
            .any(|(name, _)| name == "IS_SANDBOX")
    );
}

#[test]
fn a_command_agent_runs_its_command_and_reads_everything_from_the_file() {
    let mut request = with_args(&["--fast"]);
    request.agent.runtime = Runtime::Command;
    request.prompt.system = "Mend it.".to_owned();
    assert!(
        spec(&request)
            .unwrap_err()
            .to_string()
            .contains("`command` key")
    );
    request.agent.command = Some("./agent.sh \"$@\"".to_owned());
    let spec = spec(&request).unwrap();
    assert_eq!(
        spec.argv,
        ["/bin/sh", "-c", "./agent.sh \"$@\"", "sh", "--fast"]
    );
    assert_eq!(spec.prompt, "Mend it.\n\nFix the door.");
}
