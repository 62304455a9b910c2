//! A coding agent whose turns are written by the test: a shell script outside the repository that
//! does, at each attempt, what it was told for it, and leaves traces that the test can read.

use std::path::{Path, PathBuf};

use super::patience::eventually;
use super::pause::Pause;

/// Who the agent's commits are by.
pub(crate) const AUTHOR: &str = "Scripted Agent <agent@example.com>";

/// Notes the start, keeps the prompt, and plays the turn written for this story and attempt: the
/// most special one first. `commit MESSAGE` is there for the turns.
const SCRIPT: &str = r#"set -eu
number=${HUSKIES_STORY##*#}
cp "$HUSKIES_PROMPT_FILE" "$here/prompt-$number-$HUSKIES_ATTEMPT"
echo "$HUSKIES_STORY $HUSKIES_ATTEMPT" >> "$here/started"
commit() {
    git add -A
    git -c user.name='Scripted Agent' -c user.email=agent@example.com commit -q -m "$1"
    git rev-parse HEAD >> "$here/commits-$number"
}
for turn in "$number-$HUSKIES_ATTEMPT" "$number" "any-$HUSKIES_ATTEMPT" any; do
    if [ -f "$here/turn-$turn" ]; then
        . "$here/turn-$turn"
        exit
    fi
done
echo "no turn is written for attempt $HUSKIES_ATTEMPT of $HUSKIES_STORY"
exit 70
"#;

pub(crate) struct ScriptedAgent {
    folder: PathBuf,
}

impl ScriptedAgent {
    pub(crate) fn create(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a temp folder can be written to");
        let script = format!("here='{}'\n{SCRIPT}", folder.display());
        std::fs::write(folder.join("agent.sh"), script).expect("a temp folder can be written to");
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The `command` of the project file. `exec`, so that the script is the process that is
    /// watched and not a child of it.
    pub(crate) fn command(&self) -> String {
        format!("exec sh '{}/agent.sh'", self.folder.display())
    }

    fn write_turn(&self, name: &str, script: &str) {
        std::fs::write(self.folder.join(format!("turn-{name}")), script)
            .expect("a temp folder can be written to");
    }

    /// What every attempt of every story does that has nothing more special.
    pub(crate) fn always(&self, script: &str) {
        self.write_turn("any", script);
    }

    /// What the attempt with this number does, of whatever story.
    pub(crate) fn turn(&self, attempt: u64, script: &str) {
        self.write_turn(&format!("any-{attempt}"), script);
    }

    /// What every attempt of one story does.
    pub(crate) fn story(&self, number: u64, script: &str) {
        self.write_turn(&number.to_string(), script);
    }

    /// What one attempt of one story does.
    pub(crate) fn story_turn(&self, number: u64, attempt: u64, script: &str) {
        self.write_turn(&format!("{number}-{attempt}"), script);
    }

    /// A place where turns can stand still.
    pub(crate) fn pause(&self, name: &str) -> Pause {
        Pause::at(&self.folder.join(format!("pause-{name}")))
    }

    /// A file that turns and gates can write to.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The lines of a file that turns and gates write to; none when it is not there.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        std::fs::read_to_string(self.file(name))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Waits until a file that a turn writes has a line.
    pub(crate) async fn wait_for_line(&self, name: &str) -> String {
        eventually(&format!("a line in {name}"), || {
            !self.lines(name).is_empty()
        })
        .await;
        self.lines(name).remove(0)
    }

    /// Every start so far, in order: `octo/app#1 2` for the second attempt of a story.
    pub(crate) fn starts(&self) -> Vec<String> {
        self.lines("started")
    }

    /// The prompt that an attempt was given.
    ///
    /// # Panics
    /// When the attempt was not started.
    pub(crate) fn prompt(&self, number: u64, attempt: u64) -> String {
        std::fs::read_to_string(self.file(&format!("prompt-{number}-{attempt}")))
            .unwrap_or_else(|error| panic!("attempt {attempt} of story {number}: {error}"))
    }

    /// The commits that a story's agent made, in order.
    pub(crate) fn commits(&self, number: u64) -> Vec<String> {
        self.lines(&format!("commits-{number}"))
    }
}
