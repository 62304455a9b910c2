//! What can be wrong with the server's configuration.

/// What is wrong with the configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration {path} cannot be read: {source}")]
    Unreadable {
        path: String,
        source: std::io::Error,
    },
    #[error("the configuration {path} is not valid: {message}")]
    Invalid { path: String, message: String },
    #[error("{key} is not valid: {message}")]
    Value { key: String, message: String },
    #[error("the environment variable {name} is not set: {purpose}")]
    MissingSecret { name: String, purpose: &'static str },
}

pub(super) fn value_error(key: &str, message: &str) -> ConfigError {
    ConfigError::Value {
        key: key.to_owned(),
        message: message.to_owned(),
    }
}
