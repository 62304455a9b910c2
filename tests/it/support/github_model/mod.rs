//! A stateful model of the part of GitHub that huskies talks to, served over a real socket.
//!
//! It holds one repository with its issues, labels, comments, permissions, commit statuses, check
//! runs and pull requests, enforces the limits that GitHub documents, builds the signed deliveries
//! GitHub would send, and fails the test that made it answer a route it does not know. Tests speak
//! to it in verbs (`github.label(7, "huskies", "ada")`), programs speak to it in HTTP.
//! Not for: git transport.
//!
//! It runs on a thread of its own, so that a test may block without stopping it.

mod app;
mod checks;
mod ci;
mod delivery;
mod fault;
mod hooks;
mod json;
mod limits;
mod lists;
mod pulls;
mod recording;
mod routes;
mod server;
mod state;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

pub(crate) use app::{APP_ID, APP_LOGIN, FIRST_KEY, SECOND_KEY};
pub(crate) use checks::Check;
pub(crate) use delivery::{Delivery, send};
pub(crate) use fault::{Answer, Fault};
pub(crate) use hooks::Hook;
pub(crate) use pulls::{BranchRules, PullRequest};
pub(crate) use state::{Comment, Issue, RecordedRequest, Status};

use state::State;

/// The token that the model accepts unless a test changes that; every other one is answered 401.
pub(crate) const TOKEN: &str = "ghp_model0123456789";
/// The secret that deliveries are signed with unless a test signs them anew.
pub(crate) const WEBHOOK_SECRET: &str = "It's a Secret to Everybody";
/// The account that [`TOKEN`] belongs to.
pub(crate) const OWN_LOGIN: &str = "huskies-bot";

/// How long [`GithubModel::eventually`] waits before it calls the test failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// State behind one lock, and a counter of changes that tests can wait on.
struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

impl Shared {
    /// Works even after a test panicked while holding the lock: the first panic is the one to read.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// A running model. Dropping it stops the server and fails the test if it was asked for anything
/// that it does not know.
pub(crate) struct GithubModel {
    shared: Arc<Shared>,
    server: server::Server,
}

impl GithubModel {
    /// Serves an empty repository `repo` (`octo/app`) on a free port of 127.0.0.1. Every commit
    /// counts as pushed until [`Self::serve_commits_of`] names a repository to look into.
    pub(crate) fn start(repo: &str) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(repo)),
            changes: watch::Sender::new(0),
        });
        let server = server::Server::start(&shared);
        Self { shared, server }
    }

    /// The API's base URL, without a slash at the end: `http://127.0.0.1:PORT`. The same API is
    /// also under `<url>/api/v3`, as on GitHub Enterprise Server.
    pub(crate) fn url(&self) -> &str {
        self.server.url()
    }

    /// Statuses are accepted only for commits that the repository at `path` has.
    pub(crate) fn serve_commits_of(&self, path: &Path) {
        let path = path.to_owned();
        self.shared.lock().pulls.repository = Some(path.clone());
        self.serve_commits(move |sha| {
            git2::Repository::open(&path)
                .and_then(|repository| {
                    repository
                        .find_commit(git2::Oid::from_str(sha)?)
                        .map(|_| ())
                })
                .is_ok()
        });
    }

    /// Statuses are accepted only for commits that `knows_commit` says are there.
    pub(crate) fn serve_commits(&self, knows_commit: impl Fn(&str) -> bool + Send + 'static) {
        self.shared.lock().knows_commit = Box::new(knows_commit);
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.lock());
        self.shared.changed();
        result
    }
}

/// What people do.
impl GithubModel {
    /// Opens an issue and returns its number.
    pub(crate) fn add_issue(&self, title: &str, body: &str, by: &str) -> u64 {
        self.change(|state| state.open_issue(title, body, by))
    }

    /// Sets a label; the delivery is what GitHub would send for it.
    pub(crate) fn label(&self, number: u64, label: &str, by: &str) -> Delivery {
        self.change(|state| state.add_label(number, label, by))
            .expect("the issue has this label already")
    }

    /// Gives the repository a label with a meaning, as its set-up does.
    pub(crate) fn create_label(&self, name: &str) {
        self.change(|state| state.create_label(name));
    }

    /// The repository's webhooks.
    pub(crate) fn hooks(&self) -> Vec<Hook> {
        self.shared.lock().hooks.clone()
    }

