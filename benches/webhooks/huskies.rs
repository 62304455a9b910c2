//! The real server: the release binary with a folder of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::deliveries::{REPO, SECRET};
use crate::forge::Forge;
use crate::repository;

/// What the server is busy with beside deliveries.
#[derive(Clone, Copy)]
pub(crate) enum Workload {
    Idle,
    FiftyAgents,
}

pub(crate) struct Served {
    process: Child,
    address: SocketAddr,
    pub(crate) forge: Forge,
    folder: tempfile::TempDir,
}

impl Served {
    pub(crate) async fn start(workload: Workload) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (forge, api) = Forge::start().await;
        let project = match workload {
            Workload::Idle => repository::one_agent(),
            Workload::FiftyAgents => repository::fifty_agents(),
        };
        repository::create(&folder.path().join("app"), &project);
        let config = folder.path().join("huskies.toml");
        std::fs::write(&config, configuration(folder.path(), api)).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_huskies"))
            .args(["serve", "--config"])
            .arg(&config)
            .env("HUSKIES_GITHUB_TOKEN", "a-token")
            .env("HUSKIES_WEBHOOK_SECRET", SECRET)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        let address = line["listening"]
            .as_str()
            .unwrap()
            .trim_start_matches("http://");
        Self {
            address: address.parse().unwrap(),
            process,
            forge,
            folder,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Waits until as many agents have begun: each leaves a file.
    pub(crate) async fn wait_for_agents(&self, count: usize, patience: Duration) {
        let began = Instant::now();
        while started(self.folder.path()) < count {
            assert!(
                began.elapsed() < patience,
                "{} agents run",
                started(self.folder.path())
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Agents end with their supervisors, which see that no server is there; here they are not waited
/// for.
impl Drop for Served {
    fn drop(&mut self) {
        let folder = self.folder.path().display().to_string();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let command = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let is_ours = [command, arguments]
                .iter()
                .any(|text| String::from_utf8_lossy(text).contains(&folder));
            let pid = entry.file_name().to_string_lossy().parse::<i32>().ok();
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw)
                && is_ours
            {
                // Gone already is as good.
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
    }
}

fn started(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let count = |entry: std::fs::DirEntry| {
        if entry.path().is_dir() && !entry.path().is_symlink() {
            started(&entry.path())
        } else {
            usize::from(entry.file_name().to_string_lossy().starts_with("started-"))
        }
    };
    entries.flatten().map(count).sum()
}

fn configuration(folder: &Path, api: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \"{folder}/data\"\n\
         [forge.github]\napi_url = \"http://{api}\"\nwrite_spacing_ms = 0\n\
         [limits]\nagents = 50\nper_day_usd = 10000.0\n\
         [[repo]]\nname = \"{REPO}\"\npath = \"{folder}/app\"\nforge = \"github\"\n"
    )
}
