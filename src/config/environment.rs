//! The process environment, read once and handed on as a value.

use std::collections::BTreeMap;

use crate::process::tree::MARK_VARIABLE;

/// What is passed on when it is set: where programs, homes and caches are, the locale, the
/// certificates. Nothing on this list is a secret by its purpose.
const PASSED_ON: [&str; 28] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "GOROOT",
    "GOPATH",
    "GOCACHE",
    "GOMODCACHE",
    "JAVA_HOME",
    "NVM_DIR",
    "PNPM_HOME",
    "PYENV_ROOT",
    "RBENV_ROOT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "NIX_PROFILES",
];

/// The same everywhere: no colours and pagers, and tools behave as they do in CI.
const FIXED: [(&str, &str); 3] = [("TERM", "dumb"), ("CI", "1"), ("NO_COLOR", "1")];

/// Said by a sandbox of ours; then its own way to the network is passed on as well.
const ROOM: &str = "HUSKIES_ROOM";
const WAY_OUT: [&str; 8] = [
    ROOM,
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "NODE_USE_ENV_PROXY",
];

/// Environment variables by name. Values that are no UTF-8 are left out.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub fn of_process() -> Self {
        let text = |value: std::ffi::OsString| value.into_string().ok();
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
                .collect(),
        )
    }

    pub fn from_pairs<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// What every agent sees: where programs and homes are, and a terminal.
    pub fn for_agents(&self) -> Vec<(String, String)> {
        let mut variables = self.only(&PASSED_ON);
        variables.push(("TERM".to_owned(), "xterm-256color".to_owned()));
        variables
    }

    /// The named variables that are set, for a child process.
    pub fn only(&self, names: &[&str]) -> Vec<(String, String)> {
        let pair = |name: &&str| Some(((*name).to_owned(), self.get(name)?.to_owned()));
        names.iter().filter_map(pair).collect()
    }
}

/// Names only: values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The environment for a project's own commands (gates, set-up), taken from this process's: an
/// explicit list, so that a verdict does not depend on who started it, no secret leaks into a
/// repository's commands, and no `GIT_*` variable of a surrounding git command reaches a gate.
pub fn for_project_commands() -> Vec<(String, String)> {
    select(&Environment::of_process())
}

/// The mark of the supervised run that this process is part of, when it is part of one.
pub fn run_mark() -> Option<String> {
    Environment::of_process()
        .get(MARK_VARIABLE)
        .map(str::to_owned)
}

fn select(environment: &Environment) -> Vec<(String, String)> {
    let mut selected = environment.only(&PASSED_ON);
    if environment.get(ROOM).is_some() {
        selected.extend(environment.only(&WAY_OUT));
    }
    selected.extend(FIXED.map(|(name, value)| (name.to_owned(), value.to_owned())));
    selected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_passed_on_only_when_it_is_a_sandboxs_own() {
        let passed = |environment| {
            select(&environment)
                .iter()
                .any(|(name, _)| name == "HTTPS_PROXY")
        };
        assert!(!passed(Environment::from_pairs([(
            "HTTPS_PROXY",
            "http://me:secret@proxy"
        )])));
        assert!(passed(Environment::from_pairs([
            ("HTTPS_PROXY", "x"),
            ("HUSKIES_ROOM", "1")
        ])));
    }

    #[test]
    fn only_listed_variables_are_passed_on() {
        let environment = Environment::from_pairs([
            ("PATH", "/usr/bin"),
            ("GIT_INDEX_FILE", "leaked"),
            ("GITHUB_TOKEN", "leaked"),
        ]);
        let environment = select(&environment);
        let names: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PATH", "TERM", "CI", "NO_COLOR"]);
    }
}