    /// Somebody set a webhook up.
    pub(crate) fn add_hook(&self, url: &str) {
        let hook = Hook {
            id: 500,
            events: Vec::new(),
            url: url.to_owned(),
            secret: WEBHOOK_SECRET.to_owned(),
        };
        self.change(|state| state.hooks.push(hook));
    }

    /// GitHub sent a delivery, and this was the answer.
    pub(crate) fn missed(&self, delivery: &Delivery, status: u16) {
        self.change(|state| {
            let now = state.now;
            state.attempt(delivery, status, now);
        });
    }

    /// What was asked for again.
    pub(crate) fn redelivered(&self) -> Vec<Delivery> {
        self.shared.lock().redelivered.clone()
    }

    /// The token has no such permission from now on.
    pub(crate) fn deny(&self, permission: &'static str) {
        self.change(|state| state.denied.push(permission));
    }

    /// The token is a classic one with these scopes.
    pub(crate) fn set_scopes(&self, scopes: &str) {
        self.change(|state| state.scopes = Some(scopes.to_owned()));
    }

    /// Takes a label away.
    pub(crate) fn unlabel(&self, number: u64, label: &str, by: &str) -> Delivery {
        self.change(|state| state.remove_label(number, label, by))
            .expect("the issue does not have this label")
    }

    pub(crate) fn close(&self, number: u64, by: &str) -> Delivery {
        self.change(|state| state.set_open(number, false, by))
    }

    /// Closes an issue as not planned.
    pub(crate) fn give_up(&self, number: u64, by: &str) -> Delivery {
        self.change(|state| state.set_state(number, (false, "not_planned"), by))
    }

    /// Makes an issue a sub-issue of another one.
    pub(crate) fn add_sub_issue(&self, parent: u64, part: u64) {
        self.change(|state| {
            let part = state.issues.get_mut(&part).expect("no such issue");
            part.parent = Some(parent);
        });
    }

    pub(crate) fn reopen(&self, number: u64, by: &str) -> Delivery {
        self.change(|state| state.set_open(number, true, by))
    }

    /// Rewrites an issue's body.
    pub(crate) fn edit_issue(&self, number: u64, body: &str, by: &str) -> Delivery {
        self.change(|state| state.edit_issue(number, body, by))
    }

    /// Writes a comment and returns its id.
    pub(crate) fn comment(&self, number: u64, body: &str, by: &str) -> u64 {
        self.change(|state| state.add_comment(number, body, by))
    }

    /// Writes a comment; its id, and what GitHub sends for it.
    pub(crate) fn say(&self, number: u64, body: &str, by: &str) -> (u64, Delivery) {
        self.change(|state| {
            let id = state.add_comment(number, body, by);
            (id, state.comment_event("created", id))
        })
    }

    /// Rewrites a comment, whoever wrote it.
    pub(crate) fn edit_comment(&self, id: u64, body: &str) {
        self.change(|state| state.edit_comment(id, body));
    }

    pub(crate) fn delete_comment(&self, id: u64) {
        self.change(|state| state.comments.remove(&id));
    }

    /// Gives an account one of GitHub's roles: `admin`, `maintain`, `write`, `triage`, `read` or
    /// `none`. Accounts that were never named are unknown to GitHub; those that opened an issue or
    /// wrote a comment may `read`.
    pub(crate) fn set_permission(&self, login: &str, role: &str) {
        self.change(|state| state.roles.insert(login.to_owned(), role.to_owned()));
    }

    /// A branch moved from `before` to `after`; `None` for a branch that was created or deleted.
    /// Moves nothing: the test pushes to its repository itself.
    pub(crate) fn push(
        &self,
        branch: &str,
        before: Option<&str>,
        after: Option<&str>,
        by: &str,
    ) -> Delivery {
        self.change(|state| state.push(branch, before, after, by))
    }

    /// The owner makes another token; the ones before stay good.
    pub(crate) fn add_token(&self, token: &str) {
        self.change(|state| state.tokens.push(token.to_owned()));
    }

    /// A token is refused from now on.
    pub(crate) fn revoke_token(&self, token: &str) {
        self.change(|state| state.tokens.retain(|good| good != token));
    }

    /// The token of the last request that was let in.
    pub(crate) fn last_token(&self) -> Option<String> {
        self.shared.lock().last_token.clone()
    }

