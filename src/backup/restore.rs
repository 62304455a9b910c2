//! Going on from a backup in a new data folder.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::write::digest;
use super::{BUNDLE, CONFIG, Entry, FORMAT, MANIFEST, Manifest, STORE};
use crate::git::{self, Git};
use crate::store::SqliteStore;

/// A manifest is a few lines for each repository; more is none.
const MANIFEST_LIMIT: u64 = 16 << 20;

/// Why a backup cannot be used. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{} is not empty: name a folder that is, or that is not there yet", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is no backup of huskies", .0.display())]
    Foreign(PathBuf),
    #[error("{} was written by a newer huskies ({version}): install that version", file.display())]
    Newer { file: PathBuf, version: String },
    #[error("{} is damaged: {problem}; use another backup", file.display())]
    Damaged { file: PathBuf, problem: String },
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    pub manifest: Manifest,
    /// Runs that were under way when the backup was made: nobody knows what became of them.
    pub lost_runs: u64,
    /// Where the configuration of that server lies.
    pub config: Option<PathBuf>,
}

/// Makes the data folder `data_dir`, which must be missing or empty, from the backup `file`. The
/// whole file is checked first; the folder is there whole, or not at all. `git` is made for a
/// folder that is new at that time.
pub async fn restore(
    file: &Path,
    data_dir: &Path,
    git: impl FnOnce(&Path) -> anyhow::Result<Git>,
) -> Result<Restored, RestoreError> {
    refuse_full(data_dir)?;
    let (path, checked) = (file.to_owned(), file.to_owned());
    let manifest = tokio::task::spawn_blocking(move || check(&checked));
    let manifest = manifest.await.map_err(anyhow::Error::from)??;
    let building = Building::beside(data_dir)?;
    let (root, entries) = (building.path().to_owned(), manifest.entries.clone());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&path, &entries, &root));
    unpacked.await.map_err(anyhow::Error::from)??;
    let lost_runs = adopt_store(file, building.path()).await?;
    let git = git(building.path())?;
    for entry in &manifest.entries {
        adopt_bundle(&git, building.path(), entry).await?;
    }
    let config = building.path().join(CONFIG).exists();
    building.place(data_dir)?;
    Ok(Restored {
        manifest,
        lost_runs,
        config: config.then(|| data_dir.join(CONFIG)),
    })
}

fn refuse_full(data_dir: &Path) -> Result<(), RestoreError> {
    match fs::read_dir(data_dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(RestoreError::NotEmpty(data_dir.to_owned())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let what = format!("cannot use {}", data_dir.display());
            Err(anyhow::Error::new(error).context(what).into())
        }
    }
}

/// Reads the whole archive once, and compares it with its manifest.
fn check(path: &Path) -> Result<Manifest, RestoreError> {
    let damaged = |problem: String| RestoreError::Damaged {
        file: path.to_owned(),
        problem,
    };
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut archive = tar::Archive::new(io::BufReader::new(file));
    let foreign = || RestoreError::Foreign(path.to_owned());
    let mut entries = archive.entries().map_err(|_| foreign())?;
    let first = entries.next().and_then(Result::ok).ok_or_else(foreign)?;
    let manifest = read_manifest(path, first)?;
    let mut expected = manifest.entries.iter();
    for entry in entries {
        let mut entry = entry.map_err(|error| damaged(error.to_string()))?;
        let name = entry.path().map(|name| name.to_string_lossy().into_owned());
        let name = name.map_err(|error| damaged(error.to_string()))?;
        let wanted = expected.next().filter(|wanted| wanted.path == name);
        let Some(wanted) = wanted else {
            return Err(damaged(format!("`{name}` does not belong there")));
        };
        let (bytes, sha256) = digest(&mut entry).map_err(|error| damaged(error.to_string()))?;
        if (bytes, &sha256) != (wanted.bytes, &wanted.sha256) {
            return Err(damaged(format!("`{name}` is not what was written")));
        }
    }
    match expected.next() {
        None => Ok(manifest),
        Some(missing) => Err(damaged(format!("`{}` is missing", missing.path))),
    }
}

