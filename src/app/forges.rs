//! Looking after the ways to GitHub: a change of how one is gets told once, one that does not work
//! is tried until it does, and deliveries that were missed are asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::core::Roots;
use super::github::Ways;
use crate::domain::id::RepoName;
use crate::forge::{ForgeError, Github, Health, TokenKind};
use crate::notify::{News, Notifier};
use crate::report::Masker;

/// Between tries of a way that does not work: the first, doubled up to the longest.
const FIRST_TRY: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What looking after takes.
#[derive(Clone)]
pub(super) struct Care {
    pub(super) notifier: Arc<Notifier>,
    pub(super) masker: Masker,
    /// How often missed deliveries are asked for; `None`: never.
    pub(super) redeliver: Option<Duration>,
}

/// One way, and every repository at its end.
struct Cared {
    github: Arc<Github>,
    repos: Vec<RepoName>,
}

impl Care {
    pub(super) fn start(&self, ways: Ways, roots: &mut Roots, shutdown: &CancellationToken) {
        for cared in by_way(ways) {
            let (care, stop) = (self.clone(), shutdown.clone());
            roots.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = care.watch(&cared) => {}
                    () = care.redeliver(&cared) => {}
                }
                Ok("care of a forge")
            });
        }
    }

    async fn watch(&self, cared: &Cared) {
        let mut health = cared.github.health();
        let mut told = Health::Well;
        let mut pause = FIRST_TRY;
        loop {
            let now = health.borrow_and_update().clone();
            if now.name() != told.name() {
                self.tell(cared, &now).await;
                told = now.clone();
                pause = FIRST_TRY;
            }
            if now.is_well() {
                // Its sender lives as long as the way itself.
                if health.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            }
            tokio::select! {
                _ = health.changed() => {}
                () = tokio::time::sleep(pause) => {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    cared.github.probe().await;
                }
            }
        }
    }

    async fn tell(&self, cared: &Cared, health: &Health) {
        let names: Vec<String> = cared.repos.iter().map(ToString::to_string).collect();
        let repos = names.join(", ");
        let why = health.why().map(|why| self.masker.mask(why));
        let text = match (health, &why) {
            (Health::Well, _) => format!("GitHub can be used again for {repos}"),
            (Health::Away { .. } | Health::Refused { .. }, why) => format!(
                "GitHub cannot be used for {repos}: {}. Stories go on as far as they can; reports wait",
                why.as_deref().unwrap_or_default()
            ),
        };
        if health.is_well() {
            tracing::info!("{text}");
        } else {
            tracing::error!("{text}");
        }
        let state = health.name();
        let news = News {
            text,
            state,
            repositories: names,
            why,
        };
        self.notifier.tell(&news).await;
    }

    async fn redeliver(&self, cared: &Cared) {
        let Some(every) = self.redeliver else {
            return std::future::pending().await;
        };
        let mut refused = BTreeSet::new();
        loop {
            for repo in &cared.repos {
                ask_for_missed(&cared.github, repo, &mut refused).await;
                // The App's own webhook is that of all of them.
                if cared.github.token_kind() == TokenKind::App {
                    break;
                }
            }
            tokio::time::sleep(every).await;
        }
    }
}

/// `refused` has the repositories of which it was said that the token may not.
async fn ask_for_missed(github: &Github, repo: &RepoName, refused: &mut BTreeSet<RepoName>) {
    match github.ask_for_missed(repo).await {
        Ok(found) => {
            refused.remove(repo);
            let (asked, given_up) = (found.asked, found.given_up);
            if asked + given_up > 0 {
                tracing::info!(%repo, asked, given_up, "asked GitHub for missed deliveries");
            }
        }
        Err(error @ (ForgeError::Forbidden { .. } | ForgeError::NotFound { .. })) => {
            if refused.insert(repo.clone()) {
                tracing::info!(%repo, %error, "missed deliveries cannot be asked for");
            }
        }
        Err(error) => {
            tracing::warn!(%repo, %error, "missed deliveries could not be asked for; later again");
        }
    }
}

fn by_way(ways: Ways) -> Vec<Cared> {
    let mut cared: Vec<Cared> = Vec::new();
    for (repo, github) in ways {
        match cared
            .iter_mut()
            .find(|known| Arc::ptr_eq(&known.github, &github))
        {
            Some(known) => known.repos.push(repo),
            None => cared.push(Cared {
                github,
                repos: vec![repo],
            }),
        }
    }
    cared
}
