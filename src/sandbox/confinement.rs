//! What one process tree may see and use, as data: it travels in a run's specification and on the
//! command line of `huskies confine`. It holds paths and numbers, never a secret.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All paths are absolute. What is inside lies at the same path as outside; only the home and `/tmp`
/// are other folders than they seem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// The `huskies` program; it builds the room, and hooks run it inside.
    pub binary: PathBuf,
    /// The folder that is worked in.
    pub folder: PathBuf,
    /// What else may be written: git folders, and what the server's configuration opens.
    pub writable: Vec<PathBuf>,
    /// Those of them that are this story's alone, and count as its growth.
    pub own: Vec<PathBuf>,
    /// What may only be read, files and folders. What is not there is left out.
    pub readable: Vec<PathBuf>,
    /// Folders that can be read, and written without reaching the original: caches of packages.
    pub layered: Vec<PathBuf>,
    /// Where the home is inside, `HOME`.
    pub home: PathBuf,
    pub room: Room,
    pub network: Network,
    pub limits: Limits,
}

/// The folders of ours that hold what the inside writes beside its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// What is mounted as the home.
    pub home: PathBuf,
    /// What is written to layered folders.
    pub layers: PathBuf,
    /// What is mounted as `/tmp`.
    pub tmp: PathBuf,
    /// Where the socket to `huskies confine` lies; never visible inside.
    pub socket: PathBuf,
}

impl Room {
    /// A room that is all in one folder.
    pub fn at(folder: &std::path::Path) -> Self {
        Self::with_home(folder, folder)
    }

    /// A home that is kept, beside a folder that is not.
    pub fn with_home(kept: &std::path::Path, folder: &std::path::Path) -> Self {
        Self {
            home: kept.join("home"),
            layers: kept.join("layers"),
            tmp: folder.join("tmp"),
            socket: folder.to_owned(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The machine's own, loopback included.
    All,
    /// A loopback of its own, and these hosts by way of a proxy.
    Hosts(Vec<String>),
    /// A loopback of its own.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of all processes together where a cgroup can be made, else of each one's data segment.
    pub memory_bytes: u64,
    pub processes: u64,
    /// Of each process.
    pub open_files: u64,
    /// How much the folders may grow in one run; also the longest file.
    pub disk_bytes: u64,
}

/// What `huskies confine` is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) confinement: Confinement,
    /// The process that must be its parent, and with which it ends.
    pub(super) guardian: u32,
    /// Where it hands over the listeners of a network of its own.
    pub(super) socket: Option<PathBuf>,
    /// Ports of its loopback that lead to the same port outside.
    pub(super) bridges: Vec<u16>,
    /// The `cgroup.procs` files to enter.
    pub(super) groups: Vec<PathBuf>,
}
