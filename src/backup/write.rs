//! Making a backup.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sha2::{Digest, Sha256};

use super::{BUNDLE, CONFIG, Entry, FORMAT, MANIFEST, Manifest, STORE};
use crate::git::{self, Git};
use crate::store::SqliteStore;

/// What is to be backed up.
pub struct Source<'a> {
    pub data_dir: &'a Path,
    /// The server's configuration file, where it has one.
    pub config: Option<&'a Path>,
    pub git: &'a Git,
    pub made_at: jiff::Timestamp,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    pub manifest: Manifest,
    pub bytes: u64,
}

/// Writes a backup to the new file `into`, which is there whole or not at all. Nothing in the data
/// folder changes, and a server may be at work in it.
pub async fn back_up(source: &Source<'_>, into: &Path) -> anyhow::Result<Written> {
    if into.exists() {
        bail!("{} is there already: name a new file", into.display());
    }
    let folder = match into.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let folder = folder
        .canonicalize()
        .with_context(|| format!("there is no folder {}: make it first", folder.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".huskies-backup-")
        .tempdir_in(&folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    let mut entries = gather(source, scratch.path()).await?;
    entries.sort();
    let schema = SqliteStore::inspect(&scratch.path().join(STORE)).await?;
    let (scratch_path, into, made_at) =
        (scratch.path().to_owned(), into.to_owned(), source.made_at);
    let written = tokio::task::spawn_blocking(move || {
        let manifest = Manifest {
            format: FORMAT,
            huskies: env!("CARGO_PKG_VERSION").to_owned(),
            made_at,
            schema: schema.unwrap_or_default(),
            entries: describe(&scratch_path, &entries)?,
        };
        let bytes = pack(&manifest, &scratch_path, &into)
            .with_context(|| format!("cannot write {}", into.display()))?;
        anyhow::Ok(Written { manifest, bytes })
    });
    written.await?
}

/// Puts everything into `scratch`, the store first; the paths of what is there.
async fn gather(source: &Source<'_>, scratch: &Path) -> anyhow::Result<Vec<String>> {
    let store = source.data_dir.join(STORE);
    if SqliteStore::inspect(&store).await?.is_none() {
        bail!(
            "there is no store in {}: nothing was ever served there",
            source.data_dir.display()
        );
    }
    let copy = scratch.join(STORE);
    SqliteStore::copy(&store, &copy).await?;
    let named = commits_in(&SqliteStore::living_texts(&copy).await?);
    let mut paths = vec![STORE.to_owned()];
    for repo in repositories(source.data_dir)? {
        let control = source.data_dir.join(&repo).join("control.git");
        let folder = scratch.join(&repo);
        fs::create_dir_all(&folder)?;
        let bundle = folder.join(BUNDLE);
        let bundled = git::bundle(source.git, &control, named.clone(), &bundle).await;
        if bundled.with_context(|| format!("cannot copy {}", control.display()))? {
            paths.push(format!("{repo}/{BUNDLE}"));
        }
    }
    if let Some(config) = source.config {
        fs::copy(config, scratch.join(CONFIG))
            .with_context(|| format!("cannot copy {}", config.display()))?;
        paths.push(CONFIG.to_owned());
    }
    Ok(paths)
}

/// `repos/<owner>/<name>` of every control repository that is there, also of those that no
/// configuration names any more.
fn repositories(data_dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for owner in folders(&data_dir.join("repos"))? {
        for repo in folders(&owner)? {
            let below = repo.strip_prefix(data_dir)?.to_str().map(str::to_owned);
            if let Some(below) = below.filter(|_| repo.join("control.git").is_dir()) {
                found.push(below);
            }
        }
    }
    Ok(found)
}

fn folders(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let folders = entries.map(|entry| entry.map(|entry| entry.path()));
    let folders: Vec<PathBuf> = folders.collect::<io::Result<_>>()?;
    Ok(folders.into_iter().filter(|path| path.is_dir()).collect())
}

/// Everything that looks like the id of a commit.
fn commits_in(texts: &[String]) -> Vec<String> {
    let is_id = |word: &&str| {
        word.len() == 40
            && word
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let words = texts.iter().flat_map(|text| text.split('"')).filter(is_id);
    let mut ids: Vec<String> = words.map(str::to_owned).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn describe(scratch: &Path, paths: &[String]) -> anyhow::Result<Vec<Entry>> {
    let entries = paths.iter().map(|path| {
        let mut file = File::open(scratch.join(path))?;
        let (bytes, sha256) = digest(&mut file)?;
        Ok(Entry {
            path: path.clone(),
            bytes,
            sha256,
        })
    });
    entries.collect()
}

/// How long something is, and its SHA-256 in hexadecimal.
pub(super) fn digest(reader: &mut impl Read) -> io::Result<(u64, String)> {
    let (mut sha256, mut bytes) = (Sha256::new(), 0);
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let length = reader.read(&mut chunk)?;
        if length == 0 {
            return Ok((bytes, hex::encode(sha256.finalize())));
        }
        sha256.update(&chunk[..length]);
        bytes += length as u64;
    }
}

fn pack(manifest: &Manifest, scratch: &Path, into: &Path) -> anyhow::Result<u64> {
    let draft = scratch.join("archive");
    // Titles, bodies and logs of private repositories are in it.
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    let mut archive = tar::Builder::new(io::BufWriter::new(file));
    let text = serde_json::to_vec_pretty(manifest)?;
    let made_at = manifest.made_at.as_second().unsigned_abs();
    append(
        &mut archive,
        MANIFEST,
        (&text[..], text.len() as u64, made_at),
    )?;
    for entry in &manifest.entries {
        let file = File::open(scratch.join(&entry.path))?;
        append(&mut archive, &entry.path, (file, entry.bytes, made_at))?;
    }
    let mut out = archive.into_inner()?;
    out.flush()?;
    out.get_ref().sync_all()?;
    let bytes = out.get_ref().metadata()?.len();
    // Not over a file that came to be meanwhile.
    fs::hard_link(&draft, into)?;
    if let Some(folder) = scratch.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(bytes)
}

fn append<W: Write, R: Read>(
    archive: &mut tar::Builder<W>,
    path: &str,
    (content, bytes, at): (R, u64, u64),
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(at);
    archive.append_data(&mut header, path, content.take(bytes))
}

#[cfg(test)]
mod tests {
    use super::commits_in;

    #[test]
    fn ids_of_commits_are_found_in_json_and_nothing_else_is() {
        let (one, two) = (
            "a".repeat(40),
            "0123456789abcdef0123456789abcdef01234567".to_owned(),
        );
        let text = format!(
            r#"{{"head":"{one}","tip":["{two}","{one}"],"x":"{}"}}"#,
            "g".repeat(40)
        );
        let short = format!(r#"{{"x":"{}"}}"#, "a".repeat(39));
        assert_eq!(commits_in(&[text, short]), [two, one]);
    }
}
