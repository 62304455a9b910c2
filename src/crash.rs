//! Named places at which a test may kill the process, to show that nothing is lost there.
//!
//! They are part of the real program, so that what is tested is what runs; a server has them
//! switched off unless its environment asks for them, and then each costs one comparison. Not for:
//! injecting errors or delays.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::num::ParseIntError;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

/// The crash points of one process. Clones share their count.
#[derive(Debug, Clone, Default)]
pub struct CrashPoints(Option<Arc<Mutex<Armed>>>);

/// Where the process is to die.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KillAt {
    /// `7`: the seventh place that it reaches, whichever that is.
    Nth(u64),
    /// `act.land.before:2`: the second time that it is at the place of this name. How often others
    /// are reached meanwhile may depend on the pace; this does not.
    Place { name: String, nth: u64 },
}

impl FromStr for KillAt {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        Ok(match text.rsplit_once(':') {
            Some((name, nth)) => Self::Place {
                name: name.to_owned(),
                nth: nth.parse()?,
            },
            None => Self::Nth(text.parse()?),
        })
    }
}

#[derive(Debug)]
struct Armed {
    reached: u64,
    /// How often the place was reached at which to die.
    there: u64,
    kill_at: Option<KillAt>,
    trace: Option<File>,
}

impl CrashPoints {
    /// Nothing is counted, written or killed.
    pub fn off() -> Self {
        Self(None)
    }

    /// Kills the process at `kill_at`, counted from 1, and appends the name of each place to the
    /// file `trace`, one a line: line n names the n-th place. With neither they are off.
    ///
    /// Fails where `trace` cannot be opened for appending.
    pub fn new(kill_at: Option<KillAt>, trace: Option<PathBuf>) -> io::Result<Self> {
        if kill_at.is_none() && trace.is_none() {
            return Ok(Self::off());
        }
        let trace = trace
            .map(|path| OpenOptions::new().create(true).append(true).open(path))
            .transpose()?;
        Ok(Self(Some(Arc::new(Mutex::new(Armed {
            reached: 0,
            there: 0,
            kill_at,
            trace,
        })))))
    }

    /// Says that the process is at the place called `name`. Does not return where it is to die.
    pub fn reach(&self, name: &str) {
        if let Some(armed) = &self.0 {
            // The lock keeps count and trace in step. Nothing in it leaves a half-made state.
            armed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .reach(name);
        }
    }
}

impl Armed {
    fn is_the_place(&mut self, here: &str) -> bool {
        match &self.kill_at {
            None => false,
            Some(KillAt::Nth(nth)) => self.reached == *nth,
            Some(KillAt::Place { name, nth }) => {
                self.there += u64::from(name == here);
                name == here && self.there == *nth
            }
        }
    }

    fn reach(&mut self, name: &str) {
        self.reached += 1;
        if let Some(trace) = &mut self.trace
            // One call for the whole line: it is there in full before the process dies.
            && let Err(error) = trace.write_all(format!("{name}\n").as_bytes())
        {
            tracing::error!(%error, name, "a crash point could not be written to the trace");
        }
        if self.is_the_place(name)
            // Takes effect before the call returns.
            && let Err(error) = kill_process(getpid(), Signal::KILL)
        {
            tracing::error!(%error, name, "the process could not kill itself at a crash point");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::{Command, ExitStatus};

    use super::*;

    /// Runs [`three_places_in_a_process_of_its_own`] in `folder`.
    fn child_in(folder: &Path) -> ExitStatus {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact"])
            .arg("crash::tests::three_places_in_a_process_of_its_own")
            .current_dir(folder)
            .output()
            .unwrap()
            .status
    }

    #[test]
    #[ignore = "a part of the tests below, which run it in a process of its own"]
    fn three_places_in_a_process_of_its_own() {
        let Ok(kill_at) = std::fs::read_to_string("kill_at") else {
            return;
        };
        let points = CrashPoints::new(kill_at.parse().ok(), Some("trace".into())).unwrap();
        points.reach("first");
        let clone = points.clone();
        std::thread::spawn(move || clone.reach("second"))
            .join()
            .unwrap();
        points.reach("third");
    }

    #[test]
    fn a_process_dies_at_the_place_it_was_told_to_and_the_trace_ends_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kill_at"), "2").unwrap();

        let status = child_in(folder.path());

        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
        let trace = std::fs::read_to_string(folder.path().join("trace")).unwrap();
        assert_eq!(trace, "first\nsecond\n");
    }

    #[test]
    fn without_a_number_every_place_is_named_and_the_process_lives() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kill_at"), "").unwrap();
        std::fs::write(folder.path().join("trace"), "of an earlier process\n").unwrap();

        let status = child_in(folder.path());

        assert!(status.success(), "{status}");
        let trace = std::fs::read_to_string(folder.path().join("trace")).unwrap();
        assert_eq!(trace, "of an earlier process\nfirst\nsecond\nthird\n");
    }

    #[test]
    fn a_trace_that_cannot_be_opened_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        assert!(CrashPoints::new(None, Some(folder.path().join("missing/trace"))).is_err());
    }

    #[test]
    fn points_that_are_off_do_nothing() {
        CrashPoints::off().reach("anywhere");
        let neither = CrashPoints::new(None, None).unwrap();
        assert!(neither.0.is_none());
        neither.reach("anywhere");
    }

    #[test]
    fn a_place_is_named_by_its_number_or_by_its_name() {
        assert_eq!("7".parse(), Ok(KillAt::Nth(7)));
        let place = KillAt::Place {
            name: "act.land.before".to_owned(),
            nth: 2,
        };
        assert_eq!("act.land.before:2".parse(), Ok(place));
        assert!("act.land.before".parse::<KillAt>().is_err());
        assert!("act.land.before:x".parse::<KillAt>().is_err());
    }
}
