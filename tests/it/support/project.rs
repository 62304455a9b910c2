//! Writes `.huskies/project.toml` for tests.

use serde::Serialize;

/// A project file in the making. Lands by pushing unless it says otherwise.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Project {
    land: &'static str,
    max_retries: u32,
    push_wip: bool,
    component: Vec<Component>,
    gate: Vec<Gate>,
    agent: Vec<Agent>,
}

#[derive(Debug, Clone, Serialize)]
struct Component {
    name: &'static str,
    setup: String,
    teardown: String,
}

#[derive(Debug, Clone, Serialize)]
struct Gate {
    name: String,
    command: String,
    on: Vec<&'static str>,
    timeout_secs: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Agent {
    name: String,
    stage: &'static str,
    runtime: &'static str,
    command: String,
    inactivity_timeout_secs: u64,
}

impl Project {
    /// The forge merges, as is the default on GitHub.
    pub(crate) fn by_pull_request(mut self) -> Self {
        self.land = "pull-request";
        self
    }

    /// No gate, no agent yet; three retries, as is the default.
    pub(crate) fn new() -> Self {
        Self {
            land: "push",
            max_retries: 3,
            push_wip: false,
            component: Vec::new(),
            gate: Vec::new(),
            agent: Vec::new(),
        }
    }

    /// The one part of the project that is set up and torn down.
    pub(crate) fn component(mut self, setup: String, teardown: String) -> Self {
        self.component = vec![Component {
            name: "all",
            setup,
            teardown,
        }];
        self
    }

    /// A gate that runs on what an agent committed and on what is about to land.
    pub(crate) fn gate(self, name: &str, command: &str) -> Self {
        self.gate_on(name, command, &["accept", "merge"])
    }

    pub(crate) fn gate_on(mut self, name: &str, command: &str, on: &[&'static str]) -> Self {
        self.gate.push(Gate {
            name: name.to_owned(),
            command: command.to_owned(),
            on: on.to_vec(),
            timeout_secs: 60,
        });
        self
    }

    /// A coder that runs `command`.
    pub(crate) fn coder(mut self, name: &str, command: &str) -> Self {
        self.agent.push(Agent {
            name: name.to_owned(),
            stage: "coder",
            runtime: "command",
            command: command.to_owned(),
            inactivity_timeout_secs: 60,
        });
        self
    }

    /// How long the agents so far may be silent.
    pub(crate) fn inactivity_timeout_secs(mut self, seconds: u64) -> Self {
        for agent in &mut self.agent {
            agent.inactivity_timeout_secs = seconds;
        }
        self
    }

    pub(crate) fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// Kept work goes to the remote too.
    pub(crate) fn push_wip(mut self) -> Self {
        self.push_wip = true;
        self
    }

    pub(crate) fn to_toml(&self) -> String {
        toml::to_string(self).expect("a project file is TOML")
    }
}