    /// There is an App that is installed on the repository, and no token of a person any more.
    pub(crate) fn install_app(&self) {
        self.change(|state| {
            state.app = Some(app::App::new());
            state.tokens.clear();
        });
    }

    /// Something about the App is changed by its owner.
    fn change_app(&self, change: impl FnOnce(&mut app::App)) {
        self.change(|state| change(state.app.as_mut().expect("an App is installed")));
    }

    pub(crate) fn uninstall_app(&self) {
        self.change_app(|app| app.is_installed = false);
    }

    /// How long the tokens are good that are given out from now on.
    pub(crate) fn set_app_token_lifetime(&self, lifetime: Duration) {
        self.change_app(|app| app.lifetime = lifetime);
    }

    /// The App's key is another one from now on: a public key.
    pub(crate) fn set_app_key(&self, public_key: &'static str) {
        self.change_app(|app| app.public_key = public_key);
    }

    /// Every token that was given out is refused from now on.
    pub(crate) fn revoke_app_tokens(&self) {
        self.change_app(app::App::revoke);
    }

    /// The tokens that the App's installation was given.
    pub(crate) fn app_tokens(&self) -> Vec<String> {
        self.shared
            .lock()
            .app
            .as_ref()
            .map_or_else(Vec::new, app::App::issued)
    }

    /// What GitHub sends when a webhook was just set up.
    pub(crate) fn ping(&self) -> Delivery {
        self.change(State::ping)
    }

    /// Any other event with a body of the test's own.
    pub(crate) fn delivery(&self, event: &str, payload: &serde_json::Value) -> Delivery {
        self.change(|state| state.deliver(event, payload))
    }
}

/// What a test looks at.
impl GithubModel {
    pub(crate) fn issue(&self, number: u64) -> Issue {
        self.shared
            .lock()
            .issues
            .get(&number)
            .expect("no such issue")
            .clone()
    }

    /// The issue's labels in the order they were set.
    pub(crate) fn labels(&self, number: u64) -> Vec<String> {
        self.issue(number).labels
    }

    /// The issue's comments, oldest first.
    pub(crate) fn comments(&self, number: u64) -> Vec<Comment> {
        self.shared
            .lock()
            .comments
            .values()
            .filter(|comment| comment.issue == number)
            .cloned()
            .collect()
    }

    /// What huskies reacted with to a comment of a conversation.
    pub(crate) fn reactions(&self, comment: u64) -> Vec<String> {
        let state = self.shared.lock();
        let to_it = state
            .reactions
            .iter()
            .filter(|(place, id, _)| (*place, *id) == ("issues", comment));
        to_it.map(|(_, _, content)| content.clone()).collect()
    }

    /// A commit's statuses, oldest first: the last one of a context is the one that counts.
    pub(crate) fn statuses(&self, sha: &str) -> Vec<Status> {
        self.shared
            .lock()
            .statuses
            .iter()
            .filter(|status| status.sha == sha)
            .cloned()
            .collect()
    }

    /// The statuses of every commit, oldest first.
    pub(crate) fn all_statuses(&self) -> Vec<Status> {
        self.shared.lock().statuses.clone()
    }

    /// Every request so far, in order, also refused ones.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.lock().requests.clone()
    }

    /// The requests that count against the hourly limit: those whose answer was not "unchanged".
    pub(crate) fn api_calls(&self) -> usize {
        let requests = self.requests();
        let counts = |request: &&RecordedRequest| request.answered != Some(304);
        requests.iter().filter(counts).count()
    }

    /// The requests that were meant to change something.
    pub(crate) fn writes(&self) -> Vec<RecordedRequest> {
        self.requests()
            .into_iter()
            .filter(|request| request.method != "GET")
            .collect()
    }

    /// The deliveries that the token's own account caused since the last call, in order; GitHub
    /// sends them like everybody else's.
    pub(crate) fn take_own_deliveries(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.shared.lock().own_deliveries)
    }

    /// The model's time: begins on 2026-01-01 and moves on by a second with every change.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.lock().now
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, by: Duration) {
        self.change(|state| state.now += by);
    }

    /// Waits until `condition` holds, looking again after every change.
    ///
    /// # Panics
    /// After [`PATIENCE`], with `what` and everything that was asked of the model.
    pub(crate) async fn eventually(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        let wait = async {
            while !condition(self) {
                changes
                    .changed()
                    .await
                    .expect("the model is alive while it is borrowed");
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, wait).await;
        assert!(
            outcome.is_ok(),
            "{what} did not come about; requests so far: {:#?}",
            self.requests()
        );
    }
}

