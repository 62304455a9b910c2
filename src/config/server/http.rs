//! `[http]`: how much time and room each client gets.

use std::time::Duration;

use serde::Deserialize;

use super::super::error::{ConfigError, value_error};

/// Limits of the HTTP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpConfig {
    /// At the same time. Of more, the oldest that has not said anything yet makes room.
    pub max_connections: usize,
    /// For the headers of a request, also of the next one on an open connection.
    pub header_timeout: Duration,
    /// For a request's body. GitHub itself gives up after 10 s (docs.github.com, "Best practices
    /// for using webhooks").
    pub body_timeout: Duration,
    /// All request bodies that are being read or worked on, together.
    pub max_memory_bytes: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_connections: 512,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
            max_memory_bytes: 128 * 1024 * 1024,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHttp {
    max_connections: Option<usize>,
    header_timeout_secs: Option<u64>,
    body_timeout_secs: Option<u64>,
    max_memory_bytes: Option<usize>,
}

impl RawHttp {
    pub(super) fn check(self, max_body_bytes: usize) -> Result<HttpConfig, ConfigError> {
        let default = HttpConfig::default();
        let seconds = |key: &str, value: Option<u64>, default| match value {
            None => Ok(default),
            Some(0) => Err(value_error(key, "with 0 nobody could ask anything")),
            Some(seconds) => Ok(Duration::from_secs(seconds)),
        };
        let max_connections = self.max_connections.unwrap_or(default.max_connections);
        if max_connections == 0 {
            let message = "with 0 nobody could ask anything";
            return Err(value_error("http.max_connections", message));
        }
        let max_memory_bytes = self.max_memory_bytes.unwrap_or(default.max_memory_bytes);
        if max_memory_bytes < max_body_bytes || u32::try_from(max_memory_bytes).is_err() {
            let message = "it must hold one body of webhook.max_body_bytes, and be under 4 GiB";
            return Err(value_error("http.max_memory_bytes", message));
        }
        Ok(HttpConfig {
            max_connections,
            header_timeout: seconds(
                "http.header_timeout_secs",
                self.header_timeout_secs,
                default.header_timeout,
            )?,
            body_timeout: seconds(
                "http.body_timeout_secs",
                self.body_timeout_secs,
                default.body_timeout,
            )?,
            max_memory_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<HttpConfig, String> {
        let raw: RawHttp = toml::from_str(text).unwrap();
        raw.check(1_000).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_that_would_lock_everybody_out_are_refused() {
        for bad in [
            "max_connections = 0",
            "header_timeout_secs = 0",
            "body_timeout_secs = 0",
            "max_memory_bytes = 999",
            "max_memory_bytes = 5000000000",
        ] {
            assert!(checked(bad).unwrap_err().contains("is not valid"), "{bad}");
        }
        assert_eq!(checked(""), Ok(HttpConfig::default()));
        let config = checked("max_connections = 3\nbody_timeout_secs = 2").unwrap();
        assert_eq!(config.max_connections, 3);
        assert_eq!(config.body_timeout, Duration::from_secs(2));
    }
}
