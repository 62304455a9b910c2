//! What people say in comments and reviews, and what other checks say about a commit: told to the
//! story that it is about.

use super::{Refusal, Turn, ignored};
use crate::domain::delivery::{
    CheckRequest, CheckResult, Comment, PullRequestChange, Review, Said,
};

impl Turn {
    pub(super) fn commented(&mut self, _: &Comment, _: &Said) -> Result<(), Refusal> {
        ignored("nothing follows from comments yet")
    }

    pub(super) fn reviewed(&mut self, _: &Review, _: Option<&Said>) -> Result<(), Refusal> {
        ignored("nothing follows from reviews yet")
    }

    pub(super) fn checked(&mut self, _: &CheckResult) -> Result<(), Refusal> {
        ignored("nothing follows from checks yet")
    }

    pub(super) fn pull_request(&mut self, _: &PullRequestChange) -> Result<(), Refusal> {
        ignored("nothing follows from pull requests yet")
    }

    pub(super) fn check_requested(&mut self, _: &CheckRequest) -> Result<(), Refusal> {
        ignored("nothing follows from requests for checks yet")
    }
}