/// Pull requests.
impl GithubModel {
    /// All of them, oldest first.
    pub(crate) fn pulls(&self) -> Vec<PullRequest> {
        self.shared.lock().pulls.all.clone()
    }

    /// How often one was merged by request.
    pub(crate) fn merges(&self) -> usize {
        self.shared.lock().pulls.merges
    }

    /// What the base branch asks for from now on.
    pub(crate) fn protect(&self, rules: BranchRules) {
        self.change(|state| state.pulls.rules = rules);
    }

    /// The repository's plan has no draft pull requests.
    pub(crate) fn refuse_drafts(&self) {
        self.change(|state| state.pulls.has_no_drafts = true);
    }

    /// Happens while the next merge is under way, behind GitHub's own checks.
    pub(crate) fn during_the_next_merge(&self, between: impl FnOnce() + Send + 'static) {
        self.change(|state| state.pulls.between = Some(Box::new(between)));
    }

    /// Somebody reviews: `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`.
    pub(crate) fn review(
        &self,
        number: u64,
        by: &str,
        (state, text): (&'static str, &str),
    ) -> Delivery {
        self.change(|model| model.review(number, by, state, text))
    }

    /// A check of somebody else succeeds.
    pub(crate) fn pass_check(&self, sha: &str, name: &str) -> Delivery {
        self.change(|state| state.pass_check(sha, name))
    }

    pub(crate) fn close_pull(&self, number: u64, by: &str) -> Delivery {
        self.change(|state| state.close_pull(number, by))
    }

    /// Somebody else than huskies opens one for a branch.
    pub(crate) fn open_pull_by(&self, branch: &str, by: &str) -> u64 {
        self.change(|state| state.pulls.add(branch, by, state.now))
    }

    /// Somebody else than huskies merges it.
    pub(crate) fn merge_by_hand(&self, number: u64, by: &str) -> Delivery {
        self.change(|state| {
            let commit = state.squash(number, by, ("By hand", ""));
            commit.expect("it can be merged");
            state.pull_event("closed", number, by)
        })
    }

    /// Somebody writes in its conversation.
    pub(crate) fn say_on_pull(&self, number: u64, text: &str, by: &str) -> Delivery {
        self.change(|state| state.pull_comment(number, text, by))
    }

    /// Somebody pushed to its branch.
    pub(crate) fn pull_moved(&self, number: u64, by: &str) -> Delivery {
        self.change(|state| state.pull_event("synchronize", number, by))
    }
}

/// What goes wrong.
impl GithubModel {
    /// The next request with this method whose path contains `path` meets `fault`; faults of the
    /// same requests queue up.
    pub(crate) fn fail_next(&self, method: &str, path: &str, fault: Fault) {
        self.change(|state| state.faults.add(method, path, fault));
    }

    /// The request after the next `requests` meets `fault`, whatever it is for.
    pub(crate) fn fail_after(&self, requests: usize, fault: Fault) {
        self.change(|state| state.faults.add_after(requests, fault));
    }

    /// As many requests in a minute as anybody likes.
    pub(crate) fn lift_limits_on_pace(&self) {
        self.change(|state| state.secondary.are_off = true);
    }

    /// From the request after the next `requests` on, everything is answered as over the primary
    /// rate limit until `None`.
    pub(crate) fn set_rate_limit_remaining(&self, requests: u32) {
        self.change(|state| state.rate_limit_remaining = requests);
    }

    /// Takes what the model was asked and did not know; for tests of exactly that.
    pub(crate) fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().violations)
    }

    /// Fails the test if the model was asked for anything that it does not know. Also done when it
    /// is dropped.
    pub(crate) fn assert_clean(&self) {
        let violations = self.shared.lock().violations.clone();
        assert!(
            violations.is_empty(),
            "the model was asked for what it does not know: {violations:#?}"
        );
    }
}

impl Drop for GithubModel {
    fn drop(&mut self) {
        self.server.stop();
        recording::leave(&self.shared.lock().requests);
        if !std::thread::panicking() {
            self.assert_clean();
        }
    }
}
