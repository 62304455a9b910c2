//! Builds a root file system from an allow list, and makes it the only one there is.
//!
//! Runs as the first process of new user, mount and PID namespaces, before anything of the story
//! does. Sources are opened before the first mount, and destinations are walked to folder by folder
//! without following links, since a story may have left links in its home: neither can lead a mount
//! astray (`mount(2)` on `/proc/self/fd/N`, as bubblewrap does it).

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatVfsMountFlags, fstat, fstatvfs,
    mkdirat, openat, openat2, symlinkat, unlinkat,
};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{fchdir, pivot_root};

use super::confinement::Confinement;
use super::mounts;

/// Devices without a way out.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Shared memory is memory, and is counted as such where a cgroup counts; here is its own end.
const SHM: &std::ffi::CStr = c"mode=1777,size=1g";
/// Parts of `/proc` that the machine is steered by. Their modes do not hold a server that is root
/// back: inside, its user is still the machine's root to them.
const READ_ONLY_PROC: [&str; 8] = [
    "sys",
    "sysrq-trigger",
    "irq",
    "bus",
    "fs",
    "acpi",
    "driver",
    "mtrr",
];
/// Parts that tell of the machine what nobody inside needs.
const HIDDEN_PROC: [&str; 8] = [
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "timer_list",
    "kallsyms",
];

/// How something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    ReadOnly,
    Writable,
    Device,
}

/// Something of the machine that is to be inside, opened.
struct Source {
    path: PathBuf,
    opened: OwnedFd,
    how: How,
    layered: bool,
    /// A link at the top of the machine, such as `/bin`.
    link: Option<PathBuf>,
}

/// Builds the room and moves into it. `terminal`: standard output is one.
pub(super) fn enter(confinement: &Confinement, terminal: bool) -> io::Result<()> {
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )?;
    let sources = sources(confinement)?;
    let layers = Layers::open(confinement)?;
    let devices = open_devices()?;
    let mounted = mounts::points()?;
    // A folder of ours that nothing inside is made of, or it would be inside again.
    let base = &confinement.room.layers;
    mount(
        "tmpfs",
        base,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        Some(c"mode=755,size=4m"),
    )?;
    let root = Root {
        top: openat(
            CWD,
            base,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?,
        mounted,
    };
    root.furnish_devices(&devices, terminal)?;
    root.furnish_proc()?;
    for source in &sources {
        root.place(source, &layers)
            .map_err(|error| naming(error, &source.path))?;
    }
    root.move_in()
}

fn naming(error: impl Into<io::Error>, path: &Path) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Everything that is to be there, parents before what lies in them.
fn sources(confinement: &Confinement) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let room = &confinement.room;
    for (inside, outside) in [
        (&confinement.home, &room.home),
        (&PathBuf::from("/tmp"), &room.tmp),
    ] {
        let mut source =
            Source::open(outside, How::Writable).map_err(|error| naming(error, outside))?;
        source.path.clone_from(inside);
        sources.push(source);
    }
    for path in std::iter::once(&confinement.folder).chain(&confinement.writable) {
        sources.push(Source::open(path, How::Writable).map_err(|error| naming(error, path))?);
    }
    let readable = confinement.readable.iter().chain([&confinement.binary]);
    let read_only = readable.map(|path| (path, false));
    let layered = confinement.layered.iter().map(|path| (path, true));
    for (path, layered) in read_only.chain(layered) {
        match Source::open(path, How::ReadOnly) {
            Ok(source) => sources.push(Source { layered, ..source }),
            Err(error) if absent(&error) => {}
            Err(error) => return Err(naming(error, path)),
        }
    }
    // A stable sort: of two for the same path, the one that may be written comes last and counts.
    sources.sort_by_key(|source| (source.path.clone(), source.how == How::Writable));
    Ok(sources)
}

/// Not there, or not for this user.
fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory
    )
}

impl Source {
    fn open(path: &Path, how: How) -> io::Result<Self> {
        let at_top = path.parent() == Some(Path::new("/"));
        let link = if at_top {
            fs::read_link(path).ok()
        } else {
            None
        };
        let opened = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self {
            path: path.to_owned(),
            opened,
            how,
            layered: false,
            link,
        })
    }
}

fn open_devices() -> io::Result<Vec<Source>> {
    let open = |name: &&str| {
        let path = Path::new("/dev").join(name);
        Source::open(&path, How::Device).map_err(|error| naming(error, &path))
    };
    DEVICES.iter().map(open).collect()
}

fn by_number(opened: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", opened.as_raw_fd())
}

/// Where what is written to layered folders is kept.
struct Layers {
    folder: OwnedFd,
}

