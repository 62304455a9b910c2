//! What a forge shows of gates beside a status: a check run with its annotations.

use serde::{Deserialize, Serialize};

/// A check run as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// Tells check runs of one commit apart: `huskies/gates`.
    pub name: String,
    /// The caller's own name for it. One of the same name that is there already is changed, and no
    /// second one made.
    pub external_id: String,
    pub state: CheckState,
    /// One line.
    pub title: String,
    /// Markdown, as `text`.
    pub summary: String,
    pub text: String,
    /// The same and in the same order whenever it is written: what the forge has of them already is
    /// not sent again.
    pub annotations: Vec<Annotation>,
}

impl CheckRun {
    /// The longest summary and text that GitHub takes, in characters (its OpenAPI description).
    pub const LONGEST_TEXT: usize = 65_535;
    /// Annotations in one request, likewise; more take more requests.
    pub const MOST_ANNOTATIONS: usize = 50;
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    Queued,
    InProgress,
    Completed(Conclusion),
}

/// What came of it, as GitHub names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    Success,
    Failure,
    Cancelled,
    /// A person has to do something. Unlike GitHub's `neutral` it does not pass for a success.
    ActionRequired,
}

impl CheckState {
    /// GitHub's `status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed(_) => "completed",
        }
    }
}

impl Conclusion {
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::ActionRequired => "action_required",
        }
    }
}

/// A word at a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub path: String,
    pub line: u32,
    pub column: Option<u32>,
    pub level: Level,
    pub title: String,
    pub message: String,
}

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Notice,
    Warning,
    Failure,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// A forge's name for a check run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckId(pub String);
