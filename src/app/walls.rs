//! The sandbox, from the configuration; tried out before a server calls itself sandboxed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::config::environment::Environment;
use crate::config::server::{NetworkChoice, ServerConfig};
use crate::domain::sandbox::Sandbox;
use crate::sandbox::{
    Confinement, Enclosure, HostList, Limits, Network, Room, Stay, Walls, mechanism,
};

/// What says where homes, programs and toolchains are.
const PLACES: [&str; 11] = [
    "HOME",
    "PATH",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "NVM_DIR",
    "PYENV_ROOT",
    "RBENV_ROOT",
    "GOPATH",
    "GOROOT",
    "GOMODCACHE",
    "GOCACHE",
];
/// What has to be allowed where namespaces are not.
const WHAT_TO_DO: &str = "allow user namespaces for the server's user (sysctl user.max_user_namespaces above 0; \
    kernel.unprivileged_userns_clone=1 on Debian's kernels; kernel.apparmor_restrict_unprivileged_userns=0 or an \
    AppArmor profile on Ubuntu's; in a container, a seccomp profile with unshare and an unmasked /proc), or set \
    sandbox = \"off\" in the server's configuration, after which agents and gates can do what the server can";

/// Where this program lies.
pub(super) fn binary() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find out where this program lies")
}

/// The walls of a running server; `None` where its configuration has turned them off.
pub(super) async fn raise(
    config: &ServerConfig,
    environment: &Environment,
) -> anyhow::Result<Option<Walls>> {
    match config.sandbox {
        Sandbox::Off => {
            tracing::warn!("the sandbox is off: agents and gates run with the server's rights");
            Ok(None)
        }
        Sandbox::On => {
            try_out(config, environment).await?;
            let walls = of(config, environment)?;
            let [(_, memory), (_, processes)] = mechanism(&walls.limits);
            tracing::info!(memory, processes, network = ?config.walls.network, "sandboxed; limits are held by");
            Ok(Some(walls))
        }
    }
}

/// The walls that a configuration describes.
///
/// # Errors
/// It opens what must stay closed, or lists what is no host.
pub fn of(config: &ServerConfig, environment: &Environment) -> anyhow::Result<Walls> {
    let data_dir = config
        .data_dir
        .canonicalize()
        .unwrap_or_else(|_| config.data_dir.clone());
    let walls = &config.walls;
    for (key, paths) in [
        ("walls.readable", &walls.readable),
        ("walls.writable", &walls.writable),
        ("agents.credentials", &config.agent_credentials),
    ] {
        for path in paths {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            if data_dir.starts_with(&real) || real.starts_with(&data_dir) {
                bail!(
                    "{key} opens {}, which would open the data folder {}: name folders that neither hold it nor lie in it",
                    path.display(),
                    data_dir.display()
                );
            }
        }
    }
    HostList::parse(&walls.hosts).context("walls.hosts is not valid")?;
    Ok(Walls {
        binary: binary()?,
        data_dir,
        environment: environment.only(&PLACES),
        readable: walls.readable.clone(),
        writable: walls.writable.clone(),
        network: match walls.network {
            NetworkChoice::All => Network::All,
            NetworkChoice::Hosts => Network::Hosts(walls.hosts.clone()),
            NetworkChoice::None => Network::None,
        },
        limits: Limits {
            memory_bytes: walls.memory_mb << 20,
            processes: walls.processes,
            open_files: walls.open_files,
            disk_bytes: walls.disk_mb << 20,
        },
        credentials: config.agent_credentials.clone(),
    })
}

/// Builds a room and runs this program in it.
///
/// # Errors
/// Why there can be no sandbox here, and what to do.
pub async fn try_out(config: &ServerConfig, environment: &Environment) -> anyhow::Result<()> {
    let walls = of(config, environment)?;
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let confinement = trial(&walls, folder.path())?;
    let enclosure = Enclosure::begin(&confinement)?;
    let argv = enclosure.wrap(&[walls.binary.display().to_string(), "--version".to_owned()]);
    let mut command = Command::new(&argv[0]);
    command
        .args(&argv[1..])
        .env_clear()
        .envs(enclosure.environment(&walls.environment))
        .current_dir(&confinement.folder);
    let output = command
        .output()
        .await
        .context("this program cannot start itself")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "there can be no sandbox here ({}): {WHAT_TO_DO}",
            said.trim().trim_start_matches("huskies: ")
        );
    }
    Ok(())
}

/// A confinement like an agent's, for a folder of nobody's.
pub fn trial(walls: &Walls, folder: &Path) -> anyhow::Result<Confinement> {
    let work = folder.join("work");
    std::fs::create_dir_all(&work)?;
    let (folder, work) = (folder.canonicalize()?, work.canonicalize()?);
    Ok(walls.confinement(Stay {
        folder: work,
        writable: Vec::new(),
        readable: Vec::new(),
        room: Room::at(&folder.join("room")),
        with_credentials: false,
    }))
}
