//! `[forge.github]`: where GitHub is, and the secrets it is used with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::super::environment::Environment;
use super::super::error::{ConfigError, value_error};
use crate::secret::Secret;

const GITHUB_API: &str = "https://api.github.com";
const TOKEN_ENV: &str = "HUSKIES_GITHUB_TOKEN";
const WEBHOOK_SECRET_ENV: &str = "HUSKIES_WEBHOOK_SECRET";
/// What GitHub asks for ("Best practices for using the REST API").
const WRITE_SPACING: Duration = Duration::from_secs(1);
const REDELIVER: Duration = Duration::from_mins(30);
/// With webhooks, and without.
const LOOK: Duration = Duration::from_hours(1);
const POLL: Duration = Duration::from_mins(1);
const TOKEN_PURPOSE: &str = "set it to a token that may write issues, statuses and contents";
const SECRET_PURPOSE: &str = "set it to the secret that you gave the webhook on GitHub";

#[derive(Debug, Clone)]
pub struct GitHubConfig {
    pub api_url: String,
    pub identity: GitHubIdentity,
    /// Each of them is valid. Without any no webhook is taken, and GitHub is polled.
    pub webhook_secrets: Vec<Secret>,
    /// How often each repository is looked at for what no delivery told.
    pub look_every: Duration,
    /// Between two changes on GitHub.
    pub write_spacing: Duration,
    /// How often missed deliveries are asked for; `None`: never, or there are none.
    pub redeliver: Option<Duration>,
}

