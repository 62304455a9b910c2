//! The sandbox's walls, each tried without it and in it.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::process::Command;

use super::Finding;
use crate::app::{walls_hold, walls_of, walls_trial};
use crate::config::environment::Environment;
use crate::config::server::{NetworkChoice, ServerConfig};
use crate::domain::sandbox::Sandbox;
use crate::sandbox::probe::{Attempt, Targets, Wall, this_process};
use crate::sandbox::{Enclosure, Limits, Walls, landlock_has_scopes, mechanism};

/// Enough for a shell, little enough to be passed quickly.
const FEW_PROCESSES: u64 = 32;
const LITTLE_MEMORY_MB: u64 = 256;

/// A room like an agent's, to try things in.
pub(super) struct Room {
    walls: Walls,
    folder: TempDir,
}

impl Room {
    pub(super) fn new(config: &ServerConfig, environment: &Environment) -> anyhow::Result<Self> {
        Ok(Self {
            walls: walls_of(config, environment)?,
            folder: tempfile::tempdir().context("no temporary folder can be made")?,
        })
    }

    /// Runs a program inside. `agent`: with the files that agents log in with.
    pub(super) async fn run(
        &self,
        argv: &[String],
        limits: Limits,
        agent: bool,
    ) -> anyhow::Result<Output> {
        let mut confinement = walls_trial(&self.walls, self.folder.path())?;
        confinement.limits = limits;
        if agent {
            confinement
                .readable
                .extend(self.walls.credentials.iter().cloned());
        }
        let enclosure = Enclosure::begin(&confinement)?;
        let argv = enclosure.wrap(argv);
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .env_clear()
            .envs(enclosure.environment(&self.walls.environment))
            .current_dir(&confinement.folder)
            .stdin(Stdio::null());
        Ok(command.output().await?)
    }

    pub(super) fn limits(&self) -> Limits {
        self.walls.limits
    }

    fn probe(&self, targets: &Targets) -> anyhow::Result<Vec<String>> {
        let binary = self.walls.binary.display().to_string();
        Ok(vec![
            binary,
            "confine-probe".to_owned(),
            serde_json::to_string(targets)?,
        ])
    }
}

pub(super) async fn all(
    config: &ServerConfig,
    file: Option<&Path>,
    environment: &Environment,
) -> anyhow::Result<Vec<Finding>> {
    if config.sandbox == Sandbox::Off {
        let detail = "sandbox = \"off\" in the server's configuration: agents and gates can do what the server can";
        return Ok(vec![Finding::does_not_hold("sandbox", detail)]);
    }
    if let Err(error) = walls_hold(config, environment).await {
        return Ok(vec![Finding::does_not_hold(
            "sandbox",
            format!("{error:#}"),
        )]);
    }
    let room = Room::new(config, environment)?;
    let mut findings = vec![Finding::ok("sandbox", "namespaces, no rights, seccomp")];
    let world = World::make(config, file, room.folder.path())?;
    let outside = world.attempts(&room, false).await?;
    let inside = world.attempts(&room, true).await?;
    for wall in WALLS {
        findings.push(judge(wall, &outside, &inside, config.walls.network));
    }
    findings.push(landlock());
    findings.extend(limits(&room).await?);
    findings.push(strays(&room).await?);
    Ok(findings)
}

const WALLS: [Wall; 10] = [
    Wall::Files,
    Wall::Writes,
    Wall::Environment,
    Wall::Memory,
    Wall::UnixSockets,
    Wall::AbstractSockets,
    Wall::Tcp,
    Wall::Udp,
    Wall::Namespaces,
    Wall::KernelSettings,
];

/// Things outside that nobody inside may reach.
struct World {
    targets: Targets,
    udp: UdpSocket,
    /// They listen until they are dropped.
    _listeners: (UnixListener, UnixListener, TcpListener),
}

impl World {
    fn make(config: &ServerConfig, file: Option<&Path>, folder: &Path) -> anyhow::Result<Self> {
        let secret = folder.join("secret");
        std::fs::write(&secret, "hush")?;
        let mut files = vec![secret];
        files.extend(
            [config.data_dir.clone()]
                .into_iter()
                .filter(|path| path.exists()),
        );
        files.extend(file.map(Path::to_owned));
        let socket = folder.join("socket");
        let name = format!("huskies-doctor-{}", std::process::id());
        let listeners = (
            UnixListener::bind(&socket)?,
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?,
            TcpListener::bind(("127.0.0.1", 0))?,
        );
        let udp = UdpSocket::bind(("127.0.0.1", 0))?;
        udp.set_nonblocking(true)?;
        let targets = Targets {
            files,
            writes: vec![folder.join("written")],
            process: Some(this_process()?),
            sockets: vec![socket],
            abstract_socket: Some(name),
            tcp: Some(listeners.2.local_addr()?),
            udp: Some(udp.local_addr()?),
            fill_memory_mb: None,
        };
        Ok(Self {
            targets,
            udp,
            _listeners: listeners,
        })
    }

