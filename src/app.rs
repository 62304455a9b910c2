//! The composition root: configuration in, a running server out. The only place that spawns roots.

mod core;
mod data_dir;
mod forges;
mod github;
mod open;
mod walls;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::environment::Environment;
use crate::config::server::ServerConfig;
use crate::crash::CrashPoints;
use crate::domain::event::{AccountEvent, Event, RepoEvent};
use crate::engine::{Engine, Handle, Report};
use crate::report::Masker;
use crate::secret::Secret;
use crate::store::{SqliteStore, Store, StoreError};
use crate::upkeep::{Mode, Swept, Upkeep};
use crate::web::{self, WebState};

pub use self::core::{Core, Roots};
pub use data_dir::{DataDir, ServerFile};
pub use github::way as way_to_github;
pub use open::plain_git;
pub use walls::{of as walls_of, trial as walls_trial, try_out as walls_hold};

/// A server that listens and is ready to run.
pub struct App {
    address: SocketAddr,
    listener: TcpListener,
    core: Core,
    handle: Handle,
    web: WebState,
    sqlite: SqliteStore,
    configured: Vec<Event>,
    upkeep: Arc<Upkeep>,
    care: forges::Care,
    ways: github::Ways,
    /// Runs are ended when the server leaves.
    stops_runs: bool,
    /// Held as long as the server lives.
    data_dir: DataDir,
}

impl App {
    /// Takes the data folder, opens the store and the repositories, and binds the address. First of
    /// all `masker` learns every secret that must not be told.
    pub async fn open(
        mut config: ServerConfig,
        environment: &Environment,
        masker: Masker,
    ) -> anyhow::Result<Self> {
        masker.learn(open::secrets(&config, environment));
        let data_dir = DataDir::take(&config.data_dir).await?;
        // Without links and `..`: what is confined sees it under no other name.
        config.data_dir = data_dir.path().to_owned();
        let walls = walls::raise(&config, environment).await?;
        let crash = crash_points(environment)?;
        let sqlite = SqliteStore::open_with(&data_dir.store(), crash.clone()).await?;
        let pool = sqlite.pool().clone();
        let store: Arc<dyn Store> = Arc::new(sqlite.clone());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let repos = open::repositories(&config, environment, &pool, &clock, store.as_ref()).await?;
        masker.learn(open::tokens(&repos));
        let listener = bind(config.listen).await?;
        let address = listener.local_addr()?;
        let token = data_dir.announce(address)?;
        masker.learn([Secret::from(token.clone())]);
        let configured = first_events(&config);
        let (web_repos, gits) = (open::web_repos(&repos), open::gits(&repos));
        let ways = open::ways(&repos);
        let care = open::care(&config, environment, &masker);
        let adapters = open::adapters(&config, environment, repos, (masker, crash, walls))?;
        let core = Core::new(Arc::clone(&store), Arc::clone(&clock), adapters);
        let handle = core.handle();
        handle.limit_inbox(config.max_pending);
        let upkeep = Arc::new(Upkeep::new(
            &config,
            sqlite.clone(),
            gits,
            handle.clone(),
            Arc::clone(&clock),
        ));
        let web = WebState {
            engine: handle.clone(),
            store,
            clock,
            repos: web_repos,
            webhook_secrets: config
                .github
                .as_ref()
                .map(|github| github.webhook_secrets.clone())
                .unwrap_or_default(),
            max_body_bytes: config.max_body_bytes,
            limits: web::Limits {
                connections: config.http.max_connections,
                header_time: config.http.header_timeout,
                body_time: config.http.body_timeout,
                body_memory: config.http.max_memory_bytes,
            },
            token,
            data_dir: data_dir.path().to_owned(),
            upkeep: Arc::clone(&upkeep),
            sandbox: config.sandbox,
        };
        Ok(Self {
            address,
            listener,
            core,
            handle,
            web,
            sqlite,
            configured,
            upkeep,
            care,
            ways,
            stops_runs: false,
            data_dir,
        })
    }

