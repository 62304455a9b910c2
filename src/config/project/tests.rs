//! What is refused, and in which words; what is accepted, and with which defaults.

use std::time::Duration;

use insta::assert_snapshot;

use super::*;
use crate::domain::money::Usd;
use crate::domain::project::{Moment, Role, Runtime};

fn parsed(text: &str) -> Project {
    parse(text, PROJECT_FILE, Land::Push).unwrap()
}

fn refused(text: &str) -> String {
    parse(text, PROJECT_FILE, Land::Push)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_full_file_is_read_as_it_is_written() {
    let project = parsed(
        r#"
        land = "pull-request"
        max_retries = 1
        push_wip = true
        [trigger]
        start_label = "robots"
        [[component]]
        name = "web"
        path = "./apps//web/"
        setup = ["npm ci", "npm run build"]
        teardown = "docker compose down"
        timeout_secs = 30
        [[gate]]
        name = "lint"
        command = "npm run lint"
        timeout_secs = 5
        on = "commit"
        paths = "apps/**"
        [[agent]]
        name = "fast"
        stage = "qa"
        runtime = "command"
        command = "true"
        args = ["--x"]
        model = "small"
        prompt = "Do it."
        max_turns = 7
        max_budget_usd = 2
        inactivity_timeout_secs = 9
        "#,
    );
    assert_eq!((project.land, project.max_retries), (Land::PullRequest, 1));
    assert!(project.push_wip);
    assert_eq!(project.trigger.start_label, "robots");
    let component = &project.components[0];
    assert_eq!(
        (
            component.path.as_str(),
            component.setup.len(),
            component.teardown.len()
        ),
        ("apps/web", 2, 1)
    );
    assert_eq!(component.timeout, Duration::from_secs(30));
    let gate = &project.gates[0];
    assert_eq!(
        (gate.on.as_slice(), gate.paths.as_slice()),
        (
            [Moment::Commit].as_slice(),
            ["apps/**".to_owned()].as_slice()
        )
    );
    let agent = &project.agents[0];
    assert_eq!(
        (agent.role, agent.runtime, agent.max_turns),
        (Role::Qa, Runtime::Command, Some(7))
    );
    assert_eq!(
        (agent.max_budget, agent.inactivity),
        (Some(Usd::from_cents(200)), Duration::from_secs(9))
    );
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let project = parsed(
        "[[gate]]\nname='test'\ncommand='make'\n[[component]]\nname='all'\n[[agent]]\nname='coder'",
    );
    assert_eq!((project.land, project.max_retries), (Land::Push, 3));
    assert!(!project.push_wip);
    assert_eq!(project.trigger.start_label, "huskies");
    assert_eq!(project.gates[0].on, [Moment::Accept, Moment::Merge]);
    assert_eq!(project.gates[0].timeout, Duration::from_mins(10));
    assert_eq!(
        (
            project.components[0].path.as_str(),
            project.components[0].timeout
        ),
        (".", Duration::from_mins(2))
    );
    assert_eq!(
        (project.agents[0].runtime, project.agents[0].inactivity),
        (Runtime::ClaudeCode, Duration::from_mins(10))
    );
    assert!(
        parsed("max_retries = 0").gates.is_empty(),
        "a file without gates parses; running it is refused elsewhere"
    );
}

#[test]
fn the_stage_is_read_off_the_name_where_it_is_not_said() {
    let role = |name: &str| parsed(&format!("[[agent]]\nname = '{name}'")).agents[0].role;
    assert_eq!(role("qa-2"), Role::Qa);
    assert_eq!(role("Mergemaster"), Role::Mergemaster);
    assert_eq!(role("coder-opus"), Role::Coder);
    assert_eq!(role("claude"), Role::Coder);
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    assert_snapshot!(refused(" \n"), @".huskies/project.toml is missing or empty: run `huskies init` in the repository and commit what it writes");
    assert_snapshot!(no_gates_reason(PROJECT_FILE), @r#".huskies/project.toml has no [[gate]], and without one nothing could be tested before it lands: add a gate with a name and a command, for example name = "test", command = "cargo test"; `huskies init` finds likely ones"#);
}

#[test]
fn an_unknown_key_is_named_with_what_is_supported() {
    assert_snapshot!(refused("landing = 'push'"), @".huskies/project.toml:1: unknown key `landing`, supported here are `land`, `max_retries`, `push_wip`, `trigger`, `component`, `gate`, `agent`");
    assert_snapshot!(refused("\n[[gate]]\nname = 'a'\ncomand = 'x'"), @".huskies/project.toml:4: unknown key `comand`, supported here are `name`, `command`, `timeout_secs`, `on`, `paths`");
    assert_snapshot!(refused("[trigger]\nlabel = 'a'"), @".huskies/project.toml:2: unknown key `label`, supported here are `start_label`, `hold_label`, `retry_label`, `approve_label`");
}

#[test]
fn a_missing_or_mistyped_key_is_named() {
    assert_snapshot!(refused("[[gate]]\nname = 'a'"), @".huskies/project.toml:1: missing key `command`");
    assert_snapshot!(refused("max_retries = -1"), @".huskies/project.toml:1: invalid value: integer `-1`, expected a whole number from zero in `max_retries = -1`");
    assert_snapshot!(refused("[[gate]]\nname = 'a'\ncommand = true"), @".huskies/project.toml:3: invalid type: boolean `true`, expected a string in `command = true`");
    assert_snapshot!(refused("[[gate]\n"), @".huskies/project.toml:1: unclosed array table, expected `]` in `[[gate]`");
}

#[test]
fn values_that_make_no_sense_are_refused_with_advice() {
    let gate = |rest: &str| refused(&format!("[[gate]]\nname = 'a'\ncommand = 'x'\n{rest}"));
    assert_snapshot!(gate("timeout_secs = 0"), @".huskies/project.toml:4: `timeout_secs` is zero: give a number of seconds above zero, or leave it out for 600");
    assert_snapshot!(gate("on = 'push'"), @".huskies/project.toml:4: `on` does not know `push`: supported are `commit`, `accept` and `merge`");
    assert_snapshot!(gate("on = []"), @".huskies/project.toml:4: `on` is empty, so the gate would never run: list some of `commit`, `accept` and `merge`, or leave it out for the last two");
    assert_snapshot!(gate("on = 3"), @r#".huskies/project.toml:4: `on` is neither a string nor a list of strings: write "one" or ["one", "two"]"#);
    assert_snapshot!(gate("paths = ['src/[']"), @".huskies/project.toml:4: `paths` has `src/[`, which is no glob (unclosed character class; missing ']'): write globs relative to the repository's root, such as `src/**` or `**/*.rs`");
    assert_snapshot!(gate("paths = '/src/**'"), @".huskies/project.toml:4: `paths` has `/src/**`, which would match no changed path: write globs relative to the repository's root, such as `src/**` or `**/*.rs`");
    assert_snapshot!(gate("[[gate]]\nname = 'a'\ncommand = 'y'"), @".huskies/project.toml:5: `name` `a` is used by two [[gate]] tables: give each its own name");
    assert_snapshot!(refused("[[gate]]\nname = 'a b'\ncommand = 'x'"), @".huskies/project.toml:2: `name` is refused, `a b` is not a name of letters, digits, `-`, `_` and `.` (at most 60): choose a name like `unit-tests`");
    assert_snapshot!(refused("[[gate]]\nname = 'a'\ncommand = ' '"), @".huskies/project.toml:3: `command` is empty: write the shell command to run");
    assert_snapshot!(refused("land = 'merge'"), @".huskies/project.toml:1: `land` does not know `merge`: supported are `push` and `pull-request`");
    assert_snapshot!(refused("[trigger]\nstart_label = 'stage:x'"), @".huskies/project.toml:2: `start_label` begins like a label that huskies itself uses: choose another name, such as `huskies`");
}

#[test]
fn a_component_cannot_leave_the_repository() {
    let component = |path: &str| refused(&format!("[[component]]\nname = 'a'\npath = '{path}'"));
    assert_snapshot!(component("/etc"), @".huskies/project.toml:3: `path` `/etc` leads out of the repository: name a folder relative to its root, such as `web`");
    assert_snapshot!(component("a/../.."), @".huskies/project.toml:3: `path` `a/../..` leads out of the repository: name a folder relative to its root, such as `web`");
}

#[test]
fn an_agent_that_could_not_run_is_refused() {
    let agent = |rest: &str| refused(&format!("[[agent]]\nname = 'a'\n{rest}"));
    assert_snapshot!(agent("runtime = 'codex'"), @".huskies/project.toml:3: `runtime` does not know `codex`: supported are `claude-code` and `command`");
    assert_snapshot!(agent("runtime = 'command'"), @r#".huskies/project.toml:2: `command` is missing for agent `a`, whose runtime is `command`: add command = "…"; it runs with `sh -c` in the worktree"#);
    assert_snapshot!(agent("command = 'x'"), @r#".huskies/project.toml:3: `command` is only for agents whose runtime is `command`: add runtime = "command", or put arguments for the agent into args"#);
    assert_snapshot!(agent("stage = 'boss'"), @".huskies/project.toml:3: `stage` does not know `boss`: supported are `coder`, `qa`, `mergemaster` and `other`");
    assert_snapshot!(agent("max_turns = 0"), @".huskies/project.toml:3: `max_turns` is zero: give a number above zero, or leave it out for no limit");
    assert_snapshot!(agent("max_budget_usd = -1.0"), @".huskies/project.toml:3: `max_budget_usd` is not an amount above zero: give dollars, such as 2.5, or leave it out for the server's ceilings alone");
    assert_snapshot!(agent("inactivity_timeout_secs = 0"), @".huskies/project.toml:3: `inactivity_timeout_secs` is zero: give a number of seconds above zero, or leave it out for 600");
}

#[test]
fn every_label_that_moves_stories_can_be_named_and_none_twice() {
    let labels = "[trigger]\nstart_label = 'go'\nhold_label = 'wait'\nretry_label = 'again'";
    let trigger = parse(labels, PROJECT_FILE, Land::Push).unwrap().trigger;
    assert_eq!(trigger.start_label, "go");
    assert_eq!(
        (trigger.hold_label.as_str(), trigger.retry_label.as_str()),
        ("wait", "again")
    );
    assert_snapshot!(refused("[trigger]\nstart_label = 'huskies:hold'"), @".huskies/project.toml:1: `trigger` has two labels of the same name: give starting, holding, retrying and approving a label each");
}