    /// What could be done, by what is there to be seen from here.
    async fn attempts(&self, room: &Room, confined: bool) -> anyhow::Result<Vec<Attempt>> {
        let argv = room.probe(&self.targets)?;
        let output = if confined {
            room.run(&argv, room.limits(), false).await?
        } else {
            Command::new(&argv[0]).args(&argv[1..]).output().await?
        };
        let mut attempts: Vec<Attempt> =
            serde_json::from_slice(&output.stdout).with_context(|| {
                format!(
                    "the probe said: {}",
                    String::from_utf8_lossy(&output.stderr)
                )
            })?;
        let arrived = self.udp.recv(&mut [0; 16]).is_ok();
        for attempt in &mut attempts {
            match attempt.wall {
                Wall::Udp => attempt.reached = arrived,
                Wall::Writes => attempt.reached = self.take_away(&attempt.what),
                Wall::Files
                | Wall::Environment
                | Wall::Memory
                | Wall::UnixSockets
                | Wall::AbstractSockets
                | Wall::Tcp
                | Wall::Namespaces
                | Wall::KernelSettings => {}
            }
        }
        Ok(attempts)
    }

    /// Whether a file was made; it is gone afterwards.
    fn take_away(&self, path: &str) -> bool {
        self.targets.writes.contains(&PathBuf::from(path)) && std::fs::remove_file(path).is_ok()
    }
}

fn judge(wall: Wall, outside: &[Attempt], inside: &[Attempt], network: NetworkChoice) -> Finding {
    let reached = |attempts: &[Attempt]| -> Vec<String> {
        let reached = attempts
            .iter()
            .filter(|attempt| attempt.wall == wall && attempt.reached);
        reached.map(|attempt| attempt.what.clone()).collect()
    };
    let (could, can) = (reached(outside), reached(inside));
    let name = format!("wall: {wall}");
    if !can.is_empty() {
        let why = if network == NetworkChoice::All && matches!(wall, Wall::Tcp | Wall::Udp) {
            ", since walls.network is \"all\""
        } else {
            ""
        };
        return Finding::does_not_hold(&name, format!("a story reaches {}{why}", can.join(", ")));
    }
    if could.is_empty() {
        return Finding::cannot_tell(&name, "it could not be reached without the sandbox either");
    }
    Finding::ok(&name, format!("out of reach: {}", could.join(", ")))
}

/// A second wall; nothing that is promised rests on it alone.
fn landlock() -> Finding {
    let name = "second wall: Landlock";
    if landlock_has_scopes() {
        Finding::ok(
            name,
            "files once more; abstract Unix sockets and signals also where walls.network is \"all\"",
        )
    } else {
        Finding::cannot_tell(
            name,
            "this kernel has none, or an old one: the mounts and namespaces hold alone",
        )
    }
}

async fn limits(room: &Room) -> anyhow::Result<Vec<Finding>> {
    let [(_, memory), (_, processes)] = mechanism(&room.limits());
    let little = Limits {
        memory_bytes: LITTLE_MEMORY_MB << 20,
        ..room.limits()
    };
    let twice = Targets {
        fill_memory_mb: Some(LITTLE_MEMORY_MB * 2),
        ..Targets::default()
    };
    let filled = room.run(&room.probe(&twice)?, little, false).await?;
    let few = Limits {
        processes: FEW_PROCESSES,
        ..room.limits()
    };
    let fork = "i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); done; echo all";
    let forked = room
        .run(&["sh", "-c", fork].map(str::to_owned), few, false)
        .await?;
    let finding = |name: &str, passed: bool, by: String| {
        if passed {
            Finding::does_not_hold(
                name,
                format!("a story can take more than it may; held by {by}"),
            )
        } else {
            Finding::ok(name, format!("held by {by}"))
        }
    };
    Ok(vec![
        finding("limit: memory", filled.status.success(), memory),
        finding(
            "limit: processes",
            forked.stdout.starts_with(b"all"),
            processes,
        ),
    ])
}

/// A process that leaves its session and ignores signals must end with its room.
async fn strays(room: &Room) -> anyhow::Result<Finding> {
    let odd = format!("{}", 600_000 + std::process::id());
    let script = format!(
        "setsid sh -c 'trap \"\" TERM HUP INT; exec sleep {odd}' >/dev/null 2>&1 & sleep 0.1"
    );
    room.run(
        &["sh".to_owned(), "-c".to_owned(), script],
        room.limits(),
        false,
    )
    .await?;
    let name = "strays end";
    Ok(if is_running(&odd) {
        Finding::does_not_hold(name, "a process of a story outlives its run")
    } else {
        Finding::ok(name, "what leaves its session ends with its run")
    })
}

fn is_running(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut commands =
        processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    commands.any(|command| command == format!("sleep\0{argument}\0").as_bytes())
}