    /// Agents and gates do not outlive this server: when it leaves it ends them. What agents have
    /// is kept by the next one, and their stories go on from it.
    #[must_use]
    pub fn stopping_runs(self, stops_runs: bool) -> Self {
        Self { stops_runs, ..self }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until `shutdown`, or until a part of it breaks down. Phases of leaving: nothing new is
    /// accepted and nothing new starts; what is under way gets its grace; the engine stores what it
    /// was told; the data folder is given back.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.tidy_checkouts().await;
        let mut roots = Roots::new();
        let core = self.core.stopping_runs(self.stops_runs);
        core.start(&mut roots, &shutdown).await?;
        let upkeep = (Arc::clone(&self.upkeep), shutdown.clone());
        roots.spawn(async move {
            let (upkeep, stop) = upkeep;
            upkeep.run(stop).await;
            Ok("upkeep")
        });
        self.care.start(self.ways, &mut roots, &shutdown);
        roots.spawn(serve(self.listener, self.web, shutdown.clone()));
        let checkpoints = self.sqlite.keep_log_short(shutdown.clone());
        roots.spawn(async move {
            checkpoints.await;
            Ok("checkpoints")
        });
        for event in self.configured {
            self.handle.report(Report::event(event)).await?;
        }
        drop((self.handle, self.upkeep));
        let outcome = watch(&mut roots, &shutdown).await;
        drop(self.data_dir);
        outcome
    }

    /// The one moment at which no run can begin in a checkout.
    async fn tidy_checkouts(&self) {
        let mut swept = Swept::default();
        match self.upkeep.sweep_checkouts(&mut swept).await {
            Ok(()) if swept.removed.is_empty() => {}
            Ok(()) => tracing::info!(bytes = swept.bytes(), "removed checkouts that nobody used"),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "old checkouts could not be removed; trying again at the next start"
            ),
        }
    }
}

/// Sweeps the data folder of a server that does not run: opens it as one would, and leaves.
pub async fn sweep(
    mut config: ServerConfig,
    environment: &Environment,
    mode: Mode,
) -> anyhow::Result<Swept> {
    let data_dir = DataDir::take(&config.data_dir).await?;
    config.data_dir = data_dir.path().to_owned();
    let sqlite = SqliteStore::open(&data_dir.store()).await?;
    let store: Arc<dyn Store> = Arc::new(sqlite.clone());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let pool = sqlite.pool().clone();
    let repos = open::repositories(&config, environment, &pool, &clock, store.as_ref()).await?;
    // What the engine hands on is in the store, and taken up by the next server.
    let (work, _unused) = mpsc::unbounded_channel();
    let (engine, handle) = Engine::new(Arc::clone(&store), Arc::clone(&clock), work);
    let engine = tokio::spawn(engine.run());
    let gits = open::gits(&repos);
    let upkeep = Upkeep::new(&config, sqlite.clone(), gits, handle, clock);
    let mut swept = upkeep.sweep(mode).await?;
    upkeep.sweep_checkouts(&mut swept).await?;
    drop(upkeep);
    engine.await?;
    sqlite.close().await;
    Ok(swept)
}

/// Whether an error says that the data cannot be used as it is: somebody has to do something first.
pub fn could_not_begin(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(<dyn std::error::Error + 'static>::is::<StoreError>)
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another `listen` address"))
}

/// What the server tells its subjects at each start.
fn first_events(config: &ServerConfig) -> Vec<Event> {
    let limits = AccountEvent::Configured {
        limits: config.limits.clone(),
    };
    let opened = config.repos.iter().map(|repo| {
        Event::repo(
            &repo.name,
            RepoEvent::Opened {
                looks: config.pace_of(repo),
            },
        )
    });
    std::iter::once(Event::Account { event: limits })
        .chain(opened)
        .collect()
}

fn crash_points(environment: &Environment) -> anyhow::Result<CrashPoints> {
    let kill_at = match environment.get("HUSKIES_CRASH_AT") {
        Some(text) => Some(text.parse().context(
            "HUSKIES_CRASH_AT is neither a number nor a place such as act.land.before:1",
        )?),
        None => None,
    };
    let trace = environment.get("HUSKIES_CRASH_TRACE").map(Into::into);
    CrashPoints::new(kill_at, trace).context("HUSKIES_CRASH_TRACE cannot be written")
}

async fn serve(
    listener: TcpListener,
    state: WebState,
    shutdown: CancellationToken,
) -> anyhow::Result<&'static str> {
    web::serve(listener, state, shutdown).await?;
    Ok("http")
}

/// A root that ends by itself, or breaks down, ends the server.
async fn watch(roots: &mut Roots, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = roots.join_next().await {
        let ended = ended.map_err(anyhow::Error::from).and_then(|ended| ended);
        match ended {
            Ok(root) if shutdown.is_cancelled() => tracing::debug!(root, "left"),
            Ok(root) => {
                outcome = Err(anyhow::anyhow!("the {root} ended without being asked to"));
                shutdown.cancel();
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "a part of the server broke down"
                );
                outcome = Err(error);
                shutdown.cancel();
            }
        }
    }
    outcome
}
