//! Secrets that may change while the server runs: a fixed value, a file that is read again when it
//! was written anew, or a value that its owner replaces.
//!
//! Nothing has to be told of a rotation: whoever needs a secret asks for it at that moment, and one
//! look at the file's metadata says whether it is still the same. Not for: which secrets there are
//! (`config`), and hiding them in texts (`report`).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

/// How many values that are not valid any more are remembered, so that they are still masked.
const REMEMBERED: usize = 8;

/// Why a secret's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        path: String,
        source: std::io::Error,
    },
    #[error("{path} holds no secret: write it there, one on each line")]
    Empty { path: String },
}

/// Sees to it that a secret which ends by itself is good when it is used.
#[async_trait]
pub trait Renewal: Send + Sync {
    /// Replaces the secret if it is about to end.
    ///
    /// # Errors
    /// A sentence about why there is no good one.
    async fn renew(&self) -> Result<(), String>;
}

/// One secret, or, in a file with several lines, several of which each is valid. Clones share it.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

struct Inner {
    /// `None`: the value is fixed.
    file: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    /// The file as it was when it was read.
    stamp: Option<Stamp>,
    valid: Vec<SecretString>,
    former: Vec<SecretString>,
}

/// What changes when a file is written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl<T: Into<SecretString>> From<T> for Secret {
    fn from(value: T) -> Self {
        Self::new(None, None, vec![value.into()])
    }
}

impl Secret {
    fn new(file: Option<PathBuf>, stamp: Option<Stamp>, valid: Vec<SecretString>) -> Self {
        Self(Arc::new(Inner {
            file,
            state: Mutex::new(State {
                stamp,
                valid,
                former: Vec::new(),
            }),
        }))
    }

    /// The lines of the file at `path`, without blank ones and blanks around them.
    ///
    /// # Errors
    /// When the file cannot be read now, or has none. Later that is a warning in the log, and what
    /// was read last stays valid.
    pub fn file(path: &Path) -> Result<Self, SecretError> {
        let (stamp, valid) = read(path)?;
        Ok(Self::new(Some(path.to_owned()), Some(stamp), valid))
    }

    /// One that has no value yet, and gets one by [`Self::replace`].
    pub fn changing() -> Self {
        Self::new(None, None, Vec::new())
    }

    /// Gives a secret another value; the one before is remembered as long as others are.
    pub fn replace(&self, value: SecretString) {
        self.state().change(vec![value]);
    }

    /// All lines as one text, for a secret that has several, such as a key.
    pub fn whole(&self) -> SecretString {
        let state = self.refreshed();
        let lines: Vec<&str> = state
            .valid
            .iter()
            .map(ExposeSecret::expose_secret)
            .collect();
        SecretString::from(lines.join("\n"))
    }

    /// The value to send: the first one; empty where there is none yet.
    pub fn current(&self) -> SecretString {
        self.refreshed().valid.first().cloned().unwrap_or_default()
    }

    /// Every value that is good now.
    pub fn valid(&self) -> Vec<SecretString> {
        self.refreshed().valid.clone()
    }

    /// Every value that was ever in use and may still stand in some text.
    pub fn known(&self) -> Vec<SecretString> {
        let state = self.state();
        state.valid.iter().chain(&state.former).cloned().collect()
    }

    /// Nothing in there leaves a half-made state behind.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refreshed(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let Some(path) = &self.0.file else {
            return state;
        };
        let Some(news) = state.refresh(path) else {
            return state;
        };
        // The log is masked with these very values: whoever writes to it must not hold them.
        drop(state);
        match news {
            Ok(()) => tracing::info!(path = %path.display(), "a secret was read again"),
            Err(error) => {
                tracing::warn!(%error, "a secret cannot be read again; the one before stays in use");
            }
        }
        self.state()
    }
}

impl State {
    fn change(&mut self, valid: Vec<SecretString>) {
        let former = std::mem::replace(&mut self.valid, valid);
        self.former.splice(0..0, former);
        self.former.truncate(REMEMBERED);
    }

