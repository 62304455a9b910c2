//! What can be asked of a story, and by whom.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::delivery::CommentRef;
use crate::domain::dependency::{Family, Links};
use crate::domain::id::Sha;
use crate::domain::work::{Message, Place, Task, TaskComment};

/// Something a person asks of a story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub wish: Wish,
    pub by: Actor,
    pub at: Timestamp,
    /// The comment that it was asked in, which is reacted to.
    #[serde(default)]
    pub comment: Option<CommentRef>,
    /// The forge's answer, kept until all earlier requests are answered: what people asked for
    /// takes effect in the order in which they asked.
    #[serde(default)]
    pub answer: Option<Admission>,
}

/// The forge's answer to whether a sender may do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Admission {
    /// Allowed; for a start, the comments that were there when it was asked.
    Allowed {
        comments: Vec<TaskComment>,
        /// What was found out about the issues around it, where that was asked.
        #[serde(default)]
        links: Option<Box<Links>>,
        /// Of those who changed the text lately, the last one who may not write, by login.
        #[serde(default)]
        edited_by: Option<String>,
    },
    Denied,
}

impl Admission {
    /// Allowed, and nothing else was asked.
    pub fn allowed() -> Self {
        Self::Allowed {
            comments: Vec::new(),
            links: None,
            edited_by: None,
        }
    }
}

/// What is known about an issue beside its text when somebody starts it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Around {
    pub family: Family,
    /// When its text was so.
    pub at: Option<Timestamp>,
    /// Changes of any issue's text in the ten minutes before, the last one last: which of them are
    /// of its parent is not known yet.
    pub edits: Vec<TextEdit>,
    /// Where whoever asks has looked already.
    pub links: Option<Box<Links>>,
}

/// Somebody changed the title or body of an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextEdit {
    pub issue: u64,
    pub by: Actor,
    pub at: Timestamp,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "wish")]
pub enum Wish {
    Start {
        task: Task,
        agent: Option<String>,
        priority: i32,
        #[serde(default)]
        around: Box<Around>,
    },
    /// Its issue has this text now.
    Edit {
        title: String,
        body: String,
        at: Timestamp,
    },
    /// Take over the text that somebody who may not write has changed, by its digest.
    Confirm {
        digest: String,
    },
    /// Back to Backlog, the work kept.
    Stop,
    /// To Cancelled, the work kept.
    Cancel,
    /// Go on from where it was blocked. `label` is taken off again when a label asked for it.
    Retry {
        label: Option<String>,
    },
    /// Let a commit land that touches protected paths. Without `commit`: the one that waits for it
    /// when it is asked. `label` as above.
    Approve {
        commit: Option<Sha>,
        label: Option<String>,
    },
    Hold,
    Release,
    PickAgent {
        agent: Option<String>,
    },
    Prioritise {
        priority: i32,
    },
    /// Let it land without an agent's review, once the gates pass.
    Merge,
    /// Tell the agent something at its next turn.
    Tell {
        message: Message,
    },
    /// Say something, and do nothing. Where the agent has asked something, `answer` is told to it
    /// instead.
    Say {
        reply: Reply,
        answer: Option<Message>,
    },
}

impl Wish {
    /// Whether nobody expects an answer when it comes to nothing: a review is for its author first.
    pub fn is_quiet(&self, by: &Actor) -> bool {
        match self {
            Self::Tell { message } => {
                message.place != Place::Conversation || matches!(by, Actor::Bot { .. })
            }
            Self::Edit { .. } => true,
            Self::Start { .. }
            | Self::Confirm { .. }
            | Self::Stop
            | Self::Cancel
            | Self::Retry { .. }
            | Self::Approve { .. }
            | Self::Hold
            | Self::Release
            | Self::PickAgent { .. }
            | Self::Prioritise { .. }
            | Self::Merge
            | Self::Say { .. } => false,
        }
    }
}

/// What a comment is answered with that asks for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
pub enum Reply {
    /// How the story is.
    Status,
    /// The commands.
    Help,
    /// That word is no command.
    Unknown { word: String },
    /// Nothing was done, because.
    Moot { because: String },
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "actor")]
pub enum Actor {
    /// Whoever may run commands on the server.
    Operator,
    /// An account of the forge; its permission is asked for.
    Account { login: String },
    /// An account of the forge that is a program. It may what its name in the configuration says.
    Bot { login: String },
}

impl Actor {
    /// An account of the forge, as a delivery names it.
    pub fn account(login: &str, is_bot: bool) -> Self {
        let login = login.to_owned();
        if is_bot {
            Self::Bot { login }
        } else {
            Self::Account { login }
        }
    }

    pub fn login(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::Account { login } | Self::Bot { login } => Some(login),
        }
    }
}