impl Layers {
    fn open(confinement: &Confinement) -> io::Result<Self> {
        let folder = &confinement.room.layers;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            openat(CWD, folder, flags, Mode::empty()).map_err(|error| naming(error, folder))?;
        Ok(Self { folder })
    }

    /// The options of an overlay over `lower` (kernel documentation, overlayfs); it needs Linux 5.11
    /// to be mounted without the machine's rights, and a file system that can carry it.
    fn options(&self, source: &Source) -> io::Result<(CString, [OwnedFd; 2])> {
        let name: String = source.path.display().to_string().replace('/', "%");
        let make = |kind: &str| -> io::Result<OwnedFd> {
            let name = format!("{kind}{name}");
            match mkdirat(&self.folder, &name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(openat(&self.folder, &name, flags, Mode::empty())?)
        };
        let (upper, work) = (make("upper")?, make("work")?);
        let text = format!(
            "userxattr,lowerdir={},upperdir={},workdir={}",
            by_number(&source.opened),
            by_number(&upper),
            by_number(&work)
        );
        Ok((CString::new(text)?, [upper, work]))
    }
}

/// The root in the making.
struct Root {
    top: OwnedFd,
    /// Where the machine has something mounted.
    mounted: Vec<PathBuf>,
}

impl Root {
    fn place(&self, source: &Source, layers: &Layers) -> io::Result<()> {
        if let Some(target) = &source.link {
            let name = source.path.file_name().unwrap_or_default();
            return Ok(symlinkat(target, &self.top, name)?);
        }
        if source.layered {
            let (options, _open) = layers.options(source)?;
            let at = self.walk(&source.path, FileType::Directory)?.1;
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            let layered = mount(
                "overlay",
                by_number(&at),
                "overlay",
                flags,
                Some(options.as_c_str()),
            );
            if layered.is_ok() {
                return Ok(());
            }
            // It can be read at least.
        }
        self.bind(source)
    }

    fn bind(&self, source: &Source) -> io::Result<()> {
        let kind = FileType::from_raw_mode(fstat(&source.opened)?.st_mode);
        let (folder, at) = self.walk(&source.path, kind)?;
        mount_bind_recursive(by_number(&source.opened), by_number(&at))?;
        let name = source.path.file_name().unwrap_or_default();
        let top = openat(
            &folder,
            name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        restrict(&top, source.how)?;
        let below = self.mounted.iter().filter_map(|point| {
            point
                .strip_prefix(&source.path)
                .ok()
                .filter(|rest| !rest.as_os_str().is_empty())
        });
        for rest in below {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match openat2(&top, rest, flags, Mode::empty(), resolve) {
                Ok(inner) => restrict(&inner, source.how)?,
                // Mounted over by another one.
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(naming(error, rest)),
            }
        }
        Ok(())
    }

    /// Opens the folder that holds `path`, and `path` itself, inside; makes what is missing. Links
    /// are not followed: one in the way was put there by the story and makes room.
    fn walk(&self, path: &Path, kind: FileType) -> io::Result<(OwnedFd, OwnedFd)> {
        let mut names: Vec<&OsStr> = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => names.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(io::Error::other("the path is not a plain one"));
                }
            }
        }
        let Some((last, folders)) = names.split_last() else {
            return Err(io::Error::other("the whole machine cannot be opened"));
        };
        let mut at = openat(
            &self.top,
            ".",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        for name in folders {
            at = step(&at, name, FileType::Directory)?;
        }
        let end = step(&at, last, kind)?;
        Ok((at, end))
    }

    fn furnish_devices(&self, devices: &[Source], terminal: bool) -> io::Result<()> {
        self.mount_fresh("/dev", "tmpfs", MountFlags::NOSUID, c"mode=755,size=1m")?;
        for device in devices {
            self.bind(device)?;
        }
        if terminal {
            // The terminal itself lies in a file system that is not inside: opened by this name, it
            // can be opened again by whoever prints to /dev/stdout. It is looked up by its path, for
            // what was opened in another mount namespace cannot be mounted in this one.
            let path = fs::read_link("/proc/self/fd/1")?;
            let mut console =
                Source::open(&path, How::Device).map_err(|error| naming(error, &path))?;
            console.path = "/dev/console".into();
            self.bind(&console)?;
        }
        let nodev = MountFlags::NOSUID | MountFlags::NOEXEC;
        self.mount_fresh(
            "/dev/pts",
            "devpts",
            nodev,
            c"newinstance,ptmxmode=0666,mode=620",
        )?;
        self.mount_fresh(
            "/dev/shm",
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            SHM,
        )?;
        let dev = self.walk(Path::new("/dev/null"), FileType::RegularFile)?.0;
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            symlinkat(target, &dev, name)?;
        }
        Ok(())
    }

    /// A `/proc` of this PID namespace, read only where the machine is steered.
    fn furnish_proc(&self) -> io::Result<()> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        self.mount_fresh("/proc", "proc", flags, c"")?;
        let proc = self.walk(Path::new("/proc/self"), FileType::Symlink)?.0;
        forbid_namespaces(&proc)?;
        for name in READ_ONLY_PROC {
            cover_proc(&proc, name, None)?;
        }
        let null = openat(
            CWD,
            "/dev/null",
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        for name in HIDDEN_PROC {
            cover_proc(&proc, name, Some(&null))?;
        }
        Ok(())
    }

    fn mount_fresh(
        &self,
        path: &str,
        kind: &str,
        flags: MountFlags,
        data: &std::ffi::CStr,
    ) -> io::Result<()> {
        let at = self.walk(Path::new(path), FileType::Directory)?.1;
        mount(kind, by_number(&at), kind, flags, Some(data))
            .map_err(|error| naming(error, Path::new(path)))
    }

    /// Makes it the root; the old one is gone, and the new one's skeleton cannot be written to.
    fn move_in(self) -> io::Result<()> {
        fchdir(&self.top)?;
        pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        Ok(mount_remount("/", flags, "")?)
    }
}

