//! What can go wrong with a forge, and when it is worth trying again.

use std::time::Duration;

/// Why a forge did not do what it was asked. The texts are fit for the person who runs huskies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// A rate limit. Asking again before `wait` is over can get the account banned.
    #[error("the forge asks to wait {} s: {message}", wait.as_secs())]
    RetryAfter { wait: Duration, message: String },
    /// The forge is down, out of reach or answered nonsense. What was asked may have been done.
    #[error("the forge is not available: {message}")]
    Unavailable { message: String },
    /// The token is not accepted at all.
    #[error("{message}")]
    Unauthorized { message: String },
    /// The token is accepted and not allowed to do this.
    #[error("{message}")]
    Forbidden { message: String },
    /// It does not exist, was deleted, or the token may not see it: forges do not tell which.
    #[error("{what} does not exist, or the token may not see it")]
    NotFound { what: String },
    /// The forge understood the request and will never take it.
    #[error("the forge refused: {message}")]
    Invalid { message: String },
}

/// When a request that failed is worth making again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryWhen {
    /// Not before this time is over.
    After(Duration),
    /// In a while, later each time.
    BackingOff,
    /// Once a person mended it: the token or its permissions.
    Mended,
    /// Never: it would be refused in the same way.
    Never,
}

impl ForgeError {
    pub fn retry_when(&self) -> RetryWhen {
        match self {
            Self::RetryAfter { wait, .. } => RetryWhen::After(*wait),
            Self::Unavailable { .. } => RetryWhen::BackingOff,
            Self::Unauthorized { .. } | Self::Forbidden { .. } => RetryWhen::Mended,
            Self::NotFound { .. } | Self::Invalid { .. } => RetryWhen::Never,
        }
    }
}
