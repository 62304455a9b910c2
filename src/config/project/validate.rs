//! From what is written to what is meant: defaults, names, limits, and a named error for the rest.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use globset::GlobBuilder;

use super::raw::{self, Placed};
use super::{ProjectError, line_of};
use crate::domain::id::ItemName;
use crate::domain::money::Usd;
use crate::domain::project::{
    Agent, Component, Gate, Land, Moment, Project, Role, Runtime, Trigger,
};

/// Failed attempts that are followed by another one, unless configured (spec 6.2).
const DEFAULT_MAX_RETRIES: u32 = 3;
const DEFAULT_SETUP_SECS: u64 = 120;
const DEFAULT_GATE_SECS: u64 = 600;
const DEFAULT_INACTIVITY_SECS: u64 = 600;

/// GitHub's limit for the name of a label, in characters.
const MAX_LABEL: usize = 50;
/// Labels that huskies writes or reads with a meaning of their own.
const RESERVED_LABELS: [&str; 3] = ["stage:", "agent:", "priority:"];

/// The text under validation, to name lines in errors.
pub(super) struct Validation<'a> {
    pub(super) text: &'a str,
    pub(super) file: &'a str,
}

type Checked<T> = Result<T, ProjectError>;

impl Validation<'_> {
    pub(super) fn project(&self, raw: raw::Project, default_land: Land) -> Checked<Project> {
        Ok(Project {
            land: raw.land.map_or(Ok(default_land), |land| self.land(&land))?,
            trigger: self.trigger(raw.trigger)?,
            max_retries: raw.max_retries.unwrap_or(DEFAULT_MAX_RETRIES),
            push_wip: raw.push_wip,
            components: self.distinct(
                "component",
                raw.component,
                |item| &item.name,
                Self::component,
            )?,
            gates: self.distinct("gate", raw.gate, |item| &item.name, Self::gate)?,
            agents: self.distinct("agent", raw.agent, |item| &item.name, Self::agent)?,
        })
    }

    /// Validates the items of one table and refuses a name that is used twice.
    fn distinct<R, T>(
        &self,
        table: &str,
        items: Vec<R>,
        name: impl Fn(&R) -> &Placed<String>,
        item: impl Fn(&Self, R) -> Checked<T>,
    ) -> Checked<Vec<T>> {
        let mut seen = HashSet::new();
        for raw in &items {
            let name = name(raw);
            if !seen.insert(name.get_ref().clone()) {
                let problem = format!("`{}` is used by two [[{table}]] tables", name.get_ref());
                return Err(self.invalid("name", name.span(), problem, "give each its own name"));
            }
        }
        items.into_iter().map(|raw| item(self, raw)).collect()
    }

    fn land(&self, land: &Placed<String>) -> Checked<Land> {
        match land.get_ref().as_str() {
            "push" => Ok(Land::Push),
            "pull-request" => Ok(Land::PullRequest),
            other => Err(self.unknown("land", land.span(), other, "`push` and `pull-request`")),
        }
    }

    fn trigger(&self, raw: raw::Trigger) -> Checked<Trigger> {
        let default = Trigger::default();
        let trigger = Trigger {
            start_label: self.label("start_label", raw.start_label, default.start_label)?,
            hold_label: self.label("hold_label", raw.hold_label, default.hold_label)?,
            retry_label: self.label("retry_label", raw.retry_label, default.retry_label)?,
            approve_label: self.label("approve_label", raw.approve_label, default.approve_label)?,
        };
        let Trigger {
            start_label,
            hold_label,
            retry_label,
            approve_label,
        } = &trigger;
        let distinct = HashSet::from([start_label, hold_label, retry_label, approve_label]);
        if distinct.len() < 4 {
            return Err(self.invalid(
                "trigger",
                0..0,
                "has two labels of the same name".to_owned(),
                "give starting, holding, retrying and approving a label each",
            ));
        }
        Ok(trigger)
    }

    fn label(&self, key: &str, label: Option<Placed<String>>, default: String) -> Checked<String> {
        let Some(label) = label else {
            return Ok(default);
        };
        let (span, label) = (label.span(), label.into_inner());
        let refuse = |problem: &str, advice: &str| {
            Err(self.invalid(key, span.clone(), problem.to_owned(), advice))
        };
        if label.trim().is_empty() || label.chars().any(char::is_control) {
            return refuse("is empty or not one line", "name the label");
        }
        if label.chars().count() > MAX_LABEL {
            return refuse(
                "is longer than 50 characters",
                "GitHub takes labels of at most 50 characters",
            );
        }
        if RESERVED_LABELS
            .iter()
            .any(|prefix| label.starts_with(prefix))
        {
            return refuse(
                "begins like a label that huskies itself uses",
                "choose another name, such as `huskies`",
            );
        }
        Ok(label)
    }

    fn component(&self, raw: raw::Component) -> Checked<Component> {
        Ok(Component {
            name: self.name(raw.name)?,
            path: raw
                .path
                .map_or(Ok(".".to_owned()), |path| self.folder(&path))?,
            setup: self.commands("setup", raw.setup)?,
            teardown: self.commands("teardown", raw.teardown)?,
            timeout: self.seconds("timeout_secs", raw.timeout_secs, DEFAULT_SETUP_SECS)?,
        })
    }

    fn gate(&self, raw: raw::Gate) -> Checked<Gate> {
        Ok(Gate {
            name: self.name(raw.name)?,
            command: self.command("command", raw.command)?,
            timeout: self.seconds("timeout_secs", raw.timeout_secs, DEFAULT_GATE_SECS)?,
            on: raw
                .on
                .map_or(Ok(vec![Moment::Accept, Moment::Merge]), |on| {
                    self.moments(on)
                })?,
            paths: self.globs(raw.paths)?,
        })
    }

    fn agent(&self, raw: raw::Agent) -> Checked<Agent> {
        let name_span = raw.name.span();
        let name = self.name(raw.name)?;
        let role = raw
            .stage
            .map_or(Ok(role_of(&name)), |stage| self.role(&stage))?;
        let runtime = raw
            .runtime
            .map_or(Ok(Runtime::ClaudeCode), |runtime| self.runtime(&runtime))?;
        let command = match (runtime, raw.command) {
            (Runtime::Command, Some(command)) => Some(self.command("command", command)?),
            (Runtime::Command, None) => {
                let advice = "add command = \"…\"; it runs with `sh -c` in the worktree";
                let problem = format!("is missing for agent `{name}`, whose runtime is `command`");
                return Err(self.invalid("command", name_span, problem, advice));
            }
            (Runtime::ClaudeCode, Some(command)) => {
                let advice = "add runtime = \"command\", or put arguments for the agent into args";
                let problem = "is only for agents whose runtime is `command`".to_owned();
                return Err(self.invalid("command", command.span(), problem, advice));
            }
            (Runtime::ClaudeCode, None) => None,
        };
        Ok(Agent {
            name,
            role,
            runtime,
            model: raw.model,
            prompt: raw.prompt,
            args: raw.args,
            command,
            max_turns: self.turns(raw.max_turns)?,
            max_budget: self.budget(raw.max_budget_usd)?,
            inactivity: self.seconds(
                "inactivity_timeout_secs",
                raw.inactivity_timeout_secs,
                DEFAULT_INACTIVITY_SECS,
            )?,
        })
    }

    fn name(&self, name: Placed<String>) -> Checked<ItemName> {
        let span = name.span();
        name.into_inner().parse().map_err(|error| {
            self.invalid(
                "name",
                span,
                format!("is refused, {error}"),
                "choose a name like `unit-tests`",
            )
        })
    }

    /// A folder below the root, written without `./` and without a slash at the end.
    fn folder(&self, path: &Placed<String>) -> Checked<String> {
        let text = path.get_ref().as_str();
        if text.starts_with('/')
            || text.split('/').any(|part| part == "..")
            || text.contains(['\0', '\n'])
        {
            let problem = format!("`{}` leads out of the repository", text.escape_debug());
            return Err(self.invalid(
                "path",
                path.span(),
                problem,
                "name a folder relative to its root, such as `web`",
            ));
        }
        let parts: Vec<&str> = text
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        Ok(if parts.is_empty() {
            ".".to_owned()
        } else {
            parts.join("/")
        })
    }

    fn commands(&self, key: &str, value: Option<Placed<toml::Value>>) -> Checked<Vec<String>> {
        let Some(value) = value else {
            return Ok(Vec::new());
        };
        let span = value.span();
        let commands = self.strings(key, value)?;
        if commands.iter().any(|command| command.trim().is_empty()) {
            return Err(self.invalid(
                key,
                span,
                "holds an empty command".to_owned(),
                "write a shell command or leave it out",
            ));
        }
        Ok(commands)
    }

    fn command(&self, key: &str, command: Placed<String>) -> Checked<String> {
        let span = command.span();
        let command = command.into_inner();
        if command.trim().is_empty() || command.contains('\0') {
            return Err(self.invalid(
                key,
                span,
                "is empty".to_owned(),
                "write the shell command to run",
            ));
        }
        Ok(command)
    }

    fn seconds(&self, key: &str, value: Option<Placed<u64>>, default: u64) -> Checked<Duration> {
        match value {
            None => Ok(Duration::from_secs(default)),
            Some(value) if *value.get_ref() == 0 => {
                let advice =
                    format!("give a number of seconds above zero, or leave it out for {default}");
                Err(self.invalid(key, value.span(), "is zero".to_owned(), &advice))
            }
            Some(value) => Ok(Duration::from_secs(value.into_inner())),
        }
    }

    fn moments(&self, value: Placed<toml::Value>) -> Checked<Vec<Moment>> {
        let span = value.span();
        let mut moments = Vec::new();
        for word in self.strings("on", value)? {
            let moment = match word.as_str() {
                "commit" => Moment::Commit,
                "accept" => Moment::Accept,
                "merge" => Moment::Merge,
                other => {
                    return Err(self.unknown("on", span, other, "`commit`, `accept` and `merge`"));
                }
            };
            if !moments.contains(&moment) {
                moments.push(moment);
            }
        }
        if moments.is_empty() {
            let advice =
                "list some of `commit`, `accept` and `merge`, or leave it out for the last two";
            return Err(self.invalid(
                "on",
                span,
                "is empty, so the gate would never run".to_owned(),
                advice,
            ));
        }
        Ok(moments)
    }

    fn globs(&self, value: Option<Placed<toml::Value>>) -> Checked<Vec<String>> {
        let Some(value) = value else {
            return Ok(Vec::new());
        };
        let span = value.span();
        let globs = self.strings("paths", value)?;
        for glob in &globs {
            let advice =
                "write globs relative to the repository's root, such as `src/**` or `**/*.rs`";
            if glob.is_empty() || glob.starts_with(['/', '!']) || glob.starts_with("./") {
                let problem = format!("has `{glob}`, which would match no changed path");
                return Err(self.invalid("paths", span, problem, advice));
            }
            if let Err(error) = GlobBuilder::new(glob).literal_separator(true).build() {
                let problem = format!("has `{glob}`, which is no glob ({})", error.kind());
                return Err(self.invalid("paths", span, problem, advice));
            }
        }
        Ok(globs)
    }

    fn role(&self, stage: &Placed<String>) -> Checked<Role> {
        match stage.get_ref().as_str() {
            "coder" => Ok(Role::Coder),
            "qa" => Ok(Role::Qa),
            "mergemaster" => Ok(Role::Mergemaster),
            "other" => Ok(Role::Other),
            other => Err(self.unknown(
                "stage",
                stage.span(),
                other,
                "`coder`, `qa`, `mergemaster` and `other`",
            )),
        }
    }

    fn runtime(&self, runtime: &Placed<String>) -> Checked<Runtime> {
        let known = Runtime::ALL
            .into_iter()
            .find(|known| known.name() == runtime.get_ref());
        known.ok_or_else(|| {
            let supported: Vec<String> = Runtime::ALL
                .iter()
                .map(|known| format!("`{}`", known.name()))
                .collect();
            self.unknown(
                "runtime",
                runtime.span(),
                runtime.get_ref(),
                &supported.join(" and "),
            )
        })
    }

    fn turns(&self, value: Option<Placed<u32>>) -> Checked<Option<u32>> {
        match value {
            Some(value) if *value.get_ref() == 0 => {
                let advice = "give a number above zero, or leave it out for no limit";
                Err(self.invalid("max_turns", value.span(), "is zero".to_owned(), advice))
            }
            value => Ok(value.map(Placed::into_inner)),
        }
    }

    fn budget(&self, value: Option<Placed<f64>>) -> Checked<Option<Usd>> {
        let Some(value) = value else {
            return Ok(None);
        };
        let amount = Usd::from_dollars(*value.get_ref()).filter(|amount| *amount > Usd::ZERO);
        amount.map(Some).ok_or_else(|| {
            let advice =
                "give dollars, such as 2.5, or leave it out for the server's ceilings alone";
            let problem = "is not an amount above zero".to_owned();
            self.invalid("max_budget_usd", value.span(), problem, advice)
        })
    }

    /// A string or a list of strings.
    fn strings(&self, key: &str, value: Placed<toml::Value>) -> Checked<Vec<String>> {
        let span = value.span();
        let refuse = || {
            let problem = "is neither a string nor a list of strings".to_owned();
            self.invalid(
                key,
                span.clone(),
                problem,
                "write \"one\" or [\"one\", \"two\"]",
            )
        };
        let items = match value.into_inner() {
            toml::Value::String(text) => return Ok(vec![text]),
            toml::Value::Array(items) => items,
            _ => return Err(refuse()),
        };
        items
            .into_iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(refuse))
            .collect()
    }

    fn unknown(&self, key: &str, span: Range<usize>, value: &str, supported: &str) -> ProjectError {
        let problem = format!("does not know `{}`", value.escape_debug());
        self.invalid(key, span, problem, &format!("supported are {supported}"))
    }

    fn invalid(
        &self,
        key: &str,
        span: Range<usize>,
        problem: String,
        advice: &str,
    ) -> ProjectError {
        ProjectError::Invalid {
            file: self.file.to_owned(),
            line: Some(line_of(self.text, span.start)),
            key: key.to_owned(),
            problem,
            advice: advice.to_owned(),
        }
    }
}

/// The role that an agent without `stage` has by its name: `qa…` and `mergemaster…` say it; every
/// other name is a coder's, so that a single agent called anything at all can work. `other` is never
/// guessed.
fn role_of(name: &ItemName) -> Role {
    let name = name.as_str().to_ascii_lowercase();
    if name.starts_with("qa") {
        Role::Qa
    } else if name.starts_with("mergemaster") {
        Role::Mergemaster
    } else {
        Role::Coder
    }
}
