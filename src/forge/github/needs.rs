//! What huskies needs on GitHub, and what for: one table for an App's manifest, for setting a
//! webhook up, and for telling a person what is missing.

/// One permission, by GitHub's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    pub permission: &'static str,
    pub access: &'static str,
    /// What does not work without it.
    pub feature: &'static str,
    /// The scopes of a classic token of which one is enough; none: no token has it.
    pub scopes: &'static [&'static str],
    pub by: By,
}

/// Who can be given a permission, and has a use for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Everybody,
    /// An App has a webhook of its own.
    Tokens,
    Apps,
}

const fn need(permission: &'static str, access: &'static str, feature: &'static str) -> Need {
    Need {
        permission,
        access,
        feature,
        scopes: &["repo", "public_repo"],
        by: By::Everybody,
    }
}

/// The least that every feature needs.
pub const NEEDS: [Need; 9] = [
    need(
        "metadata",
        "read",
        "seeing the repository and who may write to it",
    ),
    need("contents", "write", "fetching, story branches and landing"),
    need("issues", "write", "reading tasks, comments and labels"),
    Need {
        scopes: &["repo", "repo:status"],
        ..need("statuses", "write", "commit statuses")
    },
    need(
        "pull_requests",
        "write",
        "landing by pull request, and reviews",
    ),
    need(
        "actions",
        "read",
        "telling agents what the log of a failed check says",
    ),
    Need {
        scopes: &["workflow"],
        ..need("workflows", "write", "landing changes of .github/workflows")
    },
    Need {
        scopes: &["repo", "write:repo_hook", "admin:repo_hook"],
        by: By::Tokens,
        ..need(
            "repository_hooks",
            "write",
            "setting the webhook up, and asking for missed deliveries",
        )
    },
    Need {
        scopes: &[],
        by: By::Apps,
        ..need("checks", "write", "check runs")
    },
];

/// The events that huskies acts on. An App gets those of its installation besides, unasked.
pub const EVENTS: [&str; 10] = [
    "check_run",
    "check_suite",
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "status",
    "workflow_run",
];
