//! From the server's settings to the confinement of one run.

use std::path::{Path, PathBuf};

use super::confinement::{Confinement, Limits, Network, Room};
use super::places::{CACHES, ETC, SYSTEM, TOOLCHAINS, existing};

/// Where a home is inside when the server has none.
const HOME: &str = "/home/huskies";

/// What holds for every run of a server.
#[derive(Debug, Clone)]
pub struct Walls {
    pub binary: PathBuf,
    /// Nothing in here is ever visible but what a run names.
    pub data_dir: PathBuf,
    /// `HOME`, `PATH`, and the variables that say where toolchains are.
    pub environment: Vec<(String, String)>,
    pub readable: Vec<PathBuf>,
    pub writable: Vec<PathBuf>,
    pub network: Network,
    pub limits: Limits,
    /// Files that agents' programs log in with; they are there, read only, for agents alone.
    pub credentials: Vec<PathBuf>,
}

/// What one run needs beside what every run has.
#[derive(Debug, Clone)]
pub struct Stay {
    pub folder: PathBuf,
    pub writable: Vec<PathBuf>,
    pub readable: Vec<PathBuf>,
    pub room: Room,
    /// Whether an agent runs here, and no gate.
    pub with_credentials: bool,
}

impl Walls {
    /// Looks at the disk for what is there.
    pub fn confinement(&self, stay: Stay) -> Confinement {
        let home = self.home();
        let variable = |name: &str| {
            self.variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let mut readable: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        readable.extend(ETC.iter().map(|name| Path::new("/etc").join(name)));
        readable.extend(existing(&TOOLCHAINS, &home, variable));
        readable.extend(self.search_path());
        readable.extend(self.readable.iter().cloned());
        readable.extend(stay.readable);
        if stay.with_credentials {
            readable.extend(self.credentials.iter().cloned());
        }
        let mut writable = self.writable.clone();
        writable.extend(stay.writable.iter().cloned());
        Confinement {
            binary: self.binary.clone(),
            folder: stay.folder,
            writable,
            own: stay.writable,
            readable: tidy(readable),
            layered: existing(&CACHES, &home, variable),
            home,
            room: stay.room,
            network: self.network.clone(),
            limits: self.limits,
        }
    }

    /// Where the home is inside.
    pub fn home(&self) -> PathBuf {
        let home = self.variable("HOME").map(PathBuf::from);
        home.filter(|home| home.is_absolute() && home.parent().is_some())
            .unwrap_or_else(|| HOME.into())
    }

    /// The folders of `PATH`: whoever started the server has put them there for programs. Not one
    /// that holds the home or the data folder, or lies in the latter.
    fn search_path(&self) -> Vec<PathBuf> {
        let home = self.home();
        let holds_more = |folder: &Path| {
            home.starts_with(folder)
                || self.data_dir.starts_with(folder)
                || folder.starts_with(&self.data_dir)
        };
        let path = self.variable("PATH").unwrap_or_default();
        path.split(':')
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute() && folder.is_dir() && !holds_more(folder))
            .collect()
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Each path once, and none inside another one that is a real folder: it is there already.
fn tidy(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    paths.dedup();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        let covered = kept
            .iter()
            .any(|above| path.starts_with(above) && !above.is_symlink());
        if !covered {
            kept.push(path);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walls(path: &str) -> Walls {
        Walls {
            binary: "/usr/bin/huskies".into(),
            data_dir: "/var/lib/huskies".into(),
            environment: vec![
                ("HOME".to_owned(), "/usr/share".to_owned()),
                ("PATH".to_owned(), path.to_owned()),
            ],
            readable: Vec::new(),
            writable: Vec::new(),
            network: Network::None,
            limits: Limits {
                memory_bytes: 1,
                processes: 1,
                open_files: 1,
                disk_bytes: 1,
            },
            credentials: vec!["/secret/file".into()],
        }
    }

    fn stay(with_credentials: bool) -> Stay {
        Stay {
            folder: "/w".into(),
            writable: Vec::new(),
            readable: Vec::new(),
            room: Room::at(Path::new("/r")),
            with_credentials,
        }
    }

    #[test]
    fn a_search_path_never_opens_the_home_or_what_holds_it() {
        let confinement = walls("/usr/share:/usr:/:relative:/var").confinement(stay(false));
        let opened = |path: &str| confinement.readable.contains(&PathBuf::from(path));
        assert!(!opened("/") && !opened("/var") && !opened("relative"));
        assert!(opened("/usr"), "it is on the list of its own right");
    }

    #[test]
    fn credentials_are_for_agents_alone() {
        let has = |confinement: Confinement| {
            confinement
                .readable
                .contains(&PathBuf::from("/secret/file"))
        };
        assert!(has(walls("").confinement(stay(true))));
        assert!(!has(walls("").confinement(stay(false))));
    }

    #[test]
    fn what_lies_in_another_folder_of_the_list_is_not_named_twice() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a");
        std::fs::create_dir(&inner).unwrap();
        let link = folder.path().with_extension("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let paths = vec![
            inner,
            folder.path().to_owned(),
            link.join("a"),
            link.clone(),
        ];
        let expected = vec![folder.path().to_owned(), link.clone(), link.join("a")];
        assert_eq!(tidy(paths), expected);
        std::fs::remove_file(link).unwrap();
    }
}
