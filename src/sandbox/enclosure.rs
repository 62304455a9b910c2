//! Our side of one confined process tree: it prepares the folders, serves the network, counts, and
//! makes the command line that confines. It lives where the run is watched over.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::confinement::{Confinement, Network, Order, Room};
use super::groups::Groups;
use super::growth::Growth;
use super::hosts::HostList;
use super::network::{MOST_LISTENERS, PROXY_PORT, short};
use super::proxy;

/// The exit status of a program that never began, since its room could not be built; as env(1) has
/// it for its own failures. What stands on stderr says why.
pub const COULD_NOT_BUILD: u8 = 125;

/// How what stands there begins, after the program's name.
pub const SANDBOX_COMPLAINT: &str = "the sandbox could not be built";

/// Variables that name places outside, or that the inside answers itself.
const REPLACED: [&str; 13] = [
    "HOME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "CLAUDE_CONFIG_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// Dropping it closes the network and stops counting; processes are not its to end.
pub struct Enclosure {
    confinement: Confinement,
    order: String,
    groups: Groups,
    socket: Option<PathBuf>,
    passed: watch::Receiver<Option<u64>>,
    /// The proxy and the measuring; aborted on drop.
    _tasks: JoinSet<()>,
}

impl Enclosure {
    /// Prepares a room for one process tree. Must be called within a tokio runtime.
    pub fn begin(confinement: &Confinement) -> io::Result<Self> {
        let room = &confinement.room;
        for folder in [&room.home, &room.layers, &room.tmp, &room.socket] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let mut tasks = JoinSet::new();
        let mut order = Order {
            confinement: confinement.clone(),
            guardian: std::process::id(),
            socket: None,
            bridges: Vec::new(),
            groups: Vec::new(),
        };
        if let Network::Hosts(hosts) = &confinement.network {
            let hosts = HostList::parse(hosts).map_err(io::Error::other)?;
            let mut bridges = hosts.bridges();
            bridges.truncate(MOST_LISTENERS - 1);
            let socket = room.socket.join(format!("{:016x}.sock", unique()));
            let (_folder, address) = short(&socket)?;
            tasks.spawn(proxy::serve(
                UnixListener::bind(address)?,
                hosts,
                bridges.clone(),
            ));
            // Who may be asked is none of the inside's business.
            order.confinement.network = Network::Hosts(Vec::new());
            (order.socket, order.bridges) = (Some(socket), bridges);
        }
        let groups = Groups::make(&confinement.limits);
        order.groups = groups.entrances();
        let (tell, passed) = watch::channel(None);
        let growth = Growth {
            folders: measured(confinement),
            processes: order.groups.first().cloned(),
            limit: confinement.limits.disk_bytes,
        };
        tasks.spawn(async move {
            // Nobody hears it when the run is over.
            let _unheard = tell.send(Some(growth.passed().await));
        });
        Ok(Self {
            confinement: confinement.clone(),
            socket: order.socket.clone(),
            order: serde_json::to_string(&order)?,
            groups,
            passed,
            _tasks: tasks,
        })
    }

    /// The command line that runs `argv` inside. Usable once: the network is handed over once.
    pub fn wrap(&self, argv: &[String]) -> Vec<String> {
        let binary = self.confinement.binary.display().to_string();
        let mut wrapped = vec![
            binary,
            "confine".to_owned(),
            self.order.clone(),
            "--".to_owned(),
        ];
        wrapped.extend_from_slice(argv);
        wrapped
    }

    /// The environment as it is right inside.
    pub fn environment(&self, variables: &[(String, String)]) -> Vec<(String, String)> {
        let mut inside: Vec<_> = variables
            .iter()
            .filter(|(name, _)| !REPLACED.contains(&name.as_str()))
            .cloned()
            .collect();
        let mut set = |name: &str, value: String| inside.push((name.to_owned(), value));
        set("HOME", self.confinement.home.display().to_string());
        set("TMPDIR", "/tmp".to_owned());
        // For gates that a hook runs in here: what leads out is passed on to them.
        set("HUSKIES_ROOM", "1".to_owned());
        if self.socket.is_some() {
            for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
                set(name, format!("http://127.0.0.1:{PROXY_PORT}"));
            }
            for name in ["NO_PROXY", "no_proxy"] {
                set(name, "localhost,127.0.0.1,::1".to_owned());
            }
            // Node.js reads the others only when it is told to.
            set("NODE_USE_ENV_PROXY", "1".to_owned());
        }
        inside
    }

    /// Waits until more was written than may be; what to say about it.
    pub fn too_much_written(&self) -> impl Future<Output = String> + Send + use<> {
        let mut passed = self.passed.clone();
        let limit = self.confinement.limits.disk_bytes >> 20;
        async move {
            let grown = passed.wait_for(Option::is_some).await;
            let Some(grown) = grown.ok().and_then(|grown| *grown) else {
                return std::future::pending().await;
            };
            let grown = grown >> 20;
            format!(
                "it wrote {grown} MB to disk, and no more than {limit} MB are allowed (walls.disk_mb in the server's configuration)"
            )
        }
    }

    /// What the limits refused, for whoever wonders why the run failed.
    pub fn refused(&self) -> Vec<String> {
        self.groups.refused()
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            // The folder may be gone already.
            let _gone = fs::remove_file(socket);
        }
    }
}

impl Room {
    /// Removes what the run had in `/tmp`.
    pub fn remove_tmp(&self) -> io::Result<()> {
        remove(&self.tmp)
    }

    /// Removes everything in the room. What an overlay left is not even its owner's to enter.
    pub fn remove(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.layers).into_iter().flatten().flatten() {
            let inner = entry.path().join("work");
            if inner.is_dir() && !inner.is_symlink() {
                fs::set_permissions(&inner, fs::Permissions::from_mode(0o700))?;
            }
        }
        for folder in [&self.home, &self.layers, &self.tmp] {
            remove(folder)?;
        }
        Ok(())
    }
}

/// Like `rm -rf` after `chmod -R u+rwx`: a package manager makes read-only folders.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => return other,
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(folder)
}

/// What a story alone writes to. Folders that the configuration opens for all are not.
fn measured(confinement: &Confinement) -> Vec<PathBuf> {
    let room = &confinement.room;
    let folders = [&confinement.folder, &room.home, &room.layers, &room.tmp];
    folders
        .into_iter()
        .chain(&confinement.own)
        .cloned()
        .collect()
}

/// A number that no other socket of the room has.
fn unique() -> u64 {
    RandomState::new().build_hasher().finish()
}
