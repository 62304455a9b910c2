//! The project file as it is written: every key, nothing checked but types and spelling.

use serde::Deserialize;
use toml::Spanned;

/// A value together with where it stands, so that an error can name its line.
pub(super) type Placed<T> = Spanned<T>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Project {
    pub(super) land: Option<Placed<String>>,
    pub(super) max_retries: Option<u32>,
    #[serde(default)]
    pub(super) push_wip: bool,
    #[serde(default)]
    pub(super) trigger: Trigger,
    #[serde(default)]
    pub(super) component: Vec<Component>,
    #[serde(default)]
    pub(super) gate: Vec<Gate>,
    #[serde(default)]
    pub(super) agent: Vec<Agent>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "the fields are the file's keys, which say what they name"
)]
pub(super) struct Trigger {
    pub(super) start_label: Option<Placed<String>>,
    pub(super) hold_label: Option<Placed<String>>,
    pub(super) retry_label: Option<Placed<String>>,
    pub(super) approve_label: Option<Placed<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Component {
    pub(super) name: Placed<String>,
    pub(super) path: Option<Placed<String>>,
    pub(super) setup: Option<Placed<toml::Value>>,
    pub(super) teardown: Option<Placed<toml::Value>>,
    pub(super) timeout_secs: Option<Placed<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gate {
    pub(super) name: Placed<String>,
    pub(super) command: Placed<String>,
    pub(super) timeout_secs: Option<Placed<u64>>,
    pub(super) on: Option<Placed<toml::Value>>,
    pub(super) paths: Option<Placed<toml::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    pub(super) name: Placed<String>,
    pub(super) stage: Option<Placed<String>>,
    pub(super) runtime: Option<Placed<String>>,
    pub(super) model: Option<String>,
    pub(super) prompt: Option<String>,
    #[serde(default)]
    pub(super) args: Vec<String>,
    pub(super) command: Option<Placed<String>>,
    pub(super) max_turns: Option<Placed<u32>>,
    pub(super) max_budget_usd: Option<Placed<f64>>,
    pub(super) inactivity_timeout_secs: Option<Placed<u64>>,
}