/// Puts `over`, or a read-only view of itself, over a part of `/proc`.
fn cover_proc(proc: &OwnedFd, name: &str, over: Option<&OwnedFd>) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let at = match openat(proc, name, flags, Mode::empty()) {
        Ok(at) => at,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    mount_bind_recursive(by_number(over.unwrap_or(&at)), by_number(&at))?;
    let top = openat(proc, name, flags, Mode::empty())?;
    restrict(
        &top,
        if over.is_some() {
            How::Device
        } else {
            How::ReadOnly
        },
    )
}

/// One step of a walk.
fn step(at: &OwnedFd, name: &OsStr, kind: FileType) -> io::Result<OwnedFd> {
    let folder = kind == FileType::Directory;
    let mut flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    flags.set(OFlags::DIRECTORY, folder);
    let fits = |opened: &OwnedFd| {
        fstat(opened).is_ok_and(|found| {
            let found = FileType::from_raw_mode(found.st_mode);
            kind == FileType::Symlink
                || (found == FileType::Directory) == folder && found != FileType::Symlink
        })
    };
    match openat(at, name, flags, Mode::empty()) {
        Ok(opened) if fits(&opened) => return Ok(opened),
        Ok(_) | Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
            let way = if folder {
                AtFlags::empty()
            } else {
                AtFlags::REMOVEDIR
            };
            match unlinkat(at, name, way) {
                Ok(()) => {}
                // A link where a file is wanted is no folder.
                Err(rustix::io::Errno::NOTDIR) => unlinkat(at, name, AtFlags::empty())?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let made = if folder {
        mkdirat(at, name, Mode::from_raw_mode(0o755))
    } else {
        let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        openat(at, name, create, Mode::from_raw_mode(0o644)).map(drop)
    };
    match made {
        // Gates of one run share a home, and each of them furnishes it at the same time.
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let opened = openat(at, name, flags, Mode::empty())?;
    if fits(&opened) {
        Ok(opened)
    } else {
        Err(io::Error::other("somebody puts links in the way"))
    }
}

/// Takes rights from a mount; those that it lacked already stay away, since they are locked.
fn restrict(top: &OwnedFd, how: How) -> io::Result<()> {
    let had = fstatvfs(top.as_fd())?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::NOSUID;
    flags.set(MountFlags::NODEV, how != How::Device);
    flags.set(MountFlags::RDONLY, how == How::ReadOnly);
    for (was, stays) in [
        (StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if had.contains(was) {
            flags |= stays;
        }
    }
    Ok(mount_remount(by_number(top), flags, "")?)
}

/// No namespaces within this one (namespaces(7)): they would bring back rights to play with.
fn forbid_namespaces(proc: &OwnedFd) -> io::Result<()> {
    let path = "sys/user/max_user_namespaces";
    let file = openat(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, b"0").map_err(|error| naming(error, Path::new(path)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_that_share_a_home_can_be_furnished_at_the_same_time() {
        let home = tempfile::tempdir().unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let at = openat(CWD, home.path(), flags, Mode::empty()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for number in 0..200 {
                        let (folder, file) = (format!("d{number}"), format!("f{number}"));
                        step(&at, OsStr::new(&folder), FileType::Directory).unwrap();
                        step(&at, OsStr::new(&file), FileType::RegularFile).unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn a_link_in_the_way_makes_room() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), home.path().join("d")).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let at = openat(CWD, home.path(), flags, Mode::empty()).unwrap();
        step(&at, OsStr::new("d"), FileType::Directory).unwrap();
        assert!(!home.path().join("d").is_symlink());
    }
}
