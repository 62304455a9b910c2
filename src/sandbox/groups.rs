//! Limits of a whole process tree, by cgroups where they can be written to: version 1 or 2
//! (cgroups(7)). Where neither can, the limits of setrlimit(2) hold alone, and it is said.

use std::fs;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::confinement::Limits;

/// What a controller is told, and where it counts what it refused: by version.
struct Controller {
    name: &'static str,
    /// The file for the limit, in version 1 and 2.
    limit: [&'static str; 2],
    /// The file and the word in it that counts.
    refused: [(&'static str, &'static str); 2],
}

const MEMORY: Controller = Controller {
    name: "memory",
    limit: ["memory.limit_in_bytes", "memory.max"],
    refused: [
        ("memory.oom_control", "oom_kill "),
        ("memory.events", "oom_kill "),
    ],
};
const PROCESSES: Controller = Controller {
    name: "pids",
    limit: ["pids.max", "pids.max"],
    refused: [("pids.events", "max "), ("pids.events", "max ")],
};

/// The watchman and the first process are counted too.
const OUR_OWN: u64 = 2;

/// One group of a run, removed when dropped.
struct Group {
    folder: PathBuf,
    controller: &'static Controller,
    version: usize,
}

/// The groups of one process tree.
#[derive(Default)]
pub(super) struct Groups(Vec<Group>);

impl Groups {
    /// Makes what can be made; what cannot is held by rlimits alone.
    pub(super) fn make(limits: &Limits) -> Self {
        let mut groups = Self::default();
        let name = name();
        let wanted = [
            (&MEMORY, limits.memory_bytes),
            (&PROCESSES, limits.processes + OUR_OWN),
        ];
        for (controller, limit) in wanted {
            let Some((parent, version)) = parent_of(controller) else {
                continue;
            };
            sweep(&parent);
            let folder = parent.join(&name);
            let exists = groups.0.iter().any(|group| group.folder == folder);
            let made = if exists {
                Ok(())
            } else {
                fs::create_dir(&folder)
            };
            if made.is_err() {
                continue;
            }
            let group = Group {
                folder,
                controller,
                version,
            };
            if fs::write(
                group.folder.join(controller.limit[version]),
                limit.to_string(),
            )
            .is_ok()
            {
                groups.0.push(group);
            }
        }
        groups
    }

    /// What a process writes its number to, to be counted.
    pub(super) fn entrances(&self) -> Vec<PathBuf> {
        let mut entrances: Vec<PathBuf> = self
            .0
            .iter()
            .map(|group| group.folder.join("cgroup.procs"))
            .collect();
        entrances.dedup();
        entrances
    }

    /// What the limits refused so far, in words.
    pub(super) fn refused(&self) -> Vec<String> {
        let said = |group: &Group| {
            let (file, word) = group.controller.refused[group.version];
            let text = fs::read_to_string(group.folder.join(file)).ok()?;
            let count: u64 = text
                .lines()
                .find_map(|line| line.strip_prefix(word)?.trim().parse().ok())?;
            (count > 0).then(|| match group.controller.name {
                "memory" => format!(
                    "the memory limit (walls.memory_mb) was reached: {count} processes were killed"
                ),
                _ => format!("the limit of processes (walls.processes) was reached {count} times"),
            })
        };
        self.0.iter().filter_map(said).collect()
    }

    fn holds(&self, controller: &Controller) -> Option<usize> {
        self.0
            .iter()
            .find(|group| group.controller.name == controller.name)
            .map(|group| group.version + 1)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in &self.0 {
            // A process that is still ending keeps it; the next run sweeps it away.
            let _later = fs::remove_dir(&group.folder);
        }
    }
}

/// What limits a tree on this machine, for the log and the doctor: memory, then processes.
pub fn mechanism(limits: &Limits) -> [(bool, String); 2] {
    let groups = Groups::make(limits);
    [
        (&MEMORY, "RLIMIT_DATA, of each process alone"),
        (&PROCESSES, "RLIMIT_NPROC, which does not bind root"),
    ]
    .map(|(controller, otherwise)| match groups.holds(controller) {
        Some(version) => (
            true,
            format!("cgroup v{version}, of all processes together"),
        ),
        None => (false, otherwise.to_owned()),
    })
}

fn name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("huskies-{}-{next}", std::process::id())
}

/// Removes groups whose maker is gone. One that is in use cannot be removed.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| {
            name.strip_prefix("huskies-")?
                .split('-')
                .next()?
                .parse::<u32>()
                .ok()
        });
        if maker.is_some_and(|maker| !Path::new("/proc").join(maker.to_string()).exists()) {
            // In use, or gone already.
            let _kept = fs::remove_dir(entry.path());
        }
    }
}

/// The group that this process is in, where a controller can be used below it.
fn parent_of(controller: &Controller) -> Option<(PathBuf, usize)> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    find_parent(&own, &mounts, controller.name)
}

/// `own` is /proc/self/cgroup (cgroups(7)), `mounts` /proc/self/mountinfo (proc_pid_mountinfo(5)).
fn find_parent(own: &str, mounts: &str, controller: &str) -> Option<(PathBuf, usize)> {
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (id, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let (version, place) = if names.split(',').any(|name| name == controller) {
            (0, mount_point(mounts, "cgroup", Some(controller), path)?)
        } else if id == "0" && names.is_empty() {
            let Some(place) = mount_point(mounts, "cgroup2", None, path) else {
                continue;
            };
            // Groups below have the controllers that are handed down, and no others.
            let handed = fs::read_to_string(place.join("cgroup.subtree_control"));
            if !handed.is_ok_and(|handed| handed.split_whitespace().any(|name| name == controller))
            {
                continue;
            }
            (1, place)
        } else {
            continue;
        };
        return is_writable(&place).then_some((place, version));
    }
    None
}

fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Where the group `path` of a hierarchy is to be seen.
fn mount_point(mounts: &str, kind: &str, controller: Option<&str>, path: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (found, options) = (system.next()?, system.nth(1)?);
        let fits = controller.is_none_or(|name| options.split(',').any(|option| option == name));
        if found != kind || !fits {
            return None;
        }
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(point).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_of_version_1_is_found_below_its_mount() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let own = "9:name=systemd:/\n4:memory:/a/b\n0::/\n";
        let mounts = format!(
            "30 1 0:26 / {} rw,relatime - cgroup cgroup rw,memory\n",
            folder.path().display()
        );
        assert_eq!(find_parent(own, &mounts, "memory"), Some((inner, 0)));
        assert_eq!(find_parent(own, &mounts, "pids"), None);
    }

    #[test]
    fn version_2_counts_only_where_the_controller_is_handed_down() {
        let folder = tempfile::tempdir().unwrap();
        let own = "0::/unit\n";
        let unit = folder.path().join("unit");
        fs::create_dir(&unit).unwrap();
        let mounts = format!(
            "30 1 0:26 / {} rw - cgroup2 cgroup2 rw\n",
            folder.path().display()
        );
        fs::write(unit.join("cgroup.subtree_control"), "cpu pids\n").unwrap();
        assert_eq!(find_parent(own, &mounts, "pids"), Some((unit, 1)));
        assert_eq!(find_parent(own, &mounts, "memory"), None);
    }
}
