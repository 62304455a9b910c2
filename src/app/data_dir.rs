//! The data folder: one server at a time, and where the command line finds it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Together about two seconds.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A data folder that this process alone serves, until it is dropped.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// `server.json`: how the command line reaches the server. Mode 0600, for it holds the token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerFile {
    pub listening: String,
    pub token: String,
}

impl DataDir {
    const SERVER_FILE: &str = "server.json";

    /// Creates the folder if needed and takes it, or says who has it.
    pub async fn take(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(path).with_context(|| {
            format!("cannot create the data folder {shown}: give the server write permission there")
        })?;
        let path = path
            .canonicalize()
            .with_context(|| format!("cannot use the data folder {shown}"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .with_context(|| {
                format!("cannot write to the data folder {shown}: is it read-only?")
            })?;
        if !lock_soon(&lock).await? {
            anyhow::bail!(
                "another huskies serves the data folder {shown}: stop it, or use another data_dir"
            );
        }
        Ok(Self { path, _lock: lock })
    }

    /// Whether a server has this data folder now. Creates nothing.
    pub fn is_served(path: &Path) -> anyhow::Result<bool> {
        let lock = match File::open(path.join("lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot use {}", path.display()));
            }
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error).context("the data folder's lock cannot be looked at"),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn store(&self) -> PathBuf {
        self.path.join("huskies.db")
    }

    /// Writes `server.json` with a fresh token, and gives the token back.
    pub fn announce(&self, address: SocketAddr) -> anyhow::Result<SecretString> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|error| anyhow::anyhow!("no randomness for a token: {error}"))?;
        let file = ServerFile {
            listening: format!("http://{address}"),
            token: hex::encode(random),
        };
        let fresh = self.path.join("server.json.new");
        let mut out = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        out.write_all(&serde_json::to_vec_pretty(&file)?)?;
        fs::rename(&fresh, self.path.join(Self::SERVER_FILE))?;
        Ok(file.token.into())
    }

    /// What the server of this data folder left for the command line.
    pub fn server_file(path: &Path) -> anyhow::Result<Option<ServerFile>> {
        match fs::read(path.join(Self::SERVER_FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error)
                .with_context(|| format!("cannot read {}", path.join(Self::SERVER_FILE).display())),
        }
    }
}

/// Takes the lock, or sees for a while whether it becomes free: a child that a killed server was
/// just starting holds it until its own program begins.
async fn lock_soon(lock: &File) -> anyhow::Result<bool> {
    for _ in 0..LOCK_TRIES {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(error) => return Err(error).context("the data folder cannot be locked"),
        }
    }
    Ok(false)
}