fn read_manifest(path: &Path, entry: tar::Entry<'_, impl Read>) -> Result<Manifest, RestoreError> {
    let foreign = || RestoreError::Foreign(path.to_owned());
    if entry.path().map_err(|_| foreign())? != Path::new(MANIFEST) {
        return Err(foreign());
    }
    let mut text = Vec::new();
    let read = entry.take(MANIFEST_LIMIT).read_to_end(&mut text);
    read.map_err(|_| foreign())?;
    let loose: serde_json::Value = serde_json::from_slice(&text).map_err(|_| foreign())?;
    if loose["format"]
        .as_u64()
        .is_some_and(|format| format > u64::from(FORMAT))
    {
        return Err(RestoreError::Newer {
            file: path.to_owned(),
            version: loose["huskies"].as_str().unwrap_or("unknown").to_owned(),
        });
    }
    let manifest: Manifest = serde_json::from_value(loose).map_err(|_| foreign())?;
    let is_ours = |entry: &Entry| {
        entry.is_safe()
            && (entry.path == STORE || entry.path == CONFIG || entry.path.ends_with(BUNDLE))
    };
    let has_store = manifest.entries.iter().any(|entry| entry.path == STORE);
    if has_store && manifest.entries.iter().all(is_ours) {
        Ok(manifest)
    } else {
        Err(foreign())
    }
}

/// The data folder in the making, beside its place. Dropping it removes it.
struct Building(tempfile::TempDir);

impl Building {
    fn beside(data_dir: &Path) -> anyhow::Result<Self> {
        let place = std::path::absolute(data_dir)?;
        let parent = place.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        let folder = tempfile::Builder::new()
            .prefix(".huskies-restore-")
            .tempdir_in(parent)
            .with_context(|| format!("cannot write in {}", parent.display()))?;
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// rename(2) replaces an empty folder, and no other.
    fn place(self, data_dir: &Path) -> anyhow::Result<()> {
        fs::rename(self.path(), data_dir)
            .with_context(|| format!("cannot put the folder at {}", data_dir.display()))?;
        // It has another name now; nothing is left to remove.
        drop(self.0.keep());
        let parent = std::path::absolute(data_dir)?;
        let parent = parent.parent().unwrap_or(Path::new("/"));
        Ok(File::open(parent)?.sync_all()?)
    }
}

/// Writes the files of a checked archive below `root`.
fn unpack(path: &Path, entries: &[Entry], root: &Path) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut archive = tar::Archive::new(io::BufReader::new(file));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let Some(known) = entries.iter().find(|known| Path::new(&known.path) == name) else {
            continue;
        };
        let place = root.join(&known.path);
        if let Some(folder) = place.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let mut out = File::create_new(&place)?;
        io::copy(&mut entry, &mut out)
            .with_context(|| format!("cannot write {}", place.display()))?;
        out.sync_all()?;
    }
    Ok(())
}

async fn adopt_store(file: &Path, root: &Path) -> Result<u64, RestoreError> {
    let store = root.join(STORE);
    match SqliteStore::inspect(&store).await {
        Ok(Some(_)) => {}
        Ok(None) => return Err(RestoreError::Foreign(file.to_owned())),
        Err(error) => return Err(anyhow::Error::from(error).into()),
    }
    let lost = SqliteStore::lose_open_runs(&store).await;
    Ok(lost.map_err(anyhow::Error::from)?)
}

async fn adopt_bundle(git: &Git, root: &Path, entry: &Entry) -> anyhow::Result<()> {
    let bundle = root.join(&entry.path);
    let Some(folder) = bundle.parent().filter(|_| entry.path.ends_with(BUNDLE)) else {
        return Ok(());
    };
    git::unbundle(git, &bundle, &folder.join("control.git"))
        .await
        .with_context(|| format!("cannot restore {}", entry.path))?;
    Ok(fs::remove_file(&bundle)?)
}