/// As whom huskies acts there.
#[derive(Debug, Clone)]
pub enum GitHubIdentity {
    Token(Secret),
    App {
        app_id: u64,
        /// As PEM.
        key: Secret,
        /// `None`: found by repository.
        installation_id: Option<u64>,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGitHub {
    api_url: Option<String>,
    token_env: Option<String>,
    token_file: Option<PathBuf>,
    app_id: Option<u64>,
    private_key_file: Option<PathBuf>,
    installation_id: Option<u64>,
    webhook_secret_envs: Option<Vec<String>>,
    webhook_secret_files: Vec<PathBuf>,
    write_spacing_ms: Option<u64>,
    redeliver_minutes: Option<u64>,
    look_secs: Option<u32>,
}

impl RawGitHub {
    /// Relative files begin at `folder`.
    pub(super) fn check(
        self,
        environment: &Environment,
        folder: &Path,
    ) -> Result<GitHubConfig, ConfigError> {
        // The token first: without it nothing works at all.
        let identity = self.identity(environment, folder)?;
        let webhook_secrets = self.webhook_secrets(environment, folder)?;
        Ok(GitHubConfig {
            identity,
            look_every: self.look_every(webhook_secrets.is_empty())?,
            redeliver: self.redeliver().filter(|_| !webhook_secrets.is_empty()),
            webhook_secrets,
            api_url: self.api_url.unwrap_or_else(|| GITHUB_API.to_owned()),
            write_spacing: self
                .write_spacing_ms
                .map_or(WRITE_SPACING, Duration::from_millis),
        })
    }

    fn identity(
        &self,
        environment: &Environment,
        folder: &Path,
    ) -> Result<GitHubIdentity, ConfigError> {
        let has_token = self.token_file.is_some() || self.token_env.is_some();
        match (self.app_id, &self.private_key_file) {
            (Some(_), _) | (_, Some(_)) if has_token => {
                let message = "there is a token too: name an App or a token";
                Err(value_error("forge.github.app_id", message))
            }
            (Some(app_id), Some(file)) => Ok(GitHubIdentity::App {
                app_id,
                key: in_file("forge.github.private_key_file", &folder.join(file))?,
                installation_id: self.installation_id,
            }),
            (Some(_), None) => {
                let message = "it is missing: an App signs with the key that GitHub made for it";
                Err(value_error("forge.github.private_key_file", message))
            }
            (None, Some(_)) => {
                let message = "it is missing: the number on the App's page, above its key";
                Err(value_error("forge.github.app_id", message))
            }
            (None, None) => self.token(environment, folder).map(GitHubIdentity::Token),
        }
    }

    fn token(&self, environment: &Environment, folder: &Path) -> Result<Secret, ConfigError> {
        match (&self.token_file, &self.token_env) {
            (Some(_), Some(_)) => {
                let message = "`token_env` is there too: name one of them";
                Err(value_error("forge.github.token_file", message))
            }
            (Some(file), None) => in_file("forge.github.token_file", &folder.join(file)),
            (None, name) => {
                let name = name.as_deref().unwrap_or(TOKEN_ENV);
                in_variable(environment, name, TOKEN_PURPOSE)
            }
        }
    }

    /// Those of files and of variables; the default variable only where nothing else is named, so
    /// that only an empty list turns webhooks off.
    fn webhook_secrets(
        &self,
        environment: &Environment,
        folder: &Path,
    ) -> Result<Vec<Secret>, ConfigError> {
        let default = || {
            if self.webhook_secret_files.is_empty() {
                vec![WEBHOOK_SECRET_ENV.to_owned()]
            } else {
                Vec::new()
            }
        };
        let names = self.webhook_secret_envs.clone().unwrap_or_else(default);
        let variables = names
            .iter()
            .map(|name| in_variable(environment, name, SECRET_PURPOSE));
        let files = self
            .webhook_secret_files
            .iter()
            .map(|file| in_file("forge.github.webhook_secret_files", &folder.join(file)));
        variables.chain(files).collect()
    }

    fn redeliver(&self) -> Option<Duration> {
        match self.redeliver_minutes {
            None => Some(REDELIVER),
            Some(0) => None,
            Some(minutes) => Some(Duration::from_secs(minutes.saturating_mul(60))),
        }
    }

    fn look_every(&self, polls: bool) -> Result<Duration, ConfigError> {
        match self.look_secs {
            None if polls => Ok(POLL),
            None => Ok(LOOK),
            Some(0) => {
                let message = "it is 0: name the seconds between two looks at a repository";
                Err(value_error("forge.github.look_secs", message))
            }
            Some(seconds) => Ok(Duration::from_secs(u64::from(seconds))),
        }
    }
}

fn in_variable(
    environment: &Environment,
    name: &str,
    purpose: &'static str,
) -> Result<Secret, ConfigError> {
    match environment.get(name) {
        Some(value) => Ok(Secret::from(value)),
        None => Err(ConfigError::MissingSecret {
            name: name.to_owned(),
            purpose,
        }),
    }
}

fn in_file(key: &str, file: &Path) -> Result<Secret, ConfigError> {
    Secret::file(file).map_err(|error| value_error(key, &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn checked(text: &str, folder: &Path) -> Result<GitHubConfig, String> {
        let environment = Environment::from_pairs([(TOKEN_ENV, "t"), (WEBHOOK_SECRET_ENV, "s")]);
        let raw: RawGitHub = toml::from_str(text).unwrap();
        raw.check(&environment, folder)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn files_that_are_missing_or_named_beside_a_variable_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |text| checked(text, folder.path()).unwrap_err();
        let missing = refused("token_file = 'token'");
        assert!(
            missing.starts_with("forge.github.token_file is not valid: "),
            "{missing}"
        );
        assert!(refused("token_file = 'token'\ntoken_env = 'T'").contains("name one of them"));
        std::fs::write(folder.path().join("key"), "a key").unwrap();
        assert!(refused("app_id = 7").contains("private_key_file is not valid: it is missing"));
        assert!(refused("private_key_file = 'key'").contains("app_id is not valid: it is missing"));
        let both = refused("app_id = 7\nprivate_key_file = 'key'\ntoken_env = 'T'");
        assert!(both.contains("name an App or a token"), "{both}");
        assert!(refused("webhook_secret_files = ['gone']").contains("cannot be read"));
        assert!(refused("look_secs = 0").contains("seconds between two looks"));
    }

    #[test]
    fn github_is_polled_often_where_no_secret_is_named_and_looked_at_now_and_then_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let looks = |text| {
            let config = checked(text, folder.path()).unwrap();
            (config.webhook_secrets.len(), config.look_every.as_secs())
        };
        assert_eq!(looks(""), (1, 3_600));
        assert_eq!(looks("webhook_secret_envs = []"), (0, 60));
        assert_eq!(looks("webhook_secret_envs = []\nlook_secs = 5"), (0, 5));
    }

    #[test]
    fn an_app_needs_no_token() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "a\nkey\n").unwrap();
        let text = "app_id = 7\nprivate_key_file = 'key'\ninstallation_id = 9";
        let config = checked(text, folder.path()).unwrap();
        let GitHubIdentity::App {
            app_id: 7,
            key,
            installation_id: Some(9),
        } = config.identity
        else {
            panic!("{config:?}")
        };
        assert_eq!(key.whole().expose_secret(), "a\nkey");
    }

    #[test]
    fn files_take_the_place_of_the_default_variables_and_stand_beside_named_ones() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "from a file\n").unwrap();
        std::fs::write(folder.path().join("secrets"), "new\nold\n").unwrap();
        let files = "token_file = 'token'\nwebhook_secret_files = ['secrets']";
        let config = checked(files, folder.path()).unwrap();
        let GitHubIdentity::Token(token) = &config.identity else {
            panic!("a token was configured")
        };
        assert_eq!(token.current().expose_secret(), "from a file");
        let valid = |config: &GitHubConfig| {
            let secrets = config.webhook_secrets.iter().flat_map(Secret::valid);
            secrets
                .map(|secret| secret.expose_secret().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(valid(&config), ["new", "old"]);
        let both = format!("{files}\nwebhook_secret_envs = ['{WEBHOOK_SECRET_ENV}']");
        assert_eq!(
            valid(&checked(&both, folder.path()).unwrap()),
            ["s", "new", "old"]
        );
    }
}
