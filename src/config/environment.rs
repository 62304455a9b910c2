//! The environment in which a project's own commands (gates, set-up) run: an explicit list, so that
//! a verdict does not depend on who started it, no secret leaks into a repository's commands, and
//! no `GIT_*` variable of a surrounding git command reaches a gate's own git.
//!
//! Not for: the environment of agents, which adds what its runtime needs.

use std::env;
use std::ffi::OsString;

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

/// The environment for a project's own commands, taken from this process's.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the room that reads the environment"
)]
pub fn for_project_commands() -> Vec<(String, String)> {
    select(|name| env::var_os(name))
}

/// The mark of the supervised run that this process is part of, when it is part of one.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the room that reads the environment"
)]
pub fn run_mark() -> Option<String> {
    env::var(MARK_VARIABLE).ok().filter(|mark| !mark.is_empty())
}

/// Values that are not UTF-8 are left out: they could not be written into a gate job's JSON file.
fn select(lookup: impl Fn(&str) -> Option<OsString>) -> Vec<(String, String)> {
    let passed_on = PASSED_ON.into_iter().filter_map(|name| {
        let value = lookup(name)?.into_string().ok()?;
        Some((name.to_owned(), value))
    });
    let fixed = FIXED
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    passed_on.chain(fixed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_variables_are_passed_on() {
        let environment = select(|name| match name {
            "PATH" => Some("/usr/bin".into()),
            "GIT_INDEX_FILE" | "GITHUB_TOKEN" => Some("leaked".into()),
            _ => None,
        });
        let names: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PATH", "TERM", "CI", "NO_COLOR"]);
        assert!(environment.iter().all(|(_, value)| value != "leaked"));
    }
}
