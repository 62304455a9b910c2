//! What a pull request waits for: the rules of its base branch, as far as whoever may read the
//! repository sees them, against its reviews, statuses and check runs.
//!
//! Classic branch protection is for admins to read; the branch itself names its required checks to
//! everybody ("Get a branch"), and rulesets are open ("Get rules for a branch").

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::client::segment;
use super::payload::Account;
use super::pulls::pull_path;
use super::{Github, PAGE, repo_path};
use crate::domain::id::RepoName;
use crate::domain::pull::{Obstacles, Rule};
use crate::forge::ForgeError;
use crate::forge::pulls::{Mergeable, PullNow};

/// One rule; kinds that are not known here say nothing.
#[derive(Deserialize)]
struct BranchRule {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Parameters {
    required_approving_review_count: u64,
    require_code_owner_review: bool,
    require_last_push_approval: bool,
    required_status_checks: Vec<RequiredCheck>,
}

#[derive(Deserialize)]
struct RequiredCheck {
    context: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Branch {
    protection: Protection,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Protection {
    required_status_checks: ClassicChecks,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClassicChecks {
    contexts: Vec<String>,
}

#[derive(Deserialize)]
struct Review {
    user: Option<Account>,
    state: String,
}

impl Github {
    pub(super) async fn find_obstacles(
        &self,
        repo: &RepoName,
        (number, pull): (u64, &PullNow),
    ) -> Result<Obstacles, ForgeError> {
        let branch = segment(&pull.base);
        let (rules, required) = self.rules(repo, &branch).await?;
        let mut found = Obstacles::default();
        if rules.iter().any(|rule| rule.kind == "merge_queue") {
            found.rules.push(Rule::MergeQueue);
        }
        if pull.mergeable == Mergeable::Behind {
            found.rules.push(Rule::Behind);
        }
        let wanted = rules
            .iter()
            .map(|rule| rule.parameters.required_approving_review_count);
        let wanted = wanted.max().unwrap_or_default();
        let (approvals, refusals) = self.reviews(repo, number).await?;
        found.changes_requested = refusals;
        found.approvals = (approvals < wanted).then_some((wanted, approvals));
        found.checks = self.missing_checks(repo, pull, required).await?;
        if found == Obstacles::default() {
            found.rules = others(&rules);
        }
        Ok(found)
    }

    /// The rules of a branch, and the checks that it requires.
    async fn rules(
        &self,
        repo: &RepoName,
        branch: &str,
    ) -> Result<(Vec<BranchRule>, BTreeSet<String>), ForgeError> {
        let what = format!("the rules of {repo}");
        let path = format!("{}/rules/branches/{branch}", repo_path(repo));
        let rules: Vec<BranchRule> = self.if_allowed(&what, path).await?.unwrap_or_default();
        let path = format!("{}/branches/{branch}", repo_path(repo));
        let classic: Branch = self.if_allowed(&what, path).await?.unwrap_or_default();
        let by_rules = rules
            .iter()
            .flat_map(|rule| &rule.parameters.required_status_checks);
        let by_rules = by_rules.map(|check| check.context.clone());
        let required = classic.protection.required_status_checks.contexts;
        let required = required.into_iter().chain(by_rules).collect();
        Ok((rules, required))
    }

    /// How many approve, and who asks for changes: everybody's newest word counts.
    async fn reviews(
        &self,
        repo: &RepoName,
        number: u64,
    ) -> Result<(u64, Vec<String>), ForgeError> {
        let path = format!("{}/reviews?per_page={PAGE}", pull_path(repo, number));
        let what = format!("the reviews of pull request {number} of {repo}");
        let reviews: Vec<Review> = self.if_allowed(&what, path).await?.unwrap_or_default();
        let mut newest = BTreeMap::new();
        for Review { user, state } in reviews {
            if let ("APPROVED" | "CHANGES_REQUESTED" | "DISMISSED", Some(user)) =
                (state.as_str(), user)
            {
                newest.insert(user.login, state);
            }
        }
        let approvals = newest.values().filter(|state| *state == "APPROVED").count();
        let refusals = newest
            .into_iter()
            .filter(|(_, state)| state == "CHANGES_REQUESTED");
        let refusals = refusals.map(|(login, _)| login).collect();
        Ok((u64::try_from(approvals).unwrap_or(u64::MAX), refusals))
    }

    async fn missing_checks(
        &self,
        repo: &RepoName,
        pull: &PullNow,
        mut required: BTreeSet<String>,
    ) -> Result<Vec<String>, ForgeError> {
        if required.is_empty() {
            return Ok(Vec::new());
        }
        let (statuses, runs) = self.verdicts(repo, &pull.head).await?;
        for status in statuses.iter().filter(|status| status.state == "success") {
            required.remove(&status.context);
        }
        for run in runs {
            // "Neutral" and "skipped" satisfy a required check as well.
            if let Some("success" | "neutral" | "skipped") = run.conclusion.as_deref() {
                required.remove(&run.name);
            }
        }
        Ok(required.into_iter().collect())
    }
}

/// Rules of which nobody can tell from outside whether they are met.
fn others(rules: &[BranchRule]) -> Vec<Rule> {
    let is_there = |found: &Rule| {
        rules.iter().any(|rule| match found {
            Rule::CodeOwner => rule.parameters.require_code_owner_review,
            Rule::LastPush => rule.parameters.require_last_push_approval,
            Rule::Signatures => rule.kind == "required_signatures",
            Rule::Restricted => rule.kind == "update",
            Rule::MergeQueue | Rule::Behind => false,
        })
    };
    let all = [
        Rule::CodeOwner,
        Rule::LastPush,
        Rule::Signatures,
        Rule::Restricted,
    ];
    all.into_iter().filter(is_there).collect()
}
