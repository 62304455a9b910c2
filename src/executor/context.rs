//! What the executor works with: the store, the engine, and each repository's adapters.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::server::ForgeKind;
use crate::crash::CrashPoints;
use crate::domain::event::{Event, SubjectId};
use crate::domain::id::{BranchName, RepoName, StoryId};
use crate::domain::policy::Protection;
use crate::domain::project::{Land, Runtime};
use crate::domain::sandbox::Sandbox;
use crate::domain::story::Story;
use crate::domain::transition::Subject;
use crate::engine::{EngineError, Handle, Report};
use crate::forge::{Forge, calls};
use crate::report::Masker;
use crate::sandbox::Walls;
use crate::store::{Store, StoreError};

use super::supervisors::Supervisors;
use super::workshop::Workshop;

/// Everything that effects are carried out with.
pub struct Context {
    pub store: Arc<dyn Store>,
    pub engine: Handle,
    pub adapters: Adapters,
}

/// The world outside, and what is needed to reach it.
pub struct Adapters {
    pub repos: BTreeMap<RepoName, RepoContext>,
    pub data_dir: PathBuf,
    pub supervisors: Arc<dyn Supervisors>,
    /// The program that the pre-commit hook calls.
    pub binary: PathBuf,
    /// What agents see of the server's environment.
    pub agent_environment: Vec<(String, String)>,
    /// What they see of it besides, to log in; it never stays on the disk.
    pub agent_secrets: Vec<(String, String)>,
    /// `None`: the server's configuration has turned the sandbox off.
    pub walls: Option<Walls>,
    pub as_root: bool,
    pub masker: Masker,
    pub crash: CrashPoints,
}

/// One repository's adapters.
pub struct RepoContext {
    pub git: Arc<dyn Workshop>,
    pub forge: Arc<dyn Forge>,
    pub forge_kind: ForgeKind,
    pub base_branch: Option<BranchName>,
    pub protection: Protection,
    /// Programs' accounts that may do what people with write permission may.
    pub bots: Vec<String>,
    /// Names by which a comment addresses the agent, without the `@`.
    pub mentions: Vec<String>,
    /// The runtimes that its agents may have.
    pub runtimes: Vec<Runtime>,
}

impl RepoContext {
    /// How changes land where the project file does not say (spec 7.5).
    pub fn default_land(&self) -> Land {
        match self.forge_kind {
            ForgeKind::GitHub => Land::PullRequest,
            ForgeKind::Local => Land::Push,
        }
    }
}

impl Context {
    pub(super) fn repo(&self, name: &RepoName) -> anyhow::Result<&RepoContext> {
        let repo = self.adapters.repos.get(name);
        repo.ok_or_else(|| {
            anyhow::anyhow!(
                "{name} is not configured on this server any more: add its [[repo]] again"
            )
        })
    }

    pub(super) fn sandbox(&self) -> Sandbox {
        match self.adapters.walls {
            Some(_) => Sandbox::On,
            None => Sandbox::Off,
        }
    }

    pub(super) async fn story(&self, id: &StoryId) -> Result<Option<Story>, StoreError> {
        Ok(
            match self.store.subject(&SubjectId::Story(id.clone())).await? {
                Some((Subject::Story(story), _)) => Some(*story),
                Some((Subject::Repo(_) | Subject::Head(_) | Subject::Account(_), _)) | None => None,
            },
        )
    }

    /// Does some work of a subject and keeps how many requests it made of the forge.
    pub(super) async fn counting<T>(
        &self,
        subject: &SubjectId,
        work: impl Future<Output = T>,
    ) -> T {
        let (result, made) = calls::counted(work).await;
        if made > 0
            && let Err(error) = self.store.add_calls(subject, made).await
        {
            tracing::warn!(%subject, %error, made, "requests to the forge were not counted");
        }
        result
    }

    /// The requests of the forge that were made for a story, those under way included.
    pub(super) async fn calls_so_far(&self, story: &StoryId) -> Option<u64> {
        let before = self.store.calls(&SubjectId::Story(story.clone())).await;
        match before {
            Ok(before) => Some(before + calls::so_far()),
            Err(error) => {
                tracing::warn!(%story, %error, "how many requests were made is not known");
                None
            }
        }
    }

    /// Tells the engine, again and again until it is stored or the server leaves.
    pub(super) async fn tell(&self, report: impl Fn() -> Report, shutdown: &CancellationToken) {
        let mut pause = Backoff::default();
        loop {
            match self.engine.report(report()).await {
                Ok(_) | Err(EngineError::Stopped) => return,
                Err(error @ EngineError::Store(_)) => {
                    tracing::error!(%error, "the store does not take news; trying again");
                    if pause.wait(shutdown).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    pub(super) async fn tell_event(&self, event: &Event, shutdown: &CancellationToken) {
        self.tell(|| Report::event(event.clone()), shutdown).await;
    }
}

/// The server leaves.
pub(super) struct Leaving;

/// Growing pauses between tries: 0.2 s, doubled up to 60 s.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Duration::from_millis(200))
    }
}

impl Backoff {
    const LONGEST: Duration = Duration::from_mins(1);

    pub(super) async fn wait(&mut self, shutdown: &CancellationToken) -> Result<(), Leaving> {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        self.wait_for(pause, shutdown).await
    }

    /// Waits as long as somebody else asked for.
    pub(super) async fn wait_for(
        &self,
        pause: Duration,
        shutdown: &CancellationToken,
    ) -> Result<(), Leaving> {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Err(Leaving),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

/// What became of a try.
pub(super) enum Try {
    /// Carried out, with news or without.
    Done(Option<Event>),
    /// Not now; `after` where somebody said when.
    Again {
        after: Option<Duration>,
        why: String,
    },
}

impl Try {
    pub(super) fn news(event: Event) -> Self {
        Self::Done(Some(event))
    }

    pub(super) fn again(why: &dyn std::fmt::Display) -> Self {
        Self::Again {
            after: None,
            why: why.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_minute_and_end_when_the_server_leaves() {
        let shutdown = CancellationToken::new();
        let mut backoff = Backoff::default();
        let mut pauses = Vec::new();
        for _ in 0..11 {
            let began = Instant::now();
            assert!(backoff.wait(&shutdown).await.is_ok());
            pauses.push(began.elapsed().as_millis());
        }
        assert_eq!(pauses[..4], [200, 400, 800, 1_600]);
        assert_eq!(pauses[9..], [60_000, 60_000]);

        shutdown.cancel();
        let began = Instant::now();
        assert!(backoff.wait(&shutdown).await.is_err());
        assert!(backoff.wait_for(GIVEN, &shutdown).await.is_err());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    const GIVEN: Duration = Duration::from_hours(1);
}
