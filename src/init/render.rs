//! The text of a new project file. Its comments are the first documentation that a user reads.

use super::{SuggestedComponent, SuggestedGate, Suggestions};

const HEAD: &str = r#"# What huskies may do in this repository, and what has to pass before a change lands.
# huskies reads this file from the tip of the base branch, fresh at every start.

# How changes reach the base branch. "push": huskies puts one tested commit a story on it.
# "pull-request": each story has a pull request, which GitHub squashes when its rules allow it.
# Left out, it is "pull-request" on GitHub and "push" on the built-in forge.
# land = "push"

# How many failed attempts of an agent are followed by another one.
max_retries = 3

# Uncommitted work of an agent that stopped is kept on the server; true sends it to the remote too,
# where whoever can read the repository can read it.
# push_wip = false

[trigger]
# The label that starts an issue.
start_label = "huskies"
# hold_label = "huskies:hold"
# retry_label = "huskies:retry"
# approve_label = "huskies:approve"
"#;

const COMPONENTS: &str = r"
# Components: what a clean checkout needs before its gates can run.
#   path          folder in which the commands run (default: the root)
#   setup         a command, or a list of them; teardown likewise
#   timeout_secs  for all set-up commands of the component together (default 120)
";

const GATES: &str = r#"
# Gates: commands whose exit status decides. They run side by side, in a clean environment.
#   on            when: "commit" (in the pre-commit hook), "accept" (what an agent made),
#                 "merge" (what is about to land); default ["accept", "merge"]
#   paths         run only when one of these changed, e.g. ["web/**"]; default: always
#   timeout_secs  default 600
"#;

const NO_GATE: &str = r#"
# No likely gate was found. huskies starts nothing before there is one, because nothing could be
# tested:
# [[gate]]
# name = "test"
# command = "make test"
"#;

const AGENTS: &str = r#"
# Agents: who does the work. The first free one in the order of this file is taken.
#   stage                    "coder", "qa", "mergemaster" or "other"; left out, names beginning with
#                            qa or mergemaster say it, and every other name is a coder's
#   prompt                   replaces the built-in prompt of the stage
#   inactivity_timeout_secs  silence that counts as a stall (default 600)
[[agent]]
name = "coder"
runtime = "claude-code"
# model = "sonnet"
# args = []
# max_turns = 60
# max_budget_usd = 2.5

# Any program can be an agent. It runs with `sh -c` in the worktree, reads the file named by
# HUSKIES_PROMPT_FILE, and commits what it makes.
# [[agent]]
# name = "scripted"
# stage = "coder"
# runtime = "command"
# command = "./scripts/agent.sh"
"#;

/// The whole file. What it says parses with this version of huskies.
pub fn render_project_toml(suggestions: &Suggestions) -> String {
    let mut text = HEAD.to_owned();
    if !suggestions.components.is_empty() {
        text.push_str(COMPONENTS);
        text.extend(suggestions.components.iter().map(component));
    }
    begin(&mut text, GATES);
    if suggestions.gates.is_empty() {
        text.push_str(NO_GATE);
    }
    text.extend(suggestions.gates.iter().map(gate));
    begin(&mut text, AGENTS);
    text
}

/// Begins a part with an empty line, also behind a table, which ends with one.
fn begin(text: &mut String, part: &str) {
    if text.ends_with("\n\n") {
        text.pop();
    }
    text.push_str(part);
}

fn component(component: &SuggestedComponent) -> String {
    let setup: Vec<String> = component
        .setup
        .iter()
        .map(|command| quoted(command))
        .collect();
    format!(
        "[[component]]\nname = {}\nsetup = [{}]\n\n",
        quoted(&component.name),
        setup.join(", ")
    )
}

fn gate(gate: &SuggestedGate) -> String {
    let on = if gate.quick {
        "on = [\"commit\", \"accept\", \"merge\"]\n"
    } else {
        ""
    };
    format!(
        "[[gate]]\nname = {}\ncommand = {}\n{on}\n",
        quoted(&gate.name),
        quoted(&gate.command)
    )
}

/// A string as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
