//! How a forge is, as far as the last requests tell. Not for: what follows from it.

use serde::{Deserialize, Serialize};

/// What a person would want to know about the way to a forge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Health {
    #[default]
    Well,
    /// It is down or out of reach: several requests in a row came to nothing.
    Away { why: String },
    /// It does not take the token, or the App's key.
    Refused { why: String },
}

impl Health {
    pub fn is_well(&self) -> bool {
        *self == Self::Well
    }

    /// `well`, `away` or `refused`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Away { .. } => "away",
            Self::Refused { .. } => "refused",
        }
    }

    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Well => None,
            Self::Away { why } | Self::Refused { why } => Some(why),
        }
    }
}