    /// What there is to say about a file that changed; once for each state of the file.
    fn refresh(&mut self, path: &Path) -> Option<Result<(), SecretError>> {
        let stamp = std::fs::metadata(path).ok().as_ref().map(Stamp::of);
        if stamp == self.stamp {
            return None;
        }
        Some(match read(path) {
            Ok((stamp, valid)) => {
                self.stamp = Some(stamp);
                self.change(valid);
                Ok(())
            }
            Err(error) => {
                self.stamp = stamp;
                Err(error)
            }
        })
    }
}

fn read(path: &Path) -> Result<(Stamp, Vec<SecretString>), SecretError> {
    let shown = || path.display().to_string();
    let unreadable = |source| SecretError::Unreadable {
        path: shown(),
        source,
    };
    // Looked at before it is read: what is written in between is read again next time.
    let stamp = Stamp::of(&std::fs::metadata(path).map_err(unreadable)?);
    let text = SecretString::from(std::fs::read_to_string(path).map_err(unreadable)?);
    let lines = text.expose_secret().lines().map(str::trim);
    let valid: Vec<SecretString> = lines
        .filter(|line| !line.is_empty())
        .map(SecretString::from)
        .collect();
    if valid.is_empty() {
        return Err(SecretError::Empty { path: shown() });
    }
    Ok((stamp, valid))
}

/// Where it comes from, never what it is.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_tuple("Secret");
        if let Some(file) = &self.0.file {
            shown.field(file);
        }
        shown.field(&"[REDACTED]").finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(secrets: &[SecretString]) -> Vec<&str> {
        secrets.iter().map(ExposeSecret::expose_secret).collect()
    }

    #[test]
    fn a_file_without_a_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        assert!(matches!(
            Secret::file(&file),
            Err(SecretError::Unreadable { .. })
        ));
        std::fs::write(&file, "\n  \n").unwrap();
        assert!(matches!(
            Secret::file(&file),
            Err(SecretError::Empty { .. })
        ));
    }

    #[test]
    fn every_line_is_valid_and_a_new_file_is_noticed_at_the_next_use() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "first\n").unwrap();
        let secret = Secret::file(&file).unwrap();
        let clone = secret.clone();
        assert_eq!(clone.current().expose_secret(), "first");
        std::fs::write(&file, " second \nfirst\n\n").unwrap();
        assert_eq!(texts(&clone.valid()), ["second", "first"]);
        let next = folder.path().join("next");
        std::fs::write(&next, "third").unwrap();
        std::fs::rename(next, &file).unwrap();
        assert_eq!(secret.current().expose_secret(), "third");
        assert_eq!(
            texts(&secret.known()),
            ["third", "second", "first", "first"]
        );
    }

    #[test]
    fn the_last_secret_stays_while_its_file_is_away_or_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "first").unwrap();
        let secret = Secret::file(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(secret.current().expose_secret(), "first");
        std::fs::write(&file, "").unwrap();
        assert_eq!(secret.current().expose_secret(), "first");
        std::fs::write(&file, "second").unwrap();
        assert_eq!(secret.current().expose_secret(), "second");
    }

    #[test]
    fn a_secret_without_a_file_changes_when_its_owner_says_so() {
        let secret = Secret::changing();
        let clone = secret.clone();
        assert_eq!(clone.current().expose_secret(), "");
        secret.replace("first".into());
        secret.replace("second".into());
        assert_eq!(clone.current().expose_secret(), "second");
        assert_eq!(texts(&clone.known()), ["second", "first"]);
    }

    #[test]
    fn a_secret_of_several_lines_is_also_one_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "-----BEGIN-----\nabc\n-----END-----\n").unwrap();
        let whole = Secret::file(&file).unwrap().whole();
        assert_eq!(whole.expose_secret(), "-----BEGIN-----\nabc\n-----END-----");
    }

    #[test]
    fn debug_output_shows_no_value() {
        assert_eq!(
            format!("{:?}", Secret::from("hush")),
            "Secret(\"[REDACTED]\")"
        );
    }
}
